"""The natural logarithm: concave on what is above 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, everywhere, increasing


@dataclass(frozen=True, slots=True)
class Log(Function):
    """The natural logarithm; nothing is said of intervals that are not above 0."""

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(x)

    def slope(self, x: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore", over="ignore"):
            return 1.0 / x

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return everywhere(lower, upper, -1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        low, high = increasing(self, lower, upper, -np.inf, np.inf)
        return np.where(lower > 0, low, -np.inf), np.where(lower > 0, high, np.inf)
