"""sin: its bend changes at the multiples of pi, which are no floats."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.functions.function import ABSOLUTE, RELATIVE, Ends, Function, Piece, between

_FARTHEST = 1e5
"""Beyond it nothing but -1 <= f <= 1 is said."""

_WIDEST = 6.2
"""Below a whole period: wider intervals have no lines but those two."""

_RADIUS = 1e-9
"""Above what float64 rounds in a multiple of pi up to `_FARTHEST`, and in its quotient by pi."""


@dataclass(frozen=True, slots=True)
class Sin(Function):
    """The sine.

    Attributes:
        shift: how many quarters of a period the sine is behind the function.
    """

    shift: ClassVar[float] = 0.0
    steepness: ClassVar[float] = 1.0

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.sin(x)

    def slope(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.cos(x)

    def margin(self, x: FloatArray) -> FloatArray:
        return np.where(np.abs(x) < 1, ABSOLUTE, RELATIVE)  # elsewhere are zeros, next to which nothing is relative

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        first = np.floor(lower / math.pi + self.shift / 2)
        turns = [(first + (k - self.shift / 2)) * math.pi for k in range(4)]
        even = np.where(first % 2 == 0, 1.0, -1.0)  # from the first turn on; f is concave where sin is positive
        known = (np.abs(lower) <= _FARTHEST) & (upper - lower <= _WIDEST)
        found = between(lower, upper, turns, [even, -even, even, -even, even], _RADIUS)
        rest = Piece(np.where(known, np.inf, lower), upper, np.zeros_like(lower))
        return (*(Piece(p.start, np.where(known, p.end, -np.inf), p.bend) for p in found), rest)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        (low, high), (other_low, other_high) = self.enclosure(lower), self.enclosure(upper)
        near = (np.abs(lower) <= _FARTHEST) & (np.abs(upper) <= _FARTHEST)
        least = np.where(near & ~self._meets(lower, upper, -0.5), np.minimum(low, other_low), -1.0)
        most = np.where(near & ~self._meets(lower, upper, 0.5), np.maximum(high, other_high), 1.0)
        return np.maximum(least, -1.0), np.minimum(most, 1.0)

    def _meets(self, lower: FloatArray, upper: FloatArray, at: float) -> BoolArray:
        """Whether (at + 2 k) pi, shifted, may be in the interval for some whole k."""
        start, end = ((x / math.pi + self.shift / 2 - at) / 2 for x in (lower - _RADIUS, upper + _RADIUS))
        return np.asarray(np.floor(end) >= np.ceil(start))
