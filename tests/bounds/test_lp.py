"""LP bounds: sound whatever the solver says, tight where it speaks the truth."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.bounds.duality import Multipliers
from eqverify.bounds.lp import HighsHints, LpLayer, lp_of
from eqverify.domain import Assumption
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate_exact
from eqverify.relaxation.blocks import UnitBlock
from eqverify.relaxation.model import restricted_model
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, domains

from .bound_checks import at_most, exact_stability


class Liar:
    """Answers with whatever numbers hypothesis likes."""

    def __init__(self, data):
        self.data = data

    def load(self, model):
        self.model = model

    def maximise(self, row, seconds):
        numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from((0.0, 1.0, -1.0, 0.5, 1e-12, 1e9))
        draw = lambda size: np.array([self.data.draw(numbers) for _ in range(size)])  # noqa: E731
        if self.data.draw(st.integers(0, 9)) == 0:
            return None
        multipliers = Multipliers(draw(self.model.units), draw(self.model.units), draw(self.model.bound.size))
        return multipliers, draw(self.model.width)


def lp_for_node(network, part, node, hints):
    box = part.box
    bounds = crown_bounds(network, box.lower[None], box.upper[None])
    kept, active = {}, {}
    for relu in network.relus:
        z = bounds[relu.source]
        kept[relu.name] = (z.lower[0] < 0) & (z.upper[0] > 0)
        active[relu.name] = (z.lower[0] >= 0) & (z.upper[0] > 0)
    on_inputs = Assumption(np.zeros((part.bound.size, network.output_size)), part.matrix, part.bound)
    model = restricted_model(network, kept, active, (box.lower, box.upper), bounds, node)
    return lp_of(model, assumed=on_inputs, hints=hints), model.values[node]


@pytest.mark.parametrize("truthful", [True, False])
@given(data=st.data())
def test_bounds_enclose_the_exact_range(truthful, data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=1))
    exact = exact_stability(network, domain)
    if exact is None or not network.relus:
        reject()
    relu = data.draw(st.sampled_from(network.relus))
    if relu.source not in network.by_name:
        reject()
    part = domain.polytopes[0]
    layer, z = lp_for_node(network, part, relu.source, HighsHints() if truthful else Liar(data))
    for unit, found in enumerate(exact.layers[relu.name]):
        error = Fraction(float(z.error[unit]))
        upper, lower = layer.bound(z.rows[unit]), layer.bound(z.rows[unit], -1)
        assert at_most(lower.value, found.lower + error)
        assert at_most(-upper.value, -found.upper + error)
        for answer in (upper, lower):
            if answer.point is not None:
                assert ((answer.point >= part.box.lower) & (answer.point <= part.box.upper)).all()


def test_the_lp_is_exact_where_the_relaxation_is():
    """max relu(x0 - x1) + relu(x1 - x0) over the unit square is 1; interval arithmetic says 2."""
    network = chain_network(
        [
            (np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2)),
            (np.array([[1.0, 1.0]]), np.zeros(1)),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )
    problem = domain_of(np.zeros(2), np.ones(2))
    layer, z = lp_for_node(network, problem, "affine1", None)
    answer = layer.bound(z.rows[0])
    assert answer.value == pytest.approx(1.0, abs=1e-6)
    assert layer.model.maximum(z.rows[0], layer.model.none()) >= 2.0
    value = evaluate_exact(network, [Fraction(v) for v in answer.point.tolist()])["affine1"][0]
    assert value <= answer.value


def test_a_relu_that_reads_a_relu():
    """Found by fuzzing: the target h0 is a ReLU itself, and its units are columns, not zeros."""
    network = Network(
        (Port("X", (1,), "float64", "X"),),
        (Relu("h0", "X"), Relu("h1", "h0"), Affine("y", (Term("h1", Dense(np.eye(1))),), np.zeros(1))),
        (Port("Y", (1,), "float64", "y"),),
    )
    layer, z = lp_for_node(network, domain_of(-np.ones(1), np.ones(1)), "h0", None)
    assert layer.bound(z.rows[0]).value >= 1.0


def test_nothing_is_printed(capfd):
    LpLayer(np.zeros(1), np.ones(1)).bound(np.ones(1))
    assert capfd.readouterr() == ("", "")


def test_linear_input_constraints_count():
    layer = LpLayer(np.zeros(2), np.ones(2), np.array([[1.0, 1.0]]), np.array([0.5]))
    answer = layer.bound(np.array([1.0, 1.0, 0.25]))
    assert 0.75 <= answer.value <= 0.75 + 1e-9
    assert layer.bound(np.array([1.0, 1.0, 0.25]), -1).value == pytest.approx(0.25, abs=1e-9)


def test_tiny_coefficients_are_not_lost():
    layer = LpLayer(np.zeros(1), np.full(1, 1e6))
    assert layer.bound(np.array([1e-10])).value >= 1e-4


def test_infinite_ranges_give_infinite_bounds():
    layer = LpLayer(np.zeros(1), np.ones(1))
    layer.add_units(UnitBlock(np.array([[1.0, 0.0]]), np.zeros(1), np.full(1, -np.inf), np.full(1, np.inf)))
    assert np.isposinf(layer.bound(np.array([0.0, 0.0, 1.0])).value)


def domain_of(lower, upper):
    from eqverify.domain import Box, Polytope

    return Polytope(Box(lower, upper))
