"""1 / x: concave below 0, convex above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece


@dataclass(frozen=True, slots=True)
class Reciprocal(Function):
    """1 / x; nothing is said of intervals with 0."""

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / x

    def slope(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            return -1.0 / x / x

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return (Piece(lower, upper, np.where(lower > 0, 1.0, -1.0)),)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        apart = (lower > 0) | (upper < 0)
        low, high = self.enclosure(upper)[0], self.enclosure(lower)[1]
        low = np.where(lower > 0, np.maximum(low, 0.0), low)
        high = np.where(upper < 0, np.minimum(high, 0.0), high)
        return np.where(apart, low, -np.inf), np.where(apart, high, np.inf)
