"""tanh: convex up to 0, concave from there on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, increasing, turning
from eqverify.functions.sigmoid import sigmoid


@dataclass(frozen=True, slots=True)
class Tanh(Function):
    """The hyperbolic tangent."""

    def value(self, x: FloatArray) -> FloatArray:
        return np.tanh(x)

    def slope(self, x: FloatArray) -> FloatArray:
        return 4.0 * sigmoid(2.0 * x) * sigmoid(-2.0 * x)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return turning(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        return increasing(self, lower, upper, -1.0, 1.0)
