"""Collects the nodes of the network while a graph is lowered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.frontend.onnx.values import Tensor
from eqverify.functions import Function
from eqverify.network import (
    Affine,
    Identity,
    LinearMap,
    Network,
    Node,
    Port,
    Product,
    Relu,
    Rounding,
    Selection,
    Smooth,
    Term,
)


class Builder:
    """A growing list of network nodes with unique names.

    Args:
        reserved: names that only the graph itself may use (its tensors).

    Attributes:
        nodes: in topological order.
        sizes: number of components of the nodes and inputs that choices are about.
        compared: nodes and inputs on whose values something is chosen.
        rounded: tensors whose numbers no float64 can hold, and that mean the nearest ones instead.
        open_ends: tensors that have a bound at the end of their type, which was read as none.
        unmodelled: operators that a run may round otherwise than the nodes that they became (specs/runtime.md).
        unknowns: by name of the input that stands for it, what is rounded; None where roundings are not read.
    """

    def __init__(self, reserved: Iterable[str], *, roundings: bool = False) -> None:
        self._reserved = set(reserved)
        self.nodes: list[Node] = []
        self.sizes: dict[str, int] = {}
        self.compared: set[str] = set()
        self.rounded: list[str] = []
        self.open_ends: list[str] = []
        self.unmodelled: list[str] = []
        self.unknowns: dict[str, tuple[Port, Rounding]] | None = {} if roundings else None

    def helper_name(self, name: str, purpose: str) -> str:
        """A new name for an intermediate result on the way to tensor `name`."""
        candidate, count = f"{name}/{purpose}", 1
        while candidate in self._reserved:
            count += 1
            candidate = f"{name}/{purpose}{count}"
        self._reserved.add(candidate)
        return candidate

    def taken(self, names: Iterable[str]) -> bool:
        """Whether one of the names is a tensor's or a helper's already."""
        return not self._reserved.isdisjoint(names)

    def reserve(self, names: Iterable[str]) -> None:
        """Keep names for the tensors of a graph."""
        self._reserved.update(names)

    def affine(
        self, name: str, terms: tuple[Term, ...], bias: FloatArray, shape: tuple[int, ...], element: str
    ) -> Tensor:
        """Add an affine node; returns its value under `shape`."""
        self.nodes.append(Affine(name, terms, bias))
        return Tensor(name, shape, element)

    def linear(self, name: str, tensor: Tensor, linear: LinearMap, shape: tuple[int, ...]) -> Tensor:
        """Add an affine node of one term without bias."""
        return self.affine(name, (Term(tensor.source, linear),), np.zeros(linear.shape[0]), shape, tensor.element)

    def relu(self, name: str, tensor: Tensor) -> Tensor:
        """Add a ReLU node."""
        self.nodes.append(Relu(name, tensor.source))
        return Tensor(name, tensor.shape, tensor.element)

    def add_rounding(
        self, name: str, tensor: Tensor, element: str, least: float, bias: FloatArray, result: str
    ) -> Tensor:
        """Add a rounding of a tensor as an input of its own (`Rounding`), and the node that adds both and a bias.

        Args:
            name: of that node.
            tensor: what is rounded.
            element: to what: ``integer`` or a float type.
            least: by how much in any case.
            bias: (n,)
            result: the element type of the result.
        """
        assert self.unknowns is not None
        self.unmodelled.append(f"rounding to {element}")
        port = self.helper_name(name, "rounding")
        self.unknowns[port] = Port(port, (tensor.size,), tensor.element, port), Rounding("", port, 0, element, least)
        terms = Term(tensor.source, Identity(tensor.size)), Term(port, Identity(tensor.size))
        return self.affine(name, terms, bias, tensor.shape, result)

    def finished(self, inputs: Sequence[Port], nodes: Sequence[Node], outputs: Sequence[Port]) -> Network:
        """The network of these nodes, with an input for each rounding that one of them reads."""
        ports, roundings, start = list(inputs), [], sum(port.size for port in inputs)
        for node in nodes:
            port, rounding = (self.unknowns or {}).get(node.sources[-1], (None, None)) if node.sources else (None, None)
            if port is not None and rounding is not None:
                roundings.append(replace(rounding, source=node.sources[0], start=start))
                ports.append(port)
                start += port.size
        return Network(tuple(ports), tuple(nodes), tuple(outputs), tuple(roundings))

    def smooth(self, name: str, tensor: Tensor, function: Function) -> Tensor:
        """Add a smooth node."""
        self.nodes.append(Smooth(name, tensor.source, function))
        return Tensor(name, tensor.shape, tensor.element)

    def made(self, tensor: Tensor) -> Node | None:
        """The node whose value a tensor is, in the node's order of components; None for an input."""
        return next((node for node in reversed(self.nodes) if node.name == tensor.source), None)

    def product(self, name: str, left: Tensor, right: Tensor) -> Tensor:
        """Add a product of two tensors of one shape."""
        self.nodes.append(Product(name, left.source, right.source))
        return Tensor(name, left.shape, left.element)

    def select(self, name: str, tensor: Tensor, indices: IntArray) -> Tensor:
        """The components `indices` of a tensor, in the shape of `indices`; no node where nothing moves."""
        flat = indices.reshape(-1)
        if flat.size == tensor.size and np.array_equal(flat, np.arange(flat.size)):
            return tensor.reshaped(indices.shape)
        return self.linear(name, tensor, Selection(flat, tensor.size), indices.shape)


def component_indices(tensor: Tensor) -> IntArray:
    """The flat index of every component, in the tensor's shape."""
    return np.arange(tensor.size, dtype=np.int64).reshape(tensor.shape)


def selection_map(tensor: Tensor, indices: IntArray) -> LinearMap:
    """The map that reads `indices` off a tensor: an identity where nothing moves."""
    flat = indices.reshape(-1)
    if flat.size == tensor.size and np.array_equal(flat, np.arange(flat.size)):
        return Identity(tensor.size)
    return Selection(flat, tensor.size)
