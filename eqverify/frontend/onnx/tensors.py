"""Stored tensors as numpy arrays, with every size checked before anything is allocated."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, numpy_helper

from eqverify.errors import InputError, Place

_RAW: dict[int, npt.DTypeLike] = {
    TensorProto.FLOAT: "<f4",
    TensorProto.DOUBLE: "<f8",
    TensorProto.FLOAT16: "<f2",
    TensorProto.INT8: "<i1",
    TensorProto.INT16: "<i2",
    TensorProto.INT32: "<i4",
    TensorProto.INT64: "<i8",
    TensorProto.UINT8: "<u1",
    TensorProto.UINT16: "<u2",
    TensorProto.UINT32: "<u4",
    TensorProto.UINT64: "<u8",
    TensorProto.BOOL: "?",
}


def element_name(code: int) -> str:
    """The ONNX name of an element type, in lower case; the number where ONNX has no name for it."""
    try:
        name = str(TensorProto.DataType.Name(code)).lower()
    except ValueError:
        return f"type {code}"
    return {"float": "float32", "double": "float64"}.get(name, name)


def tensor_array(tensor: onnx.TensorProto, file: str | None) -> npt.NDArray[Any]:
    """The numbers of a stored tensor, in the type of the file.

    Raises:
        InputError: `onnx/external-data`, `onnx/element-type`, `onnx/bad-tensor` (dimensions and data disagree).
    """
    place = Place(file=file, node=tensor.name)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
        raise InputError(
            "onnx/external-data",
            "the numbers of a tensor are stored outside the model file",
            place=place,
            hint="save the model into one file: onnx.save(onnx.load(path), path, save_as_external_data=False)",
        )
    shape = tuple(tensor.dims)
    if any(extent < 0 for extent in shape):
        raise InputError("onnx/bad-tensor", "a stored tensor has a negative extent", place=place, value=shape)
    count = math.prod(shape)
    dtype = _RAW.get(tensor.data_type)
    if dtype is not None and tensor.HasField("raw_data"):
        wanted = count * np.dtype(dtype).itemsize
        if wanted != len(tensor.raw_data):
            value = f"{len(tensor.raw_data)} bytes for {shape}, which takes {wanted}"
            raise InputError("onnx/bad-tensor", "dimensions and data of a tensor disagree", place=place, value=value)
        return np.frombuffer(tensor.raw_data, dtype=dtype).reshape(shape)
    if dtype is None and tensor.data_type != TensorProto.BFLOAT16:
        raise InputError(
            "onnx/element-type",
            "a stored tensor has an element type that is not supported",
            place=place,
            value=element_name(tensor.data_type),
        )
    return _typed_array(tensor, shape, count, place)


def _typed_array(tensor: onnx.TensorProto, shape: tuple[int, ...], count: int, place: Place) -> npt.NDArray[Any]:
    """The numbers of a tensor that is stored in a typed field, or whose type numpy does not know."""
    if len(tensor.raw_data):
        stored = len(tensor.raw_data) // 2
    else:
        fields = (tensor.float_data, tensor.double_data, tensor.int32_data, tensor.int64_data, tensor.uint64_data)
        stored = sum(len(field) for field in fields)
    if stored != count:
        value = f"{stored} numbers for {shape}"
        raise InputError("onnx/bad-tensor", "dimensions and data of a tensor disagree", place=place, value=value)
    try:
        array = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError("onnx/bad-tensor", "a stored tensor cannot be read", place=place, value=str(error)) from error
    return array.astype(np.float32) if tensor.data_type == TensorProto.BFLOAT16 else array
