"""What nodes of stored floats compute, in rational arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from eqverify.arrays import ExactArray, FloatArray
from eqverify.frontend.onnx.exact import nearest_root

Arrays = Mapping[str, npt.NDArray[Any]]

_BROADCAST = ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "Mean")
_MOST_STEPS = 1 << 21
"""Rational operations of one node: some seconds."""


Step = Callable[[list[ExactArray], Mapping[str, Any]], ExactArray]


def _axes(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> tuple[int, ...] | None:
    given = [int(axis) for axis in arrays[1].reshape(-1)] if len(arrays) > 1 else attributes.get("axes", [])
    if not len(given):
        return () if attributes.get("noop_with_empty_axes", 0) else None
    return tuple(given)


def _summed(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    axes = _axes(arrays, attributes)
    return np.asarray(np.sum(arrays[0], axis=axes, keepdims=attributes.get("keepdims", 1) != 0), dtype=object)


def _mean(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    total = _summed(arrays, attributes)
    return np.asarray(total / Fraction(arrays[0].size, max(total.size, 1)), dtype=object)


def _product(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    axes = _axes(arrays, attributes)
    return np.asarray(np.prod(arrays[0], axis=axes, keepdims=attributes.get("keepdims", 1) != 0), dtype=object)


def _gemm(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    first, second = (a.T if attributes.get(f"trans{k}", 0) else a for a, k in zip(arrays, "AB", strict=False))
    result = np.matmul(first, second) * Fraction(attributes.get("alpha", 1.0))
    beta = Fraction(attributes.get("beta", 1.0))
    return np.asarray(result + arrays[2] * beta if len(arrays) > 2 and beta else result, dtype=object)


def _with(function: Callable[[ExactArray], ExactArray]) -> Step:
    """A sum of what a function makes of the numbers."""
    return lambda arrays, attributes: _summed([function(arrays[0]), *arrays[1:]], attributes)


def _of_many(arrays: list[ExactArray], _: Mapping[str, Any]) -> ExactArray:
    return np.asarray(sum(arrays[1:], arrays[0]), dtype=object)


def _cumulated(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    axis = int(arrays[1].reshape(-1)[0])
    x = np.flip(arrays[0], axis) if attributes.get("reverse", 0) else arrays[0]
    total = np.cumsum(x, axis=axis, dtype=object) - (x if attributes.get("exclusive", 0) else Fraction(0))
    return np.asarray(np.flip(total, axis) if attributes.get("reverse", 0) else total, dtype=object)


def _dequantized(arrays: list[ExactArray], attributes: Mapping[str, Any]) -> ExactArray:
    x, rank = arrays[0], arrays[0].ndim
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)

    def spread(values: ExactArray) -> ExactArray:
        if values.size == 1 and not block:
            return values.reshape(())
        if not block:
            return values.reshape([-1 if k == axis % rank else 1 for k in range(rank)])
        return np.repeat(values, block, axis=axis).take(range(x.shape[axis]), axis=axis)

    centred = x - spread(arrays[2]) if len(arrays) > 2 else x
    return np.asarray(centred * spread(arrays[1]))


_EXACTLY: dict[str, Step] = {
    "Add": lambda a, _: np.asarray(a[0] + a[1], dtype=object),
    "Sub": lambda a, _: np.asarray(a[0] - a[1], dtype=object),
    "Mul": lambda a, _: np.asarray(a[0] * a[1], dtype=object),
    "Div": lambda a, _: np.asarray(a[0] / a[1], dtype=object),
    "Reciprocal": lambda a, _: np.asarray(Fraction(1) / a[0], dtype=object),
    "MatMul": lambda a, _: np.asarray(np.matmul(a[0], a[1]), dtype=object),
    "Gemm": _gemm,
    "ReduceSum": _summed,
    "ReduceMean": _mean,
    "ReduceProd": _product,
    "ReduceL1": _with(np.abs),
    "ReduceSumSquare": _with(np.square),
    "Sum": _of_many,
    "Mean": lambda a, _: np.asarray(_of_many(a, _) / Fraction(len(a)), dtype=object),
    "CumSum": _cumulated,
    "Einsum": lambda a, given: np.asarray(np.einsum(given["equation"].decode(), *a), dtype=object),
    "DequantizeLinear": _dequantized,
}

COMPUTED = frozenset({*_EXACTLY, "Sqrt", "Exp", "Log", "Pow", "Mod", "Range", "ReduceL2"})
"""Operators whose results on floats need not be floats."""


def rational(node: onnx.NodeProto, arrays: Arrays, results: list[Any]) -> tuple[list[Any], bool]:
    """The results of a node, as near as float64 comes.

    Args:
        node: of a type in `COMPUTED`.
        arrays: its inputs by name, floats as float64.
        results: what float64 arithmetic makes of them.

    Returns:
        The results, and whether they are exact.  Numbers that are infinite, or too many, stay as they are.
    """
    (given,) = results
    result = np.asarray(given)
    inputs = [arrays[name] for name in node.input if name]
    if not all(np.isfinite(array).all() for array in (*inputs, result)):
        return [result], False
    if node.op_type in ("Add", "Sub") and _sum_is_exact(inputs[0], inputs[1] * (1 if node.op_type == "Add" else -1)):
        return [result], True
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    if node.op_type == "DequantizeLinear":  # a difference is a float64, and so is 17 bits of one times 24 of a scale
        result = _dequantized([array.astype(np.float64) for array in inputs], attributes)
        if inputs[0].dtype.itemsize <= 2 and _single(inputs[1]):
            return [result], True
    if _steps(node, inputs) > _MOST_STEPS:
        return [result], False
    if node.op_type in _EXACTLY:
        try:
            exact = _EXACTLY[node.op_type]([_fractions(array) for array in inputs], attributes)
        except ZeroDivisionError:
            return [result], False
        return _nearest(exact, result)
    return _irrational(node, inputs, result, attributes)


def _fractions(array: npt.NDArray[Any]) -> ExactArray:
    made = np.empty(array.shape, dtype=object)
    made.reshape(-1)[:] = [Fraction(number) for number in array.reshape(-1).tolist()]
    return made


def _nearest(exact: ExactArray, result: npt.NDArray[Any]) -> tuple[list[Any], bool]:
    numbers = exact.reshape(-1).tolist()
    try:
        floats = [float(number) for number in numbers]
    except OverflowError:
        return [result], False
    same = all(Fraction(value) == number for value, number in zip(floats, numbers, strict=True))
    return [np.array(floats, dtype=np.float64).reshape(result.shape)], same


def _irrational(
    node: onnx.NodeProto, inputs: list[npt.NDArray[Any]], result: npt.NDArray[Any], attributes: Mapping[str, Any]
) -> tuple[list[Any], bool]:
    """Roots to the nearest float64; others as they are: exact where that can be seen."""
    exact = _fractions(inputs[0])
    if node.op_type == "ReduceL2":
        exact = _summed([np.square(exact), *inputs[1:]], attributes)
    numbers = exact.reshape(-1).tolist()
    if node.op_type in ("Sqrt", "ReduceL2"):
        roots = [nearest_root(number) if number else 0.0 for number in numbers]
        same = all(Fraction(root) ** 2 == number for root, number in zip(roots, numbers, strict=True))
        return [np.array(roots).reshape(result.shape)], same
    if node.op_type in ("Exp", "Log"):
        neutral = 0 if node.op_type == "Exp" else 1
        return [result], all(number == neutral for number in numbers)
    if node.op_type == "Pow" and np.isin(inputs[1], (0.0, 1.0, 2.0, 3.0)).all():
        bases, powers = (np.broadcast_to(array, result.shape).reshape(-1).tolist() for array in inputs)
        powered = [Fraction(base) ** int(power) for base, power in zip(bases, powers, strict=True)]
        return _nearest(np.array([*powered, None], dtype=object)[:-1], result)
    if node.op_type == "Range":
        start, _, delta = (Fraction(float(array.reshape(-1)[0])) for array in inputs)
        steps = [start + delta * k for k in range(result.size)]
        return _nearest(np.array([*steps, None], dtype=object)[:-1], result)
    return [result], False


def _single(numbers: npt.NDArray[Any]) -> bool:
    """Whether float32 holds them all."""
    with np.errstate(over="ignore"):
        return bool((numbers.astype(np.float32) == numbers).all())


def _sum_is_exact(first: FloatArray, second: FloatArray) -> bool:
    """Whether float64 adds without error, by Knuth's two-sum."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = first + second
        part = total - first
        error = (first - (total - part)) + (second - part)
    return bool((error == 0).all())


def _steps(node: onnx.NodeProto, inputs: list[npt.NDArray[Any]]) -> int:
    """How many rational operations a node takes, about."""
    if node.op_type in ("MatMul", "Gemm"):
        return math.prod(max(array.size, 1) for array in inputs[:2]) // max(min(inputs[0].shape[-1:], default=1), 1)
    if node.op_type == "Einsum":
        return math.prod(max(array.size, 1) for array in inputs)
    shapes = [array.shape for array in inputs] if node.op_type in _BROADCAST else []
    return math.prod(np.broadcast_shapes(*shapes)) if shapes else max(array.size for array in inputs)
