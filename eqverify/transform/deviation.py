"""The proof of eps: original and reduced network compared row by row on the domain.

Nothing that a rewrite computed is trusted.  Both networks are written as expressions over the original's inputs and
kept units (design, section 2).  A unit of the reduced network stands for a unit i of the original; if its
pre-activation is z_i + delta with |delta| <= d, its output is within d of max(0, z_i), since the ReLU is 1-Lipschitz.
Hence one pass in topological order bounds every deviation (statement D-1 in `specs/rewrites.md`).
"""

from __future__ import annotations

from collections.abc import Mapping

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
    value_range,
)
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status
from eqverify.transform.chain import Meaning
from eqverify.transform.normal_form import normal_basis


def prove_deviation(problem: Problem, facts: Facts, reduced: Network, meanings: Mapping[str, Meaning]) -> FloatArray:
    """A bound on |original - reduced| over the domain, per output.

    Args:
        problem: the original network and the domain.
        facts: which units are stable; believed, as are their bounds.
        reduced: the network that was written, with the weights as they were rounded.
        meanings: by ReLU node of `reduced`, which original units its units stand for.

    Returns:
        (output_size,) bounds; exactly 0 where all rows agree exactly.

    Raises:
        ContradictionError: `deviation/meaning` where a ReLU node of `reduced` has no meaning or one of another size.
    """
    facts.require(problem)
    comparison = _Comparison(problem, facts)
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
    column replaced by its pre-activation.  So rows that both networks share cancel before anything is rounded.
    """

    def __init__(self, problem: Problem, facts: Facts) -> None:
        network, hull = problem.network, problem.domain.hull
        self.network = network
        self.layers = facts.by_name()
        kept = {layer.name: ~layer.mask(Status.INACTIVE) for layer in facts.layers}
        none = {layer.name: np.zeros(layer.size, dtype=bool) for layer in facts.layers}
        units = {layer.name: (layer.lower, layer.upper) for layer in facts.layers}
        self.basis: Basis = make_basis(network, kept, (hull.lower, hull.upper), units)
        self.values = restricted_values(network, self.basis, none)
        self.normal = self._normal_columns(problem, facts)

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
        count = meaning.units.size
        target = self.values[self.layers[meaning.source].source].select(meaning.units)
        output = kept_expression(self.basis.columns[meaning.source][meaning.units], self.basis.width)
        shown = Expression(output.rows, self.distance(z.select(np.arange(count)), target))
        if not meaning.carriers.size:
            return shown
        carried = self._carriers(z.select(np.arange(count, meaning.size)), meaning.carriers)
        return Expression(np.concatenate([shown.rows, carried.rows]), np.concatenate([shown.error, carried.error]))

    def _carriers(self, z: Expression, rows: FloatArray) -> Expression:
        """Outputs of carriers, as the rows they stand for plus the deviation.

        max(0, z) is within |z - v| of max(0, v), and that within max(0, -v) of v.
        """
        target = Expression(np.zeros((len(rows), self.basis.width)), np.zeros(len(rows)))
        target.rows[:, self.normal] = rows
        lower, _ = value_range(target, self.basis)
        return Expression(target.rows, self.distance(z, target) + np.maximum(0.0, -lower))

    def distance(self, left: Expression, right: Expression) -> FloatArray:
        """(n,) bound on |left - right| on the domain."""
        gap = difference(left, right, self.basis)
        for layer in reversed(tuple(self.layers.values())):
            active = np.flatnonzero(layer.mask(Status.ACTIVE))
            meaning = self.values[layer.source].select(active)
            gap = eliminate(gap, self.basis.columns[layer.name][active], meaning, self.basis)
        lower, upper = value_range(gap, self.basis)
        return np.maximum(np.abs(lower), np.abs(upper))

    def outputs(self, values: Mapping[str, Expression], reduced: Network) -> FloatArray:
        """(output_size,) deviations, output ports paired by position."""
        pairs = zip(reduced.outputs, self.network.outputs, strict=True)
        return np.concatenate([self.distance(values[new.source], self.values[old.source]) for new, old in pairs])
