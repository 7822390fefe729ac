"""Exact numbers as the float64 next to them, and as text; proved bounds as short decimals that are rounded outwards."""

from __future__ import annotations

import math
from decimal import MAX_EMAX, MIN_EMIN, ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from typing import TypeAlias

Exact: TypeAlias = Decimal | Fraction
"""An exact number.  Decimals are cheap to make from text; only comparisons, which are exact, are used on them."""


def nearest_float(value: Exact) -> float:
    """The float64 nearest to a number; infinite outside the finite range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def round_up(value: Exact, *, strict: bool = False) -> float:
    """The least float64 that is at least (where `strict`, above) a number; infinite where there is none.

    Floats are compared with the exact number: nothing is assumed of how well conversion rounds.
    """
    found = nearest_float(value)
    while _order(found, value) > 0 and _order(math.nextafter(found, -math.inf), value) >= 0:
        found = math.nextafter(found, -math.inf)
    while (order := _order(found, value)) < 0 or (strict and not order):
        found = math.nextafter(found, math.inf)
    return found


def round_down(value: Exact, *, strict: bool = False) -> float:
    """The largest float64 that is at most (where `strict`, below) a number; as `round_up`."""
    found = nearest_float(value)
    while _order(found, value) < 0 and _order(math.nextafter(found, math.inf), value) <= 0:
        found = math.nextafter(found, math.inf)
    while (order := _order(found, value)) > 0 or (strict and not order):
        found = math.nextafter(found, -math.inf)
    return found


def _order(number: float, value: Exact) -> int:
    """Below, at or above zero as the number is below, at or above the value; fractions without making others."""
    if isinstance(value, Decimal) or math.isinf(number):
        return (number > value) - (number < value)
    top, bottom = number.as_integer_ratio()
    return top * value.denominator - value.numerator * bottom


def at_most(value: float, digits: int = 3) -> str:
    """An upper bound with so many digits; never below `value`.

    >>> at_most(6.4223e-10), at_most(1.1), at_most(0.0)
    ('6.43e-10', '1.11', '0')
    """
    return _rounded(value, digits, ROUND_CEILING)


def at_least(value: float, digits: int = 3) -> str:
    """A lower bound with so many digits; never above `value`.

    >>> at_least(-6.4223e-10), at_least(2.5)
    ('-6.43e-10', '2.5')
    """
    return _rounded(value, digits, ROUND_FLOOR)


def _rounded(value: float, digits: int, direction: str) -> str:
    if not math.isfinite(value):
        return f"{value:g}"
    exact = Context(prec=digits, rounding=direction).create_decimal(Decimal(value))
    usual = f"{float(exact):.{digits}g}"
    return usual if Decimal(usual) == exact else str(exact).lower()  # not equal at the ends of float64 only


def decimal_places(value: Fraction) -> int | None:
    """How many digits behind the point a number has; None where its decimal does not end."""
    twos, fives = (value.denominator & -value.denominator).bit_length() - 1, 0
    rest = value.denominator >> twos
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return max(twos, fives) if rest == 1 else None


def exact_text(value: Fraction) -> str:
    """The decimal that a number is, to the last digit; p/q where it has none."""
    places = decimal_places(value)
    if places is None:
        return f"{Decimal(value.numerator):f}/{Decimal(value.denominator):f}"
    digits = Decimal(value.numerator * 10**places // value.denominator)
    exact = Context(prec=len(digits.as_tuple().digits) + places + 1, Emax=MAX_EMAX, Emin=MIN_EMIN)
    text = str(digits.scaleb(-places, exact)).lower()
    return text if "." in text or "e" in text else f"{text}.0"
