"""The original's values as rows over inputs and all units that are not stably inactive.

Each row reads the layers right before it and nothing else.  Where layers are convolutions rows are therefore kept
compressed: full rows of all units together would have as many entries as the network has units, squared.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from eqverify.arrays import IntArray
from eqverify.network import Affine, Dense, Diagonal, Identity, Network, Selection
from eqverify.network.expression import Basis, Expression, eliminate, make_basis, restricted_values
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status


def open_basis(problem: Problem, facts: Facts, long: bool = False) -> Basis:
    """Inputs, 1 and all units that are not stably inactive, the stably active ones too."""
    kept = {layer.name: ~layer.mask(Status.INACTIVE) for layer in facts.layers}
    units = {layer.name: (layer.lower, layer.upper) for layer in facts.layers}
    hull = problem.domain.hull
    return make_basis(problem.network, kept, (hull.lower, hull.upper), units, long)


def is_compressed(network: Network, basis: Basis) -> bool:
    """Whether rows of a network are kept compressed: where a layer is no matrix, and for float64 only."""
    maps = [term.map for node in network.nodes if isinstance(node, Affine) for term in node.terms]
    dense = all(isinstance(linear, Dense | Identity | Selection | Diagonal) for linear in maps)
    return basis.element is np.float64 and not dense


class Original:
    """Rows of all values of a network on a domain.

    Attributes:
        basis: of the rows; units without a column are 0.
        layers: the facts, by ReLU node.
    """

    def __init__(self, problem: Problem, facts: Facts, basis: Basis) -> None:
        network = problem.network
        self.basis = basis
        self.layers = facts.by_name()
        self._compressed = is_compressed(network, basis)
        self._columns = {layer.name: basis.columns[layer.name] for layer in facts.layers}
        none = {layer.name: np.zeros(layer.size, dtype=bool) for layer in facts.layers}
        self._values = restricted_values(network, replace(basis, sparse=self._compressed), none)

    def stored(self, name: str) -> Expression:
        """The expression of a node as it is kept, compressed or not."""
        return self._values[name]

    def select(self, name: str, units: IntArray) -> Expression:
        """The expression of some components of a node, with full rows."""
        part = self._values[name].select(units)
        return Expression(part.rows.toarray(), part.error) if self._compressed else part  # type: ignore[attr-defined]

    def stored_z(self, layer: str) -> Expression:
        """The pre-activations of a ReLU layer as they are kept."""
        return self._values[self.layers[layer].source]

    def z(self, layer: str, units: IntArray) -> Expression:
        """Pre-activations of some units of a ReLU layer."""
        return self.select(self.layers[layer].source, units)

    def without_active(self, expression: Expression, layer: str, basis: Basis) -> Expression:
        """An expression with the pre-activations of stably active units of a layer in their place.

        `basis` has the columns of this one, with ranges of further ones that the expression may have.
        """
        facts = self.layers[layer]
        active = np.flatnonzero(facts.mask(Status.ACTIVE))
        columns = self._columns[layer][active]
        if not expression.rows[:, columns].any():
            return expression
        return eliminate(expression, columns, self._values[facts.source].select(active), basis)

    def backwards(self) -> Iterable[str]:
        """The layers from the last to the first."""
        return reversed(tuple(self.layers))
