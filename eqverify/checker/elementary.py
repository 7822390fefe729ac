"""Values and derivatives of functions, enclosed by arithmetic of integers: no library and no float is believed.

A number is an integer n, in arrays of Python's integers, and stands for all reals from n to n + 1 in units of
2^-`BITS`; so every float has one.  A result is two such integers, in the same unit, between which the function's values
at all those reals lie.  Divisions and shifts round down.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from eqverify.arrays import FloatArray

BITS = 128
ONE = 1 << BITS
Integers = npt.NDArray[np.object_]
Enclosure = tuple[Any, Any]

_TERMS, _ERF_TERMS, _SINE_TERMS = 14, 160, 34
_FAR = 1 << 2 * BITS
_FAINT = 100 * ONE
"""exp(-100) is below 2^-144."""
_INFINITE = _FAR << 2000


class Jet(NamedTuple):
    """Enclosures of a function's values, and of its derivatives."""

    value: Enclosure
    slope: Enclosure


def integers(x: FloatArray) -> Integers:
    """The numbers of floats up to 2^800 in size: scaling them by a power of two rounds nothing."""
    found = np.empty(x.shape, dtype=object)
    found[...] = [math.floor(v) for v in (x * 2.0**BITS).tolist()]
    return found


def rounded_up(numerators: Any) -> FloatArray:
    """Floats not below integers, in the unit."""
    nearest = [v / ONE if abs(v) < _FAR << 700 else math.inf if v > 0 else -math.inf for v in numerators]
    return np.nextafter(np.array(nearest, dtype=np.float64), np.inf)


def exp_of(n: Any) -> Enclosure:
    """exp, by its series at n / 2^k, squared k times; 1 / exp(-x) below 0."""
    negative = n < 0
    size = np.where(negative, -n - 1, n)
    halvings = max(int(max(size, default=0)).bit_length() - BITS + 8, 0)
    near = size >> halvings
    low = high = np.full_like(n, ONE)
    for k in range(_TERMS, 0, -1):
        low, high = ONE + (low * near >> BITS) // k, ONE + (high * (near + 1) >> BITS) // k + 1
    high = high + 1  # what the series has beyond its terms: near is below 2^-8
    for _ in range(halvings):
        low, high = low * low >> BITS, (high * high >> BITS) + 1
    return np.where(negative, (ONE << BITS) // high, low), np.where(negative, (ONE << BITS) // low + 1, high)


def exp_between(low: Any, high: Any) -> Enclosure:
    """exp of all reals from `low` to `high`, in the unit."""
    return exp_of(low)[0], exp_of(high)[1]


def log_between(low: Any, high: Any) -> Enclosure:
    """log of all reals from `low` to `high`, in the unit, both positive: y + log(1 + d), for 1 + d = x / exp(y).

    d - d^2 <= log(1 + d) <= d where d >= -1/2; y is a guess.
    """
    near = integers(np.array([math.log(v / ONE) if v > 0 else 0.0 for v in low]))
    least, most = exp_of(near)
    below, above = (low << BITS) // most - ONE, (high << BITS) // least + 1 - ONE
    return np.where(2 * below > -ONE, near + below - (below * below >> BITS) - 1, -_FAR), near + above


def _fading(n: Any) -> Enclosure:
    """exp(-|x|)."""
    size = np.where(n < 0, -n - 1, n)
    low, high = exp_of(-np.minimum(size, _FAINT) - 1)
    return np.where(size > _FAINT, 0, low), high


def _sigmoid_of(n: Any) -> Enclosure:
    """1 / (1 + exp(-x)), by exp(-|x|)."""
    negative, (least, most) = n < 0, _fading(n)
    low, high = (ONE << BITS) // (ONE + most), (ONE << BITS) // (ONE + least) + 1
    return np.where(negative, ONE - high, low), np.where(negative, ONE - low, high)


def _times(one: Enclosure, other: Enclosure) -> Enclosure:
    """The products of two enclosed numbers."""
    corners = [a * b for a in one for b in other]
    low, high = corners[0], corners[0]
    for corner in corners[1:]:
        low, high = np.minimum(low, corner), np.maximum(high, corner)
    return low >> BITS, (high >> BITS) + 1


def exponential(n: Any) -> Jet:
    """exp."""
    value = exp_of(n)
    return Jet(value, value)


def sigmoid(n: Any) -> Jet:
    """1 / (1 + exp(-x)): its derivative is s (1 - s)."""
    low, high = _sigmoid_of(n)
    return Jet((low, high), _times((low, high), (ONE - high, ONE - low)))


def tanh(n: Any) -> Jet:
    """2 sigmoid(2 x) - 1: its derivative is 1 - t^2."""
    low, high = _sigmoid_of(2 * n)  # of one half of what 2 x can be; the slope is at most 1/4
    low, high = 2 * low - ONE, 2 * high + 2 - ONE
    least, most = _times((low, high), (low, high))
    return Jet((low, high), (ONE - most, ONE - np.maximum(least, 0)))


def softplus(n: Any) -> Jet:
    """max(x, 0) + log(1 + exp(-|x|)): its derivative is the sigmoid."""
    least, most = _fading(n)
    low, high = log_between(ONE + least, ONE + most)
    return Jet((np.maximum(n, 0) + low, np.maximum(n + 1, 0) + high), _sigmoid_of(n))


def silu(n: Any) -> Jet:
    """x s, with s the sigmoid: its derivative is s (1 + x (1 - s))."""
    low, high = _sigmoid_of(n)
    least, most = _times((n, n + 1), (ONE - high, ONE - low))
    return Jet(_times((n, n + 1), (low, high)), _times((low, high), (ONE + least, ONE + most)))


def logarithm(n: Any) -> Jet:
    """log."""
    return Jet(log_between(n, n + 1), reciprocal(n).value)


def root(n: Any) -> Jet:
    """The square root r: its derivative is 1 / (2 r)."""
    isqrt = np.frompyfunc(math.isqrt, 1, 1)
    low, high = isqrt(n << BITS), isqrt((n + 1) << BITS) + 1
    steepest = np.where(low > 0, (ONE << BITS) // np.maximum(2 * low, 1) + 1, _INFINITE)
    return Jet((low, high), ((ONE << BITS) // (2 * high), steepest))


def reciprocal(n: Any) -> Jet:
    """1 / x."""
    low, high = (ONE << BITS) // (n + 1), (ONE << BITS) // n + 1
    least, most = _times((low, high), (low, high))
    return Jet((low, high), (-most, -np.maximum(least, 0)))


def power(exponent: int) -> Callable[[Any], Jet]:
    """x^k, for k at least 1: its derivative is k x^(k - 1)."""

    def found(n: Any) -> Jet:
        least, most = _power(n, exponent - 1)
        return Jet(_power(n, exponent), (exponent * least, exponent * most))

    return found


def _power(n: Any, exponent: int) -> Enclosure:
    negative = n < 0
    size, shift = np.where(negative, -n - 1, n), BITS * (exponent - 1)
    if exponent == 0:
        return np.full_like(n, ONE), np.full_like(n, ONE)
    low, high = size**exponent >> shift, ((size + 1) ** exponent >> shift) + 1
    turned = negative & (exponent % 2 == 1)
    return np.where(turned, -high, low), np.where(turned, -low, high)


def erf(n: Any) -> Jet:
    """The error function: 2 / sqrt(pi) exp(-x^2) (x + x 2 x^2 / 3 + x (2 x^2)^2 / (3 * 5) + ...).

    Far from 0, 1 - erf(x) <= exp(-x^2).
    """
    negative = n < 0
    size = np.minimum(np.where(negative, -n - 1, n), 10 * ONE)
    square = size * size >> BITS, ((size + 1) * (size + 1) >> BITS) + 1
    bell = exp_between(-square[1], -square[0])
    bell, far = (np.where(size < 10 * ONE, bell[0], 0), bell[1]), size > 6 * ONE
    near = np.where(far, 0, size)
    twice = [2 * np.where(far, 0, part) for part in square]
    low, high = terms = near, near + 1
    for k in range(1, _ERF_TERMS):
        terms = (terms[0] * twice[0] >> BITS) // (2 * k + 1), (terms[1] * twice[1] >> BITS) // (2 * k + 1) + 1
        low, high = low + terms[0], high + terms[1]
    high = high + terms[1]  # each further term is below half of the one before
    slope = _times(_TWO_BY_ROOT_PI, bell)
    low, high = _times(_times(_TWO_BY_ROOT_PI, bell), (low, high))
    low, high = np.where(far, ONE - bell[1], low), np.where(far, ONE, np.minimum(high, ONE))
    return Jet((np.where(negative, -high, low), np.where(negative, -low, high)), slope)


def sine(n: Any, quarters: int = 0) -> Jet:
    """sin(x + quarters pi / 2), for |x| up to 2^17, and its derivative."""
    return Jet(_sine(n, quarters), _sine(n, quarters + 1))


def cosine(n: Any) -> Jet:
    """cos."""
    return sine(n, 1)


def _sine(n: Any, quarters: int) -> Enclosure:
    """By its series around 0, at most pi + 1 away.

    Multiples of pi are off by less than 2^22 units, each term by less than 2^8 and what follows the last one by less
    than 1, so that 2^24 is more than all of it.
    """
    shifted = n + quarters * PI[0] // 2
    near = shifted - 2 * PI[0] * ((shifted + PI[0]) // (2 * PI[0]))
    square = near * near >> BITS
    total = term = near
    for k in range(1, _SINE_TERMS):
        term = -(term * square >> BITS) // (2 * k * (2 * k + 1))
        total = total + term
    return np.maximum(total - (1 << 24), -ONE), np.minimum(total + (1 << 24), ONE)


def _arctangent(divisor: int) -> Enclosure:
    """arctan(1 / divisor): the series alternates, and falls."""
    total, power = 0, (ONE << 16) // divisor
    for k in range(BITS):
        total += (-1) ** k * (power // (2 * k + 1))
        power //= divisor * divisor
    return (total >> 16) - 1, (total >> 16) + 2  # 128 terms, each off by less than 2 / 2^16


def _pi() -> Enclosure:
    """16 arctan(1/5) - 4 arctan(1/239)."""
    (low, high), (least, most) = _arctangent(5), _arctangent(239)
    return 16 * low - 4 * most, 16 * high - 4 * least


PI = _pi()
_TWO_BY_ROOT_PI = math.isqrt((4 << 3 * BITS) // PI[1]), math.isqrt((4 << 3 * BITS) // PI[0] + 1) + 1
"""sqrt(4 / pi)."""
