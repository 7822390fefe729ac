"""Roots of stored numbers, rounded once."""

from __future__ import annotations

import math
from fractions import Fraction


def nearest_root(square: Fraction) -> float:
    """The float64 nearest to the square root of a positive number."""
    shift = 80 + max(0, square.denominator.bit_length() - square.numerator.bit_length())
    scaled = (square.numerator << 2 * shift) // square.denominator
    root = math.isqrt(scaled)
    exact = root * root * square.denominator == square.numerator << 2 * shift
    # More than 80 bits of the root, and one that says whether there is a remainder: enough to round correctly.
    return (2 * root + (not exact)) / (1 << shift + 1)
