"""Constant, Cast, CastLike, Identity, Dropout, Shape, Size: operators that compute nothing."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import onnx

from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.table import operator
from eqverify.frontend.onnx.tensors import element_name, tensor_array
from eqverify.frontend.onnx.values import Constant, Tensor, Value

_NUMBERS: dict[str, npt.DTypeLike] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


@operator("Constant", attributes=("value", *_NUMBERS), refused="string and sparse values")
def constant(call: Call) -> Value:
    """A constant, stored as it is."""
    if len(call.attributes) != 1:
        raise call.error("bad-attribute", "exactly one value attribute is needed", value=sorted(call.attributes))
    ((key, value),) = call.attributes.items()
    if isinstance(value, onnx.TensorProto):
        return Constant(call.name, tensor_array(value, call.file))
    if key not in _NUMBERS or not isinstance(value, (int, float, tuple)):
        raise call.error("bad-attribute", f"attribute {key!r} has the wrong type")
    return Constant(call.name, np.asarray(value, dtype=_NUMBERS[key]))


_CASTS: dict[int, npt.DTypeLike] = {
    onnx.TensorProto.FLOAT: np.float32,
    onnx.TensorProto.DOUBLE: np.float64,
    onnx.TensorProto.FLOAT16: np.float16,
    onnx.TensorProto.INT32: np.int32,
    onnx.TensorProto.INT64: np.int64,
    onnx.TensorProto.BOOL: np.bool_,
}


_FLOATS = ("float16", "float32", "float64")
"""Each holds the numbers of those before it, so that a cast to a later one (or itself) does not round."""


@operator("Cast", attributes=("to",), refused="a narrower type for a computed value")
def cast(call: Call) -> Value:
    """A constant in the other type; nothing on a computed value whose type holds no more numbers than the other."""
    return _cast(call, call.integer("to", 0))


@operator("CastLike", since=15, refused="a narrower type for a computed value")
def cast_like(call: Call) -> Value:
    """As Cast, to the type of the second input."""
    names = {element_name(code): code for code in _CASTS}
    return _cast(call, names.get(call.value(1).element, 0))


def _cast(call: Call, target: int) -> Value:
    if target not in _CASTS:
        raise call.error("unsupported-attribute", "cast to an unsupported type", value=element_name(target))
    value = call.value(0)
    if isinstance(value, Constant):
        if value.element in _FLOATS and element_name(target) in _FLOATS[_FLOATS.index(value.element) :]:
            wide = value.array.astype(np.promote_types(value.array.dtype, _CASTS[target]))
            return Constant(call.name, wide, element_name(target))
        with np.errstate(over="ignore", invalid="ignore"):
            return Constant(call.name, value.array.astype(_CASTS[target]))
    if element_name(target) not in wider(value):
        if element_name(target) in _FLOATS and call.builder.unknowns is not None:
            return rounded_to(call, value, element_name(target))
        raise call.error(
            "unsupported-form",
            "only constants can be cast to a narrower type: a cast of a computed value would round",
            value=f"{value.element} to {element_name(target)}",
            hint="export the whole model in one float type",
        )
    return Tensor(value.source, value.shape, element_name(target))


def wider(tensor: Tensor) -> tuple[str, ...]:
    """The float types that hold all numbers of a tensor."""
    if tensor.element in _FLOATS:
        return _FLOATS[_FLOATS.index(tensor.element) :]
    limit = np.iinfo(tensor.element)
    most = min(tensor.most, float(max(-limit.min, limit.max)))
    return tuple(element for element in _FLOATS if most <= 2.0 ** (np.finfo(element).nmant + 1))


def rounded_to(call: Call, tensor: Tensor, element: str) -> Tensor:
    """A tensor rounded to a float type: an input of its own for what that adds."""
    least = float(np.finfo(element).smallest_subnormal) / 2
    return call.builder.add_rounding(call.name, tensor, element, least, np.zeros(tensor.size), element)


@operator("Identity")
def identity(call: Call) -> Value:
    """Nothing: its input."""
    return call.value(0)


@operator("Dropout", until=11, attributes=("ratio",), refused="the second output")
@operator("Dropout", since=12, attributes=("seed",), refused="training mode; the second output")
def dropout(call: Call) -> Value:
    """Nothing: its input; training mode is refused."""
    if call.optional(2) is not None and bool(call.constant(2).array.any()):
        raise call.error(
            "unsupported-form", "training mode is not supported", hint="export the model in inference mode"
        )
    return call.value(0)


@operator("Shape", attributes=("start", "end"))
def shape(call: Call) -> Value:
    """A constant: the shape at batch 1."""
    extents = call.value(0).shape
    rank = len(extents)
    start, end = call.integer("start", 0), call.integer("end", rank)
    return Constant(call.name, np.array(extents[start:end], dtype=np.int64))


@operator("Size")
def size(call: Call) -> Value:
    """A constant: the number of components at batch 1."""
    return Constant(call.name, np.array(math.prod(call.value(0).shape), dtype=np.int64))
