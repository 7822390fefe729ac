"""Linear forms and cuts, against exact values and a linear program."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import linprog

from eqverify.bounds import crown_bounds
from eqverify.bounds.clipping import Forms, bounds_where, forms_of, input_box, input_slopes, shrunk
from eqverify.bounds.interval import Interval
from eqverify.bounds.pullback import PullbackContext, relax
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, boxes

from .bound_checks import exact_values, random_point

NUMBERS = st.floats(-4, 4, allow_subnormal=True) | st.sampled_from((0.0, 1.0, -1.0, 1e-300, -1e-12, 1e12, 1e300))


def exactly(row, constant, point):
    return sum((Fraction(a) * Fraction(x) for a, x in zip(row, point, strict=True)), Fraction(constant))


def ones(numbers):
    """Those, as for one box."""
    return np.array(numbers, dtype=float)[None]


@st.composite
def cuts(draw):
    """A box, rows, a cut, and a point of the box."""
    size = draw(st.integers(1, 4))
    vectors = st.lists(NUMBERS, min_size=size, max_size=size)
    box = draw(boxes(size))
    rows = draw(st.lists(vectors, min_size=1, max_size=3))
    constants = [draw(NUMBERS) for _ in rows]
    shares = np.array([draw(st.sampled_from((0.0, 0.25, 0.5, 1.0))) for _ in range(size)])
    point = np.clip(box.lower + shares * (box.upper - box.lower), box.lower, box.upper)
    slopes = draw(vectors)
    # often one that is 0 at the point, up to rounding
    constant = draw(NUMBERS | st.just(float(-exactly(slopes, 0.0, point.tolist()))))
    return box, Forms(ones(rows), ones(constants)), Forms(ones([slopes]), ones([constant])), point.tolist()


@given(cuts())
def test_no_input_of_the_cut_is_lost(drawn):
    """Exactly: where the cut is not negative, rows are at most their bounds, and the point is in the smaller box."""
    box, rows, cut, point = drawn
    assume(exactly(cut.slopes[0, 0].tolist(), cut.constant[0, 0], point) >= 0)
    whole = Interval(ones(box.lower), ones(box.upper))
    upper = bounds_where(rows, cut, whole)
    for row, constant, bound in zip(rows.slopes[0].tolist(), rows.constant[0].tolist(), upper[0], strict=True):
        assert bound == np.inf or exactly(row, constant, point) <= Fraction(float(bound))
    rest, empty = shrunk(cut, whole)
    assert not empty[0]
    assert (rest.lower[0] <= point).all()
    assert (point <= rest.upper[0]).all()
    assert (rest.lower >= whole.lower).all()
    assert (rest.upper <= whole.upper).all()


@pytest.mark.parametrize("seed", range(8))
def test_bounds_are_those_of_the_linear_program(seed):
    random = np.random.default_rng(seed)
    size, rows = 6, 5
    lower = random.uniform(-2, 0, size)
    upper = lower + random.uniform(0, 3, size)
    slopes, constants = random.normal(size=(rows, size)), random.normal(size=rows)
    cut, middle = random.normal(size=size), (lower + upper) / 2
    level = -float(cut @ middle) - 0.3 * float(np.abs(cut) @ (upper - lower)) / 2
    box = Interval(lower[None], upper[None])
    found = bounds_where(Forms(slopes[None], constants[None]), Forms(cut[None, None], np.array([[level]])), box)[0]
    ends, limits = list(zip(lower, upper, strict=True)), (-cut[None], [level])
    best = [c - linprog(-row, *limits, bounds=ends).fun for row, c in zip(slopes, constants, strict=True)]
    np.testing.assert_allclose(found, best, rtol=1e-9)
    rest, empty = shrunk(Forms(cut[None, None], np.array([[level]])), box)
    assert not empty[0]
    hull = [[s * linprog(s * e, *limits, bounds=ends).fun for e in np.eye(size)] for s in (1, -1)]
    np.testing.assert_allclose([rest.lower[0], rest.upper[0]], hull, atol=1e-9)


def test_a_cut_that_fails_everywhere_leaves_nothing():
    box = Interval(np.zeros((2, 1)), np.ones((2, 1)))
    rest, empty = shrunk(Forms(np.ones((2, 1, 1)), np.array([[-1.5], [-0.5]])), box)
    assert empty.tolist() == [True, False]
    assert rest.lower[0] == 0.0
    assert rest.lower[1] == pytest.approx(0.5)


@given(data=st.data())
def test_forms_are_above_the_values_of_a_network(data):
    network = data.draw(any_networks())
    box = data.draw(boxes(network.input_size))
    bounds = crown_bounds(network, box.lower[None], box.upper[None])
    ground = PullbackContext(network, bounds, {r.name: relax(bounds[r.source]) for r in network.relus})
    node, size = network.outputs[0].source, network.outputs[0].size
    assume(node in network.by_name)
    found = ground.unit_rows(node, np.arange(size)[None], np.ones((1, size))).run()
    forms = forms_of(found.upper, input_slopes(ground, found), input_box(ground))
    point = random_point(data, st, box)
    values = exact_values(network, point)[node]
    for row, constant, value in zip(forms.slopes[0].tolist(), forms.constant[0].tolist(), values, strict=True):
        if np.isfinite(constant):
            assert value <= exactly(row, constant, point)
    assert np.isfinite(forms.constant).all() or not np.isfinite(found.upper).all()


def test_crown_bounds_units_of_the_first_layer_where_a_cut_holds():
    """z = x0 + x1 on [-1, 1]^2, where x0 + x1 >= 1: intervals alone say -2."""
    network = chain_network([(np.array([[1.0, 1.0]]), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    lower, upper = -np.ones((1, 2)), np.ones((1, 2))
    cut = Forms(np.ones((1, 1, 2)), -np.ones((1, 1)))
    found = crown_bounds(network, lower, upper, void=np.zeros(1, dtype=bool), cut=cut)[network.relus[0].source]
    assert found.lower[0, 0] == pytest.approx(1.0)
    assert found.lower[0, 0] <= 1.0
    assert found.upper[0, 0] == pytest.approx(2.0)
