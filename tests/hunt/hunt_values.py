"""The hunt's other interpreter: a model at one point, in balls, in rationals that round, or as one run in float32.

For networks of which no exact extreme is known (smooth functions, roundings, runs).  What a point shows is certain all
the same: no `unsat`, no bound and no eps may exclude it.  Nothing of eqverify is used.  Values are flat lists.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import flint
import numpy as np
import onnx
from flint import arb, fmpq

from .hunt_oracle import LeftOutError, fraction, rational

BITS = 200


class Balls:
    """Over the reals: each value lies in its ball."""

    def stored(self, value: Any) -> arb:
        return arb(rational(value))

    def dot(self, row: Sequence[Any], values: Sequence[Any], start: Any) -> Any:
        total = start
        for w, x in zip(row, values, strict=True):
            total = total + w * x
        return total

    def add(self, a: Any, b: Any) -> Any:
        return a + b

    def multiply(self, a: Any, b: Any) -> Any:
        return a * b

    def relu(self, z: arb) -> arb:
        return z.max(arb(0))

    def function(self, name: str, z: arb) -> arb:
        return SMOOTH[name](z)

    def softmax(self, x: Sequence[arb]) -> list[arb]:
        return [1 / sum((b - a).exp() for b in x) for a in x]


SMOOTH: dict[str, Callable[[arb], arb]] = {
    "Sigmoid": lambda z: 1 / (1 + (-z).exp()),
    "Tanh": arb.tanh,
    "Exp": arb.exp,
    "Log": arb.log,
    "Sqrt": arb.sqrt,
    "Reciprocal": lambda z: 1 / z,
    "Erf": arb.erf,
    "Sin": arb.sin,
    "Cos": arb.cos,
    "Softplus": lambda z: (1 + z.exp()).log(),
}


class Rationals(Balls):
    """Exact; integers are rounded to, ties to the even one.  There are no smooth functions."""

    def stored(self, value: Any) -> fmpq:
        return rational(value)

    def relu(self, z: fmpq) -> fmpq:
        return max(z, fmpq(0))

    def function(self, name: str, z: Any) -> Any:
        raise LeftOutError(name)

    def softmax(self, x: Any) -> Any:
        raise LeftOutError("Softmax")

    def quantised(self, z: fmpq, scale: fmpq, zero: int, low: int, high: int) -> fmpq:
        return fmpq(min(max(round(fraction(z / scale)) + zero, low), high))


class Run(Balls):
    """float32, each sum in an order of its own."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng

    def stored(self, value: Any) -> np.float32:
        return np.float32(float(value))

    def dot(self, row: Sequence[Any], values: Sequence[Any], start: Any) -> Any:
        parts = [w * x for w, x in zip(row, values, strict=True)] + [start]
        while len(parts) > 1:
            a = parts.pop(self.rng.randrange(len(parts)))
            place = self.rng.randrange(len(parts))
            parts[place] = parts[place] + a
        return parts[0]

    def relu(self, z: np.float32) -> np.float32:
        return max(z, np.float32(0))

    def function(self, name: str, z: Any) -> Any:
        raise LeftOutError(name)


class Evaluation:
    """One model, at any number of points.

    Raises:
        LeftOutError: an operator that is not known here.
    """

    def __init__(self, path: Path) -> None:
        self.graph = onnx.load(path).graph
        self.arrays = {t.name: onnx.numpy_helper.to_array(t) for t in self.graph.initializer}
        self.source = next(port.name for port in self.graph.input if port.name not in self.arrays)
        self.relus: dict[str, list[Any]] = {}

    def at(self, point: Sequence[Any], numbers: Any) -> list[Any]:
        """The outputs; what goes into each ReLU is left in `relus`, by the name of its output."""
        self.relus = {}
        values = {self.source: [numbers.stored(x) for x in point]}
        with flint.ctx.workprec(BITS), np.errstate(all="ignore"):
            for node in self.graph.node:
                values[node.output[0]] = self.step(node, values, numbers)
        return values[self.graph.output[0].name]

    def step(self, node: Any, values: dict[str, list[Any]], numbers: Any) -> list[Any]:
        kind = node.op_type
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if kind == "Constant":
            self.arrays[node.output[0]] = onnx.numpy_helper.to_array(attributes["value"])
            return []
        if kind in ("Gemm", "MatMul"):
            return self.affine(node, attributes, values, numbers)
        if kind in ("Identity", "Flatten", "Reshape"):
            return values[node.input[0]]
        if kind == "Concat":
            return [v for name in node.input for v in self.vector(name, values, numbers)]
        if kind in ("QuantizeLinear", "DequantizeLinear"):
            return self.quantised(node, values, numbers)
        if kind in ("Add", "Sub", "Mul", "Pow"):
            return self.pairs(kind, node, values, numbers)
        x = values[node.input[0]]
        if kind == "Softmax":
            return numbers.softmax(x)
        if kind == "Relu":
            self.relus[node.output[0]] = x
            return [numbers.relu(z) for z in x]
        if kind not in SMOOTH:
            raise LeftOutError(kind)
        return [numbers.function(kind, z) for z in x]

    def vector(self, name: str, values: dict[str, list[Any]], numbers: Any) -> list[Any]:
        if name in values:
            return values[name]
        return [numbers.stored(v) for v in self.arrays[name].ravel().tolist()]

    def affine(self, node: Any, attributes: dict[str, Any], values: Any, numbers: Any) -> list[Any]:
        if attributes.get("alpha", 1.0) != 1 or attributes.get("beta", 1.0) != 1 or attributes.get("transA", 0):
            raise LeftOutError("Gemm with factors")
        matrix = self.matrix(node.input[1], values)
        columns = matrix if attributes.get("transB", 0) else matrix.T
        starts = [0.0] * len(columns)
        if len(node.input) > 2:
            starts = self.arrays[node.input[2]].ravel().tolist()
            starts = starts * len(columns) if len(starts) == 1 else starts
        rows = [[numbers.stored(w) for w in row] for row in columns.tolist()]
        x = values[node.input[0]]
        return [numbers.dot(row, x, numbers.stored(s)) for row, s in zip(rows, starts, strict=True)]

    def matrix(self, name: str, values: Any) -> np.ndarray:
        """Stored weights; those that are dequantised are rationals of the file."""
        if name in self.arrays:
            return self.arrays[name]
        raise LeftOutError("computed weights")

    def pairs(self, kind: str, node: Any, values: Any, numbers: Any) -> list[Any]:
        a, b = (self.vector(name, values, numbers) for name in node.input)
        size = max(len(a), len(b))
        a, b = (v * size if len(v) == 1 else v for v in (a, b))
        if kind == "Add":
            return [numbers.add(x, y) for x, y in zip(a, b, strict=True)]
        if kind == "Sub":
            return [numbers.add(x, -y) for x, y in zip(a, b, strict=True)]
        if kind == "Mul":
            return [numbers.multiply(x, y) for x, y in zip(a, b, strict=True)]
        (power,) = self.arrays[node.input[1]].ravel().tolist()
        return [x ** int(power) for x in a]

    def quantised(self, node: Any, values: Any, numbers: Any) -> list[Any]:
        scale, zero = (self.arrays[name] for name in node.input[1:3])
        if scale.size > 1:
            raise LeftOutError("a scale for each channel")
        x, s, z = self.vector(node.input[0], values, numbers), rational(float(scale)), int(zero)
        if node.op_type == "DequantizeLinear":
            return [(q - z) * s for q in x]
        ends = np.iinfo(zero.dtype)
        return [numbers.quantised(v, s, z, ends.min, ends.max) for v in x]


def float32_points(points: Sequence[Sequence[Fraction]], low: Sequence[Fraction], high: Sequence[Fraction]) -> list:
    """The nearest float32 numbers that lie in the box."""
    found = []
    for point in points:
        near = [Fraction(struct.unpack("<f", struct.pack("<f", float(x)))[0]) for x in point]
        if all(a <= x <= b for a, x, b in zip(low, near, high, strict=True)):
            found.append(near)
    return found
