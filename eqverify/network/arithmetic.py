"""The arithmetic of runtimes, and what one node of a network rounds in it (specs/runtime.md).

The one place that counts roundings of a run: bounds on a domain (`eqverify.runtime_error`) and the comparison of runs
with networks (`eqverify.export.runtime`) are made of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network.convolution import Convolution
from eqverify.network.evaluate import gamma, scaled_error
from eqverify.network.graph import Affine
from eqverify.network.linear import Dense, Diagonal

_EXTRA_ROUNDINGS = 16
"""Roundings per component beyond those of its sum, in operators that are read as other maps than they compute with:
normalisations (a root, a quotient, a product of constants), means, scalings of Gemm that no float64 holds."""

_PRODUCT_ROUNDINGS = 3
"""The same where nothing is scaled: Gemm's alpha and beta, and one to spare."""

_ABOVE = 1.0 + 2.0**-50


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A type of IEEE 754, rounded to nearest; subnormal results may be flushed to zero.

    Attributes:
        element: its name, as of a port.
        unit: the unit roundoff.
        smallest_normal: below it a result is off by at most that much.
        largest: the largest finite number.
    """

    element: str
    unit: float
    smallest_normal: float
    largest: float

    @classmethod
    def of(cls, element: str) -> Arithmetic:
        """The arithmetic of a port's element type."""
        info = np.finfo(element)
        return cls(element, float(info.eps) / 2, float(info.smallest_normal), float(info.max))


def node_size(node: Affine, sizes: Mapping[str, FloatArray]) -> FloatArray:
    """|bias| + sum_k |map_k| sizes_k, (batch, n), rounded upwards; `sizes` by source, (batch, n), none negative."""
    batch = next((len(sizes[term.source]) for term in node.terms), 1)
    total = np.broadcast_to(np.abs(node.bias), (batch, node.size))
    with np.errstate(over="ignore", invalid="ignore"):
        for term in node.terms:
            total = total + term.map.absolute().forward(sizes[term.source])
        return scaled_error(1.0 + 2 * gamma(_count(node)), total)


def node_peak(node: Affine, ranges: Mapping[str, tuple[FloatArray, FloatArray]]) -> FloatArray:
    """A bound on the magnitude of the sum of any of a component's summands, bias included (F-1).

    Such a sum is between the sum of all negative ones and that of all positive ones.

    Args:
        node: what is computed.
        ranges: by source, (lower, upper) of the run's values, (batch, n) each.

    Returns:
        (batch, n), rounded upwards; at most `node_size` of the same values, about.
    """
    positive = {source: np.maximum(upper, 0.0) for source, (_, upper) in ranges.items()}
    negative = {source: np.maximum(-lower, 0.0) for source, (lower, _) in ranges.items()}
    size = node_size(node, {source: positive[source] + negative[source] for source in ranges})
    balance = np.broadcast_to(node.bias, size.shape)
    with np.errstate(over="ignore", invalid="ignore"):
        for term in node.terms:
            balance = balance + term.map.forward(positive[term.source] - negative[term.source])
        half = (size + np.abs(balance)) / 2 + gamma(_count(node)) * size
    return np.where(np.isfinite(half), half * _ABOVE, np.inf)


def node_rounding(
    node: Affine,
    size: FloatArray,
    arithmetic: Arithmetic,
    peak: FloatArray | None = None,
    summands: Mapping[str, int] | None = None,
    *,
    computed: bool = False,
) -> FloatArray:
    """A bound on what a run rounds in one node, at the run's own values before it (F-1).

    Args:
        node: what is computed.
        size: (batch, n) `node_size` at bounds on the magnitude of those values.
        arithmetic: of the run.
        peak: (batch, n) `node_peak` at bounds on those values; by default `size`.
        summands: by source, how many of its components need not be zero; others are added without rounding.
        computed: whether the run may have computed the node's constants, and rounded them, too.

    Returns:
        (batch, n) bounds on |computed - exact| if nothing overflows, rounded upwards; 0 where components are copied.
    """
    if len(node.terms) == 1 and node.terms[0].map.copies and not node.bias.any():
        return np.zeros_like(size)
    most = {} if summands is None else summands
    sums = sum(min(term.map.fan_in, most.get(term.source, term.map.fan_in)) for term in node.terms)
    others = len(node.terms) + (_EXTRA_ROUNDINGS if computed or scales(node) else _PRODUCT_ROUNDINGS)
    later = gamma(sums + others, arithmetic.unit)
    lost = 4 * (sums + others) * arithmetic.smallest_normal * largest_factor(node)
    with np.errstate(over="ignore", invalid="ignore"):
        reached = size if peak is None else np.minimum(peak, size)
        rounded = sums * (reached + later * size) + others * (1.0 + later) * size
        return np.asarray(arithmetic.unit * rounded * _ABOVE + lost)


def _count(node: Affine) -> int:
    """Roundings of one component in float64, at most."""
    return sum(term.map.fan_in + 2 for term in node.terms) + 4


def scales(node: Affine) -> bool:
    """Whether a node multiplies otherwise than in a sum of products: a run may do that before it adds."""
    return not all(isinstance(term.map, Dense | Convolution) or term.map.copies for term in node.terms)


def largest_factor(node: Affine) -> float:
    """What a number that underflows can be multiplied by before the node's value is there: at least 1."""
    arrays = [array for term in node.terms for array in term.map.parameters() if array.dtype == np.float64]
    divisors = [term.map.divisor for term in node.terms if isinstance(term.map, Diagonal)]
    sizes = [max(float(array.max(initial=0.0)), -float(array.min(initial=0.0))) for array in arrays]
    smallest = [float(np.abs(divisor).min(initial=1.0)) for divisor in divisors]
    return max(1.0, *sizes, 0.0) / min(1.0, *smallest, 1.0)
