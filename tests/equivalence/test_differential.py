"""Differential bounds against exact arithmetic, and the three ways to decide against each other and the oracle."""

from __future__ import annotations

import os
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds import Interval, crown_bounds
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.equivalence.goals import epsilon_goals, top1_goals
from eqverify.equivalence.joint import Joint, make_joint
from eqverify.equivalence.lines import chord_offset, difference_line, difference_sides
from eqverify.equivalence.portfolio import DecideOptions, Decision, Method, decide
from eqverify.equivalence.product_milp import ProductMilp
from eqverify.equivalence.splitting import Splitter
from eqverify.equivalence.witness import WitnessSearch
from eqverify.equivalence.zonotope import Pusher
from eqverify.milp.encoding import Answer
from eqverify.milp.encoding import Verdict as Reply
from eqverify.network import Network, evaluate, evaluate_exact, outputs_exact
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import any_networks, boxes, networks

from .random_pairs import DIFFERENT, random_pair

PAIRS = 1000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 50
UNIT = box_domain(-np.ones(1), np.ones(1))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Network, Network, Domain]:
    """Two networks of any structure, and a box."""
    f = draw(any_networks(sizes=Sizes(depth=(0, 2), width=(1, 3))))
    g = draw(networks(sizes=Sizes((f.input_size,) * 2, (f.output_size,) * 2, (0, 2), (1, 3))))
    return f, g, Domain((Polytope(draw(boxes(f.input_size))),))


def joint_of(f: Network, g: Network, part: Polytope, epsilon: float = 0.0) -> Joint:
    lower, upper = part.box.lower[None], part.box.upper[None]
    bounds = crown_bounds(f, lower, upper), crown_bounds(g, lower, upper)
    return make_joint((f, g), bounds, epsilon_goals(f.input_size, f.output_size, epsilon))


def verdict(
    f: Network, g: Network, domain: Domain, epsilon: float, *methods: Method, timeout: float = 20.0
) -> Decision:
    goals = epsilon_goals(f.input_size, f.output_size, epsilon)
    search = WitnessSearch(f, g, goals, domain)
    return decide(f, g, goals, search, DecideOptions(timeout=timeout, methods=methods))


@given(pairs())
def test_bounds_contain_the_exact_deviations(pair: tuple[Network, Network, Domain]) -> None:
    """E-2, E-6, E-8, for networks of equal and of other shapes."""
    f, g, domain = pair
    part = domain.polytopes[0]
    upper = Pusher(joint_of(f, g, part)).run(part.box.lower[None], part.box.upper[None]).upper[0]
    exact = deviations_exact(f, g, domain)
    for k, deviation in enumerate(exact):
        assert max(Fraction(upper[2 * k]), Fraction(upper[2 * k + 1])) >= deviation.value


@given(pairs(), st.integers(0, 2**32 - 1))
def test_every_level_contains_exact_values_on_sub_boxes(pair: tuple[Network, Network, Domain], seed: int) -> None:
    """Bounds of z_g, z_f and their difference on a sub-box, at rational points of it."""
    f, g, domain = pair
    part, random = domain.polytopes[0], np.random.default_rng(seed)
    box = part.box
    ends = box.lower + np.sort(random.random((2, box.size)), axis=0) * (box.upper - box.lower)
    lower, upper = (np.clip(end, box.lower, box.upper) for end in ends)
    joint = joint_of(f, g, part)
    found = Pusher(joint).run(lower[None], upper[None])
    for share in random.random((4, box.size)):
        x = [Fraction(v) for v in np.clip(lower + share * (upper - lower), lower, upper).tolist()]
        gaps = [a - b for a, b in zip(outputs_exact(f, x), outputs_exact(g, x), strict=True)]
        for k, gap in enumerate(gaps):
            assert found.upper[0, 2 * k] >= gap
            assert found.upper[0, 2 * k + 1] >= -gap
            low, high = found.target.interval.lower[0, 2 * k], found.target.interval.upper[0, 2 * k]
            assert low <= gap <= high


numbers = st.floats(-4, 4, allow_nan=False).map(lambda v: round(v * 16) / 16)


@given(numbers, numbers, numbers, numbers, st.lists(st.fractions(0, 1), min_size=2, max_size=2))
def test_lines_of_differences_hold(a: float, b: float, c: float, d: float, shares: list[Fraction]) -> None:
    """E-3 and E-4 at rational points, with the range of the difference as tight as it can be there."""
    (f_low, f_high), (g_low, g_high) = sorted((a, b)), sorted((c, d))
    z_f = Fraction(f_low) + shares[0] * (Fraction(f_high) - Fraction(f_low))
    z_g = Fraction(g_low) + shares[1] * (Fraction(g_high) - Fraction(g_low))
    gap = z_f - z_g
    near = Interval(np.array([[np.nextafter(float(gap), -9)]]), np.array([[np.nextafter(float(gap), 9)]]))
    wide = Interval(np.array([[f_low - g_high]]), np.array([[f_high - g_low]]))
    f, g = (Interval(np.array([[low]]), np.array([[high]])) for low, high in ((f_low, f_high), (g_low, g_high)))
    value = max(z_f, Fraction(0)) - max(z_g, Fraction(0))
    for difference in (near, wide):
        lam, middle, radius = (Fraction(float(n[0, 0])) for n in difference_line(f, g, difference))
        assert abs(value - lam * gap - middle) <= radius
        (top, above), (low, below) = (
            tuple(Fraction(float(n[0, 0])) for n in side) for side in difference_sides(f, g, difference)
        )
        assert low * gap - below <= value <= top * gap + above
    slope, offset = (Fraction(float(n[0, 0])) for n in chord_offset(f))
    assert 0 <= max(z_f, Fraction(0)) - slope * z_f <= offset


def test_stable_pairs_lose_nothing() -> None:
    active, inactive = Interval(np.array([[0.5]]), np.array([[2.0]])), Interval(np.array([[-3.0]]), np.array([[0.0]]))
    difference = Interval(np.array([[-0.25]]), np.array([[0.5]]))
    assert [float(n[0, 0]) for n in difference_line(active, active, difference)] == [1.0, 0.0, 0.0]
    assert [float(n[0, 0]) for n in difference_line(inactive, inactive, difference)] == [0.0, 0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize("start", range(0, PAIRS, 10))
def test_all_methods_agree_with_the_exact_deviation(start: int) -> None:
    """Z3, the product MILP and splitting just above and below the exact deviation."""
    for seed in range(start, start + 10):
        f, g, domain = random_pair(seed)
        exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
        for epsilon in (float(exact) * 0.9, float(exact) * 1.1) if exact else (1e-3,):
            wanted = "different" if exact > epsilon else "equivalent"
            for method in ("splitting", "branching", "milp", "z3"):
                found = verdict(f, g, domain, epsilon, method)
                assert found.verdict == wanted, (seed, epsilon, method, found.reason)
                if wanted == "equivalent":
                    assert Fraction(np.nextafter(epsilon + found.reach, np.inf)) >= exact


@pytest.mark.parametrize("seed", DIFFERENT[:6])
def test_methods_find_differences_without_the_search(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WitnessSearch, "search", lambda self, deadline, rounds: False)
    monkeypatch.setattr(WitnessSearch, "quick_sample", lambda self: False)
    f, g, domain = random_pair(seed)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    assert exact
    for method in ("splitting", "branching", "milp", "z3"):
        found = verdict(f, g, domain, float(exact) * 0.98, method)
        assert found.verdict == "different", (seed, method)
        assert found.witness is not None
        x = found.witness.exact
        gaps = [abs(a - b) for a, b in zip(outputs_exact(f, x), outputs_exact(g, x), strict=True)]
        assert max(gaps) > Fraction(float(exact) * 0.98)


def test_no_input_is_halved_for_ever() -> None:
    """Seed 892: a difference reads one input, and the sign of its unit depends on the other."""
    f, g, domain = random_pair(892)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    found = verdict(f, g, domain, float(exact) * 1.1, "splitting", timeout=30.0)
    assert (found.verdict, found.boxes < 5000) == ("equivalent", True)


def test_the_border_is_left_to_exact_arithmetic() -> None:
    """At the exact deviation bounds with rounding stay open, and the boxes are given up."""
    f = chain_network([(np.array([[1.0], [-1.0]]), np.zeros(2)), (np.array([[1.0, 1.0]]), np.zeros(1))])
    g = chain_network([(np.array([[3.0], [-3.0]]), np.zeros(2)), (np.array([[1.0, 1.0]]) / 4, np.zeros(1))])
    assert verdict(f, g, UNIT, 0.25, "z3").verdict == "equivalent"
    assert verdict(f, g, UNIT, float(np.nextafter(0.25, 0)), "z3").verdict == "different"
    assert verdict(f, g, UNIT, 0.25, "splitting", timeout=2.0).verdict in ("equivalent", "unknown")


def test_points_of_a_lying_solver_are_no_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points outside, or nonsense."""
    f, g = (chain_network([(np.ones((2, 1)), np.zeros(2)), (np.full((1, 2), w), np.zeros(1))]) for w in (1.0, 1.25))
    replies = iter([Answer(Reply.CANDIDATE, np.array([np.nan])), Answer(Reply.CANDIDATE, np.array([7.0]))])
    monkeypatch.setattr(ProductMilp, "ask", lambda *_: next(replies, Answer(Reply.UNKNOWN, reason="tired")))
    assert verdict(f, g, UNIT, 0.6, "milp").verdict == "equivalent"
    monkeypatch.setattr(Splitter, "run", lambda *_, **__: None)
    replies = iter([Answer(Reply.CANDIDATE, np.array([np.nan])), Answer(Reply.CANDIDATE, np.array([7.0]))])
    assert verdict(f, g, UNIT, 0.5, "milp").verdict == "unknown"


def test_a_late_portfolio_says_unknown_and_how_far_it_got(monkeypatch: pytest.MonkeyPatch) -> None:
    """One box each time that there is time for many: two boxes stay open."""
    right = Splitter.run
    monkeypatch.setattr(Splitter, "run", lambda self, **limits: right(self, **{**limits, "max_boxes": 1}))
    f, g, domain = random_pair(16)
    exact = max(d.value for d in deviations_exact(f, g, domain))
    found = verdict(f, g, domain, float(exact) * 1.001, "splitting")
    assert (found.verdict, found.left) == ("unknown", 2)
    assert found.reason
    assert exact <= found.reach + float(exact) * 1.001 < 10


def test_linear_constraints_and_unions_are_respected() -> None:
    """|f - g| = 2 x_0 is too large only where the constraint or the union excludes it."""
    f = chain_network([(np.eye(2), np.full(2, 3.0)), (np.array([[3.0, 0.0]]), np.zeros(1))])
    g = chain_network([(np.eye(2), np.full(2, 3.0)), (np.array([[1.0, 0.0]]), np.array([6.0]))])
    box = Box(-np.ones(2), np.ones(2))
    cut = Polytope(box, np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0.25, 0.25]))
    assert verdict(f, g, Domain((Polytope(box),)), 0.75, "splitting").verdict == "different"
    assert verdict(f, g, Domain((cut,)), 0.75, "splitting").verdict == "equivalent"
    assert verdict(f, g, Domain((cut,)), 0.75, "milp").verdict == "equivalent"
    away = Polytope(Box(np.array([0.5, 0.0]), np.ones(2)))
    found = verdict(f, g, Domain((cut, away)), 0.75, "splitting")
    assert found.verdict == "different"
    assert found.witness is not None
    assert found.witness.point[0] >= 0.5


def top1_differs(f: Network, g: Network, x: list[Fraction]) -> bool:
    one, other = outputs_exact(f, x), outputs_exact(g, x)
    return any(
        one[i] == max(one) and other[j] == max(other) and one[i] > one[j] and other[j] > other[i]
        for i in range(len(one))
        for j in range(len(one))
    )


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_top1(seed: int) -> None:
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(4, 2)), random.normal(size=4)), (random.normal(size=(3, 4)), np.zeros(3))]
    f = chain_network(layers)
    shift = 0.3 * random.normal(size=3) if seed % 2 else np.zeros(3)
    g = chain_network([layers[0], (layers[1][0] * 1.01, layers[1][1] + shift)])
    domain = box_domain(np.full(2, -1.0), np.ones(2))
    goals = top1_goals(2, 3)
    search = WitnessSearch(f, g, goals, domain)
    found = decide(f, g, goals, search, DecideOptions(timeout=3.0))
    points = random.random((200, 2)) * 2 - 1
    if found.verdict == "equivalent":
        assert not any(top1_differs(f, g, [Fraction(v) for v in x.tolist()]) for x in points)
    elif found.verdict == "different":
        assert found.witness is not None
        assert top1_differs(f, g, list(found.witness.exact))
    else:
        assert found.reason
    classes = [np.argmax(evaluate(network, points), axis=1) for network in (f, g)]
    assert found.verdict == "different" or (classes[0] == classes[1]).all()


def test_witness_values_are_those_of_the_networks() -> None:
    f, g, domain = random_pair(2)
    exact = max(d.value for d in deviations_exact(f, g, domain))
    assert exact
    found = verdict(f, g, domain, float(exact) / 2, "splitting")
    assert found.witness is not None
    for network, values in ((f, found.witness.f), (g, found.witness.g)):
        port = network.outputs[0].source
        truth = evaluate_exact(network, list(found.witness.exact))[port]
        assert np.allclose(values, truth.astype(float), rtol=1e-12, atol=1e-12)
