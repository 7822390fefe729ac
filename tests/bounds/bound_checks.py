"""Exact judges of bounds: what every bound computation is compared with."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from eqverify.errors import EqverifyError
from eqverify.network import evaluate_exact
from eqverify.testing.oracle import stable_sets_exact


def exact_stability(network, domain, max_regions=400):
    """The exact ranges, or None where the network has too many regions."""
    try:
        return stable_sets_exact(network, domain, max_regions=max_regions)
    except EqverifyError:
        return None


def at_most(bound, value):
    """bound <= value, in rationals; -inf is below everything."""
    return np.isneginf(bound) or (np.isfinite(bound) and Fraction(float(bound)) <= value)


def assert_hull_encloses(bounds, exact, network):
    """Bounds (parts, n) enclose the exact ranges over the union of the parts."""
    for relu in network.relus:
        if relu.source not in bounds:
            continue
        interval = bounds[relu.source]
        for unit, found in enumerate(exact.layers[relu.name]):
            assert at_most(interval.lower[:, unit].min(), found.lower), (relu.source, unit)
            assert at_most(-interval.upper[:, unit].max(), -found.upper), (relu.source, unit)


def assert_signs_hold(signs, exact, network):
    """Signs proved hold on the domain, exactly."""
    for relu in network.relus:
        for unit, found in enumerate(exact.layers[relu.name]):
            if relu.source not in signs:
                continue
            if signs[relu.source][unit] < 0:
                assert found.upper <= 0, (relu.source, unit)
            if signs[relu.source][unit] > 0:
                assert found.lower >= 0, (relu.source, unit)


def random_point(data, st, box):
    """A rational point of a box: a corner or on the diagonal."""
    lower, upper = ([Fraction(v) for v in bound.tolist()] for bound in (box.lower, box.upper))
    if data.draw(st.booleans()):
        share = data.draw(st.fractions(0, 1, max_denominator=16))
        return [lo + share * (hi - lo) for lo, hi in zip(lower, upper, strict=True)]
    return [data.draw(st.sampled_from(ends)) for ends in zip(lower, upper, strict=True)]


def exact_values(network, point):
    """Exact values of all nodes at a point."""
    return evaluate_exact(network, point)
