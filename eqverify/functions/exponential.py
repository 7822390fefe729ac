"""exp: convex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, everywhere, increasing


@dataclass(frozen=True, slots=True)
class Exp(Function):
    """The exponential function."""

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(over="ignore"):
            return np.exp(x)

    def slope(self, x: FloatArray) -> FloatArray:
        return self.value(x)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return everywhere(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        return increasing(self, lower, upper, 0.0, np.inf)
