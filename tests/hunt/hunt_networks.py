"""Random networks of the hunt, aimed at what broke before: scales, needles, ties, edge values of Clip, wide layers."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLT_MAX = struct.unpack("<f", b"\xff\xff\x7f\x7f")[0]
ELEMENTS = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}


@dataclass(slots=True)
class Style:
    """How numbers of a network are drawn: by name, at a scale for each layer."""

    name: str
    dtype: str
    scales: list[float] = field(default_factory=list)


STYLES = ("quarters", "plain", "layers", "weights", "mixed", "subnormal", "huge", "sparse", "needles")


def draw_style(rng: Random, layers: int) -> Style:
    name = rng.choices(STYLES, (5, 4, 3, 2, 3, 1, 1, 2, 4))[0]
    dtype = "float64" if rng.random() < 0.25 else "float32"
    span = 30 if rng.random() < 0.3 else 10
    scales = [10.0 ** rng.uniform(-span, span) for _ in range(layers)] if name == "layers" else [1.0] * layers
    if name == "layers" and rng.random() < 0.7:  # what one layer shrinks, the next one blows up
        scales[0] = 10.0 ** rng.uniform(-10, -7) if rng.random() < 0.5 else scales[0]
        scales = [scales[0] if k % 2 == 0 else 1 / scales[0] for k in range(layers)]
    return Style(name, dtype, scales)


def stored(value: float, dtype: str) -> float:
    """The number as the file holds it: finite."""
    if dtype == "float64":
        return value
    return struct.unpack("<f", struct.pack("<f", max(-FLT_MAX, min(FLT_MAX, value))))[0]


def draw_weight(rng: Random, style: Style, layer: int) -> float:
    value = rng.gauss(0, 1) * style.scales[layer]
    if style.name == "quarters":
        value = rng.randint(-8, 8) / 4
    elif style.name == "weights":
        value *= 10.0 ** rng.uniform(-30, 30)
    elif style.name == "mixed" and rng.random() < 0.4:
        value *= 10.0 ** rng.uniform(-9, 9)
    elif style.name == "subnormal" and rng.random() < 0.5:
        value *= 1e-42 if style.dtype == "float32" else 1e-315
    elif style.name == "huge" and rng.random() < 0.3:
        value *= 1e38 if style.dtype == "float32" else 10.0 ** rng.uniform(100, 300)
    elif style.name == "sparse" and rng.random() < 0.6:
        value = 0.0
    return stored(value, style.dtype)


class Builder:
    """Writes a model node by node; every layer has rows [1, n]."""

    def __init__(self, rng: Random, style: Style, inputs: int, rank: int = 2) -> None:
        self.rng, self.style = rng, style
        self.nodes: list[Any] = []
        self.stored: list[Any] = []
        self.inputs = inputs
        self.shape: list[Any] = [1, inputs] if rank == 2 else [1, 1, inputs]
        if rng.random() < 0.2:
            self.shape[0] = "N"
        self.name, self.size = "x", inputs
        if rank == 3:
            self.node("Flatten", ["x"], axis=1)

    def tensor(self, values: Any, dtype: str | None = None) -> str:
        name = f"c{len(self.stored)}"
        array = np.array(values, dtype=dtype or self.style.dtype)
        self.stored.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator: str, inputs: list[str], **attributes: Any) -> str:
        self.name = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [self.name], **attributes))
        return self.name

    def affine(self, weights: list[list[float]], bias: list[float]) -> None:
        """weights (out, in), in one of the forms that exporters write."""
        columns = [list(column) for column in zip(*weights, strict=True)]
        form = self.rng.random()
        if form < 0.5:
            self.node("Gemm", [self.name, self.tensor(weights), self.tensor(bias)], transB=1)
        elif form < 0.7:
            self.node("Gemm", [self.name, self.tensor(columns), self.tensor(bias)])
        else:
            product = self.node("MatMul", [self.name, self.tensor(columns)])
            if self.rng.random() < 0.2:
                self.node("Sub", [product, self.tensor([-b for b in bias])])
            else:
                self.node("Add", [product, self.tensor(bias)])
        self.size = len(bias)

    def model(self, opset: int = 17) -> bytes:
        element = ELEMENTS[self.style.dtype]
        ports = (("x", self.shape), (self.name, [self.shape[0], self.size]))
        infos = [helper.make_tensor_value_info(name, element, shape) for name, shape in ports]
        graph = helper.make_graph(self.nodes, "hunt", infos[:1], infos[1:], self.stored)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
        return model.SerializeToString()


def draw_layer(rng: Random, builder: Builder, layer: int, units: int, ends: list[tuple[float, float]] | None) -> None:
    """An affine layer of so many units; needles look at the box where it is known."""
    style = builder.style
    weights = [[draw_weight(rng, style, layer) for _ in range(builder.size)] for _ in range(units)]
    bias = [draw_weight(rng, style, layer) for _ in range(units)]
    if style.name == "needles" and ends is not None:
        for k in range(units):
            if rng.random() < 0.7:
                bias[k] = stored(needle(rng, weights[k], ends), style.dtype)
    if style.name == "needles" and ends is None and rng.random() < 0.7:
        scale = 10.0 ** rng.uniform(3, 10)
        weights = [[stored(w * scale, style.dtype) for w in row] for row in weights]
    if units > 1 and rng.random() < 0.2:  # equal, opposite and scaled units, and units without weights
        factor = rng.choice((1.0, -1.0, 2.0, 0.0, -0.5))
        weights[1] = [stored(factor * w, style.dtype) for w in weights[0]]
        bias[1] = stored(factor * bias[0], style.dtype) if rng.random() < 0.7 else bias[1]
    builder.affine(weights, bias)


def needle(rng: Random, weights: list[float], ends: list[tuple[float, float]]) -> float:
    """A bias with which a unit opens in a corner by a little, not at all, or just touches zero there."""
    top = math.fsum(max(w * low, w * high) for w, (low, high) in zip(weights, ends, strict=True))
    opening = rng.choice((0.0, 1.0, -1.0, 1.0)) * 10.0 ** rng.uniform(-13, -2) * max(abs(top), 1e-30)
    bias = opening - top
    return -bias if rng.random() < 0.2 else bias


def draw_activation(rng: Random, builder: Builder, relu_only: bool) -> None:
    kind = (
        "Relu"
        if relu_only or rng.random() < 0.75
        else rng.choice(("Clip", "Clip", "Abs", "LeakyRelu", "Max", "MaxPool"))
    )
    name, size = builder.name, builder.size
    if kind == "Clip":
        low, high = clip_ends(rng)
        inputs = [name, "" if low is None else builder.tensor(low), "" if high is None else builder.tensor(high)]
        builder.node("Clip", inputs if inputs[2] else inputs[: 2 if inputs[1] else 1])
    elif kind == "LeakyRelu":
        builder.node("LeakyRelu", [name], alpha=rng.choice((0.01, 0.5, -0.25, 0.0, 1.0, 2.0)))
    elif kind == "Max":
        builder.node(rng.choice(("Max", "Min")), [name, builder.tensor([rng.choice((0.0, -0.5, 1.0))])])
    elif kind == "MaxPool" and size >= 2:
        shaped = builder.node("Reshape", [name, builder.tensor([1, 1, size], "int64")])
        builder.node("MaxPool", [shaped], kernel_shape=[2], strides=[1 if size < 4 else rng.choice((1, 2))])
        stride = builder.nodes[-1].attribute
        step = next(a.ints[0] for a in stride if a.name == "strides")
        builder.size = (size - 2) // step + 1
        builder.node("Reshape", [builder.name, builder.tensor([1, builder.size], "int64")])
    else:
        builder.node(kind if kind == "Abs" else "Relu", [name])


def clip_ends(rng: Random) -> tuple[float | None, float | None]:
    """Usual ends, and those that break: missing, infinite, the largest numbers, equal, crossed."""
    infinite = float("inf")
    low = rng.choice((None, 0.0, 0.0, -1.0, -infinite, -FLT_MAX, -0.0))
    high = rng.choice((None, 6.0, 1.0, 0.5, infinite, FLT_MAX))
    odd = rng.random()
    if odd < 0.1:
        low = high = rng.choice((0.0, 0.25, 1.0))
    elif odd < 0.15:
        low, high = 1.0, rng.choice((0.0, 0.5))
    elif odd < 0.25:
        low, high = rng.choice(
            ((FLT_MAX, None), (None, -FLT_MAX), (FLT_MAX, FLT_MAX), (-FLT_MAX, -FLT_MAX), (0.0, -FLT_MAX))
        )
    elif odd < 0.3:
        low, high = rng.choice(((infinite, None), (None, -infinite), (-infinite, -infinite)))
    return low, high


@dataclass(frozen=True, slots=True)
class Sizes:
    inputs: int
    outputs: int
    layers: tuple[int, ...]


def draw_sizes(rng: Random) -> Sizes:
    inputs = rng.choices((1, 2, 3), (4, 5, 2))[0]
    count = rng.choices((1, 2, 3), (4, 5, 2))[0]
    layers = tuple(rng.randint(1, 6 if inputs < 3 else 4) for _ in range(count))
    if inputs == 1 and rng.random() < 0.1:
        layers = (rng.randint(20, 60), *layers[1:2])
    if inputs == 2 and rng.random() < 0.1:
        inputs = rng.randint(8, 40)
    return Sizes(inputs, rng.choices((1, 2, 3), (4, 3, 1))[0], layers)


def draw_network(
    rng: Random, sizes: Sizes, ends: list[tuple[float, float]], *, relu_only: bool = False, style: Style | None = None
) -> bytes:
    """A model of these sizes; `ends` is the box around the domain, for needles."""
    chosen = style or draw_style(rng, len(sizes.layers) + 1)
    builder = Builder(rng, chosen, sizes.inputs, rank=3 if rng.random() < 0.1 else 2)
    if not relu_only and rng.random() < 0.06:
        draw_activation(rng, builder, relu_only)  # directly on the input
    before: str | None = None
    for number, units in enumerate(sizes.layers):
        draw_layer(rng, builder, number, units, ends if number == 0 and builder.size == sizes.inputs else None)
        draw_activation(rng, builder, relu_only)
        if number and before is not None and rng.random() < 0.15:
            skipped(rng, builder, before, sizes.layers[number - 1])
        before = builder.name if builder.size == units else None
    draw_layer(rng, builder, len(sizes.layers), sizes.outputs, None)
    if rng.random() < 0.1:
        draw_activation(rng, builder, relu_only)
        if builder.size != sizes.outputs:  # a pool: back to the outputs that the property names
            draw_layer(rng, builder, len(sizes.layers), sizes.outputs, None)
    return builder.model()


def skipped(rng: Random, builder: Builder, before: str, units: int) -> None:
    """Past a layer: added where sizes allow it, otherwise appended."""
    if units == builder.size and rng.random() < 0.7:
        builder.node("Add", [builder.name, before])
        return
    builder.node("Concat", [builder.name, before], axis=1)
    builder.size += units


def disturbed(rng: Random, model: bytes) -> bytes:
    """Another network of the same architecture: one stored number changed, by one last place or by more."""
    import onnx

    changed = onnx.load_from_string(model)
    floats = [t for t in changed.graph.initializer if t.data_type in ELEMENTS.values() and np.prod(t.dims or [1])]
    if not floats:
        return model
    tensor = rng.choice(floats)
    values = numpy_helper.to_array(tensor).copy()
    flat = values.reshape(-1)
    place = rng.randrange(flat.size)
    with np.errstate(all="ignore"):
        ways = [
            np.nextafter(flat[place], np.inf),
            flat[place] * (1 + 10.0 ** rng.uniform(-7, -1)),
            -flat[place],
            flat[place],
        ]
        new = np.array(rng.choice(ways), dtype=flat.dtype)
    if np.isfinite(new):
        flat[place] = new
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return changed.SerializeToString()
