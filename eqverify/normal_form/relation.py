"""What one unit equals on the domain: another unit, its own pre-activation, or zero.

A relation is plain data, and not believed.  Whoever uses one bounds here what it is off by: rewrites from the rows that
they have, the proof of eps from the original's (statements M-1 to M-3 and D-2 of `specs/rewrites.md`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eqverify.arrays import IntArray, frozen
from eqverify.errors import ContradictionError, Place
from eqverify.network.expression import (
    Basis,
    Expression,
    difference,
    eliminate,
    kept_expression,
    scaled,
    stacked,
    value_range,
)

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


@dataclass(frozen=True, slots=True)
class Relation:
    """What a unit that is neither stable by the facts nor shown in a reduced network equals on the domain.

    ``inactive``: h = 0.  ``active``: h = z.  ``parallel``: h = factor h', since z = factor z' with factor > 0.
    ``antiparallel``: h = factor (h' - z'), since z = -factor z'.

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


Other = Callable[[Relation], tuple[Expression, IntArray]]
"""The z' of a relation, and the column (1,) of h'.  Raises `deviation/relation` where there is no such unit before."""


def stated(relations: Sequence[Relation], z: Expression, other: Other, basis: Basis) -> tuple[Expression, Expression]:
    """What units are said to show, and z - factor z' (z where only its sign matters), by which that may be wrong.

    Args:
        relations: k of them.
        z: (k, width) the units' pre-activations.
        other: finds the other unit of a relation.
        basis: of all rows.
    """
    pairs = [_stated(relation, z.select(np.array([row])), other, basis) for row, relation in enumerate(relations)]
    return stacked([shown for shown, _ in pairs], basis), stacked([gap for _, gap in pairs], basis)


def _stated(relation: Relation, z: Expression, other: Other, basis: Basis) -> tuple[Expression, Expression]:
    if relation.kind == "inactive":
        return kept_expression(np.array([-1]), basis), z
    if relation.kind == "active":
        return z, z
    before, column = other(relation)
    if not 0.0 < relation.factor < np.inf:
        raise bad_relation(relation)
    unit = scaled(kept_expression(column, basis), relation.factor, basis)
    parallel = scaled(before, relation.factor, basis)
    if relation.kind == "parallel":
        return unit, difference(z, parallel, basis)
    opposite = Expression(-parallel.rows, parallel.error)
    return difference(unit, parallel, basis), difference(z, opposite, basis)


def allowed(relations: Sequence[Relation], shown: Expression, gap: Expression, basis: Basis) -> Expression:
    """What units show, with what relations may be off by on the domain as further error.

    Args:
        relations: k of them.
        shown: (k, width) what `stated` says, or an expression that equals it.
        gap: likewise.
        basis: of all rows.
    """
    lower, upper = value_range(gap, basis)
    kinds = np.array([relation.kind for relation in relations])
    off = np.where(kinds == "inactive", np.maximum(upper, 0.0), np.maximum(np.abs(lower), np.abs(upper)))
    off = np.where(kinds == "active", np.maximum(-lower, 0.0), off)
    return Expression(shown.rows, (shown.error + off) * (1 + 2.0**-50))


def resolved(columns: IntArray, shown: Expression, basis: Basis) -> Expression:
    """What units of one layer show, (k, width), with no other of these units on the right: each refers to earlier ones.

    Args:
        columns: (k,) their own columns.
        shown: k rows; changed in place.
        basis: of the rows.
    """
    for row in np.argsort(columns):
        one = shown.select(np.array([row]))
        if one.rows[:, columns].any():
            one = eliminate(one, columns, shown, basis)
            shown.rows[row], shown.error[row] = one.rows[0], one.error[0]
    return shown


def bad_relation(relation: Relation) -> ContradictionError:
    """The error about a relation that does not say what can be used."""
    return ContradictionError(
        "deviation/relation",
        "a relation between units does not say what can be used",
        place=Place(node=relation.layer, unit=relation.unit),
        value=f"{relation.kind} to {relation.other_layer}[{relation.other_unit}], factor {relation.factor!r}",
        hint="a defect of the pass that stated it; if that is one of eqverify, please report it with the files",
    )
