"""Networks that round: what the inputs that stand for a rounding are at an input of the model (specs/quantised.md).

A rounding r(z) is read as z + e with e an input of its own.  Bounds let e be any number of its range; at a point it is
r(z) - z, which is found here, node by node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, ExactArray, FloatArray
from eqverify.errors import InputError
from eqverify.network.evaluate import node_error, node_value, node_value_exact, split_inputs
from eqverify.network.graph import Network, Rounding


@dataclass(frozen=True, slots=True, eq=False)
class Settled:
    """Inputs of a network with what is rounded there.

    Attributes:
        points: (k, input_size) in float64.
        errors: (k, input_size) how far these are from the exact ones, where `certain`.
        certain: (k,) whether each number is rounded like the exact one: none is so near to a tie that float64 cannot
            tell.
    """

    points: FloatArray
    errors: FloatArray
    certain: BoolArray


def settled(network: Network, points: FloatArray, moved: FloatArray | None = None) -> Settled:
    """Inputs of the model with what is rounded at each, in float64 and with bounds of the error.

    Args:
        network: as read, or made of such by `eqverify.equivalence.product`: the sources of its roundings are there.
        points: (k, own_size) or (k, input_size), of which the rest is not looked at.
        moved: (k, own_size) how far the inputs that are meant are from those; not at all by default.
    """
    own, count = network.own_size, len(points)
    if not network.roundings:
        off = np.zeros_like(points) if moved is None else moved
        return Settled(points, off, np.ones(count, dtype=bool))
    if points.ndim != 2 or points.shape[1] not in (own, network.input_size):
        raise InputError("network/arity", "the input vector has the wrong length", value=f"{points.shape} for {own}")
    whole, off = np.zeros((2, count, network.input_size))
    whole[:, :own] = points[:, :own]
    if moved is not None:
        off[:, :own] = moved
    values, errors = split_inputs(network, whole), split_inputs(network, off)
    certain = np.ones(count, dtype=bool)
    ports = {rounding.port for rounding in network.roundings}

    def settle(name: str) -> None:
        for rounding in _of(network, name):
            z, error = values[name], errors[name]
            near, other, lost = _judged(rounding, z, error)
            certain[...] &= (other == 0).all(axis=1)
            values[rounding.port], errors[rounding.port] = near - z, error + lost
            place = slice(rounding.start, rounding.start + z.shape[1])
            whole[:, place], off[:, place] = values[rounding.port], errors[rounding.port]

    with np.errstate(over="ignore", invalid="ignore"):
        for port in network.inputs:
            settle(port.name)
        for node in network.nodes:
            if node.name not in ports:
                values[node.name] = node_value(node, values, (count,))
                errors[node.name] = node_error(node, values, errors)
                settle(node.name)
    return Settled(whole, off, certain)


def settle_near(
    network: Network, names: Sequence[str], values: dict[str, FloatArray], errors: dict[str, FloatArray]
) -> None:
    """Set what roundings of some nodes add, where the nodes have values that a run need not have.

    Args:
        network: its roundings.
        names: the inputs and nodes.
        values: (k, n) by name.
        errors: how far the run may be from these; of what is added it is as much as another rounding makes.
    """
    for rounding in (rounding for name in names for rounding in _of(network, name)):
        z, error = values[rounding.source], errors[rounding.source]
        near, other, lost = _judged(rounding, z, error)
        values[rounding.port] = near - z
        errors[rounding.port] = other + (lost if rounding.element == "steps" else 0.0)


def settled_exact(network: Network, x: Sequence[Fraction]) -> list[Fraction]:
    """One exact input (own_size,) or (input_size,) of the model with what is rounded there, exactly: (input_size,)."""
    own = network.own_size
    whole = np.array([*x[:own], *[Fraction(0)] * (network.input_size - own)], dtype=object)
    if not network.roundings:
        return list(whole)
    values: dict[str, ExactArray] = split_inputs(network, whole)
    ports = {rounding.port for rounding in network.roundings}

    def settle(name: str) -> None:
        for rounding in _of(network, name):
            z = values[name].tolist()
            near = _steps_exact(z) if rounding.element == "steps" else map(_EXACTLY[rounding.element], z)
            e = [r - v for r, v in zip(near, z, strict=True)]
            values[rounding.port] = np.array(e, dtype=object)
            whole[rounding.start : rounding.start + len(e)] = e

    for port in network.inputs:
        settle(port.name)
    for node in network.nodes:
        if node.name not in ports:
            values[node.name] = node_value_exact(node, values)
            settle(node.name)
    return list(whole)


def _judged(rounding: Rounding, z: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(k, n) the numbers z, rounded; how far off those within `error` of them may be rounded; what floats lose."""
    if rounding.element == "steps":
        return _steps(z, error)
    low, near, high = (_nearest_float(rounding.element, w) for w in (z - error, z, z + error))
    return near, np.maximum(high - near, near - low), np.spacing(np.abs(near))


def _nearest_float(element: str, z: FloatArray) -> FloatArray:
    """To nearest, ties to even, or up, or down."""
    if element in ("up", "down"):
        below = np.floor(z)
        return below + (z - below >= 0.5 if element == "up" else z - below > 0.5)
    return np.rint(z) if element == "integer" else z.astype(element).astype(np.float64)


def _steps(z: FloatArray, error: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """As `_judged`, for rows z (k, n) whose range, with 0, has 255 steps: DynamicQuantizeLinear."""
    low, high = z.min(axis=1, initial=0.0, keepdims=True), z.max(axis=1, initial=0.0, keepdims=True)
    step, most = (high - low) / 255, error.max(axis=1, keepdims=True)
    safe = np.where(step > 0, step, 1.0)
    zero, quotient = np.rint(-low / safe), z / safe
    near = (np.clip(np.rint(quotient) + zero, 0, 255) - zero) * step
    # a quotient is off by at most three times the largest error, in steps, and what floats round
    slack = 8 * most / safe + 1e-10
    tied = np.abs(quotient - np.floor(quotient) - 0.5) <= slack
    tied |= np.abs(-low / safe - np.floor(-low / safe) - 0.5) <= slack
    return near, np.where(tied | (step == 0) & (most > 0), step + 8 * most, 0.0), 8 * most + 1e-12 * (high - low)


def _steps_exact(z: list[Fraction]) -> list[Fraction]:
    """The numbers of a tensor, each the nearest of 255 steps over their range, with 0."""
    low, high = min(*z, Fraction(0)), max(*z, Fraction(0))
    step = (high - low) / 255
    if not step:
        return z
    zero = round(-low / step)
    return [(min(max(round(v / step) + zero, 0), 255) - zero) * step for v in z]


def _of(network: Network, name: str) -> list[Rounding]:
    return [rounding for rounding in network.roundings if rounding.source == name]


def _nearest(element: str) -> Callable[[Fraction], Fraction]:
    """Rounding of a rational to a float type, ties to even."""
    info = np.finfo(element)
    digits, least = info.nmant + 1, int(info.minexp) - info.nmant

    def nearest(z: Fraction) -> Fraction:
        if not z:
            return z
        size = abs(z)
        exponent = size.numerator.bit_length() - size.denominator.bit_length()
        exponent -= size < Fraction(2) ** exponent  # 2^exponent <= size < 2^(exponent + 1)
        step = Fraction(2) ** max(exponent - digits + 1, least)
        return round(z / step) * step

    return nearest


_EXACTLY: dict[str, Callable[[Fraction], Fraction]] = {
    "integer": lambda z: Fraction(round(z)),
    "up": lambda z: Fraction(math.floor(z + Fraction(1, 2))),
    "down": lambda z: Fraction(math.ceil(z - Fraction(1, 2))),
    "float16": _nearest("float16"),
    "float32": _nearest("float32"),
}
