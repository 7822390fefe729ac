"""The proof of stability, as a function of a problem and keywords."""

from __future__ import annotations

from dataclasses import dataclass

from eqverify.arrays import IEEE
from eqverify.errors import UsageError
from eqverify.execution import Executor
from eqverify.options import keywords
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.stability import portfolio
from eqverify.stability.facts import Facts
from eqverify.stability.options import StabilityOptions

_MOST_WITNESSES = 32
"""Inputs found at which the network is compared with its file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StabilityKeywords(StabilityOptions):
    """Keywords of `prove_stability`.

    Attributes:
        progress: called with stage, done, total.
        executor: where solver questions are asked, instead of `workers` processes.
    """

    progress: Progress = silent
    executor: Executor | None = None


@keywords(StabilityKeywords)
@IEEE
def prove_stability(problem: Problem, options: StabilityKeywords) -> Facts:
    """Decide for every ReLU unit whether it is stable on the problem's domain.

    >>> import eqverify as eq
    >>> eq.prove_stability(*eq.example_files(), engine="crown")
    <Facts: 120 units, 26 inactive, 88 active, 5 unstable, 1 undecided>

    Args:
        problem: network and domain.
        options: the keywords are those of `StabilityKeywords`.

    Returns:
        The table of units.  Trusted: float64 arithmetic; the journal; SCIP for units with evidence ``solver``, which
        there are only where `trust` names it.

    Raises:
        UsageError: `usage/trust`; `directed/no-facts` for a problem that assumes a disjunct.
        InputError: the journal is damaged, or about something else; `read/differs` where the network's file computes
            something else at an input that was found.
        LimitError: a worker died.
    """
    if problem.assumed is not None:
        raise UsageError(
            "directed/no-facts",
            "the problem assumes a disjunct of its property, where inputs of the domain are no witnesses",
            hint="use reduce_for_property, which brings the facts along",
        )
    facts = portfolio.prove_stability(problem, options, progress=options.progress, executor=options.executor)
    problem.reading.compare(facts.witnesses[:_MOST_WITNESSES])
    return facts
