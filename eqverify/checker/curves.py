"""Ranges and lines of functions on intervals, and planes around products (specs/certificate.md, K-21).

Slopes and the points of tangents are guesses: they may be any numbers.  Offsets are shown by arithmetic of integers,
from enclosures of values and derivatives (`eqverify.checker.elementary`), and from where a function is convex or
concave, which is stated here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from eqverify import functions
from eqverify.arrays import FloatArray, IntArray
from eqverify.checker import elementary
from eqverify.checker.elementary import BITS, Jet, integers, rounded_up
from eqverify.checker.numbers import Floats, Numbers
from eqverify.errors import InputError

Ends = tuple[FloatArray, FloatArray]
"""Lower and upper ends of intervals."""

_GRID = 64
"""Slopes are multiples of 2^-64."""
_STEEPEST = 2.0**200
_STEPS = 32
"""Halvings on the way to the point of a tangent."""

_NEAR = 1e-9
"""Within that of a turn that is no float, nothing is known of the bend."""
_STEEP = 2
"""More than the derivative of functions with such turns, in size."""
_PERIOD = 6.2
"""Less than 2 pi: on wider intervals nothing is said of a sine."""


class Lines(NamedTuple):
    """alpha x + base <= f(x) <= lam x + offset, on intervals whose shape these have."""

    alpha: FloatArray
    base: FloatArray
    lam: FloatArray
    offset: FloatArray


class Part(NamedTuple):
    """A part of each interval, none where `start` is above `end`; `bend` is 1 for convex, -1, or 0 for unknown."""

    start: FloatArray
    end: FloatArray
    bend: FloatArray


@dataclass(frozen=True, slots=True)
class Curve:
    """A function of one number.

    Attributes:
        jet: values and derivatives at numbers in its domain.
        turns: of intervals, where the bend changes, ascending, and what it is before.
        ends: all values lie between these.
        domain: intervals between these are looked at; elsewhere nothing but `ends` is said.
        near: how far turns may be off.
        widest: intervals that are wider are not looked at.
    """

    jet: Callable[[Any], Jet]
    turns: Callable[[FloatArray], tuple[list[FloatArray], FloatArray]]
    ends: tuple[float, float] = (-np.inf, np.inf)
    domain: tuple[float, float] = (-(2.0**100), 2.0**100)
    near: float = 0.0
    widest: float = np.inf

    def parts(self, lower: FloatArray, upper: FloatArray) -> Iterator[Part]:
        """What intervals consist of."""
        turns, bend = self.turns(lower)
        start = lower
        for turn in turns:
            yield Part(start, np.minimum(upper, turn - self.near), bend)
            if self.near:
                around = np.maximum(lower, turn - self.near), np.minimum(upper, turn + self.near)
                yield Part(*around, np.zeros_like(bend))
            start, bend = np.maximum(lower, turn + self.near), -bend
        yield Part(start, upper, bend)


def _bent(first: float, *at: float) -> Callable[[FloatArray], tuple[list[FloatArray], FloatArray]]:
    """Turns that are the same for all intervals."""
    return lambda lower: ([np.full_like(lower, turn) for turn in at], np.full_like(lower, first))


def _waves(quarters: int) -> Callable[[FloatArray], tuple[list[FloatArray], FloatArray]]:
    """Turns of sin(x + quarters pi / 2) from the start of intervals on.

    Between k pi and (k + 1) pi sin has the sign (-1)^k, and its bend is the opposite.
    """

    def found(lower: FloatArray) -> tuple[list[FloatArray], FloatArray]:
        first = np.floor(lower / np.pi + quarters / 2)
        return [(first + (k - quarters / 2)) * np.pi for k in range(4)], np.where(first % 2 == 0, 1.0, -1.0)

    return found


_TURN = 2.39935728052
"""x tanh(x / 2) = 2, about: there x times its sigmoid turns."""
_LARGE, _SMALL = 2.0**100, 2.0**-60

_CURVES: dict[type[functions.Function], Curve] = {
    functions.Exp: Curve(elementary.exponential, _bent(1), (0.0, np.inf), (-600.0, 600.0)),
    functions.Sigmoid: Curve(elementary.sigmoid, _bent(1, 0), (0.0, 1.0)),
    functions.Tanh: Curve(elementary.tanh, _bent(1, 0), (-1.0, 1.0)),
    functions.Erf: Curve(elementary.erf, _bent(1, 0), (-1.0, 1.0)),
    functions.Softplus: Curve(elementary.softplus, _bent(1), (0.0, np.inf)),
    functions.Silu: Curve(elementary.silu, _bent(-1, -_TURN, _TURN), near=_NEAR),
    functions.Log: Curve(elementary.logarithm, _bent(-1), domain=(_SMALL, _LARGE)),
    functions.Sqrt: Curve(elementary.root, _bent(-1), domain=(0.0, _LARGE)),
    functions.Reciprocal: Curve(elementary.reciprocal, _bent(1), domain=(_SMALL, _LARGE)),
    functions.Sin: Curve(elementary.sine, _waves(0), (-1.0, 1.0), (-1e5, 1e5), _NEAR, _PERIOD),
    functions.Cos: Curve(elementary.cosine, _waves(1), (-1.0, 1.0), (-1e5, 1e5), _NEAR, _PERIOD),
}


def _curve(function: functions.Function) -> Curve:
    """What is known of a function; of reciprocals and logarithms, of positive numbers only.

    Raises:
        InputError: `network/smooth`.
    """
    if isinstance(function, functions.Power):
        odd = function.exponent % 2 == 1
        bend, ends = (_bent(-1, 0), (-np.inf, np.inf)) if odd else (_bent(1), (0.0, np.inf))
        return Curve(elementary.power(function.exponent), bend, ends)
    if type(function) not in _CURVES:
        raise InputError("network/smooth", "certificates have no rule for it", value=function.name)
    return _CURVES[type(function)]


def value_range(function: functions.Function, z: Ends) -> Ends:
    """Between what f lies on intervals of any shape."""
    curve, lower, upper, inside = _looked_at(function, z)
    level, (least, most) = np.zeros(inside.size), (np.full(z[0].shape, end) for end in curve.ends)
    for side, ends in ((-1, least), (1, most)):
        found = side * _above(function, curve, level, (lower, upper), side)
        ends.flat[inside] = (np.maximum if side < 0 else np.minimum)(ends.flat[inside], found)
    return least, most


def lines(function: functions.Function, z: Ends, h: Ends) -> Lines:
    """Lines around f on intervals z of any shape, where f is known to lie in h: by those where there are no others."""
    curve, lower, upper, inside = _looked_at(function, z)
    guess = functions.lines(function, lower, upper)
    found = []
    for side, slope, end in ((-1, guess.low_slope, h[0]), (1, guess.high_slope, h[1])):
        usable = np.where(np.abs(slope) < _STEEPEST, slope, 0.0)
        usable = np.rint(usable * 2.0**_GRID) / 2.0**_GRID
        bound = side * _above(function, curve, usable, (lower, upper), side)
        slopes, offsets = np.zeros(end.shape), end.copy()
        slopes.flat[inside] = np.where(np.isfinite(bound), usable, 0.0)
        offsets.flat[inside] = np.where(np.isfinite(bound), bound, end.flat[inside])
        found += [slopes, offsets]
    return Lines(*found)


def _looked_at(function: functions.Function, z: Ends) -> tuple[Curve, FloatArray, FloatArray, IntArray]:
    """The ends, (k,) each, of the intervals in the domain, and which these are of all, flat."""
    curve = _curve(function)
    lower, upper = (end.reshape(-1) for end in z)
    with np.errstate(invalid="ignore"):
        start, end = curve.domain
        inside = np.flatnonzero((lower >= start) & (upper <= end) & (upper - lower <= curve.widest))
    return curve, lower[inside], upper[inside], inside


def _above(function: functions.Function, curve: Curve, slope: FloatArray, z: Ends, side: int) -> FloatArray:
    """Bounds (k,) of side (f(x) - slope x) from above, on intervals in the domain."""
    result = np.full(slope.shape, -np.inf)
    tilt = np.array([side * int(v) for v in (slope * 2.0**_GRID).tolist()], dtype=object)
    for part in curve.parts(*z):
        for bend, bound in ((1, _at_ends), (-1, _by_tangent), (0, _by_steepness)):
            some = np.flatnonzero((part.start <= part.end) & (side * part.bend == bend))
            if some.size:
                view = _View(function, curve, side, slope[some], tilt[some], part.start[some], part.end[some])
                result[some] = np.maximum(result[some], rounded_up(bound(view)))
    return result


@dataclass(frozen=True, slots=True, eq=False)
class _View:
    """Intervals on which f is bent to one side, with slopes a, and side a in units of 2^-`_GRID`."""

    function: functions.Function
    curve: Curve
    side: int
    slope: FloatArray
    tilt: Any
    start: FloatArray
    end: FloatArray

    def turned(self, enclosure: elementary.Enclosure) -> elementary.Enclosure:
        """Of side times what is enclosed."""
        low, high = enclosure
        return (low, high) if self.side > 0 else (-high, -low)

    def height(self, jet: Jet, n: Any) -> Any:
        """side (f(x) - a x) at most."""
        return self.turned(jet.value)[1] - (np.minimum(self.tilt * n, self.tilt * (n + 1)) >> _GRID)


def _at_ends(view: _View) -> Any:
    """side f is convex."""
    ends = [integers(x) for x in (view.start, view.end)]
    first, last = (view.height(view.curve.jet(n), n) for n in ends)
    return np.maximum(first, last)


def _by_tangent(view: _View) -> Any:
    """side f is concave: it lies below its tangent at any point p, which is best where the derivative is the slope."""
    left, right = view.start, view.end
    with np.errstate(all="ignore"):
        for _ in range(_STEPS):
            middle = left + (right - left) / 2
            rising = view.side * (view.function.slope(middle) - view.slope) > 0
            left, right = np.where(rising, middle, left), np.where(rising, right, middle)
    point = np.where(right == view.end, view.end, np.where(left == view.start, view.start, left))
    p, start, end = (integers(x) for x in (np.clip(point, view.start, view.end), view.start, view.end))
    jet = view.curve.jet(p)
    low, high = (rate - (view.tilt << BITS - _GRID) for rate in view.turned(jet.slope))
    gain, loss = np.maximum(high, 0) * (end + 1 - p), np.maximum(-low, 0) * (p + 1 - start)
    return view.height(jet, p) + (np.maximum(gain, loss) >> BITS) + 1


def _by_steepness(view: _View) -> Any:
    """Nothing is known but how steep f is; the intervals are small."""
    start, end = integers(view.start), integers(view.end)
    top = view.turned(view.curve.jet(start).value)[1] + _STEEP * (end + 1 - start)
    return top - (np.minimum(view.tilt * start, view.tilt * (end + 1)) >> _GRID)


def product_range(numbers: Floats, one: Ends, other: Ends) -> Ends:
    """Between what products of numbers in intervals lie."""
    pairs = [(numbers.of(a), numbers.of(b)) for a in one for b in other]
    least, most = ([_up(numbers, side * (a * b)) for a, b in pairs] for side in (-1, 1))
    return -np.maximum.reduce(least), np.maximum.reduce(most)


def planes(numbers: Floats, one: Ends, other: Ends) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """left, right, low, high with left x + right y + low <= x y <= left x + right y + high on boxes.

    x y = d x + c y - c d + (x - c) (y - d), whatever c and d are: centres, here.
    """
    (c, r), (d, s) = map(_centred, (one, other))
    middle, spread = numbers.of(c) * numbers.of(d), numbers.of(r) * numbers.of(s)
    error = numbers.gamma(4) * (np.abs(middle) + spread)
    return d, c, -numbers.up(spread + middle, error), numbers.up(spread - middle, error)


def _up(numbers: Floats, product: Numbers) -> FloatArray:
    return numbers.up(product, numbers.gamma(2) * np.abs(product))


def _centred(ends: Ends) -> Ends:
    """Centres, and how far numbers between the ends are from them, rounded up."""
    lower, upper = ends
    centre = np.clip(lower + (upper - lower) / 2, lower, upper)
    reach = np.maximum(upper - centre, centre - lower)
    return centre, np.where(reach > 0, np.nextafter(reach, np.inf), reach)
