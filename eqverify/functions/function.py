"""What a function of one real number has to say about itself, so that networks with it can be bounded.

Library functions are believed to a stated margin only (`RELATIVE`, `ABSOLUTE`); everything else is arithmetic that is
rounded outwards.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.arrays import FloatArray

Ends = tuple[FloatArray, FloatArray]
"""Lower and upper bounds, of one shape."""

RELATIVE = 2.0**-46
"""What `Function.value` and `Function.slope` may be off by, relatively: 64 units in the last place."""

ABSOLUTE = 2.0**-1000
"""The same where results underflow, or are flushed to zero."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of each of some intervals, on which a function is bent to one side.

    Attributes:
        start: (...) its ends; there is nothing of it where they are in the wrong order.
        end: (...)
        bend: (...) 1 where the function is convex on it, -1 where it is concave, 0 where that is not known.
    """

    start: FloatArray
    end: FloatArray
    bend: FloatArray


@dataclass(frozen=True, slots=True)
class Function(ABC):
    """A function of one real number that has a continuous derivative inside of its domain.

    Two are equal if they are of one class and have the same parameters.  Arrays may have any shape.

    Attributes:
        steepness: above all |f'|, where pieces have an unknown bend.
    """

    steepness: ClassVar[float] = np.inf

    @property
    def name(self) -> str:
        """Its name for people, with parameters."""
        return type(self).__name__

    @abstractmethod
    def value(self, x: FloatArray) -> FloatArray:
        """f(x) in float64; NaN outside of the domain."""

    @abstractmethod
    def slope(self, x: FloatArray) -> FloatArray:
        """f'(x) in float64."""

    @abstractmethod
    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        """Parts that together cover the finite intervals [lower, upper], which lie in the domain."""

    @abstractmethod
    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        """Bounds of f on [lower, upper], rounded outwards; infinite ends are allowed, and everything outside of it."""

    def enclosure(self, x: FloatArray) -> Ends:
        """Bounds of f(x) itself, at the float x.  Trusted: `value` is as near as its margin says."""
        return widened(self.value(x), self.margin(x))

    def slope_enclosure(self, x: FloatArray) -> Ends:
        """Bounds of f'(x) itself, at the float x.  Trusted: `slope` is as near as its margin says."""
        return widened(self.slope(x), self.margin(x))

    def slope_range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        """About between what f' lies on [lower, upper], by a few points: for heuristics only."""
        points = [self.slope(lower + (upper - lower) * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
        return np.minimum.reduce(points), np.maximum.reduce(points)

    def steepest(self, lower: FloatArray, upper: FloatArray) -> FloatArray:
        """A bound of |f'| on intervals, infinite for none: where f is bent to one side, the ends tell."""
        result = np.zeros_like(lower)
        with np.errstate(all="ignore"):
            for piece in self.pieces(lower, upper):
                ends = [np.abs(end) for x in (piece.start, piece.end) for end in self.slope_enclosure(x)]
                most = np.where(piece.bend == 0, self.steepness, np.maximum.reduce(ends))
                result = np.where(piece.start <= piece.end, np.maximum(result, most), result)
            least, most = self.range(lower, upper)
        return np.where(np.isfinite(least) & np.isfinite(most) & np.isfinite(upper - lower), result, np.inf)

    def margin(self, x: FloatArray) -> FloatArray:
        """What `value` and `slope` may be off by where that is not relative to them; `ABSOLUTE` at least."""
        return np.full_like(x, ABSOLUTE)


def widened(value: FloatArray, margin: FloatArray) -> Ends:
    """value (1 -+ RELATIVE) -+ margin, rounded outwards; everything for NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        reach = np.abs(value) * RELATIVE + margin
        lower, upper = np.nextafter(value - reach, -np.inf), np.nextafter(value + reach, np.inf)
    infinite = np.isinf(value)
    most = np.finfo(np.float64).max / 2  # what overflowed is above that
    lower = np.where(infinite & (value > 0), most, lower)
    upper = np.where(infinite & (value < 0), -most, upper)
    return np.where(np.isnan(lower), -np.inf, lower), np.where(np.isnan(upper), np.inf, upper)


def increasing(function: Function, lower: FloatArray, upper: FloatArray, least: float, most: float) -> Ends:
    """The range of an increasing function that lies between two numbers everywhere."""
    below, above = function.enclosure(lower)[0], function.enclosure(upper)[1]
    return np.maximum(below, least), np.minimum(above, most)


def everywhere(lower: FloatArray, upper: FloatArray, bend: float) -> tuple[Piece, ...]:
    """The pieces of a function that is convex (1) or concave (-1) on all of its domain."""
    return (Piece(lower, upper, np.full_like(lower, bend)),)


def turning(lower: FloatArray, upper: FloatArray, first: float, at: float = 0.0) -> tuple[Piece, ...]:
    """The pieces of a function whose bend is `first` up to the float `at`, and the opposite from there on."""
    left = Piece(lower, np.minimum(upper, at), np.full_like(lower, first))
    return left, Piece(np.maximum(lower, at), upper, np.full_like(lower, -first))


def between(
    lower: FloatArray, upper: FloatArray, turns: list[FloatArray], bends: list[FloatArray], radius: float
) -> tuple[Piece, ...]:
    """The pieces of a function whose bend changes near some numbers.

    Args:
        lower, upper: the intervals.
        turns: ascending; where the bend changes, each off by at most `radius`.
        bends: before the first of them, between them, and behind the last one.
        radius: within that of a turn nothing is known.
    """
    found, start = [], lower
    for turn, bend in zip(turns, bends, strict=False):
        found.append(Piece(start, np.minimum(upper, turn - radius), bend))
        here = np.maximum(lower, turn - radius), np.minimum(upper, turn + radius)
        found.append(Piece(*here, np.zeros_like(lower)))
        start = np.maximum(lower, turn + radius)
    return (*found, Piece(start, upper, bends[-1]))
