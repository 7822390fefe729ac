"""Values, ranges and lines of functions hold, judged by ball arithmetic; a function that lies is caught."""

from __future__ import annotations

import dataclasses

import flint
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.functions import Lines, Sigmoid, lines, product_planes, product_range
from eqverify.functions.function import turning

from .function_checks import BITS, DERIVATIVES, MEANINGS, POSITIVE, ball, below, wrong_points

FUNCTIONS = pytest.mark.parametrize("function", MEANINGS, ids=lambda function: function.name)
SIZES = 30


@pytest.fixture(autouse=True)
def _precision():
    with flint.ctx.workprec(BITS):
        yield


@st.composite
def intervals(draw):
    """(lower, upper, points): of sizes from 1e-30 to 1e30, narrow and wide, around 0, and single points."""
    sizes = st.integers(-SIZES, SIZES).map(lambda e: 10.0**e)
    if draw(st.booleans()):
        sizes = st.integers(-3, 2).map(lambda e: 10.0**e)
    scale = draw(sizes)
    centre = draw(st.floats(-1, 1)) * scale
    width = draw(st.sampled_from((0.0, 1e-15, 1e-9, 1e-4, 0.1, 1.0, 3.0))) * draw(st.floats(0, 1)) * scale
    lower, upper = centre - width, centre + width * draw(st.floats(0, 2))
    shares = np.concatenate([np.linspace(0, 1, 17), draw(st.lists(st.floats(0, 1), min_size=4, max_size=4))])
    return lower, upper, np.concatenate([lower + (upper - lower) * shares, [0.0, lower / 2, centre]])


def moved(function, lower, upper, points):
    """The interval in the domain of a function."""
    if function in POSITIVE and lower <= 0:
        shift = -lower + min(abs(lower), upper - lower) / 1024 + 1e-300
        return lower + shift, upper + shift, points + shift
    return lower, upper, points


def found(function, lower, upper):
    return lines(function, np.array([lower]), np.array([upper]))


def only(result):
    return Lines(*(getattr(result, field.name)[0] for field in dataclasses.fields(Lines)))


@FUNCTIONS
@given(case=intervals())
def test_lines_are_on_their_sides(function, case):
    lower, upper, points = moved(function, *case)
    assert not wrong_points(MEANINGS[function], only(found(function, lower, upper)), lower, upper, points)


@FUNCTIONS
@given(case=intervals())
def test_ranges_hold(function, case):
    lower, upper, points = moved(function, *case)
    least, most = (float(end[0]) for end in function.range(np.array([lower]), np.array([upper])))
    for point in (lower, upper, *points):
        if lower <= point <= upper and (point or function.name != "Reciprocal"):
            value = MEANINGS[function](ball(point))
            assert below(least, value)
            assert below(-most, -value)


@FUNCTIONS
def test_values_and_slopes_are_as_near_as_is_said(function):
    """On a grid of all sizes; where the stated margin of a library is wrong on some machine, this fails there."""
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.uniform(-1, 1, 400) * 10.0 ** rng.integers(-SIZES, 6, 400), rng.uniform(-40, 40, 800)])
    x = np.abs(x) if function in POSITIVE else x
    with np.errstate(all="ignore"):
        for meaning, (low, high) in (
            (MEANINGS[function], function.enclosure(x)),
            (DERIVATIVES[function], function.slope_enclosure(x)),
        ):
            assert (np.isfinite(high) & (high < 1e300)).sum() > 600
            for point, least, most in zip(x, low, high, strict=True):
                value = meaning(ball(point))
                assert below(least, value), (point, least)
                assert below(-most, -value), (point, most)


@FUNCTIONS
def test_lines_have_little_room(function):
    """The gap at the middle is about that of a parabola of the same bend, and no wider than the range."""
    middle = 1.3 if function in POSITIVE or function.name == "Reciprocal" else 0.2
    for width in (1e-3, 1e-2, 0.1):
        line = only(found(function, middle - width, middle + width))
        gap = (line.high_slope - line.low_slope) * middle + line.high - line.low
        bend = max(abs(np.diff(function.slope(np.linspace(middle - width, middle + width, 3)))).max() / width, 0.01)
        assert 0 <= gap <= 1.1 * bend * width**2


def test_lines_of_a_sigmoid_touch_it_where_they_can():
    """On [-4, 4] the best line above starts at -4 and touches the curve on the right."""
    line = only(found(Sigmoid(), -4.0, 4.0))
    x = np.linspace(-4, 4, 4001)
    room = line.high_slope * x + line.high - Sigmoid().value(x)
    assert 0 <= room[0] < 2e-3
    assert 0 <= room[2000:].min() < 1e-6


@FUNCTIONS
def test_a_point_has_its_value(function):
    x = 1.75
    line = only(found(function, x, x))
    for slope, offset in ((line.low_slope, line.low), (line.high_slope, line.high)):
        assert slope * x + offset == pytest.approx(function.value(np.array(x)), rel=1e-11)


@pytest.mark.parametrize("function", [f for f in MEANINGS if f.name in ("Log", "Sqrt", "Reciprocal")], ids=str)
def test_nothing_is_said_outside_of_the_domain(function):
    least, most = function.range(np.array([-1.0]), np.array([1.0]))
    assert np.isneginf(least).all()
    assert np.isposinf(most).all()
    line = only(found(function, -1.0, 1.0))
    assert (line.low, line.high, line.low_slope, line.high_slope) == (-np.inf, np.inf, 0, 0)


@FUNCTIONS
def test_unbounded_intervals_have_lines_without_slope(function):
    low = 1.0 if function in POSITIVE or function.name == "Reciprocal" else -np.inf
    line = only(found(function, low, np.inf))
    assert line.low_slope == line.high_slope == 0
    least, most = function.range(np.array([low]), np.array([np.inf]))
    assert (line.low, line.high) == (least[0], most[0])


@dataclasses.dataclass(frozen=True, slots=True)
class BentTheOtherWay(Sigmoid):
    """A sigmoid that says wrongly where it is convex."""

    def pieces(self, lower, upper):
        return turning(lower, upper, -1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class TooNear(Sigmoid):
    """A sigmoid that is further off than it says."""

    def value(self, x):
        return Sigmoid.value(self, x) + 1e-9


@pytest.mark.parametrize("lying", [BentTheOtherWay(), TooNear()], ids=lambda function: function.name)
def test_a_function_that_lies_is_caught(lying):
    """The judge of these tests sees wrong lines."""
    ends = -3.0, -0.5
    points = np.linspace(*ends, 5)
    assert not wrong_points(MEANINGS[Sigmoid()], only(found(Sigmoid(), *ends)), *ends, points)
    assert wrong_points(MEANINGS[Sigmoid()], only(found(lying, *ends)), *ends, points)


@given(data=st.data())
def test_planes_and_ranges_of_products_hold(data):
    (low, high, left), (other_low, other_high, right) = data.draw(intervals()), data.draw(intervals())
    ends = [(np.array([a]), np.array([b])) for a, b in ((low, high), (other_low, other_high))]
    planes, (least, most) = product_planes(*ends), product_range(*ends)
    for x in (low, high, *left):
        for y in (other_low, other_high, *right[:6]):
            if not (low <= x <= high and other_low <= y <= other_high):
                continue
            value = ball(x) * ball(y)
            plane = ball(planes.left[0]) * ball(x) + ball(planes.right[0]) * ball(y)
            assert not ball(planes.low[0]) + plane > value
            assert not value > ball(planes.high[0]) + plane
            assert below(least[0], value)
            assert below(-most[0], -value)


def test_planes_of_a_product_leave_what_they_must():
    """On [1, 3] x [-2, 2] they are 2 off at most: the product of the half widths."""
    planes = product_planes((np.array([1.0]), np.array([3.0])), (np.array([-2.0]), np.array([2.0])))
    assert (planes.left[0], planes.right[0]) == (0, 2)
    assert planes.high[0] - planes.low[0] == pytest.approx(4, abs=1e-12)


def test_products_of_what_is_not_bounded_have_no_planes():
    planes = product_planes((np.array([-np.inf]), np.array([1.0])), (np.array([0.5]), np.array([1.0])))
    assert (planes.left[0], planes.right[0], planes.low[0]) == (0, 0, -np.inf)
    assert 1 <= planes.high[0] < 1 + 1e-12
    least, most = product_range((np.array([-np.inf]), np.array([np.inf])), (np.array([0.0]), np.array([1.0])))
    assert (least[0], most[0]) == (-np.inf, np.inf)
