"""A small ONNX model being drawn: what the drawers of onnx_drafts build on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

NEWEST_RUNTIME_OPSET = 26
"""The newest opset that the pinned onnxruntime runs."""

FACTORS = [1.0, 0.5, -2.0, 0.0, 0.1, 1.7]


@dataclass(frozen=True)
class Wire:
    """A computed tensor of a draft."""

    name: str
    shape: Shape


@dataclass
class Draft:
    """A model being drawn."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    rng: np.random.Generator
    dtype: type
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def flip(self) -> bool:
        return bool(self.draw(st.booleans()))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def numbers(self, *shape: int, nonzero: bool = False) -> Array:
        array = self.rng.normal(size=shape)
        if not nonzero and self.flip():
            array = np.where(self.rng.random(shape) < 0.3, 0.0, array)
        return array.astype(self.dtype)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{len(self.nodes) + len(self.initialisers)}"

    def constant(self, array: Array) -> str:
        """A constant in one of the forms a file can hold it in."""
        form = self.pick("raw", "typed", "node", "folded")
        name = self.fresh("c")
        if form == "typed":
            code = helper.np_dtype_to_tensor_dtype(array.dtype)
            self.initialisers.append(helper.make_tensor(name, code, array.shape, array.reshape(-1).tolist()))
            return name
        tensor = numpy_helper.from_array(array, name)
        if form == "raw":
            self.initialisers.append(tensor)
        else:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        if form == "folded":
            self.nodes.append(helper.make_node("Identity", [name], [name + "i"]))
            return name + "i"
        return name

    def node(self, operator: str, inputs: list[str], shape: Shape, outputs: int = 1, **attributes: Any) -> Wire:
        """A node with random omission of nothing: attributes as given; its first output becomes a wire."""
        name = self.fresh("t")
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        wire = Wire(name, tuple(int(extent) for extent in shape))
        self.wires.append(wire)
        return wire


def fitting(first: Shape, second: Shape) -> bool:
    try:
        return math.prod(np.broadcast_shapes(first, second)) <= 64
    except ValueError:
        return False


def image(d: Draft, x: Wire) -> Wire:
    """x as an image [1, channels, ...] of one or two spatial axes."""
    if len(x.shape) in (3, 4) and x.shape[0] == 1:
        return x
    size = math.prod(x.shape)
    channels = d.pick(*[n for n in (1, 2, 3) if size % n == 0])
    rest = size // channels
    rows = d.pick(*[n for n in (1, 2, 3) if rest % n == 0])
    shape = d.pick((1, channels, rest), (1, channels, rows, rest // rows))
    return d.node("Reshape", [x.name, d.constant(np.array(shape, dtype=np.int64))], shape)


def grown(d: Draft, x: Wire) -> Wire:
    """An image whose spatial extents leave room for strides and dilations."""
    x = image(d, x)
    spread = (*x.shape[:2], *(d.integer(extent, max(extent, 5)) if extent == 1 else extent for extent in x.shape[2:]))
    weights = d.constant(d.numbers(*spread))
    return d.node("Add", [x.name, weights], spread)
