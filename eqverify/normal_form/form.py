"""The normal form of a network: rows of kept units and outputs over the inputs and earlier kept units (E-1, C-1).

Stable units are linear on the domain and disappear; any network has such a form, with skip connections and convolutions
too.  Rows carry bounds on how far they are from the network's values, whatever was done to them here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network import gamma
from eqverify.network.evaluate import lost_coefficients
from eqverify.network.expression import Basis, Expression, eliminate, stacked, value_range
from eqverify.normal_form.relation import Group, Relation, allowed, bad_relation, resolved, stated


@dataclass(frozen=True, slots=True, eq=False)
class NormalForm:
    """The kept units and the outputs of one network as rows over  x, 1, kept units.

    Attributes:
        basis: the columns; those of units that went may be among them, and are not read.
        origin: (n, 2) the number of the ReLU layer that a unit belongs to, and its number there.
        columns: (n,) the column of each unit.
        level: (n,) ascending; rows read units of lower levels only.
        rows: (n, width) pre-activations of the kept units.
        error: (n,) how far a row may be from the pre-activation on the domain.
        lower: (n,) proved bounds of the pre-activations on the domain.
        upper: (n,)
        outputs: (output_size, width).
        output_error: (output_size,)
    """

    basis: Basis
    origin: IntArray
    columns: IntArray
    level: IntArray
    rows: FloatArray
    error: FloatArray
    lower: FloatArray
    upper: FloatArray
    outputs: FloatArray
    output_error: FloatArray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def relu_count(self) -> int:
        """Number of units."""
        return len(self)

    @property
    def magnitude(self) -> FloatArray:
        """(width,) bounds on the columns."""
        return self.basis.magnitude

    def levels(self) -> list[IntArray]:
        """The numbers of the units of each level that has some."""
        starts = np.flatnonzero(np.diff(self.level)) + 1
        return [own for own in np.split(np.arange(len(self)), starts) if own.size]

    def groups(self, own: IntArray) -> tuple[Group, ...]:
        """Some units by ReLU node, in order."""
        names, origin = list(self.basis.columns), self.origin[own]
        parts = np.split(origin, np.flatnonzero(np.diff(origin[:, 0])) + 1)
        return tuple(Group(names[part[0, 0]], part[:, 1]) for part in parts if len(part))

    def pairs(self) -> list[tuple[str, int]]:
        """(ReLU node, unit) of each unit."""
        names = list(self.basis.columns)
        return [(names[layer], unit) for layer, unit in self.origin.tolist()]

    def select(self, chosen: IntArray | BoolArray) -> NormalForm:
        """The form with only some units, in the order given; rows and columns as they are."""
        names = ("origin", "columns", "level", "rows", "error", "lower", "upper")
        return replace(self, **{name: getattr(self, name)[chosen] for name in names})

    def with_levels(self, level: IntArray) -> NormalForm:
        """The same units on other levels, (n,): ascending, and within each in the order they had."""
        order = np.argsort(level, kind="stable")
        return replace(self, level=level).select(order)

    def earliest(self) -> NormalForm:
        """Each unit on the first level after all that it reads: the fewest levels that there can be."""
        depth, level = np.zeros(self.basis.width, dtype=np.int64), np.zeros(len(self), dtype=np.int64)
        for own in self.levels():
            level[own] = np.max(np.where(self.rows[own] != 0, depth, 0), axis=1, initial=0)
            depth[self.columns[own]] = level[own] + 1
        return self.with_levels(level)

    def tightened(self) -> NormalForm:
        """With the bounds that rows show, which may be better since units were replaced in them."""
        low, high = value_range(Expression(self.rows, self.error), self.basis)
        return replace(self, lower=np.maximum(self.lower, low), upper=np.minimum(self.upper, high))

    def compact(self) -> NormalForm:
        """With columns for these units only, unit k in the k-th after  x, 1."""
        head = self.basis.input_size + 1
        kept = np.concatenate([np.arange(head), self.columns])
        basis, columns = narrowed(self.basis, kept), head + np.arange(len(self))
        return replace(self, basis=basis, columns=columns, rows=self.rows[:, kept], outputs=self.outputs[:, kept])

    def related(self, find: Callable[[NormalForm], Sequence[Relation]]) -> tuple[NormalForm, tuple[Relation, ...]]:
        """The form in which units that equal something are replaced by that, and what these units equal.

        What a relation may be off by, on the rows as they are here, joins the errors.

        Args:
            find: what units of a level equal, from a form with just these, in whose rows units of earlier levels are
                replaced already; the other unit of a relation is of this form, and precedes.

        Raises:
            ContradictionError: `deviation/relation`.
        """
        place = {pair: index for index, pair in enumerate(self.pairs())}
        rows, error, kept = self.rows.copy(), self.error.copy(), np.ones(len(self), dtype=bool)
        gone, meaning = np.empty(0, dtype=np.int64), stacked([], self.basis)
        found: list[Relation] = []

        def other(relation: Relation) -> tuple[Expression, IntArray]:
            index = np.array([place.get((relation.other_layer, relation.other_unit), len(self))])
            if index >= place[relation.layer, relation.unit]:
                raise bad_relation(relation)
            return Expression(rows[index], error[index]), self.columns[index]

        for own in self.levels():
            z = eliminate(Expression(rows[own], error[own]), gone, meaning, self.basis)
            rows[own], error[own] = z.rows, z.error
            relations = find(replace(self, rows=rows, error=error).select(own))
            if not relations:
                continue
            index = np.array([place.get((relation.layer, relation.unit), -1) for relation in relations])
            if set(index.tolist()) - set(own.tolist()) or np.unique(index).size < index.size:
                raise bad_relation(relations[-1])
            z = Expression(rows[index], error[index])
            shown = allowed(relations, *stated(relations, z, other, self.basis), self.basis)
            shown = resolved(self.columns[index], eliminate(shown, gone, meaning, self.basis), self.basis)
            gone, meaning = np.append(gone, self.columns[index]), stacked([meaning, shown], self.basis)
            kept[index] = False
            found += relations
        if not found:
            return self, ()
        outputs = eliminate(Expression(self.outputs, self.output_error), gone, meaning, self.basis)
        form = replace(self, rows=rows, error=error, outputs=outputs.rows, output_error=outputs.error)
        return form.select(kept), tuple(found)

    def fixed(self, columns: IntArray) -> NormalForm:
        """Columns replaced by the centres of their ranges (M-4, M-5)."""
        rows, error = _fixed(self.rows, self.error, columns, self.basis)
        outputs, output_error = _fixed(self.outputs, self.output_error, columns, self.basis)
        return replace(self, rows=rows, error=error, outputs=outputs, output_error=output_error)


def _fixed(rows: FloatArray, error: FloatArray, columns: IntArray, basis: Basis) -> tuple[FloatArray, FloatArray]:
    columns = columns[rows[:, columns].any(axis=0)]  # not those of infinite range that no row reads
    if not columns.size:
        return rows, error
    coefficients = rows[:, columns]
    result, one = rows.copy(), basis.input_size
    result[:, columns] = 0.0
    result[:, one] += coefficients @ basis.centre[columns]
    rounding = gamma(columns.size + 4) * (np.abs(rows[:, one]) + np.abs(coefficients) @ basis.magnitude[columns])
    error = (error + np.abs(coefficients) @ basis.radius[columns] + rounding) * (1 + 4 * gamma(columns.size + 4))
    return result, error + lost_coefficients(basis.magnitude)


def narrowed(basis: Basis, kept: IntArray) -> Basis:
    """A basis with only some columns, those of  x, 1  first among them, in the order given."""
    place = np.full(basis.width, -1)
    place[kept] = np.arange(kept.size)
    columns = {name: np.where(index >= 0, place[index], -1) for name, index in basis.columns.items()}
    return replace(basis, columns=columns, centre=basis.centre[kept], radius=basis.radius[kept])


def assembled(
    basis: Basis,
    z: Mapping[str, Expression],
    outputs: Expression,
    bounds: Mapping[str, tuple[FloatArray, FloatArray]],
) -> NormalForm:
    """The form of all units that have a column, a level per ReLU layer.

    Args:
        basis: the columns.
        z: by ReLU node, the pre-activations of its units with a column.
        outputs: the flat output.
        bounds: by ReLU node, (lower, upper) of the pre-activations of all its units.
    """
    kept = [np.flatnonzero(index >= 0) for index in basis.columns.values()]
    layer = np.repeat(np.arange(len(kept)), [units.size for units in kept])
    origin = np.stack([layer, np.concatenate([np.empty(0, dtype=np.int64), *kept])], axis=1)
    lower, upper = (
        np.concatenate([np.empty(0), *(bounds[name][side][units] for name, units in zip(z, kept, strict=True))])
        for side in (0, 1)
    )
    rows = stacked(list(z.values()), basis)
    columns = basis.input_size + 1 + np.arange(len(origin))
    return NormalForm(basis, origin, columns, layer, rows.rows, rows.error, lower, upper, outputs.rows, outputs.error)
