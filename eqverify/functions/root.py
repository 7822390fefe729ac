"""The square root: concave on what is not below 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, everywhere, increasing


@dataclass(frozen=True, slots=True)
class Sqrt(Function):
    """The square root; nothing is said of intervals that reach below 0."""

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.sqrt(x)

    def slope(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return 0.5 / np.sqrt(x)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return everywhere(lower, upper, -1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        low, high = increasing(self, lower, upper, 0.0, np.inf)
        return np.where(lower >= 0, low, -np.inf), np.where(lower >= 0, high, np.inf)
