"""A network with two hidden layers that follows another on its linear regions (specs/regions.md, N-5).

Kumar, Serra, Ramalingam, "Equivalent and Approximate Transformations of Deep Neural Networks" (arXiv 1905.11428,
"global linear approximation").  For each pattern S with half-spaces f_i >= 0 and outputs T x + t

    r_i = max(0, d_i - f_i)                             one ramp per unit and pattern, first hidden layer
    u_j = max(0, T_j x + t_j - L_j - M_j sum_i r_i)     one unit per pattern and output, second hidden layer
    g_j = L_j + sum over patterns of u_j

with L_j below the network's output j on the domain.  The ramps are 0 where every f_i >= d_i, so that there u_j is the
output exactly; and one of them is at least d_i wherever some f_i <= 0, so that M_j = max(T_j x + t_j - L_j) / d turns
the units of all other patterns off.  The input passes the first layer on units  x_k - lower_k >= 0.

All numbers are rounded to the element type here, and the thresholds moved so that the above holds for what is stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.approximate.forms import Frame
from eqverify.approximate.pieces import Piece
from eqverify.arrays import FloatArray
from eqverify.errors import LimitError, UsageError
from eqverify.network import UNIT_ROUNDOFF, Affine, Dense, Network, Node, Port, Relu, Sparse, Term
from eqverify.options import Element

MAX_WEIGHTS = 1 << 25
"""Entries of the matrix between the hidden layers: the file writes zeros, too (128 MB of float32)."""


@dataclass(frozen=True, slots=True, eq=False)
class Shallow:
    """The network and what is proved about it.

    Attributes:
        network: inputs and outputs as those of the original.
        pieces: the patterns that it follows.
        thresholds: per piece, (k,) d_i: the delta-interior is where every f_i >= d_i.
        delta: distance of the delta-interior from the facets.
        ramps: units of the first hidden layer that are ramps, equal ones counted once.
        ramps_apart: the same with equal ones counted apart.
        carriers: units of the first hidden layer that carry inputs.
        second: units of the second hidden layer.
        epsilon: (outputs,) proved |f - g| on the delta-interiors: rounding of the stored weights.
        bound: (outputs,) proved |f - g| on the whole domain.
    """

    network: Network
    pieces: tuple[Piece, ...]
    thresholds: tuple[FloatArray, ...]
    delta: float
    ramps: int
    ramps_apart: int
    carriers: int
    second: int
    epsilon: FloatArray
    bound: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Ramps:
    """The ramps of one piece: max(0, weights . x + bias), 0 where f >= threshold and at least `least` where f <= 0."""

    weights: FloatArray
    bias: FloatArray
    thresholds: FloatArray
    least: float


def build_shallow(
    original: Network,
    frame: Frame,
    pieces: list[Piece],
    floor: FloatArray,
    ceiling: FloatArray,
    delta: float,
    element: Element,
) -> Shallow:
    """The network of some pieces.

    Args:
        original: what it follows; its ports are taken.
        frame: the box around the domain.
        pieces: pieces of the domain; no two may share inner points.
        floor: (outputs,) proved lower bounds of the outputs on the domain.
        ceiling: (outputs,) proved upper bounds.
        delta: positive distance from the facets, in units of the inputs.
        element: type of the weights.

    Raises:
        UsageError: `shallow/delta` where delta is not positive, or below the rounding of the weights.
        LimitError: `shallow/too-large`.
    """
    if not (delta > 0 and np.isfinite(delta)):
        hint = "give one with --delta; by default it is a tenth of the regions' radius, which can be too thin"
        raise UsageError("shallow/delta", "delta must be a positive number", value=delta, hint=hint)
    rounding = _Rounding(element)
    ramps = [_ramps(piece, frame, delta, rounding) for piece in pieces]
    n, outputs, count = frame.free.size, floor.size, len(pieces)
    stacked = np.concatenate([np.column_stack([r.weights, r.bias]) for r in ramps] or [np.empty((0, n + 1))])
    shared, index = np.unique(stacked, axis=0, return_inverse=True)
    width = len(shared) + n
    if width * count * outputs > MAX_WEIGHTS:
        raise LimitError(
            "shallow/too-large",
            "the network with two hidden layers is too large to be written",
            value=f"{width} by {count * outputs} units for {count} patterns",
            hint="take a smaller input box, or only the feasible patterns",
        )
    shift = rounding.up(-frame.lower)
    base = rounding.down(floor - 4 * _slack(pieces, floor, frame, shift, rounding))
    lines = [_line(piece, base, frame, shift, rounding) for piece in pieces]
    epsilon = np.max([error for _, _, error in lines], axis=0, initial=0.0)
    rows, columns, values, bias = [], [], [], []
    start = 0
    for number, (own, (slopes, constants, _)) in enumerate(zip(ramps, lines, strict=True)):
        used = np.unique(index.ravel()[start : start + own.bias.size])  # two units may have one ramp
        start += own.bias.size
        strength = _strength(slopes, constants, shift, frame, own.least, rounding)
        for output in range(outputs):
            rows.append(np.full(used.size + n, number * outputs + output))
            columns.append(np.concatenate([used, len(shared) + np.arange(n)]))
            values.append(np.concatenate([np.full(used.size, -strength[output]), slopes[:, output]]))
            bias.append(constants[output])
    first = np.zeros((width, frame.box.size))
    first[: len(shared), frame.free] = shared[:, :-1]
    first[len(shared) + np.arange(n), frame.free] = 1.0
    pieces_map = Sparse.from_entries(
        _joined(rows).astype(np.int64), _joined(columns).astype(np.int64), _joined(values), (count * outputs, width)
    )
    network = _assemble(original, first, np.concatenate([shared[:, -1], shift]), pieces_map, np.array(bias), base)
    gap = np.nextafter((ceiling - base) * (1 + 8 * UNIT_ROUNDOFF) + epsilon, np.inf)
    return Shallow(
        network,
        tuple(pieces),
        tuple(r.thresholds for r in ramps),
        delta,
        len(shared),
        len(stacked),
        n,
        count * outputs,
        epsilon,
        gap,
    )


@dataclass(frozen=True, slots=True)
class _Rounding:
    """Rounding to an element type."""

    element: Element

    def near(self, x: FloatArray) -> FloatArray:
        """To the nearest number."""
        return np.asarray(x, dtype=np.float64).astype(self.element).astype(np.float64)

    def up(self, x: FloatArray) -> FloatArray:
        """To a number not below."""
        near = np.asarray(x, dtype=np.float64).astype(self.element)
        low = near.astype(np.float64) < x
        return np.where(low, np.nextafter(near, np.asarray(np.inf, dtype=self.element)), near).astype(np.float64)

    def down(self, x: FloatArray) -> FloatArray:
        """To a number not above."""
        return -self.up(-np.asarray(x, dtype=np.float64))


def _ramps(piece: Piece, frame: Frame, delta: float, rounding: _Rounding) -> _Ramps:
    magnitude = frame.magnitude[:-1]
    rows, offsets = piece.rows, piece.offsets
    thresholds = delta * np.sqrt((rows**2).sum(axis=1))
    weights = rounding.near(-rows)
    size = np.abs(rows) @ magnitude + np.abs(offsets) + thresholds
    off = piece.errors + np.abs(weights + rows) @ magnitude + 16 * (frame.free.size + 4) * UNIT_ROUNDOFF * size
    bias = rounding.down(thresholds - offsets - off)
    least = offsets + bias - off
    if piece.never:  # a ramp that is 1 everywhere
        weights, bias = np.vstack([weights, np.zeros(frame.free.size)]), np.append(bias, 1.0)
        thresholds, least = np.append(thresholds, 1.0), np.append(least, 1.0)
    if least.size and not least.min() > 0:
        raise UsageError(
            "shallow/delta",
            "delta is below the rounding of the weights",
            value=delta,
            hint="give a larger --delta, or --dtype float64",
        )
    return _Ramps(weights, bias, thresholds, float(least.min(initial=np.inf)))


def _line(
    piece: Piece, base: FloatArray, frame: Frame, shift: FloatArray, rounding: _Rounding
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """T x + t - L over x + shift as stored: slopes (n, outputs), constants, and the distance from the network."""
    slopes = rounding.near(piece.slopes)
    wanted = piece.constants - base - shift @ slopes
    constants = rounding.near(wanted)
    magnitude = frame.magnitude[:-1]
    size = np.abs(piece.constants) + np.abs(base) + (np.abs(shift) + magnitude) @ np.abs(piece.slopes)
    rounded = magnitude @ np.abs(slopes - piece.slopes) + np.abs(constants - wanted)
    error = piece.output_error + rounded + 16 * (frame.free.size + 4) * UNIT_ROUNDOFF * size
    return slopes, constants, error * (1 + 1e-12)


def _slack(pieces: list[Piece], floor: FloatArray, frame: Frame, shift: FloatArray, rounding: _Rounding) -> FloatArray:
    """How far L must stay below the outputs for rounding not to turn a unit off."""
    errors = [_line(piece, floor, frame, shift, rounding)[2] for piece in pieces]
    return np.asarray(np.max(errors, axis=0, initial=0.0)) + 4 * UNIT_ROUNDOFF * np.abs(floor)


def _strength(
    slopes: FloatArray, constants: FloatArray, shift: FloatArray, frame: Frame, least: float, rounding: _Rounding
) -> FloatArray:
    """(outputs,) M: what turns a unit off where the ramps add up to at least `least`."""
    if not np.isfinite(least):
        return np.zeros(constants.size)
    low, high = frame.lower + shift, frame.upper + shift
    largest = np.maximum(slopes, 0.0).T @ high + np.minimum(slopes, 0.0).T @ low + constants
    size = np.abs(slopes).T @ (np.abs(low) + np.abs(high)) + np.abs(constants)
    largest = largest + 16 * (frame.free.size + 4) * UNIT_ROUNDOFF * size
    return rounding.up(np.maximum(largest, 0.0) / least * (1 + 8 * UNIT_ROUNDOFF))


def _joined(arrays: list[FloatArray]) -> FloatArray:
    return np.concatenate(arrays) if arrays else np.empty(0)


def _assemble(
    original: Network, first: FloatArray, bias: FloatArray, pieces: Sparse, constants: FloatArray, base: FloatArray
) -> Network:
    """The three layers between the ports of the original."""
    terms, start = [], 0
    for port in original.inputs:
        terms.append(Term(port.name, Dense(first[:, start : start + port.size])))
        start += port.size
    nodes: list[Node] = [
        Affine("shallow.ramps", tuple(terms), bias),
        Relu("shallow.first", "shallow.ramps"),
        Affine("shallow.pieces", (Term("shallow.first", pieces),), constants),
        Relu("shallow.second", "shallow.pieces"),
    ]
    ports, start = [], 0
    units = np.arange(constants.size)
    for number, port in enumerate(original.outputs):
        chosen = np.flatnonzero((units % base.size >= start) & (units % base.size < start + port.size))
        rows = chosen % base.size - start
        summed = Sparse.from_entries(rows, chosen, np.ones(chosen.size), (port.size, constants.size))
        name = f"shallow.sum{number}"
        nodes.append(Affine(name, (Term("shallow.second", summed),), base[start : start + port.size]))
        ports.append(Port(port.name, port.shape, port.element, name))
        start += port.size
    return Network(original.inputs, tuple(nodes), tuple(ports))
