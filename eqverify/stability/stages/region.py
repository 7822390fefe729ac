"""Stages of a region where a disjunct is assumed: whether it is empty, and the box that it lies in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.constrained import emptiness
from eqverify.bounds.crown import open_units
from eqverify.budget import FOREVER, Budget
from eqverify.domain import Assumption, Box
from eqverify.search.box_cover import clip_set, cover_set
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import Guide, SignQuery
from eqverify.stability.assumed import with_rows
from eqverify.stability.facts import Evidence
from eqverify.stability.proofs import ClipProof, CoverProof, RowProof, ZeroProof
from eqverify.stability.run import Run
from eqverify.stability.stages.arithmetic import alpha
from eqverify.stability.stages.linear import lp
from eqverify.stability.stages.search import SPLIT_BOXES, SPLIT_SHARE

ITERATIONS = 20
"""Gradient steps for the zero row, as for other bounds."""

MAX_ROUNDS = 12
GAIN = 0.02
"""Another round needs an open unit less, or intervals of the open units narrower by this share."""

_BRANCH_SHARE = 0.3
"""Of the time left, for branching on the rows of the disjunct."""

SMALL = 1 << 15
"""A part takes milliseconds where units times inputs are at most so many."""

_CLIP_SHARE = 0.3
"""Of the time, for splits at signs of such networks."""

_BELOW_ZERO = -1e-300
"""A row is refuted where it is positive, not where it is 0."""


def refute(run: Run) -> None:
    """Slopes and multipliers that show that the region is empty."""
    bounds = run.bounds_on(0)
    found = emptiness(run.region(), bounds, ITERATIONS)
    if found is not None:
        run.proofs(ZeroProof(bounds, found))
        run.empty(Evidence.DUAL, "optimised slopes")


def cover(run: Run) -> None:
    """Where few inputs are free: drop parts of the box that miss the region, and go on with what is left."""
    region = run.region()
    free = int((region.upper > region.lower).sum())
    if free > run.options.split_inputs or not len(region.assumed):
        run.annotate(0, f"left out: {free} free inputs" if len(region.assumed) else "")
        return
    fixed = run.options.node_limit is not None
    found = cover_set(
        region.network,
        region.lower,
        region.upper,
        region.assumed,
        run.bounds_on(0),
        max_boxes=SPLIT_BOXES if fixed else 10 * SPLIT_BOXES,
        budget=FOREVER if fixed else run.budget.part(SPLIT_SHARE),
        attempt=partial(_attempt, run),
    )
    run.proofs(CoverProof(found.tree, found.weights))
    run.annotate(0, f"{found.bounded} boxes, {len(found.lower)} left")
    if not run.table.undecided():
        return
    if not len(found.lower):
        run.empty(Evidence.TREE, "splitting the input box")
        return
    (case,) = run.problem.cases
    polytope = replace(case.polytope, box=Box(found.lower.min(axis=0), found.upper.max(axis=0)))
    specification = replace(run.problem.specification, cases=(replace(case, polytope=polytope),))
    run.problem = replace(run.problem, specification=specification)
    run.table.learn(found.bounds, run.at_least(Evidence.TREE))
    run.table.learn(run.bounds_on(0), run.derived())


def _attempt(run: Run, points: FloatArray) -> bool:
    run.falsifier.try_points(points)
    return not run.table.undecided()


def clip(run: Run) -> None:
    """Where many inputs are free, and the network is small: splits at signs that show that the region is empty."""
    region, network = run.region(), run.problem.network
    free = int((region.upper > region.lower).sum())
    small = network.relu_count * network.input_size <= SMALL
    able = free > run.options.split_inputs and small and len(region.assumed) and not network.smooth
    if not able or not run.options.branch_nodes:
        run.annotate(0, "left out")
        return
    fixed = run.options.node_limit is not None
    found = clip_set(
        network,
        region.lower,
        region.upper,
        region.assumed,
        run.bounds_on(0),
        max_boxes=SPLIT_BOXES if fixed else 10 * SPLIT_BOXES,
        budget=FOREVER if fixed else run.budget.part(_CLIP_SHARE),
        attempt=partial(_attempt, run),
    )
    run.annotate(0, f"{found.bounded} parts")
    if found.empty:
        run.proofs(ClipProof(found.tree, found.weights))
        run.empty(Evidence.TREE, "splitting at signs")


def rounds(run: Run) -> None:
    """Slopes and linear programs, as long as they gain."""
    for _ in range(MAX_ROUNDS):
        before, width = run.table.undecided(), _open_width(run)
        for work in (alpha, refute) if run.problem.network.smooth else (alpha, refute, lp):
            if not run.table.undecided() or run.budget.exhausted():
                return
            work(run)
        left = run.table.undecided()
        if left == run.table.goals or (left == before and _open_width(run) > (1 - GAIN) * width):
            return


def _open_width(run: Run) -> float:
    bounds = run.table.bounds.values()
    return sum(float((z.upper - z.lower)[open_units(z)].sum()) for z in bounds)


def branch_rows(run: Run) -> None:
    """Branching on signs for emptiness; certificates of single disjuncts have no step for it."""
    if not run.options.branch_nodes or (run.record and not run.row_proofs):
        run.annotate(0, "left out")
        return
    fixed = run.options.node_limit is not None
    refute_rows(run, run.budget if fixed else run.budget.part(_BRANCH_SHARE), run.options.branch_nodes)


def refute_rows(run: Run, budget: Budget, nodes: int) -> bool:
    """Whether branching shows that some constraint on outputs fails wherever the others hold: the region is empty.

    Args:
        run: the proof; it is told.
        budget: the time.
        nodes: tree nodes for each constraint.
    """
    assumed, bounds = run.region().assumed, run.bounds_on(0)
    rows = np.flatnonzero(assumed.outputs.any(axis=1))
    for place, row in enumerate(rows):
        network, name = with_rows(run.problem.network, _rows(assumed, np.arange(len(assumed)) == row))
        others = _rows(assumed, np.arange(len(assumed)) != row)
        asked = SignQuery(name, 0, -1, limit=_BELOW_ZERO, guide=Guide.root())
        (found,) = prove_signs(
            network, bounds, [asked], assumed=others, max_nodes=nodes,
            budget=budget.share(rows.size - place), patience=float("inf"),
        )  # fmt: skip
        if found.proved:
            if run.row_proofs:
                run.proofs(RowProof(int(row), found))
            run.empty(Evidence.TREE, "branching on signs")
            return True
    return False


def _rows(assumed: Assumption, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Assumption:
    return Assumption(assumed.outputs[chosen], assumed.inputs[chosen], assumed.bound[chosen])
