"""Boxes on which assumed constraints cannot hold together (specs/bounds.md, B-9 and B-11; specs/verification.md, V-2).

The one goal is that no point of the box satisfies all of them.  It is proved where an upper bound of what one of them
leaves over, or a combination of several, is negative.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.assumed import add_assumed, assumed_parts
from eqverify.bounds.clipping import input_slopes
from eqverify.bounds.crown import crown_bounds, most_boxes
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.pullback import LinearBound, Pullback, PullbackContext
from eqverify.domain import Assumption, Box
from eqverify.network import Network, gamma
from eqverify.search.box_queue import Boxes
from eqverify.search.directions import blamed, ground_of, steepness
from eqverify.search.engine import Bounded
from eqverify.search.unit_signs import UnitPlaces, signs_with

_COMBINING_STEPS = 24
_LEAVES, _LEAF_UNITS = 8, 12
"""Of each batch at most so many boxes, on which at most so many units are open, are decided exactly."""

Attempt: TypeAlias = Callable[[FloatArray], bool]
"""Tries inputs (k, input_size); whether one was found that satisfies the constraints."""

Slack: TypeAlias = Callable[[Bounds], FloatArray]
"""By how much each constraint is relaxed on boxes with these bounds of their nodes: (boxes, constraints), none
negative, rounded upwards."""

Leaf: TypeAlias = Callable[[Box, Mapping[str, Interval]], bool | None]
"""Decides a box with ranges (1, n) of its nodes exactly: True where nothing in it satisfies all constraints, False
where an input does, None where that is left open."""


class AssumptionBounder:
    """Shows that boxes miss the inputs that satisfy the constraints.

    Args:
        network: the network.
        assumed: the constraints, one at least.
        attempt: tries inputs; the search is over once one is found.
        known: intervals (1, n) of nodes that hold where the constraints do: what excludes them misses.
        leaf: decides boxes on which few units are open; of each batch, those nearest to being decided are tried.
        slack: what constraints are relaxed by, which may be less on smaller boxes; nothing by default.
        batch: boxes bounded together, at most.

    Attributes:
        weights: (boxes, constraints) for each batch that was bounded, in order: those of the combination that gave the
            bound.  With them a checker finds the same, since bounds do not depend on other boxes of the batch.
    """

    def __init__(
        self,
        network: Network,
        assumed: Assumption,
        attempt: Attempt,
        *,
        known: Bounds | None = None,
        leaf: Leaf | None = None,
        slack: Slack | None = None,
        batch: int = 256,
    ) -> None:
        self.network, self.assumed, self.attempt = network, assumed, attempt
        self.known, self.leaf, self.slack = known or {}, leaf, slack
        self.batch = min(batch, most_boxes(network))
        self.units = UnitPlaces.of(network)
        self.found = False
        self.weights: list[FloatArray] = []

    def root(self, lower: FloatArray, upper: FloatArray) -> Boxes:
        """A box (input_size,) to begin with."""
        return Boxes.roots(lower[None], upper[None], self.units.count, 1)

    def bound(self, boxes: Boxes) -> Bounded:
        """As `Bounder.bound`."""
        # units of known sign get no bounds but intervals: a slack would be that of the box that gave the sign
        inherited = None if self.slack is not None else self.units.told(boxes.signs)
        bounds = crown_bounds(self.network, boxes.lower, boxes.upper, inherited, alone=True)
        ground = ground_of(self.network, bounds)
        upper, slopes, weights = self._combine(ground, boxes)
        self.weights.append(weights)
        if self.slack is not None:
            upper = self._relaxed(upper, weights, bounds, self.slack)
        sizes = np.einsum("kr,krn->kn", weights, steepness(ground, self._rows(), len(self.assumed)))
        closed = upper < 0
        for name, told in self.known.items():
            closed |= ((bounds[name].lower > told.upper) | (bounds[name].upper < told.lower)).any(axis=1)
        signs = signs_with(boxes.signs, *self.units.bounds(bounds, len(boxes)))
        self._decide_leaves(boxes, bounds, upper, closed, signs)
        score = blamed(slopes, sizes, boxes.upper - boxes.lower)
        none = np.zeros(len(boxes), dtype=bool)
        return Bounded(closed[:, None], upper[:, None], score, slopes, signs, none, bounds)

    def _relaxed(self, upper: FloatArray, weights: FloatArray, bounds: Bounds, slack: Slack) -> FloatArray:
        """Upper bounds (k,) of combinations of relaxed constraints; as they are where they would not close a box."""
        near = np.flatnonzero(upper < 0)
        if not near.size:
            return upper
        own = {name: Interval(z.lower[near], z.upper[near]) for name, z in bounds.items()}
        with np.errstate(invalid="ignore"):
            added = (weights[near] * slack(own)).sum(axis=1) * (1 + gamma(len(self.assumed) + 4))
        relaxed = upper.copy()
        relaxed[near] = np.nextafter(upper[near] + np.where(np.isnan(added), np.inf, added), np.inf)
        return relaxed

    def refuted(self, points: FloatArray, parts: IntArray) -> BoolArray:
        """As `Bounder.refuted`."""
        self.found = self.found or self.attempt(points)
        return np.array([self.found])

    def _decide_leaves(
        self, boxes: Boxes, bounds: Bounds, upper: FloatArray, closed: BoolArray, signs: ByteArray
    ) -> None:
        """Close boxes that are decided exactly, the nearest to being decided first."""
        if self.leaf is None:
            return
        few = ~closed & ((signs == 0).sum(axis=1) <= _LEAF_UNITS)
        order = [k for k in np.argsort(upper, kind="stable").tolist() if few[k]]
        for k in order[:_LEAVES]:
            ranges = {name: Interval(z.lower[k][None], z.upper[k][None]) for name, z in bounds.items()}
            said = self.leaf(Box(boxes.lower[k], boxes.upper[k]), ranges)
            closed[k], self.found = said is True, said is False
            if self.found:
                return

    def _rows(self) -> dict[str, FloatArray]:
        """What each constraint leaves over, d - C y - B x, as rows (1, constraints, size) without the constant."""
        rows: dict[str, FloatArray] = {}
        for name, part in assumed_parts(self.network, self.assumed):
            rows[name] = rows.get(name, 0.0) - part[None]
        return rows

    def _pull(self, ground: PullbackContext, nu: FloatArray, record: bool = False) -> LinearBound:
        """Bounds of combinations nu (boxes or 1, m, constraints) of what is left over."""
        pullback = Pullback(ground)
        add_assumed(pullback, self.assumed, nu)
        return pullback.run(record)

    def _combine(self, ground: PullbackContext, boxes: Boxes) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The smallest upper bound (k,) found of a combination, its slopes (k, n), and its weights (k, constraints)."""
        count, rows = len(self.assumed), np.arange(len(boxes))
        each = np.concatenate([np.eye(count), np.ones((int(count > 1), count))])
        found = self._pull(ground, each[None])
        slopes, best = input_slopes(ground, found), np.argmin(found.upper, axis=1)
        upper, slope, weights = found.upper[rows, best], slopes[rows, best], each[best]
        if count == 1 or (upper < 0).all():
            return upper, slope, weights
        mixed = _weights(found.upper[:, :count], slopes[:, :count], boxes, weights)
        joint = self._pull(ground, mixed[:, None, :])
        better = (joint.upper[:, 0] < upper)[:, None]
        joint_slope = input_slopes(ground, joint)[:, 0]
        upper = np.minimum(upper, joint.upper[:, 0])
        return upper, np.where(better, joint_slope, slope), np.where(better, mixed, weights)


def _weights(upper: FloatArray, slopes: FloatArray, boxes: Boxes, start: FloatArray) -> FloatArray:
    """(k, rows) weights of a convex combination whose bound is small, by Frank-Wolfe steps.

    The bound of a combination is the maximum over the box of the combination of linear functions; where it is attained,
    the row that is smallest there improves it most.  Any weights that are not negative are valid.
    """
    radius = (boxes.upper - boxes.lower) / 2
    level = np.nan_to_num(upper - (np.abs(slopes) * radius[:, None, :]).sum(axis=2))
    weights = kept = start / start.sum(axis=1, keepdims=True)
    reached = np.full(len(radius), np.inf)
    for step in range(_COMBINING_STEPS):
        slope = np.einsum("kr,krn->kn", weights, slopes)
        values = level + np.einsum("krn,kn->kr", slopes, np.sign(slope) * radius)
        total = (weights * values).sum(axis=1)
        kept = np.where((total < reached)[:, None], weights, kept)
        reached = np.minimum(total, reached)
        target = np.eye(upper.shape[1])[np.argmin(values, axis=1)]
        weights = weights + 2.0 / (step + 3.0) * (target - weights)
    return np.asarray(np.maximum(kept, 0.0))
