"""Deciding a question by arithmetic alone: bounds and input splitting, then branching on signs and gradient steps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import numpy as np

from eqverify.attack.search import RowSearch
from eqverify.bounds import Interval, optimise_slopes
from eqverify.budget import Budget
from eqverify.deciding.presolve import output_bounds, positive_rows
from eqverify.deciding.question import Question, Replay, Reply, Verdict
from eqverify.deciding.signs import branch_question
from eqverify.deciding.splitting import can_split, is_narrow, split_question
from eqverify.domain import Box, Polytope
from eqverify.network import Network
from eqverify.search.sign_tree import Guide

_SPLIT_SHARE, _SIGN_SHARE = 0.7, 0.3
"""For boxes that are split at inputs, and at signs."""

_ALPHA_FACTOR = 5.0
"""Optimised slopes for all units are left out where so many times the seconds of the first bounds are not left."""

_GROWTH = 2.0
_ATTACK_SHARE = 1 / 3
"""Of a slice of time, for gradient steps."""

Turn: TypeAlias = Callable[[float], Reply]
"""A means of deciding a question, given seconds."""


class Arithmetic:
    """Decides with bounds, splitting, branching and gradient steps; asks no solver.

    Args:
        name: of the backend that does so.
        first: seconds of the first slice of time for each means; slices double, and each starts from scratch.
        guide: where branching begins, if anybody knows.
    """

    def __init__(self, name: str, first: float, guide: Guide | None = None) -> None:
        self.name, self.first, self.guide = name, first, guide
        self.seed = 0

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        box, told = question.box, None
        if question.known is not None and not is_narrow(box):
            told = question.known.bounds
            question = Question(question.known.network, box, question.dtype)
        network = question.network
        start = budget.left
        bounds = output_bounds(network, box, told)
        pace = start - budget.left
        if positive_rows(network, bounds).any():
            return self.derived()
        if can_split(network, box):
            share = _SPLIT_SHARE if is_narrow(box) else _SIGN_SHARE
            outcome = split_question(question, replay, Budget(budget.left * share))
            if outcome.proved or outcome.found:
                return self.derived() if outcome.proved else self.reply("sat")
        if budget.exhausted():
            return self.reply("timed-out")
        if told is None and pace * _ALPHA_FACTOR < budget.left:
            bounds = _tightened(network, box, bounds, budget)
        if positive_rows(network, bounds).any():
            return self.derived()
        relaxed = question.known is not None and question.known.network is not network
        return self._by_turns(self.turns(question, bounds, replay), budget, int(relaxed))

    def turns(self, question: Question, bounds: dict[str, Interval], replay: Replay) -> list[Turn]:
        """What is done by turns."""
        return [partial(self._branch, question, bounds, replay), partial(self._attack, question, replay)]

    def _by_turns(self, turns: list[Turn], budget: Budget, least: int) -> Reply:
        """Each for a slice of time that grows; what answers `unknown` is not asked again.

        Args:
            turns: the means; the last one only looks for an input.
            budget: seconds.
            least: the answer is `unknown` where no more than so many are left: 1 for a reduced network, which may meet
                what the original does not, so that the original is asked about in the time that is left.
        """
        seconds, reason = self.first, ""
        while len(turns) > least and not budget.exhausted():
            for turn in tuple(turns):
                reply = turn(min(seconds, budget.left))
                if reply.verdict in ("sat", "unsat"):
                    return reply
                if reply.verdict == "unknown":
                    turns.remove(turn)
                    reason = reply.reason
            seconds *= _GROWTH
        return self.reply("timed-out") if len(turns) > least else self.reply("unknown", reason=reason)

    def _branch(self, question: Question, bounds: dict[str, Interval], replay: Replay, seconds: float) -> Reply:
        outcome = branch_question(question, bounds, replay, Budget(seconds), self.guide)
        if outcome.proved or outcome.found:
            return self.derived() if outcome.proved else self.reply("sat")
        if outcome.hopeless:
            return self.reply("unknown", reason="no row is positive everywhere")
        return self.reply("timed-out")

    def _attack(self, question: Question, replay: Replay, seconds: float) -> Reply:
        """Gradient steps from more points each time."""
        self.seed += 1
        random, budget = np.random.default_rng(self.seed), Budget(seconds * _ATTACK_SHARE)
        search = RowSearch(question.network, Polytope(question.box), replay, random=random)
        found = search.search(budget.exhausted, rounds=1000)
        return self.reply("sat" if found else "timed-out")

    def reply(self, verdict: Verdict, evidence: str = "", reason: str = "") -> Reply:
        """An answer that is no proof: for `unsat`, `evidence` names who claims it."""
        return Reply(verdict, self.name, evidence, reason)

    def derived(self) -> Reply:
        """`unsat`, by arithmetic."""
        return Reply("unsat", self.name, derived=True)


def _tightened(network: Network, box: Box, bounds: dict[str, Interval], budget: Budget) -> dict[str, Interval]:
    """Optimised slopes for all units."""
    targets = {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}
    targets |= {port.source: np.ones(port.size, dtype=bool) for port in network.outputs}
    lower, upper = box.lower[None], box.upper[None]
    return dict(optimise_slopes(network, lower, upper, bounds, targets, stop=budget.exhausted).bounds)
