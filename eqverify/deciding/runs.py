"""A property of all float32 runs of a network, asked as one of the network itself (specs/runtime.md, F-4)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Case
from eqverify.export.property import relax
from eqverify.problem import Problem
from eqverify.runtime_error import domain_errors


def why_no_runs(problem: Problem) -> str:
    """Why nothing can be said about float32 runs of a network; empty where something can."""
    if problem.ordered or problem.tail is not None:
        return "what comes behind the piecewise linear part is rounded in ways that are not known"
    if problem.network.element != "float32":
        return f"the network does not run in float32, but in {problem.network.element}"
    unmodelled = problem.reading.unmodelled
    return f"how these are rounded is not known: {', '.join(unmodelled)}" if unmodelled else ""


def relaxed_by_runs(problem: Problem, case: Case) -> tuple[Case, FloatArray]:
    """The case relaxed by what runs may be off, and (output_size,) how much that is; infinite where nothing is known.

    Where no input of the case relaxed so satisfies its condition, no run at an input of the case does.
    """
    errors = domain_errors(problem.network, [case.polytope.box])
    if not np.isfinite(errors).all():
        return case, errors
    exact = [Fraction(error) for error in errors.tolist()]
    rows = tuple(tuple(relax(row, exact) for row in disjunct) for disjunct in case.unsafe)
    return replace(case, unsafe=rows), errors
