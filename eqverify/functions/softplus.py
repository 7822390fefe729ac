"""log(1 + exp(x)): convex."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, everywhere, increasing
from eqverify.functions.sigmoid import sigmoid


@dataclass(frozen=True, slots=True)
class Softplus(Function):
    """log(1 + exp(x))."""

    def value(self, x: FloatArray) -> FloatArray:
        return np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x)))

    def slope(self, x: FloatArray) -> FloatArray:
        return sigmoid(x)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return everywhere(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        return increasing(self, lower, upper, 0.0, np.inf)
