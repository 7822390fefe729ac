"""Input splitting: every undecided unit at once on batches of sub-boxes (specs/bounds.md, B-5).

A unit is stable if it is stable with the same sign on all leaves.  Meant for few free inputs (ACAS Xu, control
networks).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray
from eqverify.bounds.interval import Bounds, Interval
from eqverify.budget import FOREVER, Budget
from eqverify.network import Network
from eqverify.search.box_queue import Boxes, SplitTree
from eqverify.search.engine import BoxSearch, Constraints
from eqverify.search.sign_bounder import SignBounder, Units, sign_goals


@dataclass(frozen=True, slots=True, eq=False)
class SplitResult:
    """What input splitting proved.

    Attributes:
        signs: by pre-activation node, (n,): -1 where z <= 0 is proved on the domain, 1 where z >= 0 is, else 0.
        bounds: by pre-activation node, (parts, n) the hull over the leaves for units proved here, else `known`
            or infinite.
        points: (k, input_size) inputs of the domain at which goals were refuted; a falsifier should replay them.
        tree: the boxes that were bounded.
        proved: (goals,) bool.
        open: by pre-activation node, (n,) bool: asked about, and neither proved nor refuted for both signs.
        complete: whether nothing is open.
    """

    signs: Mapping[str, ByteArray]
    bounds: Mapping[str, Interval]
    points: FloatArray
    tree: SplitTree
    proved: BoolArray
    open: Mapping[str, BoolArray]
    complete: bool


def split_bounds(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    known: Bounds | None = None,
    *,
    undecided: Units,
    above: Units | None = None,
    below: Units | None = None,
    constraints: Constraints | None = None,
    max_boxes: int = 10_000,
    budget: Budget = FOREVER,
    batch: int = 256,
) -> SplitResult:
    """Prove signs of undecided units by splitting the input boxes.

    Args:
        network: the network.
        lower: (parts, input_size) boxes of the domain.
        upper: (parts, input_size).
        known: proved intervals of nodes, (parts or 1, n).
        undecided: by pre-activation node, (n,) bool: the units to decide.
        above: by pre-activation node, (n,) bool: an input of the domain with z > 0 is known, so z <= 0 is not tried.
        below: likewise for z < 0.
        constraints: linear constraints of each part; boxes that lie outside are dropped.
        max_boxes: at most so many boxes are bounded; with this limit alone the result is the same every time.
        budget: the time; no batch is begun after it.
        batch: boxes bounded together, at most; fewer where layers are wide, so that a few hundred MB are enough.

    Returns:
        Signs, bounds, refuting points and the tree.  Trusted: float64 arithmetic, and `known`.

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    goals = sign_goals(network, undecided, above or {}, below or {})
    units, place, sign = goals.units, goals.place, goals.sign
    bounder = SignBounder(network, goals, known or {}, constraints, batch)
    roots = Boxes.roots(lower, upper, units.count, len(goals))
    search = BoxSearch(bounder, roots, order="goals", constraints=constraints, rivals=goals.rivals, whole=True)
    search.run(max_boxes, budget)
    signs, still = np.zeros(units.count, dtype=np.int8), np.zeros(units.count, dtype=bool)
    signs[place[search.proved]] = -sign[search.proved]
    still[place[search.live | search.abandoned]] = True
    still &= signs == 0
    low, high = units.bounds(known or {}, len(roots))
    # a part of which every box was dropped has no leaf
    reached = np.where(np.isneginf(search.reached), 0.0, np.minimum(search.reached, 0.0))
    above_zero, below_zero = search.proved & (sign < 0), search.proved & (sign > 0)
    high[:, place[below_zero]] = np.minimum(high[:, place[below_zero]], reached[:, below_zero])
    low[:, place[above_zero]] = np.maximum(low[:, place[above_zero]], -reached[:, above_zero])
    points = np.concatenate([np.empty((0, network.input_size)), *bounder.points])
    bounds, tree = units.intervals(low, high), search.record.tree()
    return SplitResult(
        units.split(signs), bounds, points, tree, search.proved, units.split(still), not bool(still.any())
    )
