"""A backend that looks at the corners of the input box."""

from itertools import islice, product

import numpy as np

from eqverify.budget import Budget
from eqverify.deciding.question import Question, Replay, Reply

MOST = 4096
"""Corners, at most."""


class Corners:
    """Hands corners to eqverify, which evaluates them on the original network; proves nothing.

    Args:
        argument: the text after the colon of ``--backend corners:TEXT``, here how many corners.
    """

    def __init__(self, argument: str = "") -> None:
        self.name = "corners"
        self.most = int(argument or MOST)

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """`sat` once the replay says that a corner satisfies the disjunct, else `unknown`."""
        box = question.box
        for corner in islice(product(*zip(box.lower, box.upper, strict=True)), self.most):
            if budget.exhausted():
                return Reply("timed-out", self.name)
            if replay(np.array([corner])):
                return Reply("sat", self.name)
        return Reply("unknown", self.name, reason="no corner that was tried satisfies it")
