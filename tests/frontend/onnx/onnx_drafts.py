"""Random small ONNX models for differential tests: every operator of the table with every attribute."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper

from . import onnx_choices, onnx_drafts_indexing, onnx_drafts_more
from .onnx_draft import FACTORS, NEWEST_RUNTIME_OPSET, Draft, Shape, Wire, fitting, grown, image


def gemm(d: Draft, x: Wire) -> Wire:
    if len(x.shape) != 2:
        x = flatten(d, x)
    first = d.flip()
    flags = {"transA": int(d.flip()), "transB": int(d.flip())}
    rows, columns = x.shape[::-1] if flags["transA" if first else "transB"] else x.shape
    width = d.integer(1, 3)
    stored = (columns, width) if first else (width, rows)
    shape = (rows, width) if first else (width, columns)
    if flags["transB" if first else "transA"]:
        stored = stored[::-1]
    weights = d.constant(d.numbers(*stored))
    inputs = [x.name, weights] if first else [weights, x.name]
    addend = d.pick("none", "full", "row", "column", "scalar", "vector", "branch")
    options = {"full": shape, "row": (1, shape[1]), "column": (shape[0], 1), "scalar": (), "vector": (shape[1],)}
    others = [wire for wire in d.wires if wire.shape == shape]
    if addend in options:
        inputs.append(d.constant(d.numbers(*options[addend])))
    elif addend == "branch" and others:
        inputs.append(d.pick(*others).name)
    elif d.opset < 11:
        inputs.append(d.constant(d.numbers(1)))
    attributes = {key: value for key, value in flags.items() if value or d.flip()}
    for key in ("alpha", "beta"):
        if d.flip():
            attributes[key] = d.pick(*FACTORS)
    return d.node("Gemm", inputs, shape, **attributes)


def matmul(d: Draft, x: Wire) -> Wire:
    if not x.shape:
        x = unsqueeze(d, x)
    width, stack = d.integer(1, 3), d.pick((), (1,), (2,))
    if d.flip():
        inner = x.shape[-1]
        weights = d.numbers(*d.pick((inner,), (*stack, inner, width)))
        stacked = len(weights.shape) == 3 and len(x.shape) > 2 and x.shape[-3] not in (1, weights.shape[0])
        weights = weights[0] if stacked and weights.shape[0] != 1 else weights
        shape = np.matmul(np.zeros(x.shape), np.zeros(weights.shape)).shape
        return d.node("MatMul", [x.name, d.constant(weights)], shape)
    inner = x.shape[-2] if len(x.shape) > 1 else x.shape[0]
    weights = d.numbers(*d.pick((inner,), (width, inner)))
    shape = np.matmul(np.zeros(weights.shape), np.zeros(x.shape)).shape
    return d.node("MatMul", [d.constant(weights), x.name], shape)


def _operand_shape(d: Draft, shape: Shape) -> Shape:
    """A shape that broadcasts with `shape`, smaller, equal or larger."""
    kind = d.pick("scalar", "same", "ones", "tail", "longer", "wider")
    if kind == "scalar":
        return ()
    if kind == "ones":
        return tuple(1 if d.flip() else extent for extent in shape)
    if kind == "tail":
        return shape[d.integer(0, len(shape)) :]
    if kind == "longer" and len(shape) < 4:
        return (d.integer(1, 2), *shape)
    if kind == "wider":
        return tuple(2 if extent == 1 and math.prod(shape) < 20 else extent for extent in shape)
    return shape


def _binary(operator: str, *, constant_first: bool = True) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        other = d.numbers(*_operand_shape(d, x.shape), nonzero=operator == "Div")
        if operator in ("Mul", "Div") and d.flip():
            other = np.ones_like(other)
        inputs = [x.name, d.constant(other)]
        if constant_first and d.flip():
            inputs.reverse()
        return d.node(operator, inputs, np.broadcast_shapes(x.shape, other.shape))

    return drawer


def _branches(operator: str) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        other = d.pick(*[wire for wire in d.wires if fitting(wire.shape, x.shape)])
        pair = [x, other] if d.flip() else [other, x]
        return d.node(operator, [wire.name for wire in pair], np.broadcast_shapes(x.shape, other.shape))

    return drawer


def total(d: Draft, x: Wire) -> Wire:
    others = [wire for wire in d.wires if wire.shape == x.shape]
    names = [x.name, *(d.pick(*others).name for _ in range(d.integer(0, 2)))]
    for _ in range(d.integer(0, 2)):
        names.insert(d.integer(0, len(names)), d.constant(d.numbers(*x.shape)))
    return d.node("Sum", names, x.shape)


def flatten(d: Draft, x: Wire) -> Wire:
    rank = len(x.shape)
    axis = d.integer(-rank if d.opset >= 11 else 0, rank)
    attributes = {} if axis == 1 and d.flip() else {"axis": axis}
    place = axis + rank if axis < 0 else axis
    return d.node("Flatten", [x.name], (math.prod(x.shape[:place]), math.prod(x.shape[place:])), **attributes)


def reshape(d: Draft, x: Wire) -> Wire:
    size = math.prod(x.shape)
    divisor = d.pick(*[n for n in range(1, size + 1) if size % n == 0])
    shape = d.pick((size,), (divisor, size // divisor), (1, divisor, size // divisor), x.shape)
    written = list(shape)
    if written and d.flip():
        written[d.integer(0, len(written) - 1)] = -1
    for index, extent in enumerate(written):
        if index < len(x.shape) and extent == x.shape[index] and d.flip():
            written[index] = 0
    attributes = {"allowzero": 0} if d.opset >= 14 and d.flip() else {}
    if 0 not in written and -1 not in written and d.opset >= 14 and d.flip():
        attributes = {"allowzero": 1}
    return d.node("Reshape", [x.name, d.constant(np.array(written, dtype=np.int64))], shape, **attributes)


def reshape_by_shape(d: Draft, x: Wire) -> Wire:
    """The chain exporters write: Shape, Gather of the batch, Concat with -1, Reshape."""
    attributes = {"start": 0, "end": len(x.shape)} if d.opset >= 15 and d.flip() else {}
    extents = d.node("Shape", [x.name], (len(x.shape),), **attributes)
    d.wires.pop()
    if not x.shape:
        return d.node("Reshape", [x.name, extents.name], x.shape)
    first = d.node("Gather", [extents.name, d.constant(np.array([0], dtype=np.int64))], (1,), axis=0)
    wanted = d.node("Concat", [first.name, d.constant(np.array([-1], dtype=np.int64))], (2,), axis=0)
    del d.wires[-2:]
    return d.node("Reshape", [x.name, wanted.name], (x.shape[0], math.prod(x.shape[1:])))


def _with_axes(d: Draft, operator: str, x: Wire, axes: list[int], shape: Shape) -> Wire:
    if d.opset < 13:
        return d.node(operator, [x.name], shape, axes=axes)
    return d.node(operator, [x.name, d.constant(np.array(axes, dtype=np.int64))], shape)


def squeeze(d: Draft, x: Wire) -> Wire:
    ones = [axis for axis, extent in enumerate(x.shape) if extent == 1]
    if d.flip() or not ones:
        return d.node("Squeeze", [x.name], tuple(extent for extent in x.shape if extent != 1))
    axis = d.pick(*ones)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return _with_axes(d, "Squeeze", x, [axis - len(x.shape) if d.opset >= 11 and d.flip() else axis], shape)


def unsqueeze(d: Draft, x: Wire) -> Wire:
    axes = sorted(d.draw(st.sets(st.integers(0, len(x.shape)), min_size=1, max_size=2)))
    shape = np.expand_dims(np.zeros(x.shape), tuple(axes)).shape
    written = [axis - len(shape) if d.opset >= 11 and d.flip() else axis for axis in axes]
    return _with_axes(d, "Unsqueeze", x, written, shape)


def transpose(d: Draft, x: Wire) -> Wire:
    if d.flip():
        return d.node("Transpose", [x.name], x.shape[::-1])
    permutation = d.draw(st.permutations(range(len(x.shape))))
    if not permutation:
        return d.node("Transpose", [x.name], x.shape)
    return d.node("Transpose", [x.name], tuple(x.shape[axis] for axis in permutation), perm=list(permutation))


def expand(d: Draft, x: Wire) -> Wire:
    shape = _operand_shape(d, x.shape)
    wanted = d.constant(np.array(shape, dtype=np.int64))
    return d.node("Expand", [x.name, wanted], np.broadcast_shapes(x.shape, shape))


def dropout(d: Draft, x: Wire) -> Wire:
    outputs = d.integer(1, 2)
    if d.opset < 12:
        return d.node("Dropout", [x.name], x.shape, outputs, **({"ratio": 0.25} if d.flip() else {}))
    inputs = [x.name]
    if d.flip():
        inputs.append(d.constant(np.array(0.25, dtype=np.float32)))
        if d.flip():
            inputs.append(d.constant(np.array(False)))
    return d.node("Dropout", inputs, x.shape, outputs, **({"seed": 3} if d.flip() else {}))


def cast(d: Draft, x: Wire) -> Wire:
    """A cast of a constant, added to x; or a cast that changes nothing."""
    own = TensorProto.FLOAT if d.dtype is np.float32 else TensorProto.DOUBLE
    if d.flip():
        return d.node("Cast", [x.name], x.shape, to=own)
    other = np.float16 if d.flip() else np.float32
    stored = d.constant(d.rng.normal(size=x.shape).astype(other))
    name = d.node("Cast", [stored], x.shape, to=own).name
    d.wires.pop()
    return d.node("Add", [x.name, name], x.shape)


def constant(d: Draft, x: Wire) -> Wire:
    """All forms of Constant, added to a float32 x (their type is fixed)."""
    if d.dtype is not np.float32 or d.opset < 12:
        return _binary("Add")(d, x)
    name = d.fresh("k")
    if d.flip():
        d.nodes.append(helper.make_node("Constant", [], [name], value_float=0.3))
        return d.node("Add", [x.name, name], x.shape)
    d.nodes.append(helper.make_node("Constant", [], [name], value_floats=[0.3]))
    shape_name = d.fresh("k")
    d.nodes.append(helper.make_node("Constant", [], [shape_name], value_ints=[1, *x.shape]))
    shaped = d.node("Reshape", [x.name, shape_name], (1, *x.shape))
    return d.node("Mul", [shaped.name, name], (1, *x.shape))


def _unary(operator: str) -> Callable[[Draft, Wire], Wire]:
    return lambda d, x: d.node(operator, [x.name], x.shape)


def _placement(
    d: Draft, extents: Shape, *, pool: bool, ceil: bool, dilated: bool
) -> tuple[Shape, Shape, dict[str, Any]]:
    """Window, output extents and attributes that fit the input."""
    n = len(extents)
    while True:
        window = tuple(d.integer(1, 3) for _ in range(n))
        strides = [d.integer(1, 3) for _ in range(n)] if d.flip() else [1] * n
        dilations = [d.integer(1, 2) for _ in range(n)] if dilated and d.flip() else [1] * n
        reach = [(w - 1) * k + 1 for w, k in zip(window, dilations, strict=True)]
        mode = d.pick("none", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        if mode.startswith("SAME") and max(dilations) > 1:
            mode = "none"
        if pool and mode.startswith("SAME") and any(s > w for s, w in zip(strides, window, strict=True)):
            mode = "none"  # onnxruntime refuses the negative padding that the formula gives
        pads = [0] * 2 * n
        # A dilated window of a pool could lie in the padding altogether.
        if mode in ("none", "NOTSET") and not (pool and max(dilations) > 1) and d.flip():
            pads = [d.integer(0, window[i % n] - 1) for i in range(2 * n)]
        ceil_mode = int(ceil and mode in ("none", "NOTSET") and d.flip())
        if ceil_mode:  # a window must not start behind the input
            steps = [-(-(e + pads[i] + pads[n + i] - reach[i]) // strides[i]) for i, e in enumerate(extents)]
            starts = zip(steps, strides, extents, pads, strict=False)
            ceil_mode = int(all(k * s < e + before for k, s, e, before in starts))
        totals = [e + pads[i] + pads[n + i] for i, e in enumerate(extents)]
        if all(r <= t for r, t in zip(reach, totals, strict=True)):
            break
        extents_fit = [min(w, e) for w, e in zip(window, extents, strict=True)]
        window, dilations, strides, pads, mode, ceil_mode = tuple(extents_fit), [1] * n, [1] * n, [0] * 2 * n, "none", 0
        reach, totals = list(window), list(extents)
        break
    outs = []
    for e, t, r, s in zip(extents, totals, reach, strides, strict=True):
        out = -(-e // s) if mode.startswith("SAME") else (t - r) // s + 1
        if ceil_mode:
            out = -(-(t - r) // s) + 1
        outs.append(out)
    attributes: dict[str, Any] = {"kernel_shape": list(window)}
    attributes.update({"strides": strides} if max(strides) > 1 or d.flip() else {})
    attributes.update({"dilations": dilations} if max(dilations) > 1 else {})
    attributes.update({"pads": pads} if any(pads) else {})
    attributes.update({"auto_pad": mode} if mode != "none" else {})
    attributes.update({"ceil_mode": 1} if ceil_mode else {})
    return window, tuple(outs), attributes


def conv(d: Draft, x: Wire) -> Wire:
    x = grown(d, x)
    channels = x.shape[1]
    groups = d.pick(*[g for g in (1, 2, 3) if channels % g == 0])
    outputs = groups * d.integer(1, 2)
    window, outs, attributes = _placement(d, x.shape[2:], pool=False, ceil=False, dilated=True)
    if d.flip():
        del attributes["kernel_shape"]
    if groups > 1 or d.flip():
        attributes["group"] = groups
    inputs = [x.name, d.constant(d.numbers(outputs, channels // groups, *window))]
    if d.flip():
        inputs.append(d.constant(d.numbers(outputs)))
    return d.node("Conv", inputs, (1, outputs, *outs), **attributes)


def _pooling(operator: str) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        x = grown(d, x)
        average = operator == "AveragePool"
        dilated = d.opset >= (19 if average else 10)
        _, outs, attributes = _placement(d, x.shape[2:], pool=True, ceil=d.opset >= 10, dilated=dilated)
        if average and "ceil_mode" not in attributes and d.flip():
            attributes["count_include_pad"] = 1
        if not average and d.opset >= 8 and d.flip():
            attributes["storage_order"] = 0
        return d.node(operator, [x.name], (*x.shape[:2], *outs), **attributes)

    return drawer


def _global(operator: str) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        x = image(d, x)
        return d.node(operator, [x.name], (*x.shape[:2], *[1] * (len(x.shape) - 2)))

    return drawer


def _extremum(operator: str) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        others = [wire for wire in d.wires if fitting(wire.shape, x.shape)]
        shapes, names = [x.shape], [x.name]
        if d.flip():
            other = d.pick(*others)
            shapes.append(other.shape)
            names.append(other.name)
        if len(names) == 1 or d.flip():
            for _ in range(d.integer(1, 2)):
                shapes.append(x.shape if d.flip() else ())
                names.append(d.constant(d.numbers(*shapes[-1])))
        order = d.draw(st.permutations(range(len(names))))
        return d.node(operator, [names[i] for i in order], np.broadcast_shapes(*shapes))

    return drawer


def clip(d: Draft, x: Wire) -> Wire:
    low, high = sorted(float(number) for number in d.numbers(2))
    if d.opset < 11:
        bounds = {key: value for key, value in (("min", low), ("max", high)) if d.flip()}
        return d.node("Clip", [x.name], x.shape, **bounds)
    inputs = [x.name, d.constant(np.array(low, dtype=d.dtype)) if d.flip() else ""]
    if d.flip():
        inputs.append(d.constant(np.array(high, dtype=d.dtype)))
    return d.node("Clip", inputs, x.shape)


def leaky_relu(d: Draft, x: Wire) -> Wire:
    return d.node("LeakyRelu", [x.name], x.shape, **({"alpha": d.pick(0.1, 0.5, 2.0, -0.3)} if d.flip() else {}))


def prelu(d: Draft, x: Wire) -> Wire:
    shape = x.shape if d.flip() else ()
    # 1 - slope is exact for quarters, and hardly ever otherwise.
    slope = (d.rng.integers(-8, 8, size=shape) / d.pick(4, 4e9)).astype(d.dtype)
    return d.node("PRelu", [x.name, d.constant(slope)], x.shape)


def concat(d: Draft, x: Wire) -> Wire:
    if not x.shape:
        x = unsqueeze(d, x)
    axis = d.integer(-len(x.shape) if d.opset >= 11 else 0, len(x.shape) - 1)
    parts = [x]
    for _ in range(d.integer(0, 2)):
        extents = list(x.shape)
        extents[axis] = d.integer(1, 2)
        same = [wire for wire in d.wires if wire.shape == tuple(extents)]
        parts.append(d.pick(*same) if same and d.flip() else Wire(d.constant(d.numbers(*extents)), tuple(extents)))
    order = d.draw(st.permutations(parts))
    shape = np.concatenate([np.zeros(part.shape) for part in order], axis=axis).shape
    return d.node("Concat", [part.name for part in order], shape, axis=axis)


def cut(d: Draft, x: Wire) -> Wire:
    """A Slice in either form, with ends beyond the axis and negative steps."""
    if not x.shape:
        x = unsqueeze(d, x)
    axis = d.integer(0, len(x.shape) - 1)
    extent = x.shape[axis]
    start, step = d.integer(-extent, extent - 1), 1
    end = d.pick(extent, 2**31 - 1, start + 1 if start != -1 else extent)
    slices = [slice(None)] * len(x.shape)
    whole = len(x.shape) == axis + 1 == 1 and d.flip()
    if d.opset < 10:
        slices[axis] = slice(start, end)
        shape = np.zeros(x.shape)[tuple(slices)].shape
        attributes = {} if whole else {"axes": [axis]}
        return d.node("Slice", [x.name], shape, starts=[start], ends=[end], **attributes)
    if d.flip():
        step, end = d.pick((-1, -(2**31)), (-2, -(2**31)), (2, end))
    slices[axis] = slice(start, end, step)
    shape = np.zeros(x.shape)[tuple(slices)].shape
    given_axis = axis - len(x.shape) if d.opset >= 11 and d.flip() else axis
    numbers = [[start], [end]] + ([] if whole and step == 1 else [[given_axis]]) + ([[step]] if step != 1 else [])
    return d.node("Slice", [x.name, *(d.constant(np.array(n, dtype=np.int64)) for n in numbers)], shape)


def split(d: Draft, x: Wire) -> Wire:
    axes = [axis for axis, extent in enumerate(x.shape) if extent > 1]
    if not axes:
        x = expand_rank(d, x)
        axes = [len(x.shape) - 1]
    axis = d.pick(*axes)
    first = d.integer(1, x.shape[axis] - 1)
    lengths = [first, x.shape[axis] - first]
    shapes = [tuple(n if i == axis else extent for i, extent in enumerate(x.shape)) for n in lengths]
    if d.opset < 13:
        wire = d.node("Split", [x.name], shapes[0], 2, axis=axis, split=lengths)
    else:
        wire = d.node("Split", [x.name, d.constant(np.array(lengths, dtype=np.int64))], shapes[0], 2, axis=axis)
    second = Wire(f"{wire.name}_1", shapes[1])
    d.wires.append(second)
    return d.pick(wire, second)


def expand_rank(d: Draft, x: Wire) -> Wire:
    """x twice along a new last axis."""
    return d.node("Add", [unsqueeze_last(d, x).name, d.constant(d.numbers(2))], (*x.shape, 2))


def unsqueeze_last(d: Draft, x: Wire) -> Wire:
    return _with_axes(d, "Unsqueeze", x, [len(x.shape)], (*x.shape, 1))


def gather(d: Draft, x: Wire) -> Wire:
    if not x.shape:
        x = unsqueeze(d, x)
    axis = d.integer(0, len(x.shape) - 1)
    low = -x.shape[axis] if d.opset >= 11 else 0
    indices = d.rng.integers(low, x.shape[axis], size=d.pick((), (2,), (1, 3)))
    attributes = {"axis": axis} if axis or d.flip() else {}
    return d.node(
        "Gather", [x.name, d.constant(np.array(indices))], np.take(np.zeros(x.shape), indices, axis).shape, **attributes
    )


def pad(d: Draft, x: Wire) -> Wire:
    if not x.shape:
        x = unsqueeze(d, x)
    n = len(x.shape)
    mode = d.pick("constant", "constant", "edge", "reflect", *(["wrap"] if d.opset >= 19 else []))
    least = {"constant": lambda e: -(e - 1) // 2 if e > 2 else 0}.get(mode, lambda e: 0)
    most = dict.fromkeys(["reflect", "wrap"], lambda e: min(e - 1, 2)).get(mode, lambda e: 2)
    pads = [d.integer(least(x.shape[i % n]), most(x.shape[i % n])) if d.flip() else 0 for i in range(2 * n)]
    shape = tuple(e + pads[i] + pads[n + i] for i, e in enumerate(x.shape))
    attributes = {} if mode == "constant" and d.flip() else {"mode": mode}
    if d.opset < 11:
        return d.node("Pad", [x.name], shape, pads=pads, **({"value": 1.5} if d.flip() else {}), **attributes)
    inputs = [x.name]
    if d.opset >= 18 and d.flip():
        pads = [pads[0], pads[n]]
        shape = (shape[0], *x.shape[1:])
        inputs += [d.constant(np.array(pads, dtype=np.int64)), d.constant(np.array(0.5, dtype=d.dtype))]
        return d.node("Pad", [*inputs, d.constant(np.array([0], dtype=np.int64))], shape, **attributes)
    inputs.append(d.constant(np.array(pads, dtype=np.int64)))
    if d.flip():
        inputs.append(d.constant(np.array(-0.7, dtype=d.dtype)))
    return d.node("Pad", inputs, shape, **attributes)


DRAWERS: dict[str, Callable[[Draft, Wire], Wire]] = {
    **onnx_drafts_more.DRAWERS,
    **onnx_choices.DRAWERS,
    **onnx_drafts_indexing.DRAWERS,
    "Abs": _unary("Abs"),
    "AveragePool": _pooling("AveragePool"),
    "Clip": clip,
    "Concat": concat,
    "Conv": conv,
    "Gather": gather,
    "GlobalAveragePool": _global("GlobalAveragePool"),
    "GlobalMaxPool": _global("GlobalMaxPool"),
    "LeakyRelu": leaky_relu,
    "Max": _extremum("Max"),
    "MaxPool": _pooling("MaxPool"),
    "Min": _extremum("Min"),
    "PRelu": prelu,
    "Pad": pad,
    "Slice": cut,
    "Split": split,
    "Add": _binary("Add"),
    "Add of branches": _branches("Add"),
    "Cast": cast,
    "Constant": constant,
    "Div": _binary("Div", constant_first=False),
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Gemm": gemm,
    "Identity": _unary("Identity"),
    "MatMul": matmul,
    "Mul": _binary("Mul"),
    "Neg": _unary("Neg"),
    "Relu": _unary("Relu"),
    "Reshape": reshape,
    "Shape": reshape_by_shape,
    "Squeeze": squeeze,
    "Sub": _binary("Sub"),
    "Sub of branches": _branches("Sub"),
    "Sum": total,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""By operator (and form), a function that adds it to a draft."""

OPSETS = {
    **dict.fromkeys(["Expand", "Sum", "Max", "Min"], (8, 99)),
    **onnx_drafts_more.OPSETS,
    **onnx_choices.OPSETS,
    **onnx_drafts_indexing.OPSETS,
}
"""First and last opset, where not all of them."""


@st.composite
def models(draw: Callable[[st.SearchStrategy[Any]], Any], kind: str) -> tuple[bytes, np.random.Generator]:
    """The bytes of a model that uses the operator `kind` among others, and a generator for its points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    first, last = OPSETS.get(kind, (7, 99))
    opset = draw(st.integers(first, min(last, NEWEST_RUNTIME_OPSET)))
    d = Draft(draw, rng, dtype, opset)
    ports = [_port(d, "x")]
    if d.integer(0, 3) == 0:
        ports.append(_port(d, "second"))
    wire = d.wires[0]
    allowed = [name for name in DRAWERS if name not in OPSETS or OPSETS[name][0] <= opset <= OPSETS[name][1]]
    before, after = d.integer(0, 2), d.integer(0, 2)
    for name in [d.pick(*allowed) for _ in range(before)] + [kind] + [d.pick(*allowed) for _ in range(after)]:
        if math.prod(wire.shape) <= 64 and len(wire.shape) < 6:
            wire = DRAWERS[name](d, wire)
    if wire.name == "x":
        wire = d.node("Relu", ["x"], wire.shape)
    return _finish(d, ports, wire), rng


def _port(d: Draft, name: str) -> tuple[str, list[Any]]:
    """A new input: its name and declared extents."""
    rank = d.integer(0, 4)
    shape = tuple(d.integer(1, 3) for _ in range(rank))
    shape = (1, *shape[1:]) if rank > 1 and (math.prod(shape[1:]) > 1 or d.flip()) else shape
    d.wires.append(Wire(name, shape))
    declared: list[Any] = list(shape)
    if rank > 1 and shape[0] == 1 and d.flip():
        declared[0] = "N"
    return name, declared


def _finish(d: Draft, ports: list[tuple[str, list[Any]]], wire: Wire) -> bytes:
    code = TensorProto.FLOAT if d.dtype is np.float32 else TensorProto.DOUBLE
    outputs = [helper.make_tensor_value_info(wire.name, code, list(wire.shape))]
    names = [name for name, _ in ports]
    for extra in [d.pick(*d.wires) for _ in range(d.integer(0, 2))]:
        if extra.name not in (*names, *(info.name for info in outputs)):
            outputs.append(helper.make_tensor_value_info(extra.name, code, list(extra.shape)))
    inputs = [helper.make_tensor_value_info(name, code, declared) for name, declared in ports]
    imports = [helper.make_opsetid("", d.opset)]
    version = helper.find_min_ir_version_for(imports)
    if version < 4:  # then initialisers must be listed as inputs too
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in d.initialisers]
    graph = helper.make_graph(d.nodes, "g", inputs, outputs, initializer=d.initialisers)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    onnx.checker.check_model(model)
    return model.SerializeToString()
