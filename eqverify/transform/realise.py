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
    names = Names(original)
    source: str | None = None

    def affine(name: str, weight: FloatArray, bias: FloatArray) -> Affine:
        weight, bias = round_weights(weight, name, element), round_weights(bias, name, element)
        terms = input_terms(weight, original) if source is None else (Term(source, Dense(weight)),)
        return Affine(name, terms, bias)

    for index, layer in enumerate(chain.layers):
        z, h = names.fresh(f"z{index + 1}"), names.fresh(f"h{index + 1}")
        nodes += [affine(z, layer.weight, layer.bias), Relu(h, z)]
        meanings[h], source = layer.meaning, h
    outputs, start = [], 0
    for port in original.outputs:
        chosen = slice(start, start + port.size)
        start += port.size
        name = names.fresh(f"affine_{port.name}")
        nodes.append(affine(name, chain.weight[chosen], chain.bias[chosen]))
        outputs.append(Port(port.name, port.shape, port.element, name))
    return Network(original.inputs, tuple(nodes), tuple(outputs)), meanings


class Names:
    """Names for nodes that no port of a network has."""

    def __init__(self, original: Network) -> None:
        self._taken = {port.name for port in (*original.inputs, *original.outputs)}

    def fresh(self, wanted: str) -> str:
        """`wanted`, with underscores behind it where it is taken."""
        name = wanted
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def input_terms(weight: FloatArray, original: Network) -> tuple[Term, ...]:
    """Weights (out, input_size) as one term per input of a network."""
    terms, start = [], 0
    for port in original.inputs:
        terms.append(Term(port.name, Dense(weight[:, start : start + port.size])))
        start += port.size
    return tuple(terms)


def round_weights(values: FloatArray, node: str, element: Element) -> FloatArray:
    """Weights rounded to nearest numbers of a type.

    Raises:
        InputError: `transform/overflow` where one exceeds the range of the type.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(element).astype(np.float64)
    finite = np.isfinite(rounded)
    if not finite.all():
        require_finite(values, element, node)
        raise _overflow(element, node, values[~finite][0], "write float64 weights (--dtype float64)")
    return rounded


def require_finite(values: FloatArray, element: Element, node: str | None = None) -> None:
    """Raise where what weights are computed from left the range of float64.

    Raises:
        InputError: `transform/overflow`.
    """
    finite = np.isfinite(values)
    if not finite.all():
        hint = "weights or bounds of inputs are extremely large: --shape structured keeps the weights that there are"
        raise _overflow(element, node, values[~finite][0], hint)


def _overflow(element: Element, node: str | None, value: float, hint: str) -> InputError:
    return InputError(
        "transform/overflow",
        f"a weight of the reduced network exceeds the range of {element}",
        place=Place(node=node),
        value=float(value),
        hint=hint,
    )
