"""What a network computes: in float64 with a rigorous error bound, and exactly in rationals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ExactArray, FloatArray
from eqverify.errors import InputError, Place
from eqverify.functions import product_range
from eqverify.network.graph import Affine, Curved, Network, Node, Product, Smooth, require_piecewise_linear
from eqverify.network.linear import UNIT_ROUNDOFF

Scalar = TypeVar("Scalar", np.float64, np.object_)

UNDERFLOW = 1e-300
"""Added to every error bound: far above the sum of all underflow errors of one product (n 2^-1074).

Coefficients of rows that underflow count as often as the columns are large: see `lost_coefficients`."""


def gamma(terms: int, unit: float = UNIT_ROUNDOFF) -> float:
    """An upper bound of gamma_n = n u / (1 - n u), itself rounded safely upwards (Higham 2002, section 3.1)."""
    if terms * unit > 0.25:
        raise InputError("network/too-wide", "too many summands for an a-priori rounding bound", value=terms)
    return terms * unit / (1.0 - terms * unit) * (1.0 + 4 * UNIT_ROUNDOFF)


def scaled_error(constant: float, size: FloatArray) -> FloatArray:
    """constant * size for errors that weights multiply afterwards: not 0 where the product underflows (B-0)."""
    return constant * size + np.where(size > 0, UNDERFLOW, 0.0)


def lost_coefficients(magnitude: FloatArray) -> FloatArray:
    """What coefficients that underflow can amount to on columns of these magnitudes, (..., n): (...,) (B-0)."""
    return np.asarray(UNDERFLOW * (1.0 + magnitude.sum(axis=-1)))


def split_inputs(network: Network, x: npt.NDArray[Scalar]) -> dict[str, npt.NDArray[Scalar]]:
    """The flat input vectors (..., input_size) as one array per input."""
    if x.shape[-1] != network.input_size:
        raise InputError(
            "network/arity", "the input vector has the wrong length", value=f"{x.shape[-1]} for {network.input_size}"
        )
    parts, start = {}, 0
    for port in network.inputs:
        parts[port.name] = x[..., start : start + port.size]
        start += port.size
    return parts


def join_outputs(network: Network, values: dict[str, FloatArray]) -> FloatArray:
    """The outputs of all ports, one after the other: (..., output_size)."""
    return np.concatenate([values[port.source] for port in network.outputs], axis=-1)


def evaluate_nodes(network: Network, x: FloatArray) -> dict[str, FloatArray]:
    """Values of all inputs and nodes at flat inputs (batch, input_size), in float64."""
    values = split_inputs(network, np.asarray(x, dtype=np.float64))
    with np.errstate(over="ignore", invalid="ignore"):  # `evaluation_error` is infinite there
        for node in network.nodes:
            values[node.name] = node_value(node, values, x.shape[:-1])
    return values


def node_value(node: Node, values: dict[str, FloatArray], batch: tuple[int, ...]) -> FloatArray:
    """The value (*batch, n) of a node whose sources have values, in float64."""
    if isinstance(node, Smooth):
        return node.function.value(values[node.argument])
    if isinstance(node, Product):
        return values[node.left] * values[node.right]
    if not isinstance(node, Affine):
        return np.maximum(values[node.source], 0.0)
    total = np.broadcast_to(node.bias, (*batch, node.size))
    for term in node.terms:
        total = total + term.map.forward(values[term.source])
    return total


def evaluate(network: Network, x: FloatArray) -> FloatArray:
    """Outputs (batch, output_size) at flat inputs (batch, input_size), in float64."""
    return join_outputs(network, evaluate_nodes(network, x))


def evaluation_error(
    network: Network, values: dict[str, FloatArray], moved: FloatArray | None = None
) -> dict[str, FloatArray]:
    """A bound on the rounding error of every value of a float64 evaluation; of runs, see `eqverify.runtime_error`.

    Running error analysis (Higham 2002, section 3.3) with the a-priori constant per affine node, so that it holds for
    any order of summation and any fused operations, as BLAS and onnxruntime use.

    Args:
        network: the network evaluated.
        values: float64 values by node, (batch, n), as from `evaluate_nodes`.
        moved: (batch, input_size) how far the inputs that are meant are from those in `values`; not at all by default.

    Returns:
        By name, (batch, n), infinite where a value overflowed: |exact - values|.
    """
    errors = {port.name: np.zeros_like(values[port.name]) for port in network.inputs}
    if moved is not None:
        errors = split_inputs(network, moved)
    for node in network.nodes:
        errors[node.name] = node_error(node, values, errors)
    return errors


def curved_error(
    node: Curved, values: Mapping[str, FloatArray], errors: Mapping[str, FloatArray], computed: FloatArray
) -> FloatArray:
    """How far values of a smooth node or a product are from exact ones, (batch, n).

    Args:
        node: the node.
        values: by name, (batch, n) what it reads.
        errors: by name, (batch, n) how far that may be off.
        computed: (batch, n) what was computed of it.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ends = [_around(values[source], errors[source]) for source in node.sources]
        lower, upper = node.function.range(*ends[0]) if isinstance(node, Smooth) else product_range(ends[0], ends[1])
        reach = np.nextafter(np.maximum(computed - lower, upper - computed), np.inf)
    return np.where(np.isfinite(computed) & np.isfinite(reach), reach, np.inf)


def _around(value: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """value -+ error, rounded outwards; the value itself where there is no error."""
    exact = error == 0
    lower, upper = np.nextafter(value - error, -np.inf), np.nextafter(value + error, np.inf)
    return np.where(exact, value, lower), np.where(exact, value, upper)


def node_error(node: Node, values: dict[str, FloatArray], errors: dict[str, FloatArray]) -> FloatArray:
    """What the float64 value of a node may be off, where those of its sources are off by `errors`."""
    if isinstance(node, Curved):
        return curved_error(node, values, errors, values[node.name])
    if not isinstance(node, Affine):
        return errors[node.source]
    terms = sum(term.map.fan_in + 2 for term in node.terms) + 2
    constant = gamma(terms)
    value = values[node.name]
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.broadcast_to(np.abs(node.bias), value.shape) * constant
        for term in node.terms:
            source, carried = np.abs(values[term.source]), errors[term.source]
            size = size + term.map.absolute().forward(scaled_error(constant, source + carried) + carried)
        error = size * (1.0 + 2 * constant) + UNDERFLOW
    return np.where(np.isfinite(value) & np.isfinite(error), error, np.inf)


def fits_range(network: Network, x: FloatArray) -> BoolArray:
    """Whether no sum can overflow when a runtime evaluates a network in its own type, in whatever order.

    Args:
        network: the network; its type is the least precise one of its ports.
        x: (batch, input_size) flat inputs.

    Returns:
        (batch,)
    """
    largest = float(np.finfo(network.element).max) / 4
    values = evaluate_nodes(network, x)
    fits = (np.abs(x) <= largest).all(axis=-1)
    with np.errstate(over="ignore", invalid="ignore"):
        for node in network.nodes:
            if isinstance(node, Affine):
                size = np.broadcast_to(np.abs(node.bias), (*x.shape[:-1], node.size))
                for term in node.terms:
                    size = size + term.map.absolute().forward(np.abs(values[term.source]))
                fits = fits & (size <= largest).all(axis=-1)
    return np.asarray(fits)


def evaluate_exact(network: Network, x: Sequence[Fraction]) -> dict[str, ExactArray]:
    """Exact values of all inputs and nodes at one rational input of length input_size.

    Raises:
        InputError: `network/smooth`: values of smooth nodes are no rationals.
    """
    require_piecewise_linear(network, "exact evaluation")
    flat = np.array(list(x), dtype=object)
    values: dict[str, ExactArray] = split_inputs(network, flat)
    for node in network.nodes:
        values[node.name] = node_value_exact(node, values)
    return values


def node_value_exact(node: Node, values: dict[str, ExactArray]) -> ExactArray:
    """The exact value of a node whose sources have exact values.

    Raises:
        InputError: `network/smooth`: values of smooth nodes are no rationals.
    """
    if isinstance(node, Curved):
        raise InputError("network/smooth", "values of smooth nodes are no rationals", place=Place(node=node.name))
    if not isinstance(node, Affine):
        return np.array([max(v, Fraction(0)) for v in values[node.source]], dtype=object)
    total = np.array([Fraction(b) for b in node.bias.tolist()], dtype=object)
    for term in node.terms:
        total = total + term.map.forward_exact(values[term.source])
    return np.asarray(total, dtype=object)


def outputs_exact(network: Network, x: Sequence[Fraction]) -> list[Fraction]:
    """Exact outputs, length output_size, at one rational input."""
    values = evaluate_exact(network, x)
    return [v for port in network.outputs for v in values[port.source]]
