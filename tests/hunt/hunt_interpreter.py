"""An ONNX interpreter in rationals, for the operators that the hunt writes and that reduced files hold.

Every component of every tensor is an affine form over inputs and units: a model becomes a `Function` of the oracle.
Nothing of eqverify is used, and numpy moves objects around but computes nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from .hunt_oracle import ONE, ZERO, Form, Function, LeftOutError, Unit, rational, variable


def read_function(path: Path) -> tuple[Function, dict[str, list[Form]]]:
    """The function of a model, and for each ReLU node's output name the forms of its pre-activations."""
    return Reader(onnx.load(path)).read()


class Reader:
    def __init__(self, model: Any) -> None:
        self.graph = model.graph
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        self.values: dict[str, np.ndarray] = {}
        self.units: list[Unit] = []
        self.relus: dict[str, list[Form]] = {}
        self.inputs = 0

    def read(self) -> tuple[Function, dict[str, list[Form]]]:
        for tensor in self.graph.initializer:
            self.values[tensor.name] = constant(tensor)
        ports = [port for port in self.graph.input if port.name not in self.values]
        sizes = [[d.dim_value if d.HasField("dim_value") else 1 for d in p.type.tensor_type.shape.dim] for p in ports]
        self.inputs = sum(int(np.prod(shape)) for shape in sizes)
        start = 0
        for port, shape in zip(ports, sizes, strict=True):
            count = int(np.prod(shape))
            self.values[port.name] = objects([variable(start + k) for k in range(count)], shape)
            start += count
        for node in self.graph.node:
            self.step(node)
        outputs = [form for port in self.graph.output for form in self.values[port.name].ravel().tolist()]
        return Function(self.inputs, tuple(self.units), tuple(as_form(o) for o in outputs)), self.relus

    def step(self, node: Any) -> None:
        operator = OPERATORS.get(node.op_type)
        if operator is None or node.domain not in ("", "ai.onnx"):
            raise LeftOutError(node.op_type)
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        arguments = [self.values[name] if name else None for name in node.input]
        self.values[node.output[0]] = operator(self, node, attributes, *arguments)

    def unit(self, z: Form, up: Any = ONE, down: Any = ZERO, name: str = "") -> Form:
        """The value of a new unit; a constant needs none."""
        if not z.terms:
            return z.scaled(up if z.constant >= 0 else down)
        self.units.append(Unit(z, up, down, name))
        return variable(self.inputs + len(self.units) - 1)

    def maximum(self, a: Form, b: Form) -> Form:
        return b + self.unit(a - b)

    def minimum(self, a: Form, b: Form) -> Form:
        return b - self.unit(b - a)


def constant(tensor: Any) -> np.ndarray:
    array = onnx.numpy_helper.to_array(tensor)
    if array.dtype.kind == "f":
        values = [number(value) for value in array.astype(np.float64).ravel().tolist()]
    else:
        values = array.ravel().tolist()
    return objects(values, array.shape)


def number(value: float) -> Any:
    """A rational as a form; infinities stay floats, for Clip."""
    if value != value:
        raise LeftOutError("NaN")
    return value if value in (float("inf"), float("-inf")) else Form({}, rational(value))


def objects(values: list[Any], shape: Any) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def as_form(value: Any) -> Form:
    if not isinstance(value, Form):
        raise LeftOutError("a number that is not finite")
    return value


def mapped(function: Callable[..., Form], *tensors: np.ndarray) -> np.ndarray:
    """A function on components, with numpy's broadcasting."""
    shaped = np.broadcast_arrays(*tensors)
    found = [function(*parts) for parts in zip(*(t.ravel().tolist() for t in shaped), strict=True)]
    return objects(found, shaped[0].shape)


def times(a: Form, b: Form) -> Form:
    if a.terms and b.terms:
        raise LeftOutError("a product of computed values")
    return a.scaled(b.constant) if not b.terms else b.scaled(a.constant)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of matrices, or a vector and a matrix."""
    if a.ndim > 2 or b.ndim > 2:
        raise LeftOutError("a product of stacks")
    rows, columns = a.reshape(-1, a.shape[-1]), b.reshape(b.shape[0], -1)
    found = []
    for i, j in product(range(rows.shape[0]), range(columns.shape[1])):
        total = Form()
        for p, q in zip(rows[i].tolist(), columns[:, j].tolist(), strict=True):
            total += times(p, q)
        found.append(total)
    return objects(found, (*a.shape[:-1], *b.shape[1:]))


def gemm(reader: Reader, node: Any, attributes: dict[str, Any], a: Any, b: Any, c: Any = None) -> np.ndarray:
    a = a.T if attributes.get("transA", 0) else a
    b = b.T if attributes.get("transB", 0) else b
    alpha, beta = (rational(attributes.get(name, 1.0)) for name in ("alpha", "beta"))
    found = mapped(lambda v: v.scaled(alpha), matmul(a, b))
    return found if c is None else mapped(lambda v, w: v + w.scaled(beta), found, c)


def relu(reader: Reader, node: Any, attributes: dict[str, Any], x: Any) -> np.ndarray:
    reader.relus[node.output[0]] = x.ravel().tolist()
    return mapped(lambda z: reader.unit(z, name=node.output[0]), x)


def clip(reader: Reader, node: Any, attributes: dict[str, Any], x: Any, low: Any = None, high: Any = None) -> Any:
    """min(high, max(x, low)), also where low is above high."""
    if reader.opset < 11:
        ends = [attributes.get("min", float("-inf")), attributes.get("max", float("inf"))]
        low, high = (objects([number(float(end))], ()) for end in ends)
    low, high = (None if end is None else end.item() for end in (low, high))
    if low == float("inf") or high == float("-inf"):
        raise LeftOutError("a Clip to an infinity")
    if isinstance(low, Form):
        x = mapped(lambda v: reader.maximum(v, low), x)
    return mapped(lambda v: reader.minimum(v, high), x) if isinstance(high, Form) else x


def folded(name: str) -> Callable[..., np.ndarray]:
    """Max, Min, Sum: operators of any number of arguments."""

    def operator(reader: Reader, node: Any, attributes: dict[str, Any], *tensors: Any) -> np.ndarray:
        step = {"Max": reader.maximum, "Min": reader.minimum, "Sum": Form.__add__}[name]
        found = tensors[0]
        for tensor in tensors[1:]:
            found = mapped(step, found, tensor)
        return found

    return operator


def windows(shape: tuple[int, ...], kernel: Any, attributes: dict[str, Any]) -> tuple[list[int], Any]:
    """Extents of the result, and for each of its positions the (kernel position, input position) pairs inside."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID") or attributes.get("ceil_mode", 0):
        raise LeftOutError("padding by name")
    count = len(kernel)
    strides = attributes.get("strides", [1] * count)
    dilations = attributes.get("dilations", [1] * count)
    pads = attributes.get("pads", [0] * 2 * count)
    extents = [
        (shape[k] + pads[k] + pads[count + k] - dilations[k] * (kernel[k] - 1) - 1) // strides[k] + 1
        for k in range(count)
    ]

    def inside(position: tuple[int, ...]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        pairs = []
        for offset in product(*map(range, kernel)):
            where = tuple(position[k] * strides[k] + offset[k] * dilations[k] - pads[k] for k in range(count))
            if all(0 <= w < extent for w, extent in zip(where, shape, strict=True)):
                pairs.append((offset, where))
        return pairs

    return extents, inside


def maxpool(reader: Reader, node: Any, attributes: dict[str, Any], x: Any) -> np.ndarray:
    extents, inside = windows(x.shape[2:], attributes["kernel_shape"], attributes)
    found = []
    for batch, channel in product(range(x.shape[0]), range(x.shape[1])):
        for position in product(*map(range, extents)):
            values = [x[(batch, channel, *where)] for _, where in inside(position)]
            total = values[0]
            for value in values[1:]:
                total = reader.maximum(total, value)
            found.append(total)
    return objects(found, (*x.shape[:2], *extents))


def conv(reader: Reader, node: Any, attributes: dict[str, Any], x: Any, w: Any, b: Any = None) -> np.ndarray:
    if attributes.get("group", 1) != 1:
        raise LeftOutError("groups")
    extents, inside = windows(x.shape[2:], w.shape[2:], attributes)
    found = []
    for batch, channel in product(range(x.shape[0]), range(w.shape[0])):
        for position in product(*map(range, extents)):
            total = Form() if b is None else b[channel]
            for offset, where in inside(position):
                for source in range(x.shape[1]):
                    total += times(x[(batch, source, *where)], w[(channel, source, *offset)])
            found.append(total)
    return objects(found, (x.shape[0], w.shape[0], *extents))


def reshape(reader: Reader, node: Any, attributes: dict[str, Any], x: Any, shape: Any) -> np.ndarray:
    wanted = [x.shape[k] if extent == 0 else extent for k, extent in enumerate(shape.ravel().tolist())]
    return x.reshape(wanted)


def flatten(reader: Reader, node: Any, attributes: dict[str, Any], x: Any) -> np.ndarray:
    axis = attributes.get("axis", 1) % (x.ndim + 1) if x.ndim else 0
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def slopes(name: str) -> Callable[..., np.ndarray]:
    def operator(reader: Reader, node: Any, attributes: dict[str, Any], x: Any) -> np.ndarray:
        default = struct.unpack("<f", struct.pack("<f", 0.01))[0]
        down = -ONE if name == "Abs" else rational(attributes.get("alpha", default))
        return mapped(lambda z: reader.unit(z, ONE, down), x)

    return operator


def quotient(a: Form, b: Form) -> Form:
    if b.terms or b.constant == 0:
        raise LeftOutError("a quotient")
    return a.scaled(ONE / b.constant)


OPERATORS: dict[str, Callable[..., np.ndarray]] = {
    "Gemm": gemm,
    "MatMul": lambda r, n, at, a, b: matmul(a, b),
    "Add": lambda r, n, at, a, b: mapped(Form.__add__, a, b),
    "Sub": lambda r, n, at, a, b: mapped(Form.__sub__, a, b),
    "Mul": lambda r, n, at, a, b: mapped(times, a, b),
    "Div": lambda r, n, at, a, b: mapped(quotient, a, b),
    "Neg": lambda r, n, at, a: mapped(lambda v: v.scaled(-ONE), a),
    "Relu": relu,
    "Clip": clip,
    "Abs": slopes("Abs"),
    "LeakyRelu": slopes("LeakyRelu"),
    "Max": folded("Max"),
    "Min": folded("Min"),
    "Sum": folded("Sum"),
    "MaxPool": maxpool,
    "Conv": conv,
    "Identity": lambda r, n, at, a: a,
    "Flatten": flatten,
    "Reshape": reshape,
    "Concat": lambda r, n, at, *a: np.concatenate(a, axis=at["axis"]),
    "Gather": lambda r, n, at, a, i: np.take(a, i.astype(np.int64), axis=at.get("axis", 0)),
    "Transpose": lambda r, n, at, a: a.transpose(at.get("perm")),
    "Constant": lambda r, n, at: constant(at["value"]),
}
