"""Models of one operator each, drawn from the operator's own schema: whatever attributes an opset gives it are tried.

Nothing here knows what the reader supports, or what is valid: many values are at the edge of their range.  Whether a
model is one is for onnxruntime to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, defs, helper, numpy_helper

from . import onnx_choices, onnx_operators_more
from .onnx_case import EDGES, Case

_INFINITE = [*EDGES, math.inf, -math.inf, math.nan]
_AUTO_PADS = ["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]


# One function per operator: it adds the nodes, and returns how many outputs there are.


def _one(c: Case) -> int:
    c.node([c.input(c.shape())])
    return 1


def _two(c: Case) -> int:
    shape = c.shape()
    pair = [c.input(shape), c.other(shape)]
    c.node(pair if c.chance(0.7) else pair[::-1])
    return 1


def _many(c: Case) -> int:
    shape = c.shape()
    names = [c.input(shape), *(c.other(shape) for _ in range(c.whole(0, 3)))]
    c.node([names[k] for k in c.rng.permutation(len(names))])
    return 1


def _clip(c: Case) -> int:
    x = [c.input(c.shape())]
    if c.opset < 11:
        bound = lambda: c.pick(*_INFINITE, -0.3, 0.7)  # noqa: E731
        c.node(x, {"min": bound, "max": bound})
        return 1
    bounds = [
        "" if c.chance(0.3) else c.constant(np.full(c.pick((), (), (1,)), c.pick(*_INFINITE, -0.3, 0.7)))
        for _ in range(2)
    ]
    c.node([*x, *bounds] if c.chance(0.8) else [*x, bounds[0]])
    return 1


def _prelu(c: Case) -> int:
    shape = c.shape(1)
    c.node([c.input(shape), c.other(shape)])
    return 1


def _gemm(c: Case) -> int:
    m, k, n = (c.pick(1, 2, 3) for _ in range(3))
    first = (m, k) if c.chance(0.5) else (k, m)
    second = (k, n) if c.chance(0.5) else (n, k)
    pair = [c.input(first), c.constant(c.numbers(second))]
    if c.chance(0.3):
        pair = [c.constant(c.numbers(first)), c.input(second)]
    scale = lambda: c.pick(0.0, 1.0, -2.0, 0.1, 1.7, *EDGES)  # noqa: E731
    third = [] if c.chance(0.3) and c.opset >= 11 else [c.other(c.pick((m, n), (1, n), (m, 1), (n,), (), (1,)))]
    flag = lambda: c.pick(0, 1)  # noqa: E731
    c.node([*pair, *third], {"alpha": scale, "beta": scale, "transA": flag, "transB": flag})
    return 1


def _matmul(c: Case) -> int:
    k = c.pick(1, 2, 3)
    left, right = (tuple(c.pick(1, 1, 2) for _ in range(c.whole(0, 2))) for _ in range(2))
    first = c.pick((k,), (*left, c.pick(1, 2), k))
    second = c.pick((k,), (*right, k, c.pick(1, 2)))
    stored = c.chance(0.5)
    c.node(
        [c.input(first), c.constant(c.numbers(second))] if stored else [c.constant(c.numbers(first)), c.input(second)]
    )
    return 1


def _window(c: Case, axes: int) -> dict[str, Callable[[], Any]]:
    def each(*values: int) -> Callable[[], list[int]]:
        return lambda: [c.pick(*values) for _ in range(axes)]

    return {
        "auto_pad": lambda: c.pick(*_AUTO_PADS),
        "kernel_shape": each(1, 2, 2, 3, 3, 4),
        "strides": each(1, 1, 2, 3),
        "dilations": each(1, 1, 2, 3),
        "pads": lambda: [c.pick(0, 0, 1, 2) for _ in range(2 * axes)],
        "ceil_mode": lambda: c.pick(0, 1),
        "count_include_pad": lambda: c.pick(0, 1),
        "storage_order": lambda: c.pick(0, 1),
        "output_padding": each(0, 0, 1),
        "output_shape": each(3, 4, 5, 6, 7),
        "output_sizes": each(3, 4, 5),
        "p": lambda: c.pick(1, 1, 1, 2),
    }


def _pool(c: Case) -> int:
    shape = c.image()
    c.node([c.input(shape)], _window(c, len(shape) - 2))
    return 1


def _whole_pool(c: Case) -> int:
    c.node([c.input(c.image())], {"p": lambda: c.pick(1, 1, 2)})
    return 1


def _conv(c: Case) -> int:
    group = c.pick(1, 1, 2)
    shape = c.image(group * c.pick(1, 2))
    axes, window = len(shape) - 2, tuple(c.pick(1, 2, 3) for _ in range(len(shape) - 2))
    outer = group * c.pick(1, 2)
    inner = shape[1] // group
    kernel = (outer, inner) if c.operator == "Conv" else (shape[1], outer // group)
    inputs = [c.input(shape), c.constant(c.numbers((*kernel, *window)))]
    if c.chance(0.5):
        inputs.append(c.constant(c.numbers((outer,))))
    pools = {**_window(c, axes), "group": lambda: group, "kernel_shape": lambda: list(window)}
    schema = defs.get_schema(c.operator, c.opset, "").attributes
    c.node(inputs, pools)
    if group != 1 and "group" in schema and not any(a.name == "group" for a in c.nodes[-1].attribute):
        c.nodes[-1].attribute.append(helper.make_attribute("group", group))
    return 1


def _batch_norm(c: Case) -> int:
    shape = c.pick((1, 3), (2, 3), (1, 2, 3), (1, 2, 2, 2), (3,))
    channels = shape[1] if len(shape) > 1 else shape[0]
    own = [c.constant(c.numbers((channels,))) for _ in range(3)]
    variance = c.constant(np.abs(c.rng.normal(size=channels)) * c.pick(1.0, 1e-6, 0.0))
    pools = {
        "epsilon": lambda: c.pick(1e-5, 1e-3, 0.0, 1.0),
        "training_mode": lambda: c.pick(0, 0, 1),
        "spatial": lambda: c.pick(1, 1, 0),
    }
    c.node([c.input(shape), *own, variance], pools)
    return 1


def _reduce(c: Case) -> int:
    shape = c.shape()
    axes = c.axes(len(shape))
    inputs = [c.input(shape)]
    if "axes" not in defs.get_schema(c.operator, c.opset, "").attributes and c.chance(0.7):
        inputs.append(c.integers(axes) if axes or c.chance(0.5) else "")
    flag = lambda: c.pick(0, 1)  # noqa: E731
    c.node(
        inputs,
        {"axes": lambda: axes or None, "keepdims": flag, "noop_with_empty_axes": flag, "select_last_index": flag},
    )
    return 1


def _concat(c: Case) -> int:
    shape = c.shape(1)
    axis = c.axis(len(shape))
    names = []
    for k in range(c.whole(1, 3)):
        own = list(shape)
        if c.chance(0.5):
            own[axis % len(shape)] = c.pick(1, 2, 3)
        names.append(c.constant(c.numbers(tuple(own))) if k and c.chance(0.4) else c.input(tuple(own)))
    c.node([names[k] for k in c.rng.permutation(len(names))], {"axis": lambda: axis})
    return 1


def _slice(c: Case) -> int:
    shape = c.shape(1)
    axes = c.axes(len(shape)) or [0]
    ends = [-(2**63), 2**63 - 1, -(2**31), 2**31 - 1, -7, -3, -2, -1, 0, 1, 2, 3, 4, 9]
    starts, stops = ([c.pick(*ends) for _ in axes] for _ in range(2))
    if c.chance(0.6):  # something is left
        starts, stops = [c.pick(0, 0, 1, -9, -1) for _ in axes], [c.pick(9, 2**63 - 1, 3) for _ in axes]
    if c.opset < 10:
        c.node([c.input(shape)], {"axes": lambda: axes, "starts": lambda: starts, "ends": lambda: stops})
        return 1
    steps = [c.pick(1, 1, 2, -1, -2, 9, -9, -(2**63)) for _ in axes]
    if c.chance(0.5):
        turned = [k for k, step in enumerate(steps) if step < 0]
        starts = [c.pick(-1, 9, 2**63 - 1, 1) if k in turned else v for k, v in enumerate(starts)]
        stops = [c.pick(-9, -(2**63), -9, -2) if k in turned else v for k, v in enumerate(stops)]
    optional = [c.constant(axes, np.int64), c.constant(steps, np.int64)]
    inputs = [c.input(shape), c.constant(starts, np.int64), c.constant(stops, np.int64)]
    c.node([*inputs, *c.pick([], optional[:1], optional, ["", optional[1]])])
    return 1


def _split(c: Case) -> int:
    shape = c.shape(1)
    axis = c.axis(len(shape))
    parts = c.whole(1, 3)
    extent = shape[axis % len(shape)]
    lengths = [extent // parts] * (parts - 1)
    lengths.append(extent - sum(lengths))
    inputs = [c.input(shape)]
    if c.opset >= 13 and c.chance(0.5):
        inputs.append(c.constant(lengths, np.int64))
    c.node(inputs, {"axis": lambda: axis, "split": lambda: lengths, "num_outputs": lambda: parts}, parts)
    if c.opset >= 18 and len(inputs) == 1 and c.chance(0.9):
        del c.nodes[-1].attribute[:]
        c.nodes[-1].attribute.extend(helper.make_attribute(k, v) for k, v in (("axis", axis), ("num_outputs", parts)))
    return parts


def _gather(c: Case) -> int:
    shape = c.shape(1)
    axis = c.axis(len(shape))
    extent = shape[axis % len(shape)]
    indices = c.rng.integers(-extent, extent, size=c.shape(0, 2)) if c.chance(0.9) else np.array([extent])
    c.node([c.input(shape), c.constant(indices, c.pick(np.int64, np.int32))], {"axis": lambda: axis})
    return 1


def _pad(c: Case) -> int:
    shape = c.shape(1, 4)
    modes = ["constant", "constant", "reflect", "edge", "wrap"]
    rank = len(shape)
    axes = c.axes(rank) if c.opset >= 18 and c.chance(0.5) else None
    count = rank if axes is None else len(axes)
    pads = [c.pick(0, 0, 1, 2, 3, -1, -2) for _ in range(2 * count)]
    value = c.pick(*_INFINITE, 0.3)
    if c.opset < 11:
        c.node([c.input(shape)], {"mode": lambda: c.pick(*modes[:4]), "pads": lambda: pads, "value": lambda: value})
        return 1
    inputs = [c.input(shape), c.constant(pads, np.int64)]
    if c.chance(0.6) or axes is not None:
        inputs.append(c.constant(value) if c.chance(0.7) else "")
    if axes is not None:
        inputs.append(c.constant(axes, c.pick(np.int64, np.int32)))
    c.node(inputs, {"mode": lambda: c.pick(*modes)})
    return 1


def _flatten(c: Case) -> int:
    shape = c.shape(0, 4)
    c.node([c.input(shape)], {"axis": lambda: c.whole(-len(shape), len(shape))})
    return 1


def _reshape(c: Case) -> int:
    shape = c.shape()
    size = math.prod(shape)
    wanted = c.pick([size], [-1], [0, -1], [1, -1], [-1, 1], [0], [0, 0, -1], [size, 1, 1], [2, -1], [-1, 0], [])
    c.node([c.input(shape), c.constant(wanted, np.int64)], {"allowzero": lambda: c.pick(0, 1)})
    return 1


def _squeeze(c: Case) -> int:
    shape = c.shape()
    ones = [k for k, n in enumerate(shape) if n == 1 and c.chance(0.7)]
    axes = [k - len(shape) if c.chance(0.3) else k for k in ones]
    if c.opset < 13:
        c.node([c.input(shape)], {"axes": lambda: axes or None})
    else:
        c.node([c.input(shape)] if c.chance(0.4) else [c.input(shape), c.constant(axes, np.int64)])
    return 1


def _unsqueeze(c: Case) -> int:
    shape = c.shape(0, 3)
    added = c.whole(1, 2)
    rank = len(shape) + added
    axes = [k - rank if c.chance(0.3) else k for k in c.rng.permutation(rank)[:added].tolist()]
    if c.opset < 13:
        c.node([c.input(shape)], {"axes": lambda: axes})
    else:
        c.node([c.input(shape), c.constant(axes, np.int64)])
    return 1


def _transpose(c: Case) -> int:
    shape = c.shape()
    c.node([c.input(shape)], {"perm": lambda: c.rng.permutation(len(shape)).tolist() or None})
    return 1


def _expand(c: Case) -> int:
    shape = c.shape()
    wanted = [n if c.chance(0.5) else c.pick(1, 2, 0 if c.chance(0.1) else 3) for n in shape]
    wanted = ([c.pick(1, 2)] if c.chance(0.3) else []) + wanted[c.pick(0, 0, 1) :]
    c.node([c.input(shape), c.constant(wanted, np.int64)])
    return 1


def _tile(c: Case) -> int:
    shape = c.shape()
    c.node([c.input(shape), c.constant([c.pick(1, 1, 2, 3, 0 if c.chance(0.1) else 1) for _ in shape], np.int64)])
    return 1


def _depth(c: Case) -> int:
    b = c.pick(1, 2, 3)
    shape = (
        (c.pick(1, 1, 2), b * b * c.pick(1, 2), 2, 3)
        if c.operator == "DepthToSpace"
        else (c.pick(1, 1, 2), c.pick(1, 2), 2 * b, b)
    )
    c.node([c.input(shape)], {"blocksize": lambda: b, "mode": lambda: c.pick("DCR", "CRD")})
    return 1


_MODES = [
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_half_pixel_for_nn",
    "tf_crop_and_resize",
]


def _resize(c: Case) -> int:
    shape = c.pick((1, 1, 2, 3), (1, 2, 3, 1), (1, 1, 4), (2, 3), (1, 1, 1, 1), (3,))
    scales = [c.pick(1.0, 1.0, 2.0, 3.0, 0.5, 1.5) if k > 1 or len(shape) < 3 else 1.0 for k in range(len(shape))]
    pools: dict[str, Callable[[], Any]] = {
        "mode": lambda: c.pick("nearest", "nearest", "linear", "linear", "cubic"),
        "coordinate_transformation_mode": lambda: c.pick(*_MODES),
        "nearest_mode": lambda: c.pick("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        "keep_aspect_ratio_policy": lambda: c.pick("stretch", "not_larger", "not_smaller"),
        "axes": lambda: None,
        "antialias": lambda: c.pick(0, 0, 1),
        "scales": lambda: scales,
    }
    x = c.input(shape)
    if c.operator == "Upsample" and c.opset < 9:
        c.node([x], pools)
    elif c.opset < 11:
        c.node([x, c.constant(scales, np.float32)], pools)
    else:
        region = (
            c.pick("", c.constant([0.0] * len(shape) + [1.0] * len(shape), np.float32))
            if c.opset < 13 or c.chance(0.3)
            else ""
        )
        if c.chance(0.3) and c.opset >= 18:
            chosen = [k for k in range(len(shape)) if scales[k] != 1.0] or [len(shape) - 1]
            scales, pools["axes"] = [scales[k] for k in chosen], lambda: chosen
            c.node([x, region, c.constant(scales, np.float32)], pools)
            if not any(a.name == "axes" for a in c.nodes[-1].attribute):
                c.nodes[-1].attribute.append(helper.make_attribute("axes", chosen))
        elif c.chance(0.5):
            c.node([x, region, c.constant(scales, np.float32)], pools)
        else:
            sizes = [max(1, int(n * s)) for n, s in zip(shape, scales, strict=True)]
            c.node([x, region, "" if c.opset >= 13 else c.constant([], np.float32), c.constant(sizes, np.int64)], pools)
    return 1


def _dropout(c: Case) -> int:
    inputs = [c.input(c.shape())]
    if c.opset >= 12 and c.chance(0.6):
        inputs.append(c.pick("", c.constant(c.pick(0.0, 0.5))))
        if c.chance(0.5):
            inputs.append(c.constant(c.chance(0.3), np.bool_))
    c.node(inputs)
    return 1


def _cast(c: Case) -> int:
    codes = [TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64]
    pools: dict[str, Callable[[], Any]] = {
        "to": lambda: c.pick(*codes),
        "round_mode": lambda: c.pick("up", "down", "nearest"),
    }
    if c.chance(0.5):
        c.node([c.input(c.shape())], pools)
        return 1
    x = c.input((2,))
    c.node([c.constant(c.pick([0.1, 70000.0], [1e-9, -3.7], [0.5, 1.5]))], pools)
    c.nodes[-1].output[0] = "cast"
    c.nodes.append(helper.make_node("Cast", ["cast"], ["back"], to=helper.np_dtype_to_tensor_dtype(np.dtype(c.dtype))))
    c.nodes.append(helper.make_node("Add", [x, "back"], ["y"]))
    return 1


def _shape(c: Case) -> int:
    shape = c.shape(0, 3)
    x = c.input(shape)
    ends = lambda: c.pick(-9, -2, -1, 0, 1, 2, 9)  # noqa: E731
    c.node([x], {"start": ends, "end": ends})
    c.nodes[-1].output[0] = "s"
    c.nodes.append(helper.make_node("Cast", ["s"], ["f"], to=helper.np_dtype_to_tensor_dtype(np.dtype(c.dtype))))
    c.nodes.append(helper.make_node("ReduceSum", ["f"], ["t"], keepdims=0))
    c.nodes.append(helper.make_node("Add", [x, "t"], ["y"]))
    return 1


def _constant(c: Case) -> int:
    x = c.input((2,))
    values = c.numbers((2,))
    forms: dict[str, Any] = {"value": numpy_helper.from_array(values)}
    known = defs.get_schema("Constant", c.opset, "").attributes
    if "value_floats" in known and c.dtype is np.float32:
        forms |= {"value_floats": values.tolist(), "value_float": float(values[0])}
    key = c.pick(*forms)
    c.nodes += [helper.make_node("Constant", [], ["k"], **{key: forms[key]}), helper.make_node("Add", [x, "k"], ["y"])]
    return 1


GENERATORS: dict[str, Callable[[Case], int]] = {
    **onnx_choices.GENERATORS,
    **onnx_operators_more.GENERATORS,
    **dict.fromkeys(["Abs", "HardSigmoid", "Identity", "LeakyRelu", "Neg", "Relu"], _one),
    **dict.fromkeys(["Add", "Sub", "Mul", "Div"], _two),
    **dict.fromkeys(["Max", "Min", "Mean", "Sum"], _many),
    **dict.fromkeys(["AveragePool", "LpPool", "MaxPool"], _pool),
    **dict.fromkeys(["GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"], _whole_pool),
    **dict.fromkeys(["Conv", "ConvTranspose"], _conv),
    **dict.fromkeys(["ReduceL1", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum"], _reduce),
    **dict.fromkeys(["DepthToSpace", "SpaceToDepth"], _depth),
    **dict.fromkeys(["Resize", "Upsample"], _resize),
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
"""By operator of the table: a function that draws a model of it."""


def drawn(operator: str, opset: int, seed: int) -> bytes:
    """A model of one operator at an opset."""
    rng = np.random.default_rng([seed, opset, *operator.encode()])
    share = rng.random()
    dtype = np.float64 if share < 0.15 else np.float16 if share < 0.25 else np.float32
    case = Case(rng, operator, opset, dtype)
    return case.finished(GENERATORS[operator](case))
