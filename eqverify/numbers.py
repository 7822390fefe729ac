"""Exact numbers as text."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from fractions import Fraction


def exact_text(value: Fraction) -> str:
    """The decimal that a number is, to the last digit; p/q where it has none."""
    rest, twos, fives = value.denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    if rest != 1:
        return f"{Decimal(value.numerator):f}/{Decimal(value.denominator):f}"
    places = max(twos, fives)
    digits = Decimal(value.numerator * 10**places // value.denominator)
    exact = Context(prec=len(digits.as_tuple().digits) + places + 1, Emax=MAX_EMAX, Emin=MIN_EMIN)
    text = str(digits.scaleb(-places, exact)).lower()
    return text if "." in text or "e" in text else f"{text}.0"
