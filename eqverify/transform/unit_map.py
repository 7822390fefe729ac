"""The unit map: what the units of a reduced network stand for.

Plain data, and not trusted: `deviation` bounds how far each statement is from the truth on the domain, and a wrong one
gives a large eps, not a wrong one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import FloatArray, frozen
from eqverify.normal_form.relation import Group

Shown = Sequence[tuple[str, int] | None]
"""For each unit of a ReLU node, (ReLU node, unit) of the original that it shows, None for a carrier."""


@dataclass(frozen=True, slots=True, eq=False)
class UnitMap:
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

    @property
    def units(self) -> Shown:
        """What each unit shows."""
        return [*self.pairs(), *[None] * len(self.carriers)]

    def pairs(self) -> list[tuple[str, int]]:
        """(ReLU node, unit) of each unit shown, in order."""
        return [(group.source, unit) for group in self.groups for unit in group.units.tolist()]
