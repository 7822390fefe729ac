"""The shapes one by one, and how one of them is chosen."""

import numpy as np
import pytest

from eqverify.domain import box_domain
from eqverify.errors import InputError, UsageError
from eqverify.network import Affine, Convolution, Dense, Identity, Network, Port, Relu, Term
from eqverify.problem import domain_problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.transform import driver, shapes
from eqverify.transform.driver import transform
from eqverify.transform.result import TransformOptions
from eqverify.transform.shapes import Work

QUICK = StabilityOptions("crown")


def made(network, shape, low=-1.0, high=1.0, **options):
    problem = domain_problem(network, box_domain(np.full(network.input_size, low), np.full(network.input_size, high)))
    return transform(problem, prove_stability(problem, QUICK), TransformOptions(shape, **options))


def convolution(kernel, extents):
    kernel = np.array(kernel, dtype=float)
    axes = len(extents)
    return Convolution(kernel, extents, (1,) * axes, (1,) * axes, (0,) * axes, (0,) * axes)


def two_convolutions(bias=(0.0, -9.0, 0.0), skip=False):
    """Three channels of which the second never shows anything, then one channel, on a row of four pixels."""
    first = convolution([[[1.0]], [[1.0]], [[-1.0]]], (4,))
    second = convolution([[[1.0], [5.0], [2.0]]], (4,))
    terms = [Term("h1", second)] + ([Term("X", Identity(4))] if skip else [])
    return Network(
        (Port("X", (1, 1, 4), "float32", "X"),),
        (
            Affine("z1", (Term("X", first),), np.repeat(bias, 4)),
            Relu("h1", "z1"),
            Affine("z2", tuple(terms), np.zeros(4)),
            Relu("h2", "z2"),
            Affine("y", (Term("h2", Dense(np.ones((1, 4)))),), np.zeros(1)),
        ),
        (Port("Y", (1, 1), "float32", "y"),),
    )


@pytest.mark.parametrize("skip", [False, True])
def test_structured_removes_a_channel_and_keeps_convolutions(skip):
    result = made(two_convolutions(skip=skip), "structured")
    assert result.shape == "structured"
    assert result.network.relu_count == 12
    maps = [term.map for node in result.network.nodes if isinstance(node, Affine) for term in node.terms]
    assert [linear.kernel.shape for linear in maps if isinstance(linear, Convolution)] == [(2, 1, 1), (1, 2, 1)]
    assert result.epsilon.tolist() == [0.0]


def test_structured_keeps_a_channel_of_which_one_pixel_is_seen():
    network = two_convolutions(bias=(0.0, -0.5, 0.0))
    assert made(network, "structured").shape == "unchanged"
    assert made(network, "structured").network is network


def test_structured_drops_channels_that_nothing_reads():
    network = two_convolutions(bias=(0.0, 0.0, 0.0))
    dead = convolution([[[1.0], [0.0], [2.0]]], (4,))
    nodes = [Affine("z2", (Term("h1", dead),), np.zeros(4)) if node.name == "z2" else node for node in network.nodes]
    result = made(Network(network.inputs, tuple(nodes), network.outputs), "structured")
    assert result.network.relu_count == 12
    assert result.epsilon.tolist() == [0.0]


def test_structured_refuses_what_it_cannot_write():
    network = chain_network([(np.array([[0.1]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    with pytest.raises(UsageError, match="usage/shape"):
        made(network, "structured")
    with pytest.raises(UsageError, match="usage/shape"):
        made(two_convolutions(), "structured", dtype="float64")


def deep():
    """An unstable unit, a stable layer that carries it and the input, another unstable unit that reads both."""
    return chain_network(
        [
            (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([0.0, 5.0, 5.0])),
            (np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), np.array([9.0, 9.0])),
            (np.array([[1.0, -1.0]]), np.array([5.0])),
            (np.array([[1.0]]), np.array([0.0])),
        ]
    )


def test_residual_has_the_units_and_no_more():
    result = made(deep(), "residual", dtype="float64")
    assert result.network.relu_count == 2
    assert [len(node.terms) for node in result.network.nodes if isinstance(node, Affine)] == [1, 2, 1]
    assert made(deep(), "sequential", dtype="float64").network.relu_count == 3
    assert result.worst < 1e-12


def test_residual_puts_units_into_the_first_layer_that_can_hold_them():
    """The second layer reads only a stably active unit, so both units fit into one layer."""
    network = chain_network(
        [
            (np.array([[1.0], [1.0]]), np.array([0.0, 5.0])),
            (np.array([[0.0, 1.0]]), np.array([-5.5])),
            (np.array([[1.0]]), np.array([0.0])),
        ]
    )
    result = made(network, "residual", dtype="float64")
    assert [node.name for node in result.network.nodes if isinstance(node, Relu)] == ["h1"]


def test_sequential_puts_a_unit_into_an_earlier_layer_where_that_saves_a_carrier():
    """v2 = x0 - x1 reads no unit of the first layer: there it spares the carrier of its row, and the second layer
    carries y - v1 - v2 = x2 anyway, so that it needs no carrier more for v2 + x2."""
    network = chain_network(
        [
            (np.array([[1.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([0.0, 5, 5, 5])),
            (np.array([[1.0, 0, 1, 0], [0, 1, -1, 0], [0, 0, 0, 1]]), np.array([-5.5, 0, 0])),
            (np.array([[1.0, 1, 1]]), np.array([-5.0])),
        ]
    )
    result = made(network, "sequential", dtype="float64")
    assert result.network.relu_count == 6
    assert [len(m.carriers) for m in result.unit_maps.values()] == [2, 1]
    assert [m.pairs() for m in result.unit_maps.values()] == [[("relu0", 0), ("relu1", 1)], [("relu1", 0)]]
    assert result.worst < 1e-12


def test_auto_takes_the_least_cost_and_says_so():
    result = made(deep(), "auto", dtype="float64")
    assert result.shape == "residual"
    assert result.choice.startswith("residual, rather than")
    assert "sequential: 3 ReLUs" in result.choice


def test_auto_prefers_few_weights_where_relus_are_cheap(monkeypatch):
    monkeypatch.setattr(driver, "RELU_PRODUCTS", 0)
    assert made(two_convolutions(), "auto").shape == "structured"
    monkeypatch.setattr(driver, "RELU_PRODUCTS", 10**6)
    assert made(two_convolutions(), "auto").shape != "structured"


def test_a_chain_that_would_be_too_large_gives_way_to_the_network_s_own_graph(monkeypatch):
    network = two_convolutions(bias=(0.0, -9.0, 5.0))
    assert made(network, "sequential").shape == "sequential"
    monkeypatch.setattr(driver, "EXPLODED", 1)
    result = made(network, "sequential")
    assert result.shape == "structured"
    assert "a chain would have" in result.choice


def rounded():
    """Two stably active units and an unstable one; weights that are no sums of float32 numbers."""
    layers = [
        (np.array([[0.1, 0.7], [0.3, -0.2], [0.4, 0.5]]), np.array([0.0, 3.0, 3.0])),
        (np.array([[0.7, 0.3, 0.1], [0.3, 0.6, 0.9]]), np.array([0.0, 2.0])),
        (np.ones((1, 2)), np.zeros(1)),
    ]
    return chain_network([(w.astype(np.float32).astype(float), b) for w, b in layers], element="float32")


@pytest.mark.parametrize("shape", ["sequential", "residual", "leo", "auto"])
def test_float64_is_suggested_where_float32_would_exceed_the_limit(shape):
    """And the network that is written keeps the limit: here it is the original, but for what needs no new weights."""
    network = rounded()
    free, limited = (made(network, shape, max_epsilon=limit) for limit in (1e-4, 0.0))
    assert free.network.relu_count < limited.network.relu_count
    assert not free.wants_float64
    assert "float64" not in free.choice
    assert limited.wants_float64
    assert limited.choice.endswith("float64 weights (--dtype float64) keep it small")
    assert limited.epsilon.tolist() == [0.0]


@pytest.mark.parametrize("shape", ["sequential", "residual", "leo"])
def test_float64_is_suggested_where_nothing_keeps_the_limit(shape):
    """The weights are no float32 numbers, so even the original would be rounded."""
    network = chain_network([(np.array([[0.1, 0.7]]), np.zeros(1)), (np.array([[0.3]]), np.zeros(1))])
    result = made(network, shape, max_epsilon=0.0)
    assert 0 < result.worst < 1e-6
    assert "eps is above 0e+00: float64 weights (--dtype float64)" in result.choice
    assert not made(network, shape, dtype="float64", max_epsilon=0.0).wants_float64


def test_float64_is_not_suggested_for_weights_that_are_kept():
    """The sums of the original itself are rounded; other weights would not help."""
    result = made(two_convolutions(), "structured", max_epsilon=-1.0)
    assert "eps is above" in result.choice
    assert not result.wants_float64


@pytest.mark.parametrize("shape", ["sequential", "residual", "auto"])
def test_rows_that_would_take_too_much_memory_are_not_made(shape, monkeypatch):
    monkeypatch.setattr(shapes, "_ROW_ENTRIES", 10)
    monkeypatch.setattr(Work, "leo_is_cheap", lambda *_: False)
    found = made(two_convolutions(), shape)
    assert found.shape == "structured"
    with pytest.raises(InputError, match="transform/too-large"):
        made(chain_network([(np.full((4, 2), 0.1), np.zeros(4)), (np.ones((2, 4)), np.zeros(2))]), shape)


@pytest.mark.parametrize("shape", ["sequential", "residual", "auto"])
def test_a_network_without_relus_is_left_as_it_is(shape):
    network = chain_network([(np.eye(2), np.ones(2))], element="float32")
    assert made(network, shape).shape == "unchanged"
