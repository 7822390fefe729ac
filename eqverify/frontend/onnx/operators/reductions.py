"""ReduceSum, ReduceMean, ReduceL1, ReduceMax, ReduceMin over fixed axes, and Mean of several tensors."""

from __future__ import annotations

import math

import numpy as np

from eqverify.arrays import IntArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_WINDOW_READS
from eqverify.frontend.onnx.operators.arithmetic import sum_of
from eqverify.frontend.onnx.operators.piecewise import Operand, magnitude, maximum
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Tensor, Value
from eqverify.network import Diagonal
from eqverify.network.convolution import Convolution

Shape = tuple[int, ...]


def _axes(call: Call) -> tuple[int, ...] | None:
    """The axes to reduce; None where nothing is to be done."""
    rank, given = len(call.tensor(0).shape), call.listed("axes", 1)
    if not given:
        return None if call.flag("noop_with_empty_axes") else tuple(range(rank))
    return call.axes(given, rank)


def _grouped(call: Call, axes: tuple[int, ...]) -> tuple[IntArray, Shape]:
    """What each component of the result is made of, (results, reduced), and the shape of the result."""
    tensor = call.tensor(0)
    rest = tuple(axis for axis in range(len(tensor.shape)) if axis not in axes)
    outside = tuple(tensor.shape[axis] for axis in rest)
    keepdims = call.integer("keepdims", 1) != 0
    shape = tuple(1 if axis in axes else n for axis, n in enumerate(tensor.shape)) if keepdims else outside
    indices = component_indices(tensor).transpose((*rest, *axes))
    return indices.reshape(math.prod(outside), math.prod(tensor.shape[axis] for axis in axes)), shape


def _summed(call: Call, *, mean: bool = False, absolute: bool = False) -> Value:
    """A selection that brings the summands together, a convolution with ones, and for means a diagonal map."""
    tensor, axes = call.tensor(0), _axes(call)
    if axes is None and absolute:
        raise call.error("unsupported-form", "runtimes disagree on what it does along no axes")
    if axes is None:
        return tensor
    groups, shape = _grouped(call, axes)
    results, count = groups.shape
    builder, name = call.builder, call.builder.helper_name
    if absolute:
        tensor = magnitude(call, name(call.name, "magnitude") if count > 1 else call.name, tensor)
    if count == 1:
        return tensor.reshaped(shape)
    gathered = builder.select(name(call.name, "gathered"), tensor, groups)
    ones, none = (1, 1), (0, 0)
    linear = Convolution(np.ones((1, 1, 1, count)), (results, count), ones, ones, none, none)
    total = builder.linear(name(call.name, "sum") if mean else call.name, gathered, linear, shape)
    if not mean:
        return total
    divisor = Diagonal(np.ones(results), np.full(results, float(count)))
    return builder.linear(call.name, total, divisor, shape)


def _extreme(call: Call, sign: float) -> Value:
    tensor, axes = call.tensor(0), _axes(call)
    if axes is None:
        return tensor
    groups, shape = _grouped(call, axes)
    if groups.size > MAX_WINDOW_READS:
        raise call.error("too-large", "too many components are reduced", value=groups.size)
    return maximum(call, [Operand(tensor, column) for column in groups.T], shape, sign)


_BY_ATTRIBUTE, _BY_INPUT = ("axes", "keepdims"), ("keepdims", "noop_with_empty_axes")


@operator("ReduceSum", until=12, attributes=_BY_ATTRIBUTE)
@operator("ReduceSum", since=13, attributes=_BY_INPUT, refused="computed axes")
def reduce_sum(call: Call) -> Value:
    """A convolution with ones, after a selection where the axes are not the last ones."""
    return _summed(call)


@operator("ReduceL1", until=17, attributes=_BY_ATTRIBUTE)
@operator("ReduceL1", since=18, attributes=_BY_INPUT, refused="computed axes; noop_with_empty_axes")
def reduce_magnitudes(call: Call) -> Value:
    """ReLU nodes, as Abs, then as ReduceSum."""
    return _summed(call, absolute=True)


@operator("ReduceMean", until=17, attributes=_BY_ATTRIBUTE)
@operator("ReduceMean", since=18, attributes=_BY_INPUT, refused="computed axes")
def reduce_mean(call: Call) -> Value:
    """As ReduceSum, then a diagonal map with the count as divisor."""
    return _summed(call, mean=True)


@operator("ReduceMax", until=17, attributes=_BY_ATTRIBUTE)
@operator("ReduceMax", since=18, attributes=_BY_INPUT, refused="computed axes")
def reduce_max(call: Call) -> Value:
    """ReLU nodes, as Max."""
    return _extreme(call, 1.0)


@operator("ReduceMin", until=17, attributes=_BY_ATTRIBUTE)
@operator("ReduceMin", since=18, attributes=_BY_INPUT, refused="computed axes")
def reduce_min(call: Call) -> Value:
    """ReLU nodes, as Min."""
    return _extreme(call, -1.0)


@operator("Mean", since=8)
def mean_of_many(call: Call) -> Value:
    """As Sum, then a diagonal map with the count as divisor."""
    count = len(call.inputs)
    if count == 1:
        return call.tensor(0)
    total: Tensor = sum_of(call, call.builder.helper_name(call.name, "sum"))
    divisor = Diagonal(np.ones(total.size), np.full(total.size, float(count)))
    return call.builder.linear(call.name, total, divisor, total.shape)
