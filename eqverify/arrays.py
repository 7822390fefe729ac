"""The array types used everywhere, and read-only copies of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ByteArray = npt.NDArray[np.int8]
ExactArray = npt.NDArray[np.object_]
"""An array of `fractions.Fraction`."""

IEEE = np.errstate(over="ignore", invalid="ignore", divide="ignore")
"""Decorates what takes infinities and NaN for what they are: bounds that decide nothing.  No news for a user."""


def frozen(values: npt.ArrayLike, dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """A read-only C-contiguous array of `values`; copies unless it is one already."""
    array = np.asarray(values, dtype=dtype)
    shared = isinstance(array.base, np.ndarray) and array.base.flags.writeable
    if array.flags.writeable or shared or not array.flags.c_contiguous:
        array = np.array(array, dtype=dtype, order="C")
        array.flags.writeable = False
    return array
