"""The two arithmetics of the checker: float64 with a-priori error bounds, and exact dyadic numbers.

Rules use both by the same code: arrays of float64, or `Dyadics`.  `gamma` and `unit` are the relative errors of Higham
(2002, eq. 3.5); in exact arithmetic they are 0.  Bounds that are kept are float64 in both, rounded outwards.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.checker.dyadic import LIMB, Dyadics, Factor
from eqverify.errors import LimitError
from eqverify.network import UNIT_ROUNDOFF, Dense, LinearMap
from eqverify.network import gamma as float_gamma

Numbers = Any
"""An array of float64 or `Dyadics`."""

TINY = 1e-300
"""Far above the sum of all underflow errors of a product; added wherever float64 rounds."""

SLACK = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves: fewer than 10^9 operations, each off by 2^-53."""

_EXACT_WORK = 4e11
_LIMBS, _MOST_LIMBS = 8, 24
"""Of a row on its way back at least, 113 bits, and at most."""
_DIGITS = 64
"""Bits of a number in a row that its shortening leaves as they are, unless that takes more limbs."""
_DIVISOR_BITS = 4096
_COLUMNS = 256


class Floats:
    """float64.  Sums of products are off by at most gamma |A| |x| in any order of summation."""

    unit: float = UNIT_ROUNDOFF
    chunk = 1 << 22
    """Coefficients held at a time on the widest node."""

    def gamma(self, terms: int) -> float:
        """The relative error of a sum of so many products."""
        return float_gamma(terms)

    def zeros(self, shape: tuple[int, ...]) -> Numbers:
        """All 0."""
        return np.zeros(shape)

    def of(self, values: FloatArray) -> Numbers:
        """These floats as numbers."""
        return values

    def matrix(self, linear: LinearMap) -> Numbers:
        """The matrix of a map."""
        return linear.dense()

    def product(self, left: Numbers, right: Numbers) -> Numbers:
        """(..., m, k) times (k, n)."""
        flat = left.reshape(-1, left.shape[-1]) @ right
        return np.asarray(flat.reshape(*left.shape[:-1], right.shape[1]))

    def forward(self, linear: LinearMap, x: Numbers, *, absolute: bool = False) -> Numbers:
        """W x, or |W| x, for each of a batch (k, in)."""
        return (linear.absolute() if absolute else linear).forward(x)

    def backward(self, linear: LinearMap, rows: Numbers, used: IntArray, wanted: IntArray) -> Numbers:
        """Rows (boxes, m, k) on the components `used`, times W; the columns `wanted`."""
        if isinstance(linear, Dense):
            return self.product(rows, self.matrix(linear)[used][:, wanted])
        full = np.zeros((*rows.shape[:2], linear.shape[0]))
        full[:, :, used] = rows
        return linear.backward(full)[:, :, wanted]

    def dot(self, rows: Numbers, vectors: Numbers) -> Numbers:
        """Rows (boxes or 1, m, n) times vectors (boxes or 1, m or 1, n): (boxes or 1, m)."""
        if vectors.shape[1] == 1:
            return np.asarray(np.matmul(rows, vectors[:, 0, :, None])[:, :, 0])
        return np.asarray((rows * vectors).sum(axis=2))

    def cut(self, rows: Numbers, reach: FloatArray) -> tuple[Numbers, Numbers]:
        """Rows with fewer bits, and the most by which they are below these on values of that size: float64 has few."""
        return rows, self.zeros((1, 1))

    def floats(self, values: Numbers) -> tuple[FloatArray, Numbers]:
        """Floats, and by how much they are above these numbers."""
        return values, self.zeros(values.shape)

    def up(self, value: Numbers, error: Numbers) -> FloatArray:
        """Floats not below value + error; +inf for NaN."""
        result = np.nextafter(value + error * SLACK + TINY, np.inf)
        return np.where(np.isnan(result), np.inf, result)


class Exact(Floats):
    """Dyadic numbers, of which nothing is rounded.  Refuses what would take too long."""

    unit = 0
    chunk = 1 << 19

    def __init__(self) -> None:
        self._factors: dict[tuple[int, bool], tuple[LinearMap, Factor]] = {}
        self._matrices: dict[int, tuple[LinearMap, Dyadics]] = {}
        self._work = 0.0

    def gamma(self, terms: int) -> float:
        """No error."""
        return 0

    def zeros(self, shape: tuple[int, ...]) -> Dyadics:
        """All 0."""
        return Dyadics.zeros(shape)

    def of(self, values: FloatArray) -> Dyadics:
        """These floats, exactly."""
        if not np.isfinite(values).all():
            raise LimitError("check/exact-infinite", "a bound is infinite: exact arithmetic has no such number")
        return Dyadics.of(values)

    def matrix(self, linear: LinearMap) -> Dyadics:
        """The matrix of a dense map; made once."""
        if id(linear) not in self._matrices:
            self._matrices[id(linear)] = linear, self.of(linear.dense())
        return self._matrices[id(linear)][1]

    def product(self, left: Dyadics, right: Dyadics) -> Dyadics:
        """(..., m, k) times (k, n)."""
        return self._times(left, Factor(right.limbs, right))

    def forward(self, linear: LinearMap, x: Dyadics, *, absolute: bool = False) -> Dyadics:
        """W x, or |W| x, for each of a batch (k, in)."""
        return self._times(x, self._factor(linear, absolute).transposed())

    def backward(self, linear: LinearMap, rows: Dyadics, used: IntArray, wanted: IntArray) -> Dyadics:
        """Rows (boxes, m, k) on the components `used`, times W; the columns `wanted`."""
        return self._times(rows, self._factor(linear).chosen(used, wanted))

    def dot(self, rows: Dyadics, vectors: Dyadics) -> Dyadics:
        """Rows (boxes or 1, m, n) times vectors (boxes or 1, m or 1, n): (boxes or 1, m)."""
        some = np.flatnonzero((vectors != 0).any(axis=(0, 1)))
        return rows[:, :, some].dot(vectors[:, :, some], _rows_by_vectors, some.size)

    def cut(self, rows: Dyadics, reach: FloatArray) -> tuple[Dyadics, Dyadics]:
        """Rows with fewer bits, and the most by which they are below these on values of that size."""
        most = len(rows.limbs) - _LIMBS
        shorter, rest = rows.cut(len(rows.limbs) - (min(most, _needless(rows)) if most > 0 else 0))
        return shorter, rest * self.of(reach).sum(axis=0)

    def floats(self, values: Dyadics) -> tuple[FloatArray, Dyadics]:
        """The smallest floats that are not below, and by how much they are above."""
        found = values.ceilings()
        return found, self.of(found) - values

    def up(self, value: Dyadics, error: Dyadics) -> FloatArray:
        """The smallest floats that are not below."""
        total: Dyadics = value + error
        return total.ceilings()

    def _times(self, left: Dyadics, factor: Factor) -> Dyadics:
        rows = math.prod(left.shape[:-1])
        self._work += factor.work * rows
        if self._work > _EXACT_WORK:
            raise _too_large("work")
        found = factor.times(left.reshape(rows, left.shape[-1]))
        return found.reshape(*left.shape[:-1], factor.shape[1])

    def _factor(self, linear: LinearMap, absolute: bool = False) -> Factor:
        """W, or |W|, made once."""
        key = id(linear), absolute
        if key not in self._factors:
            if isinstance(linear, Dense):
                matrix = abs(self.matrix(linear)) if absolute else self.matrix(linear)
                found = Factor(matrix.limbs, matrix)
            else:
                entries, rows, columns = _entries(linear)
                found = Factor.sparse(abs(entries) if absolute else entries, rows, columns, linear.shape)
            self._factors[key] = linear, found
        return self._factors[key][1]


def _needless(rows: Dyadics) -> int:
    """How many last limbs may go: of each number that is not far below all others so many bits stay as they are."""
    limbs = np.arange(len(rows.limbs)).reshape(-1, *([1] * len(rows.shape)))
    first = np.where(rows.limbs != 0, limbs, -1).max(axis=0)
    least = first.min(where=first >= 0, initial=len(rows.limbs))
    return max(int(least) - _DIGITS // LIMB, len(rows.limbs) - _MOST_LIMBS)


def _rows_by_vectors(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """As `dot`, for limbs: (count or 1, boxes or 1, m, n)."""
    if vectors.shape[2] == 1:
        return np.asarray(np.matmul(rows, vectors[:, :, 0, :, None])[..., 0])
    return np.asarray((rows * vectors).sum(axis=3))


def _entries(linear: LinearMap) -> tuple[Dyadics, IntArray, IntArray]:
    """The entries that are not 0, rows, columns.  The image of a unit vector is a column, without rounding."""
    inputs, found = linear.shape[1], []
    for start in range(0, inputs, _COLUMNS):
        units = np.eye(min(_COLUMNS, inputs - start), inputs, start)
        columns, rows = np.nonzero(image := linear.forward(units))
        found.append((rows, columns + start, image[columns, rows]))
    rows, columns, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not linear.entry_error:
        return Dyadics.of(values), rows, columns
    if linear.fan_in > 1:
        raise _too_large(linear.shape)
    quotients = linear.forward_exact(np.array([Fraction(1)] * inputs, dtype=object))[rows]
    divisor = math.lcm(*(q.denominator for q in quotients))
    if divisor.bit_length() > _DIVISOR_BITS:
        raise _too_large("divisors")
    numerators = [q.numerator * (divisor // q.denominator) for q in quotients]
    return Dyadics.integers(numerators, divisor), rows, columns


def _too_large(value: object) -> LimitError:
    hint = "use --arithmetic float"
    return LimitError("check/exact-too-large", "exact arithmetic would take too long", value=value, hint=hint)
