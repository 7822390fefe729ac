"""Ties at zero that follow from signs alone (found by the digits benchmark: they were left undecided)."""

import numpy as np
import pytest
from hypothesis import given, reject

from eqverify.domain import box_domain
from eqverify.errors import EqverifyError
from eqverify.problem import domain_problem
from eqverify.stability.facts import Evidence, FactTable, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.stability.sign_rules import sign_bounds
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import networks, problems


@pytest.mark.parametrize("engine", ["crown", "portfolio", "leo", "isa"])
def test_units_that_read_nothing_or_one_unit_with_a_negative_weight_are_inactive(engine):
    layers = [
        (np.array([[0.3, 0.1], [0.2, -0.7]]), np.zeros(2)),
        (np.array([[0.0, 0.0], [0.0, -0.1], [0.3, 0.1]]), np.array([0.0, 0.0, 0.0])),
        (np.ones((1, 3)), np.zeros(1)),
    ]
    problem = domain_problem(chain_network(layers), box_domain(-np.ones(2), np.ones(2)))
    layer = prove_stability(problem, StabilityOptions(engine, time_limit=10.0)).layers[1]
    assert layer.status.tolist() == [Status.INACTIVE, Status.INACTIVE, Status.ACTIVE]
    assert (layer.evidence == Evidence.DERIVED).all()


@given(problems(networks=networks(), parts=2))
def test_sign_rules_are_right(problem):
    table = FactTable(problem.network, len(problem.domain.polytopes))
    found = sign_bounds(problem.network, table, problem.domain.lower, problem.domain.upper)
    try:
        exact = stable_sets_exact(problem.network, problem.domain, max_regions=300)
    except EqverifyError:
        reject()
    for relu in problem.network.relus:
        for unit, truth in enumerate(exact.layers[relu.name]):
            assert found[relu.source].lower[:, unit].min() <= truth.lower
            assert found[relu.source].upper[:, unit].max() >= truth.upper
