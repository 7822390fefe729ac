"""The error function: convex up to 0, concave from there on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import Ends, Function, Piece, increasing, turning

FARTHEST = 27.0
"""Beyond it exp(-x^2) is below 2^-1000; up to there x^2 in the exponent costs 2^-43 relatively, which `slope` adds."""


@dataclass(frozen=True, slots=True)
class Erf(Function):
    """2 / sqrt(pi) times the integral of exp(-t^2) from 0 to x."""

    def value(self, x: FloatArray) -> FloatArray:
        return erf(x)

    def slope(self, x: FloatArray) -> FloatArray:
        return 2.0 / math.sqrt(math.pi) * gaussian(x)

    def slope_enclosure(self, x: FloatArray) -> Ends:
        low, high = Function.slope_enclosure(self, x)
        return np.maximum(low - high * 2.0**-42, 0.0), high * (1.0 + 2.0**-41)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return turning(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        return increasing(self, lower, upper, -1.0, 1.0)


def erf(x: FloatArray) -> FloatArray:
    """The value."""
    from scipy.special import erf as function  # takes a while, and few networks need it

    return np.asarray(function(x), dtype=np.float64)


def gaussian(x: FloatArray) -> FloatArray:
    """exp(-x^2)."""
    near: FloatArray = np.minimum(np.abs(x), FARTHEST)
    return np.exp(-near * near)
