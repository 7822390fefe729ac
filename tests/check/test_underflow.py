"""The checker's bounds where products underflow that stand for large values."""

from fractions import Fraction

import numpy as np

from eqverify.checker.numbers import Floats
from eqverify.checker.replay import Replay
from eqverify.domain import box_domain
from eqverify.network import evaluate_exact
from eqverify.testing.chains import chain_network


def test_rows_that_underflow_bound_what_they_lost():
    """z = 1e-100 x - 0.75e-100 - 1e-100 relu(w), where 1e-100 is 1e-200 1e-200 1e300."""
    layers = [
        (np.diag([1e300, 1.0]), np.zeros(2)),
        (np.diag([1e-200, 1.0]), np.zeros(2)),
        (np.array([[1e-200, -1e-100]]), np.array([-0.75e-100])),
        (np.ones((1, 1)), np.zeros(1)),
    ]
    network = chain_network(layers)
    exact = evaluate_exact(network, [1, -1])["affine2"][0]
    assert exact > 0
    found = Replay(network, box_domain(np.array([0.5, -1.0]), np.array([1.0, 0.5])), Floats()).bounds["affine2"]
    assert Fraction(found.lower[0, 0]) <= exact <= Fraction(found.upper[0, 0])


def test_errors_that_underflow_bound_what_they_lost():
    """Inputs below 1e-307 times 1e200, in a sum that cancels: the relative error of a product underflows."""
    random = np.random.default_rng(0)
    for _ in range(20):
        x, first = random.uniform(1, 9, 2) * 1e-310, random.uniform(1, 9) * 1e200
        second = -float(Fraction(first) * Fraction(x[0]) / Fraction(x[1]))
        network = chain_network([(np.array([[first, second]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
        found = Replay(network, box_domain(x, x), Floats()).bounds["affine0"]
        exact = Fraction(first) * Fraction(x[0]) + Fraction(second) * Fraction(x[1])
        assert Fraction(found.lower[0, 0]) <= exact <= Fraction(found.upper[0, 0])
