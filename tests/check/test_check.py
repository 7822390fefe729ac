"""The checker verifies what reduce certifies, in both arithmetics, and what it verifies is true."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import eqverify as eq
from eqverify.bounds.interval import Interval as ProvedInterval
from eqverify.bounds.pullback import relax
from eqverify.checker import check_bytes
from eqverify.checker.deviation import deviations
from eqverify.checker.numbers import Exact, Floats
from eqverify.checker.reader import Reader
from eqverify.checker.region import Hints, Interval, Pull, Region
from eqverify.checker.replay import Replay
from eqverify.cli.main import run
from eqverify.equivalence.exact import cross_check
from eqverify.errors import UsageError
from eqverify.frontend.onnx import parse_network
from eqverify.network import Affine, Dense, Network, Port, Term
from eqverify.stability.proofs import SplitProof
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import deviations_exact, stable_sets_exact

from ..vnncomp import slow
from .certificate_cases import RECIPES, box, case, certified, cut_box, kinds, pack, random_network, unpack

EXAMPLE = "eqverify/examples/digits.onnx", "specs/properties/digits_ball.vnnlib"


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("arithmetic", ["float", *slow("exact")])
def test_certificates_verify_in_both_arithmetics(name, arithmetic):
    verdict = case(name).check(arithmetic=arithmetic)
    assert verdict.verified, verdict
    assert verdict == case(name).check()
    assert (verdict.solver_trusted > 0) == ("solver" in kinds(case(name)))


def test_the_recipes_reach_every_kind_of_step_and_hint():
    found = set().union(*(kinds(case(name)) for name in RECIPES))
    assert found == {"pass", "box-tree", "sign-tree", "solver", "alpha", "lam", "tau", "mu"}


def true_claims(one, certificate=None):
    """Whether what a verified certificate claims is true, by enumeration of linear regions."""
    verdict = one.check(certificate)
    assert verdict.verified
    exact = deviations_exact(one.original, parse_network(one.reduced), one.domain)
    head, arrays = unpack(one.certificate if certificate is None else certificate)
    stable = stable_sets_exact(one.original, one.domain)
    for layer, ranges in zip(head["layers"], stable.layers.values(), strict=True):
        status, lower, upper = (arrays[layer[key]] for key in ("status", "lower", "upper"))
        for s, low, high, truth in zip(status, lower, upper, ranges, strict=True):
            if (s == 1 and truth.upper > 0) or (s == 2 and truth.lower < 0):
                return False
            if low > truth.lower or high < truth.upper:
                return False
    return all(d.value <= Fraction(eps) for d, eps in zip(exact, verdict.epsilons, strict=True))


@pytest.mark.parametrize("name", [*slow("boxes", "two-parts"), "float64"])
def test_what_is_verified_is_true(name):
    assert true_claims(case(name))


@pytest.mark.parametrize("name", ["two-parts", "float64"])
def test_z3_confirms_what_is_verified(name):
    one = case(name)
    verdict = one.check()
    answer = cross_check(one.original, parse_network(one.reduced), one.domain, np.array(verdict.epsilons), timeout=60)
    assert answer.verdict == "equivalent"


@pytest.mark.slow
@pytest.mark.parametrize("handmade", all_handmade(), ids=lambda h: h.name)
def test_hand_solved_problems(handmade):
    one = certified(handmade.network, handmade.domain, element="float64")
    assert one.check().verified
    assert one.check(arithmetic="exact").verified


@pytest.mark.parametrize("numbers", [Floats(), Exact()], ids=["float", "exact"])
@pytest.mark.parametrize("seed", range(8))
def test_the_dual_rule_gives_bounds_whatever_the_hints(numbers, seed):
    """Against exact ranges: random slopes, and multipliers on linear constraints and on ranges, of later units too."""
    random = np.random.default_rng(seed)
    network, domain = random_network(seed, (2, 4, 4, 1)), cut_box(2)
    exact = stable_sets_exact(network, domain)
    replay = Replay(network, domain, numbers)
    first, second = network.relus
    size = network.sizes[second.source]
    units = np.arange(size)
    columns = np.arange(network.sizes[first.name])
    for sign in (1.0, -1.0):
        hints = Hints(
            alpha={first.name: (columns, random.random((1, size, columns.size)))},
            lam={first.name: (columns, random.random((1, size, columns.size)))},
            mu=random.random((1, size, 1)) * 2,
            tau={relu.source: (columns, random.normal(size=(1, size, columns.size))) for relu in network.relus},
        )
        (replay.region.constraints,) = replay.constraints
        found = replay.region.maxima(second.source, units[None], np.full(size, sign), hints)[0]
        for bound, truth in zip(found, exact.layers[second.name], strict=True):
            assert Fraction(bound) >= (truth.upper if sign > 0 else -truth.lower)


@pytest.mark.parametrize("seed", range(8))
def test_multipliers_on_splits_give_bounds_where_the_sign_is_given(seed):
    """A leaf: samples on its side of the split stay below the bound."""
    random = np.random.default_rng(seed)
    network, domain = random_network(seed, (2, 4, 4, 1)), box(2)
    replay = Replay(network, domain, Floats())
    first, second = network.relus
    bounds = dict(replay.region.bounds)
    z = bounds[first.source]
    side = np.zeros((1, 4))
    side[0, 0] = random.choice([s for s in (-1, 1) if (z.upper if s > 0 else -z.lower)[0, 0] > 0])
    clipped = Interval(
        np.where(side > 0, np.maximum(z.lower, 0), z.lower), np.where(side < 0, np.minimum(z.upper, 0), z.upper)
    )
    bounds[first.source] = clipped
    bounds[first.name] = Interval(np.maximum(clipped.lower, 0), np.maximum(clipped.upper, 0))
    region = Region(network, Floats(), bounds)
    hints = Hints(
        tau={first.source: (np.arange(4), random.normal(size=(1, 4, 4)))},
    )
    found = region.maxima(second.source, np.arange(4)[None], np.ones(4), hints)[0]
    from eqverify.network import evaluate_nodes

    points = random.uniform(-1, 1, size=(500, 2))
    values = evaluate_nodes(network, points)
    chosen = values[first.source][:, 0] * side[0, 0] >= 0
    assert chosen.any()
    assert (values[second.source][chosen] <= found + 1e-12).all()


def test_multipliers_on_ranges_of_later_units_are_valid_in_leaves():
    one = case("branching")
    head, arrays = one.parts
    tree = next(s for s in head["steps"] if s["kind"] == "sign-tree" and s["alpha"])
    leaves = arrays[tree["alpha"][0][2]].shape[0]
    arrays += [np.arange(9, dtype=np.int32), np.full((leaves, 1, 9), 1e-3)]
    head["steps"].append({**tree, "node": 0, "tau": [[1, len(arrays) - 2, len(arrays) - 1]]})
    assert one.check(pack(head, arrays)).verified


def test_exact_bounds_are_not_looser_than_float_bounds():
    network, domain = random_network(1, (3, 6, 6, 2)), box(3)
    loose, tight = (Replay(network, domain, numbers).bounds for numbers in (Floats(), Exact()))
    for name in loose:
        assert (tight[name].upper <= loose[name].upper).all()
        assert (tight[name].lower >= loose[name].lower).all()


@pytest.mark.parametrize("numbers", [Floats(), Exact()], ids=["float", "exact"])
@pytest.mark.parametrize("upper", [1 - 1e-6, 1 - 2**-53, 1.0, 1 + 2**-52])
def test_ranges_that_are_symmetric_but_for_roundings_have_one_slope(numbers, upper):
    """Else an arithmetic that rounds otherwise takes other lines, and what a certificate claims is not established."""
    network = random_network(0, (2, 4, 1))
    region, relu = Replay(network, box(2), numbers).region, network.relus[0]
    region.bounds[relu.source] = Interval(np.full((1, 4), -1.0), np.full((1, 4), upper))
    alpha, _, _ = Pull(region).lines(relu, 1)
    assert (alpha == numbers.of(np.ones(1))).all()
    assert (relax(ProvedInterval(np.full((1, 4), -1.0), np.full((1, 4), upper))).alpha == 1).all()


def test_certified_only_trusts_no_solver():
    options = {"split_inputs": 0, "branch_nodes": 0, "tree_time_limit": 0, "trust": "scip"}
    network, domain = random_network(5, (6, 9, 9, 2), 0.5), box(6, 0.6)
    with_words, without = (certified(network, domain, certified_only=only, **options) for only in (False, True))
    assert "solver" in kinds(with_words)
    assert "solver" not in kinds(without)
    assert without.check().solver_trusted == 0
    assert parse_network(without.reduced).relu_count > parse_network(with_words.reduced).relu_count


def test_trees_replace_the_words_of_a_solver():
    options = {"split_inputs": 0, "branch_nodes": 0, "certified_only": True, "trust": "scip"}
    network, domain = random_network(5, (6, 9, 9, 2), 0.5), box(6, 0.6)
    one = certified(network, domain, tree_time_limit=30, **options)
    assert "sign-tree" in kinds(one)
    assert one.check().verified


def test_command_line(tmp_path, capsys):
    out, cert = str(tmp_path / "out.onnx"), str(tmp_path / "out.cert")
    assert run(["reduce", *EXAMPLE, "-o", out, "--certificate", cert, "--json"]) == 0
    capsys.readouterr()
    assert run(["check", *EXAMPLE, out, cert]) == 0
    lines_printed = capsys.readouterr().out.splitlines()
    assert len(lines_printed) == 1
    assert lines_printed[0].startswith("verified eps=")
    assert "(equivalent) solver-trusted units: 0; eps float32=" in lines_printed[0]
    assert lines_printed[0].endswith(" verified")
    other = "specs/properties/digits_patch.vnnlib"
    assert run(["check", EXAMPLE[0], other, out, cert]) == 1
    assert capsys.readouterr().out.startswith("rejected certificate/digest")
    assert run(["check", *EXAMPLE, out, str(tmp_path / "none")]) == 2


def test_both_arithmetics_agree_on_the_example(tmp_path):
    result = eq.reduce(eq.load_problem(*EXAMPLE), certificate=True, certified_only=True)
    out, cert = tmp_path / "out.onnx", tmp_path / "out.cert"
    result.save(out, certificate=cert)
    verdicts = [eq.check(*EXAMPLE, out, cert, arithmetic=arithmetic) for arithmetic in ("float", "exact")]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].verified


def test_exact_arithmetic_refuses_what_would_take_too_long(monkeypatch):
    monkeypatch.setattr("eqverify.checker.numbers._EXACT_WORK", 1000.0)
    verdict = case("boxes").check(arithmetic="exact")
    assert (verdict.verified, verdict.code, verdict.exit_status) == (False, "check/exact-too-large", 4)


def test_an_unknown_arithmetic_is_a_usage_error():
    with pytest.raises(UsageError, match="usage/arithmetic"):
        check_bytes(b"", b"", b"", b"", "decimal")


def test_trees_on_a_network_without_relus_and_of_too_many_nodes(monkeypatch):
    one, other = certified(random_network(1, (2, 2)), box(2)), case("branching")
    head, arrays = one.parts
    count = len(arrays)
    root = [np.array(v, dtype="<i4") for v in ([-1], [0], [0], [-1], [])]
    arrays += [*root, np.zeros(1)]
    keys = dict(zip(("parent", "side", "part", "dimension", "goals", "at"), range(count, count + 6), strict=True))
    head["steps"].append({"kind": "box-tree", **keys})
    assert one.check(pack(head, arrays)).verified
    monkeypatch.setattr("eqverify.checker.replay._TREE_BYTES", 30)
    assert one.check(pack(head, arrays)).code == "certificate/tree"
    assert other.check().code == "certificate/tree"


@pytest.mark.parametrize("numbers", [Floats(), Exact()], ids=["float", "exact"])
def test_a_deviation_that_underflows_is_not_zero(numbers):
    """1e-200 (1e-200 x) is no number of float64 but is not 0."""
    port = Port("x", (1,), "float64", "x")
    nodes = [Affine(f"n{k}", (Term(s, Dense(np.array([[1e-200]]))),), np.zeros(1)) for k, s in ((0, "x"), (1, "n0"))]
    original = Network((port,), tuple(nodes), (Port("y", (1,), "float64", "n1"),))
    nothing = Affine("n1", (Term("x", Dense(np.zeros((1, 1)))),), np.zeros(1))
    reduced = Network((port,), (nothing,), (Port("y", (1,), "float64", "n1"),))
    columns = dict.fromkeys(("kind", "layer", "unit", "other_layer", "other_unit"), 0)
    head = {"map": [], "relations": {**columns, "factor": 1}}
    reader = Reader(pack(head, [np.zeros(0, dtype="<i4"), np.zeros(0)]), original)
    replay = Replay(original, box(1), numbers)
    assert deviations(replay.region.hull(), reduced, reader, [])[0] > 0


@pytest.mark.slow
def test_a_step_that_the_checker_does_not_confirm_is_left_out(tmp_path):
    """Its units are kept, and what is written verifies."""
    one = case("boxes")
    (tmp_path / "n.onnx").write_bytes(one.network)
    (tmp_path / "p.vnnlib").write_bytes(one.query)
    problem = eq.load_problem(tmp_path / "n.onnx", tmp_path / "p.vnnlib")
    facts = eq.prove_stability(problem)
    trees = [proof for proof in facts.proofs if isinstance(proof, SplitProof)]
    assert trees
    truth = stable_sets_exact(problem.network, problem.domain)
    name, ranges = next((k, v) for k, v in truth.layers.items() if any(r.lower < 0 < r.upper for r in v))
    signs = np.array([-1 if r.lower < 0 < r.upper else 0 for r in ranges], dtype=np.int8)
    source = problem.network.by_name[name].sources[0] if name in problem.network.by_name else name
    wrong = replace(trees[0], signs={source: signs})
    result = eq.reduce(problem, facts=replace(facts, proofs=(*facts.proofs, wrong)), certificate=True)
    assert result.certificate is not None
    assert result.certificate.verdict.verified
    assert check_bytes(one.network, one.query, result.data, result.certificate.data).verified
