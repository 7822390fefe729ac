"""Trees of sign splits: what the checker finds is what the search found, leaf by leaf (K-4)."""

from __future__ import annotations

import pytest

from eqverify.bounds import crown_bounds
from eqverify.certificate import build_certificate
from eqverify.checker.numbers import Floats
from eqverify.checker.reader import Reader
from eqverify.checker.replay import Replay
from eqverify.problem import domain_problem
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import SignQuery
from eqverify.stability.proofs import BranchProof

from .certificate_cases import box, random_network


@pytest.mark.parametrize("seed", range(6))
def test_a_tree_gives_the_checker_the_bound_that_it_gave_the_search(seed):
    """Trees were cut back to a node with the numbers of one of its sides: some bounds were worse than with no tree."""
    network, domain = random_network(seed, (6, 14, 14, 14, 3), 0.5), box(6)
    (part,) = domain.polytopes
    bounds = crown_bounds(network, part.box.lower[None], part.box.upper[None])
    last = network.relus[-1].source
    questions = [SignQuery(last, unit, sign, limit=-1e6, slack=1.0) for unit in range(14) for sign in (1, -1)]
    for found in prove_signs(network, bounds, questions, max_nodes=40, iterations=1):
        replay = Replay(network, domain, Floats())
        proof = build_certificate(domain_problem(network, domain), [BranchProof(bounds, 0, found)], None)
        replay.run(Reader(proof, network))
        z, unit = replay.bounds[last], found.question.unit
        reached = z.upper[0, unit] if found.question.sign > 0 else -z.lower[0, unit]
        assert reached <= found.upper + 1e-5 * (1 + abs(found.upper))
