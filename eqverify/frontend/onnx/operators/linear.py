"""CumSum and Einsum of one computed tensor."""

from __future__ import annotations

import math
import string
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray, IntArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.limits import MAX_COMPONENTS, MAX_DENSE_ENTRIES, MAX_WINDOW_READS
from eqverify.frontend.onnx.operators.arithmetic import nonlinear
from eqverify.frontend.onnx.operators.indexing import indices_of
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value
from eqverify.network import Dense, LinearMap, Sparse
from eqverify.network.convolution import Convolution

_LETTERS = string.ascii_letters


@operator("CumSum", since=11, attributes=("exclusive", "reverse"), refused="a computed axis")
def cumulated(call: Call) -> Value:
    """A convolution with ones over the padded axis, between selections."""
    tensor, given = call.tensor(0), indices_of(call, 1)
    if given.size != 1:
        raise call.shape_error("the axis must be one number", list(given.shape))
    axis = call.axis(int(given.reshape(-1)[0]), len(tensor.shape))
    exclusive, reverse, extent = call.flag("exclusive"), call.flag("reverse"), tensor.shape[axis]
    if tensor.size * extent > MAX_WINDOW_READS:
        raise call.error("too-large", "the sums are of too many components", value=tensor.size * extent)
    builder, name = call.builder, call.builder.helper_name
    moved = np.moveaxis(component_indices(tensor), axis, -1)
    rows = builder.select(name(call.name, "rows"), tensor, moved.reshape(-1, extent))
    kernel = np.ones((1, 1, 1, extent))
    if exclusive:
        kernel[..., 0 if reverse else -1] = 0.0
    pads = ((0, 0), (0, extent - 1)) if reverse else ((0, extent - 1), (0, 0))
    sums = Convolution(kernel, (tensor.size // extent, extent), (1, 1), (1, 1), *pads)
    back = np.moveaxis(component_indices(Tensor("", moved.shape, tensor.element)), -1, axis)
    unmoved = np.array_equal(back.reshape(-1), np.arange(back.size))
    total = builder.linear(call.name if unmoved else name(call.name, "sums"), rows, sums, moved.shape)
    return builder.select(call.name, total, back)


@operator(
    "Einsum",
    since=12,
    attributes=("equation",),
    refused="two computed inputs; two constant ones and more; a constant axis summed alone; an ellipsis that is summed",
)
def einsum(call: Call) -> Value:
    """A matrix; of two inputs, one at least must be constant, each of its axes one of the other input or the result."""
    values = [call.value(index) for index in range(len(call.inputs))]
    branches = [value for value in values if isinstance(value, Tensor)]
    if len(branches) > 1:
        raise nonlinear(call)
    if len(values) > 2:
        raise call.error("unsupported-form", "more than one constant factor is not read", value=len(values))
    (branch,) = branches
    terms, result = _axes(call, [value.shape for value in values])
    extents: dict[str, int] = {}
    for letters, value in zip(terms, values, strict=True):
        for letter, extent in zip(letters, value.shape, strict=True):
            if extents.setdefault(letter, extent) != extent:
                raise call.error("unsupported-form", "extents of one axis differ", value=f"{extents[letter]}, {extent}")
    own = terms[values.index(branch)]
    loose = set(extents) - set(own) - set(result)
    if loose:
        raise call.error("unsupported-form", "a constant is summed alone", value="".join(sorted(loose)))
    order, entries = "".join(extents), math.prod(extents.values())
    if entries > MAX_COMPONENTS:
        raise call.error("too-large", "it has too many products", value=entries)
    shape = call.checked(tuple(extents[letter] for letter in result))
    places = np.arange(math.prod(shape), dtype=np.int64).reshape(shape)
    rows = _spread(places, result, order, extents)
    columns = _spread(component_indices(branch), own, order, extents)
    weights = np.ones(entries)
    for letters, value in zip(terms, values, strict=True):
        if isinstance(value, Constant):
            weights = _spread(call.weights(value, branch.element), letters, order, extents)
    return call.builder.linear(call.name, branch, _matrix(rows, columns, weights, math.prod(shape), branch.size), shape)


def _matrix(rows: IntArray, columns: IntArray, weights: FloatArray, height: int, width: int) -> LinearMap:
    """The map with these entries, no two of which are at one place."""
    if weights.size * 4 < height * width or height * width > MAX_DENSE_ENTRIES:
        return Sparse.from_entries(rows, columns, weights, (height, width))
    dense = np.zeros((height, width))
    dense[rows, columns] = weights
    return Dense(dense)


def _axes(call: Call, shapes: list[tuple[int, ...]]) -> tuple[list[str], str]:
    """The letters of each input's axes and of the result's; those of an ellipsis are new ones."""
    equation = call.text("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    terms, free = left.split(","), [letter for letter in _LETTERS if letter not in equation]
    if len(terms) != len(shapes) or any(set(t.replace("...", "", 1)) - set(_LETTERS) for t in (*terms, result)):
        raise call.error("bad-attribute", "the equation is not understood", value=equation)
    hidden = {len(shape) - len(t) + 3 for t, shape in zip(terms, shapes, strict=True) if "..." in t}
    if len(hidden) > 1 or min(hidden, default=0) < 0 or ("..." in result and not hidden):
        raise call.error("unsupported-form", "ellipses of different ranks are not read", value=equation)
    dots = "".join(free[: next(iter(hidden), 0)])
    if not arrow:
        letters = sorted(letter for letter in left if letter in _LETTERS)
        result = "..." * bool(hidden) + "".join(letter for letter in letters if letters.count(letter) == 1)
    named = [term.replace("...", dots) for term in terms]
    result = result.replace("...", dots)
    if any(len(t) != len(s) for t, s in zip(named, shapes, strict=True)) or len(set(result)) != len(result):
        raise call.error("bad-attribute", "the equation does not fit the inputs", value=equation)
    if (hidden and not set(dots) <= set(result)) or not set(result) <= set("".join(named)):
        raise call.error("unsupported-form", "the result lacks axes of the ellipsis, or has others", value=equation)
    return named, result


def _spread(array: npt.NDArray[Any], letters: str, order: str, extents: dict[str, int]) -> npt.NDArray[Any]:
    """(products,) what each product takes of an array: its axes in another order, repeated along those it lacks."""
    distinct = "".join(dict.fromkeys(letters))
    if distinct != letters:
        array = np.einsum(array, [order.index(c) for c in letters], [order.index(c) for c in distinct])
    ordered = np.transpose(array, [distinct.index(c) for c in order if c in distinct])
    spread = ordered.reshape([extents[c] if c in distinct else 1 for c in order])
    return np.broadcast_to(spread, [extents[c] for c in order]).reshape(-1)
