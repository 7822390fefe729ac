"""What is left of the time when a backend is asked, by a clock that stands still until it is moved."""

from dataclasses import replace

import numpy as np
import pytest

from eqverify import budget as timing
from eqverify.deciding import run as running
from eqverify.deciding.question import Reply
from eqverify.deciding.run import VerifyKeywords, VerifyRun
from eqverify.deciding.signs import BranchOutcome
from eqverify.deciding.splitting import SplitOutcome
from eqverify.domain import Box
from eqverify.export.onnx import write_network
from eqverify.stability import disjuncts

from .deciding_helpers import cancelling, problem

TOTAL = 100.0


class Asked:
    """Notes the seconds that it is given, and uses them up."""

    name, uses_ranges = "asked", True

    def __init__(self, clock):
        self.clock, self.seconds = clock, []

    def decide(self, question, replay, budget):
        self.seconds.append(budget.left)
        self.clock.now += budget.left
        return Reply("timed-out", self.name)


@pytest.fixture
def clock(monkeypatch):
    """Stages that find nothing and use all that they are given."""

    class Moved:
        now = 0.0

    moved, share = Moved(), disjuncts.share_proof

    def shared(asked, seconds, options, progress):
        found = share(asked, 0.0, options, progress)
        moved.now += seconds
        return replace(found, closed=np.zeros_like(found.closed))

    def singly(regions, facts, plan, budget, progress):
        moved.now += budget.left
        for one in regions:
            one.worked = True

    def spend(budget, outcome):
        moved.now += budget.left
        return outcome

    monkeypatch.setattr(timing, "_now", lambda: moved.now)
    monkeypatch.setattr(disjuncts, "share_proof", shared)
    monkeypatch.setattr(disjuncts, "_one_by_one", singly)
    monkeypatch.setattr(
        running, "split_question", lambda q, replay, budget, slack: spend(budget, SplitOutcome(False, False, 1))
    )
    monkeypatch.setattr(
        running, "branch_question", lambda q, bounds, replay, budget: spend(budget, BranchOutcome(False, False, False))
    )
    return moved


@pytest.mark.parametrize(("rows", "small"), [(1, True), (1, False), (3, False)])
def test_a_tenth_of_the_time_is_left_for_the_backend_whatever_comes_before(clock, monkeypatch, rows, small):
    """Of a network whose boxes are split first, a fourteenth."""
    if not small:
        monkeypatch.setattr(running, "can_split", lambda network, box: False)
    network, backend = cancelling(0.5), Asked(clock)
    asked = problem(network, [[((1.0,), 0.0)]] * rows, Box(-np.ones(20), np.ones(20)))
    options = VerifyKeywords(timeout=TOTAL, backend=backend, workers=1)
    VerifyRun(options).decide(asked, write_network(network, metadata={}, producer="test", dtype="float64"))
    assert backend.seconds
    assert sum(backend.seconds) >= TOTAL / (14 if small else 10)
    assert clock.now <= TOTAL + 1.0
