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
from eqverify.functions import Cos, Erf, Exp, Function, Log, Power, Reciprocal, Sigmoid, Sin, Softplus, Sqrt, Tanh
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


@operator("InstanceNormalization", attributes=("epsilon",), smooth=True)
def instance_normalization(call: Call) -> Value:
    """(x - mean) / sqrt(mean of (x - mean)^2 + epsilon), times scale, plus bias, for each channel."""
    tensor, builder, element = call.tensor(0), call.builder, call.tensor(0).element
    if len(tensor.shape) < 3:
        raise call.shape_error("the input needs a batch, a channel axis and others", list(tensor.shape))
    scale, bias = (call.weights(call.constant(index), element) for index in (1, 2))
    if scale.shape != tensor.shape[1:2] or bias.shape != scale.shape:
        raise call.shape_error("one number per channel is needed", list(scale.shape), list(tensor.shape))
    rows, count = math.prod(tensor.shape[:2]), math.prod(tensor.shape[2:])
    repeated, parts = np.repeat(np.arange(rows), count), tensor.reshaped((rows, count))

    def name(purpose: str) -> str:
        return builder.helper_name(call.name, purpose)

    def mean(values: Tensor, purpose: str, more: float = 0.0) -> Tensor:
        linear = Diagonal(np.ones(rows), np.full(rows, float(count)))
        total = row_sums(call, name(f"{purpose}_sum"), values)
        return builder.affine(name(purpose), (Term(total.source, linear),), np.full(rows, more), (rows,), element)

    middle = mean(parts, "mean")
    terms = Term(parts.source, Identity(parts.size)), Term(middle.source, _negated(repeated, rows))
    centred = builder.affine(name("centred"), terms, np.zeros(parts.size), parts.shape, element)
    squares = builder.smooth(name("squares"), centred, Power(2))
    epsilon = call.number("epsilon", float(np.float32(1e-5)))
    deviation = builder.smooth(name("deviation"), mean(squares, "variance", epsilon), Sqrt())
    share = builder.select(name("shares"), builder.smooth(name("share"), deviation, Reciprocal()), repeated)
    normal = builder.product(name("normal"), centred, share.reshaped(parts.shape))
    spread = [np.repeat(np.tile(numbers, tensor.shape[0]), count) for numbers in (scale, bias)]
    linear = Diagonal(spread[0], np.ones(parts.size))
    return builder.affine(call.name, (Term(normal.source, linear),), spread[1], tensor.shape, element)


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
