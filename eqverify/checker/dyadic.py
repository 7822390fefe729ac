"""Arrays of dyadic numbers: Python integers with one exponent of two for the whole array.  Nothing is rounded.

Every float64 is dyadic, and so are sums and products.  A divisor, one for the whole array too, takes the quotients by
constants that networks may contain.  Matrices are multiplied by float64 products of 16-bit pieces of the integers
(*limbs*): all partial sums are integers below 2^53, so that float64 holds them, in any order of summation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import LimitError
from eqverify.network.sparse import Sparse

Objects = npt.NDArray[Any]
LIMB = 16
MOST_TERMS = 1 << (53 - 2 * LIMB)
"""Products of two limbs, each below 2^16 in size, that float64 can add up exactly."""

_CHUNK = 1 << 22
_SAME_SCALE = (np.add, np.subtract, np.maximum, np.minimum)
_COMPARISONS = (np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal)


class Dyadics(NDArrayOperatorsMixin):
    """ints * 2^exponent / divisor, for as many of numpy's functions as the checker uses.

    Attributes:
        ints: Python integers, of any shape.
        exponent, divisor: of all of them; the divisor is positive.
    """

    __slots__ = ("divisor", "exponent", "ints")

    def __init__(self, ints: Objects, exponent: int = 0, divisor: int = 1) -> None:
        self.ints, self.exponent, self.divisor = ints, exponent, divisor

    @classmethod
    def of(cls, values: FloatArray) -> Dyadics:
        """Finite floats, exactly, with the largest exponent that all of them have."""
        fractions, exponents = np.frexp(values)
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        used = mantissas != 0
        if not used.any():
            return cls.zeros(values.shape)
        twos = np.frexp((mantissas & -mantissas).astype(np.float64))[1] - 1  # trailing zeros
        mantissas = np.where(used, mantissas >> np.maximum(twos, 0), 0)
        exponents = np.where(used, exponents.astype(np.int64) - 53 + twos, 0)
        least = int(exponents[used].min())
        shifts = np.where(used, exponents - least, 0)
        if (np.ceil(np.log2(np.abs(mantissas) + 1.0)) + shifts).max() < 62:
            return cls((mantissas << shifts).astype(object), least)
        return cls(np.asarray(mantissas.astype(object) << shifts.astype(object), dtype=object), least)

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Dyadics:
        """All 0."""
        return cls(np.zeros(shape, dtype=object))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.ints.shape

    @property
    def size(self) -> int:
        """How many."""
        return self.ints.size

    @property
    def T(self) -> Dyadics:
        """Transposed."""
        return self._with(self.ints.T)

    def reshape(self, *shape: int) -> Dyadics:
        """In another shape."""
        return self._with(self.ints.reshape(*shape))

    def any(self) -> bool:
        """Whether any is not 0."""
        return bool(self.ints.any())

    def sum(self, axis: int) -> Dyadics:
        """Sums along an axis."""
        return self._with(self.ints.sum(axis=axis))

    def cut(self, bits: int) -> tuple[Dyadics, Dyadics]:
        """Numbers not above these, with no more bits than that before them, and the most by which they are below, ()."""
        excess = max(int(self.ints.max(initial=0)), -int(self.ints.min(initial=0))).bit_length() - bits
        if excess <= 0:
            return self, Dyadics.zeros(())
        kept = Dyadics(self.ints >> excess, self.exponent + excess, self.divisor)
        return kept, Dyadics(_scalar(1), self.exponent + excess, self.divisor)

    def ceilings(self) -> FloatArray:
        """The smallest floats that are not below; +inf above all floats."""
        values = [_ceiling(v, self.exponent, self.divisor) for v in self.ints.ravel().tolist()]
        return np.array(values, dtype=np.float64).reshape(self.shape)

    def __getitem__(self, key: Any) -> Dyadics:
        return self._with(self.ints[key])

    def __setitem__(self, key: Any, values: Dyadics | int) -> None:
        one, other = _aligned(self, _dyadic(values))
        self.ints, self.exponent, self.divisor = one.ints, one.exponent, one.divisor
        self.ints[key] = other.ints

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in (np.negative, np.absolute):
            return self._with(ufunc(self.ints))
        left, right = map(_dyadic, operands)
        if ufunc is np.multiply:
            return Dyadics(left.ints * right.ints, left.exponent + right.exponent, left.divisor * right.divisor)
        left, right = _aligned(left, right)
        if ufunc in _COMPARISONS:
            return ufunc(left.ints, right.ints)
        return left._with(ufunc(left.ints, right.ints)) if ufunc in _SAME_SCALE else NotImplemented

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        if function is not np.where:
            return NotImplemented
        where, *values = operands
        left, right = _aligned(*map(_dyadic, values))
        return left._with(np.where(where, left.ints, right.ints))

    def _with(self, ints: Any) -> Dyadics:
        return Dyadics(ints if isinstance(ints, np.ndarray) else _scalar(ints), self.exponent, self.divisor)


def limbs(numbers: Dyadics) -> list[FloatArray]:
    """Integers as sums of limbs times 2^(16 i): limbs from 0 to 2^16 - 1, the last one from -2^15 to 2^15 - 1."""
    ints = numbers.ints.ravel()
    size = max(int(ints.max(initial=0)), -int(ints.min(initial=0))).bit_length() // LIMB + 1
    if size <= 4:
        words = ints.astype("<i8").view("<u2").reshape(-1, 4)[:, :size]
    else:
        data = b"".join([v.to_bytes(2 * size, "little", signed=True) for v in ints.tolist()])
        words = np.frombuffer(data, dtype="<u2").reshape(-1, size)
    pieces = [*words[:, :-1].T, words[:, -1].view("<i2") if words.size else words[:, -1]]
    return [piece.astype(np.float64).reshape(numbers.shape) for piece in pieces]


class Factor:
    """A matrix as the right factor of products: limbs, each in a matrix of float64, dense or in compressed rows.

    Attributes:
        limbs: of the integers, (k, n) each.
        scale: numbers with their exponent and divisor.
        shape: (k, n).
    """

    __slots__ = ("limbs", "scale", "shape")

    def __init__(self, pieces: Sequence[Any], scale: Dyadics) -> None:
        self.limbs, self.scale = pieces, scale
        self.shape: tuple[int, int] = pieces[0].shape

    @classmethod
    def dense(cls, matrix: Dyadics) -> Factor:
        """(k, n)."""
        return cls(limbs(matrix), matrix)

    @classmethod
    def sparse(cls, rows: IntArray, columns: IntArray, entries: Dyadics, shape: tuple[int, int]) -> Factor:
        """(k, n) with some entries, no place twice."""
        pieces = [Sparse.from_entries(rows, columns, one, shape).matrix for one in limbs(entries)]
        return cls(pieces, entries)

    @property
    def work(self) -> int:
        """Products of limbs for each row and limb of a left factor."""
        return sum(one.size for one in self.limbs)

    def transposed(self) -> Factor:
        """(n, k)."""
        return Factor([one.T for one in self.limbs], self.scale)

    def chosen(self, rows: IntArray, columns: IntArray) -> Factor:
        """Some rows and columns."""
        return Factor([one[rows][:, columns] for one in self.limbs], self.scale)

    def times(self, left: Dyadics) -> Dyadics:
        """left (m, k) times this."""
        pieces, (terms, columns) = np.stack(limbs(left)), self.shape
        if min(len(pieces), len(self.limbs)) * terms > MOST_TERMS:
            raise LimitError("check/exact-too-large", "sums of limbs that float64 does not hold", value=terms)
        depth, step = len(pieces) + len(self.limbs) - 1, max(1, _CHUNK // (len(pieces) * max(1, terms + columns)))
        result = np.zeros((left.shape[0], columns), dtype=object)
        for start in range(0, len(result), step):
            some = pieces[:, start : start + step]
            total = np.zeros((depth, some.shape[1], columns))
            for place, matrix in enumerate(self.limbs):
                product = some.reshape(some.shape[0] * some.shape[1], terms) @ matrix
                total[place : place + len(some)] += product.reshape(*some.shape[:2], columns)
            result[start : start + step] = _joined(total)
        return Dyadics(result, left.exponent + self.scale.exponent, left.divisor * self.scale.divisor)


def _joined(total: FloatArray) -> Objects:
    """The sums of integers times 2^(16 i): the inverse of `limbs` for integers of any size below 2^53."""
    shape, depth = total.shape[1:], len(total)
    size = depth + 3  # a last carry below 2^37 in size needs three more limbs, a sign included
    words, carry = np.empty((math.prod(shape), size), dtype="<u2"), np.zeros(math.prod(shape), dtype=np.int64)
    for place in range(size):
        if place < depth:
            carry += total[place].reshape(-1).astype(np.int64)
        words[:, place] = carry & 0xFFFF
        carry >>= LIMB
    if size <= 4:
        wide = np.zeros((len(words), 4), dtype="<u2")
        wide[:, :size], wide[:, size:] = words, np.where(words[:, -1:] >> 15, 0xFFFF, 0)
        return wide.view("<i8").reshape(-1).astype(object).reshape(shape)
    data, step = words.tobytes(), 2 * size
    result = np.empty(len(words), dtype=object)
    result[:] = [int.from_bytes(data[k : k + step], "little", signed=True) for k in range(0, len(data), step)]
    return result.reshape(shape)


def _dyadic(value: Any) -> Dyadics:
    """Integers and truth values as numbers; floats must come from `Dyadics.of`, where it is seen that they are finite."""
    if isinstance(value, Dyadics):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "bi":
        raise TypeError(f"not an integer: {array.dtype}")
    return Dyadics(np.asarray(array.astype(np.int64).astype(object), dtype=object))


def _aligned(left: Dyadics, right: Dyadics) -> tuple[Dyadics, Dyadics]:
    """The same numbers with one exponent and one divisor."""
    exponent, divisor = min(left.exponent, right.exponent), math.lcm(left.divisor, right.divisor)
    return _scaled(left, exponent, divisor), _scaled(right, exponent, divisor)


def _scaled(numbers: Dyadics, exponent: int, divisor: int) -> Dyadics:
    factor = (divisor // numbers.divisor) << (numbers.exponent - exponent)
    return numbers if factor == 1 else Dyadics(numbers.ints * factor, exponent, divisor)


def _scalar(value: int) -> Objects:
    result = np.empty((), dtype=object)
    result[()] = value
    return result


def _ceiling(mantissa: int, exponent: int, divisor: int) -> float:
    """The smallest float that is not below mantissa * 2^exponent / divisor."""
    if divisor != 1:  # more bits than a float has, so that rounding up twice is rounding up once
        more = max(0, 64 + divisor.bit_length() - mantissa.bit_length())
        mantissa, exponent = -((-mantissa << more) // divisor), exponent - more
    excess = max(mantissa.bit_length() - 53, -1074 - exponent, 0)
    try:
        return math.ldexp(-(-mantissa >> excess), exponent + excess)
    except OverflowError:
        return math.inf if mantissa > 0 else -float(np.finfo(np.float64).max)
