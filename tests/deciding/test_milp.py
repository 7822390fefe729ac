"""SCIP alone on the network that it is given: right answers, and no proof of ours that would answer in its place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.bounds import crown_bounds
from eqverify.deciding import arithmetic
from eqverify.deciding import run as deciding
from eqverify.deciding.claims import rederive
from eqverify.deciding.question import Known, Question
from eqverify.deciding.scip_backend import ScipBackend, ask_solver
from eqverify.errors import LimitError
from eqverify.export.vnnlib import query_of
from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.scip import ScipSolver
from eqverify.stability import disjuncts
from eqverify.testing.strategies import boxes, networks

from .deciding_helpers import (
    absolute,
    accepting,
    budget,
    cancelling,
    chain,
    least_maximum,
    never,
    problem,
    question,
    square,
)


def told(said):
    """The backend with a solver that says the same to everything, and the questions that it was asked."""
    asked = []

    class Fake:
        description = "fake"

        def __init__(self, polytope):
            pass

        def add_units(self, block):
            pass

        def add_constraints(self, rows, bound):
            pass

        def exceeds(self, row, threshold, time_limit):
            asked.append((row, threshold))
            return said

    return ScipBackend("milp", make=Fake), asked


def crossing(shift):
    """|x0| + |x1| - |x0 + x1| + shift: at least shift, which CROWN does not see."""
    rows = [[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [1.0, 1.0], [-1.0, -1.0]]
    return chain((rows, [0.0] * 6), ([[1.0, 1.0, 1.0, 1.0, -1.0, -1.0]], [shift]))


@pytest.mark.parametrize(("shift", "verdict"), [(0.25, "unsat"), (0.0, "sat"), (-0.25, "sat")])
def test_scip_alone_is_right(shift, verdict):
    network = crossing(shift)
    reply = ScipBackend("milp").decide(question(network), accepting(network), budget())
    assert (reply.verdict, reply.backend) == (verdict, "scip:milp")
    assert reply.evidence.startswith("SCIP") == (verdict == "unsat")
    assert not reply.derived


def test_what_crown_decides_is_not_asked():
    backend, asked = told(Answer(Verdict.CANDIDATE, np.zeros(2)))
    reply = backend.decide(question(absolute(0.25)), never, budget())
    assert (reply.verdict, reply.derived, asked) == ("unsat", True, [])


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
    network = crossing(0.25)
    backend, asked = told(said)
    assert backend.decide(question(network), accepting(network), budget()).verdict == "unknown"
    assert len(asked) == 1


def test_a_solver_that_needs_more_time_has_timed_out():
    backend, _ = told(Answer(Verdict.UNKNOWN, reason="timelimit"))
    assert backend.decide(question(crossing(0.25)), never, budget()).verdict == "timed-out"


@settings(max_examples=20)
@given(st.data())
def test_unsat_is_said_only_of_what_is_unsat(data):
    network = data.draw(networks().filter(lambda n: n.input_size <= 3 and n.output_size <= 3 and n.relu_count <= 12))
    box = data.draw(boxes(network.input_size))
    try:
        exact = least_maximum(network, box)
    except LimitError:
        reject()
    reply = ScipBackend("milp").decide(Question(network, box, "float64"), accepting(network), budget(2.0))
    if exact <= 0:
        assert reply.verdict != "unsat"
    if reply.verdict == "sat":
        assert exact <= 1e-9 * max(1.0, abs(float(exact)))


@pytest.mark.parametrize(("bound", "verdict"), [("0.5", "unsat"), ("1", "sat")])
@pytest.mark.parametrize("make", [crossing, cancelling])
def test_without_reduction_nothing_of_ours_comes_between(monkeypatch, make, bound, verdict):
    """Where SCIP is trusted: no splitting, no slopes, no branching, no shared proof; the original is asked."""

    def forbidden(*arguments, **options):
        raise AssertionError("a proof of ours was used")

    monkeypatch.setattr(disjuncts, "prove_directed", forbidden)
    for name in ("split_question", "output_bounds", "branch_question", "rederive"):
        monkeypatch.setattr(deciding, name, forbidden)
    for name in ("split_question", "output_bounds", "optimise_slopes", "branch_question"):
        monkeypatch.setattr(arithmetic, name, forbidden)
    asked = problem(make(1.0), [[([1], bound)]])
    query = query_of(asked.specification, "1.0")
    answer = eq.verify(
        query, asked.network, backend="scip:milp", timeout=20, reduction=False, trust=frozenset({"scip"})
    )
    assert answer.verdict == verdict
    if verdict == "unsat":
        assert (answer.backend, answer.relus_after) == ("scip:milp", asked.network.relu_count)
        assert (answer.evidence, answer.claimed) == (("claim of scip, trusted",), 1)


def test_what_is_known_of_the_original_does_not_replace_the_reduced_network():
    """The mode shows what the smaller network gains; here the original has no solution, the other has."""
    asked, original = crossing(-0.25), crossing(0.25)
    known = Known(original, {})
    posed = Question(asked, square(), "float64", known)
    assert ScipBackend("milp").decide(posed, accepting(asked), budget()).verdict == "sat"


def test_the_tree_of_a_claim_guides_the_proof():
    """|x0 + x1| + |x0 - x1| <= 2, so 2.2 minus it is positive; whoever re-derives that begins where SCIP branched."""
    network = chain(([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]], [0.0] * 4), ([[-1.0] * 4], [2.2]))
    asked = question(network)
    bounds = crown_bounds(network, asked.box.lower[None], asked.box.upper[None], outputs=True)
    answer, description, guide = ask_solver(asked, bounds, ScipSolver, 10.0)
    assert answer.verdict is Verdict.NEVER
    assert "SCIP" in description
    assert guide.relu[0] in (-1, 0)
    reply = rederive(asked, never, budget(), guide)
    assert reply.derived
