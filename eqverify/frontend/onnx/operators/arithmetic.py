"""Add, Sub, Sum, Mul, Div, Neg, Pow, Relu with numpy broadcasting."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.builder import component_indices, selection_map
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import Constant, Tensor, Value
from eqverify.functions import Function, Power, Reciprocal, Sigmoid, Silu, Sqrt
from eqverify.functions.power import LARGEST
from eqverify.network import Diagonal, LinearMap, ScaledSelection, Smooth, Term


def spread(tensor: Tensor, shape: tuple[int, ...]) -> LinearMap:
    """The map that broadcasts a tensor to `shape`."""
    return selection_map(tensor, np.broadcast_to(component_indices(tensor), shape))


def negated(call: Call, tensor: Tensor) -> Tensor:
    """-x as a helper node."""
    name = call.builder.helper_name(call.name, "negated")
    return call.builder.linear(name, tensor, _scaling(-1.0, tensor.size), tensor.shape)


def _scaling(factor: float, size: int) -> Diagonal:
    return Diagonal(np.full(size, factor), np.ones(size))


def _spread_weights(weights: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    return np.broadcast_to(weights, shape).reshape(-1)


@operator("Add")
def add(call: Call) -> Value:
    """An affine node: a bias, or the sum of two branches."""
    return _sum(call, 1.0)


@operator("Sub")
def sub(call: Call) -> Value:
    """An affine node: a bias, a negation with a bias, or the difference of two branches."""
    return _sum(call, -1.0)


def _sum(call: Call, sign: float) -> Value:
    """first + sign * second, at most one of them constant."""
    first, second = call.value(0), call.value(1)
    shape = call.broadcast(first.shape, second.shape)
    if isinstance(first, Constant):
        branch = call.tensor(1)
        bias = call.weights(first, branch.element)
        source = branch if sign > 0 or branch.shape == shape else negated(call, branch)
        plain = sign > 0 or source is not branch
        term = Term(source.source, spread(source, shape) if plain else _scaling(-1.0, branch.size))
        return call.builder.affine(call.name, (term,), _spread_weights(bias, shape), shape, branch.element)
    if isinstance(second, Constant):
        bias = sign * call.weights(second, first.element)
        term = Term(first.source, spread(first, shape))
        return call.builder.affine(call.name, (term,), _spread_weights(bias, shape), shape, first.element)
    return _sum_of_branches(call, first, second, sign, shape)


def _sum_of_branches(call: Call, first: Tensor, second: Tensor, sign: float, shape: tuple[int, ...]) -> Tensor:
    same_element(call, first, second)
    size = int(np.prod(shape))
    if sign > 0:
        other = Term(second.source, spread(second, shape))
    elif second.shape == shape:
        other = Term(second.source, _scaling(-1.0, size))
    else:
        opposite = negated(call, second)
        other = Term(opposite.source, spread(opposite, shape))
    terms = (Term(first.source, spread(first, shape)), other)
    return call.builder.affine(call.name, terms, np.zeros(size), shape, first.element)


def same_element(call: Call, *tensors: Tensor) -> None:
    """Refuse computed inputs of different element types."""
    elements = [tensor.element for tensor in tensors]
    if len(set(elements)) > 1:
        raise call.error("element-type", "the inputs have different element types", value=" and ".join(elements))


@operator("Mul", refused="a product of two computed values")
def mul(call: Call) -> Value:
    """A diagonal map; a product of two branches is refused."""
    if call.smooth and all(isinstance(value, Tensor) for value in call.inputs):
        return multiplied(call, call.name, call.tensor(0), call.tensor(1))
    branch, factor, _ = branch_and_constant(call)
    return scaled(call, branch, scale=call.weights(factor, branch.element))


@operator("Div", refused="a computed divisor")
def div(call: Call) -> Value:
    """A diagonal map with the divisor kept apart; division by a branch is refused."""
    if call.smooth and isinstance(call.value(1), Tensor):
        return _quotient(call, call.value(0), call.tensor(1))
    if isinstance(call.value(1), Tensor):
        raise nonlinear(call)
    branch = call.tensor(0)
    divisor = call.weights(call.constant(1), branch.element)
    if not divisor.all():
        raise call.error("division-by-zero", "a constant divisor is zero", value=call.constant(1).name)
    return scaled(call, branch, divisor=divisor)


def multiplied(call: Call, name: str, one: Tensor, other: Tensor) -> Tensor:
    """The product of two branches as the tensor `name`: a smooth node for a square, and for x times its sigmoid."""
    same_element(call, one, other)
    if one.shape == other.shape:
        for left, right in ((one, other), (other, one)):
            if left.source == right.source:
                return call.builder.smooth(name, left, Power(2))
            made = call.builder.made(right)
            if isinstance(made, Smooth) and made.function == Sigmoid() and made.argument == left.source:
                return call.builder.smooth(name, left, Silu())
    shape = call.broadcast(one.shape, other.shape)
    left, right = (
        call.builder.select(
            call.builder.helper_name(name, "factor"), branch, np.broadcast_to(component_indices(branch), shape)
        )
        for branch in (one, other)
    )
    return call.builder.product(name, left, right)


def _quotient(call: Call, dividend: Value, divisor: Tensor) -> Tensor:
    """A quotient by a branch: a product with its reciprocal."""
    name = call.builder.helper_name(call.name, "reciprocal")
    reciprocal = call.builder.smooth(name, divisor, Reciprocal())
    if isinstance(dividend, Tensor):
        return multiplied(call, call.name, dividend, reciprocal)
    return scaled(call, reciprocal, scale=call.weights(dividend, divisor.element))


def branch_and_constant(call: Call) -> tuple[Tensor, Constant, bool]:
    """The computed and the stored one of two inputs, and whether the computed one comes first; both is refused."""
    if not isinstance(call.value(0), Tensor):
        return call.tensor(1), call.constant(0), False
    if isinstance(call.value(1), Tensor):
        raise nonlinear(call)
    return call.tensor(0), call.constant(1), True


def nonlinear(call: Call) -> Exception:
    """The error for a product or quotient of two computed values."""
    return call.error(
        "nonlinear",
        "both inputs depend on the network's input, so the result is not piecewise linear",
        hint="only products with and quotients by constants can be read",
    )


def scaled(call: Call, branch: Tensor, *, scale: FloatArray | None = None, divisor: FloatArray | None = None) -> Tensor:
    """branch * scale / divisor with broadcasting; the branch is repeated first where the other shape is larger."""
    factors = scale if scale is not None else divisor
    assert factors is not None
    shape = call.broadcast(branch.shape, factors.shape)
    if (factors == 1).all():
        return call.builder.select(call.name, branch, np.broadcast_to(component_indices(branch), shape))
    if int(np.prod(shape)) != branch.size:
        name = call.builder.helper_name(call.name, "broadcast")
        branch = call.builder.select(name, branch, np.broadcast_to(component_indices(branch), shape))
    ones = np.ones(branch.size)
    spread_factors = _spread_weights(factors, shape)
    linear = Diagonal(spread_factors, ones) if scale is not None else Diagonal(ones, spread_factors)
    return call.builder.linear(call.name, branch, linear, shape)


@operator("Neg")
def neg(call: Call) -> Value:
    """A diagonal map of -1."""
    tensor = call.tensor(0)
    return call.builder.linear(call.name, tensor, _scaling(-1.0, tensor.size), tensor.shape)


@operator("Pow", refused="other exponents than 1 and 0")
def power(call: Call) -> Value:
    """A selection, for exponents that are 1 or (a one as bias) 0."""
    if isinstance(call.value(1), Tensor):
        raise nonlinear(call)
    tensor, exponents = call.tensor(0), call.constant(1).array
    if call.smooth and exponents.size == 1 and (function := _power(float(exponents.item()))) is not None:
        shape = call.broadcast(tensor.shape, exponents.shape)
        return call.builder.smooth(call.name, tensor.reshaped(shape), function)
    if not np.isin(exponents, (0, 1)).all():
        raise call.error("nonlinear", "only powers of 1 and 0 are piecewise linear", value=call.constant(1).name)
    shape = call.broadcast(tensor.shape, exponents.shape)
    places = np.broadcast_to(component_indices(tensor), shape)
    if exponents.all():
        return call.builder.select(call.name, tensor, places)
    kept = np.broadcast_to(exponents, shape).reshape(-1).astype(np.float64)
    term = Term(tensor.source, ScaledSelection(places.reshape(-1), kept, tensor.size))
    return call.builder.affine(call.name, (term,), 1.0 - kept, shape, tensor.element)


def _power(exponent: float) -> Function | None:
    """x^exponent as a function; None where it is none, or piecewise linear."""
    known: dict[float, Function] = {0.5: Sqrt(), -1.0: Reciprocal()}
    if exponent.is_integer() and 2 <= exponent <= LARGEST:
        return Power(int(exponent))
    return known.get(exponent)


@operator("Relu")
def relu(call: Call) -> Value:
    """A ReLU node."""
    return call.builder.relu(call.name, call.tensor(0))


def sum_of(call: Call, name: str) -> Tensor:
    """The sum of all inputs, as the tensor `name`: one affine node, and one more for each constant but the first."""
    values = [call.value(index) for index in range(len(call.inputs))]
    branches = [value for value in values if isinstance(value, Tensor)]
    same_element(call, *branches)
    shape, element = call.broadcast(*(value.shape for value in values)), branches[0].element
    constants = [call.weights(value, element) for value in values if isinstance(value, Constant)]
    biases = [_spread_weights(bias, shape) for bias in constants or [np.zeros(())]]
    terms = tuple(Term(branch.source, spread(branch, shape)) for branch in branches)
    for bias in biases[:-1]:
        partial = call.builder.affine(call.builder.helper_name(name, "partial"), terms, bias, shape, element)
        terms = (Term(partial.source, spread(partial, shape)),)
    return call.builder.affine(name, terms, biases[-1], shape, element)


@operator("Sum", since=8)
def sum_of_many(call: Call) -> Value:
    """An affine node that adds any number of branches and constants."""
    return sum_of(call, call.name)
