"""Models of quantised operators: drawn at random, and small ones made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto, helper, load_from_string, numpy_helper

MICROSOFT = "com.microsoft"
WEIGHTS = 63
"""7 bits: onnxruntime adds pairs of products of uint8 and int8 in 16 bits where the processor has no VNNI."""

DYNAMIC = ("dynamic MatMulInteger", "dynamic ConvInteger")
OPERATORS = ("QDQ", "QLinearMatMul", "QGemm", "QLinearAdd", "MatMulInteger", "QLinearConv", "ConvInteger", *DYNAMIC)


class Model:
    """A model of one input x and one output y of float32 that is put together node by node."""

    def __init__(self, shape: tuple[int, ...], opset: int = 13) -> None:
        self.shape, self.opset = shape, opset
        self.nodes: list[Any] = []
        self.stored: list[Any] = []

    def store(self, name: str, numbers: Any, dtype: Any) -> str:
        """An initialiser."""
        self.stored.append(numpy_helper.from_array(np.asarray(numbers, dtype=dtype), name))
        return name

    def node(self, operator: str, inputs: list[str], output: str, **about: Any) -> str:
        """A node of one output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], **about))
        return output

    def scale(self, name: str, scale: Any, zero: Any, dtype: Any) -> list[str]:
        """A scale and its zero point."""
        return [self.store(f"{name}_s", scale, np.float32), self.store(f"{name}_z", zero, dtype)]

    def finished(self, shape: tuple[int, ...] | None = None) -> bytes:
        """The bytes of the model, whose output has this shape."""
        infos = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
            for n, s in (("x", self.shape), ("y", shape or self.shape))
        ]
        graph = helper.make_graph(self.nodes, "quantised", infos[:1], infos[1:], self.stored)
        sets = [helper.make_opsetid("", self.opset), helper.make_opsetid(MICROSOFT, 1)]
        return bytes(helper.make_model(graph, opset_imports=sets, ir_version=8).SerializeToString())


def rounding(scale: float = 1.0, zero: int = 0, dtype: Any = np.int8, size: int = 1) -> bytes:
    """y = DequantizeLinear(QuantizeLinear(x))."""
    model = Model((1, size))
    parts = model.scale("x", scale, zero, dtype)
    model.node("QuantizeLinear", ["x", *parts], "q")
    model.node("DequantizeLinear", ["q", *parts], "y")
    return model.finished()


def dynamic(operator: str, seed: int) -> bytes:
    """A model as `quantize_dynamic` writes them: the scale depends on the input."""
    random, image = np.random.default_rng(seed), operator == "ConvInteger"
    model = Model((1, 2, 4, 3) if image else (1, 5))
    model.nodes.append(helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]))
    w = model.store("w", random.integers(0, 256, (3, 2, 2, 2) if image else (5, 3)), np.uint8)
    zero = model.store("w_z", random.integers(0, 256), np.uint8)
    model.node(operator, ["q", w, "z", zero], "sums")
    model.node("Cast", ["sums"], "cast", to=TensorProto.FLOAT)
    model.node("Mul", [model.store("w_s", random.uniform(0.001, 0.01), np.float32), "s"], "scale")
    model.node("Mul", ["cast", "scale"], "product")
    model.node("Relu", ["product"], "y")
    return model.finished((1, 3, 3, 2) if image else (1, 3))


def drawn(operator: str, seed: int) -> bytes:
    """A model that quantises its input, applies an operator to integers, and shows the result as floats."""
    if operator in DYNAMIC:
        return dynamic(operator.split()[1], seed)
    random = np.random.default_rng([seed, OPERATORS.index(operator)])
    image = operator in ("QLinearConv", "ConvInteger")
    shape = (1, 2, 4, 3) if image else (int(random.integers(1, 3)), 5)
    model = Model(shape)
    dtype = (np.uint8, np.int8)[int(random.integers(2))]
    if operator in ("MatMulInteger", "ConvInteger"):
        dtype = np.uint8  # onnxruntime has ConvInteger of no other
    wtype = np.int8 if dtype == np.int8 or operator != "ConvInteger" else np.uint8
    limit = np.iinfo(dtype)

    def zero() -> int:
        return int(random.integers(limit.min, limit.max + 1))

    x = model.scale("x", random.uniform(0.005, 0.03), zero(), dtype)
    model.node("QuantizeLinear", ["x", *x], "q")
    channels, per_channel = 3, bool(random.integers(2)) and operator not in ("MatMulInteger", "ConvInteger")
    turned = int(operator == "QGemm" and random.integers(2))
    wshape = (channels, 2, 2, 2) if image else (channels, 5) if turned else (5, channels)
    w = model.store("w", random.integers(-WEIGHTS if wtype == np.int8 else 0, WEIGHTS + 1, wshape), wtype)
    wide = channels if per_channel else None
    ws = model.scale("w", random.uniform(0.01, 0.05, wide), np.zeros(wide or ()), wtype)
    y = model.scale("y", random.uniform(0.05, 0.2), zero(), dtype)
    bias = model.store("b", random.integers(-3000, 3000, channels), np.int32)
    about: dict[str, Any] = {"pads": [1, 0, 0, 1], "strides": [2, 1]} if image else {}
    out = (1, channels, 2, 3) if image else (shape[0], channels)
    if operator == "QDQ":
        model.node("DequantizeLinear", ["q", *x], "xf")
        model.node("DequantizeLinear", [w, *ws], "wf", axis=1)
        model.node("MatMul", ["xf", "wf"], "product")
        model.node("QuantizeLinear", ["product", *y], "r")
    elif operator == "QLinearMatMul":
        model.node(operator, ["q", *x, w, *ws, *y], "r")
    elif operator == "QGemm":
        model.node(operator, ["q", *x, w, *ws, bias, *y], "r", domain=MICROSOFT, transB=turned)
    elif operator == "QLinearAdd":
        product = model.scale("p", 0.07, zero(), dtype)
        model.node("QLinearMatMul", ["q", *x, w, *ws, *product], "p")
        added = model.store("c", random.integers(limit.min, limit.max + 1, channels), dtype)
        model.node(
            operator, ["p", *product, added, *model.scale("c", 0.02, zero(), dtype), *y], "half", domain=MICROSOFT
        )
        model.node(operator, ["half", *y, "p", *product, *y], "r", domain=MICROSOFT)
    elif operator == "QLinearConv":
        model.node(operator, ["q", *x, w, *ws, *y, bias], "r", **about)
    else:
        model.node(operator, ["q", w, x[1]], "sums", **about)
        model.node("Cast", ["sums"], "y", to=TensorProto.FLOAT)
        return model.finished(out)
    model.node("DequantizeLinear", ["r", *y], "y")
    return model.finished(out)


TO_INTEGERS = {"Round": round, "Floor": math.floor, "Ceil": math.ceil}
"""Operators that round, with what they do; compared on points of their own."""


def operators_drawn() -> set[str]:
    """The operators in models of `OPERATORS`, with their domains, and those of `TO_INTEGERS`."""
    nodes = [node for operator in OPERATORS for node in load_from_string(drawn(operator, 0)).graph.node]
    return {f"{node.domain}.{node.op_type}".removeprefix(".") for node in nodes} | set(TO_INTEGERS)
