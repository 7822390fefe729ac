"""What a solver says is a claim: a liar changes no answer, and what is true is proved."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.domain import Assumption, Box, Domain, Polytope, assumed_inputs, box_domain
from eqverify.errors import EqverifyError
from eqverify.milp.encoding import Answer, JointAnswer, Verdict
from eqverify.network import Affine
from eqverify.problem import domain_problem
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import Guide, SignQuery
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, problems


class Infeasible:
    """A solver that calls everything infeasible, and every sign excluded."""

    description = "a liar"

    def __init__(self, *parts):
        self.units = 0

    def add_units(self, block):
        self.units = block.lower.size

    def add_constraints(self, rows, bound):
        pass

    def exceeds(self, row, threshold, time_limit):
        return Answer(Verdict.NEVER)

    def settle(self, replay, known, budget):
        return JointAnswer(np.ones(self.units, dtype=bool), np.ones(self.units, dtype=bool))


def lied_to(problem, engine, **options):
    chosen = StabilityOptions(engine, time_limit=5.0, split_inputs=0, **options)
    return prove_stability(problem, chosen, solver_factory=Infeasible, joint_factory=Infeasible)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["portfolio", "leo", "isa"])
@settings(max_examples=25)
@given(data=st.data())
def test_a_liar_changes_no_answer(engine, data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    facts = lied_to(problem, engine, branch_nodes=data.draw(st.sampled_from((0, 20))))
    assert facts.evidence_counts()["solver"] == 0
    try:
        exact = stable_sets_exact(problem.network, problem.domain, max_regions=300)
    except EqverifyError:
        reject()
    for layer in facts.layers:
        for unit, truth in enumerate(exact.layers[layer.name]):
            assert layer.status[unit] != Status.INACTIVE or truth.upper <= 0
            assert layer.status[unit] != Status.ACTIVE or truth.lower >= 0
            assert Fraction(float(np.clip(layer.lower[unit], -1e308, 1e308))) <= truth.lower
            assert truth.upper <= Fraction(float(np.clip(layer.upper[unit], -1e308, 1e308)))


def tent():
    """z = max(|x0|, |x1|) - 0.999 is positive in the corners only, and 0.001 at most."""
    first = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    layers = [(first, np.zeros(4)), (np.full((1, 4), 0.5), np.array([-0.999])), (np.ones((1, 1)), np.zeros(1))]
    return domain_problem(chain_network(layers), box_domain(-np.ones(2), np.ones(2)))


@pytest.mark.parametrize("engine", ["portfolio", "leo", "isa"])
def test_a_lie_is_counted_and_used_only_where_the_solver_is_trusted(engine, monkeypatch):
    """Where no witness is found, the lie is all there is."""
    monkeypatch.setattr("eqverify.stability.facts.FactTable.witness", lambda self, *given: None)
    careful = lied_to(tent(), engine, branch_nodes=0)
    (unit,) = careful.layers[1].status
    assert unit == Status.UNDECIDED
    assert careful.layers[1].claims == 1
    fooled = lied_to(tent(), engine, branch_nodes=0, trust="scip")
    assert fooled.layers[1].status[0] in (Status.INACTIVE, Status.ACTIVE)
    assert fooled.layers[1].evidence[0] == Evidence.SOLVER
    assert fooled.trusts


def test_claims_of_parts_are_proved_on_linear_constraints_too():
    """relu(x0) + relu(x1) <= 1 where x0 + x1 <= 1 in the unit box, not in all of it."""
    layers = [
        (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0], [-1.0, 1.0]]), np.zeros(4)),
        (np.array([[0.5, 0.5, -0.01, -0.01]]), np.array([-0.51])),
        (np.ones((1, 1)), np.zeros(1)),
    ]
    part = Polytope(Box(-np.ones(2), np.ones(2)), np.array([[1.0, 1.0]]), np.array([1.0]))
    facts = prove_stability(
        domain_problem(chain_network(layers), Domain((part,))),
        StabilityOptions(time_limit=10.0, split_inputs=0, branch_nodes=0),
    )
    assert facts.layers[1].status[0] == Status.INACTIVE
    assert facts.evidence_counts()["solver"] == 0


@pytest.mark.slow
@settings(max_examples=30)
@given(data=st.data())
def test_answers_on_polytopes_are_right(data):
    problem = data.draw(problems(networks=any_networks(), parts=1))
    network, domain = problem.network, problem.domain
    nodes = [relu for relu in network.relus if isinstance(network.by_name.get(relu.source), Affine)]
    try:
        exact = stable_sets_exact(network, domain, max_regions=300)
    except EqverifyError:
        reject()
    if not nodes:
        reject()
    relu = data.draw(st.sampled_from(nodes))
    unit = data.draw(st.integers(0, network.sizes[relu.source] - 1))
    bounds = crown_bounds(network, domain.lower, domain.upper)
    (part,) = domain.polytopes
    given_rows = assumed_inputs(part.matrix, part.bound, network.output_size)
    for sign in (1, -1):
        asked = SignQuery(relu.source, unit, sign, guide=Guide.root())
        (answer,) = prove_signs(network, bounds, [asked], assumed=given_rows, max_nodes=20, batch=2)
        truth = exact.layers[relu.name][unit]
        most = truth.upper if sign > 0 else -truth.lower
        assert Fraction(float(np.clip(answer.upper, -1e308, 1e308))) >= most


def absolute_sum(constant):
    """z = |x0 + x1| + |x0 - x1| - constant = 2 max(|x0|, |x1|) - constant."""
    first = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    layers = [(first, np.zeros(4)), (np.ones((1, 4)), np.array([-constant])), (np.ones((1, 1)), np.zeros(1))]
    return chain_network(layers)


def test_a_guide_is_followed_and_not_believed():
    network = absolute_sum(2.1)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    guide = Guide(np.array([0, 0, -1, -1]), np.array([2, 3, 0, 0]), np.array([[1, -1], [2, 3], [-1, -1], [-1, -1]]))
    (found,) = prove_signs(network, bounds, [SignQuery("affine1", 0, 1, guide=guide)])
    assert found.proved
    assert found.tree.unit[0] == 2
    lower = int(np.flatnonzero((found.tree.parent == 0) & (found.tree.side < 0))[0])
    assert found.tree.relu[lower] < 0 or found.tree.unit[lower] == 3
    for relu, unit in ((7, 0), (0, 99), (0, -3)):
        wrong = Guide(np.array([relu, 0, -1]), np.array([unit, 0, 0]), np.array([[0, 1], [0, 2], [-1, -1]]))
        assert prove_signs(network, bounds, [SignQuery("affine1", 0, 1, guide=wrong)])[0].proved


@pytest.mark.parametrize(("least", "proved"), [(2.05, True), (1.9, False)])
def test_assumed_constraints_on_outputs_are_used(least, proved):
    """y = max(0, z) with z = 2 max(|x0|, |x1|): where y >= 2.05 does not hold, z < 2.05; nothing says z < 1.9."""
    network = absolute_sum(0.0)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), outputs=True)
    assumed = Assumption(np.array([[1.0]]), np.zeros((1, 2)), np.array([1.95]))
    (found,) = prove_signs(
        network, bounds, [SignQuery("affine1", 0, 1, limit=least - 0.05)], assumed=assumed, max_nodes=200
    )
    assert found.proved is proved
    assert found.upper >= 1.95 - 1e-9
