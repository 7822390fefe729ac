"""How inputs to try are made: centres, corners, random points, in polytopes, and as float32 numbers."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope

_FIRST = (0.5, 0.0, 1.0)
"""Shares of the widths at the first points: the centre and two opposite corners."""

_ROUNDS = 2000
_SHRINK = 1.0 - 1e-7
"""Points stop a little before the row they would cross."""


def sample_boxes(lower: FloatArray, upper: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    """Points of boxes by turns: centres, lower and upper ends first, then random corners and inner points by turns.

    Args:
        lower: (boxes, n).
        upper: (boxes, n).
        count: how many.
        random: where random ones come from.

    Returns:
        (count, n).
    """
    box, turn = np.arange(count) % len(lower), np.arange(count) // len(lower)
    low, high = lower[box], upper[box]
    share = random.random(low.shape)
    share[turn % 2 == 1] = np.round(share[turn % 2 == 1])
    for number, fixed in enumerate(_FIRST):
        share[turn == number] = fixed
    return np.clip(low * (1.0 - share) + high * share, low, high)


def nearest_of_type(points: FloatArray, lower: FloatArray, upper: FloatArray, element: str) -> FloatArray:
    """The nearest numbers of a type between bounds (n,), component by component; unchanged where there is none."""
    with np.errstate(over="ignore"):
        near = points.astype(element)
        end = near.dtype.type(np.inf)
        near = np.where(near < lower, np.nextafter(near, end), near)
        near = np.where(near > upper, np.nextafter(near, -end), near).astype(np.float64)
    return np.where((near >= lower) & (near <= upper), near, points)


class Sampler:
    """Makes points of a polytope, and blends others with one interior point of it, found once.

    Nothing here is trusted: `Polytope.contains` or exact arithmetic judges every point afterwards.

    Args:
        part: the polytope.
        random: where random points come from.
    """

    def __init__(self, part: Polytope, random: np.random.Generator) -> None:
        self.part, self.box, self.random = part, part.box, random

    def sample(self, count: int) -> FloatArray:
        """(count, n) the centre, two opposite corners, then random points and corners by turns."""
        return self.pull(sample_boxes(self.box.lower[None], self.box.upper[None], count, self.random))

    def draw(self, count: int) -> FloatArray:
        """(count, n) random corners and inner points by turns."""
        return self.sample(count + len(_FIRST))[len(_FIRST) :]

    def step(self, points: FloatArray, direction: FloatArray, length: float) -> FloatArray:
        """Points (k, n) moved by a share of the box along signs of a direction (k, n); drawn anew where that is 0."""
        moved = points + length * (self.box.upper - self.box.lower) * np.sign(direction)
        lost = ~direction.any(axis=1)
        moved[lost] = self.draw(int(lost.sum()))
        return self.pull(moved)

    @cached_property
    def point(self) -> FloatArray | None:
        """(n,) a point off all rows, or None where none was found.

        By the relaxation method (Agmon 1954; Motzkin and Schoenberg 1954): reflect at the row violated most, go back to
        the box; first with rows moved inwards by a tenth of their range over the box, then by ever less.
        """
        part = self.part
        norm = np.linalg.norm(part.matrix, axis=1)
        rows, bound = part.matrix[norm > 0] / norm[norm > 0, None], part.bound[norm > 0] / norm[norm > 0]
        reach = np.abs(rows) @ (part.box.upper - part.box.lower)
        for share in (1e-1, 1e-2, 1e-4, 1e-6, 1e-9):
            found = self._relax(rows, bound - share * reach)
            if found is not None and part.contains(found[None])[0]:
                return found
        return None

    def _relax(self, rows: FloatArray, bound: FloatArray) -> FloatArray | None:
        x = self.box.centre
        for _ in range(_ROUNDS):
            excess = rows @ x - bound
            worst = int(np.argmax(excess)) if excess.size else 0
            if not excess.size or excess[worst] <= 0:
                return x
            x = np.clip(x - 1.5 * excess[worst] * rows[worst], self.box.lower, self.box.upper)
        return None

    def pull(self, points: FloatArray) -> FloatArray:
        """Points (batch, n), clipped to the box and moved along the line to the interior point until all rows hold."""
        points = np.clip(points, self.box.lower, self.box.upper)
        if self.part.is_box or self.point is None:
            return points
        room = self.part.bound - self.part.matrix @ self.point
        needed = (points - self.point) @ self.part.matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(needed > 0, room / needed, np.inf).min(axis=1) * _SHRINK
        moved = self.point + np.minimum(share, 1.0)[:, None] * (points - self.point)
        return np.where((share < 1.0)[:, None], np.clip(moved, self.box.lower, self.box.upper), points)
