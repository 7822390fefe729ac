"""Arithmetic on stored numbers: without rounding, or it is known that there is none to avoid."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray

_SMALLEST_NORMAL = 2.0**-1022


def _significant_bits(values: FloatArray) -> int:
    """The largest number of significant bits of any of `values` (finite)."""
    nonzero = values[values != 0]
    if not nonzero.size:
        return 0
    mantissas = (np.abs(np.frexp(nonzero)[0]) * 2.0**53).astype(np.int64)
    lowest = mantissas & -mantissas
    return int(53 - np.log2(lowest.astype(np.float64)).min())


def exact_product(values: FloatArray, factor: float) -> FloatArray | None:
    """`values` * `factor`, or None unless every product is a float64 without rounding.

    The test is sufficient, not necessary: the significant bits of both must fit into 53 together (a power of two
    needs none), and no product may overflow or be subnormal.
    """
    bits = (_significant_bits(values), _significant_bits(np.array([factor])))
    if min(bits) > 1 and sum(bits) > 53:
        return None
    with np.errstate(over="ignore", under="ignore"):
        products = values * factor
    magnitude = np.abs(products)
    lost = (magnitude < _SMALLEST_NORMAL) & (values != 0) & (factor != 0)
    return None if lost.any() or not np.isfinite(magnitude).all() else products


def nearest_root(square: Fraction) -> float:
    """The float64 nearest to the square root of a positive number."""
    shift = 80 + max(0, square.denominator.bit_length() - square.numerator.bit_length())
    scaled = (square.numerator << 2 * shift) // square.denominator
    root = math.isqrt(scaled)
    exact = root * root * square.denominator == square.numerator << 2 * shift
    # More than 80 bits of the root, and one that says whether there is a remainder: enough to round correctly.
    return (2 * root + (not exact)) / (1 << shift + 1)
