"""Networks side by side: over one vector of inputs, as one network, and with the rows of the goals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import IntArray
from eqverify.equivalence.goals import PairGoals
from eqverify.network import Affine, Dense, Identity, Network, Node, PlainNode, Port, Relu, Rounding, Selection, Term

ROWS = "rows"
"""The node of `with_rows`."""


def on_shared_inputs(network: Network, indices: IntArray, size: int) -> Network:
    """The network that reads its flat inputs at `indices` of a longer vector of `size` inputs.

    Args:
        network: the network.
        indices: (input_size,) where each flat input stands.
        size: length of the shared vector.
    """
    nodes = _renamed(network, "n:", "x", indices, size)
    outputs = tuple(Port(port.name, port.shape, port.element, f"n:{port.source}") for port in network.outputs)
    roundings = tuple(replace(r, start=int(indices[r.start])) for r in _renamed_roundings(network, "n:"))
    return Network((_shared_port(size, network),), tuple(nodes), outputs, roundings)


def beside_each_other(f: Network, g: Network) -> tuple[Network, Network]:
    """Both networks over the model's inputs that they share, then what f rounds, then what g does.

    Where they are one and the same, so is what they round.
    """
    if not (f.roundings or g.roundings) or f.own_size != g.own_size or f.digest == g.digest:
        return f, g
    own, first, second = f.own_size, f.input_size - f.own_size, g.input_size - g.own_size
    size, shared = own + first + second, np.arange(own)
    f_indices, g_indices = np.arange(own + first), np.concatenate([shared, own + first + np.arange(second)])
    return on_shared_inputs(f, f_indices, size), on_shared_inputs(g, g_indices, size)


def _renamed_roundings(network: Network, prefix: str) -> tuple[Rounding, ...]:
    return tuple(replace(r, source=prefix + r.source, port=prefix + r.port) for r in network.roundings)


def _shared_port(size: int, *networks: Network) -> Port:
    """The shared inputs, as float32 where all networks read that."""
    single = all(port.element == "float32" for network in networks for port in network.inputs)
    return Port("x", (size,), "float32" if single else "float64", "x")


def _renamed(network: Network, prefix: str, shared: str, indices: IntArray, size: int) -> list[Node]:
    """The nodes under other names, after one node per input that reads the shared vector."""
    nodes: list[Node] = []
    start = 0
    for port in network.inputs:
        where = indices[start : start + port.size]
        start += port.size
        whole = port.size == size and np.array_equal(where, np.arange(size))
        read = Identity(size) if whole else Selection(where, size)
        nodes.append(Affine(prefix + port.name, (Term(shared, read),), np.zeros(port.size)))
    return nodes + [_renamed_node(node, prefix) for node in network.plain_nodes]


def side_by_side(networks: Sequence[Network]) -> Network:
    """One network that reads the inputs of all in order, and shows their outputs in order."""
    if len(networks) == 1:
        return networks[0]
    inputs: list[Port] = []
    outputs: list[Port] = []
    nodes: list[Node] = []
    for number, network in enumerate(networks):
        prefix = f"{number}:"
        inputs += [_renamed_port(port, prefix) for port in network.inputs]
        outputs += [_renamed_port(port, prefix) for port in network.outputs]
        nodes += [_renamed_node(node, prefix) for node in network.plain_nodes]
    return Network(tuple(inputs), tuple(nodes), tuple(outputs))


def _renamed_port(port: Port, prefix: str) -> Port:
    return replace(port, name=prefix + port.name, source=prefix + port.source)


def _renamed_node(node: PlainNode, prefix: str) -> Node:
    if isinstance(node, Relu):
        return Relu(prefix + node.name, prefix + node.source)
    return Affine(prefix + node.name, tuple(Term(prefix + t.source, t.map) for t in node.terms), node.bias)


def product_network(f: Network, g: Network) -> Network:
    """One network over the shared inputs that shows the outputs of f, then those of g.

    Args:
        f: one network.
        g: another of the same input size.
    """
    size = f.input_size
    every = np.arange(size)
    pairs = (("f:", f), ("g:", g))
    nodes = [node for prefix, network in pairs for node in _renamed(network, prefix, "x", every, size)]
    outputs = tuple(_renamed_port(port, prefix) for prefix, network in pairs for port in network.outputs)
    roundings = tuple(rounding for prefix, network in pairs for rounding in _renamed_roundings(network, prefix))
    return Network((_shared_port(size, f, g),), tuple(nodes), outputs, roundings)


def with_rows(product: Network, goals: PairGoals) -> Network:
    """The network of a pair with the rows of the goals as its only output, node `ROWS`.

    Args:
        product: as `product_network` makes it.
        goals: the question; its rows as stored, constants included.
    """
    terms, start = [], 0
    for port in (*product.inputs, *product.outputs):
        part = goals.rows[:, start : start + port.size]
        start += port.size
        if part.any():
            terms.append(Term(port.source, Dense(part)))
    rows = Affine(ROWS, tuple(terms), goals.constant)
    shown = (Port(ROWS, (rows.size,), "float64", ROWS),)
    return replace(product, nodes=(*product.nodes, rows), outputs=shown)
