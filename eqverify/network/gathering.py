"""Selection with a factor per component: placing components among zeros, and repeating them with a sign."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from eqverify.arrays import ExactArray, FloatArray, IntArray, frozen
from eqverify.errors import InputError
from eqverify.network.linear import LinearMap, Real, Vectors, scattered


@dataclass(frozen=True, eq=False)
class ScaledSelection(LinearMap):
    """x -> scale * x[indices]; a factor 0 makes a component that does not depend on x.

    Attributes:
        indices: (out,) int64, each in [0, in).
        scale: (out,) float64.
        size: in.
    """

    indices: IntArray
    scale: FloatArray
    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", frozen(self.indices, np.int64))
        object.__setattr__(self, "scale", frozen(self.scale))
        if self.indices.ndim != 1 or self.indices.shape != self.scale.shape:
            raise InputError("network/shape", "a selection needs one factor per index", value=self.scale.shape)
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < self.size):
            raise InputError("network/index", "a selection reads outside its source", value=int(self.indices.max()))

    @property
    def shape(self) -> tuple[int, int]:
        return self.indices.size, self.size

    @property
    def fan_in(self) -> int:
        return 1

    @cached_property
    def fan_out(self) -> int:
        used = self.indices[self.scale != 0]
        return int(np.bincount(used, minlength=1).max(initial=1))

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        return np.asarray(x[..., self.indices] * self.scale.astype(x.dtype))

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        used = self.scale != 0
        scaled = (y * self.scale.astype(y.dtype))[..., used]
        return scattered(scaled, self.indices[used], self.size, distinct=self.fan_out == 1)

    def absolute(self) -> LinearMap:
        return ScaledSelection(self.indices, np.abs(self.scale), self.size)

    def dense(self) -> FloatArray:
        matrix = np.zeros(self.shape)
        matrix[np.arange(self.indices.size), self.indices] = self.scale
        return matrix

    def forward_exact(self, x: ExactArray) -> ExactArray:
        factors = np.array([Fraction(factor) for factor in self.scale.tolist()], dtype=object)
        return np.asarray(factors * x[self.indices])

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return self.indices, self.scale
