"""Units that nothing reads on the domain."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network.expression import Basis
from eqverify.transform.base import Fate
from eqverify.transform.reduced_form import ReducedForm, Tier, fold, reach


def drop_dead(form: ReducedForm, tolerance: float) -> ReducedForm:
    """Statement M-4: a unit whose column is zero in all rows that are left may go; last tiers first.

    Args:
        form: rows of units and outputs.
        tolerance: a coefficient counts as zero where the column's range times it is below this share of the reach of
            its row.  It is replaced by a constant, and what that changes is part of eps.
    """
    basis = form.basis
    live, read = [], _read(form.outputs, basis, tolerance)
    for tier in reversed(form.tiers):
        kept = np.flatnonzero(read[tier.columns])
        live.append(tier.select(kept))
        read |= _read(tier.rows[kept], basis, tolerance)
    live.reverse()
    gone = np.setdiff1d(_columns(form.tiers), _columns(live))
    if not gone.size:
        return form
    dropped = {pair for tier in form.tiers for pair in tier.pairs()} - {pair for t in live for pair in t.pairs()}
    tiers = [Tier(tier.groups, tier.columns, fold(tier.rows, gone, basis)) for tier in live]
    fates = tuple(Fate(layer, unit, "dead") for layer, unit in sorted(dropped))
    with_fates = ReducedForm(
        basis, form.tiers, fold(form.outputs, gone, basis), form.relations, (*form.fates, *fates), form.declined
    )
    return with_fates.with_tiers(tiers)


def _columns(tiers: tuple[Tier, ...] | list[Tier]) -> IntArray:
    return np.concatenate([np.empty(0, dtype=np.int64), *(tier.columns for tier in tiers)])


def _read(rows: FloatArray, basis: Basis, tolerance: float) -> BoolArray:
    """(width,) columns with a coefficient that counts in some row."""
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.abs(rows) * basis.radius
    limit = tolerance * reach(rows, basis)
    limit = np.where(np.isfinite(limit), limit, 0.0)
    return np.asarray(((rows != 0) & ~(change <= limit[:, None])).any(axis=0))
