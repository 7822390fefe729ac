"""Convolutions as linear maps: never expanded to a matrix, except by `dense`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from types import ModuleType
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from eqverify.arrays import ExactArray, FloatArray, IntArray, frozen
from eqverify.errors import InputError
from eqverify.kernels import FEW_ROWS, kernels, windows_numpy
from eqverify.kernels.windows_numpy import Window
from eqverify.network.linear import LinearMap, Real, Vectors

Scalar = TypeVar("Scalar", np.float64, np.object_)


@dataclass(frozen=True, eq=False)
class Convolution(LinearMap):
    """A convolution (cross-correlation, as in ONNX) over any number of spatial axes, with zero padding.

    Attributes:
        kernel: (out_channels, in_channels / groups, *window) float64.
        extents: spatial extents of the input.
        strides: per axis, positive.
        dilations: per axis, positive.
        before: zeros padded in front, per axis, not negative.
        after: zeros padded behind, per axis, not negative.
        groups: number of groups; divides both channel counts.
    """

    kernel: FloatArray
    extents: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]
    groups: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "kernel", frozen(self.kernel))
        axes = len(self.extents)
        per_axis = (self.strides, self.dilations, self.before, self.after)
        lengths_agree = self.kernel.ndim == axes + 2 and all(len(values) == axes for values in per_axis)
        if not lengths_agree or self.groups < 1 or self.kernel.shape[0] % self.groups:
            raise InputError("network/shape", "a convolution's kernel and geometry disagree", value=self.kernel.shape)
        if min((*self.strides, *self.dilations), default=1) < 1 or min((*self.before, *self.after), default=0) < 0:
            raise InputError("network/shape", "a convolution's geometry is not valid", value=str(per_axis))
        if not self.kernel.size or min(self.output_extents, default=1) < 1:
            raise InputError("network/shape", "a convolution has no output", value=self.kernel.shape)

    @property
    def window(self) -> tuple[int, ...]:
        """Extents of the kernel."""
        return self.kernel.shape[2:]

    @property
    def channels(self) -> int:
        """Input channels."""
        return int(self.kernel.shape[1]) * self.groups

    @cached_property
    def output_extents(self) -> tuple[int, ...]:
        """Spatial extents of the output."""
        axes = zip(self.extents, self.before, self.after, self.window, self.dilations, self.strides, strict=True)
        return tuple((n + b + a - (w - 1) * d - 1) // s + 1 for n, b, a, w, d, s in axes)

    @property
    def shape(self) -> tuple[int, int]:
        return self.kernel.shape[0] * math.prod(self.output_extents), self.channels * math.prod(self.extents)

    @property
    def fan_in(self) -> int:
        return math.prod(self.kernel.shape[1:])

    @property
    def fan_out(self) -> int:
        axes = zip(self.window, self.strides, self.dilations, strict=True)
        # Two positions of the window read one input only if their distance times d is a multiple of s.
        reached = math.prod(-(-w // (s // math.gcd(s, d))) for w, s, d in axes)
        return int(self.kernel.shape[0]) // self.groups * reached

    def positions(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Each position of the window, with the padded inputs it reads."""
        for position in np.ndindex(*self.window):
            yield position, self._geometry.reads(position)

    def _windows(self) -> Iterator[tuple[slice, ...]]:
        """As `positions`, for padded batches with channels."""
        for _, read in self.positions():
            yield (slice(None), slice(None), *read)

    def _padded(self, x: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """(batch, in) -> (batch, channels, *padded extents)."""
        padded = np.zeros(self._geometry.padded(len(x), self.channels), dtype=x.dtype)
        padded[self._geometry.inside] = x.reshape(len(x), self.channels, *self.extents)
        return padded

    def _unfolded(self, x: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """(batch, in) -> (batch, groups, channels per group * window, output positions)."""
        padded = self._padded(x)
        parts = [padded[read] for read in self._windows()]
        columns = np.stack(parts, axis=2)
        return columns.reshape(len(x), self.groups, self.fan_in, math.prod(self.output_extents))

    def _folded(self, columns: npt.NDArray[Scalar]) -> npt.NDArray[Scalar]:
        """The transpose of `_unfolded`."""
        batch = len(columns)
        parts = columns.reshape(batch, self.channels, math.prod(self.window), *self.output_extents)
        padded = np.zeros(self._geometry.padded(batch, self.channels), dtype=columns.dtype)
        for index, read in enumerate(self._windows()):
            padded[read] += parts[:, :, index]
        return padded[self._geometry.inside].reshape(batch, -1)

    @cached_property
    def _geometry(self) -> Window:
        return Window(
            self.extents, self.output_extents, self.strides, self.dilations, self.before, self.after, self.groups
        )

    @cached_property
    def _single(self) -> npt.NDArray[np.float32]:
        return self.kernel.astype(np.float32)

    def _form(self, rows: int) -> ModuleType:
        """The loops for so many rows; those that are compiled know two axes at most."""
        form = kernels(products=float(rows) * self.shape[0] * self.fan_in)
        return form.windows if rows >= FEW_ROWS and len(self.extents) <= 2 else windows_numpy

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        kernel = self._single if x.dtype == np.float32 else self.kernel
        product: Vectors[Real] = self._form(len(rows)).forward(rows, kernel, self._geometry)
        return product.reshape(*x.shape[:-1], self.shape[0])

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        rows = y.reshape(math.prod(y.shape[:-1]), y.shape[-1])
        kernel = self._single if y.dtype == np.float32 else self.kernel
        product: Vectors[Real] = self._form(len(rows)).backward(rows, kernel, self._geometry)
        return product.reshape(*y.shape[:-1], self.shape[1])

    @cached_property
    def _absolute(self) -> Convolution:
        kernel = np.abs(self.kernel)
        return Convolution(kernel, self.extents, self.strides, self.dilations, self.before, self.after, self.groups)

    def absolute(self) -> LinearMap:
        return self._absolute

    def dense(self) -> FloatArray:
        return self.forward(np.eye(self.shape[1])).T

    def _exact_matrices(self) -> ExactArray:
        weights = np.array([Fraction(w) for w in self.kernel.ravel().tolist()], dtype=object)
        return weights.reshape(self.groups, -1, self.fan_in)

    def forward_exact(self, x: ExactArray) -> ExactArray:
        columns = self._unfolded(x.reshape(1, -1))[0]
        return np.asarray(np.matmul(self._exact_matrices(), columns)).reshape(-1)

    def backward_exact(self, y: ExactArray) -> ExactArray:
        """W^T y in rational arithmetic: (out,) -> (in,)."""
        part = y.reshape(self.groups, -1, math.prod(self.output_extents))
        columns = np.asarray(np.matmul(self._exact_matrices().transpose(0, 2, 1), part))
        return np.array([Fraction(value) for value in self._folded(columns[None])[0]], dtype=object)

    def reads(self) -> IntArray:
        """Which inputs each window of each group reads: (groups, fan_in, output positions), -1 for padding."""
        numbered = np.arange(1.0, self.shape[1] + 1.0).reshape(1, -1)
        return np.asarray(self._unfolded(numbered)[0] - 1.0, dtype=np.int64)

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        geometry = (self.extents, self.strides, self.dilations, self.before, self.after)
        return self.kernel, np.array([self.groups, *(n for values in geometry for n in values)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class TransposedConvolution(LinearMap):
    """The transpose of a convolution, as ConvTranspose of ONNX computes it.

    Attributes:
        convolution: W^T; its outputs are the inputs of this map.
    """

    convolution: Convolution

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.convolution.shape
        return columns, rows

    @property
    def fan_in(self) -> int:
        return self.convolution.fan_out

    @property
    def fan_out(self) -> int:
        return self.convolution.fan_in

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return self.convolution.backward(x)

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        return self.convolution.forward(y)

    @cached_property
    def _absolute(self) -> TransposedConvolution:
        return TransposedConvolution(self.convolution._absolute)

    def absolute(self) -> LinearMap:
        return self._absolute

    def dense(self) -> FloatArray:
        return self.convolution.dense().T

    def forward_exact(self, x: ExactArray) -> ExactArray:
        return self.convolution.backward_exact(x)

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return self.convolution.parameters()
