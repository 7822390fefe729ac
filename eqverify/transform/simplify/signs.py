"""Units whose rows have one sign on the domain, though facts leave them open."""

from __future__ import annotations

import numpy as np

from eqverify.network.expression import Basis, Expression, value_range
from eqverify.transform.reduced_form import Tier, reach
from eqverify.transform.unit_map import Relation


def sign_relations(tier: Tier, basis: Basis, tolerance: float) -> list[tuple[int, Relation]]:
    """Statement M-1: a unit with z >= 0 on the domain shows z there, one with z <= 0 shows 0.

    Rows change while related units are replaced: what bounds could not see through two ReLUs can be plain to see once
    these are gone.  Units that are constant are the case of an empty row.

    Args:
        tier: some units, their rows simplified so far.
        basis: of the rows.
        tolerance: a sign may be violated by so much of the row's reach; what that changes is part of eps.

    Returns:
        Place in the tier, and what the unit equals.
    """
    lower, upper = value_range(Expression(tier.rows, np.zeros(tier.size)), basis)
    slack = tolerance * reach(tier.rows, basis)
    slack = np.where(np.isfinite(slack), slack, 0.0)
    pairs = tier.pairs()
    found = [(int(k), Relation("inactive", *pairs[k])) for k in np.flatnonzero(upper <= slack)]
    return found + [
        (int(k), Relation("active", *pairs[k])) for k in np.flatnonzero((lower >= -slack) & (upper > slack))
    ]
