"""The part of a network that matters to one node on one box: what it reads, without units that are inactive there.

Their values are 0 on the box, so that the node's value is the same there over the reals.  Rows, slopes and gradients of
the part are as much smaller (specs/bounds.md, B-7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import IntArray
from eqverify.bounds.interval import Bounds, Interval
from eqverify.network import Affine, Dense, Network, Node, Relu, Term


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A part of a network.

    Attributes:
        network: ends at the node.
        node: the node.
        bounds: of its nodes and inputs, (1, n).
        kept: by node, the components of the original that are left, in order; other nodes are whole.
    """

    network: Network
    node: Affine
    bounds: Bounds
    kept: Mapping[str, IntArray]

    def original(self, name: str, components: IntArray) -> IntArray:
        """The original's numbers of components of a node."""
        return self.kept[name][components] if name in self.kept else components


def alive_part(network: Network, bounds: Bounds, target: str) -> Part:
    """The part that an affine node reads.

    Units are left out where all maps around them are dense; elsewhere they cost little, or would break a structure.

    Args:
        network: the network.
        bounds: proved intervals, (1, n), of the inputs and all nodes before the target; there may be more.
        target: the node, which stays whole.

    Returns:
        The part.  Trusted: `bounds`.
    """
    until = network.until(target)
    kept: dict[str, IntArray] = {}
    for relu in until.relus:
        units = np.flatnonzero(bounds[relu.source].upper[0] > 0)
        if 0 < units.size < until.sizes[relu.name] and _between_dense(until, relu, target):
            kept[relu.name] = kept[relu.source] = units
    small = replace(until, nodes=tuple(_restricted(node, kept) for node in until.nodes)) if kept else until
    node = small.by_name[target]
    assert isinstance(node, Affine)
    own = {name: z if name not in kept else _columns(z, kept[name]) for name, z in bounds.items()}
    return Part(small, node, own, kept)


def _between_dense(network: Network, relu: Relu, target: str) -> bool:
    """Whether the ReLU alone reads an affine node, and all maps into that and out of the ReLU are dense."""
    source = network.by_name.get(relu.source)
    if not isinstance(source, Affine) or source.name == target:
        return False
    readers = [node for node in network.nodes if relu.name in node.sources]
    terms = [t for node in readers if isinstance(node, Affine) for t in node.terms if t.source == relu.name]
    alone = [node.name for node in network.nodes if source.name in node.sources] == [relu.name]
    affine = all(isinstance(node, Affine) for node in readers)
    return alone and affine and all(isinstance(term.map, Dense) for term in (*source.terms, *terms))


def _restricted(node: Node, kept: Mapping[str, IntArray]) -> Node:
    if not isinstance(node, Affine):
        return node
    rows = kept.get(node.name)
    terms = []
    for term in node.terms:
        columns, linear = kept.get(term.source), term.map
        if isinstance(linear, Dense) and (rows is not None or columns is not None):
            matrix = linear.matrix if rows is None else linear.matrix[rows]
            linear = Dense(matrix if columns is None else matrix[:, columns])
        terms.append(Term(term.source, linear))
    return Affine(node.name, tuple(terms), node.bias if rows is None else node.bias[rows])


def _columns(z: Interval, columns: IntArray) -> Interval:
    return Interval(z.lower[:, columns], z.upper[:, columns])
