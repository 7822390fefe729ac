"""Stages that ask a solver: SCIP unit by unit, and the published methods.

What SCIP says is a claim.  The portfolio searches for a proof of each (`prove_claims`); the published methods do not,
so that what they find counts only where SCIP is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from eqverify.bounds.constrained import ConstrainedLp
from eqverify.network import Affine
from eqverify.search.sign_tree import SignQuery
from eqverify.stability.facts import Evidence
from eqverify.stability.isa import JointQuestions
from eqverify.stability.run import Run
from eqverify.stability.sign_questions import ProveClaims, QuestionPolicy, SignClaim, SignQuestions
from eqverify.stability.stages.branching import Layer
from eqverify.stability.stages.linear import program_of
from eqverify.stability.stages.region import refute_rows

_LEAST = 1.0
"""Seconds for proving what SCIP claims of the units of a batch, at least."""

_NODES, _FIXED_NODES = 1_000_000, 20_000
"""Tree nodes for the proof of a claim, without and with a node limit."""


def scip(run: Run) -> None:
    """The layers in order; bounds are tightened again after each layer that gained.

    Of a region it is asked first whether it is empty.

    What time is left in the end goes to claims that were not proved, with the seconds of a question each.
    """
    rounds, seconds = run.options.node_limit is None, run.options.unit_time_limit
    program = program_of(run)
    if run.assumed is not None and program is None:
        run.annotate(0, "left out: the model would be too large")
        return
    session = _ask(run, QuestionPolicy(seconds, rounds=rounds), partial(prove_claims, run), run.crown, program)
    for name, claims in session.unproved.items():
        still = [replace(c, seconds=seconds) for c in claims if run.table.open(name)[c.unit]]
        if still and rounds and not run.budget.exhausted():
            prove_claims(run, name, still)


def leo(run: Run) -> None:
    """LEO: every unit of every layer both ways, with interval bounds; stable units of earlier layers are left out."""
    policy = QuestionPolicy(run.options.unit_time_limit, rounds=False, thorough=True)
    _ask(run, policy, None, lambda: None)


def prove_claims(run: Run, name: str, claims: Sequence[SignClaim]) -> None:
    """Search for proofs of what SCIP claims of a layer, beginning with its own trees, in the time that it took.

    Args:
        run: the proof; its table learns what is found.
        name: the pre-activation node.
        claims: about its units.
    """
    if not isinstance(run.problem.network.by_name.get(name), Affine):
        return
    layer, fixed = Layer(run, name, patience=float("inf")), run.options.node_limit is not None
    for part in sorted({claim.part for claim in claims}):
        own = [claim for claim in claims if claim.part == part]
        took = float("inf") if fixed else max(sum(claim.seconds for claim in own), _LEAST)
        questions = [SignQuery(name, claim.unit, 1 if claim.above else -1, guide=claim.guide) for claim in own]
        layer.ask(part, questions, run.budget.part(1.0, took), _FIXED_NODES if fixed else _NODES)
    run.journal.flush(run.solver)


def _ask(
    run: Run,
    policy: QuestionPolicy,
    prove: ProveClaims | None,
    gained: Callable[[], None],
    program: ConstrainedLp | None = None,
) -> SignQuestions:
    parts = run.problem, run.table, run.falsifier, run.factory, run.budget, policy
    with run.budget.preparing():
        session = SignQuestions(*parts, executor=run.executor, prove=prove, program=program)
    run.solver = session.description
    try:
        if program is not None:
            _prove_empty(run, session.claimed_empty(run.budget.share(2)))
        for node in run.problem.network.relus:
            if run.budget.exhausted() or not run.table.undecided():
                break
            if session.layer(node, run.progress) and run.table.undecided():
                gained()
    finally:
        session.close()
    note = "time limit reached" if run.budget.exhausted() else ""
    run.annotate(session.questions, note)
    return session


def _prove_empty(run: Run, seconds: float | None) -> None:
    """Search for a proof of a claim that a region is empty, in the time that it took; None for no claim."""
    if seconds is None or not run.table.undecided():
        return
    if refute_rows(run, run.budget.part(1.0, max(seconds, _LEAST)), _NODES):
        return
    run.claimed_empty = True
    if run.table.trusts:
        run.empty(Evidence.SOLVER, run.solver)


def isa(run: Run) -> None:
    """ISA: one model for all units of the network, with interval bounds."""
    session = JointQuestions(run.problem, run.table, run.falsifier, run.joint_factory, run.budget)
    session.run(run.progress)
    run.solver = session.description
    run.annotate(session.questions, "; ".join(sorted(set(session.reasons))))
