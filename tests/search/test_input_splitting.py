"""Input splitting against exact enumeration, and on networks where its answer is known."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.api.loading import load_problem
from eqverify.bounds import crown_bounds
from eqverify.budget import Budget
from eqverify.network import Affine, evaluate_exact, evaluate_nodes
from eqverify.search.input_splitting import split_bounds
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade
from eqverify.testing.strategies import any_networks, domains

from ..bounds.bound_checks import assert_hull_encloses, assert_signs_hold, exact_stability
from ..vnncomp import OWN, slow, vnncomp


def everything(network):
    return {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}


def parts_of(domain):
    return [(part.matrix, part.bound) for part in domain.polytopes]


@given(data=st.data())
def test_signs_bounds_and_points_are_right(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size))
    exact = exact_stability(network, domain)
    if exact is None:
        reject()
    found = split_bounds(
        network,
        domain.lower,
        domain.upper,
        undecided=everything(network),
        constraints=parts_of(domain) if data.draw(st.booleans()) else None,
        max_boxes=data.draw(st.sampled_from((1, 7, 60))),
        batch=data.draw(st.sampled_from((1, 5, 64))),
    )
    assert_signs_hold(found.signs, exact, network)
    if all(part.is_box for part in domain.polytopes):
        assert_hull_encloses(found.bounds, exact, network)
        for name, refuted in refuted_pairs(network, found).items():
            assert refuted is None or refuted, name
    assert found.complete == (not any(mask.any() for mask in found.open.values()))
    for relu in network.relus:
        if relu.source in found.open:
            assert not (found.open[relu.source] & (found.signs[relu.source] != 0)).any()


def refuted_pairs(network, found):
    """Units neither proved nor open must be shown to take both signs by the points, exactly."""
    if not len(found.points):
        return {}
    values = [evaluate_exact(network, [Fraction(v) for v in point]) for point in found.points.tolist()]
    return {
        (name, unit): any(v[name][unit] > 0 for v in values) and any(v[name][unit] < 0 for v in values)
        for name, signs in found.signs.items()
        for unit in np.flatnonzero((signs == 0) & ~found.open[name])
    }


HANDMADE = [p if p.name != "union-gap" else slow(p)[0] for p in all_handmade()]


@pytest.mark.parametrize("problem", HANDMADE, ids=lambda problem: problem.name)
def test_hand_solved_problems_are_decided(problem):
    network, domain = problem.network, problem.domain
    found = split_bounds(
        network, domain.lower, domain.upper, undecided=everything(network), constraints=parts_of(domain), max_boxes=2000
    )
    for relu in network.relus:
        if not isinstance(network.by_name.get(relu.source), Affine):
            continue
        for unit, (low, high) in enumerate(problem.ranges[relu.name]):
            sign = found.signs[relu.source][unit]
            assert high >= 0 or sign == -1 or not all(part.is_box for part in domain.polytopes)
            assert sign != -1 or high <= 0
            assert sign != 1 or low >= 0


def hidden_stable_network():
    """z = |x0| + |x1| - 0.25 relu(x0 + x1) + 0.01 >= 0: a sum that no single linear bound proves."""
    first = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1.0]])
    return chain_network(
        [
            (first, np.zeros(5)),
            (np.array([[1.0, 1.0, 1.0, 1.0, -0.25]]), np.array([0.01])),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )


def test_a_unit_that_crown_leaves_open_is_proved():
    network = hidden_stable_network()
    lower, upper = -np.ones((1, 2)), np.ones((1, 2))
    assert crown_bounds(network, lower, upper)["affine1"].lower[0, 0] < 0
    found = split_bounds(network, lower, upper, undecided={"affine1": np.ones(1, dtype=bool)})
    assert found.signs["affine1"][0] == 1
    assert found.bounds["affine1"].lower[0, 0] >= 0
    assert found.complete


def test_equal_box_budgets_give_equal_results():
    network = hidden_stable_network()
    lower, upper = -np.ones((1, 2)), np.ones((1, 2))
    runs = [split_bounds(network, lower, upper, undecided=everything(network), max_boxes=40) for _ in range(2)]
    assert np.array_equal(runs[0].points, runs[1].points)
    for attribute in ("parent", "side", "part", "dimension", "at"):
        assert np.array_equal(getattr(runs[0].tree, attribute), getattr(runs[1].tree, attribute))


def test_limits_are_kept_and_leave_goals_open():
    network = hidden_stable_network()
    lower, upper = -np.ones((1, 2)), np.ones((1, 2))
    for limits in ({"max_boxes": 0}, {"budget": Budget(0.0)}):
        found = split_bounds(network, lower, upper, undecided=everything(network), **limits)
        assert not found.complete
        assert all(mask.all() for mask in found.open.values())
    few = split_bounds(network, lower, upper, undecided=everything(network), max_boxes=3)
    assert len(few.tree.part) <= 3


def test_witnessed_signs_are_not_tried():
    network = hidden_stable_network()
    mask = {"affine1": np.ones(1, dtype=bool)}
    found = split_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), undecided=mask, above=mask, below=mask)
    assert found.complete
    assert found.signs["affine1"][0] == 0
    assert not len(found.tree.part)


def test_the_tree_covers_the_box():
    network = hidden_stable_network()
    tree = split_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), undecided={"affine1": np.ones(1, dtype=bool)}).tree
    inner = np.flatnonzero(tree.dimension >= 0)
    for box in inner:
        assert sorted(tree.side[tree.parent == box]) == [0, 1]
    assert (tree.parent < np.arange(len(tree.parent))).all()


def test_linear_constraints_drop_what_lies_outside():
    """x0 >= 0 everywhere but for the constraint x0 <= -0.5: proved only because boxes outside are dropped."""
    network = chain_network([(np.array([[1.0, 0.0]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    constraints = [(np.array([[1.0, 0.0]]), np.array([-0.5]))]
    mask = {"affine0": np.ones(1, dtype=bool)}
    found = split_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), undecided=mask, constraints=constraints)
    assert found.signs["affine0"][0] == -1
    assert split_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), undecided=mask).signs["affine0"][0] == 0


def files(name):
    if name in OWN:
        return OWN[name].model, OWN[name].properties[0]
    root = vnncomp("acasxu")
    return root / "onnx" / "ACASXU_run2a_1_1_batch_2000.onnx", root / "vnnlib" / f"{name}.vnnlib.gz"


@pytest.mark.parametrize("name", ["policy", *slow("prop_3", "prop_4")])
def test_a_controller_is_decided_completely(name):
    problem = load_problem(*files(name))
    network, domain = problem.network, problem.domain
    known = crown_bounds(network, domain.lower, domain.upper)
    undecided = {r.source: (known[r.source].lower[0] < 0) & (known[r.source].upper[0] > 0) for r in network.relus}
    found = split_bounds(network, domain.lower, domain.upper, known, undecided=undecided, max_boxes=20_000)
    assert found.complete
    points = np.random.default_rng(0).uniform(domain.lower[0], domain.upper[0], size=(20_000, network.input_size))
    values = evaluate_nodes(network, points)
    for name, signs in found.signs.items():
        assert (values[name][:, signs < 0] <= 1e-9).all()
        assert (values[name][:, signs > 0] >= -1e-9).all()
