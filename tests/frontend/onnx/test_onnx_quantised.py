"""Quantised operators: read as onnxruntime runs them, and bounded; roundings at points are those of the model."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper

from eqverify.api.loading import problem_with_roundings
from eqverify.bounds import crown_bounds, interval_bounds
from eqverify.domain import box_domain
from eqverify.errors import InputError
from eqverify.export.runtime import compare_with_runtime, run_model
from eqverify.frontend.onnx import parse_front, parse_network
from eqverify.network import join_outputs, outputs_exact
from eqverify.network.rounding import settled, settled_exact

from .quantised_models import MICROSOFT, OPERATORS, TO_INTEGERS, Model, drawn, rounding


def network_of(data: bytes):
    front = parse_front(data, roundings=True)
    assert front.tail is None
    return front.network


def points_of(network, seed: int, radius: float = 3.0, count: int = 60):
    random = np.random.default_rng(seed)
    return random.uniform(-radius, radius, (count, network.own_size)).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("seed", range(4))
def test_an_operator_is_read_as_it_runs(operator, seed):
    data = drawn(operator, seed)
    network = network_of(data)
    points = points_of(network, seed)
    comparison = compare_with_runtime(data, network, points)
    assert comparison.agrees, comparison.first
    here = settled(network, points)
    far = np.abs(network(here.points) - run_model(data, points)).max(axis=1)
    assert here.certain.mean() > 0.9
    assert (far < 1e-4).mean() > 0.9  # a quotient that float32 rounds to the other side of a tie is rare


@pytest.mark.parametrize("operator", OPERATORS)
def test_outputs_of_runs_are_within_bounds(operator):
    data = drawn(operator, 7)
    network = network_of(data)
    points = points_of(network, 1, 0.3) + 0.2
    points = points.astype(np.float32).astype(np.float64)
    problem = problem_with_roundings(network, box_domain(points.min(axis=0), points.max(axis=0)))
    found = crown_bounds(network, problem.domain.lower, problem.domain.upper)
    lower, upper = (join_outputs(network, {n: getattr(z, end) for n, z in found.items()}) for end in ("lower", "upper"))
    y = run_model(data, points)
    lost = 2.0**-22 * np.abs(y)  # DequantizeLinear rounds its product in float32
    assert ((y >= lower - lost) & (y <= upper + lost)).all()
    assert (upper - lower).min() > 0


def test_a_tie_is_rounded_to_the_even_number():
    network = network_of(rounding(scale=0.5, size=6))
    x = np.array([[0.25, 0.75, 1.25, -0.25, -0.75, 100.0]])
    expected = np.array([[0.0, 1.0, 1.0, 0.0, -1.0, 63.5]])  # the last one saturates
    assert np.array_equal(run_model(rounding(scale=0.5, size=6), x), expected)
    exact = [Fraction(v) for v in x[0].tolist()]
    assert outputs_exact(network, settled_exact(network, exact)) == [Fraction(v) for v in expected[0].tolist()]
    assert not settled(network, x).certain[0]  # float64 does not claim to know


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("operator", ["QGemm", "dynamic MatMulInteger"])
def test_float_and_exact_roundings_agree(operator, seed):
    network = network_of(drawn(operator, seed))
    points = points_of(network, seed, count=4)
    here = settled(network, points)
    assert here.certain.all()
    for point, found, error in zip(points, here.points, here.errors, strict=True):
        exact = settled_exact(network, [Fraction(v) for v in point.tolist()])
        off = [abs(Fraction(a) - b) for a, b in zip(found.tolist(), exact, strict=True)]
        assert all(o <= Fraction(e) for o, e in zip(off, error.tolist(), strict=True))
        assert all(abs(e) <= Fraction(1, 2) for e in exact[network.own_size :])


def test_steps_over_a_range_are_what_onnxruntime_takes():
    """A range without 0, one value, only zeros, and a tie at the end of the range."""
    model = Model((1, 3))
    model.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    model.node("MatMulInteger", ["q", model.store("w", np.eye(3), np.uint8), "z"], "sums")
    model.node("Cast", ["sums"], "cast", to=TensorProto.FLOAT)
    model.node("Mul", ["cast", "s"], "y")
    data = model.finished()
    network = network_of(data)
    points = np.array([[1.0, 2.0, 3.3], [-1.0, -7.0, -0.5], [0.0, 0.0, 0.0], [-0.5, 0.0, 254.5], [5.0, 0.0, 0.0]])
    points = points.astype(np.float32).astype(np.float64)
    runs = run_model(data, points)
    for point, run in zip(points, runs, strict=True):
        exact = settled_exact(network, [Fraction(v) for v in point.tolist()])
        y = [float(v) for v in outputs_exact(network, exact)]
        assert np.allclose(y, run, rtol=1e-6, atol=1e-7)
        domain = problem_with_roundings(network, box_domain(point, point)).domain
        assert (np.abs(run - point) <= domain.upper[0, 3:] + 1e-6 * np.abs(run)).all()
    assert compare_with_runtime(data, network, points).agrees


def test_what_dynamic_scales_are_used_for_otherwise_is_not_read():
    model = Model((1, 3))
    model.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    model.node("DequantizeLinear", ["q", "s", "z"], "y")
    with pytest.raises(InputError) as caught:
        parse_front(model.finished(), roundings=True)
    assert caught.value.code == "onnx/unsupported-form"


def test_wrong_zero_points_and_scales_are_noticed():
    """The comparison with onnxruntime sees a reading with other numbers."""
    data = rounding(scale=0.1, zero=3, size=4)
    for other in (rounding(scale=0.1, zero=4, size=4), rounding(scale=0.11, zero=3, size=4)):
        network = network_of(other)
        assert compare_with_runtime(other, network, points_of(network, 0)).agrees
        assert not compare_with_runtime(data, network, points_of(network, 0)).agrees


def test_quantised_operators_are_opaque_where_roundings_are_not_read():
    with pytest.raises(InputError) as caught:
        parse_network(rounding())
    assert caught.value.code == "onnx/unsupported-operator"


def test_integers_are_not_read_as_floats():
    """What overflows in 8 bits does not over the reals."""
    model = Model((1, 2))
    parts = model.scale("x", 1.0, 0, np.int8)
    model.node("QuantizeLinear", ["x", *parts], "q")
    model.node("Add", ["q", "q"], "twice")
    model.node("DequantizeLinear", ["twice", *parts], "y")
    front = parse_front(model.finished(), roundings=True)
    assert front.cut is not None
    assert [unread.operator for unread in front.cut.opaque] == ["Add"]


def test_sums_that_may_leave_32_bits_are_not_read():
    model = Model((1, 2))
    x, w = model.scale("x", 1.0, 0, np.int8), model.scale("w", 1.0, 0, np.int8)
    model.node("QuantizeLinear", ["x", *x], "q")
    matrix = model.store("w", np.ones((2, 2)), np.int8)
    bias = model.store("b", [2**31 - 100, 0], np.int32)
    model.node("QGemm", ["q", *x, matrix, *w, bias, *x], "r", domain=MICROSOFT)
    model.node("DequantizeLinear", ["r", *x], "y")
    front = parse_front(model.finished(), roundings=True)
    assert front.cut is not None
    assert [unread.operator for unread in front.cut.opaque] == ["QGemm"]


def test_a_cast_to_float16_is_a_rounding():
    model = Model((1, 3))
    model.node("Cast", ["x"], "half", to=TensorProto.FLOAT16)
    model.node("Cast", ["half"], "y", to=TensorProto.FLOAT)
    data, x = model.finished(), np.array([[0.1, 1000.3, 1e-9]])
    network = network_of(data)
    assert np.array_equal(network(settled(network, x.astype(np.float32).astype(float)).points), run_model(data, x))
    exact = settled_exact(network, [Fraction(float(np.float32(v))) for v in x[0]])
    assert [float(v) for v in outputs_exact(network, exact)] == x.astype(np.float32).astype(np.float16)[0].tolist()
    problem = problem_with_roundings(network, box_domain(-np.abs(x[0]), np.abs(x[0])))
    radii = problem.domain.upper[0, 3:]
    assert (np.abs(x.astype(np.float16).astype(float) - x)[0] <= radii).all()
    assert (radii <= 2.0**-11 * np.abs(x[0]) * 1.001 + 2.0**-24).all()


def to_integer(operator):
    """Sums of the inputs and of their halves, of which the second are rounded."""
    model = Model((1, 2))
    model.node("MatMul", ["x", model.store("m", [[1.0, -1.0, 0.5], [1.0, 2.0, 0.5]], np.float32)], "z")
    model.node(operator, ["z"], "r")
    model.node("MatMul", ["r", model.store("n", [[1.0, 0.5], [-1.0, 0.25], [2.0, 1.0]], np.float32)], "y")
    return model.finished()


@pytest.mark.parametrize(("operator", "of"), TO_INTEGERS.items())
def test_what_is_rounded_to_integers_is_read_as_it_runs(operator, of):
    """At ties and integers too, over the rationals and in floats; ranges of all numbers hold."""
    data = to_integer(operator)
    network = parse_front(data, roundings=True).network
    ties = np.array([[a, b] for a in (-1.5, -0.5, 0.0, 0.5, 2.0, 2.5) for b in (-1.0, 0.0, 0.25, 1.0, 1.5)])
    points = np.vstack([ties, np.random.default_rng(0).normal(size=(40, 2)) * 4])
    assert compare_with_runtime(data, network, points).agrees
    lower, upper = points.min(axis=0), points.max(axis=0)
    hull = problem_with_roundings(network, box_domain(lower, upper)).domain.hull
    bounds = interval_bounds(network, hull.lower[None], hull.upper[None])
    for point in points:
        x = [Fraction(v) for v in point.tolist()]
        z = [x[0] + x[1], 2 * x[1] - x[0], (x[0] + x[1]) / 2]
        r = [Fraction(of(v)) for v in z]
        exact = [r[0] - r[1] + 2 * r[2], r[0] / 2 + r[1] / 4 + r[2]]
        assert outputs_exact(network, settled_exact(network, x)) == exact
        shown = bounds[network.outputs[0].source]
        assert all(low <= v <= high for low, v, high in zip(shown.lower[0], exact, shown.upper[0], strict=True))
