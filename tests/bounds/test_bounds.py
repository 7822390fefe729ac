"""Interval and CROWN bounds against exact ranges."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.bounds import Interval, crown_bounds, interval_bounds
from eqverify.bounds.interval import centred
from eqverify.errors import ContradictionError, EqverifyError
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate_exact
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, domains


def assert_encloses(network, bounds, x):
    """Every exact value at the rational point x lies within its interval on box 0."""
    values = evaluate_exact(network, x)
    for node in network.nodes:
        interval = bounds[node.name]
        for unit, value in enumerate(values[node.name]):
            lower, upper = interval.lower[0, unit], interval.upper[0, unit]
            assert np.isneginf(lower) or Fraction(float(lower)) <= value, (node.name, unit)
            assert np.isposinf(upper) or value <= Fraction(float(upper)), (node.name, unit)


@pytest.mark.parametrize("bound", [interval_bounds, crown_bounds])
@given(data=st.data())
def test_bounds_hold_exactly_at_random_points_and_corners(bound, data):
    network = data.draw(any_networks())
    box = data.draw(domains(network.input_size, parts=1, linear=False)).polytopes[0].box
    bounds = bound(network, box.lower[None], box.upper[None])
    corner = [data.draw(st.sampled_from([float(lo), float(hi)])) for lo, hi in zip(box.lower, box.upper, strict=True)]
    share = data.draw(st.fractions(0, 1, max_denominator=16))
    inner = [
        Fraction(float(lo)) + share * (Fraction(float(hi)) - Fraction(float(lo)))
        for lo, hi in zip(box.lower, box.upper, strict=True)
    ]
    assert_encloses(network, bounds, [Fraction(v) for v in corner])
    assert_encloses(network, bounds, inner)


@pytest.mark.parametrize("problem", all_handmade(), ids=lambda problem: problem.name)
def test_bounds_enclose_the_hand_solved_ranges(problem):
    domain = problem.domain
    for bounds in (
        interval_bounds(problem.network, domain.lower, domain.upper),
        crown_bounds(problem.network, domain.lower, domain.upper),
    ):
        for relu in problem.network.relus:
            interval = bounds[relu.source]
            for unit, (low, high) in enumerate(problem.ranges[relu.name]):
                assert interval.lower[:, unit].min() <= low
                assert high <= interval.upper[:, unit].max()


@given(data=st.data())
def test_crown_is_never_wider_than_intervals_and_encloses_the_exact_range(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=1, linear=False))
    try:
        exact = stable_sets_exact(network, domain, max_regions=500)
    except EqverifyError:
        reject()
    wide = interval_bounds(network, domain.lower, domain.upper)
    tight = crown_bounds(network, domain.lower, domain.upper)
    for relu in network.relus:
        # A tighter source has another centre, so that the rounding differs; nothing else may be lost.
        before, after = wide[relu.source], tight[relu.source]
        slack = 2.0**-40 * np.where(np.isfinite(before.magnitude), before.magnitude, 0.0) + 1e-290
        assert (after.lower >= before.lower - slack).all()
        assert (after.upper <= before.upper + slack).all()
        for unit, found in enumerate(exact.layers[relu.name]):
            assert Fraction(float(np.nan_to_num(tight[relu.source].lower[0, unit], neginf=-1e308))) <= found.lower
            assert found.upper <= Fraction(float(np.nan_to_num(tight[relu.source].upper[0, unit], posinf=1e308)))


@given(data=st.data())
def test_a_batch_of_boxes_gives_what_each_box_gives_alone(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=3, linear=False))
    together = crown_bounds(network, domain.lower, domain.upper)
    for box in range(len(domain.polytopes)):
        alone = crown_bounds(network, domain.lower[box : box + 1], domain.upper[box : box + 1])
        for relu in network.relus:
            # Batches choose which units to refine together, so they may be tighter, never looser, up to rounding.
            size = 1e-9 * (1 + np.abs(alone[relu.source].lower[0]) + np.abs(alone[relu.source].upper[0]))
            assert (together[relu.source].lower[box] >= alone[relu.source].lower[0] - size).all() or np.isinf(
                size
            ).any()


def test_bounds_of_a_point_differ_from_the_value_by_rounding_only():
    random = np.random.default_rng(1)
    network = chain(
        random.normal(size=(40, 30)), random.normal(size=40), random.normal(size=(5, 40)), random.normal(size=5)
    )
    x = random.normal(size=(1, 30))
    interval = crown_bounds(network, x, x, outputs=True)["y"]
    assert (interval.upper - interval.lower).max() < 1e-11


def test_a_unit_that_reads_only_zeros_is_its_bias_exactly():
    network = chain(
        np.array([[0.0, 0.0], [0.0, 1.0]]), np.zeros(2), np.array([[1.0, 0.0], [1e-200, 1.0]]), np.full(2, 0.1)
    )
    for bounds in (
        interval_bounds(network, -np.ones((1, 2)), np.ones((1, 2))),
        crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2))),
    ):
        assert (bounds["z"].lower[0, 0], bounds["z"].upper[0, 0]) == (0.0, 0.0)
        assert (bounds["y"].lower[0, 0], bounds["y"].upper[0, 0]) == (0.1, 0.1)
        assert bounds["y"].upper[0, 1] > 1.0


def test_products_that_underflow_are_not_taken_for_zero():
    network = chain(np.full((1, 1), 1e-200), np.zeros(1), np.full((1, 1), 1e-200), np.zeros(1))
    bounds = interval_bounds(network, np.zeros((1, 1)), np.ones((1, 1)))
    assert bounds["y"].upper[0, 0] > 0


def test_overflow_gives_infinite_bounds_not_nan():
    network = chain(np.full((2, 2), 1e308), np.zeros(2), np.full((1, 2), -1e308), np.zeros(1))
    for bounds in (
        interval_bounds(network, -np.ones((1, 2)), np.ones((1, 2))),
        crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), outputs=True),
    ):
        assert not np.isnan(bounds["y"].lower).any()
        assert np.isneginf(bounds["y"].lower).all()


def test_contradicting_bounds_are_an_error():
    network = chain(np.eye(2), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    known = {"z": Interval(np.full((1, 2), 5.0), np.full((1, 2), 6.0))}
    with pytest.raises(ContradictionError, match="bounds/contradiction"):
        crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), known)


def test_known_bounds_are_used_downstream():
    network = chain(np.eye(2), np.zeros(2), np.ones((1, 2)), np.zeros(1))
    known = {"z": Interval(np.zeros((1, 2)), np.full((1, 2), 0.5))}
    free = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), outputs=True)
    told = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)), known, outputs=True)
    assert told["y"].upper[0, 0] < free["y"].upper[0, 0]


@given(st.floats(-1e300, 1e300), st.floats(0, 1e300))
def test_centre_and_radius_cover_the_interval_exactly(low, width):
    interval = Interval(np.array([[low]]), np.array([[low + width]]))
    centre, radius = (Fraction(float(v[0, 0])) for v in centred(interval))
    assert centre - radius <= Fraction(low)
    assert Fraction(low + width) <= centre + radius


def chain(first, first_bias, last, last_bias):
    """Two-layer network X -> z -> h -> y."""
    return Network(
        (Port("X", (first.shape[1],), "float64", "X"),),
        (
            Affine("z", (Term("X", Dense(first)),), first_bias),
            Relu("h", "z"),
            Affine("y", (Term("h", Dense(last)),), last_bias),
        ),
        (Port("Y", (last.shape[0],), "float64", "y"),),
    )


@given(data=st.data())
def test_crown_that_is_stopped_leaves_intervals(data):
    network = data.draw(any_networks())
    box = data.draw(domains(network.input_size, parts=1, linear=False)).polytopes[0].box
    lower, upper = box.lower[None], box.upper[None]
    stopped, intervals = crown_bounds(network, lower, upper, stop=lambda: True), interval_bounds(network, lower, upper)
    for name, interval in intervals.items():
        assert np.array_equal(stopped[name].lower, interval.lower)
        assert np.array_equal(stopped[name].upper, interval.upper)
