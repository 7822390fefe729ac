"""Input splitting for a question: a box is done where some row is positive on all of it (specs/verification.md, V-2).

Boxes are bounded in batches by CROWN, given what their parents know; the input to halve is the one that the row
nearest to being decided depends on most (Wang et al. 2018, ReluVal, arXiv 1804.10829).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds import Interval, crown_bounds
from eqverify.bounds.pullback import Ground, LinearBound, Pullback, Row, relax
from eqverify.deciding.question import Question, Replay
from eqverify.domain import Box
from eqverify.network import Network, Relu, evaluate
from eqverify.stability.budget import Budget

SPLIT_INPUTS = 12
"""Boxes are halved where at most so many inputs are free."""

_BATCH = 256
_COMBINING_STEPS = 24
_LEAVES, _LEAF_UNITS = 8, 12
"""Of each batch at most so many boxes, on which at most so many units are open, are decided exactly."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitOutcome:
    """How a search ended.

    Attributes:
        proved: whether no input of the box meets all rows.
        found: whether a replay succeeded.
        boxes: boxes bounded.
    """

    proved: bool
    found: bool
    boxes: int


@dataclass(frozen=True, slots=True, eq=False)
class _Boxes:
    """Boxes to do: (k, n) bounds, and by pre-activation node the signs (k, units) known there."""

    lower: FloatArray
    upper: FloatArray
    signs: dict[str, ByteArray]

    def take(self, index: BoolArray | slice) -> _Boxes:
        signs = {name: sign[index] for name, sign in self.signs.items()}
        return _Boxes(self.lower[index], self.upper[index], signs)

    def join(self, other: _Boxes) -> _Boxes:
        signs = {name: np.concatenate([sign, other.signs[name]]) for name, sign in self.signs.items()}
        lower, upper = np.concatenate([self.lower, other.lower]), np.concatenate([self.upper, other.upper])
        return _Boxes(lower, upper, signs)

    def halves(self, scores: FloatArray) -> _Boxes | None:
        """Both halves of each box along its input of highest score; None where a box cannot be halved."""
        middle = self.lower + (self.upper - self.lower) / 2
        divisible = (middle > self.lower) & (middle < self.upper)
        if not divisible.any(axis=1).all():
            return None
        chosen = np.argmax(np.where(divisible, scores, -1.0), axis=1)
        rows = np.arange(len(chosen))
        low_upper, high_lower = self.upper.copy(), self.lower.copy()
        low_upper[rows, chosen] = high_lower[rows, chosen] = middle[rows, chosen]
        return _Boxes(self.lower, low_upper, self.signs).join(_Boxes(high_lower, self.upper, self.signs))


Leaf: TypeAlias = Callable[[Box, Mapping[str, Interval]], bool | None]
"""Decides a box with ranges (1, n) of its nodes exactly: True where nothing in it meets all rows, False where an input
does, None where that is left open."""


def split_question(
    question: Question, replay: Replay, budget: Budget, batch: int = _BATCH, leaf: Leaf | None = None
) -> SplitOutcome:
    """Prove that a question has no solution, or find one, by halving the box.

    Args:
        question: what is asked.
        replay: tries candidates.
        budget: seconds; a batch that has begun is finished.
        batch: boxes bounded together.
        leaf: decides boxes on which few units are open; of each batch, those nearest to being decided are tried.

    Returns:
        The outcome; neither `proved` nor `found` where time ran out.  Trusted: float64 arithmetic.
    """
    network = question.network
    sources = [relu.source for relu in network.relus]
    signs = {name: np.zeros((1, network.sizes[name]), dtype=np.int8) for name in sources}
    todo = _Boxes(question.box.lower[None], question.box.upper[None], signs)
    count = 0
    while len(todo.lower) and not budget.exhausted():
        now, todo = todo.take(slice(-batch, None)), todo.take(slice(0, -batch))
        count += len(now.lower)
        worst, scores, signs, corners, bounds = _bound(network, now)
        going = ~(worst < 0)
        for k in _leaves(worst, going, signs):
            if leaf is None:
                break
            ranges = {name: Interval(z.lower[k][None], z.upper[k][None]) for name, z in bounds.items()}
            closed = leaf(Box(now.lower[k], now.upper[k]), ranges)
            if closed is False:
                return SplitOutcome(False, True, count)
            going[k] = closed is None
        if not going.any():
            continue
        centres = np.clip(now.lower + (now.upper - now.lower) / 2, now.lower, now.upper)[going]
        if _try(network, np.concatenate([centres, corners[going]]), replay):
            return SplitOutcome(False, True, count)
        rest = _Boxes(now.lower, now.upper, signs).take(going)
        halves = rest.halves(scores[going])
        if halves is None:
            return SplitOutcome(False, False, count)
        todo = todo.join(halves)
    return SplitOutcome(not len(todo.lower), False, count)


def _leaves(worst: FloatArray, going: BoolArray, signs: dict[str, ByteArray]) -> list[int]:
    """The boxes of a batch that are decided exactly, the nearest to being decided first."""
    still = [(sign == 0).sum(axis=1) for sign in signs.values()]
    few = going & (np.sum(still, axis=0, initial=0) <= _LEAF_UNITS)
    order: list[int] = [k for k in np.argsort(worst, kind="stable").tolist() if few[k]]
    return order[:_LEAVES]


def _bound(
    network: Network, boxes: _Boxes
) -> tuple[FloatArray, FloatArray, dict[str, ByteArray], FloatArray, dict[str, Interval]]:
    """Per box: the smallest upper bound of a negated row, how inputs matter to it, signs, its best corner, bounds."""
    known = {
        name: Interval(np.where(sign > 0, 0.0, -np.inf), np.where(sign < 0, 0.0, np.inf))
        for name, sign in boxes.signs.items()
    }
    bounds = crown_bounds(network, boxes.lower, boxes.upper, known)
    ground = Ground(network, bounds, {relu.name: relax(bounds[relu.source]) for relu in network.relus})
    worst, slope, weights = _separate(ground, boxes)
    score = np.einsum("kr,krn->kn", weights, _steepness(ground)) * (boxes.upper - boxes.lower)
    signs = {}
    for name in boxes.signs:
        z = bounds[name]
        signs[name] = np.where(z.lower >= 0, 1, np.where(z.upper <= 0, -1, 0)).astype(np.int8)
    corner = np.where(slope > 0, boxes.upper, boxes.lower)
    return worst, score, signs, corner, bounds


def _steepness(ground: Ground) -> FloatArray:
    """(k, rows, n) bounds on the derivatives of the rows on each box, up to rounding: for choosing what to halve.

    Not those of the linear bounds: these may be flat in an input that only decides signs of units, or where rows pull
    in opposite directions, and it is just there that halving helps.
    """
    port = ground.network.outputs[0]
    identity = np.eye(port.size)[None].repeat(ground.boxes, axis=0)
    lowest, highest = {port.source: identity}, {port.source: identity}
    for node in reversed(ground.network.nodes):
        if node.name not in lowest:
            continue
        low, high = lowest.pop(node.name), highest.pop(node.name)
        if isinstance(node, Relu):
            z = ground.bounds[node.source]
            active, inactive = (z.lower >= 0)[:, None], (z.upper <= 0)[:, None]
            pairs = [
                (node.source, np.where(active, low, np.minimum(low, 0)), np.where(active, high, np.maximum(high, 0)))
            ]
            pairs = [(name, np.where(inactive, 0, a), np.where(inactive, 0, b)) for name, a, b in pairs]
        else:
            pairs = []
            for term in node.terms:
                middle, spread = term.map.backward((low + high) / 2), term.map.absolute().backward((high - low) / 2)
                pairs.append((term.source, middle - spread, middle + spread))
        for name, a, b in pairs:
            lowest[name], highest[name] = lowest.get(name, 0.0) + a, highest.get(name, 0.0) + b
    zero = np.zeros((ground.boxes, port.size, 1))
    sizes = [
        np.maximum(np.abs(lowest.get(p.name, zero)), np.abs(highest.get(p.name, zero))) * np.ones(p.size)
        for p in ground.network.inputs
    ]
    return np.nan_to_num(np.concatenate(sizes, axis=2))


def _separate(ground: Ground, boxes: _Boxes) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The smallest upper bound (k,) found of a negated row, or of a convex combination of them; its slopes (k, n).

    Also the weights (k, rows) of the combination.
    """
    port = ground.network.outputs[0]
    rows = np.arange(len(boxes.lower))
    found = ground.unit_rows(port.source, np.arange(port.size)[None], -np.ones((1, port.size))).run()
    slopes = _input_slopes(ground, found, port.size)
    best = np.argmin(found.upper, axis=1)
    worst, slope = found.upper[rows, best], slopes[rows, best]
    if port.size == 1 or (worst < 0).all():
        return worst, slope, np.eye(port.size)[best]
    weights = _weights(found.upper, slopes, boxes, best)
    pullback = Pullback(ground)
    pullback.add(port.source, Row(-weights[:, None, :]))
    joint = pullback.run()
    better = joint.upper[:, 0] < worst
    joint_slope = _input_slopes(ground, joint, 1)[:, 0]
    return np.minimum(worst, joint.upper[:, 0]), np.where(better[:, None], joint_slope, slope), weights


def _input_slopes(ground: Ground, found: LinearBound, rows: int) -> FloatArray:
    parts = []
    for port in ground.network.inputs:
        part = found.inputs.get(port.name, np.zeros((1, 1, port.size)))
        parts.append(np.broadcast_to(part, (ground.boxes, rows, port.size)))
    return np.nan_to_num(np.concatenate(parts, axis=2))


def _weights(upper: FloatArray, slopes: FloatArray, boxes: _Boxes, best: IntArray) -> FloatArray:
    """(k, rows) weights of a convex combination whose bound is small, by Frank-Wolfe steps.

    The bound of a combination is the maximum over the box of the combination of linear functions; where it is attained,
    the row that is smallest there improves it most.  Any weights are valid.
    """
    radius = (boxes.upper - boxes.lower) / 2
    level = np.nan_to_num(upper - (np.abs(slopes) * radius[:, None, :]).sum(axis=2))
    rows = np.arange(len(radius))
    weights = np.zeros(upper.shape)
    weights[rows, best] = 1.0
    reached, kept = upper[rows, best], weights.copy()
    for step in range(_COMBINING_STEPS):
        slope = np.einsum("kr,krn->kn", weights, slopes)
        values = level + np.einsum("krn,kn->kr", slopes, np.sign(slope) * radius)
        total = (weights * values).sum(axis=1)
        kept = np.where((total < reached)[:, None], weights, kept)
        reached = np.minimum(total, reached)
        target = np.zeros_like(weights)
        target[rows, np.argmin(values, axis=1)] = 1.0
        weights = weights + 2.0 / (step + 3.0) * (target - weights)
    return kept


def _try(network: Network, points: FloatArray, replay: Replay) -> bool:
    level = evaluate(network, points).max(axis=1)
    met = np.flatnonzero(level <= 0)
    return bool(met.size) and replay(points[met[np.argsort(level[met])][:8]])
