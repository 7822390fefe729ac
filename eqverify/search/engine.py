"""Branch and bound over boxes: goals are proved on boxes that cover the domain (specs/bounds.md, B-5).

A goal is open on each root until it is proved there.  A box on which goals stay open is halved, and both halves are to
be done; a goal that is open nowhere is proved.  What the goals are and how a box is bounded is the bounder's.  A box
that no float divides is *stuck*: its goals stay open there, and the search goes on with the other boxes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.halfspaces import certainly_outside
from eqverify.bounds.interval import Bounds, Interval
from eqverify.budget import FOREVER, Budget
from eqverify.search.box_queue import Boxes, BoxQueue, Order, TreeRecord, without

Constraints: TypeAlias = Sequence[tuple[FloatArray, FloatArray]]
"""Per part of the domain (matrix (k, input_size), bound (k,)) of  matrix x <= bound."""

_OVERRUN = 1.0
"""A batch is no larger than what can be expected to end so many seconds after the time limit."""

_THIN = 1024
"""An input that was halved this many times thinner than another one that matters waits for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Bounded:
    """What a bounder found on a batch of boxes.

    Attributes:
        closed: (boxes, goals) bool: the goal is proved on the box.
        reach: (boxes, goals) proved upper bounds of what a goal is about; +inf for nothing.
        score: (boxes, input_size) how much each input matters for what stays open; nothing is believed of it.  With
            more columns, of input_size + units, how much each unit's sign does too.
        slopes: (boxes, input_size) of the linear bound behind the worst bound of what stays open; likewise.
        signs: (boxes, units) as in `Boxes`, with what was proved here.
        hopeless: (boxes,) bool: smaller boxes would not have better bounds.
        bounds: intervals of nodes on the boxes, as far as the bounder has any.
        rest: (boxes, input_size) what of the boxes is left to do; all of them by default.
        told: as in `Boxes`, for their parts; what it was by default.
    """

    closed: BoolArray
    reach: FloatArray
    score: FloatArray
    slopes: FloatArray
    signs: ByteArray
    hopeless: BoolArray
    bounds: Bounds = field(default_factory=dict)
    rest: Interval | None = None
    told: FloatArray | None = None


class Bounder(Protocol):
    """Knows what the goals are."""

    @property
    def batch(self) -> int:
        """How many boxes are bounded together, at most."""

    def bound(self, boxes: Boxes) -> Bounded:
        """Bound boxes, at least one; trusted."""

    def refuted(self, points: FloatArray, parts: IntArray) -> BoolArray:
        """(goals,) bool: which goals need no proof any more, since a point shows that they fail.

        Args:
            points: (k, input_size) in boxes of a part of the domain, perhaps outside of its linear constraints.
            parts: (k,) the parts.
        """


class BoxSearch:
    """One search; may be continued.

    Args:
        bounder: bounds boxes.
        roots: a box for each part of the domain, with all goals open.
        order: which boxes come first.
        constraints: linear constraints of each part; boxes that lie outside are leaves where everything holds.
        rivals: (goals,) for each goal another one that need not be proved if it is, -1 for none.
        whole: whether a goal that is stuck on a box is of no interest elsewhere.

    Attributes:
        proved: (goals,) bool.
        refuted: (goals,) bool: dropped, because of a point or because the rival was proved.
        abandoned: (goals,) bool: dropped, because they are stuck on a box.
        reached: (parts, goals) the largest bound on boxes where the goal was closed.
        boxes: boxes bounded.
        stuck: boxes that cannot be halved, or that were left when a point ended the search.
    """

    def __init__(
        self,
        bounder: Bounder,
        roots: Boxes,
        *,
        order: Order,
        constraints: Constraints | None = None,
        rivals: IntArray | None = None,
        whole: bool = False,
    ) -> None:
        goals = roots.open.shape[1]
        self.bounder, self.constraints, self.whole = bounder, constraints, whole
        self.rivals = np.full(goals, -1) if rivals is None else rivals
        self.queue, self.record = BoxQueue(roots, order), TreeRecord(goals)
        self.stuck = roots.take(np.zeros(len(roots), dtype=bool))
        self.proved, self.refuted, self.abandoned = np.zeros((3, goals), dtype=bool)
        self.reached = np.full((len(roots), goals), -np.inf)
        self.boxes = 0
        with np.errstate(over="ignore"):
            self._widths = roots.upper - roots.lower
        self._pace = 0.0
        """Seconds that a box took in the last batch."""

    @property
    def live(self) -> BoolArray:
        """(goals,) bool: still to be proved."""
        return ~(self.proved | self.refuted | self.abandoned)

    @property
    def left(self) -> Boxes:
        """The boxes on which something is open."""
        return self.stuck.join(self.queue.boxes)

    @property
    def open(self) -> BoolArray:
        """(goals,) bool: not proved."""
        return ~self.proved

    @property
    def reach(self) -> float:
        """The largest proved bound of what a goal is about over all boxes, done or not."""
        return max(float(self.reached.max(initial=-np.inf)), float(self.left.reach.max(initial=-np.inf)))

    @property
    def done(self) -> float:
        """Share of the roots' volume where nothing is open."""
        return 1.0 - float(self.left.share.sum()) / len(self._widths)

    def run(self, max_boxes: float = np.inf, budget: Budget = FOREVER) -> None:
        """Bound boxes until no goal is live, none has a box to do, or a limit is reached.

        Args:
            max_boxes: at most so many boxes are bounded, of all runs; with this limit alone results are reproducible.
            budget: the time; asked between batches, and told what is proved.
        """
        self._settle()
        while self.live.any() and len(self.queue) and self.boxes < max_boxes and (seconds := budget.left) > 0:
            count = min(self.bounder.batch, max_boxes - self.boxes)
            if self._pace:
                count = min(count, (seconds + _OVERRUN) / self._pace)
            if count < 1:
                return
            start, before, live = time.monotonic(), self.boxes, int(self.live.sum())
            proved = int(self.proved.sum())
            self._step(self.queue.pop(int(count)))
            if self.boxes > before:
                self._pace = (time.monotonic() - start) / (self.boxes - before)
            budget.gain((int(self.proved.sum()) - proved) / live)

    def close(self, goal: int) -> None:
        """Take note that a goal is proved, by whatever proof."""
        self.proved[goal] = True
        self.reached[:, goal] = np.maximum(self.reached[:, goal], 0.0)
        self.queue.close(self.proved)
        self.stuck = without(self.stuck, self.proved)

    def _step(self, boxes: Boxes) -> None:
        boxes = self._without_outsiders(boxes)
        if len(boxes):
            self.boxes += len(boxes)
            found = self.bounder.bound(boxes)
            closed = boxes.open & found.closed
            np.maximum.at(self.reached, boxes.part, np.where(closed, found.reach, -np.inf))
            rest = boxes.open & ~closed
            chosen = rest.any(axis=1) & ~found.hopeless
            if chosen.any():
                self._try_points(boxes.take(chosen), found.slopes[chosen])
            self._split(boxes, rest, found)
        self._settle()

    def _without_outsiders(self, boxes: Boxes) -> Boxes:
        """Without the boxes that the linear constraints exclude."""
        outside = np.zeros(len(boxes), dtype=bool)
        for part, rows in enumerate(self.constraints or ()):
            own = boxes.part == part
            outside[own] = certainly_outside(*rows, boxes.lower[own], boxes.upper[own])
        self.record.add_leaves(boxes.take(outside))
        return boxes.take(~outside)

    def _try_points(self, boxes: Boxes, slopes: FloatArray) -> None:
        """Centres, and the corners where the linear bounds are largest."""
        points = np.concatenate([np.where(slopes > 0, boxes.upper, boxes.lower), boxes.middle])
        self.refuted |= self.bounder.refuted(points, np.tile(boxes.part, 2)) & ~self.proved

    def _split(self, boxes: Boxes, rest: BoolArray, found: Bounded) -> None:
        """Enter boxes into the tree, and halve those on which something stays open.

        Where a point has ended the search they stay as they are, to say how far it got.
        """
        ended = not self.live.any()
        still = rest if ended else rest & self.live
        reach = np.minimum(np.where(still, found.reach, -np.inf).max(axis=1, initial=-np.inf), boxes.reach)
        told = boxes.told if found.told is None else found.told
        after = replace(boxes, open=still, signs=found.signs, reach=reach, told=told)
        if found.rest is not None:
            after = replace(after, lower=found.rest.lower, upper=found.rest.upper)
        dimension, possible = self._choose(after, found.score)
        going = still.any(axis=1) & possible & ~found.hopeless & (not ended)
        size = boxes.lower.shape[1]
        at = np.where(dimension < size, after.middle[np.arange(len(boxes)), np.minimum(dimension, size - 1)], 0.0)
        names = self.record.add(boxes, np.where(going, dimension, -1), at)
        self.queue.push(after.take(going).halves(dimension[going], names[going]))
        stuck = after.take(still.any(axis=1) & ~going)
        if self.whole and not ended:
            self.abandoned |= stuck.open.any(axis=0)
        self.stuck = self.stuck.join(stuck)

    def _choose(self, boxes: Boxes, score: FloatArray) -> tuple[IntArray, BoolArray]:
        """(boxes,) what to split, by the largest score, and whether it can be: a float is between an input's bounds.

        A unit's sign comes first where there are scores of such.  Scores of inputs may be shares, which do not fall as
        an input shrinks: without the rule about thin inputs one input could be halved for ever.  Where no input has a
        score the widest is halved, measured by its root.
        """
        middle, size = boxes.middle, boxes.lower.shape[1]
        score, units = score[:, :size], score[:, size:]
        divisible = (middle > boxes.lower) & (middle < boxes.upper)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            width = np.nan_to_num((boxes.upper - boxes.lower) / self._widths[boxes.part])
        score = np.nan_to_num(np.maximum(score, 0.0), nan=0.0, posinf=1e300) * divisible
        score = np.where((score > 0).any(axis=1, keepdims=True), score, width)
        widest = np.where(score > 0, width, 0.0).max(axis=1, initial=0.0, keepdims=True)
        score = np.where(divisible, np.where(width * _THIN < widest, 0.0, score), -1.0)
        dimension = np.argmax(score, axis=1)
        possible = divisible[np.arange(len(boxes)), dimension]
        signs = (units > 0).any(axis=1)
        if signs.any():
            dimension = np.where(signs, size + np.argmax(units, axis=1), dimension)
        return dimension, possible | signs

    def _settle(self) -> None:
        """Goals open on no box are proved, and their rivals need not be."""
        live = self.live
        if not live.any():
            return
        self.queue.close(~live)
        open_somewhere = self.queue.boxes.open.any(axis=0) | self.stuck.open.any(axis=0)
        self.proved |= live & ~open_somewhere
        moot = self.rivals[self.proved]
        self.refuted[moot[moot >= 0]] = True
        self.refuted &= ~self.proved
        if self.live.any():
            self.queue.close(~self.live)
