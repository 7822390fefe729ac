"""Stability against exact enumeration, and against solvers that lie."""

from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.domain import Box, Domain, Polytope
from eqverify.errors import ContradictionError, EqverifyError, UsageError
from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.scip import ScipSolver
from eqverify.network import evaluate_exact
from eqverify.problem import domain_problem
from eqverify.stability.facts import Evidence, Facts, FactTable, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, problems

QUICK = StabilityOptions(time_limit=5.0)
SOLVER = StabilityOptions(time_limit=5.0, split_inputs=0, branch_nodes=0)
"""Without input splitting, which decides these small problems before a solver is asked."""


def units(facts, *statuses):
    return {(layer.name, int(unit)) for layer in facts.layers for unit in np.flatnonzero(layer.mask(*statuses))}


@pytest.mark.parametrize(("engine", "split"), [("crown", 0), ("portfolio", 0), ("portfolio", 12)])
@given(data=st.data())
def test_no_wrong_answer_on_random_problems(engine, split, data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    facts = prove_stability(problem, StabilityOptions(engine, time_limit=5.0, split_inputs=split))
    try:
        exact = stable_sets_exact(problem.network, problem.domain, max_regions=500)
    except EqverifyError:
        reject()
    for layer in facts.layers:
        for unit, found in enumerate(exact.layers[layer.name]):
            status = layer.status[unit]
            if status == Status.INACTIVE:
                assert found.upper <= 0, (layer.name, unit)
            elif status == Status.ACTIVE:
                assert found.lower >= 0, (layer.name, unit)
            elif status == Status.UNSTABLE:
                assert found.lower < 0 < found.upper, (layer.name, unit)
            assert Fraction(float(np.clip(layer.lower[unit], -1e308, 1e308))) <= found.lower
            assert found.upper <= Fraction(float(np.clip(layer.upper[unit], -1e308, 1e308)))


@pytest.mark.parametrize("made", all_handmade(), ids=lambda made: made.name)
def test_hand_solved_problems(made):
    facts = prove_stability(domain_problem(made.network, made.domain), QUICK)
    assert units(facts, Status.INACTIVE) <= made.units("inactive")
    assert units(facts, Status.ACTIVE) <= made.units("active")
    assert units(facts, Status.UNSTABLE) <= made.units("unstable")


def test_scip_claims_what_crown_cannot_show_and_arithmetic_proves_it():
    problem = hard_problem()
    crown = prove_stability(problem, StabilityOptions("crown"))
    full = prove_stability(problem, SOLVER)
    assert crown.layers[1].status[0] == Status.UNDECIDED
    assert full.layers[1].status[0] == Status.ACTIVE
    assert full.layers[1].evidence[0] == Evidence.TREE
    assert full.evidence_counts()["solver"] == full.claimed == 0
    assert "SCIP" in full.solver


def test_splitting_proves_it_too_and_says_so():
    facts = prove_stability(hard_problem(), QUICK)
    assert facts.layers[1].status[0] == Status.ACTIVE
    assert facts.layers[1].evidence[0] == Evidence.TREE
    assert facts.evidence_counts() == {"derived": 0, "dual": 0, "tree": 1, "solver": 0}


def test_linear_input_constraints_are_used():
    # z = x0 + x1 - 1.5 is positive at a corner of the box, never where x0 + x1 <= 1.
    network = chain_network([(np.array([[1.0, 1.0]]), np.array([-1.5])), (np.array([[1.0]]), np.zeros(1))])
    box = Box(np.zeros(2), np.ones(2))
    cut = Polytope(box, np.array([[1.0, 1.0]]), np.array([1.0]))
    assert prove_stability(domain_problem(network, Domain((cut,))), QUICK).layers[0].status[0] == Status.INACTIVE
    assert (
        prove_stability(domain_problem(network, Domain((Polytope(box),))), QUICK).layers[0].status[0] == Status.UNSTABLE
    )


def test_opposite_signs_on_two_boxes_are_unstable():
    network = chain_network([(np.array([[1.0]]), np.zeros(1)), (np.array([[1.0]]), np.zeros(1))])
    parts = tuple(Polytope(Box(np.array([lo]), np.array([hi]))) for lo, hi in ((1.0, 2.0), (-2.0, -1.0)))
    facts = prove_stability(domain_problem(network, Domain(parts)), QUICK)
    assert facts.layers[0].status[0] == Status.UNSTABLE


@given(problems(networks=any_networks(), parts=2))
def test_witnesses_lie_in_the_domain_and_show_both_signs_exactly(problem):
    facts = prove_stability(problem, StabilityOptions("crown"))
    if not len(facts.witnesses):
        reject()
    assert problem.domain.contains(facts.witnesses).all()
    runs = [evaluate_exact(problem.network, [Fraction(v) for v in row]) for row in facts.witnesses.tolist()]
    for layer in facts.layers:
        for unit in np.flatnonzero(layer.mask(Status.UNSTABLE)):
            values = [run[layer.source][unit] for run in runs]
            assert min(values) < 0 < max(values)


def test_equal_seeds_give_equal_facts():
    made = all_handmade()[1]
    problem = domain_problem(made.network, made.domain)
    one, two = prove_stability(problem, QUICK), prove_stability(problem, QUICK)
    assert all((a.status == b.status).all() for a, b in zip(one.layers, two.layers, strict=True))
    assert np.array_equal(one.witnesses, two.witnesses)


class FakeSolver:
    """A solver that gives one answer to every question."""

    description = "a liar"

    def __init__(self, answer):
        self.answer = answer
        self.asked = 0

    def add_units(self, block):
        pass

    def exceeds(self, row, threshold, time_limit):
        self.asked += 1
        return self.answer


def hard_problem():
    """relu(x) + relu(y) - relu(x + y) + 0.1 is at least 0.1, but CROWN's relaxation of it reaches below 0."""
    network = chain_network(
        [
            (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3)),
            (np.array([[1.0, 1.0, -1.0]]), np.array([0.1])),
            (np.array([[1.0]]), np.zeros(1)),
        ]
    )
    return domain_problem(network, Domain((Polytope(Box(-np.ones(2), np.ones(2))),)))


@pytest.mark.parametrize(
    "answer",
    [
        Answer(Verdict.UNKNOWN, reason="timelimit"),
        Answer(Verdict.CANDIDATE, point=np.full(2, np.nan)),
        Answer(Verdict.CANDIDATE, point=np.full(2, np.inf)),
        Answer(Verdict.CANDIDATE, point=np.full(2, 77.0)),
        Answer(Verdict.CANDIDATE, point=np.zeros(3)),
        Answer(Verdict.CANDIDATE, point=None),
    ],
    ids=["time-out", "nan", "inf", "outside", "wrong shape", "no point"],
)
def test_answers_that_prove_nothing_leave_the_unit_undecided(answer):
    solver = FakeSolver(answer)
    facts = prove_stability(hard_problem(), SOLVER, solver_factory=lambda polytope: solver)
    assert solver.asked
    assert facts.layers[1].status[0] == Status.UNDECIDED


def test_a_proof_against_a_witness_is_an_error():
    made = hard_problem()
    table = FactTable(made.network, 1, trusts=True)
    name = made.network.relus[0].source
    table.witness(name, np.array([True, False, False]), np.zeros(3, dtype=bool))
    with pytest.raises(ContradictionError, match="facts/contradiction"):
        table.claim(name, 0, 0, above=True)


def test_bounds_that_rest_on_a_trusted_solver_are_not_called_derived():
    """A third layer decided by arithmetic that started from a solver's sign counts as solver evidence."""
    network = chain_network(
        [
            (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3)),
            (np.array([[-1.0, -1.0, 1.0]]), np.array([-0.1])),
            (np.array([[1.0]]), np.array([-0.01])),
            (np.array([[1.0]]), np.zeros(1)),
        ]
    )
    problem = domain_problem(network, Domain((Polytope(Box(-np.ones(2), np.ones(2))),)))
    with patch("eqverify.stability.stages.branching.prove_signs", return_value=[]):
        facts = prove_stability(problem, replace(SOLVER, trust=frozenset({"scip"})))
    assert [int(layer.status[0]) for layer in facts.layers[1:]] == [Status.INACTIVE, Status.INACTIVE]
    assert [int(layer.evidence[0]) for layer in facts.layers[1:]] == [Evidence.SOLVER, Evidence.SOLVER]
    proved = prove_stability(problem, SOLVER)
    assert [int(layer.status[0]) for layer in proved.layers[1:]] == [Status.INACTIVE, Status.INACTIVE]
    assert [int(layer.evidence[0]) for layer in proved.layers[1:]] == [Evidence.TREE, Evidence.TREE]


def test_a_unit_stable_on_one_part_only_does_not_spoil_that_parts_model():
    """With x in [-2, -1] the kept unit relu(x) is inactive; a model with h <= u < 0 would be infeasible."""
    network = chain_network(
        [
            (np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), np.zeros(3)),
            (np.array([[-1.0, -1.0, -1.0]]), np.array([0.5])),
            (np.array([[1.0]]), np.zeros(1)),
        ]
    )
    lower, upper = np.array([[-2.0, -1.0], [1.0, -1.0]]), np.array([[-1.0, 1.0], [2.0, 1.0]])
    parts = tuple(Polytope(Box(lo, hi)) for lo, hi in zip(lower, upper, strict=True))
    solvers = []

    def factory(polytope):
        solvers.append(ScipSolver(polytope))
        return solvers[-1]

    facts = prove_stability(domain_problem(network, Domain(parts)), SOLVER, solver_factory=factory)
    exact = stable_sets_exact(network, Domain(parts))
    assert exact.layers[facts.layers[1].name][0].stability == "unstable"
    assert facts.layers[1].status[0] == Status.UNSTABLE


def test_facts_know_their_problem():
    first, second = all_handmade()[0], all_handmade()[1]
    facts: Facts = prove_stability(domain_problem(first.network, first.domain), QUICK)
    with pytest.raises(UsageError, match="facts/other-problem"):
        facts.require(domain_problem(second.network, second.domain))


@pytest.mark.parametrize(
    "wrong", [{"time_limit": 0}, {"time_limit": float("nan")}, {"unit_time_limit": -1}, {"engine": "magic"}]
)
def test_bad_options_are_refused(wrong):
    with pytest.raises(UsageError, match="usage/"):
        StabilityOptions(**wrong)


def test_only_the_units_asked_for_are_worked_on():
    problem = hard_problem()
    solver = FakeSolver(Answer(Verdict.NEVER))
    sources = [node.source for node in problem.network.relus]
    facts = prove_stability(
        problem, SOLVER, solver_factory=lambda polytope: solver, asked={sources[0]: np.ones(3, bool)}
    )
    assert not solver.asked
    assert facts.layers[1].status[0] == Status.UNDECIDED
    table = FactTable(problem.network, 1, asked={sources[1]: np.ones(1, bool)})
    assert (table.undecided(), table.open(sources[0]).any(), table.open(sources[1]).all()) == (1, False, True)
