"""A candidate counts only if it holds exactly, and in onnxruntime within the tolerance."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import eqverify as eq
from eqverify.attack.replay import TOLERANCE, Replay, shown_by
from eqverify.deciding import context
from eqverify.deciding import run as deciding
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.network import evaluate
from eqverify.testing.chains import chain_network

from .deciding_helpers import FixedBackend, absolute, cancelling, chain, problem


@pytest.fixture(autouse=True)
def nothing_is_split(monkeypatch):
    """Small networks are proved by splitting before a backend is asked, which is what these tests are about."""
    monkeypatch.setattr(deciding.VerifyRun, "_split", lambda *_: False)


def replayer(network, rows, box, run=None):
    check = shown_by(run or (lambda points: evaluate(network, points)), network, (rows,))
    return Replay(network, Case(Polytope(box), (rows,)), check)


IDENTITY = chain(([[1.0]], [0.0]), element="float64")
UNIT = Box(np.zeros(1), np.ones(1))


def at_most(bound, strict=False):
    return (HalfSpace({}, {0: Fraction(1)}, Fraction(bound), strict),)


def test_points_are_moved_into_the_box_first():
    found = replayer(IDENTITY, at_most(-1), UNIT)
    assert not found(np.array([[-5.0]]))
    found = replayer(IDENTITY, at_most(0), UNIT)
    assert found(np.array([[-5.0]]))
    assert found.witness.x[0] == 0.0


def test_a_strict_constraint_fails_on_its_boundary():
    assert replayer(IDENTITY, at_most(0), UNIT)(np.array([[0.0]]))
    assert not replayer(IDENTITY, at_most(0, strict=True), UNIT)(np.array([[0.0]]))


def test_what_is_missed_by_less_than_float64_tells_is_missed():
    third = (HalfSpace({}, {0: Fraction(3)}, Fraction(1)),)
    assert replayer(IDENTITY, third, UNIT)(np.array([[0.3333333333333333]]))
    assert not replayer(IDENTITY, third, UNIT)(np.array([[0.33333333333333337]]))


@pytest.mark.parametrize(
    ("shown", "counts"), [(0.5 + float(TOLERANCE) / 2, True), (0.5 + 2 * float(TOLERANCE), False), (np.nan, False)]
)
def test_onnxruntime_must_agree_within_the_tolerance(shown, counts):
    found = replayer(IDENTITY, at_most("0.5"), UNIT, lambda points: np.full((len(points), 1), shown))
    assert found(np.array([[0.5]])) is counts


def test_inputs_of_float32_networks_are_float32_numbers_inside_the_box():
    network = chain(([[1.0]], [0.0]))
    box = Box(np.array([0.1]), np.array([0.2]))
    found = replayer(network, at_most(1), box)
    assert found(np.array([[0.1]]))
    assert np.float32(found.witness.x[0]) == found.witness.x[0]
    assert 0.1 <= found.witness.x[0] <= 0.2


def test_a_box_without_float32_numbers_keeps_the_point():
    network = chain(([[1.0]], [0.0]))
    box = Box(np.array([0.1]), np.array([0.1]))
    found = replayer(network, at_most(1), box)
    assert found(np.array([[0.1]]))
    assert found.witness.x[0] == 0.1


def part_of(side, number, reduction):
    return context.OpenDisjunct(side, number, context.reduced_question(side, number, reduction), False)


@pytest.fixture
def plainly(monkeypatch):
    """Reduce without regard to the property: a directed reduction would decide these problems itself."""

    def reduced(self, chosen):
        result = eq.reduce(self.problem, engine="crown")
        return [part_of(side, number, result) for side, number in chosen]

    monkeypatch.setattr(deciding.VerifyRun, "_reduced", reduced)


def test_backends_that_claim_sat_without_a_witness_are_not_believed(plainly):
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    answer = eq.verify(query_of(asked), asked.network, backend=FixedBackend("sat", [[0.0] * 20]), timeout=5)
    assert answer.verdict == "unknown"
    assert "does not hold" in answer.reason


def test_a_candidate_that_fails_leads_to_the_original_network(plainly):
    """First the reduced network, then, as that cannot be trusted for it, the original."""
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    backend = FixedBackend("sat")
    eq.verify(query_of(asked), asked.network, backend=backend, timeout=5)
    assert len(backend.asked) == 2
    assert backend.asked[-1].network.relu_count == asked.network.relu_count


def test_each_disjunct_falls_back_to_itself(plainly):
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    backend = FixedBackend("sat")
    eq.verify(query_of(asked), asked.network, backend=backend, timeout=5)
    zero = np.zeros((1, 20))
    values = [evaluate(question.network, zero)[0, 0] for question in backend.asked]
    assert values == pytest.approx([0.5, 0.75, 0.5, 0.75], abs=1e-3)


def test_a_backend_sees_the_original_without_reduction():
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    backend = FixedBackend("unsat")
    answer = eq.verify(query_of(asked), asked.network, backend=backend, timeout=5, reduction=False)
    assert (answer.verdict, answer.evidence) == ("unsat", ("bounds",))
    assert len(backend.asked) == 1


def query_of(asked):
    from eqverify.export.vnnlib import query_of as make

    return make(asked.specification, "1.0")


def test_what_bounds_settle_is_no_question(plainly):
    asked = problem(absolute(1.0), [[([1], "0.5")], [([1], "0.25")]])
    backend = FixedBackend("sat")
    answer = eq.verify(query_of(asked), asked.network, backend=backend, timeout=5)
    assert (answer.verdict, answer.evidence, backend.asked) == ("unsat", ("bounds",), [])
    mixed = problem(cancelling(1.0), [[([1], "-5")], [([1], "0.5")]])
    trust = frozenset({"fixed"})
    answer = eq.verify(query_of(mixed), mixed.network, backend=FixedBackend("unsat"), timeout=5, trust=trust)
    assert set(answer.evidence) == {"bounds", "claim of fixed, trusted"}


def test_questions_about_a_reduced_network_are_relaxed_by_its_eps():
    """The original gives 1.0, the reduced network 1.25 with eps 0.25: what holds at 1.0 must not be excluded."""
    case = problem(cancelling(1.0), [[([1], "1.05")]]).cases[0]
    question = context.question_of(cancelling(1.25), case, 0, [Fraction(1, 4)])
    assert evaluate(question.network, np.zeros((1, 20)))[0, 0] <= 0
    unrelaxed = context.question_of(cancelling(1.25), case, 0, [Fraction(0)])
    assert evaluate(unrelaxed.network, np.zeros((1, 20)))[0, 0] > 0


def test_a_directed_reduction_decides_what_it_can():
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    backend = FixedBackend("unknown")
    answer = eq.verify(query_of(asked), asked.network, backend=backend, timeout=20)
    assert answer.verdict == "unsat"
    assert backend.asked == []


def test_what_rests_on_a_solver_says_so(monkeypatch):
    """A backend's arithmetic about a network whose reduction rests on a solver is no arithmetic alone."""

    def reduced(self, chosen):
        result = eq.reduce(self.problem, engine="crown")
        parts = [part_of(side, number, result) for side, number in chosen]
        for part in parts:
            part.basis = "claim of scip, trusted"
        return parts

    monkeypatch.setattr(deciding.VerifyRun, "_reduced", reduced)
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    answer = eq.verify(query_of(asked), asked.network, backend=FixedBackend("unsat"), timeout=5)
    assert set(answer.evidence) == {"bounds", "claim of scip, trusted"}


def test_outputs_of_two_networks_beyond_float64_are_told_exactly(tmp_path):
    """y = 1e400 x and w = 0: the input of `sat` has outputs that no float holds."""
    steep = chain_network([(np.full((1, 1), 1e200), np.zeros(1)), (np.full((1, 1), 1e200), np.zeros(1))])
    flat = chain_network([(np.ones((1, 1)), np.zeros(1)), (np.zeros((1, 1)), np.zeros(1))])
    query = tmp_path / "pair.vnnlib"
    query.write_text(
        "(vnnlib-version <2.0>)\n"
        "(declare-network f (declare-input X float64 [1]) (declare-output Y float64 [1]))\n"
        "(declare-network g (declare-input Z float64 [1]) (declare-output W float64 [1]))\n"
        "(assert (>= X[0] 0.5)) (assert (<= X[0] 1.0)) (assert (== X[0] Z[0]))\n"
        "(assert (> (- Y[0] W[0]) 1.0e350))\n"
    )
    answer = eq.verify(query, {"f": steep, "g": flat}, timeout=20)
    assert answer.verdict == "sat"
    assert answer.witness.outputs[0] > Fraction(10) ** 350
