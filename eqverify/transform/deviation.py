"""The proof of eps: original and reduced network compared row by row on the domain.

Nothing that a rewrite computed is trusted.  Both networks are written as expressions over the original's inputs and
kept units (C-1).  A unit of the reduced network stands for a unit i of the original; if its
pre-activation is z_i + delta, its output is max(0, z_i) + s delta with some s in [0, 1], since the ReLU is monotone and
1-Lipschitz.  Half of delta is carried on with its signs, the rest as a symbol of its own with a bounded range.
Hence one pass in topological order bounds every deviation (statement D-1 in `specs/rewrites.md`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.budget import PRODUCTS
from eqverify.errors import ContradictionError, Place
from eqverify.network import Affine, Network
from eqverify.network.expression import (
    Basis,
    Expression,
    affine_expression,
    difference,
    input_expressions,
    kept_expression,
    stacked,
    value_range,
)
from eqverify.normal_form.building import normal_columns
from eqverify.normal_form.original import Original, is_compressed, open_basis
from eqverify.normal_form.relation import Relation
from eqverify.problem import Problem
from eqverify.stability.facts import Facts
from eqverify.transform.parts import carried, paired, plain_part, plain_problem
from eqverify.transform.related import Related
from eqverify.transform.unit_map import UnitMap

_GOOD = 1e-13
"""A deviation that longer arithmetic is not tried to improve."""
_PASSES, _SPARSE = 5.0, 5e6
"""Comparisons of a network that rewriting takes as long as; entries of sparse rows that are made in a second."""

_LONG_WORK = 2e8
"""Products in long double that are affordable: about a second."""


@np.errstate(over="ignore", invalid="ignore")  # what leaves the range of float64 ends as an infinite bound
def prove_deviation(
    problem: Problem,
    facts: Facts,
    reduced: Network,
    unit_maps: Mapping[str, UnitMap],
    relations: Sequence[Relation] = (),
) -> FloatArray:
    """A bound on |original - reduced| over the domain, per output.

    Where the weights are no float32 numbers, the rounding of float64 rows is what limits the bound; it is then proved
    again with rows in long double, if that is longer and affordable.

    Args:
        problem: the original network and the domain.
        facts: which units are stable; believed, as are their bounds.
        reduced: the network that was written, with the weights as they were rounded.
        unit_maps: by ReLU node of `reduced`, which original units its units stand for.
        relations: what units of the original that are in no unit map equal; checked here, up to a deviation.

    Returns:
        (output_size,) bounds; exactly 0 where all rows agree exactly.

    Raises:
        ContradictionError: `deviation/meaning` where a ReLU node of `reduced` has no unit map or one of another size,
            `deviation/relation` where a relation is not about a unit that is open and, if it has one, an earlier unit.
    """
    facts.require(problem)
    for node in reduced.relus:
        if node.name not in unit_maps or unit_maps[node.name].size != reduced.sizes[node.name]:
            place = Place(node=node.name)
            raise ContradictionError(
                "deviation/meaning", "a reduced layer does not say what it stands for", place=place
            )
    if problem.network.smooth:
        curved = paired(problem.network, reduced)
        plain, known, bounds = plain_problem(problem, facts, curved)
        gaps = prove_deviation(plain, known, plain_part(reduced, reduced.smooth), unit_maps, relations)
        return carried(curved, reduced, bounds, gaps)
    same = _prove_same(problem, facts, reduced, unit_maps)
    if same is not None:
        return same
    found = _prove(problem, facts, reduced, unit_maps, relations, long=False)
    if found.max(initial=0.0) <= _GOOD or is_single(reduced) or _work(problem.network) > _LONG_WORK:
        return found
    return np.minimum(found, _prove(problem, facts, reduced, unit_maps, relations, long=True))


def is_single(network: Network) -> bool:
    """Whether all weights are float32 numbers."""
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    arrays = [a for node in affine for a in (node.bias, *(p for t in node.terms for p in t.map.parameters()))]
    with np.errstate(over="ignore"):
        return all(np.array_equal(a, a.astype(np.float32)) for a in arrays if a.dtype == np.float64)


def rewriting_seconds(network: Network) -> float:
    """About how long passes and proofs of eps take: in dense rows, or in sparse ones if that is less."""
    return _PASSES * min(_work(network) / PRODUCTS, network.products / _SPARSE)


def _work(network: Network) -> float:
    """Products that a comparison makes, about."""
    shapes = [term.map.shape for node in network.nodes if isinstance(node, Affine) for term in node.terms]
    return float((network.input_size + network.relu_count) * sum(rows * columns for rows, columns in shapes))


def _prove(
    problem: Problem,
    facts: Facts,
    reduced: Network,
    unit_maps: Mapping[str, UnitMap],
    relations: Sequence[Relation],
    *,
    long: bool,
) -> FloatArray:
    comparison = _Comparison(problem, facts, relations, reduced.relu_count, long)
    last = {source: node.name for node in reduced.nodes for source in node.sources}
    shown = {port.source for port in reduced.outputs}
    values = input_expressions(reduced, comparison.basis)
    for node in reduced.plain_nodes:
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, comparison.basis)
        else:
            values[node.name] = comparison.unit(values[node.source], unit_maps[node.name])
        for source in set(node.sources) - shown:
            if last[source] == node.name:
                del values[source]
    return comparison.outputs(values, reduced)


def _prove_same(
    problem: Problem, facts: Facts, reduced: Network, unit_maps: Mapping[str, UnitMap]
) -> FloatArray | None:
    """The bound where every row of `reduced` is a row of the original, so that only its rounding counts.

    For networks with compressed rows.  Each unit shows one unit of the original and there are no carriers; then
    deviations are those of sums that were rounded, and they are carried as magnitudes (statement D-1 with R = 0).

    Returns:
        (output_size,), or None where some row is not the same.
    """
    basis = open_basis(problem, facts)
    if not is_compressed(problem.network, basis):
        return None
    if any(len(unit_map.carriers) for unit_map in unit_maps.values()):
        return None
    original, basis = Original(problem, facts, basis), replace(basis, sparse=True)
    values = input_expressions(reduced, basis)
    for node in reduced.plain_nodes:
        if isinstance(node, Affine):
            values[node.name] = affine_expression(node, values, basis)
            continue
        groups = unit_maps[node.name].groups
        error = _same(values[node.source], [original.stored_z(g.source).select(g.units) for g in groups])
        if error is None:
            return None
        columns = np.concatenate([basis.columns[group.source][group.units] for group in groups])
        values[node.name] = Expression(kept_expression(columns, basis).rows, error)
    pairs = zip(reduced.outputs, problem.network.outputs, strict=True)
    errors = [_same(values[new.source], [original.stored(old.source)]) for new, old in pairs]
    return None if any(error is None for error in errors) else np.concatenate([e for e in errors if e is not None])


def _same(one: Expression, parts: Sequence[Expression]) -> FloatArray | None:
    """A bound on the difference of expressions whose compressed rows agree exactly; None where they do not."""
    start, errors = 0, [np.zeros(0)]
    for part in parts:
        mine = one.select(start + np.arange(part.error.size))
        error = (mine.error + part.error) * (1 + 2.0**-50)
        left, right = mine.rows, part.rows
        if left.shape != right.shape or (left != right).nnz:
            return None
        if not (np.isfinite(left.data).all() and np.isfinite(error).all()):
            return None
        errors.append(error)
        start += part.error.size
    return np.concatenate(errors)


class _Comparison:
    """The original's expressions, and how values of the reduced network differ from them.

    All units that are not stably inactive are columns, the stably active ones too; only in a *difference* is an active
    column replaced by its pre-activation, and one with a relation by what it equals.  So rows that both networks share
    cancel before anything is rounded.
    The last columns are symbols, one per reduced unit, for the part of its deviation that has no known sign.

    Args:
        problem: the original network and the domain.
        facts: about its units.
        relations: what units that are not shown equal.
        symbols: how many reduced units there are.
        long: whether rows are composed in long double.
    """

    def __init__(self, problem: Problem, facts: Facts, relations: Sequence[Relation], symbols: int, long: bool) -> None:
        self.network = problem.network
        basis = open_basis(problem, facts, long)
        self.next_symbol = basis.width
        ranges = [np.concatenate([part, np.zeros(symbols)]) for part in (basis.centre, basis.radius)]
        self.basis: Basis = replace(basis, centre=ranges[0], radius=ranges[1])
        self.original = Original(problem, facts, self.basis)
        self.related = Related(self.original, relations)
        self.normal = normal_columns(facts, self.basis)

    def unit(self, z: Expression, unit_map: UnitMap) -> Expression:
        """Outputs of a reduced layer, as those of the original units it stands for plus the deviation."""
        count = unit_map.shown
        columns = [self.basis.columns[group.source][group.units] for group in unit_map.groups]
        output = kept_expression(np.concatenate([np.empty(0, dtype=np.int64), *columns]), self.basis)
        targets = [self.original.z(group.source, group.units) for group in unit_map.groups]
        shown = self._deviating(output, z.select(np.arange(count)), stacked(targets, self.basis))
        if not unit_map.carriers.size:
            return shown
        carried = self._carriers(z.select(np.arange(count, unit_map.size)), unit_map.carriers)
        return stacked([shown, carried], self.basis)

    def _deviating(self, output: Expression, z: Expression, target: Expression) -> Expression:
        """max(0, z) where `output` is max(0, target): output + (z - target) / 2 + a symbol of the other half's size."""
        gap = self._gap(z, target)
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

    def _gap(self, left: Expression, right: Expression) -> Expression:
        """left - right on the domain, without columns of units that equal something else."""
        return self.related.without(difference(left, right, self.basis), self.basis)

    def outputs(self, values: Mapping[str, Expression], reduced: Network) -> FloatArray:
        """(output_size,) deviations, output ports paired by position."""
        pairs = zip(reduced.outputs, self.network.outputs, strict=True)
        gaps = [
            self._gap(values[new.source], self.original.select(old.source, np.arange(old.size))) for new, old in pairs
        ]
        return np.concatenate([_magnitude(gap, self.basis) for gap in gaps])


def _magnitude(expression: Expression, basis: Basis) -> FloatArray:
    """(n,) bound on |expression| on the domain."""
    lower, upper = value_range(expression, basis)
    return np.maximum(np.abs(lower), np.abs(upper))
