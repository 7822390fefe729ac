"""Exact numbers to float64, rounded outwards.

Every function compares the float with the exact number: nothing is assumed of the correctness of decimal conversion.
"""

from __future__ import annotations

import math

from eqverify.domain.written import Exact


def round_down(value: Exact) -> float:
    """The largest float64 at most `value`; -inf below the finite range."""
    result = nearest_float(value)
    while result > value:
        result = math.nextafter(result, -math.inf)
    return result


def round_up(value: Exact) -> float:
    """The smallest float64 at least `value`; inf above the finite range."""
    result = nearest_float(value)
    while result < value:
        result = math.nextafter(result, math.inf)
    return result


def nearest_float(value: Exact) -> float:
    """The float64 nearest to `value`; infinite outside the finite range."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
