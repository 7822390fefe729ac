"""Collects the nodes of the network while a graph is lowered."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.frontend.onnx.values import Tensor
from eqverify.network import Affine, Identity, LinearMap, Node, Relu, Selection, Term


class Builder:
    """A growing list of network nodes with unique names.

    Args:
        reserved: names that only the graph itself may use (its tensors).

    Attributes:
        nodes: in topological order.
        sizes: number of components of each node and input.
        compared: nodes and inputs on whose values something is chosen.
        rounded: tensors whose numbers no float64 can hold, and that mean the nearest ones instead.
        open_ends: tensors that have a bound at the end of their type, which was read as none.
        unmodelled: operators that a run may round otherwise than the nodes that they became (specs/runtime.md).
    """

    def __init__(self, reserved: Iterable[str]) -> None:
        self._reserved = set(reserved)
        self.nodes: list[Node] = []
        self.sizes: dict[str, int] = {}
        self.compared: set[str] = set()
        self.rounded: list[str] = []
        self.open_ends: list[str] = []
        self.unmodelled: list[str] = []

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
        self.sizes[name] = bias.size
        return Tensor(name, shape, element)

    def linear(self, name: str, tensor: Tensor, linear: LinearMap, shape: tuple[int, ...]) -> Tensor:
        """Add an affine node of one term without bias."""
        return self.affine(name, (Term(tensor.source, linear),), np.zeros(linear.shape[0]), shape, tensor.element)

    def relu(self, name: str, tensor: Tensor) -> Tensor:
        """Add a ReLU node."""
        self.nodes.append(Relu(name, tensor.source))
        self.sizes[name] = tensor.size
        return Tensor(name, tensor.shape, tensor.element)

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
