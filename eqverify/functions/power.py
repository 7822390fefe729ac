"""x^n for a whole number n of at least 2: convex where n is even, else concave below 0 and convex above."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import InputError
from eqverify.functions.function import Ends, Function, Piece, everywhere, turning

LARGEST = 64
"""The largest exponent: each product rounds once, and all of them must stay within the margin."""


@dataclass(frozen=True, slots=True)
class Power(Function):
    """x^n.

    Attributes:
        exponent: n, from 2 to `LARGEST`.

    Raises:
        InputError: `network/exponent`.
    """

    exponent: int

    def __post_init__(self) -> None:
        if not 2 <= self.exponent <= LARGEST:
            raise InputError("network/exponent", f"exponents are whole, from 2 to {LARGEST}", value=self.exponent)

    @property
    def name(self) -> str:
        return f"Power {self.exponent}"

    def value(self, x: FloatArray) -> FloatArray:
        return _power(x, self.exponent)

    def slope(self, x: FloatArray) -> FloatArray:
        return self.exponent * _power(x, self.exponent - 1)

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        return turning(lower, upper, -1.0) if self.exponent % 2 else everywhere(lower, upper, 1.0)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        (low, high), (other_low, other_high) = self.enclosure(lower), self.enclosure(upper)
        if self.exponent % 2:
            return low, other_high
        least = np.where((lower <= 0) & (upper >= 0), 0.0, np.maximum(np.minimum(low, other_low), 0.0))
        return least, np.maximum(high, other_high)


def _power(x: FloatArray, exponent: int) -> FloatArray:
    """x^exponent by products, each of which rounds once."""
    result = x
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for _ in range(exponent - 1):
            result = result * x
    return result
