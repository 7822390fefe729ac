"""Reductions of networks with smooth nodes: eps holds at points, judged by balls, whatever the reduced network is."""

from __future__ import annotations

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify as eq
from eqverify.errors import ContradictionError, InputError
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import parse_network
from eqverify.functions import Sigmoid, Tanh
from eqverify.network import Affine, Dense, Network, Port, Product, Relu, Smooth, Term
from eqverify.problem import box_problem
from eqverify.testing.chains import chain_network
from eqverify.transform.deviation import prove_deviation
from eqverify.transform.parts import plain_part
from eqverify.transform.structured import structured_network
from tests.functions.function_checks import BITS, DERIVATIVES, POSITIVE, ball
from tests.functions.test_functions import intervals, moved
from tests.property.smooth_networks import balls, boxes, points_of, smooth_networks


def shifted(network, amount):
    """The network with all biases off by an amount."""
    nodes = [Affine(n.name, n.terms, n.bias + amount) if isinstance(n, Affine) else n for n in network.nodes]
    return Network(network.inputs, tuple(nodes), network.outputs)


def apart(network, reduced, x):
    """(outputs,) balls of the difference of two networks at a point."""
    return [one - other for one, other in zip(balls(network, x)["y"], balls(reduced, x)["y"], strict=True)]


@pytest.mark.parametrize("amount", [0.0, 1e-6, 1e-2])
@given(data=st.data())
def test_eps_holds_at_points(amount, data):
    network = data.draw(smooth_networks())
    lower, upper = data.draw(boxes(network))
    problem = box_problem(network, lower, upper)
    facts = eq.prove_stability(problem, engine="crown")
    reduced, unit_maps = structured_network(problem, facts)
    assert reduced.relu_count <= network.relu_count
    reduced = shifted(reduced, amount)
    epsilon = prove_deviation(problem, facts, reduced, unit_maps)
    for x in points_of(lower, upper, 6):
        for gap, most in zip(apart(network, reduced, x), epsilon, strict=True):
            assert np.isinf(most) or not abs(gap) > ball(most)


@pytest.mark.parametrize("function", DERIVATIVES, ids=lambda function: function.name)
@given(case=intervals())
def test_no_derivative_is_steeper_than_is_said(function, case):
    lower, upper, points = moved(function, *case)
    with flint.ctx.workprec(BITS):
        most = function.steepest(np.array([lower]), np.array([upper]))[0]
        for point in points:
            if np.isfinite(most) and lower <= point <= upper and (point > 0 or function not in POSITIVE):
                assert not abs(DERIVATIVES[function](ball(point))) > ball(most)
        assert np.isfinite(function.steepest(np.array([1.0]), np.array([2.0]))).all()


def curved(kind):
    """Six ReLUs, two smooth values, four ReLUs, of which all are stable on [0, 1]^2 but one before and one behind."""
    first = np.array([[1.0, 0.5], [-1.0, -0.5], [0.25, 1.0], [-0.5, -1.0], [0.5, 0.5], [1.0, -1.0]])
    last = np.array([[1.0, 1.0], [0.5, 1.0], [-1.0, -1.0], [1.0, -1.0]])
    smooth = Product("s", "b", "d") if kind == "product" else Smooth("s", "b", kind)
    nodes = (
        Affine("a", (Term("x", Dense(first)),), np.array([0.25, -0.25, 0.5, -0.125, 0.0625, 0.0])),
        Relu("r", "a"),
        Affine("b", (Term("r", Dense(np.array([[1.0, 1, 1, 1, 1, 1], [0.5, 1, -1, 1, 1, -1]]))),), np.zeros(2)),
        Affine("d", (Term("b", Dense(np.array([[0.0, 1.0], [1.0, 0.0]]))),), np.zeros(2)),
        smooth,
        Affine("c", (Term("s", Dense(last)),), np.array([0.5, 1.5, -0.5, 0.0])),
        Relu("t", "c"),
        Affine("y", (Term("t", Dense(np.array([[1.0, -1.0, 1.0, 0.5]]))),), np.zeros(1)),
    )
    return Network((Port("x", (1, 2), "float32", "x"),), nodes, (Port("y", (1, 1), "float32", "y"),))


@pytest.mark.parametrize("kind", [Sigmoid(), Tanh(), "product"], ids=str)
def test_only_what_is_unstable_is_left_before_and_behind_a_smooth_node(kind):
    network = curved(kind)
    result = eq.reduce(network, ([0.0, 0.0], [1.0, 1.0]))
    assert network.relu_count == 10
    counts = result.facts.summary()
    assert result.network.relu_count == counts["unstable"] + counts["undecided"] <= 5
    assert len(result.network.smooth) == 1
    assert 0 <= result.epsilon < 1e-12
    assert result.runtime.agrees


def test_a_file_is_written_with_its_functions_and_read_back(tmp_path):
    model = tmp_path / "net.onnx"
    model.write_bytes(write_network(curved(Sigmoid()), metadata={}, producer="test", dtype="float32"))
    result = eq.reduce(model, ([0.0, 0.0], [1.0, 1.0]))
    result.save(tmp_path / "out.onnx")
    written = parse_network((tmp_path / "out.onnx").read_bytes(), smooth=True)
    assert written.smooth[0].function == Sigmoid()
    assert written.relu_count == result.network.relu_count < 10
    assert result.problem.tail is None


def test_another_function_is_no_reduction():
    problem = box_problem(curved(Sigmoid()), np.zeros(2), np.ones(2))
    facts = eq.prove_stability(problem, engine="crown")
    reduced, unit_maps = structured_network(box_problem(curved(Tanh()), np.zeros(2), np.ones(2)), facts)
    with pytest.raises(ContradictionError, match="another smooth node"):
        prove_deviation(problem, facts, reduced, unit_maps)


def test_what_needs_rows_of_the_whole_network_is_refused():
    box = [0.0, 0.0], [1.0, 1.0]
    with pytest.raises(InputError, match="network/smooth"):
        eq.reduce(curved(Sigmoid()), box, certificate=True)
    with pytest.raises(InputError, match="network/smooth"):
        eq.reduce(curved(Sigmoid()), box, cross_check="z3")


def test_the_plain_part_of_a_plain_network_is_the_network():
    network = chain_network([(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2))])
    assert plain_part(network, ()).nodes == network.nodes
