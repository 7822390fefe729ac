"""Splitting boxes for a question: one is done where no input of it meets all rows (V-2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.budget import Budget
from eqverify.deciding.question import Question, Replay
from eqverify.domain import Assumption, Box
from eqverify.network import Network, evaluate
from eqverify.search.assumption_bounder import AssumptionBounder, Leaf, Slack
from eqverify.search.clipping_bounder import ClippingBounder
from eqverify.search.engine import BoxSearch
from eqverify.stability.stages.region import SMALL

SPLIT_INPUTS = 12
"""Boxes are halved where at most so many inputs are free."""

_TRIED = 8
"""Of each batch at most so many inputs, the most promising, are replayed."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitOutcome:
    """How a search ended.

    Attributes:
        proved: whether no input of the box meets all rows.
        found: whether a replay succeeded.
        boxes: boxes bounded.
    """

    proved: bool
    found: bool
    boxes: int


def is_narrow(box: Box) -> bool:
    """Whether few inputs are free."""
    return int((box.upper > box.lower).sum()) <= SPLIT_INPUTS


def can_split(network: Network, box: Box) -> bool:
    """Whether boxes are small enough a means: few inputs are free, or the network is small."""
    return is_narrow(box) or network.relu_count * network.input_size <= SMALL


def split_question(
    question: Question, replay: Replay, budget: Budget, leaf: Leaf | None = None, slack: Slack | None = None
) -> SplitOutcome:
    """Prove that a question has no solution, or find one, by splitting the box, at inputs or else at signs of units.

    Args:
        question: what is asked.
        replay: tries candidates.
        budget: seconds; a batch that has begun is finished.
        leaf: decides boxes on which few units are open; of each batch, those nearest to being decided are tried.
        slack: what rows are relaxed by on a box.

    Returns:
        The outcome; neither `proved` nor `found` where time ran out.  Trusted: float64 arithmetic.
    """
    network, box = question.network, question.box

    def attempt(points: FloatArray) -> bool:
        level = evaluate(network, points).max(axis=1)
        met = np.flatnonzero(level <= 0)
        return bool(met.size) and replay(points[met[np.argsort(level[met])][:_TRIED]])

    rows, none = np.eye(network.output_size), np.zeros((network.output_size, network.input_size))
    assumed = Assumption(rows, none, np.zeros(len(rows)))
    bounder: AssumptionBounder = ClippingBounder(network, assumed, attempt, by_signs=not is_narrow(box))
    if leaf is not None or slack is not None:
        bounder = AssumptionBounder(network, assumed, attempt, leaf=leaf, slack=slack)
    search = BoxSearch(bounder, bounder.root(box.lower, box.upper), order="newest")
    search.run(budget=budget)
    return SplitOutcome(bool(search.proved[0]), bounder.found, search.boxes)
