"""The embedded ways to decide a question, against exact answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.deciding.question import Question
from eqverify.deciding.scip_backend import ScipBackend, ask_solver
from eqverify.deciding.splitting import split_question
from eqverify.errors import LimitError
from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.scip import ScipSolver
from eqverify.network import evaluate
from eqverify.testing.strategies import boxes, networks

from .deciding_helpers import absolute, accepting, budget, chain, least_maximum, never, question


def solve(asked, seconds=5.0):
    box = asked.box
    bounds = crown_bounds(asked.network, box.lower[None], box.upper[None], outputs=True)
    return ask_solver(asked, bounds, ScipSolver, seconds)[0]


@pytest.mark.parametrize("shift", [0.25, 1e-6])
def test_a_positive_row_has_no_solution(shift):
    asked = question(absolute(shift))
    assert split_question(asked, never, budget()).proved
    assert ScipBackend().decide(asked, never, budget()).verdict == "unsat"


@pytest.mark.parametrize("shift", [0.0, -1e-9, -0.25])
def test_a_row_that_reaches_zero_has_a_solution(shift):
    """At 0 exactly: the constraint is y <= 0, and the boundary belongs to it."""
    asked = question(absolute(shift))
    assert not split_question(asked, never, budget(0.3)).proved
    assert solve(asked).verdict is not Verdict.NEVER
    assert ScipBackend().decide(asked, never, budget(1.0)).verdict != "unsat"
    assert ScipBackend().decide(asked, accepting(asked.network), budget()).verdict == "sat"


def test_rows_that_are_met_apart_but_not_together():
    """x0 + 0.5 <= 0 and 0.5 - x0 <= 0."""
    network = chain(([[1.0, 0.0], [-1.0, 0.0]], [0.5, 0.5]))
    asked = question(network)
    assert split_question(asked, never, budget()).proved
    assert solve(asked).verdict is Verdict.NEVER
    assert ScipBackend().decide(asked, never, budget()).verdict == "unsat"


@pytest.mark.slow
@settings(max_examples=30)
@given(st.data())
def test_unsat_is_said_only_of_what_is_unsat(data):
    network = data.draw(networks().filter(lambda n: n.input_size <= 3 and n.output_size <= 3 and n.relu_count <= 12))
    box = data.draw(boxes(network.input_size))
    asked = Question(network, box, "float64")
    try:
        exact = least_maximum(network, box)
    except LimitError:
        reject()
    found = split_question(asked, never, budget(0.5))
    answer = solve(asked, 2.0)
    reply = ScipBackend().decide(asked, accepting(network), budget(1.5))
    if exact <= 0:
        assert not found.proved
        assert answer.verdict is not Verdict.NEVER
        assert reply.verdict != "unsat"
    if reply.verdict == "sat":
        assert exact <= 1e-9 * max(1.0, abs(float(exact)))


@pytest.mark.parametrize(
    "said",
    [
        Answer(Verdict.CANDIDATE, np.array([5.0, 5.0])),
        Answer(Verdict.CANDIDATE, np.array([np.nan, 0.0])),
        Answer(Verdict.CANDIDATE, np.zeros(3)),
        Answer(Verdict.UNKNOWN, reason="solver error: out of memory"),
    ],
)
def test_what_a_lying_solver_says_is_not_believed(said):
    """A question that neither bounds nor branching settle at once; its exact answer is unsat."""

    class Liar:
        description = "liar"

        def __init__(self, polytope):
            pass

        def add_units(self, block):
            pass

        def add_constraints(self, rows, bound):
            pass

        def exceeds(self, row, threshold, time_limit):
            return said

    random = np.random.default_rng(3)
    layers = [(random.normal(size=(8, 13)), random.normal(size=8)), (random.normal(size=(1, 8)), np.zeros(1))]
    network = chain(*layers)
    values = evaluate(network, random.uniform(-1, 1, (2000, 13)))
    shifted = chain(layers[0], (layers[1][0], np.array([-values.min() + 0.5])))
    backend = ScipBackend(make=Liar)
    reply = backend._solve(
        question(shifted), crown_bounds(shifted, -np.ones((1, 13)), np.ones((1, 13)), outputs=True), never, 1.0
    )
    assert reply.verdict == "unknown"
