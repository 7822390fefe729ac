"""Satisfying assignments of queries about several networks, confirmed in rationals against the query as written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from eqverify.arrays import FloatArray, IntArray
from eqverify.domain import HalfSpace
from eqverify.frontend.vnnlib.normal import All, Compiler, Tree
from eqverify.frontend.vnnlib.syntax import Query
from eqverify.network import Network, outputs_exact

_EXACT_PRODUCTS = 10_000_000
"""Networks with more products than this are not evaluated in rationals, which takes a microsecond per product."""

Values = tuple[Fraction, ...]


@dataclass(slots=True)
class QueryCheck:
    """Confirms candidates for one case of a query.

    Domains are rounded outwards, so an input on their border may lie outside of what is written, and a bound such as
    0.1 is no float: components are moved to the written bounds before anything is evaluated.

    Args:
        query: the query.
        networks: those it is about, in order of declaration.
        place: (inputs of all networks,) where each stands in the shared vector.

    Attributes:
        inputs: by network, the exact input of the last assignment confirmed.
        outputs: by network, the exact output there.
    """

    query: Query
    networks: Sequence[Network]
    place: IntArray
    inputs: list[Values] = field(default_factory=list)
    outputs: list[Values] = field(default_factory=list)
    _trees: list[Tree] = field(default_factory=list)

    def __post_init__(self) -> None:
        compiler = Compiler(self.query)
        self._trees = [compiler.compile(formula) for formula in self.query.assertions]

    def confirm(self, point: FloatArray) -> bool:
        """Whether the query holds at a shared input (shared inputs,), or at that input moved to the written bounds."""
        if any(network.products > _EXACT_PRODUCTS for network in self.networks):
            return False
        shared = self._within_bounds([Fraction(value) for value in point.tolist()])
        flat = [shared[k] for k in self.place.tolist()]
        inputs, outputs, start = [], [], 0
        for network in self.networks:
            own = flat[start : start + network.input_size]
            start += network.input_size
            inputs.append(tuple(own))
            outputs.append(tuple(outputs_exact(network, own)))
        values = [value for one in outputs for value in one]
        if not all(_holds(tree, flat, values) for tree in self._trees):
            return False
        self.inputs, self.outputs = inputs, outputs
        return True

    def _within_bounds(self, shared: list[Fraction]) -> list[Fraction]:
        """Components moved to the bounds that hold in every case."""
        for row in self._bounds():
            (i, coefficient), *_ = row.inputs.items()
            k = int(self.place[i])
            limit = row.bound / coefficient
            shared[k] = min(shared[k], limit) if coefficient > 0 else max(shared[k], limit)
        return shared

    def _bounds(self) -> list[HalfSpace]:
        parts = [part for tree in self._trees for part in (tree.parts if isinstance(tree, All) else (tree,))]
        return [p for p in parts if isinstance(p, HalfSpace) and len(p.inputs) == 1 and not p.outputs]


def _holds(tree: Tree, x: list[Fraction], y: list[Fraction]) -> bool:
    if isinstance(tree, HalfSpace):
        return tree.holds(x, y)
    parts = (_holds(part, x, y) for part in tree.parts)
    return all(parts) if isinstance(tree, All) else any(parts)
