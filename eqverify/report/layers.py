"""Per layer: how many units there are of each kind and how many were kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from eqverify.stability.facts import Facts, Status


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One row of the table; all counts of units.

    Attributes:
        name: ReLU node of the original network.
        units: all.
        inactive: proved z <= 0.
        active: proved z >= 0.
        unstable: both signs witnessed.
        undecided: neither proved nor witnessed; treated as unstable.
        claimed: undecided units that a solver says are stable.
        kept: units of this layer in the reduced network, carriers included; None where nothing was reduced.
        carriers: of those, units that carry a linear value past the layer.
    """

    name: str
    units: int
    inactive: int
    active: int
    unstable: int
    undecided: int
    claimed: int
    kept: int | None = None
    carriers: int = 0

    def as_dict(self) -> dict[str, object]:
        """For JSON; without `kept` where nothing was reduced."""
        row = asdict(self)
        if self.kept is None:
            del row["kept"], row["carriers"]
        return row


def layer_rows(facts: Facts, kept: Mapping[str, tuple[int, int]] | None = None) -> tuple[LayerRow, ...]:
    """The table.

    Args:
        facts: statuses of all units.
        kept: by ReLU node of the original, units of the reduced network that stand for units of it, and carriers.
    """
    return tuple(
        LayerRow(
            layer.name,
            layer.size,
            layer.count(Status.INACTIVE),
            layer.count(Status.ACTIVE),
            layer.count(Status.UNSTABLE),
            layer.count(Status.UNDECIDED),
            layer.claims,
            None if kept is None else sum(kept.get(layer.name, (0, 0))),
            0 if kept is None else kept.get(layer.name, (0, 0))[1],
        )
        for layer in facts.layers
    )
