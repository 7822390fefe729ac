"""Simplifications of a lowered network that are exact: no weight is ever rounded.

Exporters write a dense layer as MatMul and Add; the second becomes the bias of the first.
"""

from __future__ import annotations

from collections import Counter

from eqverify.network import Affine, Identity, Node, Port, Product, Relu, Smooth, Term
from eqverify.network.graph import needed_nodes


def fuse(nodes: list[Node], outputs: list[Port]) -> tuple[list[Node], list[Port]]:
    """Drop nodes that nothing reads or that do nothing, and merge additions of a bias into the layer before.

    Args:
        nodes: in topological order.
        outputs: the ports that read them.

    Returns:
        Nodes and ports of the same function, each value the same polynomial in inputs and weights.
    """
    nodes, outputs = _drop_identities(nodes, outputs)
    nodes = list(needed_nodes(nodes, (port.source for port in outputs)))
    return _merge_biases(nodes, outputs), outputs


def _drop_identities(nodes: list[Node], outputs: list[Port]) -> tuple[list[Node], list[Port]]:
    """Readers of an identity without bias read its source instead."""
    stands_for: dict[str, str] = {}
    kept = []
    for node in nodes:
        current = _redirected(node, stands_for)
        if isinstance(current, Affine) and _is_identity(current) and not current.bias.any():
            stands_for[current.name] = current.terms[0].source
        else:
            kept.append(current)
    ports = [Port(p.name, p.shape, p.element, stands_for.get(p.source, p.source)) for p in outputs]
    return kept, ports


def _redirected(node: Node, stands_for: dict[str, str]) -> Node:
    if not any(source in stands_for for source in node.sources):
        return node
    if isinstance(node, Affine):
        terms = tuple(Term(stands_for.get(term.source, term.source), term.map) for term in node.terms)
        return Affine(node.name, terms, node.bias)
    if isinstance(node, Smooth):
        return Smooth(node.name, stands_for[node.argument], node.function)
    if isinstance(node, Product):
        return Product(node.name, *(stands_for.get(source, source) for source in node.sources))
    return Relu(node.name, stands_for[node.source])


def _is_identity(node: Affine) -> bool:
    return len(node.terms) == 1 and isinstance(node.terms[0].map, Identity)


def _merge_biases(nodes: list[Node], outputs: list[Port]) -> list[Node]:
    """z' = z + b, where z has no bias and no other reader, becomes z' = (terms of z) + b."""
    readers = Counter(source for node in nodes for source in node.sources)
    readers.update(port.source for port in outputs)
    kept: dict[str, Node] = {}
    for node in nodes:
        merged = node
        if isinstance(node, Affine) and _is_identity(node):
            before = kept.get(node.terms[0].source)
            if isinstance(before, Affine) and not before.bias.any() and readers[before.name] == 1:
                del kept[before.name]
                merged = Affine(node.name, before.terms, node.bias)
        kept[node.name] = merged
    return list(kept.values())
