"""The embedded backend: the means of arithmetic and SCIP by turns; or SCIP alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from eqverify.attack.search import RowSearch
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.budget import Budget
from eqverify.deciding.arithmetic import Arithmetic, Turn
from eqverify.deciding.presolve import positive_rows
from eqverify.deciding.question import Question, Replay, Reply
from eqverify.domain import Polytope
from eqverify.errors import UsageError
from eqverify.milp.encoding import Answer, SolverFactory
from eqverify.milp.encoding import Verdict as Said
from eqverify.milp.scip import ScipSolver
from eqverify.relaxation.model import open_model
from eqverify.search.sign_tree import Guide
from eqverify.stability.guides import guide_of

_FIRST_SLICE = 3.0
_ALONE = "milp"


class ScipBackend(Arithmetic):
    """Decides by arithmetic where that is enough, and asks SCIP, whose `infeasible` is a claim.

    Args:
        argument: ``milp`` for SCIP alone, on the network of the question and with CROWN's bounds; empty for all means.
        make: makes solvers.

    Raises:
        UsageError: `usage/backend` for another argument.
    """

    def __init__(self, argument: str = "", make: SolverFactory = ScipSolver) -> None:
        if argument not in ("", _ALONE):
            raise UsageError(
                "usage/backend", "the scip backend has no such mode", value=argument, hint="scip or scip:milp"
            )
        self.alone = argument == _ALONE
        super().__init__("scip:milp" if self.alone else "scip", _FIRST_SLICE)
        self.uses_ranges = not self.alone
        self.make = make

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        return self._by_solver(question, replay, budget) if self.alone else super().decide(question, replay, budget)

    def _by_solver(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """One question to SCIP, with big-M of CROWN."""
        lower, upper = question.box.lower[None], question.box.upper[None]
        bounds = crown_bounds(question.network, lower, upper, outputs=True)
        if positive_rows(question.network, bounds).any():
            return self.derived()
        if budget.exhausted():
            return self.reply("timed-out")
        return self._solve(question, bounds, replay, budget.left)

    def turns(self, question: Question, bounds: dict[str, Interval], replay: Replay) -> list[Turn]:
        """SCIP after branching, and before gradient steps."""
        branch, search = super().turns(question, bounds, replay)
        if question.network.smooth:  # which have no rows
            return [branch, search]
        return [branch, partial(self._solve, question, bounds, replay), search]

    def _solve(self, question: Question, bounds: dict[str, Interval], replay: Replay, seconds: float) -> Reply:
        answer, description, guide = ask_solver(question, bounds, self.make, seconds)
        if answer.verdict is Said.NEVER:
            return replace(self.reply("unsat", evidence=description), guide=guide)
        if answer.verdict is Said.CANDIDATE and answer.point is not None:
            if RowSearch(question.network, Polytope(question.box), replay).near(answer.point):
                return self.reply("sat")
            return self.reply("unknown", reason="the solver's candidate does not hold on the original network")
        if answer.reason in ("timelimit", ""):
            return self.reply("timed-out")
        return self.reply("unknown", reason=answer.reason)


def ask_solver(question: Question, bounds: Bounds, make: SolverFactory, seconds: float) -> tuple[Answer, str, Guide]:
    """Ask a solver whether an input satisfies all rows of a question.

    Args:
        question: what is asked.
        bounds: proved intervals, (1, n), of all nodes on the box.
        make: the solver.
        seconds: for it.

    Returns:
        `NEVER` is a claim, and a candidate may be none; the solver's description; and where it branched.
    """
    network, box = question.network, question.box
    model, solver = open_model(network, (box.lower, box.upper), bounds), make(Polytope(box))
    for block in model.blocks():
        solver.add_units(block)
    z = model.outputs()
    solver.add_constraints(z.rows[1:], z.error[1:])
    answer = solver.exceeds(-z.rows[0], -float(z.error[0]), seconds)
    return answer, solver.description, guide_of(answer.tree, [model.units(relu) for relu in network.relus])
