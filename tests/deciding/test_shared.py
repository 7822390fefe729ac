"""One proof for all disjuncts: against exact answers, and what is handed on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.bounds import Interval
from eqverify.budget import Budget
from eqverify.deciding import context
from eqverify.deciding import run as deciding
from eqverify.deciding.question import Known, Question, Reply
from eqverify.deciding.scip_backend import ScipBackend
from eqverify.domain import box_domain
from eqverify.errors import LimitError
from eqverify.export.vnnlib import query_of
from eqverify.network import evaluate
from eqverify.progress import silent
from eqverify.stability import disjuncts
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.stability.facts import Evidence
from eqverify.stability.joint_disjuncts import SharedProof, prove_rows
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import boxes, networks

from .deciding_helpers import FixedBackend, absolute, cancelling, chain, never, problem, square


def shared(asked, seconds=5.0, workers=1):
    """The proof of the one case of a problem."""
    return prove_rows(asked, seconds, seed=0, workers=workers, progress=silent)


def test_disjuncts_with_a_positive_row_are_closed_and_no_others():
    """y = |x0| + |x1| + 1 is at least 1: y <= 0.5 never holds, y <= 1 does, and both of y <= 2 and y <= 0.5 do not."""
    found = shared(problem(absolute(1.0), [[([1], "0.5")], [([1], "1")], [([1], "2"), ([1], "0.5")]]))
    assert found.closed.tolist() == [True, False, True]


@pytest.mark.slow
@settings(max_examples=25)
@given(st.data())
def test_closed_disjuncts_and_facts_are_true(data):
    network = data.draw(networks().filter(lambda n: n.input_size <= 3 and n.output_size <= 3 and n.relu_count <= 12))
    box = data.draw(boxes(network.input_size))
    bounds = data.draw(st.lists(st.fractions(-3, 3), min_size=1, max_size=3))
    size = network.output_size
    asked = problem(network, [[([1] + [0] * (size - 1), bound)] for bound in bounds], box)
    try:
        exact = stable_sets_exact(network, box_domain(box.lower, box.upper))
    except LimitError:
        reject()
    found = shared(asked, 1.0)
    found.facts.require(asked)
    for closed, bound in zip(found.closed, bounds, strict=True):
        assert not (closed and exact.outputs[0].lower <= bound)
    for layer in found.facts.layers:
        ranges = exact.layers[layer.name]
        assert all(
            low <= r.lower and r.upper <= high for low, high, r in zip(layer.lower, layer.upper, ranges, strict=True)
        )


@pytest.mark.slow
def test_workers_share_the_branching():
    """The sign of a sum of cancelling units, which takes branching: by two processes as by one."""
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "1.5")]])
    assert shared(asked, 60.0, workers=2).closed.tolist() == [True, False]


def test_rows_that_are_easy_come_before_anything_for_units():
    """Branching on the row as it stands is enough here; what optimises slopes of units is not begun."""
    found = shared(problem(cancelling(1.0), [[([1], "0.5")]]), 60.0)
    names = [stage.name for stage in found.facts.stages]
    assert found.closed.tolist() == [True]
    assert names[-1] == "rows"
    assert "alpha" not in names


def test_without_workers_the_proof_goes_on_alone(monkeypatch):
    def dies(*arguments, workers, **options):
        if workers > 1:
            raise LimitError("execution/worker-died", "a worker process ended without an answer")
        return prove_rows(*arguments, workers=workers, **options)

    monkeypatch.setattr(disjuncts, "prove_rows", dies)
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    query = query_of(asked.specification, "1.0")
    answer = eq.verify(query, asked.network, backend=FixedBackend("unknown"), timeout=20, workers=2)
    assert (answer.verdict, answer.evidence, answer.backend) == ("unsat", ("bounds",), "reduction")


def test_a_proof_ends_when_it_is_enough():
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    facts = prove_stability(asked, StabilityOptions(time_limit=60.0), enough=lambda _: True)
    assert [stage.name for stage in facts.stages] == ["crown", "falsify"]


def test_points_of_the_shared_proof_are_replayed(monkeypatch):
    """Without searches, an input that a stage met is the counterexample."""
    monkeypatch.setattr(deciding.VerifyRun, "_attack", lambda *_: False)
    monkeypatch.setattr(CounterexampleSearch, "search", lambda *_: None)
    asked = problem(cancelling(1.0), [[([1], "5")]])
    answer = eq.verify(query_of(asked.specification, "1.0"), asked.network, backend=FixedBackend("unknown"), timeout=20)
    assert (answer.verdict, answer.backend) == ("sat", "reduction")


def test_each_disjunct_is_searched_before_anything_expensive(monkeypatch):
    """The second of two disjuncts holds; no time for proofs."""

    def expensive(*_, **__):
        raise AssertionError

    monkeypatch.setattr(disjuncts, "prove_rows", expensive)
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "5")]])
    assert [one.status for one in eq.reduce_for_property(asked).disjuncts] == ["skipped", "sat"]


def test_a_question_about_proved_ranges_is_decided_by_them():
    """relu(s) - relu(s) + 1 - 0.5, where s is known to be at least 0: bounds suffice, on whatever was reduced."""
    asked = cancelling(0.5)
    box = square(20)
    ranges = {asked.relus[0].source: Interval(np.zeros((1, 2)), np.full((1, 2), 2.0))}
    hopeless = Question(chain((np.zeros((1, 20)), [-1.0])), box, "float32", Known(asked, ranges))
    reply = ScipBackend().decide(hopeless, never, Budget(5.0))
    assert (reply.verdict, reply.derived) == ("unsat", True)


def test_parts_hand_on_what_was_proved(monkeypatch):
    """A question about a reduced network knows proved ranges, and the rows of the original without eps."""

    def reduced(self, chosen):
        result = eq.reduce(self.problem, engine="crown")
        return [
            context.OpenDisjunct(side, number, context.reduced_question(side, number, result), False)
            for side, number in chosen
        ]

    monkeypatch.setattr(deciding.VerifyRun, "_reduced", reduced)
    monkeypatch.setattr(deciding.VerifyRun, "_split", lambda *_: False)
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    backend = FixedBackend("unsat")
    eq.verify(query_of(asked.specification, "1.0"), asked.network, backend=backend, timeout=5)
    (question,) = backend.asked
    zero = np.zeros((1, 20))
    assert evaluate(question.known.network, zero) == pytest.approx(evaluate(asked.network, zero) - 0.5)
    assert question.known.bounds.keys() == {relu.source for relu in asked.network.relus}


def test_branching_with_proved_ranges_comes_before_a_backend_that_takes_none(monkeypatch):
    """No proof but CROWN's; the backend would never answer, and is not asked."""

    def bounds_only(asked, *_, **__):
        return SharedProof(np.zeros(1, dtype=bool), eq.prove_stability(asked, engine="crown"), Evidence.NONE)

    monkeypatch.setattr(disjuncts, "prove_rows", bounds_only)
    monkeypatch.setattr(disjuncts, "FIRST_LOOK", ())
    monkeypatch.setattr(disjuncts, "REGION", ())
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    backend = FixedBackend("timed-out")
    answer = eq.verify(query_of(asked.specification, "1.0"), asked.network, backend=backend, timeout=20)
    assert (answer.verdict, answer.evidence, backend.asked) == ("unsat", ("bounds",), [])


class ManyAtOnce(FixedBackend):
    """Takes several disjuncts at once, and answers them so."""

    def __init__(self, together):
        super().__init__("unsat")
        self.together, self.groups = together, []

    def decide_any(self, question, replay, budget):
        self.groups.append(question.members)
        return Reply(self.together, self.name, "a lie" if self.together == "unsat" else "")


@pytest.mark.parametrize(
    ("timeout", "said", "groups", "single"),
    [(30, "unsat", 1, 0), (30, "timed-out", 1, 2), (30, "unknown", 1, 2), (300, "unsat", 0, 2)],
)
def test_disjuncts_are_asked_about_together_where_starts_would_take_the_time(
    monkeypatch, timeout, said, groups, single
):
    """What is not decided together is asked singly; a claim about all together is re-derived for each."""

    def undecided(self, chosen):
        for side, _ in chosen:
            side.facts = eq.prove_stability(self.problem, engine="crown")
        return [self._original(side, number) for side, number in chosen]

    monkeypatch.setattr(deciding.VerifyRun, "_parts", undecided)
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    backend = ManyAtOnce(said)
    answer = eq.verify(query_of(asked.specification, "1.0"), asked.network, backend=backend, timeout=timeout)
    assert (answer.verdict, answer.evidence, answer.claimed) == ("unsat", ("bounds",), 0)
    assert (len(backend.groups), len(backend.asked)) == (groups, single)
    assert all(np.array_equal(members, np.eye(2, dtype=bool)) for members in backend.groups)
