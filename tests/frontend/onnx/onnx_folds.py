"""Models whose output adds to their input what one node makes of stored numbers: what the reader folds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

from .onnx_case import Case


def _numbers(c: Case, kind: str) -> Callable[[tuple[int, ...]], np.ndarray]:
    def make(shape: tuple[int, ...]) -> np.ndarray:
        if kind == "float":
            special = c.rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 3.5, 1e8], size=shape)
            return np.where(c.rng.random(shape) < 0.4, special, c.rng.normal(size=shape) * 3).astype(c.dtype)
        if kind == "bool":
            return np.asarray(c.rng.random(shape) < 0.5)
        return np.asarray(c.rng.integers(-7, 8, size=shape), dtype=np.int64)

    return make


def _kind(c: Case) -> str:
    return str(c.pick("float", "float", "int"))


def _unary(c: Case) -> tuple[list[Any], dict[str, Any]]:
    return [_numbers(c, "bool" if c.operator == "Not" else _kind(c))(c.shape(0, 3))], {}


def _positive(c: Case) -> tuple[list[Any], dict[str, Any]]:
    return [np.abs(_numbers(c, "float")(c.shape(0, 3))) + c.dtype(c.pick(0, 0.25))], {}


def _binary(c: Case) -> tuple[list[Any], dict[str, Any]]:
    make, shape = _numbers(c, "bool" if c.operator in ("And", "Or", "Xor") else _kind(c)), c.shape(0, 3)
    other = tuple(1 if c.chance(0.4) else n for n in shape)[c.pick(0, 0, 1) :]
    pair = [make(shape), make(other)]
    attributes = {}
    if c.operator == "Pow":
        pair[1] = np.abs(pair[1]) if pair[1].dtype.kind == "i" else c.rng.choice([0.0, 1.0, 2.0, 3.0, 0.5], other)
        pair[1] = np.asarray(pair[1], dtype=pair[0].dtype)
    if c.operator == "Mod":
        attributes = {"fmod": 1} if pair[0].dtype.kind == "f" or c.chance(0.5) else {}
    return pair if c.chance(0.6) else pair[::-1], attributes


def _reduce(c: Case) -> tuple[list[Any], dict[str, Any]]:
    shape = c.shape(0, 3)
    axes, inputs, attributes = c.axes(len(shape)), [_numbers(c, _kind(c))(shape)], {}
    first = 13 if c.operator == "ReduceSum" else 18
    if c.opset >= first and c.chance(0.7):
        inputs.append(np.array(axes, dtype=np.int64))
    elif c.opset < first and axes:
        attributes["axes"] = axes
    if c.chance(0.5):
        attributes["keepdims"] = c.pick(0, 1)
    if c.opset >= first and c.chance(0.5):
        attributes["noop_with_empty_axes"] = c.pick(0, 1)
    return inputs, attributes


def _matmul(c: Case) -> tuple[list[Any], dict[str, Any]]:
    make, k = _numbers(c, _kind(c)), c.pick(1, 2, 3)
    return [make(c.pick((k,), (2, k), (2, 1, k))), make(c.pick((k,), (k, 2), (2, k, 1)))], {}


def _gemm(c: Case) -> tuple[list[Any], dict[str, Any]]:
    make, flags = _numbers(c, "float"), {key: c.pick(0, 1) for key in ("transA", "transB")}
    first, second = make((3, 2) if flags["transA"] else (2, 3)), make((2, 3) if flags["transB"] else (3, 2))
    return [first, second, make(c.pick((2, 2), (1, 2), (2,), ()))], {
        **flags,
        "alpha": c.pick(1.0, 0.3),
        "beta": c.pick(1.0, 0.0, 0.7),
    }


def _moved(c: Case) -> tuple[list[Any], dict[str, Any]]:
    x, n = _numbers(c, _kind(c))((2, 1, 3)), np.int64
    axes = {"axes": [1]} if c.opset < 13 else {}
    sliced = [np.array([c.pick(0, 1, -1)], n), np.array([c.pick(3, 9, -1)], n), np.array([2], n)]
    forms: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "Reshape": ([x, np.array(c.pick([3, 2], [0, -1], [-1]), n)], {}),
        "Flatten": ([x], {"axis": c.pick(0, 1, 2)}),
        "Squeeze": ([x] if axes else [x, np.array([c.pick(1, -2)], n)], axes),
        "Unsqueeze": ([x] if axes else [x, np.array([c.pick(0, -1, 1)], n)], axes),
        "Transpose": ([x], c.pick({}, {"perm": [2, 0, 1]})),
        "Slice": ([x, *sliced], {}) if c.opset >= 10 else ([x], {"starts": [0], "ends": [c.pick(1, 9)], "axes": [2]}),
        "Split": ([x], {"axis": 2}),
        "Gather": ([x, np.array(c.pick([0, 1], [-1], 1), n)], {"axis": c.pick(0, 2)}),
        "Concat": ([x, x], {"axis": c.pick(0, 1, -1)}),
        "Expand": ([x, np.array(c.pick([2, 2, 3], [3], [4, 1, 1, 1]), n)], {}),
        "Tile": ([x, np.array([1, 2, 2], n)], {}),
        "Shape": ([x], {}),
        "Size": ([x], {}),
    }
    return forms[c.operator]


def _where(c: Case) -> tuple[list[Any], dict[str, Any]]:
    make = _numbers(c, _kind(c))
    return [_numbers(c, "bool")((2, 3)), make(c.pick((2, 3), (3,), ())), make(c.pick((2, 3), (2, 1)))], {}


def _filled(c: Case) -> tuple[list[Any], dict[str, Any]]:
    value = np.array([c.pick(1.5, -2.0)], dtype=c.dtype) if c.chance(0.5) else np.array([3], dtype=np.int64)
    return [np.array([2, 3], np.int64)], {"value": numpy_helper.from_array(value)} if c.chance(0.8) else {}


def _range(c: Case) -> tuple[list[Any], dict[str, Any]]:
    step = c.pick(1, 2, -1) if c.chance(0.5) else c.pick(0.5, 0.1, -0.3)
    dtype = np.int64 if isinstance(step, int) else c.dtype
    return [np.array(v, dtype=dtype) for v in (c.pick(0, 1), c.pick(3, 4) if step > 0 else -3, step)], {}


def _indexed(c: Case) -> tuple[list[Any], dict[str, Any]]:
    x, n = _numbers(c, _kind(c))((2, 3)), np.int64
    updates = _numbers(c, "int" if x.dtype.kind == "i" else "float")
    axis = c.pick(0, 1, -1)
    forms: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "GatherElements": ([x, np.array([[c.pick(0, -1), 1]], n)], {"axis": axis}),
        "GatherND": ([x, np.array(c.pick([[0], [-1]], [[0, 1]], [1, -1]), n)], {}),
        "ScatterElements": ([x, np.array([[0, 1]], n), updates((1, 2))], {"axis": axis}),
        "ScatterND": ([x, np.array([[-1]], n), updates((1, 3))], {}),
        "ReverseSequence": ([x, np.array([c.pick(1, 2), 1, 2], n)], {}),
        "Trilu": ([x, *c.pick([], [np.array(c.pick(0, 1, -5), n)])], c.pick({}, {"upper": 0})),
        "NonZero": ([x], {}),
        "EyeLike": ([x], c.pick({}, {"k": 1})),
        "ArgMax": ([x], {"axis": axis, "keepdims": c.pick(0, 1)}),
        "ArgMin": ([x], {"axis": axis, "keepdims": c.pick(0, 1)}),
        "OneHot": ([np.array([0, 2, -1], n), np.array(3, n), np.array([0.5, 2], c.dtype)], {"axis": c.pick(0, -1)}),
        "CumSum": ([x, np.array(c.pick(0, 1, -1), n)], {"exclusive": c.pick(0, 1), "reverse": c.pick(0, 1)}),
        "IsNaN": ([np.array([1, np.nan], c.dtype)], {}),
        "IsInf": ([np.array([1, np.inf, -np.inf], c.dtype)], c.pick({}, {"detect_negative": 0})),
        "CastLike": ([x, np.zeros(1, c.pick(c.dtype, np.int64))], {}),
        "Clip": ([x] if c.opset < 11 else [x, np.array(-1, x.dtype), np.array(c.pick(1, 2), x.dtype)], {}),
        "TopK": ([x, np.array([2], n)], {"axis": axis}),
    }
    return forms[c.operator]


def _dequantized(c: Case) -> tuple[list[Any], dict[str, Any]]:
    c.dtype = np.float32
    dtype = c.pick(np.int8, np.uint8)
    x = c.rng.integers(0, 100, size=(2, 3, 4)).astype(dtype)
    axis = c.pick(0, 1, 2, -1)
    size = () if c.opset < 13 or c.chance(0.3) else (x.shape[axis],)
    attributes = {"axis": axis} if size else {}
    if c.opset >= 21 and c.chance(0.3):
        size, attributes = (2, 3, 2), {"axis": 2, "block_size": 2}
    zero = [c.rng.integers(0, 100, size=size).astype(dtype)] if c.chance(0.6) else []
    return [x, c.rng.random(size).astype(np.float32), *zero], attributes


def _summed(c: Case) -> tuple[list[Any], dict[str, Any]]:
    make = _numbers(c, "float")
    return [make((2, 3)), make(c.pick((3,), (2, 1), ())), make((2, 3))][: c.pick(1, 2, 3)], {}


def _einsum(c: Case) -> tuple[list[Any], dict[str, Any]]:
    def make(shape: tuple[int, ...]) -> np.ndarray:
        return _numbers(c, "int")(shape).astype(c.dtype)

    equation = c.pick("ij,jk->ik", "ij,kj", "...j,jk->k...")
    return [make((2, 3)), make((2, 3) if equation == "ij,kj" else (3, 2))], {"equation": equation}


FOLDS: dict[str, Callable[[Case], tuple[list[Any], dict[str, Any]]]] = {
    **dict.fromkeys(["Abs", "Ceil", "Floor", "Identity", "Neg", "Not", "Reciprocal", "Relu", "Round", "Sign"], _unary),
    **dict.fromkeys(["Sqrt", "Log", "Exp"], _positive),
    **dict.fromkeys(["Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min"], _binary),
    **dict.fromkeys(["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"], _binary),
    **dict.fromkeys(["ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin"], _reduce),
    **dict.fromkeys(["ReduceL1", "ReduceL2", "ReduceSumSquare"], _reduce),
    **dict.fromkeys(["GatherElements", "GatherND", "ScatterElements", "ScatterND", "ReverseSequence"], _indexed),
    **dict.fromkeys(["Trilu", "NonZero", "EyeLike", "ArgMax", "ArgMin", "OneHot", "CumSum"], _indexed),
    **dict.fromkeys(["IsNaN", "IsInf", "CastLike", "Clip", "TopK"], _indexed),
    **dict.fromkeys(["Sum", "Mean"], _summed),
    "DequantizeLinear": _dequantized,
    "Einsum": _einsum,
    **dict.fromkeys(
        [
            "Reshape",
            "Flatten",
            "Squeeze",
            "Unsqueeze",
            "Transpose",
            "Slice",
            "Split",
            "Gather",
            "Concat",
            "Expand",
            "Tile",
            "Shape",
            "Size",
        ],
        _moved,
    ),
    "ConstantOfShape": _filled,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Range": _range,
    "Where": _where,
}
"""By operator that is folded: stored inputs and attributes."""


def folded(operator: str, opset: int, seed: int) -> bytes:
    """A model y = x + cast(sum of what the operator makes of stored numbers, weighted so that each one counts)."""
    rng = np.random.default_rng([seed, opset, *operator.encode()])
    c = Case(rng, operator, opset, np.float64 if rng.random() < 0.3 else np.float32)
    arrays, attributes = FOLDS[operator](c)
    names = [c.constant(array, np.asarray(array).dtype) for array in arrays]
    x, made = c.input((1,)), ["made", "other"][: 2 if operator in ("Split", "TopK") else 1]
    if operator == "Split":
        arrays[0] = arrays[0][:, :, :2]
        c.stored[0] = numpy_helper.from_array(arrays[0], names[0])
        if opset >= 18:
            attributes["num_outputs"] = 2
    c.nodes.append(helper.make_node(operator, names, made, **attributes))
    code = helper.np_dtype_to_tensor_dtype(np.dtype(c.dtype))
    c.nodes.append(helper.make_node("Cast", ["made"], ["cast"], to=code))
    flat = c.constant([-1], np.int64)
    c.nodes.append(helper.make_node("Reshape", ["cast", flat], ["flat"]))
    c.nodes.append(helper.make_node("Add", [x, "flat"], ["y"]))
    return c.finished()
