"""The two arithmetics of the checker: float64 with a-priori error bounds, and exact rationals.

Both work on numpy arrays with the same code: float64, or objects that are python-flint's `fmpq`.  `gamma` and `unit`
are the relative errors of Higham (2002, eq. 3.5); in exact arithmetic they are 0.  Bounds that are kept are float64 in
both, rounded outwards.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import LimitError
from eqverify.network import UNIT_ROUNDOFF, Dense, LinearMap
from eqverify.network import gamma as float_gamma

Numbers = npt.NDArray[Any]
TINY = 1e-300
"""Far above the sum of all underflow errors of a product; added wherever float64 rounds."""

SLACK = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves: fewer than 10^9 operations, each off by 2^-53."""

_EXACT_ENTRIES = 1 << 21
_EXACT_WORK = 40e9


class Floats:
    """float64.  Sums of products are off by at most gamma |A| |x| in any order of summation."""

    exact = False
    dtype: type = np.float64
    unit: float = UNIT_ROUNDOFF

    def gamma(self, terms: int) -> float:
        """The relative error of a sum of so many products."""
        return float_gamma(terms)

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
        if self.exact or isinstance(linear, Dense):
            return self.product(rows, self.matrix(linear)[used][:, wanted])
        full = np.zeros((*rows.shape[:2], linear.shape[0]))
        full[:, :, used] = rows
        return linear.backward(full)[:, :, wanted]

    def up(self, value: Numbers, error: Numbers) -> FloatArray:
        """Floats not below value + error; +inf for NaN."""
        result = np.nextafter(value + error * SLACK + TINY, np.inf)
        return np.where(np.isnan(result), np.inf, result)


class Rationals(Floats):
    """Exact rationals; matrices are multiplied by python-flint.  Refuses what would take too long."""

    exact = True
    dtype = object
    unit = 0

    def __init__(self) -> None:
        self._matrices: dict[int, tuple[LinearMap, Numbers]] = {}
        self._work = 0.0

    def gamma(self, terms: int) -> float:
        """No error."""
        return 0

    def of(self, values: FloatArray) -> Numbers:
        """These floats, exactly."""
        if not np.isfinite(values).all():
            raise LimitError("check/exact-infinite", "a bound is infinite: exact arithmetic has no such number")
        return _array([flint.fmpq(*v.as_integer_ratio()) for v in values.ravel().tolist()], values.shape)

    def matrix(self, linear: LinearMap) -> Numbers:
        """The matrix of a map, exactly; made once."""
        if id(linear) not in self._matrices:
            outputs, inputs = linear.shape
            if max(outputs, inputs) * inputs > _EXACT_ENTRIES:
                raise _too_large(linear.shape)
            matrix = self.of(linear.dense())
            if linear.entry_error:  # entries are quotients of floats
                eye = np.array([[Fraction(i == j) for i in range(inputs)] for j in range(inputs)], dtype=object)
                columns = [[flint.fmpq(v.numerator, v.denominator) for v in linear.forward_exact(e)] for e in eye]
                matrix = _array([v for column in columns for v in column], (inputs, outputs)).T
            self._matrices[id(linear)] = linear, matrix
        return self._matrices[id(linear)][1]

    def product(self, left: Numbers, right: Numbers) -> Numbers:
        """(..., m, k) times (k, n)."""
        rows, inner, columns = int(np.prod(left.shape[:-1])), *right.shape
        self._work += rows * inner * columns
        if self._work > _EXACT_WORK:
            raise _too_large("work")
        if not rows * inner * columns:
            return np.zeros((*left.shape[:-1], columns), object)
        a, b = (
            flint.fmpq_mat(rows, inner, left.ravel().tolist()),
            flint.fmpq_mat(inner, columns, right.ravel().tolist()),
        )
        return _array((a * b).entries(), (*left.shape[:-1], columns))

    def forward(self, linear: LinearMap, x: Numbers, *, absolute: bool = False) -> Numbers:
        """W x, or |W| x, for each of a batch (k, in)."""
        matrix = self.matrix(linear)
        return self.product(x, (np.abs(matrix) if absolute else matrix).T)

    def up(self, value: Numbers, error: Numbers) -> FloatArray:
        """The smallest floats that are not below."""
        return np.array([_ceiling(flint.fmpq(v)) for v in (value + error).ravel()]).reshape(value.shape)


def _too_large(value: object) -> LimitError:
    hint = "use --arithmetic float"
    return LimitError("check/exact-too-large", "exact arithmetic would take too long", value=value, hint=hint)


def _array(values: list[Any], shape: tuple[int, ...]) -> Numbers:
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result.reshape(shape)


def _ceiling(value: Any) -> float:
    """The smallest float that is not below a rational."""
    p, q = int(value.p), int(value.q)
    try:
        near = p / q  # correctly rounded
    except OverflowError:
        return np.inf
    a, b = near.as_integer_ratio()
    return near if a * q >= p * b else float(np.nextafter(near, np.inf))
