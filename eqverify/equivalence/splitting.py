"""Differential bounds on ever smaller boxes, in batches, worst box first, until every goal is refuted (E-6)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.domain import Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.joint import Joint
from eqverify.equivalence.zonotope import Pushed, Pusher
from eqverify.search.box_queue import Boxes
from eqverify.search.engine import Bounded, BoxSearch

_NUMBERS = 1 << 22
"""Coefficients held at a time on the widest level (32 MB)."""

Attempt = Callable[[FloatArray], bool]
"""Tries candidate inputs (k, input_size); whether a difference was found."""


class DifferenceBounder:
    """Goals are that disjuncts are excluded on a box; bounds come from zonotopes of both networks' differences.

    Args:
        joint: the system of rows on the part's box.
        goals: the question.
        attempt: tries points that may show a difference; the search is over once one does.
        own: how many inputs may be halved, the first ones: not those for roundings.
    """

    def __init__(self, joint: Joint, goals: PairGoals, attempt: Attempt, own: int) -> None:
        self.goals, self.attempt, self.pusher, self.own = goals, attempt, Pusher(joint, own), own
        self._width = max([1, *(level.constant.size for level in joint.levels)])
        self._kept = 1
        """Generators of a box in the last batch."""

    @property
    def batch(self) -> int:
        """As `Bounder.batch`."""
        return int(max(1, min(256, _NUMBERS // (self._width * self._kept))))

    def bound(self, boxes: Boxes) -> Bounded:
        """As `Bounder.bound`; what a goal is about is the least of its disjunct's rows."""
        pushed = self.pusher.run(boxes.lower, boxes.upper)
        self._kept = pushed.target.generators.shape[1]
        closed = self.goals.refuted(pushed.upper)
        rest = boxes.open & ~closed
        rows = rest[:, self.goals.disjunct]
        score = np.zeros(boxes.lower.shape)  # no other inputs are halved
        score[:, : self.own] = (pushed.score * rows[:, :, None]).sum(axis=1)
        worst = np.argmax(np.where(rows, pushed.upper, -np.inf), axis=1)
        slopes = pushed.inputs[np.arange(len(boxes)), worst]
        least = self.goals.least(pushed.upper)
        return Bounded(closed, least, score, slopes, boxes.signs, self._hopeless(pushed, least, rest))

    def _hopeless(self, pushed: Pushed, least: FloatArray, rest: BoolArray) -> BoolArray:
        """Boxes whose bounds are nothing but rounding errors, which halving does not make smaller."""
        target, upper = pushed.target, pushed.upper
        reach = np.abs(target.generators).sum(axis=1)
        rounding = (reach <= 4 * target.slack) & (upper <= 8 * target.slack)
        nothing_else = self.goals.least(np.where(rounding, upper, np.inf)) == least
        return np.asarray((nothing_else & rest).any(axis=1))

    def refuted(self, points: FloatArray, parts: IntArray) -> BoolArray:
        """As `Bounder.refuted`."""
        return np.full(len(self.goals), self.attempt(points))


class Splitter(BoxSearch):
    """Input splitting on one part of the domain; may be continued.

    Args:
        joint: the system of rows on the part's box.
        goals: the question.
        part: the part of the domain.
        attempt: tries points that may show a difference.
        own: as for `DifferenceBounder`; all by default.
    """

    def __init__(
        self, joint: Joint, goals: PairGoals, part: Polytope, attempt: Attempt, own: int | None = None
    ) -> None:
        super().__init__(
            DifferenceBounder(joint, goals, attempt, part.box.size if own is None else own),
            Boxes.roots(part.box.lower[None], part.box.upper[None], 0, len(goals)),
            order="worst",
            constraints=None if part.is_box else [(part.matrix, part.bound)],
        )
