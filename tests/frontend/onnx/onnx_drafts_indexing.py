"""Drawers of operators that move components by stored places, choose, sum or unroll (see onnx_drafts)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from .onnx_draft import Draft, Wire, fitting, grown, image


def _ranked(d: Draft, x: Wire, least: int) -> Wire:
    """x with leading axes of extent 1 up to a rank."""
    if len(x.shape) >= least:
        return x
    shape = (*[1] * (least - len(x.shape)), *x.shape)
    return d.node("Reshape", [x.name, d.constant(np.array(shape, dtype=np.int64))], shape)


def _ints(d: Draft, array: Any) -> str:
    return d.constant(np.array(array, dtype=np.int64))


def gather_elements(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    axis = d.integer(0, len(x.shape) - 1)
    shape = tuple(d.integer(1, 3) if k == axis else d.integer(1, n) for k, n in enumerate(x.shape))
    places = d.rng.integers(-x.shape[axis], x.shape[axis], size=shape)
    return d.node("GatherElements", [x.name, _ints(d, places)], shape, axis=axis)


def gather_nd(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    batch = d.integer(0, len(x.shape) - 1) if d.opset >= 12 else 0
    length = d.integer(1, len(x.shape) - batch)
    lead = (*x.shape[:batch], *(d.integer(1, 2) for _ in range(d.integer(0, 1))))
    columns = [d.rng.integers(-n, n, size=lead) for n in x.shape[batch : batch + length]]
    attributes = {"batch_dims": batch} if batch else {}
    shape = (*lead, *x.shape[batch + length :])
    return d.node("GatherND", [x.name, _ints(d, np.stack(columns, axis=-1))], shape, **attributes)


def _pair(d: Draft, x: Wire, shape: tuple[int, ...]) -> list[str]:
    """x and updates of `shape`, stored or computed; x as updates where they replace everything."""
    if math.prod(shape) == math.prod(x.shape):
        data = d.constant(d.numbers(*x.shape))
        return [data, d.node("Reshape", [x.name, _ints(d, shape)], shape).name]
    same = [wire.name for wire in d.wires if wire.shape == shape]
    other = d.pick(*same) if same and d.flip() else d.constant(d.numbers(*shape))
    return [x.name, other]


def scatter_elements(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    axis = d.integer(0, len(x.shape) - 1)
    count = d.integer(1, x.shape[axis])
    shape = tuple(count if k == axis else d.integer(1, n) for k, n in enumerate(x.shape))
    order = np.argsort(d.rng.random([*(n for k, n in enumerate(shape) if k != axis), x.shape[axis]]), axis=-1)
    places = np.moveaxis(order[..., :count], -1, axis)
    data, updates = _pair(d, x, shape)
    attributes = {"reduction": d.pick("none", "add")} if d.opset >= 16 and d.flip() else {}
    operator = "ScatterElements" if d.opset >= 11 else "Scatter"
    return d.node(operator, [data, _ints(d, places), updates], x.shape, axis=axis, **attributes)


def scatter_nd(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    length = d.integer(1, len(x.shape))
    count = math.prod(x.shape[:length])
    chosen = d.rng.permutation(count)[: d.integer(1, count)]
    indices = np.stack(np.unravel_index(chosen, x.shape[:length]), axis=-1)
    data, updates = _pair(d, x, (len(chosen), *x.shape[length:]))
    attributes = {"reduction": d.pick("none", "add")} if d.opset >= 16 and d.flip() else {}
    return d.node("ScatterND", [data, _ints(d, indices), updates], x.shape, **attributes)


def where(d: Draft, x: Wire) -> Wire:
    others = [wire for wire in d.wires if fitting(wire.shape, x.shape)]
    other = d.pick(*others) if d.flip() else Wire(d.constant(d.numbers(*x.shape)), x.shape)
    shape = np.broadcast_shapes(x.shape, other.shape)
    chosen, first = np.asarray(d.rng.random(shape if d.flip() else shape[1:]) < 0.5), d.flip()
    chosen.reshape(-1)[0] = first  # something of x is left
    pair = [x.name, other.name] if first else [other.name, x.name]
    return d.node("Where", [d.constant(chosen), *pair], shape)


def branch(d: Draft, x: Wire) -> Wire:
    condition, name = d.constant(np.array(d.flip())), d.fresh("b")
    code = helper.np_dtype_to_tensor_dtype(np.dtype(d.dtype))

    def body(prefix: str, operators: list[str]) -> onnx.GraphProto:
        factor = numpy_helper.from_array(d.numbers(*x.shape), "")
        nodes, last = [helper.make_node("Constant", [], [f"{prefix}f"], value=factor)], x.name
        for k, operator in enumerate(operators):
            inputs = [last] if operator == "Relu" else [last, f"{prefix}f"]
            last = f"{prefix}{k}"
            nodes.append(helper.make_node(operator, inputs, [last]))
        return helper.make_graph(nodes, prefix, [], [helper.make_tensor_value_info(last, code, x.shape)])

    then, other = body(f"{name}t", ["Mul"]), body(f"{name}e", ["Relu", "Add"])
    return d.node("If", [condition], x.shape, then_branch=then, else_branch=other)


def trilu(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 2)
    offset = [d.constant(np.array(d.integer(-2, 2), dtype=np.int64))] if d.flip() else []
    return d.node("Trilu", [x.name, *offset], x.shape, **({"upper": d.integer(0, 1)} if d.flip() else {}))


def reverse_sequence(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 2)
    batch = d.integer(0, 1)
    lengths = [d.integer(1, x.shape[1 - batch]) for _ in range(x.shape[batch])]
    attributes = {"batch_axis": batch, "time_axis": 1 - batch} if batch == 0 or d.flip() else {}
    return d.node("ReverseSequence", [x.name, _ints(d, lengths)], x.shape, **attributes)


def cum_sum(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    axis = d.constant(np.array(d.integer(-len(x.shape), len(x.shape) - 1), dtype=np.int64))
    attributes = {key: d.integer(0, 1) for key in ("exclusive", "reverse") if d.flip()}
    return d.node("CumSum", [x.name, axis], x.shape, **attributes)


def einsum(d: Draft, x: Wire) -> Wire:
    letters = "abcdef"[: len(x.shape)]
    kept = "".join(d.rng.permutation([c for c in letters if d.flip()]).tolist())
    if d.flip() or not letters:
        sizes = dict(zip(letters, x.shape, strict=True))
        return d.node("Einsum", [x.name], tuple(sizes[c] for c in kept), equation=f"{letters}->{kept}")
    shared = [c for c in letters if d.flip()]
    sizes = {**dict(zip(letters, x.shape, strict=True)), "z": d.integer(1, 3)}
    stored = "".join(d.rng.permutation([*shared, "z"]).tolist())
    weights = d.constant(d.numbers(*(sizes[c] for c in stored)))
    left, inputs = (f"{letters},{stored}", [x.name, weights])
    if d.flip():
        left, inputs = f"{stored},{letters}", inputs[::-1]
    return d.node("Einsum", inputs, tuple(sizes[c] for c in kept + "z"), equation=f"{left}->{kept}z")


def power(d: Draft, x: Wire) -> Wire:
    exponents = d.rng.integers(0 if d.flip() else 1, 2, size=x.shape[d.integer(0, len(x.shape)) :])
    dtype = np.int64 if d.opset >= 12 and d.flip() else d.dtype
    return d.node("Pow", [x.name, d.constant(np.asarray(exponents, dtype=dtype))], x.shape)


def size(d: Draft, x: Wire) -> Wire:
    """The number of components, as a shape."""
    name = d.node("Size", [x.name], ()).name
    count = math.prod(x.shape)
    wanted = d.node("Concat", [d.node("Reshape", [name, _ints(d, [1])], (1,)).name], (1,), axis=0).name
    del d.wires[-3:]
    return d.node("Reshape", [x.name, wanted], (count,))


def cast_like(d: Draft, x: Wire) -> Wire:
    return d.node("CastLike", [x.name, d.constant(d.numbers(1))], x.shape)


def reduce_l1(d: Draft, x: Wire) -> Wire:
    x = _ranked(d, x, 1)
    axes = [axis for axis in range(len(x.shape)) if d.flip()] or [0]
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(x.shape))
    if d.opset < 18:
        return d.node("ReduceL1", [x.name], shape, axes=axes)
    return d.node("ReduceL1", [x.name, _ints(d, axes)], shape)


def lp_pool(d: Draft, x: Wire) -> Wire:
    x = grown(d, x)
    window = [d.integer(1, min(2, n)) for n in x.shape[2:]]
    strides = [d.integer(1, 2) for _ in window]
    pads = [d.integer(0, window[k % len(window)] - 1) for k in range(2 * len(window))]
    ends = zip(x.shape[2:], pads, pads[len(window) :], window, strides, strict=False)
    outs = [(n + before + after - w) // s + 1 for n, before, after, w, s in ends]
    return d.node("LpPool", [x.name], (*x.shape[:2], *outs), kernel_shape=window, strides=strides, pads=pads, p=1)


def global_lp_pool(d: Draft, x: Wire) -> Wire:
    x = image(d, x)
    return d.node("GlobalLpPool", [x.name], (*x.shape[:2], *[1] * (len(x.shape) - 2)), p=1)


def rnn(d: Draft, x: Wire) -> Wire:
    rank = len(x.shape)
    if rank != 3:
        width = d.pick(*[n for n in (1, 2, 3) if math.prod(x.shape) % n == 0])
        shape = (math.prod(x.shape) // width, 1, width)
        x = d.node("Reshape", [x.name, _ints(d, shape)], shape)
    length, batch, width = x.shape
    hidden, direction = d.integer(1, 2), d.pick("forward", "reverse", "bidirectional")
    count = 1 + (direction == "bidirectional")
    inputs = [x.name, *(d.constant(d.numbers(count, hidden, n)) for n in (width, hidden))]
    inputs.append(d.constant(d.numbers(count, 2 * hidden)) if d.flip() else "")
    inputs.append(d.constant(np.array([length] * batch, dtype=np.int32)) if d.flip() else "")
    inputs.append(d.constant(d.numbers(count, batch, hidden)) if d.flip() else "")
    attributes = {"hidden_size": hidden, "direction": direction, "activations": ["Relu"] * count}
    wire = d.node("RNN", inputs, (length, count, batch, hidden), 2, **attributes)
    last = Wire(f"{wire.name}_1", (count, batch, hidden))
    d.wires.append(last)
    return d.pick(wire, last)


DRAWERS: dict[str, Callable[[Draft, Wire], Wire]] = {
    "CastLike": cast_like,
    "CumSum": cum_sum,
    "Einsum": einsum,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "GlobalLpPool": global_lp_pool,
    "If": branch,
    "LpPool": lp_pool,
    "Pow": power,
    "RNN": rnn,
    "ReduceL1": reduce_l1,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "Size": size,
    "Trilu": trilu,
    "Where": where,
}

OPSETS = {
    **dict.fromkeys(["CumSum", "GatherElements", "GatherND", "ScatterElements", "ScatterND"], (11, 99)),
    "CastLike": (15, 99),
    "GlobalLpPool": (7, 21),
    "LpPool": (7, 21),
    "Einsum": (12, 99),
    "ReverseSequence": (10, 99),
    "Scatter": (9, 10),
    "Trilu": (14, 99),
    "Where": (9, 99),
}
"""First and last opset, where not all of them."""
