"""Ranges of outputs hold the exact ones, and linear constraints on inputs make them smaller."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.budget import Budget
from eqverify.domain import Box, Domain, Polytope
from eqverify.errors import InputError, LimitError, UsageError
from eqverify.problem import domain_problem
from eqverify.stability.facts import Evidence
from eqverify.stability.outputs import bound_outputs, narrowed_ranges
from eqverify.stability.proving import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import problems

SUM = chain_network([(np.eye(2), np.zeros(2)), (np.array([[1.0, 1.0], [1.0, -1.0]]), np.zeros(2))])


def ranges(problem, seconds=10.0, engine="crown"):
    return bound_outputs(problem, prove_stability(problem, engine=engine), Budget(seconds))


@given(seconds=st.sampled_from([0.0, 10.0]), problem=problems(parts=2))
def test_exact_ranges_of_outputs_lie_inside(seconds, problem):
    try:
        exact = stable_sets_exact(problem.network, problem.domain)
        found = ranges(problem, seconds)
    except (LimitError, ValueError):
        reject()
    except InputError as error:
        assert error.code == "domain/empty"
        reject()
    assert len(exact.outputs) == found.lower.size
    for low, high, true in zip(found.lower.tolist(), found.upper.tolist(), exact.outputs, strict=True):
        assert low == -np.inf or Fraction(low) <= true.lower
        assert high == np.inf or true.upper <= Fraction(high)


def test_constraints_on_inputs_count():
    """x + y <= 1 on [0, 1]^2: the sum of the outputs is at most 1, and no box says so."""
    box = Box(np.zeros(2), np.ones(2))
    cut = domain_problem(SUM, Domain((Polytope(box, np.array([[1.0, 1.0]]), np.ones(1)),)))
    found, whole = ranges(cut), ranges(domain_problem(SUM, Domain((Polytope(box),))))
    assert 1.0 <= found.upper[0] < 1.0 + 1e-9
    assert found.evidence.tolist() == [Evidence.DUAL, Evidence.DERIVED]
    assert 2.0 <= whole.upper[0] < 2.0 + 1e-9
    assert ranges(cut, seconds=0.0).upper[0] >= 2.0


def test_parts_without_inputs_count_for_nothing():
    box, far = Box(np.zeros(2), np.ones(2)), Box(np.full(2, 5.0), np.full(2, 6.0))
    none = Polytope(far, np.array([[1.0, 1.0]]), np.ones(1))
    assert ranges(domain_problem(SUM, Domain((Polytope(box), none)))).upper[0] < 2.1
    with pytest.raises(InputError, match="domain/empty"):
        ranges(domain_problem(SUM, Domain((none,))))


def test_facts_must_be_about_the_problem():
    one, other = (domain_problem(SUM, Domain((Polytope(Box(np.zeros(2), np.full(2, k))),))) for k in (1.0, 2.0))
    with pytest.raises(UsageError):
        bound_outputs(other, prove_stability(one, engine="crown"), Budget(1.0))


@given(seconds=st.sampled_from([0.0, 10.0]), problem=problems(parts=1))
def test_exact_ranges_of_units_lie_inside_narrowed_ones(seconds, problem):
    try:
        exact = stable_sets_exact(problem.network, problem.domain)
        facts = prove_stability(problem, engine="crown")
        found = narrowed_ranges(problem, facts, Budget(seconds))
    except (LimitError, ValueError):
        reject()
    except InputError as error:
        assert error.code == "domain/empty"
        reject()
    for layer, truth in zip(facts.layers, exact.layers.values(), strict=True):
        known = found[layer.source]
        assert (known.lower[0] >= layer.lower).all()
        assert (known.upper[0] <= layer.upper).all()
        for low, high, true in zip(known.lower[0].tolist(), known.upper[0].tolist(), truth, strict=True):
            assert low == -np.inf or Fraction(low) <= true.lower
            assert high == np.inf or true.upper <= Fraction(high)


def test_ranges_of_units_that_stay_open_get_narrower():
    """relu(x - y) - |x| + 0.1: the linear program has both lines below each half of |x|, CROWN one."""
    layers = [
        (np.array([[1.0, -1.0], [1.0, 0.0], [-1.0, 0.0]]), np.zeros(3)),
        (np.array([[1.0, -1.0, -1.0]]), np.array([0.1])),
    ]
    network = chain_network([*layers, (np.ones((1, 1)), np.zeros(1))])
    box = Box(-np.ones(2), np.ones(2))
    cut = domain_problem(network, Domain((Polytope(box, np.ones((1, 2)), np.zeros(1)),)))
    facts = prove_stability(cut, engine="crown")
    first, second = (narrowed_ranges(cut, facts, Budget(seconds))[facts.layers[1].source] for seconds in (0.0, 10.0))
    assert second.upper[0, 0] < first.upper[0, 0] - 0.01
