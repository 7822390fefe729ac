"""Input splitting: every undecided unit at once on batches of sub-boxes (specs/bounds.md, B-5).

A unit is stable if it is stable with the same sign on all leaves.  Meant for few free inputs (ACAS Xu, control
networks); bounds on a leaf are CROWN's, given what its parent knows.  Splitting as in Wang et al. 2018 (ReluVal, arXiv
1804.10829), with sensitivities from the linear bounds.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.boxpass import BoxPass, certainly_inside, certainly_outside
from eqverify.bounds.crown import CHUNK_NUMBERS
from eqverify.bounds.frontier import Boxes, Frontier, SplitTree
from eqverify.bounds.goals import Goals, make_goals
from eqverify.bounds.interval import Bounds, Interval
from eqverify.network import Network

Constraints = Sequence[tuple[FloatArray, FloatArray]]
"""Per part of the domain (matrix (k, input_size), bound (k,)) of  matrix x <= bound."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitResult:
    """What input splitting proved.

    Attributes:
        signs: by pre-activation node, (n,): -1 where z <= 0 is proved on the domain, 1 where z >= 0 is, else 0.
        bounds: by pre-activation node, (parts, n) the hull over the leaves for units proved here, else `known`
            or infinite.
        points: (k, input_size) inputs of the domain at which goals were refuted; a falsifier should replay them.
        tree: the boxes that were bounded.
        goals: what was asked.
        proved: (goals,) bool.
        open: by pre-activation node, (n,) bool: asked about, and neither proved nor refuted for both signs.
        complete: whether nothing is open.
        seconds: wall time.
    """

    signs: Mapping[str, ByteArray]
    bounds: Mapping[str, Interval]
    points: FloatArray
    tree: SplitTree
    goals: Goals
    proved: BoolArray
    open: Mapping[str, BoolArray]
    complete: bool
    seconds: float


def split_bounds(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    known: Bounds | None = None,
    *,
    undecided: Mapping[str, BoolArray],
    above: Mapping[str, BoolArray] | None = None,
    below: Mapping[str, BoolArray] | None = None,
    constraints: Constraints | None = None,
    max_boxes: int = 10_000,
    seconds: float = float("inf"),
    batch: int = 256,
) -> SplitResult:
    """Prove signs of undecided units by splitting the input boxes.

    Args:
        network: the network.
        lower: (parts, input_size) boxes of the domain.
        upper: (parts, input_size).
        known: proved intervals of nodes, (parts or 1, n).
        undecided: by pre-activation node, (n,) bool: the units to decide.
        above: by pre-activation node, (n,) bool: an input of the domain with z > 0 is known, so z <= 0 is not tried.
        below: likewise for z < 0.
        constraints: linear constraints of each part; boxes that lie outside are dropped.
        max_boxes: at most so many boxes are bounded; with this limit alone the result is the same every time.
        seconds: wall time after which no batch is begun.
        batch: boxes bounded together, at most; fewer where layers are wide, so that a few hundred MB are enough.

    Returns:
        Signs, bounds, refuting points and the tree.  Trusted: float64 arithmetic, and `known`.

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    goals = make_goals(network, undecided, above, below)
    return _Split(network, goals, lower, upper, known or {}, constraints).run(max_boxes, seconds, batch)


def most_boxes(network: Network) -> int:
    """As many boxes as have room for two rows per unit of the widest ReLU layer."""
    width = max((network.sizes[relu.name] for relu in network.relus), default=1)
    return max(1, CHUNK_NUMBERS // (2 * width * width))


class _Split:
    """One run."""

    def __init__(
        self,
        network: Network,
        goals: Goals,
        lower: FloatArray,
        upper: FloatArray,
        known: Bounds,
        constraints: Constraints | None,
    ) -> None:
        self.network = network
        self.goals = goals
        self.known = known
        self.constraints = constraints
        self.parts = len(lower)
        self.proved = np.zeros(len(goals), dtype=bool)
        self.dropped = np.zeros(len(goals), dtype=bool)
        self.stuck = np.zeros(len(goals), dtype=bool)
        self.reached = np.full((self.parts, len(goals)), -np.inf)
        """Per part, the largest upper bound of sign * z on the leaves where the goal closed."""
        self.points: list[FloatArray] = []
        self.bounder = BoxPass(network, goals, known, constraints is not None)
        roots = Boxes(
            np.asarray(lower, dtype=np.float64),
            np.asarray(upper, dtype=np.float64),
            np.zeros((self.parts, goals.units), dtype=np.int8),
            np.ones((self.parts, len(goals)), dtype=bool),
            np.arange(self.parts),
            np.full(self.parts, -1, dtype=np.int64),
            np.zeros(self.parts, dtype=np.int8),
        )
        self.frontier = Frontier(roots, np.zeros(len(goals), dtype=np.int64))

    def run(self, max_boxes: int, seconds: float, batch: int) -> SplitResult:
        start = time.monotonic()
        batch = min(batch, most_boxes(self.network))
        while self._live().any() and self.frontier.count < max_boxes and time.monotonic() - start < seconds:
            self._step(self.frontier.pop(min(batch, max_boxes - self.frontier.count)))
        return self._result(time.monotonic() - start)

    def _live(self) -> BoolArray:
        return ~(self.proved | self.dropped | self.stuck)

    def _step(self, boxes: Boxes) -> None:
        boxes = self._without_outsiders(boxes)
        if len(boxes):
            found = self.bounder.run(boxes)
            closed = boxes.open & (found.worst <= 0)
            for part in np.unique(boxes.part):
                own = boxes.part == part
                reached = np.where(closed[own], found.worst[own], -np.inf).max(axis=0)
                self.reached[part] = np.maximum(self.reached[part], reached)
            self._try_points(boxes, found.corners, found.corner_parts)
            rest = boxes.open & ~closed & self._live()
            self._split(boxes, rest, found.signs, found.score)
        self._settle()

    def _without_outsiders(self, boxes: Boxes) -> Boxes:
        """Without the boxes that the linear constraints exclude; they are leaves where every goal holds."""
        if self.constraints is None:
            return boxes
        outside = np.zeros(len(boxes), dtype=bool)
        for part in np.unique(boxes.part):
            own = boxes.part == part
            outside[own] = certainly_outside(*self.constraints[int(part)], boxes.lower[own], boxes.upper[own])
        gone = boxes.take(outside)
        self.frontier.record(gone, np.full(len(gone), -1), np.zeros(len(gone)))
        return boxes.take(~outside)

    def _try_points(self, boxes: Boxes, corners: FloatArray, corner_parts: IntArray) -> None:
        centres = np.clip(boxes.lower + (boxes.upper - boxes.lower) / 2, boxes.lower, boxes.upper)
        points, parts = np.concatenate([centres, corners]), np.concatenate([boxes.part, corner_parts])
        if self.constraints is not None:
            inside = [
                bool(certainly_inside(*self.constraints[int(p)], x[None])[0])
                for x, p in zip(points, parts, strict=True)
            ]
            points = points[np.array(inside, dtype=bool)]
        if not len(points):
            return
        shown, useful = self.goals.refuted(self.network, points)
        if (shown & self._live()).any():
            self.points.append(points[useful])
        self.dropped |= shown & ~self.proved

    def _split(self, boxes: Boxes, rest: BoolArray, signs: ByteArray, score: FloatArray) -> None:
        middle = boxes.lower + (boxes.upper - boxes.lower) / 2
        divisible = (middle > boxes.lower) & (middle < boxes.upper)
        score = np.where(divisible, np.nan_to_num(score, nan=0.0, posinf=1e300), -1.0)
        dimension = np.argmax(score, axis=1)
        rows = np.arange(len(boxes))
        wanted = rest.any(axis=1)
        possible = divisible[rows, dimension]
        self.stuck |= rest[wanted & ~possible].any(axis=0)
        going = wanted & possible
        at = middle[rows, dimension]
        names = self.frontier.record(boxes, np.where(going, dimension, -1), np.where(going, at, 0.0))
        parents = Boxes(boxes.lower, boxes.upper, signs, rest, boxes.part, boxes.parent, boxes.side).take(going)
        self.frontier.push(parents.halves(dimension[going], at[going], names[going]))

    def _settle(self) -> None:
        """Goals open on no box are proved; then the opposite claim about the unit need not be."""
        self.frontier.close(~self._live())
        self.proved |= self._live() & (self.frontier.open_counts() == 0)
        if self.proved.any():
            done = {
                (int(n), int(u))
                for n, u in zip(self.goals.node[self.proved], self.goals.unit[self.proved], strict=True)
            }
            pairs = zip(self.goals.node.tolist(), self.goals.unit.tolist(), strict=True)
            self.dropped |= np.array([pair in done for pair in pairs], dtype=bool) & ~self.proved
            self.frontier.close(~self._live())

    def _result(self, seconds: float) -> SplitResult:
        signs, bounds, still = {}, {}, {}
        waiting = self._live() | self.stuck
        for number, name in enumerate(self.goals.nodes):
            own = np.flatnonzero(self.goals.node == number)
            size = self.network.sizes[name]
            signs[name], still[name] = np.zeros(size, dtype=np.int8), np.zeros(size, dtype=bool)
            lower, upper = self._start(name, size)
            for goal in own[self.proved[own]]:
                unit, sign = int(self.goals.unit[goal]), int(self.goals.sign[goal])
                # a part of which every box was dropped has no leaf
                reached = np.where(np.isneginf(self.reached[:, goal]), 0.0, np.minimum(self.reached[:, goal], 0.0))
                signs[name][unit] = -sign
                if sign > 0:
                    upper[:, unit] = np.minimum(upper[:, unit], reached)
                else:
                    lower[:, unit] = np.maximum(lower[:, unit], -reached)
            still[name][self.goals.unit[own[waiting[own]]]] = True
            still[name] &= signs[name] == 0
            bounds[name] = Interval(lower, upper)
        none = np.empty((0, self.network.input_size))
        complete = not any(mask.any() for mask in still.values())
        points = np.concatenate([none, *self.points])
        tree = self.frontier.tree()
        return SplitResult(signs, bounds, points, tree, self.goals, self.proved, still, complete, seconds)

    def _start(self, name: str, size: int) -> tuple[FloatArray, FloatArray]:
        shape = (self.parts, size)
        if name not in self.known:
            return np.full(shape, -np.inf), np.full(shape, np.inf)
        interval = self.known[name]
        return np.broadcast_to(interval.lower, shape).copy(), np.broadcast_to(interval.upper, shape).copy()
