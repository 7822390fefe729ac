"""Differential bounds on ever smaller boxes, in batches, worst box first, until every goal is refuted (E-6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds.boxpass import certainly_outside
from eqverify.domain import Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.joint import Joint
from eqverify.equivalence.zonotope import Pusher, Zonotope

_NUMBERS = 1 << 22
"""Coefficients held at a time on the widest level (32 MB)."""

_OVERRUN = 1.0
"""A batch is no larger than what can be expected to end so many seconds after the deadline."""

_THIN = 64
"""An input that was halved this many times thinner than another one that matters waits for it."""

Attempt = Callable[[FloatArray], bool]
"""Tries candidate inputs (k, input_size); whether a difference was found."""


@dataclass(frozen=True, slots=True)
class SplitOutcome:
    """How far splitting got.

    Attributes:
        refuted: whether every disjunct is excluded on every box.
        reach: the largest upper bound of a goal's least row over all boxes, done or not: for one-row goals f - g - eps
            this plus eps is a proved deviation.
        boxes: number of boxes bounded.
        left: boxes that are open.
        done: share of the box's volume (over its free inputs) where every disjunct is excluded.
    """

    refuted: bool
    reach: float
    boxes: int
    left: int
    done: float


@dataclass(slots=True)
class _Open:
    """Boxes to do: bounds (k, input_size), open disjuncts (k, disjuncts), the parent's reach and the halvings (k,)."""

    lower: FloatArray
    upper: FloatArray
    open: BoolArray
    reach: FloatArray
    depth: FloatArray

    def take(self, index: BoolArray) -> _Open:
        return _Open(self.lower[index], self.upper[index], self.open[index], self.reach[index], self.depth[index])

    def join(self, other: _Open) -> _Open:
        return _Open(
            np.concatenate([self.lower, other.lower]),
            np.concatenate([self.upper, other.upper]),
            np.concatenate([self.open, other.open]),
            np.concatenate([self.reach, other.reach]),
            np.concatenate([self.depth, other.depth]),
        )


class Splitter:
    """Input splitting on one part of the domain; may be continued.

    Args:
        joint: the system of rows on the part's box.
        goals: the question.
        part: the part of the domain.
        attempt: tries points that may show a difference.
    """

    def __init__(self, joint: Joint, goals: PairGoals, part: Polytope, attempt: Attempt) -> None:
        self.goals, self.part, self.attempt = goals, part, attempt
        self.pusher = Pusher(joint)
        self.width = max([1, *(level.constant.size for level in joint.levels)])
        box = part.box
        self.todo = _Open(
            box.lower[None], box.upper[None], np.ones((1, len(goals)), dtype=bool), np.full(1, np.inf), np.zeros(1)
        )
        self.reach, self.boxes, self.done = -np.inf, 0, 0.0
        self.stuck = np.zeros((0, len(goals)), dtype=bool)
        """(k, disjuncts) what is open on boxes that cannot be halved."""
        self.kept = 1
        self.pace = 0.0
        """Seconds that a box took in the last batch."""

    @property
    def open(self) -> BoolArray:
        """(disjuncts,) bool: which are not excluded on every box."""
        return np.asarray(np.concatenate([self.todo.open, self.stuck]).any(axis=0))

    def close(self, disjunct: int) -> None:
        """Take note that a disjunct is excluded on the whole part, by whatever proof."""
        self.reach = max(self.reach, 0.0)
        self.todo.open[:, disjunct] = False
        self.stuck[:, disjunct] = False
        going = np.asarray(self.todo.open.any(axis=1))
        self.done += float((0.5 ** self.todo.depth[~going]).sum())
        self.todo, self.stuck = self.todo.take(going), self.stuck[self.stuck.any(axis=1)]

    def run(self, deadline: float, max_boxes: float = np.inf) -> SplitOutcome:
        """Bound boxes until nothing is open, a difference is found, or a limit is reached."""
        count = 1
        while len(self.todo.lower) and self.boxes < max_boxes:
            start, before = time.monotonic(), self.boxes
            count = min(count, len(self.todo.lower))
            if self.pace:
                count = int(min(count, (deadline + _OVERRUN - start) / self.pace))
            if start >= deadline or not count:
                break
            if self._step(self._pop(count)):
                break
            if self.boxes > before:
                self.pace = (time.monotonic() - start) / (self.boxes - before)
            count = self._batch()
        return self.outcome

    @property
    def outcome(self) -> SplitOutcome:
        """How far it got."""
        left = len(self.todo.lower) + len(self.stuck)
        reach = max(self.reach, float(self.todo.reach.max(initial=-np.inf)))
        return SplitOutcome(left == 0, reach, self.boxes, left, 1.0 if left == 0 else self.done)

    def _batch(self) -> int:
        return int(max(1, min(256, _NUMBERS // (self.width * self.kept))))

    def _pop(self, count: int) -> _Open:
        if len(self.todo.lower) <= count:
            batch, self.todo = self.todo, self.todo.take(np.zeros(len(self.todo.lower), dtype=bool))
            return batch
        chosen = np.zeros(len(self.todo.lower), dtype=bool)
        chosen[np.argpartition(-self.todo.reach, count)[:count]] = True
        batch, self.todo = self.todo.take(chosen), self.todo.take(~chosen)
        return batch

    def _step(self, batch: _Open) -> bool:
        """Bound a batch, and split what stays open; whether a difference was found."""
        batch = self._inside(batch)
        if not len(batch.lower):
            return False
        self.boxes += len(batch.lower)
        pushed = self.pusher.run(batch.lower, batch.upper)
        self.kept = pushed.target.generators.shape[1]
        upper = pushed.upper
        least = self.goals.least(upper)
        rest = batch.open & ~self.goals.refuted(upper)
        closed = batch.open & ~rest
        self.reach = max(self.reach, float(least[closed].max(initial=-np.inf)))
        going = np.asarray(rest.any(axis=1))
        self.done += float((0.5 ** batch.depth[~going]).sum())
        self._set_aside(pushed.target, upper, least, rest, going)
        if not going.any():
            return False
        rows = self._open_rows(rest[going])
        reach = np.minimum(np.where(rest, least, -np.inf).max(axis=1), batch.reach)[going]
        if self._try_points(batch.take(going), pushed.inputs[going], np.where(rows, upper[going], -np.inf)):
            self.todo = self.todo.join(batch.take(going))
            return True
        score = (pushed.score[going] * rows[:, :, None]).sum(axis=1)
        parents = batch.take(going)
        self._halve(_Open(parents.lower, parents.upper, rest[going], reach, parents.depth), score)
        return False

    def _set_aside(
        self, target: Zonotope, upper: FloatArray, least: FloatArray, rest: BoolArray, going: BoolArray
    ) -> None:
        """Give up boxes whose bounds are nothing but rounding errors, which halving does not make smaller."""
        reach = np.abs(target.generators).sum(axis=1)
        rounding = (reach <= 4 * target.slack) & (upper <= 8 * target.slack)
        hopeless = ((self.goals.least(np.where(rounding, upper, np.inf)) == least) & rest).any(axis=1) & going
        if hopeless.any():
            self.stuck = np.concatenate([self.stuck, rest[hopeless]])
            self.reach = max(self.reach, float(np.where(rest, least, -np.inf)[hopeless].max()))
            going &= ~hopeless

    def _open_rows(self, rest: BoolArray) -> BoolArray:
        return rest[:, self.goals.disjunct]

    def _inside(self, batch: _Open) -> _Open:
        """Without the boxes that linear constraints of the part exclude."""
        if self.part.is_box:
            return batch
        outside: BoolArray = certainly_outside(self.part.matrix, self.part.bound, batch.lower, batch.upper)
        self.done += float((0.5 ** batch.depth[outside]).sum())
        return batch.take(~outside)

    def _try_points(self, boxes: _Open, slopes: FloatArray, upper: FloatArray) -> bool:
        """The centres, and the corners that the largest open row of each box points to."""
        rows = np.arange(len(boxes.lower))
        worst = slopes[rows, np.argmax(upper, axis=1)]
        corners = np.where(worst > 0, boxes.upper, boxes.lower)
        centres = np.clip(boxes.lower + (boxes.upper - boxes.lower) / 2, boxes.lower, boxes.upper)
        return self.attempt(np.concatenate([corners, centres]))

    def _halve(self, boxes: _Open, score: FloatArray) -> None:
        """Push the halves across the input with the largest score; boxes that no float divides are stuck."""
        middle = boxes.lower + (boxes.upper - boxes.lower) / 2
        divisible = (middle > boxes.lower) & (middle < boxes.upper)
        score = np.where(divisible, np.nan_to_num(score, nan=0.0, posinf=1e300), -1.0)
        # Scores are shares, which do not fall as an input shrinks: without this one input can be halved for ever.
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.nan_to_num((boxes.upper - boxes.lower) / (self.part.box.upper - self.part.box.lower))
        widest = np.where(score > 0, share, 0.0).max(axis=1, keepdims=True)
        score = np.where(share * _THIN < widest, np.minimum(score, 0.0), score)
        dimension = np.argmax(score, axis=1)
        rows = np.arange(len(boxes.lower))
        possible = divisible[rows, dimension]
        if not possible.all():
            self.stuck = np.concatenate([self.stuck, boxes.open[~possible]])
            self.reach = max(self.reach, float(boxes.reach[~possible].max()))
            boxes, dimension, middle = boxes.take(possible), dimension[possible], middle[possible]
            rows = np.arange(len(boxes.lower))
        at = middle[rows, dimension]
        low_upper, high_lower = boxes.upper.copy(), boxes.lower.copy()
        low_upper[rows, dimension] = at
        high_lower[rows, dimension] = at
        depth = boxes.depth + 1
        self.todo = self.todo.join(_Open(boxes.lower, low_upper, boxes.open, boxes.reach, depth))
        self.todo = self.todo.join(_Open(high_lower, boxes.upper, boxes.open, boxes.reach, depth))
