"""The published methods agree with the portfolio and with enumeration, and do not believe odd answers."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.budget import Budget
from eqverify.domain import Box, Domain, Polytope
from eqverify.errors import EqverifyError
from eqverify.milp.encoding import Answer, JointAnswer, Verdict
from eqverify.milp.isa import IsaSolver
from eqverify.milp.leo import LeoSolver
from eqverify.problem import domain_problem
from eqverify.relaxation.blocks import UnitBlock
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, problems

BASELINES = ["leo", "isa"]


def statuses(facts):
    return np.concatenate([np.empty(0, dtype=int), *(layer.status for layer in facts.layers)])


def hard_problem():
    """relu(x) + relu(y) - relu(x + y) + 0.1 is at least 0.1; intervals say otherwise."""
    layers = [
        (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3)),
        (np.array([[1.0, 1.0, -1.0]]), np.array([0.1])),
        (np.array([[1.0]]), np.zeros(1)),
    ]
    return domain_problem(chain_network(layers), Domain((Polytope(Box(-np.ones(2), np.ones(2))),)))


@pytest.mark.parametrize("engine", BASELINES)
@pytest.mark.parametrize("made", all_handmade(), ids=lambda made: made.name)
def test_hand_solved_problems(made, engine):
    options = StabilityOptions(engine, time_limit=20.0, trust="scip")
    facts = prove_stability(domain_problem(made.network, made.domain), options)
    for status in (Status.INACTIVE, Status.ACTIVE, Status.UNSTABLE):
        found = {(layer.name, int(unit)) for layer in facts.layers for unit in np.flatnonzero(layer.mask(status))}
        assert found <= made.units(status.name.lower())
    unstable = made.units("unstable")
    assert facts.count(Status.UNSTABLE) == len(unstable)


@pytest.mark.parametrize("engine", BASELINES)
def test_the_baselines_claim_what_intervals_cannot_prove(engine):
    careful = prove_stability(hard_problem(), StabilityOptions(engine, time_limit=20.0))
    assert statuses(careful).tolist() == [Status.UNSTABLE] * 3 + [Status.UNDECIDED]
    assert (careful.claimed, careful.evidence_counts()["solver"], sorted(careful.trust)) == (1, 0, [])
    facts = prove_stability(hard_problem(), StabilityOptions(engine, time_limit=20.0, trust="scip"))
    assert (facts.claimed, sorted(facts.trust)) == (0, ["scip"])
    assert statuses(facts).tolist() == [Status.UNSTABLE] * 3 + [Status.ACTIVE]
    assert facts.evidence_counts()["solver"] == 1
    assert "SCIP" in facts.solver


@pytest.mark.slow
@settings(max_examples=25)
@given(st.data())
def test_all_engines_agree_and_none_is_wrong(data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    found = {
        engine: prove_stability(problem, StabilityOptions(engine, time_limit=5.0, trust="scip"))
        for engine in ("portfolio", *BASELINES)
    }
    try:
        exact = stable_sets_exact(problem.network, problem.domain, max_regions=300)
    except EqverifyError:
        exact = None
    # A unit that is always 0 is inactive and active: engines may find one or the other.
    stable = {Status.INACTIVE, Status.ACTIVE}
    for facts in found.values():
        for one, two in zip(statuses(found["portfolio"]), statuses(facts), strict=True):
            assert one == two or Status.UNDECIDED in (one, two) or {one, two} == stable
        for layer in facts.layers if exact is not None else ():
            for unit, truth in enumerate(exact.layers[layer.name]):
                status = layer.status[unit]
                assert status != Status.INACTIVE or truth.upper <= 0
                assert status != Status.ACTIVE or truth.lower >= 0
                assert status != Status.UNSTABLE or truth.lower < 0 < truth.upper


@pytest.mark.parametrize("seed", range(4))
def test_equal_stable_sets_on_random_networks_where_all_finish(seed):
    random = np.random.default_rng(seed)
    sizes = [3, 8, 8, 2]
    layers = [(random.normal(size=(m, n)), random.normal(size=m)) for n, m in pairwise(sizes)]
    problem = domain_problem(chain_network(layers), Domain((Polytope(Box(-0.4 * np.ones(3), 0.4 * np.ones(3))),)))
    options = [StabilityOptions(engine, time_limit=60.0, trust="scip") for engine in ("portfolio", *BASELINES)]
    found = [statuses(prove_stability(problem, chosen)) for chosen in options]
    assert not any((status == Status.UNDECIDED).any() for status in found)
    assert (found[0] == found[1]).all()
    assert (found[0] == found[2]).all()
    assert (found[0] != Status.UNSTABLE).any()


@pytest.mark.parametrize("engine", BASELINES)
def test_no_time_means_undecided(engine):
    """The published code of ISA calls what is left after a time-out stable."""
    facts = prove_stability(hard_problem(), StabilityOptions(engine, time_limit=1e-9))
    assert facts.count(Status.ACTIVE) == facts.count(Status.INACTIVE) == 0


class Renamed:
    """A SCIP model with another word for its status, or another number for its bound."""

    def __init__(self, model, **answers):
        self.model, self.answers = model, answers

    def __getattr__(self, name):
        return (lambda: self.answers[name]) if name in self.answers else getattr(self.model, name)


ODD = ["timelimit", "nodelimit", "userinterrupt", "inforunbd", "unbounded", "infeasible", "memlimit", "unknown"]


@pytest.mark.parametrize("status", ODD)
def test_odd_statuses_prove_nothing(status):
    polytope = Polytope(Box(-np.ones(2), np.ones(2)))
    leo = LeoSolver(polytope)
    leo._model = Renamed(leo._model, getStatus=status, getDualbound=1.0, getNSols=0)
    assert leo.exceeds(np.array([1.0, 1.0, 0.0]), 5.0, 10.0).verdict is Verdict.UNKNOWN
    block = UnitBlock(np.array([[1.0, 1.0, 0.0]]), np.zeros(1), -2.0 * np.ones(1), 2.0 * np.ones(1))
    isa = IsaSolver(polytope)
    isa.add_units(block)
    isa._model = Renamed(isa._model, getStatus=status, getDualbound=1.0, getNSols=0)
    nothing = np.zeros(1, dtype=bool)
    answer = isa.settle(lambda point, claimed: (nothing, nothing), (nothing, nothing), Budget(10.0))
    assert answer.reason == status
    assert not answer.never_above.any()
    assert not answer.never_below.any()


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), 1.0, 1e20])
def test_optimal_with_a_bound_that_excludes_nothing(bound):
    leo = LeoSolver(Polytope(Box(-np.ones(2), np.ones(2))))
    leo._model = Renamed(leo._model, getStatus="optimal", getDualbound=bound, getNSols=0)
    assert leo.exceeds(np.array([1.0, 1.0, 0.0]), 0.5, 10.0).verdict is Verdict.UNKNOWN


def test_a_claim_that_does_not_replay_is_neither_witnessed_nor_excluded():
    polytope = Polytope(Box(-np.ones(2), np.ones(2)))
    block = UnitBlock(np.array([[1.0, 1.0, 0.0]]), np.zeros(1), -2.0 * np.ones(1), 2.0 * np.ones(1))
    solver = IsaSolver(polytope)
    solver.add_units(block)
    nothing = np.zeros(1, dtype=bool)
    answer = solver.settle(lambda point, claimed: (nothing, nothing), (nothing, nothing), Budget(10.0))
    assert answer.reason == ""
    assert not answer.never_above.any()
    assert not answer.never_below.any()


class Joint:
    """A joint model that gives one answer."""

    description = "a liar"

    def __init__(self, answer, point):
        self.answer, self.point = answer, point

    def add_units(self, block):
        pass

    def settle(self, replay, known, budget):
        replay(self.point, (np.ones(known[0].size, dtype=bool), np.ones(known[0].size, dtype=bool)))
        size = known[0].size
        return JointAnswer(np.zeros(size, dtype=bool), np.zeros(size, dtype=bool), self.answer)


@pytest.mark.parametrize("point", [np.full(2, np.nan), np.full(2, np.inf), np.zeros(3), np.zeros((1, 2))])
def test_points_that_are_none_decide_nothing(point):
    facts = prove_stability(
        hard_problem(), StabilityOptions("isa"), joint_factory=lambda polytope: Joint("timelimit", point)
    )
    assert facts.layers[1].status[0] == Status.UNDECIDED
    assert facts.stages[-1].note == "timelimit"


def test_leo_asks_both_ways_whatever_is_witnessed():
    asked = []

    class Asked:
        description = "counts"

        def __init__(self, polytope):
            pass

        def add_units(self, block):
            pass

        def exceeds(self, row, threshold, time_limit):
            asked.append(row)
            return Answer(Verdict.CANDIDATE, point=np.array([0.5, 0.5]))

    prove_stability(hard_problem(), StabilityOptions("leo"), solver_factory=Asked)
    assert len(asked) == 8
