"""Every true point of a network is in every program that is assembled about it, whatever rounding did to the rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.approximate import questions
from eqverify.bounds import Interval, crown_bounds
from eqverify.bounds.lp import lp_of
from eqverify.budget import Budget
from eqverify.deciding.question import Question
from eqverify.deciding.scip_backend import ask_solver
from eqverify.domain import Assumption, Box, Polytope
from eqverify.equivalence import product_milp
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.joint import make_joint
from eqverify.equivalence.product_milp import ProductMilp
from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.isa import IsaSolver
from eqverify.milp.leo import LeoSolver
from eqverify.milp.regions import RegionSolver
from eqverify.milp.scip import ScipSolver
from eqverify.network import evaluate_exact, outputs_exact
from eqverify.relaxation.model import open_model, restricted_model
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, boxes

from ..vnncomp import slow

SEEDS = range(12)


def exact(numbers):
    return [Fraction(v) for v in np.asarray(numbers, dtype=float).tolist()]


def dot(row, columns):
    return sum((a * b for a, b in zip(exact(row), columns, strict=False)), Fraction(0))


def random_network(seed, widths=(4, 3), inputs=2, outputs=2, moved=0.0):
    """Numbers with long fractions, so that every product is rounded; `moved` by about so much."""
    random, other = np.random.default_rng(seed), np.random.default_rng(seed + 1000)
    sizes = [inputs, *widths, outputs]
    layers = [(random.normal(size=(n, m)), 0.3 * random.normal(size=n)) for m, n in pairwise(sizes)]
    layers = [(weight + moved * other.normal(size=weight.shape), bias) for weight, bias in layers]
    return chain_network(layers, "float64")


def points_of(box, seed, count=4):
    share = np.random.default_rng(seed).random((count, box.size))
    share[0] = np.round(share[0])
    return np.clip(box.lower + share * (box.upper - box.lower), box.lower, box.upper)


def model_of(network, box, **more):
    bounds = crown_bounds(network, box.lower[None], box.upper[None], outputs=True)
    return open_model(network, (box.lower, box.upper), bounds, **more)


def true_columns(model, x, values):
    kept = [max(values[r.source][k], Fraction(0)) for r in model.network.relus for k in model.units(r).tolist()]
    return [*exact(x), Fraction(1), *kept]


@dataclass
class Recorder:
    """A solver that answers nothing and keeps what it is given."""

    polytope: Polytope
    seed: int = 0
    description: str = "recorder"
    blocks: list = field(default_factory=list)
    constraints: list = field(default_factory=list)

    def add_units(self, block):
        self.blocks.append(block)

    def add_constraints(self, rows, bound):
        self.constraints += list(zip(rows, bound.tolist(), strict=True))

    def exceeds(self, row, threshold, time_limit):
        self.constraints.append((-row, -threshold))
        return Answer(Verdict.UNKNOWN)

    def holds(self, x, z):
        """Whether an input with the kept units' exact pre-activations is in the model."""
        columns, rest = [*exact(x), Fraction(1)], list(z)
        for block in self.blocks:
            assert block.rows.shape == (block.error.size, len(columns))
            found = []
            for row, error, lower, upper in zip(block.rows, block.error, block.lower, block.upper, strict=True):
                value = rest.pop(0)
                if not (abs(dot(row, columns) - value) <= Fraction(error) and lower <= value <= upper):
                    return False
                found.append(max(value, Fraction(0)))
            columns += found
        assert not rest
        return all(dot(row, columns) <= Fraction(bound) for row, bound in self.constraints)


@given(st.data())
def test_rows_are_the_network_up_to_their_errors(data):
    network = data.draw(any_networks())
    box = data.draw(boxes(network.input_size))
    stop = data.draw(st.sampled_from([None, *(node.name for node in network.nodes)]))
    model = model_of(network, box, stop=stop)
    recorder = Recorder(Polytope(box))
    for block in model.blocks():
        recorder.add_units(block)
    for x in points_of(box, data.draw(st.integers(0, 9))):
        values = evaluate_exact(network, exact(x))
        columns = true_columns(model, x, values)
        assert model.basis.width == len(columns)
        for name, z in model.values.items():
            for row, error, value in zip(z.rows, z.error, values[name], strict=True):
                assert abs(dot(row, columns) - value) <= Fraction(float(error))
        relus = [r for r in network.relus if r.source in model.values]
        assert recorder.holds(x, [values[r.source][k] for r in relus for k in model.units(r).tolist()])


def test_a_unit_that_is_kept_though_it_is_active_is_a_column():
    network, box = random_network(0), Box(-np.ones(2), np.ones(2))
    every = {r.name: np.ones(network.sizes[r.name], dtype=bool) for r in network.relus}
    bounds = crown_bounds(network, box.lower[None], box.upper[None])
    model = restricted_model(network, every, every, (box.lower, box.upper), bounds)
    assert model.basis.width == 2 + 1 + network.relu_count
    assert not any(active.any() for active in model.active.values())


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_programs_contain_every_true_point(seed):
    network, box = random_network(seed), Box(-np.ones(2), np.ones(2))
    random = np.random.default_rng(seed)
    for x in points_of(box, seed):
        values = evaluate_exact(network, exact(x))
        model, rows = model_of(network, box), random.normal(size=(3, 4))
        reached = [dot(row, [*outputs_exact(network, exact(x)), *exact(x)]) for row in rows]
        bound = np.array([np.nextafter(float(v), np.inf) for v in reached])
        signs = {r.name: np.array([1 if v > 0 else -1 for v in values[r.source]]) for r in network.relus}
        layer = lp_of(model, assumed=Assumption(rows[:, :2], rows[:, 2:], bound), signs=signs).model
        columns = true_columns(model, x, values)
        assert all(Fraction(a) <= v <= Fraction(b) for a, v, b in zip(layer.lower, columns, layer.upper, strict=True))
        assert all(dot(row, columns) <= Fraction(b) for row, b in zip(layer.matrix, layer.bound, strict=True))
        for k, row in enumerate(layer.rows):
            h, z, error = columns[layer.first + k], dot(row, columns), Fraction(layer.error[k])
            lam, offset = Fraction(layer.lam[k]), Fraction(layer.offset[k])
            assert z - error <= h <= lam * (z + error) + offset


def satisfied(network, x):
    """The network with outputs that are not positive at x."""
    last = network.nodes[-1]
    shift = [np.nextafter(float(v), np.inf) for v in outputs_exact(network, exact(x))]
    nodes = (*network.nodes[:-1], type(last)(last.name, last.terms, last.bias - 2.0 * np.abs(shift)))
    return type(network)(network.inputs, nodes, network.outputs)


@pytest.mark.parametrize("seed", SEEDS)
def test_questions_of_verify_contain_every_true_point(seed):
    box = Box(-np.ones(2), np.ones(2))
    for x in points_of(box, seed):
        network = satisfied(random_network(seed), x)
        bounds = crown_bounds(network, box.lower[None], box.upper[None], outputs=True)
        recorders = []

        def make(polytope, recorders=recorders):
            recorders.append(Recorder(polytope))
            return recorders[-1]

        asked = Question(network, box, "float64")
        ask_solver(asked, bounds, make, 1.0)
        values, model = evaluate_exact(network, exact(x)), model_of(network, box)
        assert recorders[0].holds(x, [values[r.source][k] for r in network.relus for k in model.units(r).tolist()])
        assert ask_solver(asked, bounds, ScipSolver, 10.0)[0].verdict is Verdict.CANDIDATE


@pytest.mark.parametrize("differences", [False, True])
@pytest.mark.parametrize("seed", [*SEEDS[:3], *slow(*SEEDS[3:])])
def test_product_models_contain_every_true_point(seed, differences, monkeypatch):
    f, part = random_network(seed), Polytope(Box(-np.ones(2), np.ones(2)))
    g = random_network(seed, (4, 3), moved=0.02) if seed % 3 else random_network(seed + 500, (3,))
    goals = epsilon_goals(f.input_size, f.output_size, 0.0)
    bounds = tuple(crown_bounds(n, part.box.lower[None], part.box.upper[None]) for n in (f, g))
    joint = make_joint((f, g), bounds, goals)
    assert (joint.paired >= 0).any() or not seed % 3
    honest = ProductMilp(joint, goals, part, differences=differences)
    for x in points_of(part.box, seed):
        z = []
        for network, rows in ((f, joint.f), (g, joint.g)):
            values = evaluate_exact(network, exact(x))
            z += [values[network.relus[layer].source][unit] for layer, unit in rows.origin.tolist()]
        one, other = outputs_exact(f, exact(x)), outputs_exact(g, exact(x))
        for disjunct in range(len(goals)):
            sign = 1 if disjunct % 2 == 0 else -1
            if sign * (one[disjunct // 2] - other[disjunct // 2]) <= 0:
                continue
            with monkeypatch.context() as patch:
                patch.setattr(product_milp, "ScipSolver", Recorder)
                milp = ProductMilp(joint, goals, part, differences=differences)
                milp.ask(disjunct, 1.0)
            assert milp._solver.holds(x, z)
            assert honest.ask(disjunct, 10.0).verdict is not Verdict.NEVER


def pattern_at(model, values):
    return np.array([values[r.source][k] > 0 for r in model.network.relus for k in model.units(r).tolist()], dtype=bool)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_model_of_regions_shows_the_region_of_every_true_point(seed):
    network, box = random_network(seed), Box(-np.ones(2), np.ones(2))
    for x in 0.99 * points_of(box, seed):
        around = Polytope(box, np.concatenate([np.eye(2), -np.eye(2)]), np.concatenate([x, -x]))
        solver, unstable, _ = questions._model(network, around, seed)
        found, model = solver.search(10.0), model_of(network, box)
        pattern = pattern_at(model, evaluate_exact(network, exact(x)))
        assert unstable.sum() == pattern.size
        assert found.pattern is not None
        assert found.pattern.tolist() == pattern.tolist()


@pytest.mark.parametrize("solver", [ScipSolver, LeoSolver])
@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_true_point_shows_is_not_excluded(seed, solver):
    """Unit by unit, and all units of a layer at once, on a part of the domain that has linear constraints."""
    network, box = random_network(seed), Box(-np.ones(2), np.ones(2))
    x = points_of(box, seed)[-1]
    part = Polytope(box, np.array([[1.0, 1.0], [-1.0, 1.0]]), np.array([[1.0, 1.0], [-1.0, 1.0]]) @ x)
    model, values = model_of(network, box), evaluate_exact(network, exact(x))
    asked, joint = solver(part), IsaSolver(part)
    for relu in network.relus:
        block, z, units = model.block(relu), model.values[relu.source], model.units(relu)
        for unit in units.tolist():
            sign = 1 if values[relu.source][unit] > 0 else -1
            row = sign * z.rows[unit, : model.width(relu)]
            assert asked.exceeds(row, -float(z.error[unit]), 10.0).verdict is not Verdict.NEVER
        asked.add_units(block)
        joint.add_units(block)
        none = np.zeros(units.size, dtype=bool)
        answer = joint.settle(lambda point, claimed, none=none: (none, none), (none, none), Budget(10.0))
        shown = np.array([values[relu.source][k] > 0 for k in units.tolist()], dtype=bool)
        assert not (answer.never_above & shown).any()
        assert not (answer.never_below & ~shown).any()


def apart(outputs=1):
    """1e7 (relu(x) - relu(x)) + x / 2: a range of 1 from outputs that may be off by a tolerance each."""
    first = np.array([[1.0], [1.0]]), np.zeros(2)
    second = np.array([[1e7, -1e7]]), np.array([0.25])
    network = chain_network([first, second, (np.ones((outputs, 1)), -np.ones(outputs))], "float64")
    box = Box(-np.ones(1), np.ones(1))
    bounds = dict(crown_bounds(network, box.lower[None], box.upper[None], outputs=True))
    bounds["affine1"] = Interval(np.full((1, 1), -1.0), np.full((1, 1), 1.0))
    return network, box, bounds


APART = "numbers too far apart for the solver's tolerances"


def test_no_model_whose_numbers_are_too_far_apart_is_asked(monkeypatch):
    """The range of a unit is small beside the weights before it: no tolerance can hold, and nobody is told `never`."""
    network, box, bounds = apart()
    part, model = Polytope(box), open_model(network, (box.lower, box.upper), bounds)
    asked = Question(network, box, "float64")
    answer, _, _ = ask_solver(asked, bounds, ScipSolver, 5.0)
    assert (answer.verdict, answer.reason) == (Verdict.UNKNOWN, APART)
    monkeypatch.setattr(questions, "crown_bounds", lambda *_: bounds)
    solver, _, _ = questions._model(network, part, 0)
    assert isinstance(solver, RegionSolver)
    assert solver.search(5.0).reason == APART
    goals = epsilon_goals(1, 1, 1.0)
    milp = ProductMilp(make_joint((network, network), (bounds, bounds), goals), goals, part, differences=False)
    assert {milp.ask(k, 5.0).reason for k in range(2)} == {APART}
    joint = IsaSolver(part)
    for block in model.blocks():
        joint.add_units(block)
    answer = joint.settle(lambda point, claimed: claimed, (np.zeros(3, dtype=bool),) * 2, Budget(5.0))
    assert answer.reason == APART
    assert not (answer.never_above | answer.never_below).any()
    for kind in (ScipSolver, LeoSolver):
        one = kind(part)
        for block in model.blocks():
            one.add_units(block)
        assert one.exceeds(np.eye(5)[4], 0.5, 5.0).reason == APART


def test_a_row_that_cannot_be_asked_about_silences_no_other():
    solver = ScipSolver(Polytope(Box(-np.ones(2), np.ones(2))))
    assert solver.exceeds(np.array([1.0, np.nan, 0.0]), 0.5, 5.0).verdict is Verdict.UNKNOWN
    assert solver.exceeds(np.array([1.0, 1.0, 0.0]), np.inf, 5.0).verdict is Verdict.UNKNOWN
    assert solver.exceeds(np.array([1.0, 1.0, 0.0]), 0.5, 5.0).verdict is Verdict.CANDIDATE


def test_constraints_are_loosened_for_variables_that_come_later():
    solver = ScipSolver(Polytope(Box(-np.ones(2), np.ones(2)), np.array([[1.0, 1.0]]), np.array([0.5])))
    loose = []
    network = random_network(1)
    for block in model_of(network, Box(-np.ones(2), np.ones(2))).blocks():
        solver.add_units(block)
        assert solver.exceeds(np.array([1.0, 0.0, 0.0]), 0.25, 5.0).verdict is Verdict.CANDIDATE
        solver._model.freeTransform()
        ((constraint, right),) = solver._loosened
        loose.append(solver._model.getRhs(constraint) - right)
    assert 0 < loose[0] < loose[1] < 1e-6
