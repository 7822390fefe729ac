"""How near a search for inputs came to meeting the disjuncts of a property."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray

_NEAR_SHARE, _NEAR_ZERO = 0.05, 1e-6
_END_SHARE, _END_ZERO = 1e-9, 1e-12


class Reached:
    """How near a search came to meeting conjunctions of rows.

    Args:
        count: number of conjunctions.

    Attributes:
        least: (count,) the smallest value seen of a conjunction's largest row: it is met where that is at most 0.
        most: (count,) the largest.
        points: (count, input_size) where the smallest was seen.
    """

    def __init__(self, count: int, inputs: int) -> None:
        self.least, self.most = np.full(count, np.inf), np.full(count, -np.inf)
        self.points = np.zeros((count, inputs))

    def note(self, chosen: IntArray, points: FloatArray, level: FloatArray) -> None:
        """Take in points (k, input_size) and the largest rows (k,) there of conjunctions number `chosen` (k,)."""
        np.fmax.at(self.most, chosen, level)
        for k in np.flatnonzero(level < self.least[chosen]).tolist():
            if level[k] < self.least[chosen[k]]:
                self.least[chosen[k]], self.points[chosen[k]] = level[k], points[k]

    @property
    def near(self) -> BoolArray:
        """(count,) bool: so near, compared with the values seen, that the answer may lie at the end of a range.

        Which conjunctions are looked at exactly depends on this, never an answer.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(self.least <= _NEAR_SHARE * (self.most - self.least) + _NEAR_ZERO)

    def margin(self, k: int) -> float:
        """A small part of the values seen of conjunction k, where it was missed or met by no more than that; else 0."""
        margin = float(_END_SHARE * (self.most[k] - self.least[k]) + _END_ZERO)
        return margin if abs(self.least[k]) <= margin else 0.0
