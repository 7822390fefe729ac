"""x / (1 + exp(-x)): convex around 0, concave further out; it has one minimum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.function import RELATIVE, Ends, Function, Piece, between, widened
from eqverify.functions.sigmoid import sigmoid

_TURN = 2.39935728052
"""Where the second derivative is 0, with x tanh(x / 2) = 2, but for its sign."""

_LOWEST = -1.2784645427610738
"""Where the minimum is, with x = -1 - exp(x)."""

_RADIUS = 1e-9
"""Above what these two are off by."""

_LEAST = -0.27846454276107385
"""Below the minimum, -0.278464542761073795...: it is 1 + `_LOWEST`."""


@dataclass(frozen=True, slots=True)
class Silu(Function):
    """x times the sigmoid of x."""

    steepness: ClassVar[float] = 1.1

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.where(np.isneginf(x), 0.0, x * sigmoid(x))

    def slope(self, x: FloatArray) -> FloatArray:
        return sigmoid(x) * (1.0 + x * sigmoid(-x))

    def slope_enclosure(self, x: FloatArray) -> Ends:
        return widened(self.slope(x), self.margin(x) + RELATIVE * sigmoid(x) * (1.0 + np.abs(x)))

    def pieces(self, lower: FloatArray, upper: FloatArray) -> tuple[Piece, ...]:
        turns = [np.full_like(lower, turn) for turn in (-_TURN, _TURN)]
        bends = [np.full_like(lower, bend) for bend in (-1.0, 1.0, -1.0)]
        return between(lower, upper, turns, bends, _RADIUS)

    def range(self, lower: FloatArray, upper: FloatArray) -> Ends:
        (low, high), (other_low, other_high) = self.enclosure(lower), self.enclosure(upper)
        lowest = (lower <= _LOWEST + _RADIUS) & (upper >= _LOWEST - _RADIUS)
        return np.where(lowest, _LEAST, np.maximum(np.minimum(low, other_low), _LEAST)), np.maximum(high, other_high)
