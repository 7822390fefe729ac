"""GatherElements, GatherND, their Scatters, stored Where, Trilu, ReverseSequence: components at constant places."""

from __future__ import annotations

import math

import numpy as np

from eqverify.arrays import IntArray
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.operators.arithmetic import same_element
from eqverify.frontend.onnx.operators.pieces import placed
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value

Shape = tuple[int, ...]


def combined(call: Call, parts: list[tuple[Value, IntArray]], shape: Shape, name: str | None = None) -> Value:
    """The sum of component k of each value where its places are k, and of 0 where they are negative.

    Args:
        call: names the result.
        parts: values with places of the result's shape; those of constants do not overlap.
        shape: of the result.
        name: of the result, where it is not the node's.
    """
    name = name or call.name
    flat = [(value, places.reshape(-1)) for value, places in parts]
    parts = [(value, places) for value, places in flat if (places >= 0).any()] or flat[:1]
    branches = [value for value, _ in parts if isinstance(value, Tensor)]
    if not branches:
        return _stored(call, parts, shape)
    same_element(call, *branches)
    element = branches[0].element
    if len(parts) == 1 and (parts[0][1] >= 0).all():
        return call.builder.select(name, branches[0], parts[0][1].reshape(shape))
    bias, terms = np.zeros(math.prod(call.checked(shape))), []
    for value, places in parts:
        if isinstance(value, Tensor):
            terms.append(placed(value, places))
        else:
            read = Constant(value.name, value.array.reshape(-1)[places[places >= 0]], value.declared)
            bias[places >= 0] += call.weights(read, element)
    return call.builder.affine(name, tuple(terms), bias, shape, element)


def _stored(call: Call, parts: list[tuple[Value, IntArray]], shape: Shape) -> Constant:
    constants = [(value, places) for value, places in parts if isinstance(value, Constant)]
    first = constants[0][0]
    if any(value.element != first.element for value, _ in constants):
        raise call.error("element-type", "the inputs have different element types")
    array = np.zeros(math.prod(shape), dtype=first.array.dtype)
    for value, places in constants:
        array[places >= 0] = value.array.reshape(-1)[places[places >= 0]]
    return Constant(call.name, array.reshape(shape), first.declared)


def indices_of(call: Call, index: int) -> IntArray:
    """Input `index`, constant integers of any shape."""
    constant = call.constant(index)
    if constant.array.dtype.kind not in "iu":
        raise call.error("element-type", "indices must be integers", value=str(constant.array.dtype))
    return constant.array.astype(np.int64)


def _places(shape: Shape) -> IntArray:
    """The flat index of every component of a tensor of `shape`."""
    return np.arange(math.prod(shape), dtype=np.int64).reshape(shape)


def _counted(call: Call, indices: IntArray, extents: IntArray | int, shape: Shape) -> IntArray:
    """Indices counted from the front, once they are known to be inside."""
    if ((indices < -np.asarray(extents)) | (indices >= extents)).any():
        raise call.shape_error("an index is out of range", list(indices.shape), list(shape))
    return np.where(indices < 0, indices + extents, indices)


def _along_axis(call: Call, indices: IntArray, shape: Shape, axis: int) -> IntArray:
    """(indices' shape) the flat place that each index means along an axis, in a tensor of `shape`."""
    beside = zip(indices.shape, shape, strict=False)
    if indices.ndim != len(shape) or any(n > m for k, (n, m) in enumerate(beside) if k != axis):
        raise call.shape_error("the indices do not fit the input", list(indices.shape), list(shape))
    call.checked(indices.shape)
    grid = np.indices(indices.shape, dtype=np.int64)
    grid[axis] = _counted(call, indices, shape[axis], shape)
    return np.asarray(_places(shape)[tuple(grid)])


def _by_tuples(call: Call, indices: IntArray, shape: Shape, batch: int) -> IntArray:
    """The flat places that rows of indices mean, behind `batch` common axes, in a tensor of `shape`."""
    rank, length = len(shape), indices.shape[-1] if indices.ndim else 0
    fits = 0 <= batch < indices.ndim and 1 <= length <= rank - batch and indices.shape[:batch] == shape[:batch]
    if not fits:
        raise call.shape_error("the indices do not fit the input", list(indices.shape), list(shape))
    rest = shape[batch + length :]
    call.checked((*indices.shape[:-1], *rest))
    rows = _counted(call, indices, np.array(shape[batch : batch + length]), shape)
    lead = np.indices(indices.shape[:-1], dtype=np.int64)[:batch]
    return np.asarray(_places(shape)[(*lead, *np.moveaxis(rows, -1, 0))])


@operator("GatherElements", since=11, attributes=("axis",), refused="computed indices")
def gather_elements(call: Call) -> Value:
    """A selection; the indices must be constant."""
    shape = call.value(0).shape
    axis = call.axis(call.integer("axis", 0), len(shape))
    places = _along_axis(call, indices_of(call, 1), shape, axis)
    return combined(call, [(call.value(0), places)], places.shape)


@operator("GatherND", since=11, attributes=("batch_dims",), refused="computed indices")
def gather_nd(call: Call) -> Value:
    """A selection; the indices must be constant."""
    places = _by_tuples(call, indices_of(call, 1), call.value(0).shape, call.integer("batch_dims", 0))
    return combined(call, [(call.value(0), places)], places.shape)


def _scattered(call: Call, target: IntArray) -> Value:
    """The first input with components of the third at the places `target`, instead of its own or (`add`) on top."""
    data, updates = call.value(0), call.value(2)
    if updates.shape != target.shape:
        raise call.shape_error("the updates do not fit the indices", list(updates.shape), list(target.shape))
    reduction = call.text("reduction", "none")
    if reduction not in ("none", "add"):
        raise call.error("unsupported-attribute", "this 'reduction' is not read", value=reduction)
    size, flat = math.prod(call.checked(data.shape)), target.reshape(-1)
    if np.unique(flat).size != flat.size:
        raise call.error("unsupported-form", "an index is there twice, so that the order of updates matters")
    if reduction == "add" and isinstance(data, Constant) and isinstance(updates, Constant):
        raise call.error("unsupported-form", "sums of constants at places are not read")
    own, new = np.arange(size), np.full(size, -1)
    new[flat] = np.arange(flat.size)
    if reduction == "none":
        own[flat] = -1
    return combined(call, [(data, own), (updates, new)], data.shape)


@operator("Scatter", since=9, until=10, attributes=("axis",), refused="computed indices; an index twice")
@operator(
    "ScatterElements",
    since=11,
    attributes=("axis", "reduction"),
    refused="computed indices; an index twice; reductions mul, max and min",
)
def scatter_elements(call: Call) -> Value:
    """An affine node of two placing maps; the indices must be constant, and none twice."""
    shape = call.value(0).shape
    axis = call.axis(call.integer("axis", 0), len(shape))
    return _scattered(call, _along_axis(call, indices_of(call, 1), shape, axis))


@operator(
    "ScatterND",
    since=11,
    attributes=("reduction",),
    refused="computed indices; an index twice; reductions mul, max and min",
)
def scatter_nd(call: Call) -> Value:
    """An affine node of two placing maps; the indices must be constant, and none twice."""
    return _scattered(call, _by_tuples(call, indices_of(call, 1), call.value(0).shape, 0))


def where_stored(call: Call) -> Value:
    """Where with a stored condition: a placing map per branch, constants as bias; the condition must be constant."""
    condition, values = call.constant(0).array, [call.value(1), call.value(2)]
    if condition.dtype != np.bool_:
        raise call.error("element-type", "the condition must be truth values", value=str(condition.dtype))
    shape = call.broadcast(condition.shape, *(value.shape for value in values))
    parts: list[tuple[Value, IntArray]] = []
    for value, chosen in zip(values, (condition, ~condition), strict=True):
        own = np.broadcast_to(_places(value.shape), shape)
        parts.append((value, np.where(np.broadcast_to(chosen, shape), own, -1)))
    return combined(call, parts, shape)


@operator("Trilu", since=14, attributes=("upper",))
def trilu(call: Call) -> Value:
    """A placing map, with zeros elsewhere."""
    shape = call.value(0).shape
    offset = 0 if call.optional(1) is None else int(indices_of(call, 1).reshape(-1)[0])
    if len(shape) < 2:
        raise call.shape_error("the input must be a matrix or a stack of them", list(shape))
    rows, columns = np.indices(shape[-2:])
    inside = columns - rows >= offset if call.integer("upper", 1) else columns - rows <= offset
    places = np.where(inside, _places(shape), -1)
    return combined(call, [(call.value(0), places)], shape)


@operator("ReverseSequence", since=10, attributes=("batch_axis", "time_axis"), refused="computed lengths")
def reverse_sequence(call: Call) -> Value:
    """A selection; the lengths must be constant."""
    shape, lengths = call.value(0).shape, call.constant_integers(1)
    batch, time = call.integer("batch_axis", 1), call.integer("time_axis", 0)
    if {batch, time} != {0, 1} or len(shape) < 2:
        raise call.error("bad-attribute", "the first two axes must be time and batch", value=f"{time} and {batch}")
    extent = shape[time]
    if len(lengths) != shape[batch] or not all(1 <= length <= extent for length in lengths):
        raise call.shape_error("the lengths do not fit the input", list(lengths), list(shape))
    indices = np.moveaxis(_places(shape), (batch, time), (0, 1)).copy()
    for row, length in zip(indices, lengths, strict=True):
        row[:length] = row[:length][::-1].copy()
    return combined(call, [(call.value(0), np.moveaxis(indices, (0, 1), (batch, time)))], shape)
