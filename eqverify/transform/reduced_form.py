"""What the simplifications work on and the shapes realise: the normal form's rows without their error bounds.

Rewrites change these rows freely in float64.  Nothing here is trusted: `deviation` compares the written network with
the original, by the unit map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.network.expression import Basis
from eqverify.transform.base import Declined, Fate
from eqverify.transform.normal_form import NormalForm
from eqverify.transform.unit_map import Group, Relation


@dataclass(frozen=True, slots=True, eq=False)
class Tier:
    """Kept units that do not depend on each other.

    Attributes:
        groups: the units by ReLU node of the original, in topological order.
        columns: (k,) their columns of the basis, in that order, which is increasing.
        rows: (k, width) their pre-activations.
    """

    groups: tuple[Group, ...]
    columns: IntArray
    rows: FloatArray

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.columns.size)

    def pairs(self) -> list[tuple[str, int]]:
        """(ReLU node, unit) of each unit."""
        return [(group.source, unit) for group in self.groups for unit in group.units.tolist()]

    def select(self, chosen: IntArray) -> Tier:
        """The tier with only some units, in increasing order."""
        groups, start = [], 0
        for group in self.groups:
            inside = chosen[(chosen >= start) & (chosen < start + group.units.size)] - start
            if inside.size:
                groups.append(Group(group.source, group.units[inside]))
            start += group.units.size
        return Tier(tuple(groups), self.columns[chosen], self.rows[chosen])


def union(tiers: Sequence[Tier]) -> Tier:
    """Tiers that do not read each other as one, in their order."""
    groups = tuple(group for tier in tiers for group in tier.groups)
    columns = np.concatenate([tier.columns for tier in tiers])
    return Tier(groups, columns, np.concatenate([tier.rows for tier in tiers]))


@dataclass(frozen=True, slots=True, eq=False)
class ReducedForm:
    """Rows of the units that are left and of the outputs, over one basis.

    Attributes:
        basis: that of the normal form.
        tiers: with units only, each reading only inputs and tiers before it.
        outputs: (output_size, width) rows.
        relations: what units that went equal, as far as that is needed for the proof.
        fates: what happened to units that went.
        declined: what was tried and left alone, and why.
    """

    basis: Basis
    tiers: tuple[Tier, ...]
    outputs: FloatArray
    relations: tuple[Relation, ...] = ()
    fates: tuple[Fate, ...] = ()
    declined: tuple[Declined, ...] = ()

    @property
    def units(self) -> int:
        """Number of units that are left."""
        return sum(tier.size for tier in self.tiers)

    def with_tiers(self, tiers: list[Tier]) -> ReducedForm:
        """The form with other tiers, of which empty ones are dropped."""
        return replace(self, tiers=tuple(tier for tier in tiers if tier.size))


def reduced_form(form: NormalForm) -> ReducedForm:
    """A normal form as the simplifications start from it: columns with a single value are part of the constant."""
    tiers = [
        Tier((Group(level.source, level.units),), level.columns, fold_fixed(level.z.rows, form.basis))
        for level in form.levels
    ]
    return ReducedForm(form.basis, tuple(tiers), fold_fixed(form.outputs.rows, form.basis))


def fold_fixed(rows: FloatArray, basis: Basis) -> FloatArray:
    """Rows whose columns with a single value became part of the constant (statement M-5)."""
    fixed = np.flatnonzero(basis.radius == 0)
    return fold(rows, fixed[fixed != basis.input_size], basis)


def fold(rows: FloatArray, columns: IntArray, basis: Basis) -> FloatArray:
    """Rows with columns replaced by their centres."""
    if not rows[:, columns].any():
        return rows
    folded = rows.copy()
    folded[:, columns] = 0.0
    folded[:, basis.input_size] += rows[:, columns] @ basis.centre[columns]
    return folded


def reach(rows: FloatArray, basis: Basis) -> FloatArray:
    """(n,) how large rows can be on the domain, at most: what residuals are compared with."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.abs(rows) @ basis.magnitude)
