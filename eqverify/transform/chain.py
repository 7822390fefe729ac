"""A fully connected network as a chain of layers, each remembering what its units stand for.

Passes rewrite chains freely in float64; nothing they compute is trusted, because `deviation` compares the written
network with the original row by row afterwards.  What it needs for that is the *unit map* of each layer of the chain.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import InputError, Place
from eqverify.network import Affine, Network, split_inputs
from eqverify.normal_form.relation import Group
from eqverify.transform.unit_map import UnitMap


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """z = weight h_before + bias, then max(0, z).

    Attributes:
        weight: (n, m) float64.
        bias: (n,) float64.
        unit_map: what the n units stand for.
    """

    weight: FloatArray
    bias: FloatArray
    unit_map: UnitMap

    @property
    def size(self) -> int:
        """Number of units."""
        return int(self.bias.size)

    @property
    def source(self) -> str:
        """The original's ReLU node, for a layer that shows units of just one and has no carriers."""
        return self.unit_map.groups[0].source

    @property
    def units(self) -> IntArray:
        """The units of that node."""
        return self.unit_map.groups[0].units

    def select(self, chosen: IntArray) -> Layer:
        """Such a layer with only some units."""
        return Layer(self.weight[chosen], self.bias[chosen], UnitMap((Group(self.source, self.units[chosen]),)))


@dataclass(frozen=True, slots=True, eq=False)
class Chain:
    """Layers in order, then the affine output.

    Attributes:
        layers: the ReLU layers; the first reads the flat input, each other the one before.
        weight: (outputs, size of the last layer, or of the input where there is no layer).
        bias: (outputs,).
    """

    layers: tuple[Layer, ...]
    weight: FloatArray
    bias: FloatArray

    @property
    def relu_count(self) -> int:
        """Number of ReLU units."""
        return sum(layer.size for layer in self.layers)

    def reader(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Weight and bias of what reads layer `index`: the next layer or the output."""
        if index + 1 < len(self.layers):
            return self.layers[index + 1].weight, self.layers[index + 1].bias
        return self.weight, self.bias

    def with_reader(self, index: int, weight: FloatArray, bias: FloatArray) -> Chain:
        """The chain with other weights in what reads layer `index`."""
        if index + 1 < len(self.layers):
            return self.with_layer(index + 1, replace(self.layers[index + 1], weight=weight, bias=bias))
        return replace(self, weight=weight, bias=bias)

    def with_layer(self, index: int, layer: Layer) -> Chain:
        """The chain with another layer at `index`."""
        return replace(self, layers=(*self.layers[:index], layer, *self.layers[index + 1 :]))

    def without_layer(self, index: int) -> Chain:
        """The chain without layer `index`; its reader must have been changed to read what that layer read."""
        return replace(self, layers=(*self.layers[:index], *self.layers[index + 1 :]))


def is_chain(network: Network) -> bool:
    """Whether `chain_of` accepts a network: no value is read past a ReLU layer."""
    since = {port.name for port in network.inputs}
    for node in network.nodes:
        if not since.issuperset(node.sources):
            return False
        since = since | {node.name} if isinstance(node, Affine) else {node.name}
    return since.issuperset(port.source for port in network.outputs)


def chain_of(network: Network) -> Chain:
    """A network as a chain, affine nodes between ReLU layers composed in float64.

    Raises:
        InputError: `transform/not-a-chain` where a layer reads anything but the layer before it.
    """
    start = split_inputs(network, np.eye(network.input_size))
    current = {name: (columns.T, np.zeros(columns.shape[1])) for name, columns in start.items()}
    layers: list[Layer] = []
    for node in network.plain_nodes:
        missing = [source for source in node.sources if source not in current]
        if missing:
            raise InputError(
                "transform/not-a-chain",
                "a layer reads an earlier layer than the one before it",
                place=Place(node=node.name),
                value=", ".join(missing),
                hint="only networks without skip connections over a ReLU can be reduced so far",
            )
        if isinstance(node, Affine):
            current[node.name] = _compose(node, current, network.input_size)
            continue
        weight, bias = current[node.source]
        layers.append(Layer(weight, bias, UnitMap((Group(node.name, np.arange(bias.size)),))))
        current = {node.name: (np.eye(bias.size), np.zeros(bias.size))}
    missing = [port.source for port in network.outputs if port.source not in current]
    if missing:
        raise InputError("transform/not-a-chain", "an output shows a value before the last layer", value=missing[0])
    pairs = [current[port.source] for port in network.outputs]
    return Chain(tuple(layers), np.concatenate([w for w, _ in pairs]), np.concatenate([b for _, b in pairs]))


def _compose(
    node: Affine, current: dict[str, tuple[FloatArray, FloatArray]], input_size: int
) -> tuple[FloatArray, FloatArray]:
    width = next(iter(current.values()))[0].shape[1] if current else input_size
    weight, bias = np.zeros((node.size, width)), np.array(node.bias)
    for term in node.terms:
        inner, offset = current[term.source]
        weight = weight + term.map.forward(inner.T).T
        bias = bias + term.map.forward(offset)
    return weight, bias
