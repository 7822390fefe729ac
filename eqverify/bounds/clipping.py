"""Linear functions that bound rows on boxes, and what one of them leaves of a box and of other rows (B-12).

Where an input must satisfy  a x + k >= 0, the *cut*, rows are bounded over the part of the box that does, with one
multiplier for each, which is found exactly up to rounding; and the box shrinks to the part's hull (Zhou et al. 2025,
*Clip-and-Verify*, arXiv 2512.11087).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds.interval import Interval, centred
from eqverify.bounds.pullback import LinearBound, PullbackContext
from eqverify.network import gamma
from eqverify.network.evaluate import UNDERFLOW, lost_coefficients

_SAFETY = 1.0 + 1e-6
"""Covers the rounding of error terms, as in `eqverify.bounds.pullback`."""

_LARGEST = 1e30
"""Multipliers are no larger."""


@dataclass(frozen=True, slots=True, eq=False)
class Forms:
    """Linear functions over boxes, none smaller than what it bounds at any input of its box.

    Attributes:
        slopes: (boxes, m, input_size).
        constant: (boxes, m); +inf where nothing is known.
    """

    slopes: FloatArray
    constant: FloatArray


def input_slopes(ground: PullbackContext, found: LinearBound) -> FloatArray:
    """(boxes, m, input_size) coefficients with which rows arrived at the inputs."""
    shape, parts = (ground.boxes, found.upper.shape[1]), []
    for port in ground.network.inputs:
        part = found.inputs.get(port.name, np.zeros((1, 1, port.size)))
        parts.append(np.broadcast_to(part, (*shape, port.size)))
    return np.nan_to_num(np.concatenate(parts, axis=2))


def input_box(ground: PullbackContext) -> Interval:
    """The boxes, (boxes, input_size)."""
    parts = [ground.bounds[port.name] for port in ground.network.inputs]
    return Interval(np.concatenate([p.lower for p in parts], axis=1), np.concatenate([p.upper for p in parts], axis=1))


def forms_of(upper: FloatArray, slopes: FloatArray, box: Interval) -> Forms:
    """The functions behind bounds that were pulled back to the inputs: their constants are what slopes leave of these.

    Args:
        upper: (boxes, m) the bounds.
        slopes: (boxes, m, input_size) the coefficients that arrived.
        box: (boxes, input_size), the one that they are for.
    """
    centre, radius = centred(box)
    with np.errstate(over="ignore", invalid="ignore"):
        size = _times(np.abs(slopes), np.abs(centre) + radius)
        rest = upper - _times(slopes, centre) - _times(np.abs(slopes), radius)
        constant = rest + gamma(slopes.shape[2] + 8) * (size + np.abs(upper)) * _SAFETY + _lost(centre, radius)
    constant = np.nextafter(constant, np.inf)
    return Forms(slopes, np.where(np.isnan(constant), np.inf, constant))


def bounds_where(rows: Forms, cut: Forms, box: Interval) -> FloatArray:
    """Upper bounds (boxes, m) of rows at the inputs of the box where the cut, (boxes, 1), is not negative."""
    centre, radius = centred(box)
    reach, steep = np.abs(centre) + radius, cut.slopes[:, 0]
    with np.errstate(over="ignore", invalid="ignore"):
        nu = _multipliers(rows.slopes, steep, cut.constant + _times(cut.slopes, centre), radius)
        joint = rows.slopes + nu[:, :, None] * cut.slopes
        shift = np.where(nu > 0, nu * cut.constant, 0.0)
        sizes = _times(np.abs(rows.slopes), reach) + nu * _times(np.abs(cut.slopes), reach)
        error = gamma(steep.shape[1] + 10) * (sizes + np.abs(rows.constant) + np.abs(shift)) * _SAFETY
        upper = rows.constant + shift + _times(joint, centre) + _times(np.abs(joint), radius)
        upper = np.nextafter(upper + error + _lost(centre, radius), np.inf)
    return np.where(np.isnan(upper), np.inf, upper)


def shrunk(cut: Forms, box: Interval) -> tuple[Interval, BoolArray]:
    """The hull of a box's inputs where the cut, (boxes, 1), is not negative, and (boxes,) whether there are none.

    Where there are none the box stays as it was.
    """
    slopes = cut.slopes[:, 0]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        most = np.maximum(slopes * box.lower, slopes * box.upper)
        size = (np.abs(slopes) * box.magnitude).sum(axis=1, keepdims=True) + np.abs(cut.constant)
        error = gamma(slopes.shape[1] + 10) * size * _SAFETY + UNDERFLOW
        others = cut.constant + most.sum(axis=1, keepdims=True) - most + error
        end = -others / slopes
        low = np.where(slopes > 0, np.nextafter(end, -np.inf), -np.inf)
        high = np.where(slopes < 0, np.nextafter(end, np.inf), np.inf)
    lower, upper = np.fmax(box.lower, low), np.fmin(box.upper, high)
    empty = np.asarray((lower > upper).any(axis=1))
    kept = empty[:, None]
    return Interval(np.where(kept, box.lower, lower), np.where(kept, box.upper, upper)), empty


def _multipliers(slopes: FloatArray, cut: FloatArray, level: FloatArray, radius: FloatArray) -> FloatArray:
    """(boxes, m) nu >= 0 with which rows + nu cut have the smallest maximum over a box; any are valid.

    The maximum is convex in nu, and its slope grows where a coefficient changes its sign.

    Args:
        slopes: (boxes, m, n) of rows.
        cut: (boxes, n) of the cut.
        level: (boxes, 1) of the cut at the centre.
        radius: (boxes, n).
    """
    weight = (np.abs(cut) * radius)[:, None]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        at = -slopes / cut[:, None]
    turns = np.isfinite(at) & (at > 0)
    first = level + (np.where(turns, -1.0, 1.0) * weight).sum(axis=2)
    at = np.where(turns, at, np.inf)
    order = np.argsort(at, axis=2)
    step = np.take_along_axis(np.where(turns, 2.0 * weight, 0.0), order, axis=2)
    rising = first[:, :, None] + np.cumsum(step, axis=2) >= 0
    found = np.take_along_axis(np.take_along_axis(at, order, axis=2), np.argmax(rising, axis=2)[:, :, None], axis=2)
    nu = np.where((first >= 0) | ~rising.any(axis=2), 0.0, found[:, :, 0])
    return np.asarray(np.clip(np.nan_to_num(nu, nan=0.0, posinf=0.0), 0.0, _LARGEST))


def _times(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """rows (boxes, m, n) times vectors (boxes, n): (boxes, m)."""
    return np.asarray(np.matmul(rows, vectors[:, :, None])[:, :, 0])


def _lost(centre: FloatArray, radius: FloatArray) -> FloatArray:
    """(boxes, 1) what products that underflowed can amount to."""
    return np.asarray(2 * lost_coefficients(np.abs(centre) + radius)[:, None])
