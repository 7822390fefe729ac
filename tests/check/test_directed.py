"""Certificates of networks for one disjunct: verified in both arithmetics, true, and rejected where one is wrong."""

from __future__ import annotations

import os

import numpy as np
import pytest

from eqverify.checker import check_bytes
from eqverify.cli.main import run
from eqverify.errors import EmptySetError
from eqverify.frontend.onnx import parse_network
from eqverify.network import evaluate
from eqverify.testing.oracle import directed_sets_exact

from .certificate_cases import box, pack, random_network, unpack
from .certificate_cases import case as reduction
from .directed_cases import RECIPES, case
from .refutation_cases import at_least, reduced, save
from .refutation_cases import case as refutation

COUNT = 1_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
"""Mutants of each certificate."""


def satisfying(one, count=200_000):
    """Inputs that satisfy the first disjunct."""
    polytope = one.domain.polytopes[0]
    x = np.random.default_rng(0).uniform(polytope.box.lower, polytope.box.upper, (count, polytope.box.size))
    x = x[(x @ polytope.matrix.T <= polytope.bound).all(axis=1)]
    (row,) = one.disjuncts[0]
    y = evaluate(one.original, x)
    left = sum(float(value) * y[:, output] for output, value in row.outputs.items())
    return x[left <= float(row.bound)]


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_certificates_verify_in_both_arithmetics(name, arithmetic):
    verdict = case(name).check(arithmetic=arithmetic)
    assert verdict.verified, verdict
    line = f"verified eps={verdict.epsilon!r} (equisatisfiable with signs, case=1 disjunct=1) solver-trusted units: 0"
    assert str(verdict) == line
    assert verdict.as_dict()["disjunct"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_eps_holds_where_the_disjunct_does(name):
    one = case(name)
    x = satisfying(one)
    assert len(x) > 50
    gaps = np.abs(evaluate(one.original, x) - evaluate(parse_network(one.reduced), x))
    assert (gaps <= np.array(one.check().epsilons) + 1e-12).all()


@pytest.mark.slow
def test_a_network_for_a_disjunct_differs_elsewhere():
    """Else these certificates would say nothing that those of the whole domain do not."""
    gaps = []
    for name in RECIPES:
        one = case(name)
        box = one.domain.polytopes[0].box
        x = np.random.default_rng(1).uniform(box.lower, box.upper, (1000, box.size))
        gap = np.abs(evaluate(one.original, x) - evaluate(parse_network(one.reduced), x)).max()
        gaps.append(gap / max(1e-12, one.check().epsilon))
    assert max(gaps) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rows", "cover", "deeper"])
def test_claimed_signs_and_bounds_are_true_where_the_disjunct_holds(name):
    one = case(name)
    exact = directed_sets_exact(one.original, one.domain, one.disjuncts[0], max_regions=4000)
    assert exact is not None
    head, arrays = unpack(one.certificate)
    stable = 0
    for layer, truth in zip(head["layers"], exact.layers.values(), strict=True):
        status, lower, upper = (arrays[layer[key]] for key in ("status", "lower", "upper"))
        for unit, true in enumerate(truth):
            assert float(lower[unit]) <= true.lower
            assert float(upper[unit]) >= true.upper
        stable += int((status != 0).sum())
    assert stable


def changed(name, change):
    head, arrays = unpack(case(name).certificate)
    change(head, arrays)
    return case(name).check(pack(head, arrays))


def whole_domain(head, arrays):
    head["claim"] = "equivalent"


def unsat(head, arrays):
    head["claim"] = "unsat"


def another_disjunct(head, arrays):
    head["disjunct"] = 2


def no_such_disjunct(head, arrays):
    head["disjunct"] = 3


def no_such_case(head, arrays):
    head["case"] = 2


def no_case(head, arrays):
    del head["case"]


def not_a_number(head, arrays):
    head["disjunct"] = True


def smaller_epsilon(head, arrays):
    arrays[head["epsilon"]][:] *= 0.5
    arrays[head["epsilon"]][:] -= 1e-12


def without_steps(head, arrays):
    head["steps"] = []


def larger_domain(head, arrays):
    arrays[head["domain"]["upper"]].flat[0] += 1.0


def another_map(head, arrays):
    shown = next(entry for entry in head["map"] if (arrays[entry["layers"]] >= 0).sum() > 1)
    units, own = arrays[shown["units"]], np.flatnonzero(arrays[shown["layers"]] >= 0)
    units[own[:2]] = units[own[1::-1]]


WRONG = [
    ("rows", whole_domain, "certificate/"),
    ("rows", unsat, "certificate/"),
    ("cover", whole_domain, "certificate/step"),
    ("rows", another_disjunct, "check/"),
    ("cover", another_disjunct, "check/"),
    ("rows", no_such_disjunct, "certificate/range"),
    ("rows", no_such_case, "certificate/range"),
    ("rows", no_case, "certificate/field"),
    ("rows", not_a_number, "certificate/range"),
    ("rows", smaller_epsilon, ""),
    ("cover", without_steps, "check/"),
    ("rows", larger_domain, "certificate/domain"),
    ("deeper", another_map, "check/epsilon"),
]


@pytest.mark.parametrize(("name", "change", "code"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_what_is_wrong_is_rejected(name, change, code):
    verdict = changed(name, change)
    assert not verdict.verified, verdict
    assert verdict.code.startswith(code), verdict


def test_certificates_of_one_kind_are_not_taken_for_another():
    one, whole, empty = case("rows"), reduction("boxes"), refutation("slopes")
    assert check_bytes(one.network, one.query, None, one.certificate).code == "certificate/claim"
    head, arrays = unpack(whole.certificate)
    claimed = pack({**head, "claim": "equisatisfiable", "case": 1, "disjunct": 1}, arrays)
    assert whole.check(claimed).code == "certificate/range"  # a property without a condition
    assert not check_bytes(empty.network, empty.query, empty.network, empty.certificate).verified


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_mutants_that_are_verified_hold_where_the_disjunct_does(name):
    one, random = case(name), np.random.default_rng(5)
    x = satisfying(one)
    gaps = np.abs(evaluate(one.original, x) - evaluate(parse_network(one.reduced), x)).max(axis=0)
    for _ in range(COUNT):
        head, arrays = unpack(one.certificate)
        array = arrays[int(random.integers(len(arrays)))]
        if array.size:
            place = int(random.integers(array.size))
            kind = array.dtype.kind == "f"
            array.flat[place] = array.flat[place] + random.choice([-1, 1, 0.5, 1e6] if kind else [-1, 1])
        if random.random() < 0.3 and len(head["steps"]) > 1:
            del head["steps"][int(random.integers(len(head["steps"])))]
        verdict = one.check(pack(head, arrays))
        assert verdict.verified or verdict.code
        if verdict.verified:
            assert (gaps <= np.array(verdict.epsilons) + 1e-12).all()


@pytest.mark.slow
def test_files_and_the_command(tmp_path, capsys, monkeypatch):
    for work in ("search", "try_points"):
        monkeypatch.setattr(f"eqverify.stability.counterexample.CounterexampleSearch.{work}", lambda *_: None)
    monkeypatch.setattr("eqverify.stability.stages.region.SPLIT_BOXES", 6)
    network = random_network(3, (2, 6, 6, 2), 0.7)
    model, query = save(str(tmp_path), network, box(2), ((at_least(0, 0),), (at_least(1000, 0),)))
    out, certificate = tmp_path / "out.onnx", tmp_path / "c.cert"
    command = ["reduce", str(model), str(query), "-o", str(out), "--for-property", "--certified-only"]
    assert run([*command, "--certificate", str(certificate)]) in (0, None)
    capsys.readouterr()
    assert run(["check", str(model), str(query), str(out), str(tmp_path / "c-1.cert")]) == 0
    assert "(equisatisfiable with signs, case=1 disjunct=1)" in capsys.readouterr().out
    assert run(["check", str(model), str(query), str(tmp_path / "c-2.cert")]) == 0
    (tmp_path / "c-1.cert").unlink()
    folded = ["--property-out", str(tmp_path / "out.vnnlib"), "--fold-property"]
    assert run([*command, *folded, "--certificate", str(certificate)]) in (0, None)
    assert not (tmp_path / "c-1.cert").exists()


@pytest.mark.slow
def test_a_disjunct_that_only_the_checker_finds_to_be_empty_is_unsat(monkeypatch):
    def empty(*_, **__):
        raise EmptySetError("check/contradiction", "no box is left")

    for work in ("search", "try_points"):
        monkeypatch.setattr(f"eqverify.stability.counterexample.CounterexampleSearch.{work}", lambda *_: None)
    monkeypatch.setattr("eqverify.stability.stages.region.SPLIT_BOXES", 6)
    monkeypatch.setattr("eqverify.reduction.certifying.recheck", empty)
    network = random_network(3, (2, 6, 6, 2), 0.7)
    result, *_ = reduced(network, box(2), ((at_least(0, 0),),), certified_only=True)
    (found,) = result.disjuncts
    assert (found.status, found.evidence, found.how) == ("unsat", "tree", "the checker's bounds")
    assert found.reduction is None
    assert found.certificate is None  # here the checker found nothing of the sort
