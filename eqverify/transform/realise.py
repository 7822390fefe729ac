"""Chains and forms as networks whose weights are numbers of the wanted type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place
from eqverify.network import Affine, Dense, Network, Node, Port, Relu, Term
from eqverify.normal_form.form import NormalForm
from eqverify.transform.chain import Chain
from eqverify.transform.unit_map import UnitMap

Element = Literal["float32", "float64"]


Blocks = Mapping[int, FloatArray]
"""Weights by what they multiply: the outputs of the layer of that number, or the flat input for -1."""

Written = tuple[Network, Mapping[str, UnitMap]]
"""A network, and by ReLU node of it what its units stand for."""


def realise(chain: Chain, original: Network, element: Element) -> Written:
    """The chain as a Gemm/ReLU network with the ports of the original; raises as `write_layers`."""
    layers = [({k - 1: layer.weight}, layer.bias, layer.unit_map) for k, layer in enumerate(chain.layers)]
    return write_layers(layers, ({len(layers) - 1: chain.weight}, chain.bias), original, element)


def write_layers(
    layers: Sequence[tuple[Blocks, FloatArray, UnitMap]],
    outputs: tuple[Blocks, FloatArray],
    original: Network,
    element: Element,
) -> Written:
    """Layers that read the input and any earlier layer, one affine and one ReLU node each, as a network.

    Args:
        layers: weights, biases, and what the units stand for.
        outputs: weights and biases of the flat output.
        original: gives names, shapes and order of inputs and outputs.
        element: type to which weights are rounded, to nearest.

    Raises:
        InputError: `transform/overflow` where a weight exceeds the range of the type.
    """
    names, nodes, unit_maps = _Names(original), list[Node](), dict[str, UnitMap]()

    def affine(name: str, blocks: Blocks, bias: FloatArray) -> Affine:
        shown, terms = list(unit_maps), list[Term]()
        for index, block in blocks.items():
            weight = round_weights(block, name, element)
            terms += [Term(shown[index], Dense(weight))] if index >= 0 else _input_terms(weight, original)
        return Affine(name, tuple(terms), round_weights(bias, name, element))

    for index, (blocks, bias, unit_map) in enumerate(layers):
        z, h = names.fresh(f"z{index + 1}"), names.fresh(f"h{index + 1}")
        nodes += [affine(z, blocks, bias), Relu(h, z)]
        unit_maps[h] = unit_map
    ports, start = [], 0
    for port in original.outputs:
        own, name = slice(start, start + port.size), names.fresh(f"affine_{port.name}")
        start += port.size
        nodes.append(affine(name, {index: block[own] for index, block in outputs[0].items()}, outputs[1][own]))
        ports.append(Port(port.name, port.shape, port.element, name))
    return Network(original.inputs, tuple(nodes), tuple(ports)), unit_maps


class _Names:
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


def _input_terms(weight: FloatArray, original: Network) -> list[Term]:
    """Weights (out, input_size) as one term per input of a network."""
    terms, start = [], 0
    for port in original.inputs:
        terms.append(Term(port.name, Dense(weight[:, start : start + port.size])))
        start += port.size
    return terms


def residual_network(form: NormalForm, original: Network, element: Element) -> Written:
    """A form as it is, each level a layer, with skip connections: the fewest ReLUs of all shapes; raises likewise."""
    levels = form.levels()

    def blocks(rows: FloatArray, before: int) -> Blocks:
        places = {k: form.columns[levels[k]] for k in reversed(range(before))} | {-1: np.arange(original.input_size)}
        return {k: rows[:, columns] for k, columns in places.items() if rows[:, columns].any()}

    one = original.input_size
    layers = [
        (blocks(form.rows[own], index), form.rows[own, one], UnitMap(form.groups(own)))
        for index, own in enumerate(levels)
    ]
    return write_layers(layers, (blocks(form.outputs, len(levels)), form.outputs[:, one]), original, element)


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
