"""Covering the inputs that satisfy assumed constraints with boxes (specs/bounds.md, B-11 and B-12).

Boxes that miss the set are left out.  What is left covers it: smaller intervals of all nodes, a smaller box, or nothing
at all.  Meant for few free inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Bounds, Interval
from eqverify.budget import Budget
from eqverify.domain import Assumption
from eqverify.network import Network
from eqverify.search.assumption_bounder import AssumptionBounder, Attempt
from eqverify.search.box_queue import SplitTree
from eqverify.search.clipping_bounder import ClippingBounder
from eqverify.search.engine import BoxSearch


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """Boxes that cover the set.

    Attributes:
        lower: (boxes, input_size); no boxes where the set is empty.
        upper: (boxes, input_size).
        bounds: by pre-activation node, (1, n) the hull of what holds on the boxes; empty without boxes.
        bounded: how many boxes were bounded.
        tree: the halvings; its leaves are the boxes, and those that miss the set.
        weights: (leaves, constraints) of the combinations that exclude these; 0 for those that were not bounded.
    """

    lower: FloatArray
    upper: FloatArray
    bounds: Bounds
    bounded: int
    tree: SplitTree
    weights: FloatArray


def cover_set(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    assumed: Assumption,
    known: Bounds,
    *,
    max_boxes: int,
    budget: Budget,
    attempt: Attempt,
) -> Cover:
    """Split a box breadth first and drop what misses the inputs that satisfy constraints.

    Args:
        network: the network.
        lower: (input_size,) the box.
        upper: (input_size,).
        assumed: the constraints, one at least.
        known: proved intervals (1, n) of nodes on the set.
        max_boxes: at most so many boxes are bounded while splitting.
        budget: the time.
        attempt: tries inputs that may lie in the set; the search is over once one is found.

    Returns:
        A cover of the set.  Trusted: float64 arithmetic, and `known`.
    """
    bounder = AssumptionBounder(network, assumed, attempt, known=known)
    search = BoxSearch(bounder, bounder.root(lower, upper), order="goals")
    search.run(max_boxes, budget)
    search.record.add_leaves(search.queue.boxes)
    tree = search.record.tree()
    weights = np.zeros((tree.parent.size, len(assumed)))
    weights[: search.boxes] = np.concatenate([np.zeros((0, len(assumed))), *bounder.weights])
    rest, kept, hull = search.left, [], dict[str, Interval]()
    for start in range(0, len(rest), bounder.batch):
        batch = rest.take(np.arange(start, min(start + bounder.batch, len(rest))))
        found = bounder.bound(batch)
        stays = ~found.closed[:, 0]
        kept.append(batch.take(stays))
        if stays.any():
            for name in bounder.units.places:
                z = found.bounds[name]
                low, high = z.lower[stays].min(axis=0)[None], z.upper[stays].max(axis=0)[None]
                old = hull.get(name, Interval(low, high))
                hull[name] = Interval(np.minimum(old.lower, low), np.maximum(old.upper, high))
    boxes = rest.take(np.zeros(len(rest), dtype=bool)).join(*kept)
    return Cover(boxes.lower, boxes.upper, hull, search.boxes + len(rest), tree, weights[tree.dimension < 0])


@dataclass(frozen=True, slots=True, eq=False)
class Clipped:
    """How a search by signs ended.

    Attributes:
        empty: whether no input of the box satisfies the constraints.
        bounded: how many parts were bounded.
        tree: the splits, by `dimension` at inputs or, from input_size on, at signs of units; all leaves of it miss the
            set where that is empty.
        weights: (nodes, rounds, constraints) of the combinations that clip the ranges of units on each part.
    """

    empty: bool
    bounded: int
    tree: SplitTree
    weights: FloatArray


def clip_set(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    assumed: Assumption,
    known: Bounds,
    *,
    max_boxes: int,
    budget: Budget,
    attempt: Attempt,
) -> Clipped:
    """Show that no input of a box satisfies constraints, by splits at signs of units within clipped ranges (B-12).

    Args, and what is trusted: as for `cover_set`.
    """
    bounder = ClippingBounder(network, assumed, attempt, by_signs=True, known=known)
    search = BoxSearch(bounder, bounder.root(lower, upper), order="newest")
    search.run(max_boxes, budget)
    return Clipped(bool(search.proved[0]), search.boxes, search.record.tree(), np.concatenate(bounder.weights))
