"""Branching for the rows of a condition: what is asked, in which order, and where it ends."""

import numpy as np
import pytest

from eqverify.domain import box_domain
from eqverify.problem import domain_problem
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import WITHOUT_SOLVER, prove_stability
from eqverify.stability.run import StageSpec
from eqverify.stability.stages import rows
from eqverify.stability.stages.survey import survey
from eqverify.testing.chains import chain_network

BEFORE = WITHOUT_SOLVER[:3]


def two_maxima(first, second):
    """u = 2 max(|x0|, |x1|) and v = 2 max(|x2|, |x3|), of which CROWN says 4; the row is 3 - first u - second v."""
    half = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    return chain_network(
        [
            (np.kron(np.eye(2), half), np.zeros(8)),
            (np.kron(np.eye(2), np.ones((1, 4))), np.zeros(2)),
            (np.array([[-first, -second]]), np.array([3.0])),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )


def run_plan(network, *stages, **options):
    """Facts of a plan that begins as that of `verify` does."""
    size = network.input_size
    problem = domain_problem(network, box_domain(-np.ones(size), np.ones(size)))
    chosen = StabilityOptions(**{"split_inputs": 0, "time_limit": 20.0, **options})
    return prove_stability(problem, chosen, plan=(*BEFORE, *(StageSpec(s.__name__, s) for s in stages)))


def test_only_ends_that_matter_are_wanted():
    found = []

    def look(run):
        found.append(survey(run, "affine1"))

    run_plan(two_maxima(1.0, 0.0), look)
    (aims,) = found
    assert aims.wanted[1].tolist() == [True, False]
    assert not aims.wanted[-1].any()
    assert aims.count == 1
    assert 0.2 <= aims.rest <= 0.5  # 3 - (2 + rest (4 - 2)) > 0, with the point that was reached close to 2


@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.7, 0.7)])
def test_rows_are_proved(weights):
    facts = run_plan(two_maxima(*weights), rows.branch_for_rows)
    assert facts.layers[-1].status.tolist() == [Status.ACTIVE]


def test_a_survey_that_takes_too_long_is_left_out(monkeypatch):
    monkeypatch.setattr("eqverify.stability.stages.survey._SECONDS", 0.0)
    found = []

    def look(run):
        found.append(survey(run, "affine1"))

    run_plan(two_maxima(1.0, 0.0), look)
    assert found == [None]


def test_few_ends_it_after_the_first_pass(monkeypatch):
    taken = []
    monkeypatch.setattr(rows, "_take", lambda run, step: taken.append(step.kind) or 0)

    def stage(run):
        rows.branch_for_rows(run, few=lambda bounds: True)

    run_plan(two_maxima(1.0, 0.0), stage)
    assert taken == ["ranges"]


def plan_of(monkeypatch, gains):
    """The steps that are taken, (source, factor) each, where they gain as planned and the row stays as it is."""
    taken = []

    def take(run, step):
        taken.append((step.source, step.factor))
        step.gain, step.seconds, step.missing = gains(step), 0.5 * step.factor, 1.0
        step.factor *= 4
        return 0

    monkeypatch.setattr(rows, "_take", take)

    def stage(run):
        rows.branch_for_rows(run, few=lambda bounds: len(taken) >= 10)

    run_plan(two_maxima(1.0, 0.0), stage)
    return taken


def test_the_step_that_gained_most_for_its_time_is_next(monkeypatch):
    taken = plan_of(monkeypatch, lambda step: 0.5 if step.source == "affine2" else 0.015)
    assert taken[:4] == [("affine1", 1), ("affine1", 4), ("affine2", 1), ("affine2", 4)]
    assert ("affine1", 16) in taken


def test_it_ends_where_nothing_gains(monkeypatch):
    """Found on mnist_fc 256x2, property 0 with 0.05: steps that take no time were taken again and again."""
    assert plan_of(monkeypatch, lambda step: 0.0) == [("affine1", 1), ("affine2", 1)]


def test_it_ends_where_rows_reach_zero_exactly(monkeypatch):
    """They are not positive, so that the proof is not over, but no row is open."""
    monkeypatch.setattr(rows, "_missing", lambda run: 0.0)
    assert plan_of(monkeypatch, lambda step: 0.5) == [("affine1", 1)]


def test_what_gained_nothing_is_tried_again_when_much_was_gained():
    step = rows._Step("z", "ranges", missing=1.0)
    assert not step.hopeful(1.0)
    assert step.hopeful(0.5)
    assert rows._Step("z", "ranges").hopeful(1.0)
