"""Lines about max(0, z) and about max(0, z_f) - max(0, z_g) (specs/equivalence.md, E-3 and E-4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Interval
from eqverify.network import UNIT_ROUNDOFF
from eqverify.network.evaluate import UNDERFLOW

_NEARLY = 1e-3
"""Slopes this close to 0 or 1 are taken as that: the offset grows by no larger share, and the line no longer depends on
how well z is known elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelBounds:
    """Bounds of pre-activations of a level: of g's units, of f's paired units, of z_f - z_g, of f's lone units."""

    g: Interval
    f: Interval
    difference: Interval
    lone: Interval


Line = tuple[FloatArray, FloatArray, FloatArray]
"""Slope lam, middle and radius:  |output - lam w - middle| <= radius."""


def chord(z: Interval) -> Line:
    """max(0, z) about the line of its chord's slope (E-3); exact where the sign is known."""
    lam, top = chord_offset(z)
    half = top / 2
    return lam, half, half


def chord_offset(z: Interval) -> tuple[FloatArray, FloatArray]:
    """Slope lam, nearly that of the chord, and offset:  0 <= max(0, z) - lam z <= offset."""
    with np.errstate(divide="ignore", invalid="ignore"):
        lam = z.upper / (z.upper - z.lower)
    lam = np.where(z.lower >= 0, 1.0, np.where(z.upper <= 0, 0.0, np.clip(np.nan_to_num(lam, nan=0.5), 0.0, 1.0)))
    lam = np.where(lam <= _NEARLY, 0.0, np.where(lam >= 1.0 - _NEARLY, 1.0, lam))
    return lam, _above_line(z, lam)[1]


def _above_line(z: Interval, lam: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Bounds of  max(0, z) - lam z  for lam in [0, 1]: convex in z, never negative."""
    with np.errstate(invalid="ignore"):
        low = np.maximum(np.maximum(-lam * z.upper, (1.0 - lam) * z.lower), 0.0) * (1.0 - 8 * UNIT_ROUNDOFF)
        top = np.maximum(np.maximum(-lam * z.lower, (1.0 - lam) * z.upper), 0.0) * (1.0 + 8 * UNIT_ROUNDOFF)
    low = np.maximum(np.nan_to_num(low, nan=0.0) - UNDERFLOW, 0.0)
    top = np.where(top == 0, 0.0, top + UNDERFLOW)
    return low, np.where(np.isnan(top), np.inf, top)


def difference_line(z_f: Interval, z_g: Interval, difference: Interval) -> Line:
    """max(0, z_f) - max(0, z_g) about a line in  z_f - z_g  (E-4): of several slopes that with the smallest radius."""
    slopes = _slopes(z_f, z_g)
    best = _difference_range(z_f, z_g, difference, slopes[0])
    lam = slopes[0]
    for slope in slopes[1:]:
        low, top = _difference_range(z_f, z_g, difference, slope)
        better = top - low < best[1] - best[0]
        lam = np.where(better, slope, lam)
        best = np.where(better, low, best[0]), np.where(better, top, best[1])
    low, top = best
    middle = low + (top - low) / 2
    radius = np.maximum(top - middle, middle - low)
    return lam, middle, np.where(radius > 0, np.nextafter(radius, np.inf), 0.0)


Side = tuple[FloatArray, FloatArray]
"""Slope and offset of a line on one side."""


def difference_sides(z_f: Interval, z_g: Interval, difference: Interval) -> tuple[Side, Side]:
    """A line above and one below max(0, z_f) - max(0, z_g) (E-4):  low slope d - offset <= it <= top slope d + offset.

    Of several slopes the one whose line is closest in the middle of the range of d = z_f - z_g.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        middle = np.nan_to_num(difference.lower + (difference.upper - difference.lower) / 2)
    slopes = _slopes(z_f, z_g)
    ranges = [_difference_range(z_f, z_g, difference, slope) for slope in slopes]
    top, low = (slopes[0], ranges[0][1]), (slopes[0], -ranges[0][0])
    for slope, (below, above) in zip(slopes[1:], ranges[1:], strict=True):
        better = slope * middle + above < top[0] * middle + top[1]
        top = np.where(better, slope, top[0]), np.where(better, above, top[1])
        better = slope * middle + below > low[0] * middle - low[1]
        low = np.where(better, slope, low[0]), np.where(better, -below, low[1])
    return top, low


def _slopes(z_f: Interval, z_g: Interval) -> list[FloatArray]:
    """Slopes to try: 1, 0, a half, and those of both chords."""
    with np.errstate(divide="ignore", invalid="ignore"):
        chords = [z.upper / (z.upper - z.lower) for z in (z_f, z_g)]
    chords = [np.clip(np.nan_to_num(lam, nan=0.5), 0.0, 1.0) for lam in chords]
    return [np.ones_like(z_f.lower), np.zeros_like(z_f.lower), np.full_like(z_f.lower, 0.5), *chords]


def _difference_range(
    z_f: Interval, z_g: Interval, difference: Interval, lam: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bounds of  max(0, z_f) - max(0, z_g) - lam (z_f - z_g)  (E-4)."""
    low_f, top_f = _above_line(z_f, lam)
    low_g, top_g = _above_line(z_g, lam)
    rise, fall = np.maximum(difference.upper, 0.0), np.maximum(-difference.lower, 0.0)
    above = _smaller(np.maximum((1.0 - lam) * rise, lam * fall), top_f - low_g)
    below = _smaller(np.maximum(lam * rise, (1.0 - lam) * fall), top_g - low_f)
    return -below, above


def _smaller(one: FloatArray, other: FloatArray) -> FloatArray:
    """The smaller of two upper bounds, each a few roundings off; an undefined one says nothing."""
    bounds = [np.where(np.isnan(b), np.inf, b) for b in (one, other)]
    least = np.minimum(*bounds)
    return np.where(least == 0, 0.0, least + 8 * UNIT_ROUNDOFF * np.abs(least) + UNDERFLOW)
