"""What units of the original equal that are not shown in a reduced network, each up to a proved deviation.

Statements M-1 to M-3 and D-2 of `specs/rewrites.md`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from eqverify.arrays import IntArray
from eqverify.network.expression import Basis, Expression, eliminate
from eqverify.normal_form.original import Original
from eqverify.normal_form.relation import Relation, allowed, bad_relation, resolved, stated
from eqverify.stability.facts import LayerFacts


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
        for name, own in _by_layer(relations, original.layers).items():
            self._related[name] = self._relate(name, own)

    def without(self, expression: Expression, basis: Basis) -> Expression:
        """An expression without columns of related and of stably active units: replaced from the last layer back.

        `basis` has the columns of the original's, with ranges of further ones that the expression may have.
        """
        for name in self._original.backwards():
            if name in self._related:
                expression = eliminate(expression, *self._related[name], basis)
            expression = self._original.without_active(expression, name, basis)
        return expression

    def _relate(self, name: str, relations: Sequence[Relation]) -> tuple[IntArray, Expression]:
        """Columns of the related units of a layer, and what they equal.

        Layers before this one have been here, so that their relations may be used, and no others are.
        """
        units = np.array([relation.unit for relation in relations])
        columns = self._basis.columns[name][units]
        if (columns < 0).any():
            raise bad_relation(relations[int(np.argmin(columns))])
        shown, gap = stated(relations, self._original.z(name, units), self._other, self._basis)
        return columns, resolved(
            columns, allowed(relations, shown, self.without(gap, self._basis), self._basis), self._basis
        )

    def _other(self, relation: Relation) -> tuple[Expression, IntArray]:
        """The other unit, which must precede, so that replacing ends."""
        here = (self._order[relation.layer], relation.unit)
        there = (self._order.get(relation.other_layer, len(self._order)), relation.other_unit)
        size = self._original.layers[relation.other_layer].size if relation.other_layer in self._original.layers else 0
        if not (there < here and 0 <= relation.other_unit < size):
            raise bad_relation(relation)
        index = np.array([relation.other_unit])
        return self._original.z(relation.other_layer, index), self._basis.columns[relation.other_layer][index]


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
            raise bad_relation(relation)
        seen.add((relation.layer, relation.unit))
        stated[relation.layer].append(relation)
    return {name: found for name, found in stated.items() if found}
