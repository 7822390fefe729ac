"""Floating-point evaluation stays within its proved error of the exact evaluation."""

from __future__ import annotations

from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.errors import InputError
from eqverify.network import (
    Affine,
    Dense,
    Diagonal,
    Identity,
    LinearMap,
    Network,
    Node,
    Port,
    Relu,
    Term,
    evaluate,
    evaluate_exact,
    evaluate_nodes,
    evaluation_error,
    outputs_exact,
)
from eqverify.testing.strategies import any_networks

SINGLE = 2.0**-24
MODERATE = ("dyadic", "integer", "ordinary")


def inputs(data: st.DataObject, size: int, width: Literal[32, 64] = 64) -> np.ndarray:
    """One input, float32 numbers for width 32, without subnormals."""
    floats = st.floats(-100, 100, width=width, allow_subnormal=False).map(lambda v: v if abs(v) > 1e-6 else 0.0)
    return np.array([[data.draw(floats) for _ in range(size)]])


def one_node(linear: LinearMap) -> Network:
    """The network that is a single linear map."""
    rows, columns = linear.shape
    node = Affine("z", (Term("X", linear),), np.zeros(rows))
    return Network((Port("X", (columns,), "float64", "X"),), (node,), (Port("Y", (rows,), "float64", "z"),))


def assert_within(
    network: Network, values: dict[str, np.ndarray], errors: dict[str, np.ndarray], x: np.ndarray
) -> None:
    exact = evaluate_exact(network, [Fraction(v) for v in x[0].tolist()])
    for name, wanted in exact.items():
        for value, error, want in zip(values[name][0].tolist(), errors[name][0].tolist(), wanted, strict=True):
            assert abs(Fraction(value) - want) <= Fraction(error), name


@given(st.data())
def test_float64_evaluation_is_within_its_error_of_the_exact_values(data: st.DataObject) -> None:
    network = data.draw(any_networks())
    x = inputs(data, network.input_size)
    values = evaluate_nodes(network, x)
    assert_within(network, values, evaluation_error(network, values), x)


@given(st.data())
def test_batches_give_what_single_inputs_give_up_to_rounding(data: st.DataObject) -> None:
    network = data.draw(any_networks())
    x = np.vstack([inputs(data, network.input_size) for _ in range(3)])
    together = evaluate(network, x)
    assert together.shape == (3, network.output_size)
    for row, point in zip(together, x, strict=True):
        values = evaluate_nodes(network, point[None])
        errors = evaluation_error(network, values)
        spread = np.concatenate([errors[port.source] for port in network.outputs], axis=1)
        assert (np.abs(evaluate(network, point[None]) - row) <= 2.5 * spread).all()


@given(any_networks())
def test_exact_outputs_are_those_of_the_output_nodes(network: Network) -> None:
    x = [Fraction(1, 3)] * network.input_size
    values = evaluate_exact(network, x)
    assert outputs_exact(network, x) == [v for port in network.outputs for v in values[port.source]]
    assert all(isinstance(v, Fraction) for v in outputs_exact(network, x))


def test_a_residual_block_by_hand() -> None:
    nodes: tuple[Node, ...] = (
        Affine("z", (Term("X", Dense(np.array([[1.0, -2.0]]))),), np.array([0.5])),
        Relu("h", "z"),
        Affine("y", (Term("h", Dense(np.array([[3.0], [0.0]]))), Term("X", Identity(2))), np.array([1.0, 0.0])),
    )
    network = Network((Port("X", (2,), "float64", "X"),), nodes, (Port("Y", (2,), "float64", "y"),))
    assert evaluate(network, np.array([[1.0, 0.25], [0.0, 1.0]])).tolist() == [[5.0, 0.25], [1.0, 1.0]]
    assert outputs_exact(network, [Fraction(1), Fraction(1, 3)]) == [Fraction(9, 2), Fraction(1, 3)]


def test_an_input_of_the_wrong_length_is_rejected() -> None:
    network = one_node(Identity(2))
    with pytest.raises(InputError) as caught:
        evaluate(network, np.zeros((1, 3)))
    assert caught.value.code == "network/arity"


def test_error_covers_underflow_before_a_small_divisor() -> None:
    network, x = one_node(Diagonal(np.array([1e-200]), np.array([1e-200]))), np.array([[1e-150]])
    values = evaluate_nodes(network, x)
    assert_within(network, values, evaluation_error(network, values), x)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_error_of_a_value_that_overflowed_is_infinite() -> None:
    network = one_node(Dense(np.array([[1.0, 1.0, -1.5, -1.0]])))
    values = evaluate_nodes(network, np.full((1, 4), 1e308))
    errors = evaluation_error(network, values)
    assert np.isfinite(values["z"]).all() or np.isinf(errors["z"]).all()
