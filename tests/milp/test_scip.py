"""SCIP's questions against brute force, and its statuses."""

import itertools

import numpy as np
import pytest

from eqverify.domain import Box, Polytope
from eqverify.milp.encoding import Verdict
from eqverify.milp.scip import ScipSolver
from eqverify.relaxation.blocks import UnitBlock


def unit_square(matrix=None, bound=None):
    box = Box(-np.ones(2), np.ones(2))
    return Polytope(box) if matrix is None else Polytope(box, np.array(matrix), np.array(bound))


def block(rows, lower, upper):
    rows = np.array(rows, dtype=float)
    return UnitBlock(rows, np.zeros(len(rows)), np.array(lower, dtype=float), np.array(upper, dtype=float))


def test_a_linear_row_is_bounded_by_the_box():
    solver = ScipSolver(unit_square())
    row = np.array([1.0, 1.0, 0.0])
    assert solver.exceeds(row, 2.001, 10).verdict is Verdict.NEVER
    answer = solver.exceeds(row, 1.9, 10)
    assert answer.verdict is Verdict.CANDIDATE
    assert answer.point @ row[:2] > 1.8


def test_linear_constraints_cut_the_box():
    solver = ScipSolver(unit_square([[1.0, 1.0]], [0.5]))
    assert solver.exceeds(np.array([1.0, 1.0, 0.0]), 0.501, 10).verdict is Verdict.NEVER


def test_a_relu_is_encoded_exactly():
    # h = max(0, x0 + x1); x0 + x1 - 2 h is at most 0, and h at most 2.
    solver = ScipSolver(unit_square())
    solver.add_units(block([[1.0, 1.0, 0.0]], [-2.0], [2.0]))
    assert solver.exceeds(np.array([1.0, 1.0, 0.0, -2.0]), 0.001, 10).verdict is Verdict.NEVER
    assert solver.exceeds(np.array([0.0, 0.0, 0.0, 1.0]), 2.001, 10).verdict is Verdict.NEVER
    assert solver.exceeds(np.array([0.0, 0.0, 0.0, 1.0]), 1.9, 10).verdict is Verdict.CANDIDATE
    # The relaxation alone would allow h - x0 - x1 up to 2 with x0 + x1 = 2; the integer model does not.
    assert solver.exceeds(np.array([1.0, 1.0, 0.0, 1.0]), 4.001, 10).verdict is Verdict.NEVER


def test_questions_agree_with_a_fine_grid_on_random_two_layer_networks():
    random = np.random.default_rng(0)
    grid = np.array(list(itertools.product(np.linspace(-1, 1, 81), repeat=2)))
    for _ in range(20):
        weight, bias, row = random.normal(size=(4, 2)), random.normal(size=4) * 0.3, random.normal(size=4)
        reach = np.abs(weight).sum(axis=1)
        solver = ScipSolver(unit_square())
        solver.add_units(block(np.hstack([weight, bias[:, None]]), bias - reach, bias + reach))
        best = (np.maximum(grid @ weight.T + bias, 0) @ row).max()
        question = np.concatenate([np.zeros(3), row])
        assert solver.exceeds(question, best - 1e-3, 10).verdict is Verdict.CANDIDATE
        slack = np.abs(row) @ np.abs(weight).sum(axis=1) * 0.025  # the grid's spacing
        assert solver.exceeds(question, best + slack + 1e-3, 10).verdict is Verdict.NEVER


def test_a_maximum_at_the_threshold_is_not_called_never():
    solver = ScipSolver(unit_square())
    assert solver.exceeds(np.array([1.0, 0.0, 0.0]), 1.0, 10).verdict is not Verdict.NEVER


@pytest.mark.parametrize(
    "status", ["timelimit", "nodelimit", "userinterrupt", "inforunbd", "unbounded", "memlimit", "gaplimit", "unknown"]
)
def test_any_other_status_is_unknown(status):
    solver = ScipSolver(unit_square())
    model = solver._model

    class Lying:
        """The model, with another word for its status."""

        def __getattr__(self, name):
            return getattr(model, name)

        def getStatus(self):
            return status

    solver._model = Lying()
    answer = solver.exceeds(np.array([1.0, 1.0, 0.0]), 5.0, 10)
    assert answer.verdict is Verdict.UNKNOWN
    assert answer.reason == status


def test_optimal_without_a_solution_is_unknown():
    solver = ScipSolver(unit_square())
    model = solver._model

    class Lying:
        def __getattr__(self, name):
            return getattr(model, name)

        def getStatus(self):
            return "optimal"

        def getNSols(self):
            return 0

    solver._model = Lying()
    assert solver.exceeds(np.array([1.0, 1.0, 0.0]), 5.0, 10).verdict is Verdict.UNKNOWN


def test_a_failing_solver_is_unknown():
    solver = ScipSolver(unit_square())
    model = solver._model

    class Failing:
        def __getattr__(self, name):
            return getattr(model, name)

        def optimize(self):
            raise RuntimeError("SCIP: error in LP solver!")

    solver._model = Failing()
    answer = solver.exceeds(np.array([1.0, 1.0, 0.0]), 5.0, 10)
    assert answer.verdict is Verdict.UNKNOWN
    assert "LP solver" in answer.reason


@pytest.mark.parametrize(
    ("row", "lower", "upper"),
    [
        ([1e300, 1.0, 0.0], -1e300, 1e300),
        ([1.0, np.nan, 0.0], -1.0, 1.0),
        ([1.0, np.inf, 0.0], -np.inf, np.inf),
        ([1.0, 1.0, 0.0], 1e12, 1e13),
    ],
)
def test_numbers_beyond_the_tolerances_make_a_model_that_answers_nothing(row, lower, upper):
    solver = ScipSolver(unit_square())
    solver.add_units(block([row], [lower], [upper]))
    solver.add_units(block([[1.0, 1.0, 0.0, 1.0]], [-1.0], [1.0]))
    assert solver.exceeds(np.array([1.0, 0.0, 0.0]), 5.0, 10).verdict is Verdict.UNKNOWN


def test_inputs_whose_range_is_no_number_too():
    solver = ScipSolver(Polytope(Box(np.full(2, -1e308), np.full(2, 1e308))))
    assert solver.exceeds(np.array([1.0, 0.0, 0.0]), 5.0, 10).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("size", [1e-300, 1e-30, 1e-9, 1e9, 1e30, 1e300])
def test_tolerances_are_relative_to_the_ranges(size):
    """x0 + x1 - 2 max(0, x0 + x1) is at most 0 and reaches it, whatever the inputs are measured in."""
    solver = ScipSolver(Polytope(Box(np.full(2, -size), np.full(2, size))))
    solver.add_units(block([[1.0, 1.0, 0.0]], [-2.0 * size], [2.0 * size]))
    row = np.array([1.0, 1.0, 0.0, -2.0])
    assert solver.exceeds(row, 0.001 * size, 10).verdict is Verdict.NEVER
    assert solver.exceeds(row, -0.001 * size, 10).verdict is Verdict.CANDIDATE


@pytest.mark.parametrize("seed", range(8))
def test_units_of_tiny_ranges_behind_large_weights(seed):
    """What answered `infeasible` at half the true maximum before variables were measured by their ranges."""
    random = np.random.default_rng(seed)
    grid = np.array(list(itertools.product(np.linspace(-1, 1, 41), repeat=2)))
    inner = 10.0 ** random.uniform(-10, -8)
    weight, bias = inner * random.normal(size=(6, 2)), inner * random.normal(size=6)
    row = random.normal(size=6) * 10.0 ** random.uniform(8, 9, size=6)
    reach = np.abs(weight).sum(axis=1)
    solver = ScipSolver(unit_square())
    solver.add_units(block(np.hstack([weight, bias[:, None]]), bias - reach, bias + reach))
    values = np.maximum(grid @ weight.T + bias, 0) @ row
    question, best = np.concatenate([np.zeros(3), row]), values.max()
    for share in (0.5, 0.9, 0.999):
        threshold = values.min() + share * (best - values.min())
        assert solver.exceeds(question, threshold, 10).verdict is Verdict.CANDIDATE


def test_a_needle_whose_weight_makes_the_tolerance_count_is_not_asked_about():
    """z lies in [-1000, 1e-5], and 1e6 times its output decides: no solver's tolerance is that small."""
    solver = ScipSolver(unit_square())
    solver.add_units(block([[500.0, 499.99999, -0.000005]], [-1000.0], [1e-5]))
    solver.add_units(block([[0.0, 0.0, -5.0, 1e6]], [-5.0], [5.0]))
    answer = solver.exceeds(np.array([0.0, 0.0, 0.0, 0.0, 1.0]), 4.0, 10)
    assert answer.verdict is Verdict.UNKNOWN
    assert "far apart" in answer.reason


def test_the_tree_of_a_claim_is_told():
    random = np.random.default_rng(0)
    box = Box(-np.ones(4), np.ones(4))
    first, second = random.normal(size=(10, 4)), random.normal(size=(10, 10))
    solver = ScipSolver(Polytope(box))
    reach = np.abs(first).sum(axis=1)
    solver.add_units(block(np.hstack([first, np.zeros((10, 1))]), -reach, reach))
    high, low = np.maximum(second, 0) @ reach, np.minimum(second, 0) @ reach
    solver.add_units(block(np.hstack([np.zeros((10, 5)), second]), low, high))
    row = np.concatenate([np.zeros(15), random.normal(size=10)])
    points = random.uniform(-1, 1, size=(100_000, 4))
    best = (np.maximum(np.maximum(points @ first.T, 0) @ second.T, 0) @ row[15:]).max()
    answer = solver.exceeds(row, 1.3 * best, 60)
    assert answer.verdict is Verdict.NEVER
    tree = answer.tree
    assert tree.parent.size > 3
    assert tree.parent[0] == -1
    for place, above in enumerate(tree.parent.tolist()[1:], start=1):
        assert 0 <= above < place
        assert tree.unit[above] in range(20)
        assert tree.side[place] in (-1, 1)
    siblings = {(int(above), int(side)) for above, side in zip(tree.parent, tree.side, strict=True)}
    assert len(siblings) == tree.parent.size


@pytest.mark.parametrize(("row", "lower", "upper"), [([1.0, 0.0, 2.0], 1.0, 3.0), ([1.0, 0.0, -2.0], -3.0, -1.0)])
def test_a_kept_unit_that_is_stable_on_this_polytope_does_not_make_the_model_infeasible(row, lower, upper):
    solver = ScipSolver(unit_square())
    solver.add_units(block([row], [lower], [upper]))
    assert solver.exceeds(np.array([1.0, 0.0, 0.0, 0.0]), 0.5, 10).verdict is Verdict.CANDIDATE
    top = max(upper, 0.0)
    assert solver.exceeds(np.array([0.0, 0.0, 0.0, 1.0]), top + 0.01, 10).verdict is Verdict.NEVER


def test_coefficients_below_the_solvers_epsilon_are_not_lost():
    # 1e-10 x0 over [-1, 1], scaled up by a row that reads it a thousand times: SCIP alone would take it for zero.
    solver = ScipSolver(unit_square())
    row = np.array([1e-10, 0.0, 0.0])
    assert solver.exceeds(row, 0.5e-10, 10).verdict is not Verdict.NEVER
