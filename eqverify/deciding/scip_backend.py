"""The embedded backend: bounds and input splitting, then branching on signs, SCIP and gradient steps by turns."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from eqverify.bounds import Interval, crown_bounds, optimise_slopes
from eqverify.deciding.attack import attack, attack_near
from eqverify.deciding.mip import SolverMaker, ask_solver
from eqverify.deciding.presolve import output_bounds, positive_rows
from eqverify.deciding.question import Question, Replay, Reply
from eqverify.deciding.signs import branch_question
from eqverify.deciding.splitting import SPLIT_INPUTS, split_question
from eqverify.domain import Box, Polytope
from eqverify.errors import UsageError
from eqverify.milp.encoding import Verdict as Said
from eqverify.milp.scip import ScipSolver
from eqverify.network import Network
from eqverify.stability.budget import Budget

_SPLIT_SHARE = 0.7
_ALPHA_FACTOR = 5.0
"""Optimised slopes for all units are left out where so many times the seconds of the first bounds are not left."""

_FIRST_SLICE = 3.0
_GROWTH = 2.0
_BOUNDS = "bounds"
_ALONE = "milp"


def _make_scip(polytope: Polytope) -> ScipSolver:
    return ScipSolver(polytope)


class ScipBackend:
    """Decides by arithmetic where that is enough, else asks SCIP; see `eqverify.bounds` and `eqverify.milp.scip`.

    Args:
        argument: ``milp`` for SCIP alone, on the network of the question and with CROWN's bounds; empty for all means.
        make: makes solvers.

    Raises:
        UsageError: `usage/backend` for another argument.
    """

    def __init__(self, argument: str = "", make: SolverMaker = _make_scip) -> None:
        if argument not in ("", _ALONE):
            raise UsageError(
                "usage/backend", "the scip backend has no such mode", value=argument, hint="scip or scip:milp"
            )
        self.alone = argument == _ALONE
        self.name = "scip:milp" if self.alone else "scip"
        self.uses_ranges = not self.alone
        self.make = make
        self.seed = 0

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        return (self._by_solver if self.alone else self._by_all_means)(question, replay, budget)

    def _by_solver(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """One question to SCIP, with big-M of CROWN."""
        lower, upper = question.box.lower[None], question.box.upper[None]
        bounds = crown_bounds(question.network, lower, upper, outputs=True)
        if positive_rows(question.network, bounds).any():
            return self._reply("unsat", evidence=_BOUNDS)
        if budget.exhausted():
            return self._reply("timed-out")
        return self._solve(question, bounds, replay, budget.left)

    def _by_all_means(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """Bounds and splitting, then all else by turns."""
        box, told = question.box, None
        narrow = int((box.upper > box.lower).sum()) <= SPLIT_INPUTS
        if question.known is not None and not narrow:
            told = question.known.bounds
            question = Question(question.known.network, box, question.dtype)
        network = question.network
        start = budget.left
        bounds = output_bounds(network, box, told)
        pace = start - budget.left
        if positive_rows(network, bounds).any():
            return self._reply("unsat", evidence=_BOUNDS)
        if narrow:
            outcome = split_question(question, replay, Budget(budget.left * _SPLIT_SHARE))
            if outcome.proved or outcome.found:
                return self._reply("unsat" if outcome.proved else "sat", evidence=_BOUNDS)
        if budget.exhausted():
            return self._reply("timed-out")
        if told is None and pace * _ALPHA_FACTOR < budget.left:
            bounds = self._tightened(network, box, bounds, budget)
        if positive_rows(network, bounds).any():
            return self._reply("unsat", evidence=_BOUNDS)
        return self._by_turns(question, bounds, replay, budget)

    def _tightened(
        self, network: Network, box: Box, bounds: dict[str, Interval], budget: Budget
    ) -> dict[str, Interval]:
        """Optimised slopes for all units."""
        targets = {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}
        targets |= {port.source: np.ones(port.size, dtype=bool) for port in network.outputs}
        lower, upper = box.lower[None], box.upper[None]
        return dict(optimise_slopes(network, lower, upper, bounds, targets, stop=budget.exhausted).bounds)

    def _by_turns(self, question: Question, bounds: dict[str, Interval], replay: Replay, budget: Budget) -> Reply:
        """Branching and SCIP, each for a slice of time that grows; a slice starts from scratch."""
        seconds, reason = _FIRST_SLICE, ""
        turns: list[Callable[[float], Reply]] = [
            partial(self._branch, question, bounds, replay),
            partial(self._solve, question, bounds, replay),
            partial(self._attack, question, replay),
        ]
        while turns and not budget.exhausted():
            for turn in tuple(turns):
                reply = turn(min(seconds, budget.left))
                if reply.verdict in ("sat", "unsat"):
                    return reply
                if reply.verdict == "unknown":
                    turns.remove(turn)
                    reason = reply.reason
            seconds *= _GROWTH
        return self._reply("unknown", reason=reason) if not turns else self._reply("timed-out")

    def _branch(self, question: Question, bounds: dict[str, Interval], replay: Replay, seconds: float) -> Reply:
        outcome = branch_question(question, bounds, replay, Budget(seconds))
        if outcome.proved or outcome.found:
            return self._reply("unsat" if outcome.proved else "sat", evidence=_BOUNDS)
        if outcome.hopeless:
            return self._reply("unknown", reason="no row is positive everywhere")
        return self._reply("timed-out")

    def _solve(self, question: Question, bounds: dict[str, Interval], replay: Replay, seconds: float) -> Reply:
        answer, description = ask_solver(question, bounds, self.make, seconds)
        if answer.verdict is Said.NEVER:
            return self._reply("unsat", evidence=description)
        if answer.verdict is Said.CANDIDATE and answer.point is not None:
            if attack_near(question.network, question.box, answer.point, replay):
                return self._reply("sat")
            return self._reply("unknown", reason="the solver's candidate does not hold on the original network")
        if answer.reason in ("timelimit", ""):
            return self._reply("timed-out")
        return self._reply("unknown", reason=answer.reason)

    def _attack(self, question: Question, replay: Replay, seconds: float) -> Reply:
        """Gradient steps from more points each time."""
        self.seed += 1
        members = np.ones((1, question.network.output_size), dtype=bool)
        budget = Budget(seconds / 3)
        found = attack(question.network, question.box, members, replay, budget=budget, rounds=1000, seed=self.seed)
        return self._reply("sat" if found else "timed-out")

    def _reply(self, verdict: str, evidence: str = "", reason: str = "") -> Reply:
        return Reply(verdict, self.name, evidence if verdict == "unsat" else "", reason)  # type: ignore[arg-type]
