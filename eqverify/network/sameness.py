"""Whether two networks are one function by their structure, whatever their nodes are called."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from eqverify.network.gathering import ScaledSelection
from eqverify.network.graph import Affine, Network, Smooth
from eqverify.network.linear import Dense, Diagonal, Identity, LinearMap, Selection
from eqverify.network.sparse import Sparse

_MOST_TERMS = 4096
"""Summands of a node, written out over inputs and ReLUs, that are looked at."""

Steps = tuple[bytes, ...]
"""Maps applied one after the other, each by its digest."""

Sum = Counter[tuple[bytes, Steps]]
"""Summands, each a leaf (an input, a ReLU node, a bias) and the maps that it goes through."""


def same_function(one: Network, other: Network) -> bool:
    """Whether networks agree node by node, once affine nodes are written out over inputs and ReLU nodes.

    So a sum of terms may be one node or several, factors and quotients may be apart, and names do not matter; exact
    weights, sizes, and the order of inputs, ReLU nodes and outputs do.

    Args:
        one, other: any networks; those of too many summands are not looked at.

    Returns:
        True only where both are the same function over the reals, with ReLU and smooth nodes that read the same.
    """
    found = _described(one)
    return found is not None and found == _described(other)


def _described(network: Network) -> tuple[list[Sum], list[Sum]] | None:
    """What ReLU and smooth nodes read, then the outputs; None where there are too many summands."""
    sums: dict[str, Sum] = {
        port.name: Counter({(f"input {number} of {port.size}".encode(), ()): 1})
        for number, port in enumerate(network.inputs)
    }
    listed: list[Sum] = []
    for node in network.nodes:
        if isinstance(node, Affine):
            sums[node.name] = _sum(node, sums)
            if len(sums[node.name]) > _MOST_TERMS:
                return None
        else:
            kind = repr(node.function) if isinstance(node, Smooth) else type(node).__name__
            sums[node.name] = Counter({(f"{kind} {len(listed)} of {network.sizes[node.name]}".encode(), ()): 1})
            listed += [sums[source] for source in node.sources]
    return listed, [sums[port.source] for port in network.outputs]


def _sum(node: Affine, sums: Mapping[str, Sum]) -> Sum:
    total: Sum = Counter()
    for term in node.terms:
        steps = _steps(term.map)
        for (leaf, before), count in sums[term.source].items():
            total[leaf, before + steps] += count
    if node.bias.any():
        total[_digest("bias", node.bias), ()] += 1
    return total


def _steps(linear: LinearMap) -> Steps:
    """The digests of what a map does, without what does nothing."""
    if isinstance(linear, Identity):
        return ()
    if isinstance(linear, Diagonal):
        return _factors("quotient", linear.divisor) + _factors("product", linear.scale)
    if isinstance(linear, Selection | ScaledSelection):
        scale = linear.scale if isinstance(linear, ScaledSelection) else np.ones(linear.indices.size)
        whole = linear.indices.size == linear.size and bool((linear.indices == np.arange(linear.size)).all())
        chosen = () if whole else (_digest("selection", linear.indices, linear.size),)
        return chosen + _factors("product", scale)
    if isinstance(linear, Dense | Sparse):
        return (_digest("dense", linear.dense()),)
    return (_digest(type(linear).__name__, *_parts(linear)),)


def _parts(value: object) -> list[object]:
    """All that a map consists of."""
    if not isinstance(value, LinearMap):
        return [value]
    return [part for one in fields(value) for part in _parts(getattr(value, one.name))]  # type: ignore[arg-type]


def _factors(kind: str, factors: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Steps:
    return () if (factors == 1).all() else (_digest(kind, factors),)


def _digest(kind: str, *parts: object) -> bytes:
    state = hashlib.sha256(kind.encode())
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str} {part.shape}".encode())
            state.update(np.ascontiguousarray(part + np.zeros((), part.dtype)).tobytes())  # one zero
        else:
            state.update(repr(part).encode())
    return state.digest()
