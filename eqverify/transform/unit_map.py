"""The unit map: what the units of a reduced network stand for, and what became of units that have no counterpart.

All of it is plain data.  Nothing in it is trusted: `deviation` bounds how far each statement is from the truth on the
domain, and a wrong one gives a large eps, not a wrong one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray, IntArray, frozen

RelationKind = Literal["inactive", "active", "parallel", "antiparallel"]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Units of one ReLU node of the original network.

    Attributes:
        source: the node.
        units: (k,) indices in it.
    """

    source: str
    units: IntArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", frozen(self.units, np.int64))


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """What the units of a reduced layer stand for: first those of the groups, then the carriers.

    Attributes:
        groups: a unit i of them shows max(0, z_i) of the original.
        carriers: (r, width) the other r units show these rows over the columns of the normal form, which are not
            negative on the domain.
    """

    groups: tuple[Group, ...]
    carriers: FloatArray = field(default_factory=lambda: np.empty((0, 0)))

    def __post_init__(self) -> None:
        object.__setattr__(self, "carriers", frozen(self.carriers))

    @property
    def shown(self) -> int:
        """Number of units of the original that are shown."""
        return sum(group.units.size for group in self.groups)

    @property
    def size(self) -> int:
        """Number of units, carriers included."""
        return self.shown + len(self.carriers)

    def pairs(self) -> list[tuple[str, int]]:
        """(ReLU node, unit) of each unit shown, in order."""
        return [(group.source, unit) for group in self.groups for unit in group.units.tolist()]


@dataclass(frozen=True, slots=True)
class Relation:
    """What a unit that is neither stable by the facts nor shown in the reduced network equals on the domain.

    ``inactive``: h = 0.  ``active``: h = z.  ``parallel``: h = factor h', since z = factor z' with factor > 0.
    ``antiparallel``: h = factor (h' - z'), since z = -factor z'.  Statements M-1 to M-3 in `specs/rewrites.md`.

    Attributes:
        kind: which of these.
        layer: ReLU node of the original network.
        unit: index in it.
        other_layer, other_unit: the unit of h' and z', which precedes this one; empty and -1 where there is none.
        factor: as above; 1 where there is none.
    """

    kind: RelationKind
    layer: str
    unit: int
    other_layer: str = ""
    other_unit: int = -1
    factor: float = 1.0
