"""Moving points into a polytope, so that candidates next to it are not lost."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope

_ROUNDS = 2000
_SHRINK = 1.0 - 1e-7
"""Points stop a little before the row they would cross."""


class Interior:
    """Blends points with one interior point of a polytope, found once.

    Nothing here is trusted: `Polytope.contains` judges every point afterwards.

    Args:
        part: the polytope.
    """

    def __init__(self, part: Polytope) -> None:
        self.part = part

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
        x = self.part.box.centre
        for _ in range(_ROUNDS):
            excess = rows @ x - bound
            worst = int(np.argmax(excess)) if excess.size else 0
            if not excess.size or excess[worst] <= 0:
                return x
            x = np.clip(x - 1.5 * excess[worst] * rows[worst], self.part.box.lower, self.part.box.upper)
        return None

    def pull(self, points: FloatArray) -> FloatArray:
        """Points (batch, n), clipped to the box and moved along the line to the interior point until all rows hold."""
        points = np.clip(points, self.part.box.lower, self.part.box.upper)
        if self.part.is_box or self.point is None:
            return points
        room = self.part.bound - self.part.matrix @ self.point
        needed = (points - self.point) @ self.part.matrix.T
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(needed > 0, room / needed, np.inf).min(axis=1) * _SHRINK
        moved = self.point + np.minimum(share, 1.0)[:, None] * (points - self.point)
        return np.where((share < 1.0)[:, None], np.clip(moved, self.part.box.lower, self.part.box.upper), points)
