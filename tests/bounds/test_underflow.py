"""Weights whose products underflow, on values so large that what is lost matters."""

from fractions import Fraction

import numpy as np

from eqverify.bounds import crown_bounds, interval_bounds
from eqverify.network import evaluate_exact
from eqverify.network.expression import Expression, value_range
from eqverify.normal_form.building import normal_form
from eqverify.problem import box_problem
from eqverify.stability.facts import Status
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network

LOWER, UPPER = np.array([0.5, -1.0]), np.array([1.0, 0.5])


def lossy_network():
    """z = 1e-100 x - 0.75e-100 - 1e-100 relu(w) with 1e-100 as 1e-200 1e-200 1e300: the first product underflows."""
    layers = [
        (np.diag([1e300, 1.0]), np.zeros(2)),
        (np.diag([1e-200, 1.0]), np.zeros(2)),
        (np.array([[1e-200, -1e-100]]), np.array([-0.75e-100])),
        (np.ones((1, 1)), np.zeros(1)),
    ]
    return chain_network(layers)


def test_rows_that_underflow_bound_what_they_lost():
    network = lossy_network()
    exact = float(evaluate_exact(network, [1, -1])["affine2"][0])
    assert exact > 0
    bounds = crown_bounds(network, LOWER[None], UPPER[None])
    assert bounds["affine2"].upper[0, 0] >= exact
    facts = prove_stability(box_problem(network, LOWER, UPPER))
    assert facts.layers[2].status[0] != Status.INACTIVE
    form = normal_form(box_problem(network, LOWER, UPPER), facts)
    low, high = value_range(Expression(form.outputs, form.output_error), form.basis)
    assert low[0] <= exact <= high[0]


def test_errors_that_underflow_bound_what_they_lost():
    """Inputs below 1e-307 times 1e200, in a sum that cancels: the relative error of a product underflows."""
    random = np.random.default_rng(0)
    for _ in range(20):
        x, first = random.uniform(1, 9, 2) * 1e-310, random.uniform(1, 9) * 1e200
        second = -float(Fraction(first) * Fraction(x[0]) / Fraction(x[1]))
        network = chain_network([(np.array([[first, second]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
        found = interval_bounds(network, x[None], x[None])["affine0"]
        exact = Fraction(first) * Fraction(x[0]) + Fraction(second) * Fraction(x[1])
        assert Fraction(found.lower[0, 0]) <= exact <= Fraction(found.upper[0, 0])
