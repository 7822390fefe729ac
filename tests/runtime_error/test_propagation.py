"""The bound on a run's error: no run, in whatever order it sums, is further from the exact values."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds import interval_bounds
from eqverify.domain import Box
from eqverify.export.onnx import write_network
from eqverify.export.runtime import run_model
from eqverify.network import (
    Affine,
    Dense,
    Diagonal,
    Identity,
    LinearMap,
    Network,
    Port,
    Relu,
    Selection,
    Term,
    outputs_exact,
)
from eqverify.runtime_error import domain_errors, point_errors, propagation, runtime_errors
from eqverify.testing.strategies import networks, residual_networks

MODERATE = ("dyadic", "integer", "ordinary")
FLOATS = st.floats(-100, 100, width=32, allow_subnormal=False).map(lambda v: v if abs(v) > 1e-6 else 0.0)
MODELS = networks(element="float32", kinds=MODERATE) | residual_networks(element="float32", kinds=MODERATE)


def forward_single(linear: LinearMap, x: np.ndarray) -> np.ndarray:
    """One linear map in the arithmetic of x."""
    if isinstance(linear, Dense):
        return x @ linear.matrix.astype(x.dtype).T
    if isinstance(linear, Diagonal):
        return x * linear.scale.astype(x.dtype) / linear.divisor.astype(x.dtype)
    assert isinstance(linear, Identity | Selection)
    return linear.forward(x)


def run_of(network: Network, x: np.ndarray, element: str = "float32") -> np.ndarray:
    """A run in numpy, as a runtime would do it: (batch, output_size)."""
    values, start = {}, 0
    for port in network.inputs:
        values[port.name] = x[:, start : start + port.size].astype(element)
        start += port.size
    for node in network.nodes:
        if isinstance(node, Relu):
            values[node.name] = np.maximum(values[node.source], values[node.source].dtype.type(0))
            continue
        total = np.broadcast_to(node.bias.astype(element), (len(x), node.size))
        for term in node.terms:
            total = total + forward_single(term.map, values[term.source])
        values[node.name] = total
        assert total.dtype == element
    return np.concatenate([values[port.source] for port in network.outputs], axis=1)


def assert_within(network: Network, x: np.ndarray, run: np.ndarray, errors: np.ndarray) -> None:
    wanted = outputs_exact(network, [Fraction(v) for v in x.tolist()])
    for value, error, want in zip(run.tolist(), errors.tolist(), wanted, strict=True):
        assert error == np.inf or abs(Fraction(value) - want) <= Fraction(error)


@given(MODELS, st.data())
def test_a_run_is_within_the_bound_at_its_input(network: Network, data: st.DataObject) -> None:
    x = np.array([data.draw(FLOATS) for _ in range(network.input_size)])
    errors = point_errors(network, x)
    assert np.isfinite(errors).all()
    assert_within(network, x, run_of(network, x[None])[0], errors)


@given(MODELS, st.data(), st.booleans())
def test_runs_are_within_the_bound_of_their_box(network: Network, data: st.DataObject, symbolic: bool) -> None:
    lower = np.array([data.draw(FLOATS) for _ in range(network.input_size)])
    upper = np.maximum(lower, np.array([data.draw(FLOATS) for _ in range(network.input_size)]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propagation, "_MOST_NUMBERS", propagation._MOST_NUMBERS if symbolic else 0)
        errors = domain_errors(network, [Box(lower, upper)])
    shares = np.random.default_rng(0).choice([0.0, 0.25, 0.5, 1.0], size=(4, network.input_size))
    points = np.clip((lower + shares * (upper - lower)).astype(np.float32).astype(float), lower, upper)
    assert np.isfinite(errors).all()
    for x, run in zip(points, run_of(network, points), strict=True):
        assert_within(network, x, run, errors)
        assert (point_errors(network, x) <= errors * (1 + 1e-9) + 1e-30).all()


def random_network(rng: np.random.Generator, sizes: tuple[int, ...], order: bool = False) -> Network:
    """A chain with these sizes; with `order` its hidden units are permuted, which changes nothing but the order."""
    state, nodes, previous, moved = np.random.default_rng(7), [], "x", np.arange(sizes[0])
    for index, (width, height) in enumerate(pairwise(sizes)):
        matrix = state.normal(size=(height, width)).astype(np.float32).astype(float)
        bias = state.normal(size=height).astype(np.float32).astype(float)
        last = index == len(sizes) - 2
        shuffled = rng.permutation(height) if order and not last else np.arange(height)
        nodes.append(Affine(f"z{index}", (Term(previous, Dense(matrix[shuffled][:, moved])),), bias[shuffled]))
        previous, moved = f"z{index}", shuffled
        if not last:
            nodes.append(Relu(f"h{index}", previous))
            previous = f"h{index}"
    ports = (Port("x", ("N", sizes[0]), "float32", "x"),), (Port("y", ("N", sizes[-1]), "float32", previous),)
    return Network(ports[0], tuple(nodes), ports[1])


@pytest.mark.slow
def test_onnxruntime_is_within_the_bound_in_any_order_of_the_units() -> None:
    rng, sizes = np.random.default_rng(0), (20, 64, 64, 5)
    network = random_network(rng, sizes)
    lower, upper = np.full(20, -0.1), np.full(20, 0.4)
    errors = domain_errors(network, [Box(lower, upper)])
    points = rng.uniform(lower, upper, size=(40, 20)).astype(np.float32).astype(float)
    exact = np.array([[float(v) for v in outputs_exact(network, list(map(Fraction, x.tolist())))] for x in points])
    seen = np.zeros(5)
    for _ in range(20):
        other = random_network(rng, sizes, order=True)
        run = run_model(write_network(other, metadata={}, producer="test"), points)
        seen = np.maximum(seen, np.abs(run - exact).max(axis=0))
    assert (seen > 0).all()
    assert (seen <= errors).all()
    assert (errors <= 2000 * seen).all()


def test_the_worst_order_of_a_long_sum_is_within_the_bound() -> None:
    """Large numbers first: every later one is lost, whatever a typical order does."""
    count = 4000
    numbers = np.full(count, 2.0**-24)
    numbers[0] = 1.0
    network = chain(numbers[None])
    x = np.ones(count)
    total = np.float32(0)
    for value in numbers.astype(np.float32):
        total = total + value
    lost = abs(Fraction(float(total)) - outputs_exact(network, [Fraction(1)] * count)[0])
    assert lost == (count - 1) * Fraction(2) ** -24
    assert Fraction(point_errors(network, x)[0]) >= lost


def chain(matrix: np.ndarray, bias: float = 0.0, element: str = "float32") -> Network:
    rows, columns = matrix.shape
    node = Affine("z", (Term("x", Dense(matrix)),), np.full(rows, bias))
    return Network((Port("x", (columns,), element, "x"),), (node,), (Port("y", (rows,), element, "z"),))


def with_relu(network: Network, weight: float) -> Network:
    """relu of a chain's only output, times a weight."""
    last = Affine("y", (Term("h", Dense(np.array([[weight]]))),), np.zeros(1))
    return Network(network.inputs, (*network.nodes, Relu("h", "z"), last), (Port("y", (1,), "float32", "y"),))


def test_a_unit_that_is_off_by_more_than_its_rounding_adds_nothing() -> None:
    """y = 1e6 relu(x1 + x2 - 3) on [0, 1]^2 against the bound c = -2 - tiny where the run may be above zero."""
    box = Box(np.zeros(2), np.ones(2))
    off = with_relu(chain(np.ones((1, 2)), -3.0), 1e6)
    touching = with_relu(chain(np.ones((1, 2)), -2.0), 1e6)
    assert domain_errors(off, [box])[0] < 1e-25  # what may be flushed
    assert domain_errors(touching, [box])[0] > 0.1


def test_errors_that_cancel_cancel() -> None:
    """y = h1 - h1' where both copy one active unit: what the unit rounded is the same in both."""
    first = Affine("z", (Term("x", Dense(np.full((1, 100), 1.0))),), np.array([1.0]))
    copies = Affine("c", (Term("h", Dense(np.array([[1.0], [1.0]]))),), np.zeros(2))
    last = Affine("y", (Term("c", Dense(np.array([[1.0, -1.0]]))),), np.zeros(1))
    ports = (Port("x", (100,), "float32", "x"),), (Port("y", (1,), "float32", "y"),)
    network = Network(ports[0], (first, Relu("h", "z"), copies, last), ports[1])
    box = Box(np.zeros(100), np.ones(100))
    before = domain_errors(network.until("z"), [box])
    assert domain_errors(network, [box])[0] < domain_errors(network.until("h"), [box])[0]
    assert before[0] > 0


@pytest.mark.parametrize("element", ["float16", "float32", "float64"])
def test_the_bound_is_that_of_the_type(element: str) -> None:
    rng = np.random.default_rng(3)
    network = chain(rng.integers(-8, 9, size=(3, 30)) / 8, 0.125, element)
    points = (rng.integers(-8, 9, size=(50, 30)) / 64 + 1 / 1024).astype(element).astype(float)
    for x in points:
        assert_within(network, x, run_of(network, x[None], element)[0], point_errors(network, x))
    small, large = (
        runtime_errors(network, interval_bounds(network, points, points), element=e) for e in ("float32", "float16")
    )
    assert (large > 1000 * small).all()


def test_flushed_and_subnormal_results_are_within_the_bound() -> None:
    tiny = float(np.float32(1e-30))
    network, x = chain(np.array([[tiny]])), np.array([tiny])
    for run in (np.zeros(1), run_of(network, x[None])[0]):
        assert_within(network, x, run, point_errors(network, x))


def test_what_may_overflow_has_no_bound() -> None:
    network = chain(np.array([[1.0, 1.0]]))
    assert point_errors(network, np.array([2e38, -2e38]))[0] == np.inf
    assert point_errors(network, np.array([2e37, -2e37]))[0] < np.inf
