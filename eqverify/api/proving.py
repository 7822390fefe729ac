"""The proof of stability, as a function of a problem and keywords."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.arrays import IEEE
from eqverify.errors import UsageError
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.stability.facts import Facts
from eqverify.stability.options import Engine, StabilityOptions
from eqverify.trust import NOBODY, trusting

if TYPE_CHECKING:
    from eqverify.execution import Executor

_MOST_WITNESSES = 32
"""Inputs found at which the network is compared with its file."""


@IEEE
def prove_stability(
    problem: Problem,
    *,
    engine: Engine = "portfolio",
    time_limit: float = 60.0,
    unit_time_limit: float = 5.0,
    seed: int = 0,
    node_limit: int | None = None,
    resume: str | Path | None = None,
    workers: int = 1,
    split_inputs: int = 12,
    branch_nodes: int = 2000,
    trust: str | Iterable[str] = NOBODY,
    progress: Progress = silent,
    executor: Executor | None = None,
) -> Facts:
    """Decide for every ReLU unit whether it is stable on the problem's domain.

    Args:
        problem: network and domain.
        engine: ``portfolio`` (bounds, witnesses, SCIP), ``crown`` (bounds and samples only), or a published method on
            SCIP with interval bounds, whose findings are claims: ``leo`` (arXiv 2001.00218), ``isa`` (2102.07804).
        time_limit: seconds in all; what is open then stays undecided.
        unit_time_limit: seconds for one question to the solver.
        seed: of random points and solver.
        node_limit: nodes for one question to the solver, for reproducible answers.
        resume: a journal to append to, and to take facts from; trusted.
        workers: processes that ask the solver.
        split_inputs: the input box is split where at most so many inputs are free; 0 never splits it.
        branch_nodes: tree nodes for one question to branching on unit signs; 0 never branches.
        trust: solvers whose claims are taken for facts without a proof: ``scip``, or nobody.
        progress: called with stage, done, total.
        executor: where solver questions are asked, instead of `workers` processes.

    Returns:
        The table of units.  Trusted: float64 arithmetic; the journal; SCIP for units with evidence ``solver``, which
        there are only where `trust` names it.

    Raises:
        UsageError: `usage/trust`; `directed/no-facts` for a problem that assumes a disjunct.
        InputError: the journal is damaged, or about something else; `read/differs` where the network's file computes
            something else at an input that was found.
        LimitError: a worker died.
    """
    from eqverify.stability.portfolio import prove_stability as prove

    if problem.assumed is not None:
        raise UsageError(
            "directed/no-facts",
            "the problem assumes a disjunct of its property, where inputs of the domain are no witnesses",
            hint="use reduce_for_property, which brings the facts along",
        )
    journal = None if resume is None else Path(resume)
    options = StabilityOptions(
        engine, time_limit, unit_time_limit, seed, node_limit, journal, workers, split_inputs, branch_nodes,
        trusting(trust),
    )  # fmt: skip
    facts = prove(problem, options, progress=progress, executor=executor)
    problem.reading.compare(facts.witnesses[:_MOST_WITNESSES])
    return facts
