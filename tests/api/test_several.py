"""Reductions that come in several files, and those on a ball."""

import itertools
import json
from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify as eq
from eqverify.domain import Box, Case, Domain, HalfSpace, Polytope
from eqverify.errors import InputError, UsageError
from eqverify.network import evaluate, outputs_exact
from eqverify.problem import box_problem, domain_problem
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade


def network(seed=3, sizes=(2, 8, 6, 2)):
    random = np.random.default_rng(seed)
    pairs = itertools.pairwise(sizes)
    return chain_network([(random.normal(size=(b, a)).round(2), random.normal(size=b).round(2)) for a, b in pairs])


def with_condition(problem, unsafe):
    cases = tuple(Case(case.polytope, unsafe) for case in problem.cases)
    return replace(problem, specification=replace(problem.specification, cases=cases))


def above(output, bound):
    return HalfSpace({}, {output: Fraction(-1)}, Fraction(-bound))


def unknown_points():
    return patch.object(CounterexampleSearch, "holds", return_value=False)


def largest(net):
    return evaluate(net, np.random.default_rng(0).uniform(-1, 1, size=(4000, 2))).max(axis=0)


@pytest.mark.slow
def test_disjuncts_become_numbered_files(tmp_path):
    net = network()
    top = largest(net)
    unsafe = ((above(0, float(top[0]) - 0.1),), (above(0, 1000),), (above(1, float(top[1]) - 0.1), above(0, -1000)))
    problem = with_condition(box_problem(net, -np.ones(2), np.ones(2)), unsafe)
    assert eq.reduce_for_property(problem).verdict == "sat"
    with unknown_points():
        result = eq.reduce_for_property(problem, certified_only=True, split_inputs=0)
    assert [d.status for d in result.disjuncts] == ["open", "unsat", "open"]
    assert (result.verdict, result.certified) == ("open", True)
    files = result.save(tmp_path / "out.onnx", property=tmp_path / "out.vnnlib")
    names = [[file.name for file in own] for own in files]
    assert names == [["out-1.onnx", "out-1.vnnlib"], ["out-2.onnx", "out-2.vnnlib"]]
    for own, found in zip(files, result.remaining, strict=True):
        again = eq.load_problem(own[0], own[1])
        assert sum(len(case.unsafe) for case in again.cases) == 1
        assert again.network.relu_count == found.reduction.network.relu_count < net.relu_count
        metadata = {entry.key: entry.value for entry in onnx.load(own[0]).metadata_props}
        assert metadata["eqverify.claim"].startswith("equisatisfiable with signs, not equivalent")
        assert metadata["eqverify.domain"] == found.reduction.problem.domain_digest != problem.domain.digest
        for rows, relaxed in zip(found.rows, again.cases[0].unsafe[0], strict=True):
            assert relaxed.bound >= rows.bound
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert found["claim"] == "equisatisfiable with signs"
    assert found["counts"] == {"unsat": 1, "open": 2, "sat": 0, "skipped": 0}
    assert found["disjuncts"][0]["reduction"]["claim"] == "equisatisfiable with signs"


@pytest.mark.slow
def test_what_satisfies_the_disjunct_is_within_epsilon():
    net = network(5, (2, 16, 8, 1))
    points = np.random.default_rng(1).uniform(-1, 1, size=(20_000, 2))
    values = evaluate(net, points)[:, 0]
    bound = float(np.quantile(values, 0.9))
    problem = with_condition(box_problem(net, -np.ones(2), np.ones(2)), ((above(0, bound),),))
    with unknown_points():
        (found,) = eq.reduce_for_property(problem, certified_only=True, time_limit=8).disjuncts
    reduced = evaluate(found.reduction.network, points)[:, 0]
    inside = values >= bound + 1e-9
    assert found.reduction.network.relu_count < eq.reduce(box_problem(net, -np.ones(2), np.ones(2))).network.relu_count
    assert (np.abs(values - reduced)[inside] <= found.reduction.epsilon + 1e-12).all()
    assert any((sign != 0).any() for sign in found.signs.values())


def test_a_network_for_a_disjunct_is_not_equivalent():
    """The example of S-16: f = 1/2 + x - 2 max(0, x) and y >= 1, where z <= 0 would hold."""
    first, last = np.array([[1.0], [-1.0]]), np.array([[-1.0, -1.0]])  # x = max(0, x) - max(0, -x)
    net = chain_network([(first, np.zeros(2)), (last, np.array([0.5]))])
    problem = with_condition(box_problem(net, -np.ones(1), np.ones(1)), ((above(0, 1),),))
    result = eq.reduce_for_property(problem)
    assert (result.verdict, result.remaining) == ("unsat", ())
    assert result.save("nowhere/out.onnx") == ()


def test_a_counterexample_is_exact():
    net = network()
    problem = with_condition(box_problem(net, -np.ones(2), np.ones(2)), ((above(0, float(largest(net)[0]) - 0.1),),))
    (found,) = eq.reduce_for_property(problem).disjuncts
    x = [Fraction(v) for v in found.counterexample.tolist()]
    assert found.status == "sat"
    assert all(row.holds(x, outputs_exact(net, x)) for row in found.rows)


@pytest.mark.slow
def test_facts_cannot_be_proved_where_a_disjunct_is_assumed():
    problem = with_condition(box_problem(network(), -np.ones(2), np.ones(2)), ((above(0, 0),),))
    with unknown_points():
        (found,) = eq.reduce_for_property(problem, certified_only=True, time_limit=8).disjuncts
    with pytest.raises(UsageError, match="directed/no-facts"):
        eq.prove_stability(found.reduction.problem)
    for judge in ("z3", "equiv"):  # the networks may differ where the disjunct does not hold: that refutes nothing
        with pytest.raises(UsageError, match="reduce/cross-check-directed"):
            eq.reduce(found.reduction.problem, facts=found.reduction.facts, cross_check=judge)


def test_the_file_states_the_deviation_that_was_proved_for_what_was_read_back(tmp_path):
    problem = box_problem(network(), -np.ones(2), np.ones(2))
    reduce = eq.reduce  # all modules are loaded by now, so that only the second proof is another one
    another = patch("eqverify.reduction.pipeline.same_function", lambda *networks: False)
    with another, patch("eqverify.transform.deviation.prove_deviation", lambda *arguments: np.array([0.5, 0.25])):
        result = reduce(problem, engine="crown", shape="residual", max_epsilon=1.0)
    result.save(tmp_path / "out.onnx")
    stated = {entry.key: entry.value for entry in onnx.load(tmp_path / "out.onnx").metadata_props}["eqverify.epsilon"]
    assert json.loads(stated) == result.epsilons.tolist() == [0.5, 0.25]


def test_one_network_per_box(tmp_path):
    (gap,) = [example for example in all_handmade() if example.name == "union-gap"]
    problem = domain_problem(gap.network, gap.domain)
    result = eq.reduce_per_box(problem, time_limit=10)
    whole = eq.reduce(problem)
    assert len(result.reductions) == 2
    assert all(r.network.relu_count <= whole.network.relu_count for r in result.reductions)
    assert sum(r.network.relu_count for r in result.reductions) < 2 * whole.network.relu_count
    files = result.save(tmp_path / "out.onnx")
    listed = json.loads((tmp_path / "out.boxes.json").read_text())
    assert [entry["network"] for entry in listed] == [own[0].name for own in files] == ["out-1.onnx", "out-2.onnx"]
    for entry, own, part in zip(listed, files, problem.domain.polytopes, strict=True):
        assert (entry["lower"], entry["upper"]) == (part.box.lower.tolist(), part.box.upper.tolist())
        x = np.linspace(part.box.lower, part.box.upper, 50)
        gaps = np.abs(evaluate(eq.load_network(own[0]), x) - evaluate(gap.network, x))
        assert gaps.max() <= entry["epsilon"] + 1e-12


def test_the_ball_contains_the_exact_one():
    net = network()

    @given(point=st.lists(st.floats(-10, 10), min_size=2, max_size=2), radius=st.floats(0, 3))
    def check(point, radius):
        box = eq.local_problem(net, radius, np.array(point)).domain.polytopes[0].box
        for low, high, p in zip(box.lower.tolist(), box.upper.tolist(), point, strict=True):
            assert Fraction(low) <= Fraction(p) - Fraction(radius)
            assert Fraction(high) >= Fraction(p) + Fraction(radius)
            assert high - low <= 2 * radius + 1e-14

    check()


def test_a_ball_is_cut_with_the_property(tmp_path):
    problem = with_condition(box_problem(network(), -np.ones(2), np.ones(2)), ((above(0, 0),),))
    cut = eq.local_problem(problem, 0.5, "0.75,0")
    box = cut.domain.polytopes[0].box
    assert (box.lower.tolist(), box.upper.tolist()) == ([0.25, -0.5], [1.0, 0.5])
    assert cut.cases[0].unsafe == problem.cases[0].unsafe
    assert eq.local_problem(problem, 0.5, "property").domain.polytopes[0].box.lower.tolist() == [-0.5, -0.5]
    np.save(tmp_path / "p.npy", np.array([[0.75], [0.0]]))
    (tmp_path / "p.csv").write_text("0.75,\n0\n")
    for name in ("p.npy", "p.csv"):
        assert eq.local_problem(problem, 0.5, tmp_path / name).domain.digest == cut.domain.digest
    assert eq.reduce(cut).network.relu_count <= eq.reduce(problem).network.relu_count


def test_parts_outside_the_ball_are_dropped():
    parts = tuple(Polytope(Box(np.array([a, -1.0]), np.array([a + 1, 1.0]))) for a in (-3.0, 2.0))
    problem = domain_problem(network(), Domain(parts))
    cut = eq.local_problem(problem, 1.0, "2,0")
    assert cut.domain.lower.tolist() == [[2.0, -1.0]]
    with pytest.raises(InputError, match="local/empty"):
        eq.local_problem(problem, 0.1, "0,0")


def test_a_point_near_the_largest_float_has_a_ball():
    (part,) = eq.local_problem(network(), 1.0, "1e308,1.7e308").domain.polytopes
    assert (part.box.lower < [1e308, 1.7e308]).all()
    assert (part.box.upper > [1e308, 1.7e308]).all()


@pytest.mark.parametrize(
    ("radius", "around", "code"),
    [
        (-1.0, "0,0", "local/radius"),
        (float("nan"), "0,0", "local/radius"),
        (1.0, "0", "local/point"),
        (1.0, "0,x", "local/point"),
        (1.0, "0,inf", "local/point"),
        (1.0, "missing.npy", "local/no-file"),
        (1.0, "property", "local/no-property"),
        (1e308, "1e308,1.7e308", "local/radius"),
    ],
)
def test_points_that_are_none(radius, around, code):
    with pytest.raises(UsageError, match=code):
        eq.local_problem(network(), radius, around)
