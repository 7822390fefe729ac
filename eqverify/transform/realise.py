"""A chain as a network whose weights are numbers of the wanted type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term
from eqverify.transform.chain import Chain
from eqverify.transform.unit_map import Meaning

Element = Literal["float32", "float64"]


def realise(chain: Chain, original: Network, element: Element) -> tuple[Network, Mapping[str, Meaning]]:
    """The chain as a Gemm/ReLU network with the ports of the original.

    Args:
        chain: what to write.
        original: gives names, shapes and order of inputs and outputs.
        element: type to which weights are rounded, to nearest.

    Returns:
        The network, and by ReLU node of it what its units stand for.

    Raises:
        InputError: `transform/overflow` where a weight exceeds the range of the type.
    """
    nodes: list[Node] = []
    meanings: dict[str, Meaning] = {}
    taken = {port.name for port in (*original.inputs, *original.outputs)}
    source: str | None = None
    for index, layer in enumerate(chain.layers):
        z, h = _fresh(f"z{index + 1}", taken), _fresh(f"h{index + 1}", taken)
        nodes += [_affine(z, source, layer.weight, layer.bias, original, element), Relu(h, z)]
        meanings[h], source = layer.meaning, h
    outputs, start = [], 0
    for port in original.outputs:
        chosen = slice(start, start + port.size)
        start += port.size
        name = _fresh(f"affine_{port.name}", taken)
        nodes.append(_affine(name, source, chain.weight[chosen], chain.bias[chosen], original, element))
        outputs.append(Port(port.name, port.shape, port.element, name))
    return Network(original.inputs, tuple(nodes), tuple(outputs)), meanings


def _fresh(wanted: str, taken: set[str]) -> str:
    name = wanted
    while name in taken:
        name += "_"
    taken.add(name)
    return name


def _affine(
    name: str, source: str | None, weight: FloatArray, bias: FloatArray, original: Network, element: Element
) -> Affine:
    weight, bias = _round(weight, name, element), _round(bias, name, element)
    if source is not None:
        return Affine(name, (Term(source, Dense(weight)),), bias)
    terms, start = [], 0
    for port in original.inputs:
        terms.append(Term(port.name, Dense(weight[:, start : start + port.size])))
        start += port.size
    return Affine(name, tuple(terms), bias)


def _round(values: FloatArray, node: str, element: Element) -> FloatArray:
    with np.errstate(over="ignore"):
        rounded = values.astype(element).astype(np.float64)
    if not np.isfinite(rounded).all():
        raise InputError(
            "transform/overflow",
            f"a weight of the reduced network exceeds the range of {element}",
            place=Place(node=node),
            hint="write float64 weights",
        )
    return rounded
