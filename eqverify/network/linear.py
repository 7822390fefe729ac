"""Linear maps: what an affine node applies to one of its sources.

One protocol, several representations, so that an identity costs nothing and a convolution need not become a dense
matrix.  Conventions: vectors are rows, batches lead: `forward` maps (..., in) to (..., out).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from eqverify.arrays import ExactArray, FloatArray, IntArray, frozen
from eqverify.errors import InputError

UNIT_ROUNDOFF = 2.0**-53

Real = TypeVar("Real", np.float32, np.float64)
Vectors = npt.NDArray[Real]
"""float64 for bounds, float32 for what need not be one."""


class LinearMap(ABC):
    """A linear map W from R^in to R^out.

    Rounding contract, relied on by every bound: `forward` and `backward` return floating-point results whose error is
    at most gamma_k |W| |x| with k = `fan_in` + 2 (`fan_out` + 2), in any order of summation (Higham 2002, eq. 3.5).
    That is for float64; float32 vectors are multiplied in float32, and nothing may rest on the result.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(out, in)."""

    @property
    @abstractmethod
    def fan_in(self) -> int:
        """The largest number of non-zero summands of an output component, at most in."""

    @property
    @abstractmethod
    def fan_out(self) -> int:
        """The largest number of non-zero summands of a component of the transposed product."""

    @property
    def entry_error(self) -> float:
        """Bound on |dense() - W| / |W|, entry by entry: 0 unless entries are quotients."""
        return 0.0

    @property
    def copies(self) -> bool:
        """Whether every output component is one input component, unchanged, so that `forward` does not round."""
        return False

    @abstractmethod
    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        """W x for each of a batch: (..., in) -> (..., out)."""

    @abstractmethod
    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        """W^T y for each of a batch: (..., out) -> (..., in)."""

    @abstractmethod
    def absolute(self) -> LinearMap:
        """|W|, entry by entry."""

    @abstractmethod
    def dense(self) -> FloatArray:
        """W as an (out, in) matrix; entries as close as `entry_error` says."""

    @abstractmethod
    def forward_exact(self, x: ExactArray) -> ExactArray:
        """W x in rational arithmetic: (in,) -> (out,) of Fractions."""

    @abstractmethod
    def parameters(self) -> Iterable[FloatArray | IntArray]:
        """The arrays that define the map, in a fixed order, for digests and counts."""


@dataclass(frozen=True, eq=False)
class Identity(LinearMap):
    """x -> x, of one size."""

    size: int

    @property
    def shape(self) -> tuple[int, int]:
        return self.size, self.size

    @property
    def fan_in(self) -> int:
        return 1

    @property
    def fan_out(self) -> int:
        return 1

    @property
    def copies(self) -> bool:
        return True

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return x

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        return y

    def absolute(self) -> LinearMap:
        return self

    def dense(self) -> FloatArray:
        return np.eye(self.size)

    def forward_exact(self, x: ExactArray) -> ExactArray:
        return x

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return ()


@dataclass(frozen=True, eq=False)
class Diagonal(LinearMap):
    """x -> scale * x / divisor, component by component.

    The divisor is kept apart because 1/c of a stored float c is in general no float.

    Attributes:
        scale: (n,) float64.
        divisor: (n,) float64, no zeros.
    """

    scale: FloatArray
    divisor: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", frozen(self.scale))
        object.__setattr__(self, "divisor", frozen(self.divisor))
        if self.scale.ndim != 1 or self.scale.shape != self.divisor.shape:
            raise InputError(
                "network/shape",
                "a diagonal needs two vectors of one length",
                value=f"{self.scale.shape}, {self.divisor.shape}",
            )
        if (self.divisor == 0).any():
            raise InputError("network/division-by-zero", "a constant divisor of the network is zero")
        # Checked where the numbers are finite; that they are is the network's invariant, with its own error.
        size = np.abs(self._ratio[(self.scale != 0) & np.isfinite(self.scale) & np.isfinite(self.divisor)])
        if not ((size >= np.finfo(np.float64).smallest_normal) & np.isfinite(size)).all():
            raise InputError("network/quotient", "a scale divided by its divisor leaves the range of float64")

    @cached_property
    def _ratio(self) -> FloatArray:
        """scale / divisor, off by one rounding and never by underflow, which a later division could blow up."""
        with np.errstate(over="ignore", under="ignore"):
            return frozen(self.scale / self.divisor)

    @property
    def shape(self) -> tuple[int, int]:
        return self.scale.size, self.scale.size

    @property
    def fan_in(self) -> int:
        return 1

    @property
    def fan_out(self) -> int:
        return 1

    @cached_property
    def entry_error(self) -> float:
        powers_of_two = all(abs(math.frexp(float(d))[0]) == 0.5 for d in np.unique(self.divisor))
        return 0.0 if powers_of_two else UNIT_ROUNDOFF

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return np.asarray(x * self._ratio.astype(x.dtype))

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        return self.forward(y)

    def absolute(self) -> LinearMap:
        return Diagonal(np.abs(self.scale), np.abs(self.divisor))

    def dense(self) -> FloatArray:
        return np.diag(self._ratio)

    def forward_exact(self, x: ExactArray) -> ExactArray:
        factors = [Fraction(s) / Fraction(d) for s, d in zip(self.scale.tolist(), self.divisor.tolist(), strict=True)]
        return np.array([f * v for f, v in zip(factors, x, strict=True)], dtype=object)

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return self.scale, self.divisor


def scattered(y: Vectors[Real], indices: IntArray, size: int, *, distinct: bool) -> Vectors[Real]:
    """(..., n) -> (..., size): the sums of what goes to each place; `distinct` where no place occurs twice."""
    if distinct:
        result = np.zeros((*y.shape[:-1], size), dtype=y.dtype)
        result[..., indices] = y
        return result
    columns = np.zeros((size, *y.shape[:-1]), dtype=y.dtype)
    np.add.at(columns, indices, np.moveaxis(y, -1, 0))
    return np.moveaxis(columns, 0, -1)


@dataclass(frozen=True, eq=False)
class Selection(LinearMap):
    """x -> x[indices]: transposition, slicing, gathering, repetition.

    Attributes:
        indices: (out,) int64, each in [0, in).
        size: in.
    """

    indices: IntArray
    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", frozen(self.indices, np.int64))
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < self.size):
            wrong = self.indices[(self.indices < 0) | (self.indices >= self.size)]
            raise InputError("network/index", "a selection reads outside its source", value=int(wrong[0]))

    @property
    def shape(self) -> tuple[int, int]:
        return self.indices.size, self.size

    @property
    def fan_in(self) -> int:
        return 1

    @cached_property
    def fan_out(self) -> int:
        return int(np.bincount(self.indices, minlength=1).max(initial=1))

    @property
    def copies(self) -> bool:
        return True

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return np.asarray(x[..., self.indices])

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        return scattered(y, self.indices, self.size, distinct=self.fan_out == 1)

    def absolute(self) -> LinearMap:
        return self

    def dense(self) -> FloatArray:
        matrix = np.zeros(self.shape)
        matrix[np.arange(self.indices.size), self.indices] = 1.0
        return matrix

    def forward_exact(self, x: ExactArray) -> ExactArray:
        return np.asarray(x[self.indices])

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return (self.indices,)


@dataclass(frozen=True, eq=False)
class Dense(LinearMap):
    """x -> matrix x.

    Attributes:
        matrix: (out, in) float64, finite.
    """

    matrix: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "matrix", frozen(self.matrix))
        if self.matrix.ndim != 2:
            raise InputError("network/shape", "a dense map needs a matrix", value=self.matrix.shape)

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.matrix.shape
        return rows, columns

    @property
    def fan_in(self) -> int:
        return int(self.matrix.shape[1])

    @property
    def fan_out(self) -> int:
        return int(self.matrix.shape[0])

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return np.asarray(x @ self.matrix.astype(x.dtype, copy=False).T)

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        return np.asarray(y @ self.matrix.astype(y.dtype, copy=False))

    @cached_property
    def _absolute(self) -> Dense:
        return Dense(np.abs(self.matrix))

    def absolute(self) -> LinearMap:
        return self._absolute

    def dense(self) -> FloatArray:
        return self.matrix

    @cached_property
    def _exact(self) -> ExactArray:
        return np.array([[Fraction(v) for v in row] for row in self.matrix.tolist()], dtype=object).reshape(self.shape)

    def forward_exact(self, x: ExactArray) -> ExactArray:
        if not self.shape[1]:
            return np.array([Fraction(0)] * self.shape[0], dtype=object)
        return np.asarray(self._exact @ x)

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return (self.matrix,)
