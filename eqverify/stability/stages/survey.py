"""Which ranges of a layer hold the bounds of the rows back: CROWN with the ends of single ranges moved, side by side.

Each end of a unit's range is moved to what points reach, one end on each copy of the box, and the bounds of the last
layer's open rows are compared.  Of a layer that few units are left of, most ends often do not matter, since the rows
fall in one direction only.  Further copies have all ends moved part of the way: where the rows are positive on one,
the rest of the way need not be proved.  What this says is heuristic: it chooses questions and proves nothing.
"""

from __future__ import annotations

import time

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.stability.facts import Status
from eqverify.stability.run import Run
from eqverify.stability.stages.branching import Aims

_LEAST_SHARE = 0.03
"""Of what all ends gain, for an end to be asked about."""

_SECONDS = 1.0
"""A survey that will take longer is left out."""

_LADDER = np.linspace(0.9, 0.0, 10)
_COPIES = 64
"""Boxes bounded in one batch."""


def survey(run: Run, name: str) -> Aims | None:
    """The ends of ranges that matter for the rows.

    Args:
        run: the proof; its last layer's open units are the rows.
        name: an affine node before the rows.

    Returns:
        What to ask; None where it would take too long, or where nothing helps the rows.
    """
    table = run.table
    if table.parts > 1:
        return None
    units = np.flatnonzero(table.status(name) != Status.INACTIVE)
    z, (lowest, highest) = table.bounds[name], run.falsifier.reached(name, 0)
    if not (np.isfinite(lowest[units]).all() and np.isfinite(highest[units]).all()):
        return None
    start = time.monotonic()
    base = _Copies(run, name, z.lower, z.upper).missing()[0]
    if (time.monotonic() - start) * (2 * units.size + _LADDER.size) > _SECONDS or not np.isfinite(base):
        return None
    lower, upper = _moved(z, units, np.maximum(lowest, z.lower[0]), np.minimum(highest, z.upper[0]))
    missing = _Copies(run, name, lower, upper).missing()
    gains, ladder = np.maximum(base - missing[: 2 * units.size], 0.0), missing[2 * units.size :]
    least = _LEAST_SHARE * gains.sum()
    if not least > 0:
        return None
    size = z.lower.shape[1]
    wanted = {
        sign: _mask(size, units[gains[part] >= least])
        for sign, part in ((1, slice(0, units.size)), (-1, slice(units.size, 2 * units.size)))
    }
    enough = _LADDER[ladder <= 0]
    return Aims(wanted, float(enough.max(initial=0.0)))


def _mask(size: int, units: IntArray) -> BoolArray:
    mask = np.zeros(size, dtype=bool)
    mask[units] = True
    return mask


def _moved(z: Interval, units: IntArray, lowest: FloatArray, highest: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(copies, n) ends: first one upper end moved on each copy, then one lower end, then all ends by `_LADDER`."""
    count, rows = units.size, np.arange(units.size)
    lower, upper = (np.repeat(end, 2 * count + _LADDER.size, axis=0) for end in (z.lower, z.upper))
    upper[rows, units] = highest[units]
    lower[count + rows, units] = lowest[units]
    rest = _LADDER[:, None]
    upper[2 * count :, units] = (highest + rest * (z.upper[0] - highest))[:, units]
    lower[2 * count :, units] = (lowest + rest * (z.lower[0] - lowest))[:, units]
    return lower, upper


class _Copies:
    """Copies of the box with other ranges of one node."""

    def __init__(self, run: Run, name: str, lower: FloatArray, upper: FloatArray) -> None:
        self.run, self.name, self.lower, self.upper = run, name, lower, upper
        names = [node.name for node in run.problem.network.nodes]
        self.before = set(names[: names.index(name)])

    def missing(self) -> FloatArray:
        """(copies,) how far the open rows' bounds are from 0, in all."""
        row = self.run.problem.network.relus[-1].source
        wanted = self.run.table.open(row)
        found = [self._bounds(slice(k, k + _COPIES))[row].lower for k in range(0, len(self.lower), _COPIES)]
        return np.asarray(np.maximum(-np.concatenate(found)[:, wanted], 0.0).sum(axis=1))

    def _bounds(self, part: slice) -> Bounds:
        lower, upper = self.lower[part], self.upper[part]
        count, domain = len(lower), self.run.problem.domain
        known = {
            name: Interval(np.repeat(z.lower, count, axis=0), np.repeat(z.upper, count, axis=0))
            for name, z in self.run.table.bounds.items()
            if name in self.before
        }
        known[self.name] = Interval(lower, upper)
        first, last = (np.repeat(end, count, axis=0) for end in (domain.lower, domain.upper))
        return crown_bounds(self.run.problem.network, first, last, known)
