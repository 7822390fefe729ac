"""Proved bounds as short decimals: rounded outwards, so that what is printed is proved too."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal


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
