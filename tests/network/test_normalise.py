"""Networks with fewer units that are the same function: every value is compared in rational arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.network import Affine, Convolution, Dense, Diagonal, Network, Port, Relu, Term, outputs_exact
from eqverify.network.normalise import normalised
from eqverify.network.proportional import exact_sum, proportional
from eqverify.testing.chains import chain_network
from eqverify.testing.splitting import convolutional_networks, dense_networks, split_pairs
from eqverify.testing.strategies import any_networks


def same_values(one, other, seed=0, points=24):
    """Whether two networks have the same outputs, to the last digit, at rational points of several magnitudes."""
    random = np.random.default_rng(seed)
    drawn = (
        random.integers(-24, 25, (points, one.input_size)) * np.array([1, 3, 64])[random.integers(0, 3, (points, 1))]
    )
    rows = [[Fraction(int(v), 12) for v in row] for row in drawn]
    return all(outputs_exact(one, row) == outputs_exact(other, row) for row in rows)


@given(split_pairs(st.one_of(dense_networks(), convolutional_networks())))
def test_split_networks_need_no_more_units_than_before(pair):
    network, split = pair
    found = normalised(split)
    assert found.relu_count <= network.relu_count
    assert same_values(split, found)
    assert [port.name for port in found.outputs] == [port.name for port in split.outputs]


@given(any_networks())
def test_any_network_stays_the_same_function(network):
    found = normalised(network)
    assert found.relu_count <= network.relu_count
    assert same_values(network, found, points=6)
    assert normalised(found) is found


def leaky(weights, bias, slope, readers, own, last):
    """A layer of LeakyReLUs, as it is read, between two layers of weights."""
    count = len(bias)
    between = (
        Term("z", Diagonal(np.full(count, slope), np.ones(count))),
        Term("h", Diagonal(np.full(count, 1 - slope), np.ones(count))),
    )
    nodes = (
        Affine("z", (Term("x", Dense(weights)),), bias),
        Relu("h", "z"),
        Affine("l", between, np.zeros(count)),
        Affine("w", (Term("l", Dense(readers)),), own),
        Relu("g", "w"),
        Affine("y", (Term("g", Dense(last)),), np.zeros(len(last))),
    )
    inputs, outputs = weights.shape[1], len(last)
    return Network((Port("x", (1, inputs), "float32", "x"),), nodes, (Port("y", (1, outputs), "float32", "y"),))


@pytest.mark.parametrize("slope", [float(np.float32(0.01)), 0.25, float(np.float32(0.2147)), 0.0])
def test_pairs_of_leaky_relus_are_put_together(slope):
    random = np.random.default_rng(1)
    rows = random.normal(size=(3, 4)).astype(np.float32).astype(float)
    bias = random.normal(size=3).astype(np.float32).astype(float)
    factor = float(np.float32(1 / (1 + slope)))
    mix = np.hstack([np.eye(3) * factor, -np.eye(3) * factor])
    last = random.normal(size=(2, 3))
    network = leaky(np.vstack([rows, -rows]), np.concatenate([bias, -bias]), slope, mix, bias[::-1] / 3, last)
    found = normalised(network)
    assert [found.sizes[node.name] for node in found.relus] == [3]
    assert same_values(network, found)


def test_copies_of_other_units_pass_the_second_relu():
    """Units that were not split pass a second ReLU: as they are, scaled, and less something."""
    rows, bias = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25], [-1.0, -2.0]]), np.array([1.0, -1.0, 0.5, -1.0])
    mix, own = np.array([[1.0, 0, 0, -1.0], [0, 2.0, 0, 0], [0, 0, 3.0, 0]]), np.array([7.0, -0.5, 0.0])
    network = chain_network([(rows, bias), (mix, own), (np.ones((1, 3)), np.zeros(1))])
    found = normalised(network)
    assert found.relu_count == 3
    assert same_values(network, found)


@pytest.mark.parametrize(
    ("mix", "own"),
    [
        (np.array([[1.0, 0, 0], [0, -1.0, 0]]), np.zeros(2)),  # the second is never positive: it becomes 0
        (np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.array([0.0, 0.25])),  # a threshold above 0 cuts
        (np.array([[1.0, 1.0, 0], [0, 1.0, 0]]), np.zeros(2)),  # a sum of two units
        (np.array([[1.0, 0, -0.5], [0, 1.0, 0]]), np.zeros(2)),  # t+ and t- with slopes of two signs
    ],
)
def test_layers_that_bend_values_stay(mix, own):
    rows, bias = np.array([[1.0, 2.0], [3.0, -1.0], [-1.0, -2.0]]), np.array([1.0, -1.0, -1.0])
    network = chain_network([(rows, bias), (mix, own), (np.ones((1, 2)), np.zeros(1))])
    assert same_values(network, normalised(network))


def test_a_row_that_is_off_in_the_last_digit_is_not_merged():
    rows, bias = np.array([[1.0, 3.0], [-1.0, -3.0]]), np.array([0.5, -0.5])
    off = rows.copy()
    off[1, 1] = np.nextafter(-3.0, 0.0)
    mix = (np.array([[1.0, -1.0]]), np.zeros(1))
    end = (np.ones((1, 1)), np.zeros(1))
    assert normalised(chain_network([(rows, bias), mix, end])).relu_count == 1
    network = chain_network([(off, bias), mix, end])
    assert normalised(network) is network


def test_superfluous_units_go():
    """A duplicate, a multiple, a unit that is not read, constants of both signs; the rest and the order stay."""
    rows = np.array([[1.0, 2.0], [1.0, 2.0], [3.0, 6.0], [5.0, 1.0], [0.0, 0.0], [0.0, 0.0], [0.0, 7.0]])
    bias = np.array([1.0, 1.0, 3.0, 0.0, 2.0, -2.0, 1.0])
    out = np.array([[1.0, 2.0, 3.0, 0.0, 5.0, 6.0, 7.0], [1.0, -1.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    network = chain_network([(rows, bias), (out, np.array([0.5, 0.25]))])
    found = normalised(network)
    assert found.relu_count == 2
    assert same_values(network, found)


def test_weights_that_float64_cannot_hold_stay_apart():
    rows, bias = np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([1.0, 1.0])
    network = chain_network([(rows, bias), (np.array([[1.0, 2.0**-60]]), np.zeros(1))])
    assert normalised(network) is network


def test_channels_are_units():
    """Two channels that are one, and one that is not read, before a convolution and before a dense layer."""
    random = np.random.default_rng(3)
    kernel = random.integers(-3, 4, (4, 2, 2, 2)).astype(float)
    kernel[2] = 2 * kernel[0]
    first = Convolution(kernel, (3, 3), (1, 1), (1, 1), (0, 0), (1, 1))
    bias = np.repeat([1.0, 2.0, 2.0, 3.0], 9)
    second = random.integers(-3, 4, (2, 4, 3, 3)).astype(float)
    second[:, 3] = 0
    behind = Convolution(second, (3, 3), (1, 1), (1, 1), (1, 1), (1, 1))
    nodes = (
        Affine("z", (Term("x", first),), bias),
        Relu("h", "z"),
        Affine("w", (Term("h", behind),), np.zeros(18)),
        Relu("g", "w"),
        Affine("y", (Term("g", Dense(random.integers(-2, 3, (1, 18)).astype(float))),), np.zeros(1)),
    )
    network = Network((Port("x", (1, 2, 3, 3), "float32", "x"),), nodes, (Port("y", (1, 1), "float32", "y"),))
    found = normalised(network)
    assert [found.sizes[node.name] for node in found.relus] == [18, 18]
    assert all(isinstance(node.terms[0].map, Convolution) for node in found.nodes[:3:2])
    assert same_values(network, found, points=4)


def test_a_window_of_one_that_moves_values_is_no_copy():
    """Stride 2 over a padded image gives as many values as there were, elsewhere."""
    first = Convolution(np.array([[[1.0]]]), (3,), (1,), (1,), (0,), (0,))
    moved = Convolution(np.array([[[1.0]]]), (3,), (2,), (1,), (1,), (1,))
    nodes = (
        Affine("z", (Term("x", first),), np.zeros(3)),
        Relu("h", "z"),
        Affine("w", (Term("h", moved),), np.zeros(3)),
        Relu("g", "w"),
        Affine("y", (Term("g", Dense(np.array([[1.0, 2.0, 4.0]]))),), np.zeros(1)),
    )
    network = Network((Port("x", (1, 1, 3), "float32", "x"),), nodes, (Port("y", (1, 1), "float32", "y"),))
    assert same_values(network, normalised(network))


@given(st.data())
def test_multiples_are_found_over_the_rationals(data):
    numbers = st.integers(-3, 3).map(float)
    count, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    rows = np.array([[data.draw(numbers) for _ in range(width)] for _ in range(count)])
    rows *= data.draw(st.sampled_from([1.0, 0.1, 2.0**-600, 2.0**1000]))
    first, factors = proportional([rows[:, :1], rows[:, 1:]])
    exact = [[Fraction(v) for v in row] for row in rows.tolist()]
    for k, row in enumerate(exact):
        leader = next((i for i in range(k + 1) if any(row) and parallel(row, exact[i])), -1)
        assert first[k] == leader
        assert leader < 0 or [factors[k] * v for v in exact[leader]] == row


def parallel(one, other):
    return any(other) and all(a * d == b * c for a, b in zip(one, other, strict=True) for c, d in [pivot(one, other)])


def pivot(one, other):
    return next((c, d) for c, d in zip(one, other, strict=True) if d)


def test_a_sum_that_rounds_is_none():
    assert exact_sum(np.array([1.0, 2.0]), np.array([2.0, 2.0**-51])).tolist() == [3.0, 2.0 + 2.0**-51]
    assert exact_sum(np.array([1.0, 2.0]), np.array([2.0, 2.0**-52])) is None
    assert exact_sum(np.array([1e308]), np.array([1e308])) is None
