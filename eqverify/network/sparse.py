"""Sparse linear maps: compressed rows, multiplied by scipy, which is imported with the first product."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import ExactArray, FloatArray, IntArray, frozen
from eqverify.errors import InputError
from eqverify.network.linear import LinearMap, Real, Vectors


@dataclass(frozen=True, eq=False)
class Sparse(LinearMap):
    """x -> W x for a matrix in compressed rows.

    Row i has `data[k]` in column `indices[k]` for starts[i] <= k < starts[i + 1].

    Attributes:
        data: (entries,) float64.
        indices: (entries,) int64 columns, strictly increasing within a row.
        starts: (out + 1,) int64, from 0 to the number of entries.
        columns: in.
    """

    data: FloatArray
    indices: IntArray
    starts: IntArray
    columns: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", frozen(self.data))
        object.__setattr__(self, "indices", frozen(self.indices, np.int64))
        object.__setattr__(self, "starts", frozen(self.starts, np.int64))
        vectors = self.data.ndim == self.indices.ndim == self.starts.ndim == 1 and self.starts.size > 0
        if not vectors or self.data.shape != self.indices.shape:
            raise InputError("network/shape", "a sparse map's arrays do not fit together", value=self.data.shape)
        if self.starts[0] or self.starts[-1] != self.data.size or (np.diff(self.starts) < 0).any():
            raise InputError("network/shape", "a sparse map's rows do not cover its entries", value=self.data.size)
        if self.indices.size and not (self.indices.min() >= 0 and self.indices.max() < self.columns):
            raise InputError("network/index", "a sparse map reads outside its source", value=int(self.indices.max()))
        if (np.diff(self.indices)[np.diff(self.rows) == 0] <= 0).any():
            raise InputError("network/index", "a sparse map's columns do not increase within a row")

    @classmethod
    def from_entries(cls, rows: IntArray, columns: IntArray, data: FloatArray, shape: tuple[int, int]) -> Sparse:
        """The map with some entries, in any order; no place twice.

        Args:
            rows: (entries,) of each entry.
            columns: (entries,) of each entry.
            data: (entries,).
            shape: (out, in).

        Raises:
            InputError: `network/index` where a place occurs twice or is outside.
        """
        if rows.size and not (rows.min() >= 0 and rows.max() < shape[0]):
            raise InputError("network/index", "a sparse map's entry is outside its rows", value=int(rows.max()))
        order = np.lexsort((columns, rows))
        counts = np.bincount(rows, minlength=shape[0])
        return cls(data[order], columns[order], np.concatenate([[0], np.cumsum(counts)]), shape[1])

    @cached_property
    def rows(self) -> IntArray:
        """(entries,) the row of each entry."""
        return np.repeat(np.arange(self.starts.size - 1, dtype=np.int64), np.diff(self.starts))

    @property
    def shape(self) -> tuple[int, int]:
        return self.starts.size - 1, self.columns

    @cached_property
    def fan_in(self) -> int:
        return int(np.diff(self.starts).max(initial=1))

    @cached_property
    def fan_out(self) -> int:
        return int(np.bincount(self.indices, minlength=1).max(initial=1))

    @cached_property
    def matrix(self) -> Any:
        """As scipy.sparse.csr_array."""
        from scipy.sparse import csr_array  # takes a while, and few networks need it

        return csr_array((self.data, self.indices, self.starts), shape=self.shape)

    @cached_property
    def _single(self) -> Any:
        return self.matrix.astype(np.float32)

    def _in_precision(self, dtype: npt.DTypeLike) -> Any:
        return self._single if dtype == np.float32 else self.matrix

    def forward(self, x: Vectors[Real]) -> Vectors[Real]:
        rows = x.reshape(int(np.prod(x.shape[:-1])), self.columns)
        product = self._in_precision(x.dtype) @ rows.T
        return np.ascontiguousarray(product.T).reshape(*x.shape[:-1], self.shape[0])

    def backward(self, y: Vectors[Real]) -> Vectors[Real]:
        rows = y.reshape(int(np.prod(y.shape[:-1])), self.shape[0])
        product = self._in_precision(y.dtype).T @ rows.T
        return np.ascontiguousarray(product.T).reshape(*y.shape[:-1], self.columns)

    @cached_property
    def _absolute(self) -> Sparse:
        return Sparse(np.abs(self.data), self.indices, self.starts, self.columns)

    def absolute(self) -> LinearMap:
        return self._absolute

    def dense(self) -> FloatArray:
        matrix = np.zeros(self.shape)
        matrix[self.rows, self.indices] = self.data
        return matrix

    def forward_exact(self, x: ExactArray) -> ExactArray:
        result = np.array([Fraction(0)] * self.shape[0], dtype=object)
        for row, column, weight in zip(self.rows.tolist(), self.indices.tolist(), self.data.tolist(), strict=True):
            result[row] += Fraction(weight) * x[column]
        return result

    def parameters(self) -> Iterable[FloatArray | IntArray]:
        return self.data, self.indices, self.starts
