"""Quantised operators: integers that stand for real numbers, and roundings to them (specs/quantised.md).

A tensor of integers is read as the real numbers that these are.  Sums of products of integers are exact; what is
rounded is an exact quotient, saturated first, since the ends are integers: round(clip(z)) = clip(round(z)).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray
from eqverify.frontend.onnx.builder import component_indices
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.operators.arithmetic import scaled
from eqverify.frontend.onnx.operators.constants import wider
from eqverify.frontend.onnx.operators.piecewise import bounded
from eqverify.frontend.onnx.operators.products import product_map
from eqverify.frontend.onnx.operators.windows import WINDOW, convolution, groups_of, image_input
from eqverify.frontend.onnx.table import of_scaled, operator
from eqverify.frontend.onnx.tensors import element_name
from eqverify.frontend.onnx.values import ELEMENTS, Constant, Scaled, Tensor, Value
from eqverify.network import Diagonal, Identity, LinearMap, Term
from eqverify.network.gathering import ScaledSelection

_INT32 = 2.0**31
_QUOTIENT = 2.0**-20
"""What a run may be off in a quotient before it rounds it, by its magnitude: five roundings in float32 and more."""

Numbers = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """How integers q stand for real numbers: (q - zero) * scale.

    Attributes:
        scale: (n,) positive, one for each component.
        zero: (n,) integers.
        element: the type of q.
    """

    scale: FloatArray
    zero: FloatArray
    element: str


def _numbers(call: Call, index: int, kinds: str) -> Numbers:
    """A stored input, whose type has to be of these kinds."""
    array = call.constant(index).array
    if array.dtype.kind not in kinds or not np.isfinite(array).all():
        raise call.error("unsupported-form", f"input {index} is of another type, or not finite", value=str(array.dtype))
    return array


def _spread(call: Call, numbers: Numbers, shape: tuple[int, ...], axis: int) -> FloatArray:
    """(n,) one number for each component of a shape, of one number, or one for each index of an axis."""
    if numbers.size == 1:
        return np.full(int(np.prod(shape)), float(numbers.reshape(-1)[0]))
    if numbers.ndim != 1 or not -len(shape) <= axis < len(shape) or numbers.size != shape[axis]:
        raise call.shape_error("scale or zero point do not fit", list(numbers.shape), list(shape))
    along = np.asarray(numbers, dtype=np.float64).reshape(
        [-1 if k == axis % len(shape) else 1 for k in range(len(shape))]
    )
    return np.broadcast_to(along, shape).reshape(-1)


def _scale(call: Call, index: int, shape: tuple[int, ...], axis: int, element: str = "uint8") -> Scale:
    """The scale that is input `index`, with the zero point behind it, of a tensor of a shape.

    Args:
        element: the type of the integers where there is no zero point.
    """
    stored = _numbers(call, index, "f")
    scale = _spread(call, stored, shape, axis)
    if not (scale > 0).all() or stored.dtype.itemsize > 4:
        raise call.error(
            "unsupported-form", "a scale is not positive, or has more than 32 bits", value=call.constant(index).name
        )
    if call.optional(index + 1) is None:
        return Scale(scale, np.zeros(scale.size), element)
    zero = _numbers(call, index + 1, "iu")
    return Scale(scale, _spread(call, zero, shape, axis), str(zero.dtype))


def _integers(call: Call, index: int) -> Tensor:
    """Input `index`, computed integers."""
    value = call.value(index)
    if isinstance(value, Constant) or value.element in ELEMENTS:
        raise call.error("unsupported-form", f"input {index} is not computed integers", value=value.element)
    return value


def _less_zero(call: Call, index: int, tensor: Tensor, zero: FloatArray, element: str | None = None) -> Tensor:
    """Integers less their zero point, with a bound on their magnitude."""
    if element not in (None, tensor.element):
        raise call.error("element-type", "integers and zero point differ in type", value=f"{tensor.element}, {element}")
    limit = np.iinfo(tensor.element)
    most = float(max(np.abs(limit.min - zero).max(), np.abs(limit.max - zero).max()))
    if not zero.any():
        return replace(tensor, most=min(most, tensor.most))
    name = call.builder.helper_name(call.name, f"centred{index}")
    term = Term(tensor.source, Identity(tensor.size))
    return replace(call.builder.affine(name, (term,), -zero, tensor.shape, "int32"), most=most)


def _summed(
    call: Call, tensor: Tensor, linear: LinearMap, bias: FloatArray, shape: tuple[int, ...], name: str
) -> Tensor:
    """Sums of products of integers, which have to fit into 32 bits whatever the input."""
    most = float((linear.absolute().forward(np.full((1, tensor.size), tensor.most)) + np.abs(bias)).max())
    if not most < _INT32:
        raise call.error("unsupported-form", "sums of products may leave 32 bits", value=most)
    return replace(call.builder.affine(name, (Term(tensor.source, linear),), bias, shape, "int32"), most=most)


def _quantised(call: Call, tensor: Tensor, factor: FloatArray, into: Scale, added: float = 0.0) -> Tensor:
    """tensor * factor / scale, saturated and rounded to integers about the zero point.

    What saturates are the real numbers, so that units are those of the original network: ends times a scale of 24 bits
    are float64 numbers.

    Args:
        call: where.
        tensor: what is quantised.
        factor: (n,)
        into: the scale.
        added: a bound on the magnitude of summands that a run rounds, in steps of the scale.
    """
    limit, helper, builder = np.iinfo(into.element), call.builder.helper_name, call.builder
    element = tensor.element if tensor.element in ELEMENTS else "float32"
    ones, low, high = np.ones(tensor.size), limit.min - into.zero, limit.max - into.zero
    inside = Tensor(tensor.source, tensor.shape, element)
    if (factor != 1).any():
        inside = builder.linear(helper(call.name, "value"), inside, Diagonal(factor, ones), tensor.shape)
    inside = bounded(call, helper(call.name, "low"), inside, low * into.scale, 1.0)
    inside = bounded(call, helper(call.name, "high"), inside, high * into.scale, -1.0)
    inside = builder.linear(helper(call.name, "quotient"), inside, Diagonal(ones, into.scale), tensor.shape)
    least = 0.5 + _QUOTIENT * (1.0 + added + float(np.maximum(np.abs(low), np.abs(high)).max()))
    return builder.add_rounding(call.name, inside, "integer", least, into.zero, into.element)


@operator("QuantizeLinear", since=10, attributes=("axis",), quantised=True, refused="blocks; floats of 8 bits")
def quantize(call: Call) -> Value:
    """A diagonal map, ReLU nodes as Clip for the ends of the type, and an unknown for what is rounded."""
    tensor = call.tensor(0)
    if tensor.element not in ELEMENTS:
        raise call.error("unsupported-form", "integers are not quantised again", value=tensor.element)
    return _quantised(call, tensor, np.ones(tensor.size), _scale(call, 1, tensor.shape, call.integer("axis", 1)))


@operator("DequantizeLinear", since=10, attributes=("axis",), quantised=True, refused="blocks; floats of 8 bits")
def dequantize(call: Call) -> Value:
    """A diagonal map with a bias."""
    tensor = _integers(call, 0)
    scale = _scale(call, 1, tensor.shape, call.integer("axis", 1), tensor.element)
    centred = _less_zero(call, 0, tensor, scale.zero, scale.element)
    factor, element = Diagonal(scale.scale, np.ones(tensor.size)), call.constant(1).element
    return replace(call.builder.linear(call.name, centred, factor, tensor.shape), element=element)


def _weights(call: Call, index: int, zero_index: int, axis: int) -> tuple[FloatArray, str]:
    """Stored integers less their zero point, which may be one for each index of an axis, and their type."""
    stored = _numbers(call, index, "iu")
    weights = stored.astype(np.float64)
    if call.optional(zero_index) is not None:
        zero = _spread(call, _numbers(call, zero_index, "iu"), stored.shape, axis)
        weights = weights - zero.reshape(stored.shape)
    return weights, str(stored.dtype)


def _zero(call: Call, index: int, tensor: Tensor) -> FloatArray:
    """(n,) the zero point of computed integers, input `index`: one number, or none."""
    if call.optional(index) is None:
        return np.zeros(tensor.size)
    zero = _numbers(call, index, "iu")
    if zero.size != 1:
        raise call.error("unsupported-form", "a zero point for each row of computed integers", value=zero.size)
    if str(zero.dtype) != tensor.element:
        raise call.error(
            "element-type", "integers and zero point differ in type", value=f"{tensor.element}, {zero.dtype}"
        )
    return np.full(tensor.size, float(zero.reshape(-1)[0]))


def _product(call: Call, name: str, tensor: Tensor, weights: FloatArray, bias: FloatArray | None = None) -> Tensor:
    """Computed integers times stored ones, by the rules of MatMul."""
    linear, shape = product_map(call, tensor, weights, tensor_first=True)
    return _summed(call, tensor, linear, np.zeros(linear.shape[0]) if bias is None else bias, shape, name)


@operator("MatMulInteger", since=10, quantised=True, refused="a stored first factor; sums beyond 32 bits")
def matmul_integer(call: Call) -> Value:
    """A dense map of integers."""
    tensor = _integers(call, 0)
    weights, _ = _weights(call, 1, 3, -1)
    return _product(call, call.name, _less_zero(call, 0, tensor, _zero(call, 2, tensor)), weights)


@operator("QLinearMatMul", since=10, quantised=True, refused="a stored first factor; sums beyond 32 bits")
def qlinear_matmul(call: Call) -> Value:
    """A dense map of integers, then as QuantizeLinear."""
    tensor, name = _integers(call, 0), call.builder.helper_name(call.name, "sums")
    weights, _ = _weights(call, 3, 5, -1)
    sums = _product(call, name, _less_zero(call, 0, tensor, _zero(call, 2, tensor)), weights)
    return _quantised(call, sums, _factors(call, sums.shape, -1, 1, 4), _scale(call, 6, sums.shape, -1))


def _factors(call: Call, shape: tuple[int, ...], axis: int, first: int, second: int) -> FloatArray:
    """(n,) what sums of products are worth: the product of two scales, which float64 holds."""
    one, other = (_scale(call, index, shape, axis).scale for index in (first, second))
    return one * other


@operator(
    "com.microsoft.QGemm",
    attributes=("alpha", "transA", "transB"),
    quantised=True,
    refused="another alpha than 1; a stored first factor; sums beyond 32 bits",
)
def qgemm(call: Call) -> Value:
    """As QLinearMatMul with a bias of integers; without the last two inputs as DequantizeLinear of the sums."""
    tensor, name = _integers(call, 0), call.builder.helper_name(call.name, "sums")
    if call.number("alpha", 1.0) != 1.0:
        raise call.error("unsupported-attribute", "attribute 'alpha' is not 1", value=call.number("alpha", 1.0))
    centred = _less_zero(call, 0, tensor, _zero(call, 2, tensor))
    if call.flag("transA"):
        turned = call.builder.helper_name(call.name, "transposed")
        centred = replace(call.builder.select(turned, centred, component_indices(centred).T), most=centred.most)
    transposed = call.flag("transB")
    weights, _ = _weights(call, 3, 5, 0 if transposed else -1)
    weights = weights.T if transposed else weights
    _, shape = product_map(call, centred, weights, tensor_first=True)
    sums = _product(call, name, centred, weights, _bias(call, 6, shape))
    factors = _factors(call, shape, -1, 1, 4)
    if call.optional(7) is not None:
        return _quantised(call, sums, factors, _scale(call, 7, shape, -1))
    result = call.builder.linear(call.name, sums, Diagonal(factors, np.ones(sums.size)), shape)
    return replace(result, element=call.constant(1).element, most=np.inf)


@operator("com.microsoft.QLinearAdd", quantised=True, refused="two stored summands")
def qlinear_add(call: Call) -> Value:
    """The sum of what two tensors of integers stand for, then as QuantizeLinear."""
    shape = call.broadcast(call.value(0).shape, call.value(3).shape)
    into = _scale(call, 6, shape, -1)
    terms, bias, added = [], np.zeros(into.scale.size), 0.0
    for index in (0, 3):
        value = call.value(index)
        parts = _scale(call, index + 1, value.shape, -1)
        if isinstance(value, Constant):
            stored = _numbers(call, index, "iu").astype(np.float64).reshape(-1)
            numbers = ((stored - parts.zero) * parts.scale).reshape(value.shape)
            bias = bias + np.broadcast_to(numbers, shape).reshape(-1)
            added += float((np.abs(numbers).max() / into.scale).max())
            continue
        centred = _less_zero(call, index, _integers(call, index), parts.zero, parts.element)
        places = np.broadcast_to(component_indices(centred), shape).reshape(-1)
        factors = parts.scale[places]
        terms.append(Term(centred.source, ScaledSelection(places, factors, centred.size)))
        added += centred.most * float((factors / into.scale).max())
    if not terms:
        raise call.error("unsupported-form", "both summands are stored")
    total = call.builder.affine(call.builder.helper_name(call.name, "sum"), tuple(terms), bias, shape, "float32")
    return _quantised(call, total, np.ones(total.size), into, added)


def _bias(call: Call, index: int, shape: tuple[int, ...]) -> FloatArray:
    """(n,) a stored bias of integers, spread over rows; zeros where it is left out."""
    if call.optional(index) is None:
        return np.zeros(int(np.prod(shape)))
    bias = _numbers(call, index, "iu").astype(np.float64)
    if call.broadcast(bias.shape, shape) != shape:
        raise call.shape_error("the bias cannot be broadcast to the product", list(bias.shape), list(shape))
    return np.broadcast_to(bias, shape).reshape(-1)


def _convolved(call: Call, name: str, weights: int, zero: int, weights_zero: int, bias: int | None) -> Tensor:
    """A convolution of computed integers; arguments are numbers of inputs.  Padding stands for the number zero."""
    tensor = image_input(call)[0]
    centred = _less_zero(call, 0, _integers(call, 0), _zero(call, zero, tensor))
    kernel, _ = _weights(call, weights, weights_zero, 0)
    linear, shape = convolution(call, centred, kernel, groups_of(call, tensor, kernel))
    offset = np.zeros(shape[1])
    if bias is not None and call.optional(bias) is not None:
        offset = _numbers(call, bias, "iu").astype(np.float64)
        if offset.shape != (shape[1],):
            raise call.shape_error("the bias does not fit the kernel", list(offset.shape), f"{shape[1]} channels")
    spread = np.repeat(offset, int(np.prod(linear.output_extents)))
    return _summed(call, centred, linear, spread, shape, name)


@operator("ConvInteger", since=10, attributes=(*WINDOW, "group"), quantised=True, refused="sums beyond 32 bits")
def conv_integer(call: Call) -> Value:
    """A convolution map of integers."""
    return _convolved(call, call.name, 1, 2, 3, None)


@operator("QLinearConv", since=10, attributes=(*WINDOW, "group"), quantised=True, refused="sums beyond 32 bits")
def qlinear_conv(call: Call) -> Value:
    """A convolution map of integers, then as QuantizeLinear."""
    sums = _convolved(call, call.builder.helper_name(call.name, "sums"), 3, 2, 5, 8)
    return _quantised(call, sums, _factors(call, sums.shape, 1, 1, 4), _scale(call, 6, sums.shape, 1))


@operator(
    "DynamicQuantizeLinear", since=11, quantised=True, refused="scale and zero point otherwise than behind products"
)
def dynamic_quantize(call: Call) -> tuple[Value, ...]:
    """An unknown for what is rounded, in steps of a range that bounds give; read with the products by its scale."""
    tensor, name = call.tensor(0), call.builder.helper_name(call.name, "value")
    near = call.builder.add_rounding(name, tensor, "steps", 0.0, np.zeros(tensor.size), tensor.element)
    unit = call.outputs[1]
    return (
        Scaled(near.source, near.shape, "uint8", 255.0, unit),
        Scaled("", (), tensor.element, unit=unit, part="scale"),
        Scaled("", (), "uint8", unit=unit, part="zero"),
    )


def _values(call: Call, zero: int) -> Scaled:
    """Input 0, integers of which input `zero` is the zero point."""
    value, point = call.value(0), call.optional(zero)
    same = isinstance(value, Scaled) and isinstance(point, Scaled) and value.unit == point.unit
    if not same or value.part != "values" or point.part != "zero":  # type: ignore[union-attr]
        raise call.error("unsupported-form", "the zero point is not that of the same DynamicQuantizeLinear")
    return value  # type: ignore[return-value]


def _scaled_sums(call: Call, values: Scaled, linear: LinearMap, shape: tuple[int, ...]) -> Scaled:
    name = call.builder.helper_name(call.name, "value")
    sums = _summed(call, values, linear, np.zeros(linear.shape[0]), shape, name)
    return Scaled(sums.source, shape, "int32", sums.most, values.unit)


@of_scaled("MatMulInteger")
def scaled_matmul(call: Call) -> Value:
    """A dense map."""
    values, (weights, _) = _values(call, 2), _weights(call, 1, 3, -1)
    return _scaled_sums(call, values, *product_map(call, values, weights, tensor_first=True))


@of_scaled("ConvInteger")
def scaled_conv(call: Call) -> Value:
    """A convolution."""
    tensor, values, (kernel, _) = image_input(call)[0], _values(call, 2), _weights(call, 1, 3, 0)
    return _scaled_sums(call, values, *convolution(call, values, kernel, groups_of(call, tensor, kernel)))


@of_scaled("Cast")
def scaled_cast(call: Call) -> Value:
    """Nothing, where the type holds the integers."""
    value, target = call.value(0), element_name(call.integer("to", 0))
    if not isinstance(value, Scaled) or value.part != "values" or target not in wider(value):
        raise call.error("unsupported-form", "a cast of integers that the type does not hold", value=target)
    return replace(value, element=target)


@of_scaled("Mul")
def scaled_mul(call: Call) -> Value:
    """The scale times a constant; values times their scale, which are real numbers then."""
    given = [call.value(0), call.value(1)]
    constants = [value for value in given if isinstance(value, Constant)]
    scales = [value for value in given if isinstance(value, Scaled) and value.part == "scale"]
    sums = [value for value in given if isinstance(value, Scaled) and value.part == "values"]
    if scales and constants and scales[0].factor is None:
        return replace(scales[0], shape=constants[0].shape, factor=constants[0])
    if not (scales and sums and scales[0].unit == sums[0].unit and sums[0].element in ELEMENTS):
        raise call.error("unsupported-form", "a product with a scale that depends on the input")
    values, factor = Tensor(sums[0].source, sums[0].shape, sums[0].element), scales[0].factor
    return scaled(call, values, scale=np.ones(()) if factor is None else call.weights(factor, values.element))


@operator("Round", since=11, quantised=True)
def round_to_integer(call: Call) -> Value:
    """An unknown for what is rounded."""
    return _to_integer(call, "integer", 0.0)


@operator("Floor", quantised=True)
def floor(call: Call) -> Value:
    """An unknown for what is rounded of x - 1/2, ties up."""
    return _to_integer(call, "up", -0.5)


@operator("Ceil", quantised=True)
def ceil(call: Call) -> Value:
    """An unknown for what is rounded of x + 1/2, ties down."""
    return _to_integer(call, "down", 0.5)


def _to_integer(call: Call, element: str, shift: float) -> Tensor:
    """x + shift, rounded to an integer."""
    tensor, builder, size = call.tensor(0), call.builder, call.tensor(0).size
    if shift:
        terms, bias = (Term(tensor.source, Identity(size)),), np.full(size, shift)
        name = builder.helper_name(call.name, "shifted")
        tensor = builder.affine(name, terms, bias, tensor.shape, tensor.element)
    return builder.add_rounding(call.name, tensor, element, 0.5, np.zeros(size), tensor.element)
