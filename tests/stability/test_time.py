"""Time that is left, and work that ends because it gains nothing: by a clock that the tests move."""

import pickle

import numpy as np
import pytest

from eqverify import budget as timing
from eqverify.budget import FIRST_HOPE, HOPE_SHARE, LONGEST, WORTH, Budget, Hope, checkpoint, limited
from eqverify.domain import box_domain
from eqverify.errors import UsageError
from eqverify.execution import SerialExecutor
from eqverify.problem import domain_problem
from eqverify.search.input_splitting import split_bounds
from eqverify.stability.facts import NOT_REACHED, FactTable
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.stability.run import StageSpec
from eqverify.testing.chains import chain_network


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved."""

    class Moved:
        now = 100.0

    moved = Moved()
    monkeypatch.setattr(timing, "_now", lambda: moved.now)
    return moved


def crossing():
    """One hidden layer whose two units are unstable on [-1, 1]^2, and one layer more."""
    network = chain_network([(np.eye(2), np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))])
    return domain_problem(network, box_domain(-np.ones(2), np.ones(2)))


def test_hope_ends_where_nothing_is_gained(clock):
    budget = Budget.of("auto")
    assert budget.left == FIRST_HOPE
    clock.now += FIRST_HOPE
    assert budget.exhausted()
    assert budget.total_left == LONGEST - FIRST_HOPE


def test_a_gain_buys_time_by_its_share_and_no_more_than_is_kept(clock):
    hope = Hope()
    clock.now += 40.0
    budget = Budget(LONGEST, hope)
    budget.gain(0.5 * WORTH)
    assert budget.left == pytest.approx(0.5)
    budget.gain(1.0)
    assert budget.left == pytest.approx(HOPE_SHARE * 40.0)


def test_parts_share_the_hope_and_stay_within_the_total(clock):
    budget = Budget.of("auto")
    parts = [budget.share(3), budget.part(0.5), budget.until(0.9)]
    clock.now += 2 * FIRST_HOPE
    assert all(part.exhausted() for part in parts)
    budget.renew()
    assert not any(part.exhausted() for part in parts)
    assert budget.share(3).seconds == pytest.approx(budget.total_left / 3)


def test_what_can_gain_nothing_yet_counts_for_the_total_only(clock):
    budget = Budget.of("auto")
    with budget.preparing():
        clock.now += 20.0
    assert budget.left == FIRST_HOPE
    assert budget.total_left == LONGEST - 20.0


def test_a_number_of_seconds_has_no_hope(clock):
    budget = Budget.of(7.0)
    clock.now += 6.0
    budget.gain(1.0)
    assert budget.left == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(budget)).left == pytest.approx(1.0)


def test_a_checkpoint_raises_before_a_step_that_takes_too_long(clock):
    checkpoint(1e30)  # nobody set a limit
    with limited(Budget(2.0)):
        checkpoint(timing.PRODUCTS)
        with pytest.raises(TimeoutError):
            checkpoint(3 * timing.PRODUCTS)
        clock.now += 2.0
        with pytest.raises(TimeoutError):
            checkpoint()
    checkpoint(1e30)


@pytest.mark.parametrize("limit", ["soon", 0.0, -1.0, float("nan")])
def test_what_is_no_limit_is_refused(limit):
    with pytest.raises(UsageError) as told:
        StabilityOptions(time_limit=limit)
    assert told.value.code == "usage/limit"


def stages(clock, gains, limit="auto"):
    """The seconds that stages took which step by 0.5 s and gain in some of their steps a tenth of what is open."""

    def work(run):
        for gain in gains:
            if run.budget.exhausted():
                return
            clock.now += 0.5
            run.budget.gain(0.1 if gain else 0.0)

    began = clock.now
    prove_stability(crossing(), StabilityOptions(time_limit=limit), plan=[StageSpec("steps", work)])
    return clock.now - began


def test_a_stage_ends_soon_after_its_last_gain(clock):
    assert stages(clock, [False] * 50) == pytest.approx(FIRST_HOPE)
    assert stages(clock, [True] * 5 + [False] * 50) == pytest.approx(5 * 0.5 + FIRST_HOPE)
    assert stages(clock, [False] * 50, limit=6.0) == pytest.approx(6.0)


def test_a_stage_that_comes_after_the_end_is_not_begun(clock):
    def late(run):
        clock.now += 5.0

    def never(run):
        raise AssertionError

    plan = [StageSpec("late", late), StageSpec("never", never)]
    facts = prove_stability(crossing(), StabilityOptions(time_limit=4.0), plan=plan)
    assert [stage.note for stage in facts.stages] == ["", NOT_REACHED]


def test_a_table_tells_which_share_of_the_open_units_was_decided():
    problem = crossing()
    (relu,) = problem.network.relus
    told = []
    table = FactTable(problem.network, 1, gained=told.append)
    table.witness(relu.source, np.array([True, False]), np.array([True, False]))
    table.witness(relu.source, np.array([True, False]), np.array([True, False]))
    assert told == [0.5]


def test_seconds_of_stages_that_proved_nothing_are_told():
    facts = prove_stability(crossing(), StabilityOptions("crown"))
    idle = [stage for stage in facts.stages if not stage.stable]
    assert facts.gained_nothing == sum(stage.seconds for stage in idle) > 0
    assert {stage.name for stage in idle} == {"crown", "signs", "falsify"} & {stage.name for stage in facts.stages}


def test_splitting_tells_what_it_proves_and_ends_with_its_hope(clock):
    network = chain_network(
        [
            (np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2)),
            (np.array([[1.0, 1.0]]), np.array([0.1])),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )
    box, told = (-np.ones((1, 2)), np.ones((1, 2))), []

    class Told(Budget):
        def gain(self, share):
            told.append(share)

    everything = {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}
    found = split_bounds(network, *box, undecided=everything, budget=Told(60.0))
    assert sum(map(abs, found.signs["affine1"])) == 1
    assert max(told) > 0
    hope = Hope()
    clock.now += FIRST_HOPE
    ended = split_bounds(network, *box, undecided=everything, budget=Budget(60.0, hope))
    assert not ended.complete


def test_questions_of_one_round_share_its_time(clock):
    from eqverify.stability.sign_questions import SignQuestions

    session = SignQuestions.__new__(SignQuestions)
    session.executor = SerialExecutor()
    share = Budget(12.0)
    waves = session._wave(3)
    ends = []
    for index in range(4):  # each uses all it gets
        own = share.until(session._wave(index) / waves)
        clock.now += own.left
        ends.append(share.seconds - share.left)
    assert ends == pytest.approx([3.0, 6.0, 9.0, 12.0])
