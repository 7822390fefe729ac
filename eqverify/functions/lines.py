"""Two lines around a function on an interval: proved for any slopes, tight for those chosen here (B-13).

For a slope a, the line a x + b is above f where b is at least max f(x) - a x over the interval.  On a piece where
f is convex that is at an end; where f is concave, a tangent at any point p of the piece bounds it,

    f(x) - a x <= f(p) - a p + (f'(p) - a) (x - p),

and p is best where f'(p) is about a.  So neither slopes nor points need care: they are chosen in plain float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Function, Piece

_STEPS = 32
"""Halvings on the way to the point where the derivative is the slope: what they leave counts by its square."""

_HALF = 8
"""Points of a grid on either side of the middle."""

_ABOVE = 1.0 + 2.0**-48


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """low_slope x + low <= f(x) <= high_slope x + high on intervals; all of the intervals' shape.

    Slopes are finite; `low` and `high` may be infinite, with slope 0.
    """

    low_slope: FloatArray
    low: FloatArray
    high_slope: FloatArray
    high: FloatArray


def lines(function: Function, lower: FloatArray, upper: FloatArray) -> Lines:
    """The lines around a function on each of the intervals [lower, upper], any shape.

    They leave little room at the middle of the interval.  Trusted: float64 arithmetic, and what the function says of
    its pieces and of its library (`eqverify.functions.function`).
    """
    with np.errstate(all="ignore"):
        least, most = function.range(lower, upper)
        found = []
        for side, end in ((-1.0, least), (1.0, most)):
            slope = _slope(function, lower, upper, side)
            offset = side * above(function, slope, lower, upper, side)
            level = side * (end - (offset + slope * (lower + (upper - lower) / 2)))
            proved = np.isfinite(offset) & np.isfinite(least) & np.isfinite(most) & (level >= 0)
            found += [np.where(proved, slope, 0.0), np.where(proved, offset, end)]
    return Lines(*found)


def above(function: Function, slope: FloatArray, lower: FloatArray, upper: FloatArray, side: float) -> FloatArray:
    """A bound of side (f(x) - slope x) from above on each interval, for any slopes; NaN or infinite for none.

    Args:
        function: f.
        slope: of the intervals' shape.
        lower, upper: the intervals, in the function's domain.
        side: 1 or -1.
    """
    result = np.full_like(lower, -np.inf)
    for piece in function.pieces(lower, upper):
        if not (here := piece.start <= piece.end).any():
            continue
        start, end = np.where(here, piece.start, lower), np.where(here, piece.end, lower)
        own, bend = Piece(start, end, piece.bend), side * piece.bend
        ends = np.maximum(_at(function, slope, start, side), _at(function, slope, end, side))
        bound = np.where(bend > 0, ends, np.nan)
        if (bend < 0).any():
            bound = np.where(bend < 0, _by_tangent(function, slope, own, side), bound)
        if (bend == 0).any():
            bound = np.where(bend == 0, _by_range(function, slope, own, side), bound)
        result = np.where(here, np.maximum(result, bound), result)
    return result


def _at(function: Function, slope: FloatArray, x: FloatArray, side: float) -> FloatArray:
    """side (f(x) - slope x), rounded up."""
    low, high = function.enclosure(x)
    return _plus(high if side > 0 else -low, -side * slope, x)


def _plus(value: FloatArray, factor: FloatArray, x: FloatArray) -> FloatArray:
    """value + factor x, rounded up."""
    return np.nextafter(value + np.nextafter(factor * x, np.inf), np.inf)


def _by_tangent(function: Function, slope: FloatArray, piece: Piece, side: float) -> FloatArray:
    """The bound on a piece on which side f is concave."""
    start, end = piece.start, piece.end
    left, right = start, end
    for _ in range(_STEPS):
        middle = left + (right - left) / 2
        rising = side * (function.slope(middle) - slope) > 0
        left, right = np.where(rising, middle, left), np.where(rising, right, middle)
    point = np.clip(left + (right - left) / 2, start, end)
    low, high = function.slope_enclosure(point)
    least, most = (low - slope, high - slope) if side > 0 else (slope - high, slope - low)
    gain = _product(most, end - point)
    loss = _product(-least, point - start)
    return np.nextafter(_at(function, slope, point, side) + np.maximum(gain, loss), np.inf)


def _product(rate: FloatArray, width: FloatArray) -> FloatArray:
    """max(rate, 0) width, rounded up, for a width that is a rounded difference."""
    steep = np.maximum(np.nextafter(rate, np.inf), 0.0)
    return np.where(width == 0, 0.0, np.nextafter(steep * np.nextafter(width, np.inf) * _ABOVE, np.inf))


def _by_range(function: Function, slope: FloatArray, piece: Piece, side: float) -> FloatArray:
    """The bound on a piece, a narrow one, of which nothing is known."""
    low, high = function.range(piece.start, piece.end)
    value = high if side > 0 else -low
    return np.maximum(_plus(value, -side * slope, piece.start), _plus(value, -side * slope, piece.end))


def _slope(function: Function, lower: FloatArray, upper: FloatArray, side: float) -> FloatArray:
    """The slope, about, of the line above side f that is lowest at the middle of each interval, times side.

    It is that of an edge of the concave hull, or the derivative where the hull has a corner there or is f itself.
    """
    width = upper - lower
    middle = lower + width / 2
    places = lower[..., None] + width[..., None] * (np.arange(2 * _HALF + 1) / (2 * _HALF))
    values = side * function.value(places)
    i, j = np.arange(_HALF)[:, None], np.arange(_HALF + 1, 2 * _HALF + 1)[None, :]
    heights = (values[..., :_HALF, None] * (j - _HALF) + values[..., None, _HALF + 1 :] * (_HALF - i)) / (j - i)
    best = np.nan_to_num(heights, nan=-np.inf).reshape(*lower.shape, _HALF * _HALF).argmax(axis=-1)
    step = width / (2 * _HALF)
    left, right = lower + step * (best // _HALF), lower + step * (best % _HALF + _HALF + 1)
    hull = np.take_along_axis(heights.reshape(*lower.shape, _HALF * _HALF), best[..., None], -1)[..., 0]
    right = _refined(function, side, left, right, middle, (np.nextafter(middle, np.inf), upper), step)
    left = _refined(function, side, right, left, middle, (lower, np.nextafter(middle, -np.inf)), step)
    edge = (function.value(right) - function.value(left)) / (right - left)
    tangent = function.slope(middle)
    chosen = np.where(hull > values[..., _HALF], edge, tangent)
    chosen = np.where(np.isfinite(chosen), chosen, tangent)
    return np.where(np.isfinite(chosen), chosen, 0.0)


def _refined(
    function: Function,
    side: float,
    fixed: FloatArray,
    moved: FloatArray,
    middle: FloatArray,
    limits: tuple[FloatArray, FloatArray],
    step: FloatArray,
) -> FloatArray:
    """The end of an edge of the hull, moved by up to a step so that the edge is highest in the middle."""
    tried = moved[..., None] + step[..., None] * (np.arange(-_HALF, _HALF + 1) / _HALF)
    tried = np.clip(tried, limits[0][..., None], limits[1][..., None])
    base = side * function.value(fixed)[..., None]
    rise = (side * function.value(tried) - base) / (tried - fixed[..., None])
    heights = np.nan_to_num(base + rise * (middle - fixed)[..., None], nan=-np.inf)
    return np.take_along_axis(tried, heights.argmax(axis=-1)[..., None], -1)[..., 0]
