"""The structured shape: the original's graph without channels and units that show 0 or that nothing reads.

All weights stay what they are, convolutions stay convolutions, and, without smooth nodes, active units stay: so nothing
is rounded and few weights are needed, where the dense layers of the other shapes would be larger than the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np

from eqverify.arrays import BoolArray, IntArray
from eqverify.network import (
    Affine,
    Convolution,
    Curved,
    Diagonal,
    Identity,
    LinearMap,
    Network,
    Node,
    Relu,
    ScaledSelection,
    Selection,
    Term,
    TransposedConvolution,
    select_columns,
    select_rows,
)
from eqverify.network.graph import needed_nodes
from eqverify.normal_form.relation import Group
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, Status
from eqverify.transform.unit_map import UnitMap


def structured_network(problem: Problem, facts: Facts) -> tuple[Network, Mapping[str, UnitMap]]:
    """The network without whole channels and units that are stably inactive or dead (statement R-6).

    Args:
        problem: network and domain.
        facts: which units are stable; believed.

    Returns:
        The network, and by ReLU node of it what its units stand for.
    """
    network = problem.network
    inactive = {layer.name: layer.mask(Status.INACTIVE) for layer in facts.layers}
    kept = {name: np.flatnonzero(mask) for name, mask in _Needed(network, inactive).masks().items()}
    nodes: list[Node] = []
    unit_maps: dict[str, UnitMap] = {}
    for node in network.nodes:
        if not kept[node.name].size:
            continue
        if isinstance(node, Curved):
            nodes.append(node)
            continue
        if isinstance(node, Relu):
            nodes.append(node)
            unit_maps[node.name] = UnitMap((Group(node.name, kept[node.name]),))
            continue
        rows = kept[node.name]
        terms = [Term(t.source, _restricted(t.map, rows, kept[t.source])) for t in node.terms if kept[t.source].size]
        nodes.append(Affine(node.name, tuple(terms), node.bias[rows]))
    if network.smooth:  # no other shape does without what is active
        nodes = _without_active(network, nodes, unit_maps, {one.name: one.mask(Status.ACTIVE) for one in facts.layers})
    read = read_nodes(network, nodes)
    shown = {node.name for node in read}
    return Network(network.inputs, read, network.outputs), {k: m for k, m in unit_maps.items() if k in shown}


def _without_active(
    network: Network, nodes: Sequence[Node], unit_maps: dict[str, UnitMap], active: Mapping[str, BoolArray]
) -> list[Node]:
    """The nodes where ReLUs that only affine nodes read lose their active units: these read what the ReLUs read.

    `unit_maps` says what units are and is kept true.  Layers stay whole where a part of a map would not be of its kind.
    """
    maps: dict[str, list[LinearMap]] = {}
    for node in nodes:
        for term in node.terms if isinstance(node, Affine) else ():
            maps.setdefault(term.source, []).append(term.map)
    fixed = {port.source for port in network.outputs} | {
        s for n in nodes if not isinstance(n, Affine) for s in n.sources
    }
    split: dict[str, BoolArray] = {}
    made: list[Node] = []
    for one in nodes:
        node = one
        if isinstance(node, Relu):
            units = unit_maps[node.name].groups[0].units
            past = active[node.name][units]
            windows = any(isinstance(m, Convolution | TransposedConvolution) for m in maps.get(node.name, ()))
            if past.any() and node.name not in fixed and (past.all() or not windows):
                split[node.name] = past
                unit_maps[node.name] = UnitMap((Group(node.name, units[~past]),))
                made += _split(node, past)
                continue
        elif isinstance(node, Affine):
            node = Affine(node.name, tuple(t for term in node.terms for t in _past(term, split)), node.bias)
        made.append(node)
    return made


_PAST, _OPEN = "/past", "/open"


def _split(node: Relu, past: BoolArray) -> list[Node]:
    """What units of a layer that are active read, and a layer of the others."""
    parts = [Term(node.source, Selection(np.flatnonzero(mask), past.size)) for mask in (past, ~past)]
    shown, read = (
        Affine(node.name + end, (t,), np.zeros(t.map.shape[0])) for end, t in zip((_PAST, _OPEN), parts, strict=True)
    )
    return [shown] if past.all() else [shown, read, Relu(node.name, read.name)]


def _past(term: Term, split: Mapping[str, BoolArray]) -> list[Term]:
    """A summand of what is left of a layer, and one of what its active units read."""
    if term.source not in split:
        return [term]
    past = split[term.source]
    ends = ((_PAST, past), ("", ~past))
    return [Term(term.source + end, select_columns(term.map, np.flatnonzero(m))) for end, m in ends if m.any()]


def read_nodes(network: Network, nodes: Sequence[Node] | None = None) -> tuple[Node, ...]:
    """The nodes, or some of them, that outputs depend on: a layer may be kept for the sake of what it is tied to."""
    return needed_nodes(network.nodes if nodes is None else nodes, (port.source for port in network.outputs))


def _restricted(linear: LinearMap, rows: IntArray, columns: IntArray) -> LinearMap:
    """Some rows and columns of a map, exact, in the structure it has."""
    if rows.size == linear.shape[0] and columns.size == linear.shape[1]:
        return linear
    if isinstance(linear, Identity):
        return Identity(rows.size)
    if isinstance(linear, Diagonal):
        return Diagonal(linear.scale[rows], linear.divisor[rows])
    part = select_columns(select_rows(linear, rows), columns)
    if isinstance(part, ScaledSelection) and (part.scale == 1).all():
        return Selection(part.indices, part.size)
    return part


class _Needed:
    """Which components of each node are needed, by nodes that must have the same ones.

    A ReLU layer and its source, and both ends of an identity or a diagonal, keep the same components; a convolution
    keeps whole channels at both ends.  Demands grow from the outputs backwards until nothing changes.
    """

    def __init__(self, network: Network, inactive: Mapping[str, BoolArray]) -> None:
        self._network = network
        self._inactive = inactive
        self._leader = {name: name for name in network.sizes}
        self._blocks: dict[str, int] = {}
        for node in network.nodes:
            if isinstance(node, Relu):
                self._tie(node.name, node.source)
            for term in node.terms if isinstance(node, Affine) else ():
                if isinstance(term.map, Identity | Diagonal):
                    self._tie(node.name, term.source)
        self._mask = {name: np.zeros(size, dtype=bool) for name, size in network.sizes.items()}
        for node in network.nodes:
            for term in node.terms if isinstance(node, Affine) else ():
                self._keep_channels(node.name, term)

    def _tie(self, one: str, other: str) -> None:
        self._leader[self._find(one)] = self._find(other)

    def _find(self, name: str) -> str:
        while self._leader[name] != name:
            name = self._leader[name]
        return name

    def _keep_channels(self, name: str, term: Term) -> None:
        """Both ends of a convolution in whole channels; of a grouped one, and where others disagree, everything."""
        if not isinstance(term.map, Convolution | TransposedConvolution):
            return
        forward = term.map if isinstance(term.map, Convolution) else term.map.convolution
        ends = (name, term.source) if forward is term.map else (term.source, name)
        sizes = (prod(forward.output_extents), prod(forward.extents))
        for end, size in zip(ends, sizes, strict=True):
            leader = self._find(end)
            if forward.groups > 1 or self._blocks.setdefault(leader, size) != size:
                self._mask[leader][:] = True

    def masks(self) -> dict[str, BoolArray]:
        """(n,) bool per input and node."""
        network = self._network
        for port in network.inputs:
            self._demand(port.name, np.ones(port.size, dtype=bool))
        for port in network.outputs:
            self._demand(port.source, np.ones(port.size, dtype=bool))
        for curved in network.smooth:
            for name in (curved.name, *curved.sources):
                self._mask[self._find(name)][:] = True
        while self._sweep():
            pass
        return {name: self._mask[self._find(name)] for name in network.sizes}

    def _sweep(self) -> bool:
        """One pass from the outputs back; whether anything was added."""
        grown = False
        for node in reversed(self._network.nodes):
            if not isinstance(node, Affine):
                continue
            rows = self._mask[self._find(node.name)].astype(np.float64)
            for term in node.terms:
                if not isinstance(term.map, Identity | Diagonal):
                    grown |= self._demand(term.source, term.map.absolute().backward(rows) > 0)
        return grown

    def _demand(self, name: str, wanted: BoolArray) -> bool:
        """Keep some components more; of a ReLU layer not those that show 0."""
        if name in self._inactive and name not in {port.source for port in self._network.outputs}:
            wanted = wanted & ~self._inactive[name]
        leader = self._find(name)
        if leader in self._blocks:
            blocks = wanted.reshape(-1, self._blocks[leader])
            wanted = np.broadcast_to(blocks.any(axis=1, keepdims=True), blocks.shape).reshape(-1)
        if not (wanted & ~self._mask[leader]).any():
            return False
        self._mask[leader] = self._mask[leader] | wanted
        return True
