"""The steps of a proof of stability, recorded as they come, so that another program can repeat them.

A step says what was done and with which numbers (slopes, trees), not what came out: whoever repeats it computes the
bounds anew (specs/certificate.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Interval
from eqverify.bounds.ascent import Slopes
from eqverify.bounds.refine import SplitResult
from eqverify.bounds.frontier import SplitTree


@dataclass(frozen=True, slots=True, eq=False)
class DualRows:
    """Bounds of some units of one pre-activation node with slopes of their own.

    Attributes:
        node: the pre-activation node.
        part: first part of the domain; the slopes are those of the parts from here on.
        slopes: units, signs, and by ReLU node the slopes.
    """

    node: str
    part: int
    slopes: Slopes


@dataclass(frozen=True, slots=True, eq=False)
class BoundPass:
    """Interval, sign and CROWN bounds of all nodes, each followed by its rows."""

    rows: tuple[DualRows, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class BoxSplitting:
    """A tree of halvings of the input boxes, on whose leaves signs were shown.

    Attributes:
        tree: the boxes.
        goals: (node, unit, sign): sign * z_unit <= 0 was proved.
    """

    tree: SplitTree
    goals: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Believed:
    """A word that was taken: sign * z_unit <= 0 on one part of the domain."""

    node: str
    part: int
    unit: int
    sign: int


Step = BoundPass | BoxSplitting | Believed


@dataclass(slots=True)
class Recorder:
    """Takes steps.

    Attributes:
        steps: so far.
    """

    steps: list[Step] = field(default_factory=list)

    def bounds(self, rows: tuple[DualRows, ...] = ()) -> None:
        """A pass over all nodes; one after another without rows says nothing new."""
        if rows or not self.steps or not isinstance(self.steps[-1], BoundPass):
            self.steps.append(BoundPass(rows))

    def splitting(self, found: SplitResult) -> None:
        """What input splitting proved."""
        if found.proved.any():
            goals, chosen = found.goals, np.flatnonzero(found.proved)
            names = [goals.nodes[index] for index in goals.node[chosen]]
            proved = zip(names, goals.unit[chosen].tolist(), goals.sign[chosen].tolist(), strict=True)
            self.steps.append(BoxSplitting(found.tree.needed(found.proved), tuple(proved)))

    def believed(self, node: str, part: int, unit: int, above: bool) -> None:
        """A solver's word that z <= 0 (z >= 0 where not `above`)."""
        self.steps.append(Believed(node, part, unit, 1 if above else -1))

    def restored(self, bounds: Mapping[str, Interval]) -> None:
        """The words of a journal: signs that it says, part by part."""
        for name, interval in bounds.items():
            for sign, shown in ((1, interval.upper <= 0), (-1, interval.lower >= 0)):
                self.steps += [Believed(name, int(part), int(unit), sign) for part, unit in np.argwhere(shown)]
