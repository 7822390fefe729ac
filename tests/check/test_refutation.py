"""Certificates that a disjunct is unsat: verified in both arithmetics, true, and rejected where anything is wrong."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from unittest.mock import Mock, patch

import numpy as np
import pytest
from hypothesis import assume, given, reject, settings

import eqverify as eq
from eqverify.certificate import Refutation as Steps
from eqverify.certificate import build_certificate
from eqverify.checker import check_bytes
from eqverify.checker.numbers import Exact, Floats
from eqverify.checker.reader import Reader
from eqverify.checker.region import Hints, Pull
from eqverify.checker.verdict import directed_replay, refuted
from eqverify.cli.main import run
from eqverify.domain import Case as Part
from eqverify.domain import Domain, HalfSpace
from eqverify.errors import EqverifyError, UsageError
from eqverify.problem import box_problem
from eqverify.stability.disjuncts import prove_directed
from eqverify.stability.options import StabilityOptions
from eqverify.testing.oracle import directed_sets_exact
from eqverify.testing.strategies import problems

from ..vnncomp import OWN, slow, vnncomp
from .certificate_cases import box, cut_box, pack, random_network, unpack
from .certificate_cases import case as reduction
from .refutation_cases import RECIPES, at_least, case, highest, kinds, reduced, save


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_certificates_verify_in_both_arithmetics(name, arithmetic):
    verdict = case(name).check(arithmetic=arithmetic)
    assert verdict.verified, verdict
    assert str(verdict) == "verified unsat case=1 disjunct=1 solver-trusted units: 0"
    assert verdict.as_dict()["epsilon"] is None


def test_the_recipes_reach_every_kind_of_step_and_hint():
    found = set().union(*(kinds(case(name)) for name in RECIPES))
    assert found == {"pass", "zero", "cover", "cuts", "alpha", "lam", "mu", "tau"}


@pytest.mark.parametrize("name", ["slopes", "cover"])
def test_what_is_verified_is_true(name):
    one = case(name)
    assert directed_sets_exact(one.original, one.domain, one.disjuncts[0], max_regions=2000) is None


@pytest.mark.parametrize("numbers", [Floats(), Exact()], ids=["float", "exact"])
@pytest.mark.parametrize("seed", range(6))
def test_any_multipliers_give_bounds_on_the_inputs_that_satisfy_the_disjunct(numbers, seed):
    """Against exact ranges over the set, with random slopes and multipliers; it has points, so that 0 is no less."""
    random = np.random.default_rng(seed)
    network, domain = random_network(seed, (2, 4, 3, 2), 0.3), box(2)
    top = highest(network, domain, 0)
    rows = (at_least(top - Fraction(1, 2), 0), HalfSpace({0: Fraction(1, 3)}, {1: Fraction(-1, 7)}, Fraction(5)))
    exact = directed_sets_exact(network, domain, rows, max_regions=2000)
    replay = directed_replay(network, Part(domain.polytopes[0], (rows,)), 0, numbers)
    (replay.region.constraints,) = replay.constraints
    for relu in network.relus:
        size = network.sizes[relu.name]
        units, signs = np.repeat(np.arange(size), 2), np.tile([1.0, -1.0], size)
        shape, columns = (1, units.size), {r.name: np.arange(network.sizes[r.name]) for r in network.relus}
        hints = Hints(
            alpha={name: (own, random.random((*shape, own.size))) for name, own in columns.items()},
            lam={name: (own, random.random((*shape, own.size))) for name, own in columns.items()},
            mu=random.random((*shape, len(replay.constraints[0]))),
            tau={
                r.source: (columns[r.name], random.normal(size=(*shape, columns[r.name].size))) for r in network.relus
            },
        )
        assert (Pull(replay.region, hints).run() >= 0).all()
        found = replay.region.maxima(relu.source, units[None], signs, hints)[0]
        for unit, sign, value in zip(units, signs, found, strict=True):
            true = exact.layers[relu.name][unit]
            assert Fraction(float(value)) >= (true.upper if sign > 0 else -true.lower)


def changed(name, change):
    head, arrays = unpack(case(name).certificate)
    change(head, arrays)
    return case(name).check(pack(head, arrays))


def zero(head):
    return next(step for step in head["steps"] if step["kind"] == "zero")


def negative(head, arrays):
    arrays[zero(head)["mu"]].flat[0] = -1.0


def tiny_multipliers(head, arrays):
    arrays[zero(head)["mu"]][:] = 1e-320


def nothing(head, arrays):
    arrays[zero(head)["mu"]][:] = 0.0


def without_steps(head, arrays):
    head["steps"] = []


def without_zero(head, arrays):
    head["steps"] = [step for step in head["steps"] if step["kind"] != "zero"]


def another_disjunct(head, arrays):
    head["disjunct"] = 3


def no_such_disjunct(head, arrays):
    head["disjunct"] = 4


def no_such_case(head, arrays):
    head["case"] = 2


def another_claim(head, arrays):
    head["claim"] = "equivalent"


def another_property(head, arrays):
    head["digests"]["property"] = "0" * 64


def tree(head):
    return next(step for step in head["steps"] if step["kind"] in ("cover", "cuts"))


def cut_tree(head, arrays):
    one = tree(head)
    for key in {"parent", "side", "part", "dimension", "at"} | ({"mu"} if one["kind"] == "cuts" else set()):
        arrays[one[key]] = arrays[one[key]][:-1]


def root_only(head, arrays):
    one = tree(head)
    for key in ("parent", "side", "part", "dimension", "at", "mu"):
        arrays[one[key]] = arrays[one[key]][:1]
    arrays[one["dimension"]][0] = -1


def two_roots(head, arrays):
    one = tree(head)
    arrays[one["parent"]], arrays[one["dimension"]] = np.full((2, 2), -1, np.int32)
    arrays[one["side"]], arrays[one["at"]] = np.zeros(2, np.int8), np.zeros(2)


def without_combinations(head, arrays):
    arrays[tree(head)["mu"]].fill(0.0)


def negative_combination(head, arrays):
    arrays[tree(head)["mu"]].flat[-1] = -1.0


def tiny_combination(head, arrays):
    arrays[tree(head)["mu"]].flat[-1] = 1e-61


def combinations_of_fewer(head, arrays):
    arrays[tree(head)["mu"]] = arrays[tree(head)["mu"]][:-1]


def combinations_of_more_constraints(head, arrays):
    mu = arrays[tree(head)["mu"]]
    arrays[tree(head)["mu"]] = np.concatenate([mu, mu], axis=-1)


def split_outside(head, arrays):
    """The upper half is empty, and the lower one is all of the box."""
    arrays[tree(head)["at"]][0] = 1e6


def no_such_unit(head, arrays):
    arrays[tree(head)["dimension"]][0] = 14


def a_unit_in_a_cover(head, arrays):
    tree(head)["kind"] = "cover"


def endless(head, arrays):
    arrays[zero(head)["mu"]].flat[0] = np.inf


WRONG = [
    ("slopes", negative, "certificate/negative"),
    ("slopes", endless, "certificate/not-finite"),
    ("slopes", tiny_multipliers, "certificate/tiny"),
    ("slopes", nothing, "check/zero"),
    ("slopes", without_steps, "check/not-empty"),
    ("slopes", without_zero, "check/not-empty"),
    ("slopes", another_disjunct, "check/zero"),
    ("slopes", no_such_disjunct, "certificate/range"),
    ("slopes", no_such_case, "certificate/range"),
    ("slopes", another_claim, "certificate/claim"),
    ("slopes", another_property, "certificate/digest"),
    ("cover", cut_tree, "certificate/tree"),
    ("cover", root_only, "check/not-empty"),
    ("cover", without_combinations, "check/not-empty"),
    ("cover", negative_combination, "certificate/negative"),
    ("cover", tiny_combination, "certificate/tiny"),
    ("cover", two_roots, "check/tree-roots"),
    ("cover", combinations_of_fewer, "certificate/shape"),
    ("cover", split_outside, "check/not-empty"),
    ("cover", another_disjunct, "check/not-empty"),
    ("cuts", cut_tree, "certificate/tree"),
    ("cuts", root_only, "check/not-empty"),
    ("cuts", two_roots, "check/tree-roots"),
    ("cuts", without_combinations, "check/not-empty"),
    ("cuts", negative_combination, "certificate/negative"),
    ("cuts", tiny_combination, "certificate/tiny"),
    ("cuts", combinations_of_fewer, "certificate/shape"),
    ("cuts", combinations_of_more_constraints, "certificate/shape"),
    ("cuts", split_outside, "check/not-empty"),
    ("cuts", no_such_unit, "certificate/range"),
    ("cuts", a_unit_in_a_cover, "certificate/range"),
    ("cuts", another_disjunct, "check/not-empty"),
]


@pytest.mark.parametrize(("name", "change", "code"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_wrong_is_rejected(name, change, code):
    verdict = changed(name, change)
    assert not verdict.verified
    assert verdict.code == code


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_mutated_multipliers_never_show_a_satisfiable_disjunct_to_be_unsat(name):
    """The third disjunct of each case has a point: no change to any array or step may verify it."""
    random = np.random.default_rng(4)
    for _ in range(60):
        head, arrays = unpack(case(name).certificate)
        another_disjunct(head, arrays)
        for _ in range(int(random.integers(1, 4))):
            array = arrays[int(random.integers(len(arrays)))]
            if array.size:
                place = int(random.integers(array.size))
                array.flat[place] = array.flat[place] + random.choice([-1, 1, 0.5, 1e6]) * (array.dtype.kind == "f")
        if random.random() < 0.3 and len(head["steps"]) > 1:
            del head["steps"][int(random.integers(len(head["steps"])))]
        verdict = case(name).check(pack(head, arrays))
        assert not verdict.verified
        assert verdict.code


def test_certificates_of_one_kind_are_not_taken_for_the_other():
    one, other = case("slopes"), reduction("boxes")
    assert check_bytes(other.network, other.query, None, other.certificate).code == "certificate/claim"
    found = check_bytes(one.network, one.query, one.network, one.certificate)
    assert found.code in ("certificate/field", "certificate/claim", "certificate/step", "certificate/domain")


def test_steps_of_assumed_constraints_are_no_steps_of_a_reduction():
    head, arrays = unpack(reduction("boxes").certificate)
    steps = unpack(case("slopes").certificate)[0]["steps"]
    zero = [step for step in steps if step["kind"] == "zero"]
    assert zero
    for step in zero:
        assert reduction("boxes").check(pack({**head, "steps": [step]}, arrays)).code == "certificate/step"
    row = next(row for step in head["steps"] for row in step.get("rows", []))
    row["mu"] = 0
    assert reduction("boxes").check(pack(head, arrays)).code == "certificate/shape"


def alone_in(problem, number, disjunct):
    """The problem with one disjunct of one case."""
    case = problem.cases[number]
    cases = (replace(case, unsafe=(case.unsafe[disjunct],)),)
    return replace(problem, specification=replace(problem.specification, cases=cases))


@pytest.mark.slow
@given(problem=problems(parts=2))
@settings(max_examples=30)
def test_what_is_verified_is_true_of_any_problem(problem):
    """All steps that were recorded are tried for every disjunct: what the checker verifies, exact enumeration shows."""
    todo = [(c, k) for c, part in enumerate(problem.cases) for k in range(len(part.unsafe))]
    if not todo:
        reject()
    options = StabilityOptions(time_limit=20.0, split_inputs=12, node_limit=100)
    with patch("eqverify.stability.stages.region.SPLIT_BOXES", 64):  # each by itself: one that is sat ends the work
        alone = [alone_in(problem, *place) for place in todo]
        proofs = [found for one in alone for found in prove_directed(one, options, certified_only=True, record=True)]
    judged = 0
    for found in proofs:
        for number, disjunct in todo:
            data = build_certificate(found.problem, found.proofs, Steps({}, (number + 1, disjunct + 1), {}))
            try:
                verdict = refuted(problem.network, problem.specification, Floats(), Reader(data, problem.network))
            except EqverifyError:
                continue
            part = problem.cases[number]
            try:
                exact = directed_sets_exact(problem.network, Domain((part.polytope,)), part.unsafe[disjunct])
            except EqverifyError:  # too many regions, or a polytope without points
                continue
            judged += 1
            assert verdict.verified
            assert exact is None
    assume(judged)


def test_a_changed_network_or_property_is_rejected():
    one, other = case("slopes"), case("program")
    assert one.check(network=other.network).code == "certificate/digest"
    assert one.check(query=one.query + b"\n; a comment").code == "certificate/digest"


def test_a_satisfiable_disjunct_gets_no_certificate():
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    top = highest(network, domain, 0)
    disjuncts = ((at_least(top - 1, 0),), (at_least(top + 100, 0),))
    result, *_ = reduced(network, domain, disjuncts)
    assert result.disjuncts[0].status == "sat"
    assert result.disjuncts[0].certificate is None


@pytest.mark.slow
def test_a_solvers_word_is_no_certificate(monkeypatch):
    """Where only SCIP shows that a disjunct is unsat, there is none."""
    network, domain = random_network(2, (4, 8, 8, 2), 0.6), cut_box(4)
    top = highest(network, domain, 0)
    monkeypatch.setattr("eqverify.stability.stages.region.prove_signs", lambda *a, **k: [Mock(proved=False)])
    monkeypatch.setattr("eqverify.stability.stages.region.clip_set", lambda *a, **k: Mock(empty=False))
    disjuncts = ((at_least(top + Fraction(6, 10), 0),),)
    result, *_ = reduced(network, domain, disjuncts, split_inputs=0)
    (found,) = result.disjuncts
    assert (found.status, found.claimed) == ("open", True)
    result, *_ = reduced(network, domain, disjuncts, split_inputs=0, trust="scip")
    (found,) = result.disjuncts
    assert found.evidence == "solver"
    assert found.certificate is None


def test_files_and_the_command(tmp_path, capsys):
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    top = highest(network, domain, 0)
    model, query = save(str(tmp_path), network, domain, ((at_least(top + 4, 0),), (at_least(top + 50, 0),)))
    out, certificate = tmp_path / "out.onnx", tmp_path / "c.cert"
    files = [str(model), str(query)]
    assert run(["reduce", *files, "-o", str(out), "--for-property", "--certificate", str(certificate)]) in (0, None)
    capsys.readouterr()
    for number in (1, 2):
        assert run(["check", *files, str(tmp_path / f"c-{number}.cert")]) == 0
        line = capsys.readouterr().out.strip()
        assert line == f"verified unsat case=1 disjunct={number} solver-trusted units: 0"
    assert run(["check", *files, str(model)]) == 1


def test_what_has_no_certificate_is_refused(tmp_path):
    problem = box_problem(random_network(1), -np.ones(2), np.ones(2))
    with pytest.raises(UsageError, match="certificate/no-files"):
        eq.reduce_for_property(problem, certificate=True)
    model, query = save(str(tmp_path), random_network(3), box(2), ((at_least(Fraction(1000), 0),),))
    loaded = eq.load_problem(model, query)
    facts = eq.prove_stability(loaded, time_limit=5)
    with pytest.raises(UsageError, match="usage/certificate-facts"):
        eq.reduce_for_property(loaded, facts=facts, certificate=True)
    with pytest.raises(UsageError, match="usage/certificate"):
        eq.reduce_for_property(loaded).save_certificates(tmp_path / "c.cert")


def image_classifier(name):
    if name in OWN:
        return OWN[name].model, OWN[name].properties[0]
    return vnncomp("mnist_fc") / "onnx/mnist-net_256x2.onnx", vnncomp("mnist_fc") / "vnnlib/prop_0_0.03.vnnlib.gz"


@pytest.mark.parametrize("name", ["cnn", *slow("mnist")])
def test_all_disjuncts_of_an_image_classifier(name):
    model, query = image_classifier(name)
    result = eq.reduce_for_property(eq.load_problem(model, query), certificate=True, time_limit=30)
    assert result.counts["unsat"] == len(result.disjuncts) == 9
    data = [model.read_bytes(), query.read_bytes()]
    for number, found in enumerate(result.disjuncts):
        assert found.certificate is not None
        verdict = check_bytes(*data, None, found.certificate.data)
        assert verdict.verified
        assert verdict.disjunct == number + 1
    head, arrays = unpack(result.disjuncts[0].certificate.data)
    moved = pack({**head, "disjunct": 2}, arrays)
    # the numbers of one disjunct may happen to show another: what counts is that it is that one which is shown
    assert check_bytes(*data, None, moved).disjunct in (None, 2)
