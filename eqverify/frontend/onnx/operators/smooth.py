"""Functions that are not piecewise linear: smooth nodes and products, where these are wanted."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from eqverify.arrays import IntArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.operators.arithmetic import same_element
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Tensor, Value
from eqverify.functions import Cos, Erf, Exp, Function, Log, Reciprocal, Sigmoid, Sin, Softplus, Sqrt, Tanh
from eqverify.network import Convolution, Diagonal, Identity, ScaledSelection, Selection, Term

FUNCTIONS: dict[str, Function] = {
    "Cos": Cos(),
    "Erf": Erf(),
    "Exp": Exp(),
    "Log": Log(),
    "Reciprocal": Reciprocal(),
    "Sigmoid": Sigmoid(),
    "Sin": Sin(),
    "Softplus": Softplus(),
    "Sqrt": Sqrt(),
    "Tanh": Tanh(),
}
"""By operator, what it means."""


def _lowering(function: Function) -> Callable[[Call], Value]:
    def lower(call: Call) -> Value:
        return call.builder.smooth(call.name, call.tensor(0), function)

    lower.__doc__ = f"A smooth node: {function.name}."
    return lower


for _name, _function in FUNCTIONS.items():
    operator(_name, smooth=True)(_lowering(_function))


@operator("Elu", attributes=("alpha",), smooth=True)
def elu(call: Call) -> Value:
    """relu(x) + alpha (exp(-relu(-x)) - 1)."""
    return _exponential_unit(call, call.name, call.number("alpha", 1.0), 1.0)


@operator("Celu", attributes=("alpha",), since=12, smooth=True)
def celu(call: Call) -> Value:
    """relu(x) + alpha (exp(-relu(-x) / alpha) - 1)."""
    alpha = call.number("alpha", 1.0)
    if alpha <= 0:
        raise call.error("unsupported-attribute", "an alpha that is not positive is not read", value=alpha)
    return _exponential_unit(call, call.name, alpha, alpha)


@operator("Selu", attributes=("alpha", "gamma"), smooth=True)
def selu(call: Call) -> Value:
    """gamma times the Elu with alpha."""
    alpha = call.number("alpha", 1.67326319217681884765625)
    unit = _exponential_unit(call, call.builder.helper_name(call.name, "elu"), alpha, 1.0)
    scale = np.full(unit.size, call.number("gamma", 1.05070102214813232421875))
    return call.builder.linear(call.name, unit, Diagonal(scale, np.ones(unit.size)), unit.shape)


def _exponential_unit(call: Call, tensor_name: str, alpha: float, divisor: float) -> Tensor:
    """relu(x) + alpha (exp(-relu(-x) / divisor) - 1), as two ReLU nodes and a smooth one between affine ones."""
    tensor, builder, name = call.tensor(0), call.builder, call.builder.helper_name
    ones = np.ones(tensor.size)
    positive = builder.relu(name(call.name, "positive"), tensor)
    minus = builder.linear(name(call.name, "minus"), tensor, Diagonal(-ones, ones), tensor.shape)
    negative = builder.relu(name(call.name, "negative"), minus)
    exponent = builder.linear(name(call.name, "exponent"), negative, Diagonal(-ones, divisor * ones), tensor.shape)
    power = builder.smooth(name(call.name, "exp"), exponent, Exp())
    terms = Term(positive.source, Identity(tensor.size)), Term(power.source, Diagonal(alpha * ones, ones))
    return builder.affine(tensor_name, terms, -alpha * ones, tensor.shape, tensor.element)


@operator("Softmax", attributes=("axis",), smooth=True)
def softmax(call: Call) -> Value:
    """1 / (1 + the sum of exp(x_j - x_i) over the other j): no quotient of values that depend on each other."""
    tensor, newer = call.tensor(0), call.opset >= _AXIS_OF_VECTOR
    axis = call.axis(call.integer("axis", -1 if newer else 1), len(tensor.shape))
    indices = component_indices(tensor)
    vectors = np.moveaxis(indices, axis, -1) if newer else indices.reshape(math.prod(tensor.shape[:axis]), -1)
    count = vectors.shape[-1]
    vectors = vectors.reshape(-1, count)
    if count == 1:
        raise call.error("unsupported-form", "the Softmax of one component is constant")
    call.checked((len(vectors), count, count - 1))
    others = np.array([[j for j in range(count) if j != i] for i in range(count)])
    name, builder = call.builder.helper_name, call.builder
    terms = (
        Term(tensor.source, Selection(vectors[:, others].reshape(-1), tensor.size)),
        Term(tensor.source, _negated(np.repeat(vectors.reshape(-1), count - 1), tensor.size)),
    )
    zeros, shape = np.zeros(vectors.size * (count - 1)), (vectors.size, count - 1)
    difference = builder.affine(name(call.name, "difference"), terms, zeros, shape, tensor.element)
    ratio = builder.smooth(name(call.name, "ratio"), difference, Exp())
    total = row_sums(call, name(call.name, "sum"), ratio, 1.0)
    share = builder.smooth(name(call.name, "share"), total, Reciprocal())
    return builder.select(call.name, share, np.argsort(vectors.reshape(-1)).reshape(tensor.shape))


_AXIS_OF_VECTOR = 13
"""From this opset on the axis is that of each vector; before, everything from the axis on is one."""


def _negated(indices: IntArray, size: int) -> ScaledSelection:
    return ScaledSelection(indices, np.full(indices.size, -1.0), size)


def row_sums(call: Call, name: str, tensor: Tensor, constant: float = 0.0) -> Tensor:
    """The sums of the rows of a tensor (k, n), plus a constant: (k,), as one affine node."""
    count, width = tensor.shape
    ones, none = (1, 1), (0, 0)
    linear = Convolution(np.ones((1, 1, 1, width)), (count, width), ones, ones, none, none)
    return call.builder.affine(name, (Term(tensor.source, linear),), np.full(count, constant), (count,), tensor.element)


def product_of_matrices(call: Call, left: Tensor, right: Tensor) -> Tensor:
    """A product of two computed matrices, or stacks of them: products of two values, and their sums."""
    same_element(call, left, right)
    if len(left.shape) < 2 or len(right.shape) < 2:
        raise call.error("unsupported-form", "both factors are computed, and one is a vector")
    if left.shape[-1] != right.shape[-2]:
        raise call.shape_error("the inner extents of the product differ", list(left.shape), list(right.shape))
    stack = call.broadcast(left.shape[:-2], right.shape[:-2])
    (rows, inner), columns = left.shape[-2:], right.shape[-1]
    everything = call.checked((*stack, rows, columns, inner))
    read = component_indices(left)[..., :, None, :], np.swapaxes(component_indices(right), -1, -2)[..., None, :, :]
    name, builder = call.builder.helper_name, call.builder
    factors = [
        builder.select(name(call.name, "factor"), tensor, np.broadcast_to(indices, everything))
        for tensor, indices in zip((left, right), read, strict=True)
    ]
    product = builder.product(name(call.name, "products"), *factors)
    return row_sums(call, call.name, product.reshaped((math.prod(everything[:-1]), inner))).reshaped(
        (*stack, rows, columns)
    )
