"""The proof of eps: original and reduced network compared row by row on the domain.

Nothing that a rewrite computed is trusted.  Both networks are written as expressions over the original's inputs and
kept units (design, section 2).  A unit of the reduced network stands for a unit i of the original; if its
pre-activation is z_i + delta, its output is max(0, z_i) + s delta with some s in [0, 1], since the ReLU is monotone and
1-Lipschitz.  Half of delta is carried on with its signs, the rest as a symbol of its own with a bounded range.
Hence one pass in topological order bounds every deviation (statement D-1 in `specs/rewrites.md`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import ContradictionError, Place
from eqverify.network import Affine, Network
from eqverify.network.expression import (
    Basis,
    Expression,
    affine_expression,
    difference,
    eliminate,
    input_expressions,
    kept_expression,
    make_basis,
    restricted_values,
    scaled,
    stacked,
    value_range,
)
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, LayerFacts, Status
from eqverify.transform.normal_form import normal_basis
from eqverify.transform.unit_map import Meaning, Relation

_GOOD = 1e-13
"""A deviation that longer arithmetic is not tried to improve."""
_LONG_WORK = 2e8
"""Products in long double that are affordable: about a second."""


def prove_deviation(
    problem: Problem,
    facts: Facts,
    reduced: Network,
    meanings: Mapping[str, Meaning],
    relations: Sequence[Relation] = (),
) -> FloatArray:
    """A bound on |original - reduced| over the domain, per output.

    Where the weights are no float32 numbers, the rounding of float64 rows is what limits the bound; it is then proved
    again with rows in long double, if that is longer and affordable.

    Args:
        problem: the original network and the domain.
        facts: which units are stable; believed, as are their bounds.
        reduced: the network that was written, with the weights as they were rounded.
        meanings: by ReLU node of `reduced`, which original units its units stand for.
        relations: what units of the original that are in no meaning equal; checked here, up to a deviation.

    Returns:
        (output_size,) bounds; exactly 0 where all rows agree exactly.

    Raises:
        ContradictionError: `deviation/meaning` where a ReLU node of `reduced` has no meaning or one of another size,
            `deviation/relation` where a relation is not about a unit that is open and, if it has one, an earlier unit.
    """
    facts.require(problem)
    found = _prove(problem, facts, reduced, meanings, relations, long=False)
    if found.max(initial=0.0) <= _GOOD or is_single(reduced) or _work(problem.network) > _LONG_WORK:
        return found
    return np.minimum(found, _prove(problem, facts, reduced, meanings, relations, long=True))


def is_single(network: Network) -> bool:
    """Whether all weights are float32 numbers."""
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    arrays = [a for node in affine for a in (node.bias, *(p for t in node.terms for p in t.map.parameters()))]
    with np.errstate(over="ignore"):
        return all(np.array_equal(a, a.astype(np.float32)) for a in arrays if a.dtype == np.float64)


def _work(network: Network) -> float:
    """Products that a comparison makes, about."""
    shapes = [term.map.shape for node in network.nodes if isinstance(node, Affine) for term in node.terms]
    return float((network.input_size + network.relu_count) * sum(rows * columns for rows, columns in shapes))


def _prove(
    problem: Problem,
    facts: Facts,
    reduced: Network,
    meanings: Mapping[str, Meaning],
    relations: Sequence[Relation],
    *,
    long: bool,
) -> FloatArray:
    comparison = _Comparison(problem, facts, relations, reduced.relu_count, long)
    values = input_expressions(reduced, comparison.basis)
    for node in reduced.nodes:
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, comparison.basis)
        else:
            meaning = meanings.get(node.name)
            if meaning is None or meaning.size != reduced.sizes[node.name]:
                raise ContradictionError(
                    "deviation/meaning", "a reduced layer does not say what it stands for", place=Place(node=node.name)
                )
            values[node.name] = comparison.unit(values[node.source], meaning)
    return comparison.outputs(values, reduced)


class _Comparison:
    """The original's expressions, and how values of the reduced network differ from them.

    All units that are not stably inactive are columns, the stably active ones too; only in a *difference* is an active
    column replaced by its pre-activation, and one with a relation by what it equals.  So rows that both networks share
    cancel before anything is rounded.
    The last columns are symbols, one per reduced unit, for the part of its deviation that has no known sign.

    Args:
        problem: the original network and the domain.
        facts: about its units.
        relations: about units that went; checked here.
        symbols: how many reduced units there are.
        long: whether rows are composed in long double.
    """

    def __init__(self, problem: Problem, facts: Facts, relations: Iterable[Relation], symbols: int, long: bool) -> None:
        network, hull = problem.network, problem.domain.hull
        self.network = network
        self.layers = facts.by_name()
        kept = {layer.name: ~layer.mask(Status.INACTIVE) for layer in facts.layers}
        none = {layer.name: np.zeros(layer.size, dtype=bool) for layer in facts.layers}
        units = {layer.name: (layer.lower, layer.upper) for layer in facts.layers}
        basis = make_basis(network, kept, (hull.lower, hull.upper), units, long)
        self.next_symbol = basis.width
        ranges = [np.concatenate([part, np.zeros(symbols)]) for part in (basis.centre, basis.radius)]
        self.basis: Basis = replace(basis, centre=ranges[0], radius=ranges[1])
        self.values = restricted_values(network, self.basis, none)
        self.normal = self._normal_columns(problem, facts)
        self.order = {name: index for index, name in enumerate(self.layers)}
        self.related: dict[str, tuple[IntArray, Expression]] = {}
        for name, stated in _by_layer(relations, self.layers).items():
            self.related[name] = self._relate(name, stated)

    def _normal_columns(self, problem: Problem, facts: Facts) -> IntArray:
        """Where the columns of the normal form stand in this basis, which has the active units too."""
        normal = normal_basis(problem, facts)
        where = np.arange(normal.width)
        for layer in facts.layers:
            kept = normal.columns[layer.name] >= 0
            where[normal.columns[layer.name][kept]] = self.basis.columns[layer.name][kept]
        return where

    def unit(self, z: Expression, meaning: Meaning) -> Expression:
        """Outputs of a reduced layer, as those of the original units it stands for plus the deviation."""
        count = meaning.shown
        output = kept_expression(self._columns(meaning), self.basis)
        targets = [self.values[self.layers[g.source].source].select(g.units) for g in meaning.groups]
        shown = self._deviating(output, z.select(np.arange(count)), stacked(targets, self.basis))
        if not meaning.carriers.size:
            return shown
        return stacked([shown, self._carriers(z.select(np.arange(count, meaning.size)), meaning.carriers)], self.basis)

    def _columns(self, meaning: Meaning) -> IntArray:
        groups = [self.basis.columns[group.source][group.units] for group in meaning.groups]
        return np.concatenate([np.empty(0, dtype=np.int64), *groups])

    def _deviating(self, output: Expression, z: Expression, target: Expression) -> Expression:
        """max(0, z) where `output` is max(0, target): output + (z - target) / 2 + a symbol of the other half's size."""
        gap = self._gap(difference(z, target, self.basis))
        distance = _magnitude(gap, self.basis)
        symbols = self.next_symbol + np.arange(distance.size)
        self.next_symbol += distance.size
        radius = self.basis.radius.copy()
        radius[symbols] = distance / 2
        self.basis = replace(self.basis, radius=radius)
        moved = difference(output, Expression(-gap.rows / 2, gap.error / 2), self.basis)
        moved.rows[np.arange(distance.size), symbols] = distance > 0
        return moved

    def _carriers(self, z: Expression, rows: FloatArray) -> Expression:
        """Outputs of carriers: z itself where it is never negative, else the rows they stand for plus the deviation.

        max(0, v) is within max(0, -v) of v.
        """
        target = kept_expression(np.full(len(rows), -1), self.basis)
        target.rows[:, self.normal] = rows
        lower, _ = value_range(target, self.basis)
        clipped = Expression(target.rows, target.error + np.maximum(0.0, -lower))
        deviating = self._deviating(clipped, z, target)
        linear = value_range(z, self.basis)[0] >= 0
        rows = np.where(linear[:, None], z.rows, deviating.rows)
        return Expression(rows, np.where(linear, z.error, deviating.error))

    def _gap(self, gap: Expression) -> Expression:
        """A difference whose columns of related and active units are replaced, last layer first."""
        for layer in reversed(tuple(self.layers.values())):
            if layer.name in self.related:
                gap = eliminate(gap, *self.related[layer.name], self.basis)
            active = np.flatnonzero(layer.mask(Status.ACTIVE))
            meaning = self.values[layer.source].select(active)
            gap = eliminate(gap, self.basis.columns[layer.name][active], meaning, self.basis)
        return gap

    def _relate(self, name: str, stated: Sequence[Relation]) -> tuple[IntArray, Expression]:
        """Columns of the related units of a layer, and what they equal up to a deviation (statements S-1 to S-3).

        Layers before this one have been here, so that their relations may be used, and no others are.
        """
        units = np.array([relation.unit for relation in stated])
        columns = self.basis.columns[name][units]
        if (columns < 0).any():
            raise _bad_relation(stated[int(np.argmin(columns))])
        z = self.values[self.layers[name].source].select(units)
        equals, gaps = [], []
        for row, relation in enumerate(stated):
            equal, claimed = self._equal(relation, z.select(np.array([row])))
            equals.append(equal)
            gaps.append(claimed)
        lower, upper = value_range(self._gap(difference(z, stacked(gaps, self.basis), self.basis)), self.basis)
        kinds = np.array([relation.kind for relation in stated])
        off = np.where(kinds == "inactive", np.maximum(upper, 0.0), np.maximum(np.abs(lower), np.abs(upper)))
        off = np.where(kinds == "active", np.maximum(-lower, 0.0), off)
        equal = stacked(equals, self.basis)
        return self._resolved(columns, Expression(equal.rows, (equal.error + off) * (1 + 2.0**-50)))

    def _equal(self, relation: Relation, z: Expression) -> tuple[Expression, Expression]:
        """What a unit with pre-activation z shows, and what z would be exactly (0 where only its sign matters)."""
        zero = Expression(np.zeros_like(z.rows), np.zeros(1))
        if relation.kind == "inactive":
            return zero, zero
        if relation.kind == "active":
            return z, zero
        self._require_before(relation)
        index = np.array([relation.other_unit])
        other = self.values[self.layers[relation.other_layer].source].select(index)
        unit = kept_expression(self.basis.columns[relation.other_layer][index], self.basis)
        shown = scaled(unit, relation.factor, self.basis)
        if relation.kind == "parallel":
            return shown, scaled(other, relation.factor, self.basis)
        mirrored = scaled(other, -relation.factor, self.basis)
        negative = Expression(-mirrored.rows, mirrored.error)
        return difference(shown, negative, self.basis), mirrored

    def _resolved(self, columns: IntArray, equal: Expression) -> tuple[IntArray, Expression]:
        """The same with no related unit of the layer on the right: each refers to units before it."""
        for row in np.argsort(columns):
            one = equal.select(np.array([row]))
            if one.rows[:, columns].any():
                one = eliminate(one, columns, equal, self.basis)
                equal.rows[row], equal.error[row] = one.rows[0], one.error[0]
        return columns, equal

    def _require_before(self, relation: Relation) -> None:
        """Raise unless the other unit precedes, so that replacing ends, and the factor is positive."""
        here = (self.order[relation.layer], relation.unit)
        there = (self.order.get(relation.other_layer, len(self.order)), relation.other_unit)
        sizes = self.layers[relation.other_layer].size if relation.other_layer in self.layers else 0
        if not (there < here and 0 <= relation.other_unit < sizes and 0.0 < relation.factor < np.inf):
            raise _bad_relation(relation)

    def outputs(self, values: Mapping[str, Expression], reduced: Network) -> FloatArray:
        """(output_size,) deviations, output ports paired by position."""
        pairs = zip(reduced.outputs, self.network.outputs, strict=True)
        gaps = [difference(values[new.source], self.values[old.source], self.basis) for new, old in pairs]
        return np.concatenate([_magnitude(self._gap(gap), self.basis) for gap in gaps])


def _magnitude(expression: Expression, basis: Basis) -> FloatArray:
    """(n,) bound on |expression| on the domain."""
    lower, upper = value_range(expression, basis)
    return np.maximum(np.abs(lower), np.abs(upper))


def _by_layer(relations: Iterable[Relation], layers: Mapping[str, LayerFacts]) -> dict[str, list[Relation]]:
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
