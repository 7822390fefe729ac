"""The sub-boxes that input splitting has still to look at, and the tree of those it has looked at."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class SplitTree:
    """The boxes that were bounded, in order; the children of a box follow it.

    A checker walks down from the roots and stops, goal by goal, at the first box where the goal holds.

    Attributes:
        parent: (k,) index of the parent, -1 for a root.
        side: (k,) 0 for the lower half of the parent, 1 for the upper.
        part: (k,) part of the domain.
        dimension: (k,) input that was halved, -1 for a leaf.
        at: (k,) where.
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
        signs: (k, units) -1 where z <= 0 is proved, 1 where z >= 0 is.
        open: (k, goals) which goals are still to be proved there.
        part: (k,) part of the domain they belong to.
        parent: (k,) index of the parent in the tree, -1 for a root.
        side: (k,) which half of the parent they are.
    """

    lower: FloatArray
    upper: FloatArray
    signs: ByteArray
    open: BoolArray
    part: IntArray
    parent: IntArray
    side: ByteArray

    def __len__(self) -> int:
        return len(self.lower)

    def take(self, index: IntArray | BoolArray) -> Boxes:
        """Some of them."""
        return Boxes(
            self.lower[index],
            self.upper[index],
            self.signs[index],
            self.open[index],
            self.part[index],
            self.parent[index],
            self.side[index],
        )

    def join(self, other: Boxes) -> Boxes:
        """These, then those."""
        return Boxes(
            np.concatenate([self.lower, other.lower]),
            np.concatenate([self.upper, other.upper]),
            np.concatenate([self.signs, other.signs]),
            np.concatenate([self.open, other.open]),
            np.concatenate([self.part, other.part]),
            np.concatenate([self.parent, other.parent]),
            np.concatenate([self.side, other.side]),
        )

    def halves(self, dimension: IntArray, at: FloatArray, names: IntArray) -> Boxes:
        """The lower halves, then the upper halves.

        Args:
            dimension: (k,) input to halve.
            at: (k,) where; strictly between the bounds, or on one of them if there is no float between.
            names: (k,) the boxes' own indices in the tree.
        """
        rows = np.arange(len(self))
        middle_upper, middle_lower = self.upper.copy(), self.lower.copy()
        middle_upper[rows, dimension] = at
        middle_lower[rows, dimension] = at
        low = Boxes(self.lower, middle_upper, self.signs, self.open, self.part, names, np.zeros(len(self), np.int8))
        high = Boxes(middle_lower, self.upper, self.signs, self.open, self.part, names, np.ones(len(self), np.int8))
        return low.join(high)


@dataclass(slots=True)
class Frontier:
    """Boxes to do, cheapest goal first.

    A goal's cost is the boxes it has taken so far plus those where it is open now, so that goals close to their end are
    ended first, and a hopeless goal does not hold up the others.

    Attributes:
        boxes: those to do.
        spent: (goals,) boxes bounded while the goal was open there.
        count: boxes bounded in all.
    """

    boxes: Boxes
    spent: IntArray
    count: int = 0
    _records: list[tuple[Boxes, IntArray, FloatArray, npt.NDArray[np.uint8]]] = field(default_factory=list)

    def open_counts(self) -> IntArray:
        """(goals,) boxes to do where the goal is open."""
        return np.asarray(self.boxes.open.sum(axis=0), dtype=np.int64)

    def close(self, goals: BoolArray) -> None:
        """Forget some goals, and the boxes where nothing else is open."""
        self.boxes.open[:, goals] = False
        self.boxes = self.boxes.take(np.flatnonzero(self.boxes.open.any(axis=1)))

    def pop(self, size: int) -> Boxes:
        """At most `size` boxes, those of the cheapest goals."""
        cost = self.spent + self.open_counts()
        if len(self.boxes) <= size:
            batch, rest = self.boxes, self.boxes.take(np.empty(0, dtype=np.int64))
        else:
            dearest = np.iinfo(np.int64).max
            urgency = np.where(self.boxes.open, cost, dearest).min(axis=1)
            order = np.argsort(urgency, kind="stable")
            batch, rest = self.boxes.take(order[:size]), self.boxes.take(np.sort(order[size:]))
        self.boxes = rest
        self.spent = self.spent + batch.open.sum(axis=0)
        return batch

    def record(self, batch: Boxes, dimension: IntArray, at: FloatArray) -> IntArray:
        """Enter bounded boxes into the tree; their indices there."""
        names = self.count + np.arange(len(batch))
        empty = np.empty((len(batch), 0))
        slim = Boxes(empty, empty, empty.astype(np.int8), empty.astype(bool), batch.part, batch.parent, batch.side)
        self._records.append((slim, dimension, at, np.packbits(batch.open, axis=1)))
        self.count += len(batch)
        return names

    def push(self, boxes: Boxes) -> None:
        """Add boxes to do."""
        self.boxes = self.boxes.join(boxes)

    def tree(self) -> SplitTree:
        """The boxes bounded so far."""
        none = np.empty(0, dtype=np.int64)
        return SplitTree(
            np.concatenate([none, *(boxes.parent for boxes, _, _, _ in self._records)]),
            np.concatenate([none.astype(np.int8), *(boxes.side for boxes, _, _, _ in self._records)]),
            np.concatenate([none, *(boxes.part for boxes, _, _, _ in self._records)]),
            np.concatenate([none, *(dimension for _, dimension, _, _ in self._records)]),
            np.concatenate([np.empty(0), *(at for _, _, at, _ in self._records)]),
            np.concatenate([bits for _, _, _, bits in self._records] or [np.empty((0, 0), dtype=np.uint8)]),
        )
