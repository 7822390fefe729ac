"""The search whose steps are recorded: nothing in it rests on a step that is left out of the proof."""

from __future__ import annotations

import numpy as np

from eqverify.budget import Budget
from eqverify.deciding import proving

from .deciding_helpers import chain, problem


def test_disjuncts_rest_on_shared_steps_only_where_these_are_kept(monkeypatch):
    """ACAS Xu 2_3 property 4 was unsat by ranges of a proof that was then left out: the checker refused the file."""
    given, own = [], proving.prove_directed

    def asked(*about, facts=None, **more):
        given.append(facts)
        return own(*about, facts=facts, **more)

    monkeypatch.setattr(proving, "prove_directed", asked)
    nothing = chain((np.ones((2, 2)), [0.0, 0.0]), ([[1.0, -1.0]], [1.0]))  # relu(s) - relu(s) + 1
    question = problem(nothing, [[([1], "0.5")]])
    (case,) = proving.recorded(question.network, question.cases, Budget(60.0), 0, lambda *_: None)
    assert [len(steps) > 0 for _, steps in case.disjuncts] == [True]
    assert not case.shared
    assert given == [None]
