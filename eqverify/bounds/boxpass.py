"""CROWN on a batch of sub-boxes that inherit what their parents know, as far as open goals need it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.crown import open_units, pull_units, target_units
from eqverify.bounds.frontier import Boxes
from eqverify.bounds.goals import Goals
from eqverify.bounds.interval import Bounds, Interval, input_intervals, interval_affine
from eqverify.bounds.pullback import Ground, LinearBound, Relaxation, relax
from eqverify.network import Affine, Network, Relu, gamma
from eqverify.network.evaluate import UNDERFLOW


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one pass over a batch says.

    Attributes:
        worst: (boxes, goals) proved upper bounds of sign * z; +inf where the goal was not open.
        signs: (boxes, units) as in `Boxes`, with what was proved here.
        score: (boxes, input_size) how much each input matters for the goals that stay open.
        corners: (k, input_size) corners of boxes that the linear bounds point to.
        corner_parts: (k,) the parts these boxes belong to.
    """

    worst: FloatArray
    signs: ByteArray
    score: FloatArray
    corners: FloatArray
    corner_parts: IntArray


@dataclass(slots=True)
class _Batch:
    """The state of one pass."""

    boxes: Boxes
    bounds: dict[str, Interval]
    relaxations: dict[str, Relaxation]
    worst: FloatArray
    score: FloatArray
    vacuous: BoolArray
    corners: list[FloatArray] = field(default_factory=list)
    corner_parts: list[IntArray] = field(default_factory=list)


class BoxPass:
    """Bounds batches of boxes.

    Args:
        network: the network.
        goals: what is to be proved.
        known: proved intervals of nodes, (parts or 1, n).
        constrained: whether `known` may rest on linear input constraints, so that it may contradict what holds on a
            sub-box outside of them; such a box is then vacuous.
    """

    def __init__(self, network: Network, goals: Goals, known: Bounds, constrained: bool) -> None:
        self.network = network
        self.goals = goals
        self.known = known
        self.constrained = constrained

    def run(self, boxes: Boxes) -> Found:
        """CROWN bounds of the boxes up to the last node with an open goal."""
        bounds = input_intervals(self.network, boxes.lower, boxes.upper)
        worst = np.full((len(boxes), len(self.goals)), np.inf)
        batch = _Batch(boxes, bounds, {}, worst, np.zeros(boxes.lower.shape), np.zeros(len(boxes), dtype=bool))
        ground = Ground(self.network, bounds, batch.relaxations)
        open_nodes = np.flatnonzero(
            np.bincount(self.goals.node[boxes.open.any(axis=0)], minlength=len(self.goals.nodes))
        )
        last = self.goals.nodes[int(open_nodes[-1])]
        for node in self.network.nodes:
            if isinstance(node, Relu):
                batch.relaxations[node.name] = relax(bounds[node.source])
                bounds[node.name] = bounds[node.source].relu()
                continue
            bounds[node.name] = self._inherited(batch, node.name, interval_affine(node, bounds))
            if node.name in self.goals.offsets:
                self._tighten(batch, ground, node.name, node.name == last)
                self._judge(batch, node.name)
            if node.name == last:
                break
        batch.worst[batch.vacuous] = -np.inf
        return Found(batch.worst, self._signs(batch), batch.score, *_corners(batch))

    def _inherited(self, batch: _Batch, name: str, z: Interval) -> Interval:
        if name in self.known:
            whole = self.known[name]
            rows = batch.boxes.part if len(whole.lower) > 1 else np.zeros(len(batch.boxes), dtype=np.int64)
            z = self._meet(batch, name, z, Interval(whole.lower[rows], whole.upper[rows]))
        if name in self.goals.offsets:
            start = self.goals.offsets[name]
            signs = batch.boxes.signs[:, start : start + z.lower.shape[1]]
            told = Interval(np.where(signs > 0, 0.0, -np.inf), np.where(signs < 0, 0.0, np.inf))
            z = self._meet(batch, name, z, told)
        return z

    def _meet(self, batch: _Batch, name: str, left: Interval, right: Interval) -> Interval:
        """What both say; a contradiction is an error unless the box may be outside of the domain."""
        if not self.constrained:
            return left.intersect(right, name)
        lower, upper = np.maximum(left.lower, right.lower), np.minimum(left.upper, right.upper)
        batch.vacuous |= (lower > upper).any(axis=1)
        return Interval(np.minimum(lower, upper), np.maximum(lower, upper))

    def _tighten(self, batch: _Batch, ground: Ground, name: str, last: bool) -> None:
        """CROWN for the units that later nodes or goals need; the last node needs its goals only."""
        z = batch.bounds[name]
        wanted = open_units(z)
        index = self.goals.index[name]
        if last:
            asked = np.zeros_like(wanted)
            for side in (0, 1):
                chosen = np.flatnonzero(index[:, side] >= 0)
                asked[:, chosen] |= batch.boxes.open[:, index[chosen, side]]
            wanted &= asked
        if not wanted.any():
            return
        node = self.network.by_name[name]
        assert isinstance(node, Affine)
        units = target_units(node, wanted)
        count = units.shape[1]
        units = np.broadcast_to(units, (len(batch.boxes), count))
        found = pull_units(ground, name, units)
        self._sense(batch, name, units, found)
        tight = Interval(np.full_like(z.lower, -np.inf), np.full_like(z.upper, np.inf))
        np.put_along_axis(tight.lower, units, -found.upper[:, count:], 1)
        np.put_along_axis(tight.upper, units, found.upper[:, :count], 1)
        # Lists are filled up with units that nobody asked for; what is said of those would depend on the batch.
        tight = Interval(np.where(wanted, tight.lower, -np.inf), np.where(wanted, tight.upper, np.inf))
        batch.bounds[name] = self._meet(batch, name, z, tight)

    def _sense(self, batch: _Batch, name: str, units: IntArray, found: LinearBound) -> None:
        """Note which inputs the open goals of a node depend on, and the corners where their bounds are largest."""
        index = self.goals.index[name]
        goal = np.concatenate([index[units, 0], index[units, 1]], axis=1)
        rows = np.arange(len(batch.boxes))[:, None]
        live = (goal >= 0) & batch.boxes.open[rows, goal] & (found.upper > 0)
        if not live.any():
            return
        ports = [found.inputs.get(port.name, np.zeros((1, 1, port.size))) for port in self.network.inputs]
        shape = goal.shape
        slopes = np.concatenate([np.broadcast_to(p, (*shape, p.shape[2])) for p in ports], axis=2)
        with np.errstate(invalid="ignore", over="ignore"):
            reach = np.abs(slopes) * (batch.boxes.upper - batch.boxes.lower)[:, None, :]
            share = reach / np.maximum(reach.sum(axis=2), 1e-300)[:, :, None]
        batch.score += np.where(live[:, :, None], np.nan_to_num(share), 0.0).sum(axis=1)
        box, row = np.nonzero(live)
        order = np.argsort(-found.upper[box, row], kind="stable")
        _, first = np.unique(goal[box, row][order], return_index=True)
        box, row = box[order[first]], row[order[first]]
        corner = np.where(slopes[box, row] > 0, batch.boxes.upper[box], batch.boxes.lower[box])
        batch.corners.append(corner)
        batch.corner_parts.append(batch.boxes.part[box])

    def _judge(self, batch: _Batch, name: str) -> None:
        z, index = batch.bounds[name], self.goals.index[name]
        for side, reached in enumerate((z.upper, -z.lower)):
            chosen = np.flatnonzero(index[:, side] >= 0)
            batch.worst[:, index[chosen, side]] = reached[:, chosen]
        batch.worst[~batch.boxes.open] = np.inf

    def _signs(self, batch: _Batch) -> ByteArray:
        signs = batch.boxes.signs.copy()
        for name, start in self.goals.offsets.items():
            if name in batch.bounds:
                z = batch.bounds[name]
                part = signs[:, start : start + z.lower.shape[1]]
                part[z.lower >= 0] = 1
                part[z.upper <= 0] = -1
        return signs


def _corners(batch: _Batch) -> tuple[FloatArray, IntArray]:
    if not batch.corners:
        return np.empty((0, batch.boxes.lower.shape[1])), np.empty(0, dtype=np.int64)
    return np.concatenate(batch.corners), np.concatenate(batch.corner_parts)


def _range(matrix: FloatArray, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sound bounds of matrix x over boxes, (boxes, k) each."""
    positive, negative = np.maximum(matrix, 0.0), np.minimum(matrix, 0.0)
    slack = gamma(2 * matrix.shape[1] + 4) * (np.maximum(np.abs(lower), np.abs(upper)) @ np.abs(matrix).T) * (1 + 1e-6)
    slack = slack + UNDERFLOW
    low, high = lower @ positive.T + upper @ negative.T, upper @ positive.T + lower @ negative.T
    return np.nextafter(low - slack, -np.inf), np.nextafter(high + slack, np.inf)


def certainly_outside(matrix: FloatArray, bound: FloatArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    """(boxes,) bool: boxes (boxes, input_size) without any point of  matrix x <= bound."""
    return np.asarray((_range(matrix, lower, upper)[0] > bound).any(axis=1))


def certainly_inside(matrix: FloatArray, bound: FloatArray, points: FloatArray) -> BoolArray:
    """(k,) bool: points (k, input_size) that satisfy  matrix x <= bound  beyond rounding."""
    return np.asarray((_range(matrix, points, points)[1] <= bound).all(axis=1))
