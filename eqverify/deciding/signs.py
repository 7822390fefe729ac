"""Branching on signs for a question: done where some row is positive on every leaf (specs/verification.md, V-3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from eqverify.attack.search import RowSearch
from eqverify.bounds import Interval
from eqverify.budget import Budget
from eqverify.deciding.question import Question, Replay
from eqverify.domain import Polytope
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import Guide, SignQuery

_BELOW_ZERO = -1e-300
"""A row is refuted where it is positive, not where it is 0."""

_MAX_NODES = 1_000_000


@dataclass(frozen=True, slots=True)
class BranchOutcome:
    """How branching ended.

    Attributes:
        proved: whether a row is positive on the whole box.
        found: whether a replay succeeded.
        hopeless: whether for each row an input was met where it is not positive.
    """

    proved: bool
    found: bool
    hopeless: bool


def branch_question(
    question: Question, bounds: Mapping[str, Interval], replay: Replay, budget: Budget, guide: Guide | None = None
) -> BranchOutcome:
    """Prove that one row of a question is positive everywhere, row by row.

    Args:
        question: what is asked.
        bounds: (1, n) by node of its network, on its box.
        replay: tries candidates.
        budget: seconds.
        guide: where to split first, if anybody knows.

    Returns:
        The outcome; nothing is known where time ran out.  Trusted: float64 arithmetic.
    """
    network, hopeless = question.network, True
    (port,) = network.outputs
    for row in range(port.size):
        asked = SignQuery(port.source, row, -1, limit=_BELOW_ZERO, guide=guide)
        (found,) = prove_signs(network, bounds, [asked], budget=budget.share(port.size - row), max_nodes=_MAX_NODES)
        if found.proved:
            return BranchOutcome(True, False, False)
        if found.point is not None and RowSearch(network, Polytope(question.box), replay).near(found.point):
            return BranchOutcome(False, True, False)
        hopeless &= found.point is not None
    return BranchOutcome(False, False, hopeless)
