"""An interpreter of ONNX graphs in rational arithmetic, written from the ONNX specification alone.

It shares nothing with eqverify: the oracle of the exactness tests.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]
Attributes = dict[str, Any]


def rational(array: Array) -> Array:
    """Float arrays as arrays of Fractions; integer arrays unchanged."""
    if array.dtype.kind != "f":
        return array
    result = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        result[index] = Fraction(float(array[index]))
    return result


def run(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    """All tensors of the graph by name, at inputs given as arrays of Fractions."""
    values: dict[str, Array] = {t.name: rational(numpy_helper.to_array(t)) for t in model.graph.initializer}
    values.update(inputs)
    for node in model.graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        args = [values[name] if name else None for name in node.input]
        results = OPERATORS[node.op_type](attributes, args)
        results = results if isinstance(results, list) else [results]
        values.update({name: np.asarray(r) for name, r in zip(node.output, results, strict=False) if name})
    return values


def _gemm(attributes: Attributes, args: Sequence[Array]) -> Array:
    a = args[0].T if attributes.get("transA", 0) else args[0]
    b = args[1].T if attributes.get("transB", 0) else args[1]
    product = Fraction(attributes.get("alpha", 1.0)) * np.matmul(a, b)
    if len(args) > 2 and args[2] is not None:
        product = product + Fraction(attributes.get("beta", 1.0)) * args[2]
    return product


def _reshape(attributes: Attributes, args: Sequence[Array]) -> Array:
    wanted = [int(extent) for extent in args[1]]
    if not attributes.get("allowzero", 0):
        wanted = [args[0].shape[i] if extent == 0 else extent for i, extent in enumerate(wanted)]
    return args[0].reshape(wanted)


def _flatten(attributes: Attributes, args: Sequence[Array]) -> Array:
    axis = attributes.get("axis", 1)
    axis = axis + args[0].ndim if axis < 0 else axis
    return args[0].reshape(math.prod(args[0].shape[:axis]), math.prod(args[0].shape[axis:]))


def _axes(attributes: Attributes, args: Sequence[Array]) -> tuple[int, ...] | None:
    if "axes" in attributes:
        return tuple(attributes["axes"])
    return tuple(int(axis) for axis in args[1]) if len(args) > 1 else None


def _constant(attributes: Attributes, args: Sequence[Array]) -> Array:
    ((key, value),) = attributes.items()
    if key == "value":
        return rational(numpy_helper.to_array(value))
    return rational(np.asarray(value, dtype=np.float32 if "float" in key else np.int64))


def _sum(attributes: Attributes, args: Sequence[Array]) -> Array:
    total = args[0]
    for term in args[1:]:
        total = total + term
    return total


def _shape(attributes: Attributes, args: Sequence[Array]) -> Array:
    return np.array(args[0].shape[attributes.get("start", 0) : attributes.get("end")], dtype=np.int64)


def _concat(attributes: Attributes, args: Sequence[Array]) -> Array:
    return np.concatenate(args, axis=attributes["axis"])


def relu(array: Array) -> Array:
    return np.maximum(array, Fraction(0))


OPERATORS: dict[str, Callable[[Attributes, Sequence[Array]], Any]] = {
    "Add": lambda _, args: args[0] + args[1],
    "Sub": lambda _, args: args[0] - args[1],
    "Mul": lambda _, args: args[0] * args[1],
    "Div": lambda _, args: args[0] / args[1],
    "Neg": lambda _, args: -args[0],
    "Relu": lambda _, args: relu(args[0]),
    "Sum": _sum,
    "MatMul": lambda _, args: np.matmul(args[0], args[1]),
    "Gemm": _gemm,
    "Identity": lambda _, args: args[0],
    "Dropout": lambda _, args: args[0],
    "Cast": lambda _, args: args[0],
    "Constant": _constant,
    "Shape": _shape,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": lambda attributes, args: np.squeeze(args[0], _axes(attributes, args)),
    "Unsqueeze": lambda attributes, args: np.expand_dims(args[0], _axes(attributes, args) or ()),
    "Transpose": lambda attributes, args: np.transpose(args[0], attributes.get("perm")),
    "Expand": lambda _, args: args[0] + np.full([int(extent) for extent in args[1]], Fraction(0), dtype=object),
    "Concat": _concat,
    "Gather": lambda attributes, args: np.take(args[0], args[1], axis=attributes.get("axis", 0)),
}


def positions(extents: Sequence[int]) -> Any:
    """All index tuples below `extents`."""
    return itertools.product(*(range(extent) for extent in extents))
