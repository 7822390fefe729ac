"""What sampling says about an approximation: the share of the domain where it is exact, and its largest error seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eqverify.approximate.forms import Frame
from eqverify.approximate.shallow import Shallow
from eqverify.arrays import BoolArray, FloatArray
from eqverify.domain import Polytope
from eqverify.network import Network, evaluate, evaluate_nodes

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Measured:
    """Results of sampling.

    Attributes:
        points: uniform points in the domain.
        exact: share of them in a delta-interior.
        exact_low: lower end of the interval that holds the true share with probability 0.95 at least (Hoeffding 1963).
        exact_high: upper end.
        largest: largest |f - g| seen, also at points near facets; a lower bound of the supremum, up to rounding.
    """

    points: int
    exact: float
    exact_low: float
    exact_high: float
    largest: float


def measure(original: Network, shallow: Shallow, polytope: Polytope, frame: Frame, count: int, seed: int) -> Measured:
    """Sample the domain.

    Args:
        original: f.
        shallow: g.
        polytope: the domain.
        frame: its box.
        count: points drawn in the box.
        seed: of the points.
    """
    random = np.random.default_rng(seed)
    points = frame.whole(frame.lower + (frame.upper - frame.lower) * random.random((count, frame.free.size)))
    points = points[polytope.contains(points)]
    if not len(points):
        return Measured(0, math.nan, 0.0, 1.0, math.nan)
    inside, nearest = _inside(original, shallow, frame, points)
    share = float(inside.mean())
    width = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * len(points)))
    both = np.concatenate([points, nearest[polytope.contains(nearest)]])
    largest = float(np.abs(evaluate(original, both) - evaluate(shallow.network, both)).max())
    return Measured(len(points), share, max(0.0, share - width), min(1.0, share + width), largest)


def _inside(original: Network, shallow: Shallow, frame: Frame, points: FloatArray) -> tuple[BoolArray, FloatArray]:
    """(k,) which points lie in a delta-interior, and (k, inputs) their feet on the nearest facets of their pieces."""
    values = evaluate_nodes(original, points)
    none = [np.empty((len(points), 0), dtype=bool)]
    shown = np.packbits(np.concatenate(none + [values[r.source] > 0 for r in original.relus], axis=1), axis=1)
    numbers = {np.packbits(piece.pattern).tobytes(): k for k, piece in enumerate(shallow.pieces)}
    piece_of = np.array([numbers.get(row.tobytes(), -1) for row in shown])
    inside, feet = np.zeros(len(points), dtype=bool), points.copy()
    for number in np.unique(piece_of[piece_of >= 0]).tolist():
        piece, chosen = shallow.pieces[number], np.flatnonzero(piece_of == number)
        if not piece.offsets.size:
            inside[chosen] = True
            continue
        free = points[chosen][:, frame.free]
        heights = free @ piece.rows.T + piece.offsets
        inside[chosen] = (heights >= shallow.thresholds[number][: piece.offsets.size]).all(axis=1)
        squares = (piece.rows**2).sum(axis=1)
        near = np.argmin(heights / np.sqrt(squares), axis=1)
        step = (heights[np.arange(len(chosen)), near] / squares[near])[:, None] * piece.rows[near]
        feet[np.ix_(chosen, frame.free)] = np.clip(free - step, frame.lower, frame.upper)
    return inside, feet
