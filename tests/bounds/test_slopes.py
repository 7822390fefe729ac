"""Pullbacks with arbitrary slopes, and optimised ones, against exact values."""

import itertools

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.bounds.alpha import optimise_slopes
from eqverify.bounds.crown import open_units
from eqverify.bounds.gradient_steps import StepNetwork
from eqverify.bounds.interval import Interval
from eqverify.bounds.pullback import PullbackContext, relax
from eqverify.bounds.slope_optimisation import Ascent
from eqverify.domain import Assumption
from eqverify.network import Affine
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade
from eqverify.testing.strategies import any_networks, domains

from .bound_checks import assert_hull_encloses, at_most, exact_stability, exact_values, random_point

ANY = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)


def drawn(data, shape, numbers=ANY):
    seed = [data.draw(numbers) for _ in range(8)]
    return np.resize(np.array(seed), shape)


@given(data=st.data())
def test_any_slopes_give_valid_bounds(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=2, linear=False))
    part = data.draw(st.integers(0, len(domain.polytopes) - 1))
    bounds = crown_bounds(network, domain.lower, domain.upper)
    boxes = len(domain.polytopes)
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    target = data.draw(st.sampled_from(affine))
    units = np.arange(target.size)[None]
    signs = drawn(data, (1, target.size), st.sampled_from((1.0, -1.0)))
    relaxations = {}
    for relu in network.relus:
        size = network.sizes[relu.name]
        shapes = st.sampled_from(((boxes, size), (boxes, target.size, size)))
        alpha = drawn(data, data.draw(shapes)) if data.draw(st.booleans()) else None
        lam = drawn(data, data.draw(shapes)) if data.draw(st.booleans()) else None
        relaxations[relu.name] = relax(bounds[relu.source], alpha, lam)
    upper = PullbackContext(network, bounds, relaxations).unit_rows(target.name, units, signs).run(record=True).upper
    values = exact_values(network, random_point(data, st, domain.polytopes[part].box))[target.name]
    for unit, value in enumerate(values):
        sign = int(signs[0, unit])
        assert at_most(-upper[part, unit], -sign * value), (target.name, unit)


@given(data=st.data())
def test_relaxations_enclose_the_relu(data):
    """alpha z <= max(0, z) <= lam z + offset at the ends and at 0, in exact arithmetic."""
    from fractions import Fraction

    numbers = st.floats(-1e6, 1e6) | st.sampled_from((0.0, -5e-324, 5e-324, 1e-200, -1e300, 1e300))
    ends = sorted((data.draw(numbers), data.draw(numbers)))
    z = Interval(np.array([[ends[0]]]), np.array([[ends[1]]]))
    slopes = [np.array([[data.draw(ANY)]]) if data.draw(st.booleans()) else None for _ in range(2)]
    found = relax(z, *slopes)
    alpha, lam, offset = (Fraction(float(a[0, 0])) for a in (found.alpha, found.lam, found.offset))
    for point in (*ends, 0.0):
        if ends[0] <= point <= ends[1]:
            value = Fraction(point)
            assert alpha * value <= max(value, 0) <= lam * value + offset


@given(data=st.data())
def test_optimised_bounds_enclose_the_exact_range_and_are_never_wider(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=2, linear=False))
    exact = exact_stability(network, domain)
    if exact is None:
        reject()
    before = crown_bounds(network, domain.lower, domain.upper)
    targets = {relu.source: drawn(data, network.sizes[relu.source], st.booleans()) for relu in network.relus}
    after = optimise_slopes(
        network, domain.lower, domain.upper, before, targets, iterations=data.draw(st.sampled_from((0, 1, 6)))
    ).bounds
    assert_hull_encloses(after, exact, network)
    for relu in network.relus:
        assert (after[relu.source].lower >= before[relu.source].lower).all()
        assert (after[relu.source].upper <= before[relu.source].upper).all()


@given(data=st.data())
def test_kept_slopes_give_the_bounds_again(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=2, linear=False))
    before = crown_bounds(network, domain.lower, domain.upper)
    name = next((r.source for r in reversed(network.relus) if r.source in network.by_name), None)
    if name is None:
        reject()
    found = optimise_slopes(
        network, domain.lower, domain.upper, before, {name: np.ones(network.sizes[name], dtype=bool)}, iterations=4
    )
    for part in found.slopes.get(name, ()):
        relaxations = {}
        for relu in network.relus:
            z = found.bounds[relu.source]
            plain = relax(z)
            alpha = np.repeat(plain.alpha[:, None, :], part.units.size, axis=1)
            if relu.name in part.columns:
                alpha[:, :, part.columns[relu.name]] = part.alpha[relu.name]
            relaxations[relu.name] = relax(z, alpha)
        ground = PullbackContext(network, found.bounds, relaxations)
        again = ground.unit_rows(name, part.units[None], part.signs[None]).run().upper
        finite = np.isfinite(part.upper)
        size = 1e-9 * (1 + np.abs(np.where(finite, part.upper, 0.0)))
        # slopes are those of the best step per box; arithmetic differs by the order of summation only
        assert (again[finite] <= (part.upper + size)[finite]).all()


@pytest.mark.parametrize("problem", all_handmade(), ids=lambda problem: problem.name)
def test_hand_solved_ranges_are_enclosed(problem):
    network, domain = problem.network, problem.domain
    targets = {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}
    found = optimise_slopes(network, domain.lower, domain.upper, {}, targets).bounds
    for relu in network.relus:
        for unit, (low, high) in enumerate(problem.ranges[relu.name]):
            assert found[relu.source].lower[:, unit].min() <= low
            assert high <= found[relu.source].upper[:, unit].max()


def test_slopes_of_their_own_beat_the_adaptive_ones():
    random = np.random.default_rng(3)
    layers = [(random.normal(size=(20, 6)), random.normal(size=20)) for _ in range(1)]
    layers += [(random.normal(size=(20, 20)), random.normal(size=20)) for _ in range(2)]
    network = chain_network([*layers, (random.normal(size=(1, 20)), np.zeros(1))])
    lower, upper = -0.1 * np.ones((1, 6)), 0.1 * np.ones((1, 6))
    before = crown_bounds(network, lower, upper)
    targets = {relu.source: np.ones(20, dtype=bool) for relu in network.relus}
    after = optimise_slopes(network, lower, upper, before, targets, iterations=30).bounds
    width = [(b["affine2"].upper - b["affine2"].lower).sum() for b in (before, after)]
    assert width[1] < 0.99 * width[0]


def test_gradients_are_those_of_finite_differences():
    random = np.random.default_rng(5)
    sizes = (4, 6, 5, 3)
    layers = [(random.normal(size=(b, a)), random.normal(size=b)) for a, b in itertools.pairwise(sizes)]
    network = chain_network(layers)
    lower, upper = -np.ones((2, 4)), np.array([[1.0] * 4, [0.5] * 4])
    bounds = crown_bounds(network, lower, upper)
    relaxations = {relu.name: relax(bounds[relu.source]) for relu in network.relus}
    node = network.by_name["affine2"]
    columns = {relu.name: open_units(bounds[relu.source]).any(axis=0) for relu in network.relus}
    sides = {name: np.zeros((2, 3, int(mask.sum())), dtype=np.int8) for name, mask in columns.items()}
    sides["relu1"][0, :, 0], sides["relu1"][1, 0, 1] = 1, -1
    assumed = Assumption(random.normal(size=(2, 3)), random.normal(size=(2, 4)), random.normal(size=2))
    ground, signs = PullbackContext(network, bounds, relaxations), np.array([1.0, -1.0, 1.0])
    lines = StepNetwork(ground, node, assumed, dtype=np.float64)
    steps = Ascent(ground, node, np.arange(3), signs, sides, assumed=assumed, lines=lines).steps
    assert {name for name, side in steps.side.items() if len(side)} == {"relu1"}
    for variables in (*steps.numbers.values(), steps.nu):
        variables[:] = random.uniform(0.2, 0.8, size=variables.shape)
    for name, layer in lines.layers.items():  # those of stable units are no choice
        chosen = np.repeat(layer.free, 3, axis=0)
        steps.numbers[name][:] = np.where(chosen, steps.numbers[name], np.repeat(layer.alpha, 3, axis=0))
    numbers, nu = steps.derivatives(steps.pull())
    step = 1e-6
    for values, gradient in [*((steps.numbers[name], numbers[name]) for name in numbers), (steps.nu, nu)]:
        for column in range(values.shape[1]):
            values[:, column] += step
            high = steps.pull().upper
            values[:, column] -= 2 * step
            low = steps.pull().upper
            values[:, column] += step
            assert np.allclose((high - low) / (2 * step), gradient[:, column], atol=1e-5), column


def test_witnessed_signs_are_not_worked_on():
    network = chain_network(
        [(np.eye(2), np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1)), (np.eye(1), np.zeros(1))]
    )
    lower, upper = -np.ones((1, 2)), np.ones((1, 2))
    mask = {"affine1": np.ones(1, dtype=bool)}
    before = crown_bounds(network, lower, upper)
    both = optimise_slopes(network, lower, upper, before, mask)
    one = optimise_slopes(network, lower, upper, before, mask, above=mask)
    assert sorted(s for part in both.slopes["affine1"] for s in part.signs) == [-1.0, 1.0]
    assert [s for part in one.slopes["affine1"] for s in part.signs] == [-1.0]
