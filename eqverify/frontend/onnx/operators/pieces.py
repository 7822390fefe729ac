"""Concat, Slice, Split, Gather, Pad: operators that take tensors apart and put them together."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import IntArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_COMPONENTS
from eqverify.frontend.onnx.operators.arithmetic import same_element
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value
from eqverify.network import Term
from eqverify.network.gathering import ScaledSelection


def placed(tensor: Tensor, places: IntArray) -> Term:
    """Component k of the tensor where `places` is k, and 0 where it is negative."""
    flat = places.reshape(-1)
    return Term(tensor.source, ScaledSelection(np.maximum(flat, 0), (flat >= 0).astype(np.float64), tensor.size))


@operator("Concat", attributes=("axis",))
def concat(call: Call) -> Value:
    """An affine node of one placing map per branch; constants become its bias."""
    values = [call.value(index) for index in range(len(call.inputs))]
    branches = [value for value in values if isinstance(value, Tensor)]
    same_element(call, *branches)
    element = branches[0].element
    if len(values) == 1:
        return values[0]
    axis = call.axis(call.integer("axis", 0), len(values[0].shape))
    others = {value.shape[:axis] + value.shape[axis + 1 :] for value in values}
    if len(others) > 1 or len({len(value.shape) for value in values}) > 1:
        raise call.shape_error("the extents beside the axis differ", *(list(value.shape) for value in values))
    extent = sum(value.shape[axis] for value in values)
    shape = call.checked((*values[0].shape[:axis], extent, *values[0].shape[axis + 1 :]))
    bias, terms, start = np.zeros(shape), [], 0
    for value in values:
        part = (*[slice(None)] * axis, slice(start, start + value.shape[axis]))
        start += value.shape[axis]
        if isinstance(value, Constant):
            bias[part] = call.weights(value, element)
            continue
        places = np.full(shape, -1, dtype=np.int64)
        places[part] = component_indices(value)
        terms.append(placed(value, places))
    return call.builder.affine(call.name, tuple(terms), bias.reshape(-1), shape, element)


def _selected(call: Call, name: str, tensor: Tensor, indices: IntArray) -> Tensor:
    call.checked(indices.shape)
    return call.builder.select(name, tensor, indices)


@operator("Slice", until=9, attributes=("starts", "ends", "axes"))
@operator("Slice", since=10, refused="computed bounds")
def slices(call: Call) -> Value:
    """A selection."""
    tensor = call.tensor(0)
    starts, ends = call.listed("starts", 1) or (), call.listed("ends", 2) or ()
    axes, steps = call.listed("axes", 3), call.listed("steps", 4)
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    if len({len(starts), len(ends), len(axes), len(steps)}) > 1 or 0 in steps:
        raise call.error(
            "bad-attribute", "starts, ends, axes and steps do not fit", value=f"{starts} {ends} {axes} {steps}"
        )
    chosen = [slice(None)] * len(tensor.shape)
    for axis, start, end, step in zip(call.axes(axes, len(tensor.shape)), starts, ends, steps, strict=True):
        chosen[axis] = slice(start, end, step)
    return _selected(call, call.name, tensor, component_indices(tensor)[tuple(chosen)])


@operator("Split", until=12, attributes=("axis", "split"))
@operator("Split", since=13, attributes=("axis", "num_outputs"), refused="computed lengths")
def split(call: Call) -> tuple[Value, ...]:
    """One selection per output."""
    tensor, lengths, parts = call.tensor(0), call.listed("split", 1), len(call.outputs)
    if (count := call.integer("num_outputs", parts)) != parts:
        raise call.error("bad-attribute", "'num_outputs' is not the number of outputs", value=count)
    axis = call.axis(call.integer("axis", 0), len(tensor.shape))
    extent = tensor.shape[axis]
    if lengths is None:
        if call.opset < 18 and extent % parts:
            raise call.shape_error("the axis cannot be split evenly", list(tensor.shape), f"{parts} parts")
        length = -(-extent // parts)
        lengths = (*[length] * (parts - 1), extent - length * (parts - 1))
    if len(lengths) != parts or sum(lengths) != extent or min(lengths) < 1:
        raise call.shape_error("the lengths do not fit the axis", list(lengths), list(tensor.shape))
    pieces = np.split(component_indices(tensor), np.cumsum(lengths)[:-1], axis=axis)
    pairs = zip(call.outputs, pieces, strict=True)
    return tuple(_selected(call, name or call.builder.helper_name(call.name, "piece"), tensor, p) for name, p in pairs)


@operator("Gather", attributes=("axis",), refused="computed indices")
def gather(call: Call) -> Value:
    """A selection; the indices must be constant."""
    tensor, constant = call.tensor(0), call.constant(1)
    axis = call.axis(call.integer("axis", 0), len(tensor.shape))
    indices, extent = constant.array, tensor.shape[axis]
    if indices.dtype.kind not in "iu":
        raise call.error("element-type", "indices must be integers", value=str(indices.dtype))
    if indices.size and not (-extent <= int(indices.min()) and int(indices.max()) < extent):
        raise call.shape_error("an index is out of range", constant.name, list(tensor.shape))
    if tensor.size // extent * indices.size > MAX_COMPONENTS:
        raise call.error("too-large", f"the result has more than {MAX_COMPONENTS} components", value=indices.size)
    return _selected(call, call.name, tensor, np.take(component_indices(tensor), indices, axis=axis))


def _padded(call: Call, pads: tuple[int, ...], axes: tuple[int, ...], value: float) -> Value:
    """Padding by a constant, or by components; negative padding takes components away."""
    tensor, mode = call.tensor(0), call.text("mode", "constant")
    if len(pads) != 2 * len(axes):
        raise call.shape_error("'pads' does not fit the axes", list(pads), list(tensor.shape))
    widths = [(0, 0)] * len(tensor.shape)
    for axis, before, after in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        widths[axis] = (before, after)
    call.checked(tuple(max(n + b + a, 0) for n, (b, a) in zip(tensor.shape, widths, strict=True)))
    grown = call.checked(tuple(n + max(b, 0) + max(a, 0) for n, (b, a) in zip(tensor.shape, widths, strict=True)))
    indices = component_indices(tensor)
    added = [(max(b, 0), max(a, 0)) for b, a in widths]
    kept = tuple(slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip(grown, widths, strict=True))
    if mode in ("edge", "reflect", "wrap") and min((*pads, 0)) >= 0:
        if mode != "edge" and any(max(pair) >= n for pair, n in zip(added, tensor.shape, strict=True) if max(pair)):
            raise call.shape_error(f"{mode!r} needs paddings shorter than the axis", list(pads), list(tensor.shape))
        return _selected(call, call.name, tensor, np.pad(indices, added, mode=mode))  # type: ignore[call-overload]
    if mode != "constant":
        raise call.error("unsupported-attribute", "this 'mode' (with these paddings) is not supported", value=mode)
    places = np.pad(indices, added, constant_values=-1)[kept]
    if (places >= 0).all():
        return _selected(call, call.name, tensor, places)
    bias = np.where(places.reshape(-1) < 0, value, 0.0)
    return call.builder.affine(call.name, (placed(tensor, places),), bias, places.shape, tensor.element)


@operator("Pad", until=10, attributes=("mode", "pads", "value"), refused="negative pads in modes edge and reflect")
@operator("Pad", since=11, attributes=("mode",), refused="negative pads in modes edge, reflect and wrap")
def pad(call: Call) -> Value:
    """A placing map with the value as bias, or a selection."""
    tensor, value = call.tensor(0), call.number("value", 0.0)
    if call.optional(2) is not None:
        stored = call.weights(call.constant(2), tensor.element)
        if stored.size != 1:
            raise call.shape_error("the value must be a scalar", list(stored.shape))
        value = float(stored.reshape(-1)[0])
    rank = len(tensor.shape)
    axes = tuple(range(rank)) if call.optional(3) is None else call.axes(call.constant_integers(3), rank)
    return _padded(call, call.listed("pads", 1) or (), axes, value)
