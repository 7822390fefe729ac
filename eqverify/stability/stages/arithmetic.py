"""Stages that need no search: intervals, CROWN, signs of summands, optimised slopes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, interval_bounds
from eqverify.bounds.alpha import optimise_slopes
from eqverify.bounds.crown import never
from eqverify.bounds.slope_optimisation import Slopes
from eqverify.problem import Problem
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.proofs import DerivedProof, SlopesProof
from eqverify.stability.run import Run
from eqverify.stability.sign_rules import sign_bounds

ALPHA_FACTOR = 30.0
"""Optimising slopes took 6 to 28 times as long as CROWN on the shared networks (benchmarks/bounds)."""


def crown(run: Run) -> None:
    """CROWN with the default slopes."""
    run.crown()


def signs(run: Run) -> None:
    """Units whose sign follows from those of all summands."""
    domain, known = run.problem.domain, dict(run.table.bounds)
    run.table.learn(sign_bounds(run.problem.network, run.table, domain.lower, domain.upper), run.derived())
    run.proofs(DerivedProof("signs", known))


def interval(run: Run) -> None:
    """Interval arithmetic, as the published methods use it."""
    run.bound(Evidence.DERIVED, _interval_of)


def _interval_of(problem: Problem, lower: FloatArray, upper: FloatArray, known: Bounds) -> Bounds:  # noqa: ARG001
    return interval_bounds(problem.network, lower, upper)


def alpha(run: Run) -> None:
    """Optimised slopes for the open units; left out where they would take too long, judged by what CROWN took.

    In a region, with multipliers on its constraints: every layer gains, and each batch is a step of the proof.
    """
    seconds = next((stage.seconds for stage in run.stages if stage.name == "crown"), 0.0)
    undecided = sum(int((run.table.status(name) == Status.UNDECIDED).sum()) for name in run.table.bounds)
    expected = seconds * (1 + ALPHA_FACTOR * run.table.undecided() / max(1, undecided))
    assumed, stop = run.assumed, never if run.assumed is None else run.budget.exhausted
    if run.options.node_limit is None and assumed is None and expected > run.budget.total_left:
        run.annotate(0, f"left out: CROWN took {seconds:.2f} s")
        return
    table, before = run.table, dict(run.table.bounds)
    targets = {name: table.open(name) for name in table.bounds}
    found: list[tuple[int, Mapping[str, tuple[Slopes, ...]]]] = []

    def listen(node: str, known: Bounds, slopes: Slopes) -> None:
        if assumed is not None:
            run.proofs(SlopesProof(known, np.zeros(1, dtype=np.int64), {node: (slopes,)}))

    def optimised(problem: Problem, lower: FloatArray, upper: FloatArray, known: Bounds) -> Bounds:
        answer = optimise_slopes(
            problem.network, lower, upper, known, targets,
            above=table.above, below=table.below, assumed=assumed, stop=stop, listen=listen,
        )  # fmt: skip
        found.append((len(lower), answer.slopes))
        return answer.bounds

    run.bound(run.at_least(Evidence.DUAL), optimised)
    start = 0
    for count, slopes in found if assumed is None else ():
        run.proofs(SlopesProof(before, np.arange(start, start + count), slopes))
        start += count
