"""The sub-boxes that a search has still to look at, and the tree of those it has looked at."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray

Order: TypeAlias = Literal["goals", "worst", "newest"]
"""Which boxes come first: those of the goal that has taken fewest boxes so far, counting those where it is open now (so
that goals close to their end are ended, and a hopeless one does not hold up the others), and of these the oldest; those
with the largest bound; or those made last, which keeps the queue short."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitTree:
    """The boxes that were bounded, in order; the children of a box follow it.

    A checker walks down from the roots and stops, goal by goal, at the first box where the goal holds.

    Attributes:
        parent: (k,) index of the parent, -1 for a root.
        side: (k,) 0 for the lower half of the parent, 1 for the upper.
        part: (k,) part of the domain.
        dimension: (k,) input that was halved, or input_size + j where that was the sign of unit j; -1 for a leaf.
        at: (k,) where: 0 for a unit.
        open: (k, goals / 8) uint8: as bits, the goals that were still to be proved there.
    """

    parent: IntArray
    side: ByteArray
    part: IntArray
    dimension: IntArray
    at: FloatArray
    open: npt.NDArray[np.uint8]

    def needed(self, goals: BoolArray) -> SplitTree:
        """The tree without the boxes on which none of some goals was open.

        Args:
            goals: (goals,) bool: those that were proved.  Where one is open on a box, it is on the box's parent.
        """
        open_goals = np.unpackbits(self.open, axis=1, count=goals.size).astype(bool)
        kept = (open_goals & goals).any(axis=1) | (self.parent < 0)
        number = np.cumsum(kept) - 1
        parents = np.where(self.parent >= 0, number[self.parent], -1)
        inner = np.zeros(kept.size, dtype=bool)
        inner[self.parent[kept & (self.parent >= 0)]] = True
        dimension, at = np.where(inner, self.dimension, -1), np.where(inner, self.at, 0.0)
        side, part, bits = self.side[kept], self.part[kept], self.open[kept]
        return SplitTree(parents[kept], side, part, dimension[kept], at[kept], bits)


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Sub-boxes with what their parents know.

    Attributes:
        lower: (k, input_size).
        upper: (k, input_size).
        signs: (k, units) -1 where z <= 0 is proved, or the part is meant where it holds; 1 likewise for z >= 0, else 0.
        open: (k, goals) which goals are still to be proved there.
        part: (k,) part of the domain they belong to.
        parent: (k,) index of the parent in the tree, -1 for a root.
        side: (k,) which half of the parent they are.
        reach: (k,) the largest bound of an open goal; infinite where there is none.
        share: (k,) of the volume of their root, over its free inputs; each side of a split has half of it.
        told: (k, w) other numbers that the bounder keeps for the parts of a box.
    """

    lower: FloatArray
    upper: FloatArray
    signs: ByteArray
    open: BoolArray
    part: IntArray
    parent: IntArray
    side: ByteArray
    reach: FloatArray
    share: FloatArray
    told: FloatArray

    @staticmethod
    def roots(lower: FloatArray, upper: FloatArray, units: int, goals: int) -> Boxes:
        """One box for each part of the domain, (parts, input_size), of which nothing is known."""
        count = len(lower)
        signs, everything = np.zeros((count, units), dtype=np.int8), np.ones((count, goals), dtype=bool)
        part, none, side = np.arange(count), np.full(count, -1, dtype=np.int64), np.zeros(count, dtype=np.int8)
        low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
        rest = np.full(count, np.inf), np.ones(count), np.empty((count, 0))
        return Boxes(low, high, signs, everything, part, none, side, *rest)

    def __len__(self) -> int:
        return len(self.lower)

    def _arrays(self) -> list[npt.NDArray[Any]]:
        return [getattr(self, one.name) for one in fields(self)]

    def take(self, index: IntArray | BoolArray) -> Boxes:
        """Some of them."""
        return Boxes(*(array[index] for array in self._arrays()))

    def join(self, *others: Boxes) -> Boxes:
        """These, then those."""
        columns = zip(self._arrays(), *(other._arrays() for other in others), strict=True)
        return Boxes(*(np.concatenate(column) for column in columns))

    def halves(self, dimension: IntArray, names: IntArray) -> Boxes:
        """The lower halves, then the upper halves.

        Args:
            dimension: (k,) input to halve, in its middle; or input_size + j for unit j, at its sign.
            names: (k,) the boxes' own indices in the tree.
        """
        size = self.lower.shape[1]
        rows, upper, lower = np.flatnonzero(dimension < size), self.upper.copy(), self.lower.copy()
        inputs = dimension[rows]
        upper[rows, inputs] = lower[rows, inputs] = self.middle[rows, inputs]
        below, above = self.signs.copy(), self.signs.copy()
        rows = np.flatnonzero(dimension >= size)
        below[rows, dimension[rows] - size], above[rows, dimension[rows] - size] = -1, 1
        own = replace(self, parent=names, share=self.share / 2, side=np.zeros(len(self), np.int8))
        other = replace(own, lower=lower, signs=above, side=np.ones(len(self), np.int8))
        return replace(own, upper=upper, signs=below).join(other)

    @property
    def middle(self) -> FloatArray:
        """(k, input_size) floats in the boxes, strictly between their bounds where there is one."""
        return np.clip(self.lower + (self.upper - self.lower) / 2, self.lower, self.upper)


class BoxQueue:
    """Boxes to do.

    Args:
        roots: the first ones.
        order: which come first.
    """

    def __init__(self, roots: Boxes, order: Order) -> None:
        self.boxes, self.order = roots, order
        self.spent = np.zeros(roots.open.shape[1], dtype=np.int64)
        """(goals,) boxes taken out while the goal was open there."""

    def __len__(self) -> int:
        return len(self.boxes)

    def close(self, goals: BoolArray) -> None:
        """Forget some goals, and the boxes where nothing else is open."""
        self.boxes = without(self.boxes, goals)

    def pop(self, size: int) -> Boxes:
        """At most `size` boxes, those that come first."""
        first = np.argsort(self._rank(), kind="stable") if len(self) > size else np.arange(len(self))
        batch, self.boxes = self.boxes.take(first[:size]), self.boxes.take(np.sort(first[size:]))
        self.spent = self.spent + batch.open.sum(axis=0)
        return batch

    def _rank(self) -> FloatArray | IntArray:
        if self.order == "newest":
            return -np.arange(len(self))
        if self.order == "worst":
            return -self.boxes.reach
        cost = self.spent + self.boxes.open.sum(axis=0)
        return np.asarray(np.where(self.boxes.open, cost, np.iinfo(np.int64).max).min(axis=1))

    def push(self, boxes: Boxes) -> None:
        """Add boxes to do."""
        self.boxes = self.boxes.join(boxes)


def without(boxes: Boxes, goals: BoolArray) -> Boxes:
    """Boxes with some goals (goals,) closed, those left out where nothing else is open."""
    still = replace(boxes, open=boxes.open & ~goals)
    return still.take(np.flatnonzero(still.open.any(axis=1)))


class TreeRecord:
    """A tree that grows as boxes are bounded.

    Args:
        goals: how many there are.
    """

    def __init__(self, goals: int) -> None:
        self.count = 0
        none, bits = np.empty(0, dtype=np.int64), np.empty((0, (goals + 7) // 8), dtype=np.uint8)
        self._rows: list[tuple[npt.NDArray[Any], ...]] = [(none, none.astype(np.int8), none, none, np.empty(0), bits)]

    def add(self, boxes: Boxes, dimension: IntArray, at: FloatArray) -> IntArray:
        """Enter boxes with the input that each is halved at, -1 for none, and where; their indices in the tree."""
        names = self.count + np.arange(len(boxes))
        bits = np.packbits(boxes.open, axis=1)
        self._rows.append((boxes.parent, boxes.side, boxes.part, dimension, np.where(dimension < 0, 0.0, at), bits))
        self.count += len(boxes)
        return names

    def add_leaves(self, boxes: Boxes) -> None:
        """Enter boxes that are not halved."""
        self.add(boxes, np.full(len(boxes), -1), np.zeros(len(boxes)))

    def tree(self) -> SplitTree:
        """The boxes entered so far."""
        return SplitTree(*(np.concatenate(column) for column in zip(*self._rows, strict=True)))
