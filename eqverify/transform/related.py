"""What units of the original equal that are not shown in a reduced network, each up to a proved deviation.

Statements M-1 to M-3 and D-2 of `specs/rewrites.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eqverify.arrays import IntArray
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
from eqverify.stability.facts import LayerFacts
from eqverify.transform.original import Original
from eqverify.transform.unit_map import Relation


class Related:
    """Relations, checked: each is used with the deviation that is found for it here, layer by layer.

    Args:
        original: rows of the original.
        relations: as stated; not believed.

    Raises:
        ContradictionError: `deviation/relation` where one is not about an open unit or, if it has one, an earlier unit.
    """

    def __init__(self, original: Original, relations: Sequence[Relation]) -> None:
        self._original = original
        self._basis = original.basis
        self._order = {name: index for index, name in enumerate(original.layers)}
        self._related: dict[str, tuple[IntArray, Expression]] = {}
        for name, stated in _by_layer(relations, original.layers).items():
            self._related[name] = self._relate(name, stated)

    def without(self, expression: Expression, basis: Basis) -> Expression:
        """An expression without columns of related and of stably active units: replaced from the last layer back.

        `basis` has the columns of the original's, with ranges of further ones that the expression may have.
        """
        for name in self._original.backwards():
            if name in self._related:
                expression = eliminate(expression, *self._related[name], basis)
            expression = self._original.without_active(expression, name, basis)
        return expression

    def _relate(self, name: str, stated: Sequence[Relation]) -> tuple[IntArray, Expression]:
        """Columns of the related units of a layer, and what they equal.

        Layers before this one have been here, so that their relations may be used, and no others are.
        """
        units = np.array([relation.unit for relation in stated])
        columns = self._basis.columns[name][units]
        if (columns < 0).any():
            raise _bad_relation(stated[int(np.argmin(columns))])
        z = self._original.z(name, units)
        pairs = [self._equal(relation, z.select(np.array([row]))) for row, relation in enumerate(stated)]
        equal = stacked([shown for shown, _ in pairs], self._basis)
        claimed = stacked([exact for _, exact in pairs], self._basis)
        gap = self.without(difference(z, claimed, self._basis), self._basis)
        lower, upper = value_range(gap, self._basis)
        kinds = np.array([relation.kind for relation in stated])
        off = np.where(kinds == "inactive", np.maximum(upper, 0.0), np.maximum(np.abs(lower), np.abs(upper)))
        off = np.where(kinds == "active", np.maximum(-lower, 0.0), off)
        return self._resolved(columns, Expression(equal.rows, (equal.error + off) * (1 + 2.0**-50)))

    def _equal(self, relation: Relation, z: Expression) -> tuple[Expression, Expression]:
        """What a unit with pre-activation z shows, and what z would be exactly (0 where only its sign matters)."""
        zero = kept_expression(np.array([-1]), self._basis)
        if relation.kind == "inactive":
            return zero, zero
        if relation.kind == "active":
            return z, zero
        self._require_before(relation)
        index = np.array([relation.other_unit])
        other = self._original.z(relation.other_layer, index)
        unit = kept_expression(self._basis.columns[relation.other_layer][index], self._basis)
        shown = scaled(unit, relation.factor, self._basis)
        parallel = scaled(other, relation.factor, self._basis)
        if relation.kind == "parallel":
            return shown, parallel
        return difference(shown, parallel, self._basis), Expression(-parallel.rows, parallel.error)

    def _require_before(self, relation: Relation) -> None:
        """Raise unless the other unit precedes, so that replacing ends, and the factor is positive."""
        here = (self._order[relation.layer], relation.unit)
        there = (self._order.get(relation.other_layer, len(self._order)), relation.other_unit)
        size = self._original.layers[relation.other_layer].size if relation.other_layer in self._original.layers else 0
        if not (there < here and 0 <= relation.other_unit < size and 0.0 < relation.factor < np.inf):
            raise _bad_relation(relation)

    def _resolved(self, columns: IntArray, equal: Expression) -> tuple[IntArray, Expression]:
        """The same with no related unit of the layer on the right: each refers to units before it."""
        for row in np.argsort(columns):
            one = equal.select(np.array([row]))
            if one.rows[:, columns].any():
                one = eliminate(one, columns, equal, self._basis)
                equal.rows[row], equal.error[row] = one.rows[0], one.error[0]
        return columns, equal


def _by_layer(relations: Sequence[Relation], layers: Mapping[str, LayerFacts]) -> dict[str, list[Relation]]:
    """Relations by layer, in topological order.

    Raises:
        ContradictionError: `deviation/relation` where one is about no unit, or two are about one.
    """
    stated: dict[str, list[Relation]] = {name: [] for name in layers}
    seen = set()
    for relation in relations:
        known = relation.layer in layers and 0 <= relation.unit < layers[relation.layer].size
        if not known or (relation.layer, relation.unit) in seen:
            raise _bad_relation(relation)
        seen.add((relation.layer, relation.unit))
        stated[relation.layer].append(relation)
    return {name: found for name, found in stated.items() if found}


def _bad_relation(relation: Relation) -> ContradictionError:
    return ContradictionError(
        "deviation/relation",
        "a relation between units does not say what can be used",
        place=Place(node=relation.layer, unit=relation.unit),
        value=f"{relation.kind} to {relation.other_layer}[{relation.other_unit}], factor {relation.factor!r}",
        hint="this is a defect of eqverify; please report it with the files",
    )
