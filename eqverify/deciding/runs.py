"""A property of all float32 runs of a network, asked as one of the network itself (specs/runtime.md, F-4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds
from eqverify.domain import Case, HalfSpace
from eqverify.network import Network, gamma
from eqverify.numerals import nearest_float, round_up
from eqverify.problem import Problem
from eqverify.runtime_error import node_bounds, runtime_errors

RelaxedBy = Callable[[Problem, Case], tuple[Case, float]]
"""What relaxes a case by what runs may be off, as `relaxed_by_runs` does."""


def why_no_runs(problem: Problem) -> str:
    """Why nothing can be said about float32 runs of a network; empty where something can."""
    if problem.ordered or problem.tail is not None:
        return "what comes behind the piecewise linear part is rounded in ways that are not known"
    if problem.network.element != "float32":
        return f"the network does not run in float32, but in {problem.network.element}"
    unmodelled = problem.reading.unmodelled
    return f"how these are rounded is not known: {', '.join(unmodelled)}" if unmodelled else ""


class RunSlack:
    """By how much runs of a network relax rows over its outputs.

    Args:
        network: what is run.
        rows: the exact rows.
    """

    def __init__(self, network: Network, rows: Sequence[HalfSpace]) -> None:
        self.network = network
        self.rows, self.lost = np.zeros((2, len(rows), network.output_size))
        for number, row in enumerate(rows):
            for j, exact in row.outputs.items():
                self.rows[number, j] = near = nearest_float(exact)
                self.lost[number, j] = round_up(abs(exact - Fraction(near))) if np.isfinite(near) else np.inf

    def __call__(self, bounds: Bounds) -> FloatArray:
        """(boxes, rows) bounds on |row (run - network)| where `bounds`, (boxes, n) by node, hold of the network."""
        count = self.network.output_size
        if not self.lost.any():
            return runtime_errors(self.network, bounds, self.rows)
        both = runtime_errors(self.network, bounds, np.concatenate([np.eye(count), self.rows]))
        with np.errstate(invalid="ignore"):
            return (both[:, count:] + both[:, :count] @ self.lost.T) * (1 + 2 * gamma(count + 4))


def relaxed_problem(problem: Problem, relaxed_by: RelaxedBy | None, known: Mapping[int, Case]) -> Problem:
    """A problem of which all cases are relaxed, if they are to be; those that are relaxed already are known."""
    if relaxed_by is None:
        return problem
    cases = enumerate(problem.cases)
    relaxed = tuple(known[k] if k in known else relaxed_by(problem, case)[0] for k, case in cases)
    return replace(problem, specification=replace(problem.specification, cases=relaxed))


def relaxed_by_runs(problem: Problem, case: Case) -> tuple[Case, float]:
    """The case relaxed by what runs may be off, and by how much a row is at most; not finite where runs may overflow.

    Where no input of the case relaxed so satisfies its condition, no run at an input of the case does.
    """
    rows = [row for disjunct in case.unsafe for row in disjunct]
    slack = RunSlack(problem.network, rows)(node_bounds(problem.network, case.polytope.box))[0]
    if not np.isfinite(slack).all():
        return case, float("inf")
    left = iter(slack.tolist())
    relaxed = tuple(
        tuple(replace(row, bound=row.bound + Fraction(next(left)), strict=False) for row in disjunct)
        for disjunct in case.unsafe
    )
    return replace(case, unsafe=relaxed), float(slack.max(initial=0.0))
