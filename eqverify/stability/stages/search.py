"""Stages that try points, and the splitting of the input box."""

from __future__ import annotations

from eqverify.budget import FOREVER
from eqverify.search.input_splitting import split_bounds
from eqverify.stability.facts import Evidence
from eqverify.stability.falsify import Stop
from eqverify.stability.proofs import SplitProof
from eqverify.stability.run import Run

CLIMB_SHARE = 0.15
"""Share of the time that gradient search may take; what it misses, solver candidates may still show."""

SPLIT_SHARE = 0.6
"""Share of the time left that splitting may take."""

SPLIT_BOXES = 20_000
"""Boxes of a run with a node limit, where time must not matter."""


def sample(run: Run) -> None:
    """Random points and corners."""
    run.falsifier.sample(stop=_stop(run, 1.0))


def falsify(run: Run) -> None:
    """Random points and corners, then gradient steps."""
    stop = _stop(run, CLIMB_SHARE)
    run.falsifier.sample(stop=stop)
    run.falsifier.climb(stop)


def _stop(run: Run, share: float) -> Stop:
    """Ends a search when a share of the time is over; with a node limit, where time must not matter, all of it."""
    return (run.budget if run.options.node_limit is not None else run.budget.part(share)).exhausted


def split(run: Run) -> None:
    """Input splitting, where few inputs are free: all open units of all layers at once."""
    domain, table = run.problem.domain, run.table
    free = int((domain.upper > domain.lower).any(axis=0).sum())
    if free > run.options.split_inputs:
        run.annotate(0, f"left out: {free} free inputs")
        return
    cut = any(not part.is_box for part in domain.polytopes)
    fixed = run.options.node_limit is not None
    known = dict(table.bounds)
    found = split_bounds(
        run.problem.network,
        domain.lower,
        domain.upper,
        known,
        undecided={name: table.open(name) for name in table.bounds},
        above=table.above,
        below=table.below,
        constraints=[(part.matrix, part.bound) for part in domain.polytopes] if cut else None,
        max_boxes=SPLIT_BOXES if fixed else 1_000_000,
        budget=FOREVER if fixed else run.budget.part(SPLIT_SHARE),
    )
    run.falsifier.try_points(found.points)
    table.learn(found.bounds, run.at_least(Evidence.TREE))
    run.proofs(SplitProof(known, found.tree.needed(found.proved), found.signs, found.bounds))
    if table.undecided():
        run.crown()
    run.annotate(0, "" if found.complete else "time limit reached")
