"""Which activation pattern a network has where, on a plane through its inputs: for pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.domain import Domain
from eqverify.errors import InputError, UsageError
from eqverify.network import Network, evaluate_nodes

SIDE = 500
"""Points along each side of a grid."""

_BEYOND = 0.25
"""How far a slice shows beyond its three points, as a share of their distance."""


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The inputs  origin + s * first + t * second  for s and t between `low` and `high`.

    Attributes:
        origin: (inputs,).
        first: (inputs,).
        second: (inputs,).
        low: (2,) least s and t.
        high: (2,) largest s and t.
        labels: names of the two axes.
        marks: (k, 2) points to mark, in s and t.
    """

    origin: FloatArray
    first: FloatArray
    second: FloatArray
    low: FloatArray
    high: FloatArray
    labels: tuple[str, str]
    marks: FloatArray


def domain_plane(domain: Domain) -> Plane:
    """The plane of the two free inputs of a domain.

    Raises:
        UsageError: `regions/picture-inputs` where there are not two.
    """
    hull = domain.hull
    free = np.flatnonzero(hull.lower < hull.upper)
    if free.size != 2:
        raise UsageError(
            "regions/picture-inputs",
            "a picture needs two free inputs",
            value=f"{free.size} free inputs",
            hint="show a slice through three points instead: --slice A B C",
        )
    axes = np.eye(hull.size)[free]
    origin = np.where(hull.lower < hull.upper, 0.0, hull.lower)
    labels = (f"input {free[0]}", f"input {free[1]}")
    return Plane(origin, axes[0], axes[1], hull.lower[free], hull.upper[free], labels, np.empty((0, 2)))


def slice_plane(points: FloatArray, inputs: int) -> Plane:
    """The plane through three points (3, inputs), the first of which is the origin.

    Raises:
        InputError: `regions/slice` where they lie on one line or have the wrong length.
    """
    if points.shape != (3, inputs) or not np.isfinite(points).all():
        raise InputError(
            "regions/slice",
            "a slice needs three points of as many finite numbers as the network has inputs",
            value=f"{points.shape} for {inputs} inputs",
        )
    first, second = points[1] - points[0], points[2] - points[0]
    if np.linalg.matrix_rank(np.stack([first, second])) < 2:
        raise InputError("regions/slice", "the three points of a slice lie on one line")
    marks = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    low, high = np.full(2, -_BEYOND), np.full(2, 1.0 + _BEYOND)
    return Plane(points[0], first, second, low, high, ("A to B", "A to C"), marks)


def pattern_grid(network: Network, domain: Domain, plane: Plane, side: int = SIDE) -> IntArray:
    """(side, side) number of the pattern at each point, rows from low t to high t; -1 outside the domain."""
    s, t = (np.linspace(plane.low[k], plane.high[k], side) for k in (0, 1))
    numbers: dict[bytes, int] = {}
    grid = np.full((side, side), -1, dtype=np.int64)
    for row in range(side):
        points = plane.origin + s[:, None] * plane.first + t[row] * plane.second
        inside = np.any(
            [_inside(part.box.lower, part.box.upper, part.matrix, part.bound, points) for part in domain.polytopes],
            axis=0,
        )
        values = evaluate_nodes(network, points)
        none = [np.empty((side, 0), dtype=bool)]
        patterns = np.packbits(np.concatenate(none + [values[r.source] > 0 for r in network.relus], axis=1), axis=1)
        for column in np.flatnonzero(inside).tolist():
            grid[row, column] = numbers.setdefault(patterns[column].tobytes(), len(numbers))
    return grid


def _inside(
    lower: FloatArray, upper: FloatArray, matrix: FloatArray, bound: FloatArray, points: FloatArray
) -> IntArray:
    slack = 1e-12 * (1 + np.abs(lower) + np.abs(upper))  # the grid's points on the edge of the domain are rounded
    box = ((points >= lower - slack) & (points <= upper + slack)).all(axis=1)
    return np.asarray(box & (points @ matrix.T <= bound).all(axis=1))
