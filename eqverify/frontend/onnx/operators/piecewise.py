"""Max, Min, Clip, Abs, LeakyRelu, PRelu by exact identities in affine maps and ReLU."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray, IntArray
from eqverify.frontend.onnx.builder import component_indices, selection_map
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.operators.arithmetic import same_element
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.values import ELEMENTS, Constant, Tensor, Value
from eqverify.network import Diagonal, Identity, Term
from eqverify.network.gathering import ScaledSelection


@dataclass(frozen=True, slots=True, eq=False)
class Operand:
    """Components of a tensor that take part in a maximum.

    Attributes:
        tensor: the tensor.
        indices: (n,) flat indices into it.
    """

    tensor: Tensor
    indices: IntArray

    def term(self, factor: float = 1.0) -> Term:
        """These components times `factor`."""
        if factor == 1.0:
            return Term(self.tensor.source, selection_map(self.tensor, self.indices))
        scale = np.full(self.indices.size, factor)
        return Term(self.tensor.source, ScaledSelection(self.indices, scale, self.tensor.size))


def maximum(
    call: Call, operands: list[Operand], shape: tuple[int, ...], sign: float = 1.0, name: str | None = None
) -> Tensor:
    """The component-wise maximum (minimum for sign -1) as tensor `name`, pair by pair: max(a, b) = b + relu(a - b)."""
    element = operands[0].tensor.element
    while len(operands) > 1:
        paired = [
            _larger(call, first, second, sign) for first, second in zip(operands[::2], operands[1::2], strict=False)
        ]
        operands = paired + operands[2 * len(paired) :]
    bias = np.zeros(operands[0].indices.size)
    return call.builder.affine(name or call.name, (operands[0].term(),), bias, call.checked(shape), element)


def _larger(call: Call, first: Operand, second: Operand, sign: float) -> Operand:
    size, element = first.indices.size, first.tensor.element
    name = call.builder.helper_name
    terms = (first.term(sign), second.term(-sign))
    difference = call.builder.affine(name(call.name, "difference"), terms, np.zeros(size), (size,), element)
    excess = call.builder.relu(name(call.name, "excess"), difference)
    terms = (second.term(), Operand(excess, np.arange(size)).term(sign))
    larger = call.builder.affine(name(call.name, "pair"), terms, np.zeros(size), (size,), element)
    return Operand(larger, np.arange(size))


def bounded(call: Call, name: str, tensor: Tensor, bound: FloatArray, sign: float) -> Tensor:
    """max(x, c) = c + relu(x - c) for sign 1, min(x, c) = c - relu(c - x) for sign -1; c broadcast to x's shape."""
    signs, ones = np.full(tensor.size, sign), np.ones(tensor.size)
    helper, builder = call.builder.helper_name, call.builder
    term = Term(tensor.source, Identity(tensor.size) if sign > 0 else Diagonal(signs, ones))
    excess = builder.affine(helper(name, "difference"), (term,), -sign * bound, tensor.shape, tensor.element)
    excess = builder.relu(helper(name, "excess"), excess)
    term = Term(excess.source, Identity(tensor.size) if sign > 0 else Diagonal(signs, ones))
    return builder.affine(name, (term,), bound, tensor.shape, tensor.element)


def _extremum(call: Call, sign: float) -> Value:
    values = [call.value(index) for index in range(len(call.inputs))]
    branches = [value for value in values if isinstance(value, Tensor)]
    same_element(call, *branches)
    element = branches[0].element
    shape = call.broadcast(*(value.shape for value in values))
    operands = [Operand(b, np.broadcast_to(component_indices(b), shape).reshape(-1)) for b in branches]
    constants = [call.weights(value, element) for value in values if isinstance(value, Constant)]
    if not constants:
        return maximum(call, operands, shape, sign)
    reduce = np.maximum if sign > 0 else np.minimum
    bound = np.broadcast_to(constants[0], shape)
    for other in constants[1:]:
        bound = reduce(bound, other)
    largest = maximum(call, operands, shape, sign, call.builder.helper_name(call.name, "branches"))
    return bounded(call, call.name, largest, bound.reshape(-1), sign)


@operator("Max", since=8)
def max_of(call: Call) -> Value:
    """ReLU nodes: max(a, b) = b + relu(a - b)."""
    return _extremum(call, 1.0)


@operator("Min", since=8)
def min_of(call: Call) -> Value:
    """ReLU nodes: min(a, b) = b - relu(b - a)."""
    return _extremum(call, -1.0)


def _clipped(call: Call, low: FloatArray | None, high: FloatArray | None) -> Value:
    """min(max(x, low), high), either bound absent where it is None."""
    tensor = call.tensor(0)
    if low is not None and high is not None and low.reshape(-1)[0] > high.reshape(-1)[0]:
        raise call.error("unsupported-form", "the lower bound is above the upper one")
    for bound, sign, last in ((low, 1.0, high is None), (high, -1.0, True)):
        if bound is not None:
            name = call.name if last else call.builder.helper_name(call.name, "low")
            tensor = bounded(call, name, tensor, np.broadcast_to(bound.reshape(-1), tensor.size), sign)
    return tensor


def _absent(call: Call, bound: npt.NDArray[Any], element: str, sign: float) -> bool:
    """Whether a bound stands for none: at or beyond that end of the type's numbers (exporters write either).

    Args:
        call: is told of one that is a number, for values beyond it to be looked for.
        bound: one number.
        element: the type of what is bounded.
        sign: 1 for an upper bound, -1 for a lower one: a lower bound at the upper end is one that matters.
    """
    absent = bool(sign * bound.astype(np.float64) >= np.finfo(ELEMENTS[element]).max)
    if absent and np.isfinite(bound).all():
        call.builder.open_ends.append(call.name)
    return absent


@operator("Clip", until=10, attributes=("min", "max"), refused="min above max")
def clip_by_attribute(call: Call) -> Value:
    """Two ReLU nodes: a maximum with the lower and a minimum with the upper bound."""
    element, bounds = call.tensor(0).element, []
    for key, sign in (("min", -1.0), ("max", 1.0)):
        bound = np.array([call.any_number(key, sign * np.inf)])  # they default to the ends of the type
        bounds.append(None if _absent(call, bound, element, sign) else call.finite(bound, f"attribute {key!r}"))
    return _clipped(call, *bounds)


@operator("Clip", since=11, refused="computed bounds; min above max")
def clip(call: Call) -> Value:
    """Two ReLU nodes: a maximum with the lower and a minimum with the upper bound."""
    element = call.tensor(0).element
    bounds = []
    for index, sign in ((1, -1.0), (2, 1.0)):
        bound = call.constant(index) if call.optional(index) is not None else None
        if bound is not None and bound.array.size != 1:
            raise call.shape_error("a bound must be a scalar", list(bound.shape))
        absent = bound is None or _absent(call, bound.array, element, sign)
        bounds.append(None if bound is None or absent else call.weights(bound, element))
    return _clipped(call, *bounds)


@operator("Abs")
def absolute(call: Call) -> Value:
    """A ReLU node: |x| = 2 relu(x) - x."""
    return magnitude(call, call.name, call.tensor(0))


def magnitude(call: Call, name: str, tensor: Tensor) -> Tensor:
    """|x| = 2 relu(x) - x as tensor `name`."""
    return _leaky(call, tensor, np.full(tensor.size, -1.0), name)


def _leaky(call: Call, tensor: Tensor, slope: FloatArray, name: str | None = None) -> Tensor:
    """slope * x + (1 - slope) * relu(x); in two terms, relu(x) - slope * relu(x), where 1 - slope is no float64."""
    rest, ones = 1.0 - slope, np.ones(tensor.size)
    pairs = set(zip(rest.tolist(), slope.tolist(), strict=True))
    exact = all(Fraction(left) + Fraction(given) == 1 for left, given in pairs)
    positive = call.builder.relu(call.builder.helper_name(call.name, "relu"), tensor).source
    split = (Term(positive, Identity(tensor.size)), Term(positive, Diagonal(-slope, ones)))
    above = (Term(positive, Diagonal(rest, ones)),) if exact else split
    terms = (Term(tensor.source, Diagonal(slope, ones)), *above)
    return call.builder.affine(name or call.name, terms, np.zeros(tensor.size), tensor.shape, tensor.element)


@operator("HardSigmoid", attributes=("alpha", "beta"))
def hard_sigmoid(call: Call) -> Value:
    """Two ReLU nodes: alpha * x + beta, then a maximum with 0 and a minimum with 1."""
    tensor, helper = call.tensor(0), call.builder.helper_name
    # The default is the float32 number nearest to 0.2.
    slope = np.full(tensor.size, call.number("alpha", float(np.float32(0.2))))
    linear = Diagonal(slope, np.ones(tensor.size))
    bias = np.full(tensor.size, call.number("beta", 0.5))
    line = call.builder.affine(
        helper(call.name, "line"), (Term(tensor.source, linear),), bias, tensor.shape, tensor.element
    )
    lifted = bounded(call, helper(call.name, "low"), line, np.zeros(tensor.size), 1.0)
    return bounded(call, call.name, lifted, np.ones(tensor.size), -1.0)


@operator("LeakyRelu", attributes=("alpha",))
def leaky_relu(call: Call) -> Value:
    """A ReLU node: slope * x + (1 - slope) * relu(x)."""
    tensor = call.tensor(0)
    # The default is the float32 number nearest to 0.01.
    return _leaky(call, tensor, np.full(tensor.size, call.number("alpha", float(np.float32(0.01)))))


@operator("PRelu", refused="computed slopes")
def prelu(call: Call) -> Value:
    """A ReLU node: slope * x + (1 - slope) * relu(x), slopes broadcast to x."""
    tensor = call.tensor(0)
    slope = call.weights(call.constant(1), tensor.element)
    if call.broadcast(tensor.shape, slope.shape) != tensor.shape:
        raise call.shape_error("the slopes cannot be broadcast to the input", list(slope.shape), list(tensor.shape))
    return _leaky(call, tensor, np.broadcast_to(slope, tensor.shape).reshape(math.prod(tensor.shape)))
