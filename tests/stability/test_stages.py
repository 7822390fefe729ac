"""The stages `lp` and `branch`: what they decide, what they rest on, and that their hints prove it again."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds.pullback import PullbackContext, ancestors, relax
from eqverify.bounds.slope_optimisation import Ascent
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.problem import domain_problem
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.stability.proofs import BranchProof, LinearProof
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, problems


class Silent:
    """A solver that never knows."""

    description = "silent"

    def add_units(self, block):
        pass

    def exceeds(self, row, threshold, time_limit):
        from eqverify.milp.encoding import Answer, Verdict

        return Answer(Verdict.UNKNOWN, reason="silent")


def prove(problem, **options):
    """Facts without splitting and without SCIP, and the proofs told."""
    proofs = []
    chosen = StabilityOptions(**{"split_inputs": 0, "time_limit": 20.0, **options})
    facts = prove_stability(problem, chosen, solver_factory=lambda polytope: Silent(), proofs=proofs.append)
    return facts, proofs


def random_problem(seed, sizes=(4, 14, 14, 10, 2), radius=0.6):
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(m, n)), random.normal(size=m)) for n, m in pairwise(sizes)]
    return domain_problem(chain_network(layers), box_domain(-radius * np.ones(sizes[0]), radius * np.ones(sizes[0])))


def test_branching_on_signs_decides_and_says_tree():
    layers = [
        (np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3)),
        (np.array([[1.0, 1.0, -1.0]]), np.array([0.1])),
        (np.array([[1.0]]), np.zeros(1)),
    ]
    facts, proofs = prove(domain_problem(chain_network(layers), box_domain(-np.ones(2), np.ones(2))))
    assert facts.layers[1].status[0] == Status.ACTIVE
    assert facts.layers[1].evidence[0] == Evidence.TREE
    assert facts.evidence_counts()["solver"] == 0
    assert [type(proof) for proof in proofs if isinstance(proof, BranchProof | LinearProof)][-1] is BranchProof


def test_linear_input_constraints_are_rows_of_the_lp():
    """z = x0 + x1 - 1.5 is positive at a corner of the box, never where x0 + x1 <= 1."""
    network = chain_network([(np.array([[1.0, 1.0]]), np.array([-1.5])), (np.array([[1.0]]), np.zeros(1))])
    cut = Polytope(Box(np.zeros(2), np.ones(2)), np.array([[1.0, 1.0]]), np.array([1.0]))
    facts, proofs = prove(domain_problem(network, Domain((cut,))), branch_nodes=0)
    assert facts.layers[0].status[0] == Status.INACTIVE
    assert facts.layers[0].evidence[0] == Evidence.DUAL
    (proof,) = [proof for proof in proofs if isinstance(proof, LinearProof)]
    assert (proof.unit, proof.sign, proof.multipliers.constraints.tolist()) == (0, 1, [1.0])


@pytest.mark.parametrize("branch_nodes", [0, 100])
def test_a_unit_that_is_constant_on_one_part_only(branch_nodes):
    """Found by the hunt: its interval has no width there, by which the LP's questions were ordered."""
    layers = [
        (np.array([[0.0, 0.0, 0.0], [-1.0, 0.0, 0.0]]), np.zeros(2)),
        (np.array([[1.0, 2.0]]), np.array([-1.0])),
        (np.zeros((3, 1)), np.zeros(3)),
    ]
    first = Box(np.array([-3.25, -1.0, 0.0]), np.array([-3.25, 2.75, 3.5]))
    point = Box(np.zeros(3), np.zeros(3))
    parts = (
        Polytope(first, np.array([[0.75, 0.0, 0.0]]), np.array([-2.4375])),
        Polytope(point, np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]), np.zeros(2)),
    )
    facts, _ = prove(domain_problem(chain_network(layers), Domain(parts)), branch_nodes=branch_nodes)
    assert facts.layers[1].status[0] in (Status.UNSTABLE, Status.UNDECIDED)


@pytest.mark.parametrize("seed", range(3))
def test_runs_with_a_node_limit_are_the_same_every_time(seed):
    runs = [prove(random_problem(seed), node_limit=50, branch_nodes=60, time_limit=3600.0) for _ in range(2)]
    for one, two in zip(runs[0][0].layers, runs[1][0].layers, strict=True):
        for attribute in ("lower", "upper", "status", "evidence"):
            assert np.array_equal(getattr(one, attribute), getattr(two, attribute))
    assert [type(p) for p in runs[0][1]] == [type(p) for p in runs[1][1]]


def test_branching_decides_what_bounds_leave_open():
    without, _ = prove(random_problem(1), branch_nodes=0)
    with_it, proofs = prove(random_problem(1))
    assert with_it.count(Status.UNDECIDED) < without.count(Status.UNDECIDED)
    assert any(isinstance(proof, BranchProof) and len(proof.result.tree.parent) > 1 for proof in proofs)


def replay_branch(network, proof, given):
    """The bounds of all leaves, from the hints, with the signs on the way to each."""
    tree, question = proof.result.tree, proof.result.question
    before = ancestors(network, question.node)
    relaxations = {r.name: relax(proof.known[r.source]) for r in network.relus if r.name in before}
    ground = PullbackContext(network, proof.known, relaxations)
    for index in np.flatnonzero(tree.relu < 0):
        sides = {name: np.zeros((1, 1, c.size), dtype=np.int8) for name, c in tree.columns.items()}
        node = index
        while tree.parent[node] >= 0:
            up = tree.parent[node]
            name = network.relus[tree.relu[up]].name
            sides[name][0, 0, np.flatnonzero(tree.columns[name] == tree.unit[up])] = tree.side[node]
            node = up
        row = tree.leaf[index]
        alpha, beta = (
            {name: values[row][None, None].astype(float) for name, values in kind.items()}
            for kind in (tree.alpha, tree.beta)
        )
        units, signs = np.array([question.unit]), np.array([float(question.sign)])
        nu = tree.nu[row][None, None].astype(float)
        ascent = Ascent(ground, network.by_name[question.node], units, signs, sides, alpha, beta, nu=nu, assumed=given)
        yield tree.upper[index], ascent.run(0).upper[0, 0]


@given(st.data())
def test_hints_prove_the_bounds_again(data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    facts, proofs = prove(problem, branch_nodes=40)
    for proof in proofs:
        if isinstance(proof, LinearProof):
            again = proof.model.maximum(proof.sign * proof.row, proof.multipliers) + proof.error
            assert again <= proof.value
        if isinstance(proof, BranchProof):
            tree = proof.result.tree
            assert proof.result.upper == tree.upper[tree.relu < 0].max()
            for told, found in replay_branch(problem.network, proof, problem.given(proof.part)):
                assert found <= told + 1e-9 * (1 + abs(told))
    assert facts.evidence_counts()["solver"] == 0
