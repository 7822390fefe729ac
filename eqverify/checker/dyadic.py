"""Arrays of dyadic numbers, sums of 16-bit pieces (*limbs*), of which nothing is rounded.

Every float64 is dyadic, and so are sums and products.  A divisor, one for a whole array, takes the quotients by
constants that networks may contain.  Limbs are integers in arrays of float64, and all that is computed with them,
matrix products too, are integers below 2^53 in size: float64 holds these, in any order of summation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from eqverify.arrays import FloatArray, IntArray
from eqverify.errors import LimitError
from eqverify.network.sparse import Sparse

LIMB = 16
BASE = 2.0**LIMB
MOST_TERMS = 1 << 20
"""Products of two limbs, each at most 2^32 in size, that are added up; carries are far smaller."""

_CHUNK = 1 << 20
_SIGNS: dict[np.ufunc, Callable[[FloatArray], Any]] = {
    np.equal: lambda sign: sign == 0,
    np.not_equal: lambda sign: sign != 0,
    np.less: lambda sign: sign < 0,
    np.greater: lambda sign: sign > 0,
}


class Dyadics(NDArrayOperatorsMixin):
    """sum of limbs[i] * 2^(16 (place + i)) / divisor, for as many of numpy's functions as the checker uses.

    Attributes:
        limbs: (count, *shape) integers from 0 to 2^16 - 1, the last of each number from -2^16, which has its sign.
        place, divisor: of all of them; the divisor is positive.
    """

    __slots__ = ("divisor", "limbs", "place")

    def __init__(self, parts: Sequence[FloatArray] | FloatArray, place: int = 0, divisor: int = 1) -> None:
        """Of any integers below 2^53 in size in the place of limbs."""
        count = len(parts) + 3  # what is carried beyond the last limb is below 2^38
        limbs = np.zeros((count, *np.shape(parts)[1:]))
        limbs[: len(parts)] = parts
        for k in range(count - 1):
            carry = np.floor(limbs[k] * (1 / BASE))
            limbs[k + 1] += carry
            limbs[k] -= carry * BASE
        while count > 1 and limbs[count - 1].min(initial=0) >= -1 and limbs[count - 1].max(initial=0) <= 0:
            count -= 1  # -1 is a sign that the limb before it can bear
            limbs[count - 1] += limbs[count] * BASE
        least = next((k for k in range(count) if limbs[k].any()), count - 1)
        self.limbs, self.place, self.divisor = limbs[least:count], place + least, divisor

    @classmethod
    def of(cls, values: FloatArray) -> Dyadics:
        """Finite floats, exactly."""
        rest, used = np.abs(values), values != 0
        if not used.any():
            return cls.zeros(values.shape)
        fractions, exponents = np.frexp(rest[used])
        mantissas = np.ldexp(fractions, 53).astype(np.int64)
        ends = np.frexp((mantissas & -mantissas).astype(np.float64))[1] + exponents.astype(np.int64) - 54
        place, signs, parts = int(ends.min()) // LIMB, np.sign(values), []
        for shift in range(int(exponents.max() - 1) // LIMB * LIMB, place * LIMB - 1, -LIMB):  # from the top
            part = np.floor(np.ldexp(rest, -shift))
            rest = rest - np.ldexp(part, shift)
            parts.append(signs * part)
        return cls(parts[::-1], place)

    @classmethod
    def integers(cls, values: Sequence[int], divisor: int = 1) -> Dyadics:
        """Integers of any size, by a divisor."""
        size = max((abs(v) for v in values), default=0).bit_length() // LIMB + 1
        parts = [[(abs(v) >> (LIMB * k) & 0xFFFF) * (-1 if v < 0 else 1) for v in values] for k in range(size)]
        return cls(np.array(parts, dtype=np.float64), 0, divisor)

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Dyadics:
        """All 0."""
        return cls(np.zeros((1, *shape)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self.limbs.shape[1:]

    @property
    def size(self) -> int:
        """How many."""
        return math.prod(self.shape)

    @property
    def sign(self) -> FloatArray:
        """-1, 0 or 1."""
        return np.where(self.limbs[-1] < 0, -1.0, self.limbs.any(axis=0))

    def reshape(self, *shape: int) -> Dyadics:
        """In another shape."""
        return self._with(self.limbs.reshape(len(self.limbs), *shape))

    def any(self) -> bool:
        """Whether any is not 0."""
        return bool(self.limbs.any())

    def sum(self, axis: int) -> Dyadics:
        """Sums along an axis, not counted from the end."""
        return Dyadics(self.limbs.sum(axis=axis + 1), self.place, self.divisor)

    def dot(self, other: Dyadics, product: Callable[[Any, Any], Any], terms: int) -> Dyadics:
        """What a product of float64 arrays that has sums of so many terms gives for these numbers."""
        left, right = self.limbs, other.limbs
        parts = _products(left, [one[None] for one in right], product, terms)
        return Dyadics(parts, self.place + other.place, self.divisor * other.divisor)

    def cut(self, count: int) -> tuple[Dyadics, Dyadics]:
        """Numbers not above these, without limbs before the last so many, and the most by which they are below, ()."""
        excess = len(self.limbs) - count
        if excess <= 0:
            return self, Dyadics.zeros(())
        unit = Dyadics(np.ones(1), self.place + excess, self.divisor)
        return Dyadics(self.limbs[excess:], self.place + excess, self.divisor), unit

    def ceilings(self) -> FloatArray:
        """The smallest floats that are not below; +inf above all floats."""
        total = np.zeros(self.size, dtype=object)
        for start in reversed(range(0, len(self.limbs), 3)):  # three limbs are less than 2^49 in size
            word = sum(limb * BASE**k for k, limb in enumerate(self.limbs[start : start + 3]))
            total = (total << 3 * LIMB) + np.ravel(word).astype(np.int64).astype(object)
        found = [_ceiling(v, LIMB * self.place, self.divisor) for v in total.tolist()]
        return np.array(found, dtype=np.float64).reshape(self.shape)

    def __getitem__(self, key: Any) -> Dyadics:
        return self._with(self.limbs[_behind(key)])

    def __setitem__(self, key: Any, values: Dyadics | int) -> None:
        (self.limbs, new), self.place, self.divisor = _aligned(self, _dyadic(values))
        key = _behind(key)
        self.limbs[key] = _raised(new, self.limbs[key].ndim)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            return NotImplemented
        if ufunc in (np.negative, np.absolute):
            turned = (self.limbs[-1] < 0) | (ufunc is np.negative)
            return Dyadics(np.where(turned, -self.limbs, self.limbs), self.place, self.divisor)
        left, right = _pair(operands)
        if ufunc is np.multiply:
            return left.dot(right, np.multiply, 1)
        if ufunc in _SIGNS:
            return _SIGNS[ufunc]((left - right if right.any() else left).sign)
        if ufunc in (np.maximum, np.minimum):
            return _where((left < right) == (ufunc is np.maximum), right, left)
        (one, other), place, divisor = _aligned(left, right)
        return Dyadics(ufunc(one, other), place, divisor) if ufunc in (np.add, np.subtract) else NotImplemented

    def __array_function__(self, function: Any, types: Any, operands: Any, options: Any) -> Any:
        return _where(operands[0], *_pair(operands[1:])) if function is np.where else NotImplemented

    def _with(self, limbs: FloatArray) -> Dyadics:
        """The same numbers in another arrangement."""
        result = object.__new__(Dyadics)
        result.limbs, result.place, result.divisor = limbs, self.place, self.divisor
        return result


class Factor:
    """A matrix as the right factor of products: its limbs, each a matrix of float64, dense or in compressed rows.

    Attributes:
        limbs: (k, n) each.
        scale: numbers with their place and divisor.
        shape: (k, n).
    """

    __slots__ = ("limbs", "scale", "shape")

    def __init__(self, limbs: Sequence[Any] | FloatArray, scale: Dyadics) -> None:
        self.limbs, self.scale = limbs, scale
        self.shape: tuple[int, int] = limbs[0].shape

    @classmethod
    def sparse(cls, entries: Dyadics, rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> Factor:
        """(k, n) with some entries, no place twice."""
        return cls([Sparse.from_entries(rows, columns, one, shape).matrix for one in entries.limbs], entries)

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
        (depth, height, terms), columns = left.limbs.shape, self.shape[1]

        def product(limbs: FloatArray, matrix: Any) -> FloatArray:
            count, rows, _ = limbs.shape
            return np.asarray(limbs.reshape(count * rows, terms) @ matrix).reshape(count, rows, columns)

        step = max(1, _CHUNK // (depth * max(1, terms + columns)))
        slices = [slice(start, start + step) for start in range(0, height, step)] or [slice(0, 0)]
        parts = [_products(left.limbs[:, some], self.limbs, product, terms) for some in slices]
        place, divisor = left.place + self.scale.place, left.divisor * self.scale.divisor
        return Dyadics(np.concatenate(parts, axis=1), place, divisor)


def _products(
    left: FloatArray, right: Sequence[Any] | FloatArray, product: Callable[[Any, Any], Any], terms: int
) -> FloatArray:
    """Sums of products of limbs, by place."""
    if min(len(left), len(right)) * terms > MOST_TERMS:
        raise LimitError("check/exact-too-large", "sums of limbs that float64 does not hold", value=terms)
    first = product(left, right[0])
    total = np.zeros((len(left) + len(right) - 1, *first.shape[1:]))
    total[: len(left)] = first
    for place, one in enumerate(right[1:], 1):
        total[place : place + len(left)] += product(left, one)
    return total


def _dyadic(value: Any) -> Dyadics:
    """Integers and truth values as numbers; floats must come from `Dyadics.of`, and be finite."""
    if isinstance(value, Dyadics):
        return value
    array = np.asarray(value)
    if array.dtype.kind not in "bi":
        raise TypeError(f"not an integer: {array.dtype}")
    return Dyadics(array[None].astype(np.float64))


def _where(chosen: Any, left: Dyadics, right: Dyadics) -> Dyadics:
    (one, other), place, divisor = _aligned(left, right)
    return Dyadics(np.where(chosen, one, other), place, divisor)


def _pair(operands: Any) -> tuple[Dyadics, Dyadics]:
    """Two arrays with as many dimensions."""
    left, right = map(_dyadic, operands)
    rank = max(left.limbs.ndim, right.limbs.ndim)
    return left._with(_raised(left.limbs, rank)), right._with(_raised(right.limbs, rank))


def _aligned(left: Dyadics, right: Dyadics) -> tuple[tuple[FloatArray, FloatArray], int, int]:
    """Limbs of two arrays with one place and divisor, as many for both, which are copies; place and divisor."""
    divisor = math.lcm(left.divisor, right.divisor)
    left, right = (
        one if one.divisor == divisor else one * Dyadics.integers([divisor // one.divisor])[0] for one in (left, right)
    )
    place = min(left.place, right.place)
    end = max(left.place + len(left.limbs), right.place + len(right.limbs))
    return (_extended(left, place, end), _extended(right, place, end)), place, divisor


def _extended(numbers: Dyadics, place: int, end: int) -> FloatArray:
    """Limbs from a place to another: zeros before, and the sign behind."""
    first, count = numbers.place - place, len(numbers.limbs)
    result = np.zeros((end - place, *numbers.shape))
    result[first : first + count] = numbers.limbs
    if first + count < len(result):
        negative = numbers.limbs[-1] < 0
        result[first + count - 1] += negative * BASE
        result[first + count : -1] = negative * (BASE - 1)
        result[-1] = -1.0 * negative
    return result


def _raised(limbs: FloatArray, rank: int) -> FloatArray:
    """With that many dimensions, those of the limbs first."""
    return limbs.reshape(len(limbs), *(1,) * (rank - limbs.ndim), *limbs.shape[1:])


def _behind(key: Any) -> tuple[Any, ...]:
    """An index of an array as one of its limbs."""
    return (slice(None), *key) if isinstance(key, tuple) else (slice(None), key)


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
