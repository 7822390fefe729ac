"""Stages that ask a solver: SCIP unit by unit, and the published methods."""

from __future__ import annotations

from collections.abc import Callable

from eqverify.stability.joint import JointQuestions
from eqverify.stability.run import Run
from eqverify.stability.sign_questions import QuestionPolicy, SignQuestions


def scip(run: Run) -> None:
    """The layers in order; bounds are tightened again after each layer that gained."""
    rounds = run.options.node_limit is None
    _ask(run, QuestionPolicy(run.options.unit_time_limit, rounds=rounds), run.crown)


def leo(run: Run) -> None:
    """LEO: every unit of every layer both ways, with interval bounds; stable units of earlier layers are left out."""
    _ask(run, QuestionPolicy(run.options.unit_time_limit, rounds=False, thorough=True), lambda: None)


def _ask(run: Run, policy: QuestionPolicy, gained: Callable[[], None]) -> None:
    session = SignQuestions(run.problem, run.table, run.falsifier, run.factory, run.budget, policy, run.executor)
    run.solver = session.description
    try:
        for node in run.problem.network.relus:
            if run.budget.exhausted() or not run.table.undecided():
                break
            if session.layer(node, run.progress) and run.table.undecided():
                gained()
    finally:
        session.close()
    note = "time limit reached" if run.budget.exhausted() else ""
    run.annotate(session.questions, note)


def isa(run: Run) -> None:
    """ISA: one model for all units of the network, with interval bounds."""
    session = JointQuestions(run.problem, run.table, run.falsifier, run.joint_factory, run.budget)
    session.run(run.progress)
    run.solver = session.description
    run.annotate(session.questions, "; ".join(sorted(set(session.reasons))))
