"""All simplifications, from the first tier to the last and again until nothing changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network.expression import Basis
from eqverify.transform.base import Declined, Fate
from eqverify.transform.reduced_form import ReducedForm, Tier
from eqverify.transform.simplify.dead import drop_dead
from eqverify.transform.simplify.parallel import ParallelSearch
from eqverify.transform.simplify.signs import sign_relations
from eqverify.transform.unit_map import Relation


def simplify(form: ReducedForm, tolerance: float) -> ReducedForm:
    """The form without units that others make superfluous.

    Args:
        form: rows of kept units and outputs.
        tolerance: residuals up to this share of what a row can reach count as zero.  They are not assumed to be zero:
            the proof of eps bounds what they change.

    Returns:
        A form with as many units or fewer; relations, fates and declined places are added to those of `form`.
    """
    while True:
        result = drop_dead(_related(form, tolerance), tolerance)
        if result.units == form.units:
            return result
        form = result


def _related(form: ReducedForm, tolerance: float) -> ReducedForm:
    """One pass over all tiers for units that equal an expression of others."""
    replaced = _Replaced(form.basis)
    search = ParallelSearch(form.basis, tolerance)
    tiers: list[Tier] = []
    declined: list[Declined] = []
    for original in form.tiers:
        tier = Tier(original.groups, original.columns, replaced.substitute(original.rows))
        tier = replaced.remove(tier, sign_relations(tier, form.basis, tolerance))
        found = search.visit(tier)
        tiers.append(replaced.remove(tier, found.relations))
        declined += found.declined
    fates = [Fate(relation.layer, relation.unit, relation.kind) for relation in replaced.relations]
    return replace(
        form,
        outputs=replaced.substitute(form.outputs),
        relations=(*form.relations, *replaced.relations),
        fates=(*form.fates, *fates),
        declined=tuple(declined),
    ).with_tiers(tiers)


class _Replaced:
    """Units that went, and rows over other columns that equal what they show."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._columns: list[int] = []
        self._rows: list[FloatArray] = []
        self.relations: list[Relation] = []

    def substitute(self, rows: FloatArray) -> FloatArray:
        """Rows in which no unit that went occurs."""
        columns = np.array(self._columns, dtype=np.int64)
        coefficients = rows[:, columns]
        if not coefficients.any():
            return rows
        rest = rows.copy()
        rest[:, columns] = 0.0
        return rest + coefficients @ np.stack(self._rows)

    def remove(self, tier: Tier, found: list[tuple[int, Relation]]) -> Tier:
        """The tier without units for which something was found; their rows are over units that stay."""
        for place, relation in found:
            self.relations.append(relation)
            self._columns.append(int(tier.columns[place]))
            self._rows.append(self._shown(relation, tier.rows[place]))
        return tier.select(np.setdiff1d(np.arange(tier.size), [place for place, _ in found]).astype(np.int64))

    def _shown(self, relation: Relation, z: FloatArray) -> FloatArray:
        """h of a unit with pre-activation z: for an antiparallel one, factor (h' - z') = factor h' + z."""
        if relation.kind == "active":
            return z
        shown = np.zeros_like(z) if relation.kind != "antiparallel" else z.copy()
        if relation.other_layer:
            shown[self._basis.columns[relation.other_layer][relation.other_unit]] += relation.factor
        return shown
