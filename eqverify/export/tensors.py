"""Arrays as serialised ONNX tensors."""

from __future__ import annotations

from onnx import helper

from eqverify.arrays import FloatArray
from eqverify.export.rounding import ElementType, element_type


def tensor_bytes(name: str, values: FloatArray, dtype: ElementType) -> bytes:
    """A TensorProto of a type, raw data; values are rounded to nearest."""
    code, layout = element_type(dtype)
    tensor = helper.make_tensor(name, code, values.shape, values.astype(layout).tobytes(), raw=True)
    return bytes(tensor.SerializeToString(deterministic=True))
