"""1 / (1 + exp(-x)): convex up to 0, concave from there on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, increasing, turning


@dataclass(frozen=True, slots=True)
class Sigmoid(Function):
    """1 / (1 + exp(-x))."""

    def value(self, x: FloatArray) -> FloatArray:
        return sigmoid(x)

    def slope(self, x: FloatArray) -> FloatArray:
        return sigmoid(x) * sigmoid(-x)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return turning(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        return increasing(self, lower, upper, 0.0, 1.0)


def sigmoid(x: FloatArray) -> FloatArray:
    """The value, with a small relative error on both sides."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, small) / (1.0 + small)
