"""Products of two numbers, with planes around them that are proved on boxes (specs/bounds.md, B-14)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.functions.function import Ends

_SMALLEST = 2.0**-1070
"""Above what products lose by underflow."""


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """left x + right y + low <= x y <= left x + right y + high; all of one shape."""

    left: FloatArray
    right: FloatArray
    low: FloatArray
    high: FloatArray


def product_range(one: Ends, other: Ends) -> Ends:
    """Bounds of x y for x and y between ends, rounded outwards; everything where an end is infinite and another 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        corners = np.stack([a * b for a in one for b in other])
    unknown = np.isnan(corners).any(axis=0)
    lower, upper = np.nextafter(corners.min(axis=0), -np.inf), np.nextafter(corners.max(axis=0), np.inf)
    zero = ~unknown & (_only(one) | _only(other))
    lower, upper = np.where(zero, 0.0, lower), np.where(zero, 0.0, upper)
    return np.where(unknown, -np.inf, lower), np.where(unknown, np.inf, upper)


def _only(ends: Ends) -> BoolArray:
    """Where a number can be 0 only."""
    return np.asarray((ends[0] == 0) & (ends[1] == 0))


def product_planes(one: Ends, other: Ends) -> Planes:
    """Planes around x y on the boxes of x and y between ends.

    With c and d any centres,  x y = d x + c y - c d + (x - c) (y - d),  and the last product is at most the product of
    how far x and y can be from these.  Infinite where an end is.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        (c, r), (d, s) = _centred(one), _centred(other)
        middle = c * d
        spread = np.nextafter(np.nextafter(r * s, np.inf) + np.spacing(np.abs(middle)) + _SMALLEST, np.inf)
        low, high = np.nextafter(-middle - spread, -np.inf), np.nextafter(spread - middle, np.inf)
    known = np.isfinite(c) & np.isfinite(d) & np.isfinite(low) & np.isfinite(high)
    c, d = np.where(known, c, 0.0), np.where(known, d, 0.0)
    least, most = product_range(one, other)
    return Planes(d, c, np.where(known, low, least), np.where(known, high, most))


def _centred(ends: Ends) -> tuple[FloatArray, FloatArray]:
    """Centres, and how far numbers between the ends are from them at most, rounded up."""
    lower, upper = ends
    centre = lower + (upper - lower) / 2
    reach = np.maximum(upper - centre, centre - lower)
    return centre, np.where(reach > 0, np.nextafter(reach, np.inf), 0.0)
