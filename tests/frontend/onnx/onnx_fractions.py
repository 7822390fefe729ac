"""An interpreter of ONNX graphs in rational arithmetic, written from the ONNX specification alone.

It shares nothing with eqverify: the oracle of the exactness tests.
"""

from __future__ import annotations

import decimal
import itertools
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from . import onnx_choices, onnx_fractions_more

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
    return _run(model.graph, inputs)


def _run(graph: onnx.GraphProto, around: dict[str, Array]) -> dict[str, Array]:
    values = {**{t.name: rational(numpy_helper.to_array(t)) for t in graph.initializer}, **around}
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        args = [values[name] if name else None for name in node.input]
        if node.op_type == "If":
            body = attributes["then_branch" if args[0] else "else_branch"]
            inner = _run(body, values)
            values.update(zip(node.output, [inner[info.name] for info in body.output], strict=True))
            continue
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


def _windows(attributes: Attributes, extents: tuple[int, ...], window: tuple[int, ...]) -> tuple[tuple[int, ...], Any]:
    """Output extents, and for each output position the (window position, input position or None) pairs."""
    n = len(extents)
    strides = attributes.get("strides", [1] * n)
    dilations = attributes.get("dilations", [1] * n)
    pads = list(attributes.get("pads", [0] * 2 * n))
    reach = [(w - 1) * d + 1 for w, d in zip(window, dilations, strict=True)]
    mode = attributes.get("auto_pad", b"NOTSET").decode()
    if mode.startswith("SAME"):
        outs = [math.ceil(e / s) for e, s in zip(extents, strides, strict=True)]
        totals = [max((o - 1) * s + r - e, 0) for o, s, r, e in zip(outs, strides, reach, extents, strict=True)]
        lower = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in totals]
    else:
        lower = pads[:n]
        round_ = math.ceil if attributes.get("ceil_mode", 0) else math.floor
        outs = [
            round_(Fraction(e + pads[i] + pads[n + i] - r, s)) + 1
            for i, (e, s, r) in enumerate(zip(extents, strides, reach, strict=True))
        ]

    def pairs(output: tuple[int, ...]) -> Any:
        for k in positions(window):
            axes = zip(output, strides, k, dilations, lower, strict=True)
            place = tuple(o * s + i * d - b for o, s, i, d, b in axes)
            yield k, place if all(0 <= p < e for p, e in zip(place, extents, strict=True)) else None

    return tuple(outs), pairs


def _conv(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, w = args[0], args[1]
    groups = attributes.get("group", 1)
    outs, pairs = _windows(attributes, x.shape[2:], w.shape[2:])
    result = np.empty((1, w.shape[0], *outs), dtype=object)
    for channel in range(w.shape[0]):
        first = channel // (w.shape[0] // groups) * w.shape[1]
        for output in positions(outs):
            total = args[2][channel] if len(args) > 2 and args[2] is not None else Fraction(0)
            for k, place in pairs(output):
                if place is not None:
                    for c in range(w.shape[1]):
                        total += w[(channel, c, *k)] * x[(0, first + c, *place)]
            result[(0, channel, *output)] = total
    return result


def _pool(reduce: Callable[[list[Fraction], int], Fraction]) -> Callable[[Attributes, Sequence[Array]], Array]:
    def run_pool(attributes: Attributes, args: Sequence[Array]) -> Array:
        x = args[0]
        window = tuple(attributes.get("kernel_shape", x.shape[2:]))
        outs, pairs = _windows(attributes, x.shape[2:], window)
        result = np.empty((1, x.shape[1], *outs), dtype=object)
        for index in positions(result.shape):
            read = [x[(0, index[1], *place)] for _, place in pairs(index[2:]) if place is not None]
            result[index] = reduce(read, math.prod(window) if attributes.get("count_include_pad", 0) else len(read))
        return result

    return run_pool


def _clip(attributes: Attributes, args: Sequence[Array]) -> Array:
    bounds = [attributes.get(key) for key in ("min", "max")] if len(args) == 1 else [*args[1:], None][:2]
    low, high = (None if b is None else Fraction(float(b)) for b in bounds)
    x = args[0] if low is None else np.maximum(args[0], low)
    return x if high is None else np.minimum(x, high)


def _fold(function: Callable[[Array, Array], Array]) -> Callable[[Attributes, Sequence[Array]], Array]:
    def run_fold(attributes: Attributes, args: Sequence[Array]) -> Array:
        result = args[0]
        for other in args[1:]:
            result = function(result, other)
        return result

    return run_fold


def _leaky(slope: Any, x: Array) -> Array:
    return np.where(x < 0, slope * x, x)


def _slice(attributes: Attributes, args: Sequence[Array]) -> Array:
    starts, ends = (attributes["starts"], attributes["ends"]) if len(args) == 1 else args[1:3]
    axes = attributes.get("axes") if len(args) < 4 else args[3]
    steps = args[4] if len(args) > 4 else [1] * len(starts)
    slices = [slice(None)] * args[0].ndim
    for axis, start, end, step in zip(range(len(starts)) if axes is None else axes, starts, ends, steps, strict=True):
        slices[axis] = slice(int(start), int(end), int(step))
    return args[0][tuple(slices)]


def _split(attributes: Attributes, args: Sequence[Array]) -> list[Array]:
    lengths = attributes["split"] if len(args) == 1 else args[1]
    return list(np.split(args[0], np.cumsum(lengths)[:-1], axis=attributes.get("axis", 0)))


def _pad(attributes: Attributes, args: Sequence[Array]) -> Array:
    x = args[0]
    pads = [int(p) for p in (attributes["pads"] if "pads" in attributes else args[1])]
    value = Fraction(attributes.get("value", 0.0))
    if len(args) > 2 and args[2] is not None:
        value = args[2].reshape(-1)[0]
    axes = [int(axis) for axis in args[3]] if len(args) > 3 else range(x.ndim)
    mode = attributes.get("mode", b"constant").decode()
    for axis, before, after in zip(axes, pads[: len(pads) // 2], pads[len(pads) // 2 :], strict=True):
        widths = [(0, 0)] * x.ndim
        widths[axis] = (max(before, 0), max(after, 0))
        x = np.pad(x, widths, constant_values=value) if mode == "constant" else np.pad(x, widths, mode=mode)
        x = np.take(x, range(max(-before, 0), x.shape[axis] - max(-after, 0)), axis=axis)
    return x


def _conv_transpose(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, w = args[0], args[1]
    n, groups = x.ndim - 2, attributes.get("group", 1)
    strides, dilations = attributes.get("strides", [1] * n), attributes.get("dilations", [1] * n)
    extra, pads = attributes.get("output_padding", [0] * n), list(attributes.get("pads", [0] * 2 * n))
    whole = [
        s * (e - 1) + p + (k - 1) * q + 1
        for e, s, p, k, q in zip(x.shape[2:], strides, extra, w.shape[2:], dilations, strict=True)
    ]
    mode = attributes.get("auto_pad", b"NOTSET").decode()
    wanted = attributes.get("output_shape")
    if wanted is None and mode.startswith("SAME"):
        wanted = [e * s for e, s in zip(x.shape[2:], strides, strict=True)]
    if wanted is not None:
        totals = [t - o for t, o in zip(whole, wanted, strict=True)]
        front = [t // 2 if mode == "SAME_UPPER" else t - t // 2 for t in totals]
        pads = front + [t - f for t, f in zip(totals, front, strict=True)]
    result = np.full((1, w.shape[1] * groups, *whole), Fraction(0), dtype=object)
    for channel in range(x.shape[1]):
        first = channel // (x.shape[1] // groups) * w.shape[1]
        for place in positions(x.shape[2:]):
            for k in positions(w.shape[2:]):
                target = tuple(p * s + i * q for p, s, i, q in zip(place, strides, k, dilations, strict=True))
                for o in range(w.shape[1]):
                    result[(0, first + o, *target)] += x[(0, channel, *place)] * w[(channel, o, *k)]
    for axis, extent in enumerate(whole):
        result = np.take(result, range(pads[axis], extent - pads[n + axis]), axis=axis + 2)
    if len(args) > 2 and args[2] is not None:
        result = result + args[2].reshape(-1, *[1] * n)
    return result


def _normalise(attributes: Attributes, args: Sequence[Array]) -> Array:
    """The divisor is the float64 nearest to the root, as specs/onnx.md defines it; here by decimals."""
    x, scale, bias, mean, variance = args
    epsilon = Fraction(attributes.get("epsilon", float(np.float32(1e-5))))
    with decimal.localcontext(prec=120):
        squares = [v + epsilon for v in variance]
        roots = [float((decimal.Decimal(q.numerator) / decimal.Decimal(q.denominator)).sqrt()) for q in squares]
    divisor = np.array([Fraction(root) for root in roots], dtype=object)
    column = (-1, *[1] * (x.ndim - 2))
    centred = (x - mean.reshape(column)) * scale.reshape(column)
    return centred / divisor.reshape(column) + bias.reshape(column)


def _reduce(function: Callable[[list[Fraction]], Fraction]) -> Callable[[Attributes, Sequence[Array]], Array]:
    def run_reduce(attributes: Attributes, args: Sequence[Array]) -> Array:
        x, axes = args[0], _axes(attributes, args) or ()
        if not axes and attributes.get("noop_with_empty_axes", 0):
            return x
        axes = tuple(axis % x.ndim for axis in axes) or tuple(range(x.ndim))
        shape = [1 if axis in axes else extent for axis, extent in enumerate(x.shape)]
        groups: dict[tuple[int, ...], list[Fraction]] = {}
        for index in positions(x.shape):
            groups.setdefault(tuple(0 if a in axes else i for a, i in enumerate(index)), []).append(x[index])
        result = np.empty(shape, dtype=object)
        for index, group in groups.items():
            result[index] = function(group)
        return result if attributes.get("keepdims", 1) else np.asarray(result.squeeze(axes))

    return run_reduce


def _resize(attributes: Attributes, args: Sequence[Array]) -> Array:
    """For whole factors; the position in the source is computed as the specification writes it."""
    x = args[0]
    axes = [axis % x.ndim for axis in attributes.get("axes", range(x.ndim))]
    scales = attributes["scales"] if "scales" in attributes else args[1 if len(args) == 2 else 2]
    if scales is None or len(scales) == 0:
        scales = [Fraction(int(size), x.shape[axis]) for size, axis in zip(args[3], axes, strict=True)]
    old = len(args) < 3
    mode = attributes.get("coordinate_transformation_mode", b"asymmetric" if old else b"half_pixel").decode()
    nearest = attributes.get("nearest_mode", b"floor" if old else b"round_prefer_floor").decode()
    half = Fraction(1, 2)
    for axis, scale in zip(axes, map(Fraction, scales), strict=True):
        extent = x.shape[axis]
        length = int(extent * scale)
        chosen: list[int] = []
        shares = []
        for i in range(length):
            place = (i + half) / scale - half
            if mode == "pytorch_half_pixel" and length == 1:
                place = Fraction(0)
            if mode == "align_corners":
                place = Fraction(i * (extent - 1), length - 1) if length > 1 else Fraction(0)
            if mode == "asymmetric":
                place = i / scale
            if mode == "tf_half_pixel_for_nn":
                place = (i + half) / scale
            below, rest = math.floor(place), place - math.floor(place)
            shares.append(rest)
            if attributes.get("mode") == b"linear":
                chosen.append(below)
                continue
            up = {
                "floor": False,
                "ceil": rest > 0,
                "round_prefer_floor": rest > half,
                "round_prefer_ceil": rest >= half,
            }
            chosen.append(min(max(below + up[nearest], 0), extent - 1))
        if attributes.get("mode") != b"linear":
            x = np.take(x, chosen, axis=axis)
            continue
        share = np.array([*shares, None], dtype=object)[:-1].reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        ends = [np.take(x, [min(max(k + after, 0), extent - 1) for k in chosen], axis=axis) for after in (0, 1)]
        x = ends[0] * (1 - share) + ends[1] * share
    return x


def _depth_to_space(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, b = args[0], attributes["blocksize"]
    _, channels, rows, columns = x.shape
    depth = channels // (b * b)
    result = np.empty((1, depth, rows * b, columns * b), dtype=object)
    for _, c, i, j in positions(result.shape):
        block = (i % b) * b + j % b
        mode = attributes.get("mode", b"DCR").decode()
        source = block * depth + c if mode == "DCR" else c * b * b + block
        result[0, c, i, j] = x[0, source, i // b, j // b]
    return result


def _space_to_depth(attributes: Attributes, args: Sequence[Array]) -> Array:
    x, b = args[0], attributes["blocksize"]
    _, depth, rows, columns = x.shape
    result = np.empty((1, depth * b * b, rows // b, columns // b), dtype=object)
    for _, c, i, j in positions(x.shape):
        result[0, ((i % b) * b + j % b) * depth + c, i // b, j // b] = x[0, c, i, j]
    return result


def _hard_sigmoid(attributes: Attributes, args: Sequence[Array]) -> Array:
    line = Fraction(attributes.get("alpha", float(np.float32(0.2)))) * args[0] + Fraction(attributes.get("beta", 0.5))
    return np.minimum(np.maximum(line, Fraction(0)), Fraction(1))


def relu(array: Array) -> Array:
    return np.maximum(array, Fraction(0))


OPERATORS: dict[str, Callable[[Attributes, Sequence[Array]], Any]] = {
    **onnx_choices.OPERATORS,
    **onnx_fractions_more.OPERATORS,
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
    "Abs": lambda _, args: np.abs(args[0]),
    "AveragePool": _pool(lambda read, count: sum(read, Fraction(0)) / count),
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "GlobalAveragePool": _pool(lambda read, count: sum(read, Fraction(0)) / count),
    "GlobalMaxPool": _pool(lambda read, count: max(read)),
    "LeakyRelu": lambda attributes, args: _leaky(Fraction(attributes.get("alpha", float(np.float32(0.01)))), args[0]),
    "Max": _fold(np.maximum),
    "GlobalLpPool": _pool(lambda read, count: sum(map(abs, read), Fraction(0))),
    "LpPool": _pool(lambda read, count: sum(map(abs, read), Fraction(0))),
    "MaxPool": _pool(lambda read, count: max(read)),
    "Min": _fold(np.minimum),
    "PRelu": lambda _, args: _leaky(args[1], args[0]),
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "BatchNormalization": _normalise,
    "ConvTranspose": _conv_transpose,
    "DepthToSpace": _depth_to_space,
    "HardSigmoid": _hard_sigmoid,
    "Mean": lambda _, args: _sum(_, args) / Fraction(len(args)),
    "ReduceL1": _reduce(lambda group: sum(map(abs, group), Fraction(0))),
    "ReduceMax": _reduce(max),
    "ReduceMean": _reduce(lambda group: sum(group, Fraction(0)) / len(group)),
    "ReduceMin": _reduce(min),
    "ReduceSum": _reduce(lambda group: sum(group, Fraction(0))),
    "Resize": _resize,
    "SpaceToDepth": _space_to_depth,
    "Tile": lambda _, args: np.tile(args[0], [int(n) for n in args[1]]),
    "Upsample": _resize,
    "Gather": lambda attributes, args: np.take(args[0], args[1], axis=attributes.get("axis", 0)),
}


def positions(extents: Sequence[int]) -> Any:
    """All index tuples below `extents`."""
    return itertools.product(*(range(extent) for extent in extents))
