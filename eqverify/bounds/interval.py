"""Interval arithmetic over batches of boxes, rounded outwards by an a-priori error bound.

Every array of bounds has a leading axis of boxes: (boxes, n).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import ContradictionError, Place
from eqverify.functions import product_range
from eqverify.network import UNIT_ROUNDOFF, Affine, Network, Node, Product, Relu, gamma, split_inputs
from eqverify.network.evaluate import UNDERFLOW, scaled_error


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """lower <= value <= upper, both (boxes, n); infinite where nothing is known."""

    lower: FloatArray
    upper: FloatArray

    @property
    def magnitude(self) -> FloatArray:
        """(boxes, n) max |value|."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def relu(self) -> Interval:
        """Bounds of max(0, value); exact."""
        return Interval(np.maximum(self.lower, 0.0), np.maximum(self.upper, 0.0))

    def intersect(self, other: Interval, node: str) -> Interval:
        """What both say.

        Raises:
            ContradictionError: `bounds/contradiction` where they exclude each other; one of two proofs is then wrong.
        """
        lower, upper = np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        if (lower > upper).any():
            box, unit = (int(i) for i in np.argwhere(lower > upper)[0])
            raise ContradictionError(
                "bounds/contradiction",
                "two proved bounds exclude each other",
                place=Place(node=node, unit=unit),
                value=f"[{lower[box, unit]!r}, {upper[box, unit]!r}] on box {box}",
                hint="this is a defect of eqverify or of a solver; please report it with the files",
            )
        return Interval(lower, upper)


Bounds = Mapping[str, Interval]
"""By name of input or node."""


def enclose(value: FloatArray, radius: FloatArray) -> Interval:
    """[value - radius, value + radius] rounded outwards; everything where either is NaN."""
    lower = np.nextafter(value - radius, -np.inf)
    upper = np.nextafter(value + radius, np.inf)
    return Interval(np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper))


def centred(interval: Interval) -> tuple[FloatArray, FloatArray]:
    """A centre c and a radius r >= |value - c|, both (boxes, n)."""
    centre = np.clip(interval.lower + (interval.upper - interval.lower) / 2, interval.lower, interval.upper)
    radius = np.maximum(interval.upper - centre, centre - interval.lower)
    return centre, np.where(radius > 0, np.nextafter(radius, np.inf), radius)


def interval_affine(node: Affine, bounds: Bounds) -> Interval:
    """Bounds of an affine node from those of its sources.

    With centre c and radius r of a source, W x lies within |W| r of W c; the floating-point errors of both products
    are at most gamma |W| (|c| + r) (Higham 2002, eq. 3.5).  A component that reads only zeros is its bias, exactly:
    that is how units without weights, and units behind stably inactive ones, are decided.
    """
    terms = sum(term.map.fan_in + 2 for term in node.terms) + 3
    constant = gamma(terms)
    boxes = next(iter(bounds.values())).lower.shape[0]
    value = np.broadcast_to(node.bias, (boxes, node.size))
    radius = constant * np.abs(value)
    reads = np.zeros_like(value)
    with np.errstate(invalid="ignore", over="ignore"):
        for term in node.terms:
            centre, spread = centred(bounds[term.source])
            value = value + term.map.forward(centre)
            size = np.abs(centre) + spread
            radius = radius + term.map.absolute().forward(spread + scaled_error(constant, size))
            reads = reads + term.map.absolute().forward((~(size == 0)).astype(np.float64))
        found = enclose(value, radius * (1.0 + 2 * constant) + 4 * UNIT_ROUNDOFF * np.abs(value) + UNDERFLOW)
    # A sum of non-negative numbers is 0 only where all are, whatever the order of summation.
    return Interval(np.where(reads == 0, node.bias, found.lower), np.where(reads == 0, node.bias, found.upper))


def interval_step(node: Node, bounds: Bounds) -> Interval:
    """Bounds of a node from those of its sources."""
    if isinstance(node, Affine):
        return interval_affine(node, bounds)
    if isinstance(node, Relu):
        return bounds[node.source].relu()
    if isinstance(node, Product):
        ends = [(bounds[source].lower, bounds[source].upper) for source in node.sources]
        return Interval(*product_range(ends[0], ends[1]))
    argument = bounds[node.argument]
    with np.errstate(all="ignore"):
        return Interval(*node.function.range(argument.lower, argument.upper))


def input_intervals(network: Network, lower: FloatArray, upper: FloatArray) -> dict[str, Interval]:
    """The boxes [lower, upper], (boxes, input_size) each, as one interval per input."""
    lowers, uppers = split_inputs(network, lower), split_inputs(network, upper)
    return {name: Interval(lowers[name], uppers[name]) for name in lowers}


def interval_bounds(
    network: Network, lower: FloatArray, upper: FloatArray, known: Bounds | None = None
) -> dict[str, Interval]:
    """Bounds of all nodes over boxes.

    Args:
        network: the network.
        lower: (boxes, input_size).
        upper: (boxes, input_size).
        known: proved intervals of some affine nodes, (boxes or 1, n), used wherever they are tighter.

    Returns:
        An interval per input and node.  Trusted: float64 arithmetic rounds correctly, and `known`.

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    bounds = input_intervals(network, lower, upper)
    for node in network.nodes:
        bounds[node.name] = interval_step(node, bounds)
        if isinstance(node, Affine) and known is not None and node.name in known:
            bounds[node.name] = bounds[node.name].intersect(known[node.name], node.name)
    return bounds
