"""Splitting the input box where an assumed constraint cannot hold (specs/bounds.md, B-11).

A box on which a pulled-back bound shows that an assumed constraint is violated, or whose bounds exclude what is known
of the set, has no point of the set.  What is left covers it: smaller intervals of all nodes, a smaller box, or nothing
at all.  Meant for few free inputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.assumed import add_assumed
from eqverify.bounds.crown import crown_bounds
from eqverify.bounds.directed import Question
from eqverify.bounds.frontier import SplitTree
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.pullback import Ground, Pullback, relax
from eqverify.bounds.refine import most_boxes


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Boxes that cover the set.

    Attributes:
        lower: (boxes, input_size); no boxes where the set is empty.
        upper: (boxes, input_size).
        bounds: by pre-activation node, (1, n) the hull of what holds on the boxes; empty without boxes.
        bounded: how many boxes were bounded.
        tree: the halvings; its leaves are the boxes, and those that miss the set.
    """

    lower: FloatArray
    upper: FloatArray
    bounds: Bounds
    bounded: int
    tree: SplitTree


def shrink(
    question: Question,
    known: Bounds,
    *,
    max_boxes: int,
    stop: Callable[[], bool],
    propose: Callable[[FloatArray], None],
    batch: int = 256,
) -> Cover:
    """Split the box breadth first and drop what misses the set.

    Args:
        question: the set.
        known: proved intervals (1, n) of nodes on it.
        max_boxes: at most so many boxes are bounded.
        stop: asked between batches.
        propose: told of inputs (k, input_size) that may lie in the set.
        batch: boxes bounded together, at most.

    Returns:
        A cover of the set.  Trusted: float64 arithmetic, and `known`.
    """
    batch = min(batch, most_boxes(question.network))
    lower, upper = question.lower[None], question.upper[None]
    stuck: list[tuple[FloatArray, FloatArray]] = []
    hull, tree = _Hull(question, known), _Tree()
    numbers, bounded = np.zeros(1, dtype=np.int64), 0
    while len(lower) and bounded < max_boxes and not stop():
        taken, rest = slice(0, batch), slice(batch, None)
        found = _bound(question, known, lower[taken], upper[taken])
        bounded += len(lower[taken])
        own = lower[taken][~found.misses], upper[taken][~found.misses]
        propose(own[0] + (own[1] - own[0]) / 2)
        at = found.widest[~found.misses]
        halves, whole = _halves(*own, at)
        added = tree.split(numbers[taken][~found.misses][~whole], at[~whole], halves[1])
        numbers = np.concatenate([numbers[rest], added])
        stuck.append((own[0][whole], own[1][whole]))
        lower, upper = np.concatenate([lower[rest], halves[0]]), np.concatenate([upper[rest], halves[1]])
    lower = np.concatenate([*(low for low, _ in stuck), lower])
    upper = np.concatenate([*(high for _, high in stuck), upper])
    return hull.of(lower, upper, batch, bounded, tree.done())


class _Tree:
    """Records halvings."""

    def __init__(self) -> None:
        self._count = 1
        self._parents = [np.array([-1])]
        self._sides = [np.zeros(1, dtype=np.int8)]
        self._splits: list[tuple[IntArray, IntArray, FloatArray]] = []

    def split(self, parents: IntArray, dimension: IntArray, upper: FloatArray) -> IntArray:
        """Halve boxes; the numbers of the lower halves, then of the upper ones.

        Args:
            parents: (k,) their numbers.
            dimension: (k,) where.
            upper: (2 k, input_size) upper corners of the halves.
        """
        count = parents.size
        self._splits.append((parents, dimension, upper[np.arange(count), dimension]))
        self._parents.append(np.concatenate([parents, parents]))
        self._sides.append(np.repeat([0, 1], count).astype(np.int8))
        self._count += 2 * count
        return np.arange(self._count - 2 * count, self._count)

    def done(self) -> SplitTree:
        """The tree."""
        dimension, at = np.full(self._count, -1), np.zeros(self._count)
        for parents, cut, middle in self._splits:
            dimension[parents], at[parents] = cut, middle
        part = np.zeros(self._count, dtype=np.int64)
        goals = np.zeros((self._count, 0), dtype=np.uint8)
        return SplitTree(np.concatenate(self._parents), np.concatenate(self._sides), part, dimension, at, goals)


@dataclass(frozen=True, slots=True, eq=False)
class _Bounded:
    """What is known of a batch of boxes.

    Attributes:
        misses: (boxes,) bool: no point of the set lies in it.
        widest: (boxes,) the input to split at.
        bounds: intervals of all nodes.
    """

    misses: BoolArray
    widest: IntArray
    bounds: Bounds


def _bound(question: Question, known: Bounds, lower: FloatArray, upper: FloatArray) -> _Bounded:
    network, assumed = question.network, question.assumed
    bounds = crown_bounds(network, lower, upper, alone=True)
    misses = np.zeros(len(lower), dtype=bool)
    for name, interval in known.items():
        z = bounds[name]
        misses |= ((z.lower > interval.upper) | (z.upper < interval.lower)).any(axis=1)
    reach = upper - lower
    if len(assumed):
        ground = Ground(network, bounds, {relu.name: relax(bounds[relu.source]) for relu in network.relus})
        pullback = Pullback(ground)
        count = len(assumed)
        each = np.concatenate([np.eye(count), np.ones((1, count))])
        add_assumed(pullback, assumed, np.broadcast_to(each, (len(lower), count + 1, count)))
        found = pullback.run()
        misses |= (found.upper < 0).any(axis=1)
        worst = np.argmin(found.upper, axis=1)
        rows = np.concatenate(
            [
                found.inputs.get(p.name, np.zeros((1, 1, p.size))) + 0.0 * found.upper[:, :, None]
                for p in network.inputs
            ],
            axis=2,
        )
        with np.errstate(invalid="ignore", over="ignore"):
            slopes = np.nan_to_num(np.abs(rows[np.arange(len(lower)), worst]))
        # an input that the bound does not feel may matter through the relaxation
        reach = reach * (slopes + 0.05 * slopes.max(axis=1, initial=0.0, keepdims=True) + 1e-30)
    return _Bounded(misses, np.argmax(reach, axis=1), bounds)


def _halves(lower: FloatArray, upper: FloatArray, at: IntArray) -> tuple[tuple[FloatArray, FloatArray], BoolArray]:
    """Both halves of each box along an input, and which boxes cannot be halved (those are left out)."""
    rows = np.arange(len(lower))
    middle = lower[rows, at] + (upper[rows, at] - lower[rows, at]) / 2
    whole = ~((middle > lower[rows, at]) & (middle < upper[rows, at]))
    left, right = upper.copy(), lower.copy()
    left[rows, at], right[rows, at] = middle, middle
    go = ~whole
    return (np.concatenate([lower[go], right[go]]), np.concatenate([left[go], upper[go]])), whole


@dataclass(frozen=True, slots=True, eq=False)
class _Hull:
    """Collects what holds on all boxes of a cover."""

    question: Question
    known: Bounds

    def of(self, lower: FloatArray, upper: FloatArray, batch: int, bounded: int, tree: SplitTree) -> Cover:
        """The cover by these boxes, bounded once more; those that turn out to miss the set are left out."""
        kept: list[BoolArray] = []
        hull: dict[str, Interval] = {}
        names = {relu.source for relu in self.question.network.relus}
        for start in range(0, len(lower), batch):
            part = slice(start, start + batch)
            found = _bound(self.question, self.known, lower[part], upper[part])
            stays = ~found.misses
            kept.append(stays)
            if not stays.any():
                continue
            for name in names:
                z = found.bounds[name]
                low, high = z.lower[stays].min(axis=0)[None], z.upper[stays].max(axis=0)[None]
                old = hull.get(name, Interval(low, high))
                hull[name] = Interval(np.minimum(old.lower, low), np.maximum(old.upper, high))
        mask = np.concatenate([np.zeros(0, dtype=bool), *kept])
        return Cover(lower[mask], upper[mask], hull, bounded + len(lower), tree)
