"""The engine on goals whose answer is known, and every kind of goal against exact evaluation."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.bounds.interval import Interval
from eqverify.budget import FOREVER, Budget
from eqverify.domain import Assumption, box_domain
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.joint import make_joint
from eqverify.equivalence.splitting import Splitter
from eqverify.errors import LimitError
from eqverify.network import evaluate_exact, outputs_exact
from eqverify.search.assumption_bounder import AssumptionBounder
from eqverify.search.box_cover import cover_set
from eqverify.search.box_queue import Boxes
from eqverify.search.clipping_bounder import ClippingBounder
from eqverify.search.engine import Bounded, BoxSearch
from eqverify.search.input_splitting import split_bounds
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import SignQuery
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import any_networks, boxes, networks

from ..bounds.bound_checks import assert_hull_encloses, assert_signs_hold, exact_stability
from ..deciding.deciding_helpers import least_maximum
from ..vnncomp import slow

ORDERS = ("goals", "worst", "newest")


class Fake:
    """Closes a goal on a box where a function of the box's bounds says so; halves by scores of its own.

    `shown` tells which goals points refute.
    """

    batch = 16

    def __init__(self, closes, scores=np.ones_like, shown=None):
        self.closes, self.scores, self.shown = closes, scores, shown
        self.seen = []

    def bound(self, found):
        self.seen += list(zip(found.lower, found.upper, strict=True))
        closed = np.stack([self.closes(low, high) for low, high in zip(found.lower, found.upper, strict=True)])
        width = found.upper - found.lower
        reach = np.broadcast_to(width.max(axis=1, keepdims=True), closed.shape)
        none = np.zeros(len(found), dtype=bool)
        return Bounded(closed, reach, self.scores(width), width, found.signs, none)

    def refuted(self, points, parts):
        assert len(points) == len(parts)
        return np.zeros(1, dtype=bool) if self.shown is None else self.shown(points)


def search_of(bounder, lower, upper, goals=1, **options):
    roots = Boxes.roots(np.array([lower], dtype=float), np.array([upper], dtype=float), 0, goals)
    return BoxSearch(bounder, roots, **{"order": "goals", **options})


def volume(parts):
    return sum(float(np.prod(high - low)) for low, high in parts)


@pytest.mark.parametrize("order", ORDERS)
def test_leaves_cover_the_box(order):
    bounder = Fake(lambda low, high: np.array([low[0] > 0.1 or high[0] - low[0] < 0.2]))
    search = search_of(bounder, [-1.0, -1.0], [1.0, 1.0], order=order)
    search.run()
    tree = search.record.tree()
    assert search.proved.all()
    assert search.done == 1.0
    assert len(tree.part) == search.boxes == len(bounder.seen)
    leaves = [bounder.seen[k] for k in np.flatnonzero(tree.dimension < 0)]
    assert volume(leaves) == pytest.approx(4.0)


@pytest.mark.parametrize("order", ["goals", *slow("worst", "newest")])
def test_one_input_is_not_halved_for_ever(order):
    """Scores name the first input alone while another has some: shares do not fall as an input shrinks."""

    def scores(width):
        return np.array([1.0, 1e-9, 0.0]) * np.ones_like(width)

    bounder = Fake(lambda low, high: np.array([high[1] - low[1] < 0.6]), scores)
    search = search_of(bounder, [0.0] * 3, [1.0] * 3, order=order)
    search.run(max_boxes=10_000)
    assert search.proved.all()
    thinnest = min(high[0] - low[0] for low, high in bounder.seen)
    assert thinnest >= 2.0**-12


def test_an_input_without_score_is_halved_where_none_has_any():
    """Each as often as the other: none is halved for ever."""
    bounder = Fake(lambda low, high: np.array([(high - low).max() < 0.3]), np.zeros_like)
    search = search_of(bounder, [0.0, 0.0], [1.0, 8.0])
    search.run(max_boxes=1000)
    assert search.boxes <= 1000
    shares = [(high - low) / np.array([1.0, 8.0]) for low, high in bounder.seen]
    assert max(share.max() / share.min() for share in shares) <= 2.0


def test_a_box_that_no_float_divides_leaves_the_others_to_be_decided():
    """Ends of the box are four floats apart; the box at 0 never closes, the others do once they are as small."""
    tiny = 5e-324
    bounder = Fake(lambda low, high: np.array([low[0] > 0 and high[0] - low[0] <= tiny]))
    search = search_of(bounder, [0.0], [4 * tiny])
    search.run()
    assert not search.proved.any()
    assert not len(search.queue)
    assert search.left.upper.tolist() == [[tiny]]
    assert search.done == 0.75


def test_goals_that_are_stuck_hold_up_no_others():
    tiny = 5e-324
    bounder = Fake(lambda low, high: np.array([False, high[0] - low[0] <= 2 * tiny]))
    search = search_of(bounder, [0.0], [4 * tiny], goals=2, whole=True)
    search.run()
    assert search.proved.tolist() == [False, True]
    assert search.abandoned.tolist() == [True, False]


def test_a_box_is_split_at_the_sign_of_a_unit_where_one_has_a_score():
    """Every combination of signs of three units is a leaf, and no input is halved."""

    class Signs(Fake):
        def bound(self, found):
            self.leaves += [tuple(signs) for signs in found.signs.tolist() if all(signs)]
            result = super().bound(found)
            scores = np.concatenate([result.score, found.signs == 0], axis=1)
            return replace(result, score=scores, closed=(found.signs != 0).all(axis=1)[:, None])

    bounder = Signs(lambda low, high: np.array([False]))
    bounder.leaves = []
    search = BoxSearch(bounder, Boxes.roots(np.zeros((1, 2)), np.ones((1, 2)), 3, 1), order="goals")
    search.run(max_boxes=100)
    assert search.proved.all()
    assert sorted(bounder.leaves) == sorted(product((-1, 1), repeat=3))
    assert all((low == 0).all() and (high == 1).all() for low, high in bounder.seen)


def test_what_a_bounder_leaves_of_a_box_is_halved():
    """Of [0, 1] it leaves [0, 0.5]: the halves are those of that."""

    class Shrinking(Fake):
        def bound(self, found):
            result = super().bound(found)
            return replace(result, rest=Interval(found.lower, np.minimum(found.upper, 0.5)))

    bounder = Shrinking(lambda low, high: np.array([high[0] - low[0] < 0.3]))
    search = search_of(bounder, [0.0], [1.0])
    search.run()
    assert search.proved.all()
    assert [(float(low[0]), float(high[0])) for low, high in bounder.seen] == [(0, 1), (0, 0.25), (0.25, 0.5)]


def test_ranges_that_the_condition_narrows_save_splits():
    """One layer, many inputs: 171 boxes, where branching on signs with the ranges of the whole box takes 685 nodes."""
    random = np.random.default_rng(3)
    weights, bias = random.normal(size=(60, 20)) / 4, random.normal(size=60) / 4
    layers = [(weights, bias), (random.choice((-1.0, 1.0), size=(1, 60)), np.array([18.0]))]
    network, low, high = chain_network(layers), -np.ones(20) / 2, np.ones(20) / 2
    assumed = Assumption(np.eye(1), np.zeros((1, 20)), np.zeros(1))
    bounder = ClippingBounder(network, assumed, lambda points: False, by_signs=True)
    search = BoxSearch(bounder, bounder.root(low, high), order="newest")
    search.run(max_boxes=250)
    assert search.proved.all()
    bounds = crown_bounds(network, low[None], high[None], outputs=True)
    (plain,) = prove_signs(network, bounds, [SignQuery(network.outputs[0].source, 0, -1)], max_nodes=500)
    assert not plain.proved


def test_limits_are_kept_and_a_search_goes_on():
    bounder = Fake(lambda low, high: np.array([high[0] - low[0] < 0.1]))
    search = search_of(bounder, [0.0], [1.0])
    search.run(max_boxes=5)
    assert search.boxes == 5
    assert search.open.all()
    search.run(budget=Budget(0.0))
    assert search.boxes == 5
    search.run()
    assert search.proved.all()
    again = search_of(bounder, [0.0], [1.0])
    again.run()
    assert again.boxes == search.boxes


def test_a_point_ends_the_search_and_what_is_left_says_how_far_it_got():
    bounder = Fake(lambda low, high: np.array([low[0] >= 0.5]), shown=lambda points: np.array([(points < 0.1).any()]))
    search = search_of(bounder, [0.0], [1.0])
    search.run()
    assert search.refuted.all()
    assert not search.proved.any()
    assert search.done == 1.0 - search.left.share.sum() < 1.0
    assert search.reach >= search.left.reach.max() > 0


def test_a_proved_goal_makes_its_rival_moot_and_points_drop_goals():
    bounder = Fake(
        lambda low, high: np.array([high[0] - low[0] < 0.3, False, False]),
        shown=lambda points: np.array([False, False, True]),
    )
    search = search_of(bounder, [0.0], [1.0], goals=3, rivals=np.array([1, 0, -1]))
    search.run()
    assert search.proved.tolist() == [True, False, False]
    assert search.refuted.tolist() == [False, True, True]


def test_boxes_outside_of_linear_constraints_are_leaves():
    bounder = Fake(lambda low, high: np.array([high[0] <= 0.5]))
    search = search_of(bounder, [0.0], [1.0], constraints=[(np.array([[1.0]]), np.array([0.4]))])
    search.run()
    assert search.proved.all()
    assert all(low[0] <= 0.4 for low, _ in bounder.seen)


@pytest.mark.parametrize("by_signs", [None, False, True])
@given(data=st.data(), order=st.sampled_from(ORDERS))
def test_no_input_satisfies_what_a_search_excludes(by_signs, data, order):
    """Exactly: where a search over random networks says that no input has all outputs <= 0, none has."""
    network = data.draw(networks().filter(lambda n: n.input_size <= 2 and n.output_size <= 2 and n.relu_count <= 6))
    box = data.draw(boxes(network.input_size))
    try:
        exact = least_maximum(network, box)
    except LimitError:
        return
    rows, none = np.eye(network.output_size), np.zeros((network.output_size, network.input_size))
    tried = []
    assumed = Assumption(rows, none, np.zeros(len(rows)))

    def attempt(points):
        return bool(tried.append(points))

    bounder = AssumptionBounder(network, assumed, attempt)
    if by_signs is not None:
        bounder = ClippingBounder(network, assumed, attempt, by_signs=by_signs)
    bounder.batch = data.draw(st.sampled_from((1, 7, 64)))
    search = BoxSearch(bounder, bounder.root(box.lower, box.upper), order=order)
    search.run(max_boxes=60)
    assert not (search.proved[0] and exact <= 0)
    for points in tried:
        assert ((points >= box.lower) & (points <= box.upper)).all()


@given(data=st.data())
def test_a_cover_has_all_inputs_that_satisfy_constraints_and_their_values(data):
    network = data.draw(any_networks().filter(lambda n: n.input_size <= 3))
    box = data.draw(boxes(network.input_size))
    rows = data.draw(
        st.lists(st.sampled_from((-1.0, 0.0, 1.0)), min_size=network.output_size, max_size=network.output_size)
    )
    share = data.draw(st.sampled_from((0.0, 0.25, 0.5, 1.0)))
    inner = np.clip(box.lower + share * (box.upper - box.lower), box.lower, box.upper)
    x = [Fraction(v) for v in inner.tolist()]
    value = sum(Fraction(c) * y for c, y in zip(rows, outputs_exact(network, x), strict=True))
    bound = np.nextafter(float(value), np.inf)
    if not np.isfinite(bound):
        return
    assumed = Assumption(np.array([rows]), np.zeros((1, network.input_size)), np.array([bound]))
    known = crown_bounds(network, box.lower[None], box.upper[None])
    cover = cover_set(
        network, box.lower, box.upper, assumed, known, max_boxes=60, budget=FOREVER, attempt=lambda points: False
    )
    held = [
        all(Fraction(lo) <= v <= Fraction(hi) for lo, v, hi in zip(low, x, high, strict=True))
        for low, high in zip(cover.lower.tolist(), cover.upper.tolist(), strict=True)
    ]
    assert any(held)
    values = evaluate_exact(network, x)
    for name, z in cover.bounds.items():
        for low, v, high in zip(z.lower[0].tolist(), values[name], z.upper[0].tolist(), strict=True):
            assert np.isinf(low) or Fraction(low) <= v
            assert np.isinf(high) or v <= Fraction(high)


@given(data=st.data())
def test_signs_are_those_of_exact_ranges(data):
    network = data.draw(any_networks())
    box = data.draw(boxes(network.input_size))
    domain = box_domain(box.lower, box.upper)
    exact = exact_stability(network, domain)
    if exact is None:
        return
    everything = {relu.source: np.ones(network.sizes[relu.source], dtype=bool) for relu in network.relus}
    found = split_bounds(network, domain.lower, domain.upper, undecided=everything, max_boxes=60)
    assert_signs_hold(found.signs, exact, network)
    assert_hull_encloses(found.bounds, exact, network)


@given(data=st.data())
def test_no_deviation_exceeds_what_a_search_refutes(data):
    f = data.draw(any_networks(sizes=Sizes(depth=(0, 2), width=(1, 3))))
    g = data.draw(networks(sizes=Sizes((f.input_size,) * 2, (f.output_size,) * 2, (0, 2), (1, 3))))
    box = data.draw(boxes(f.input_size))
    domain = box_domain(box.lower, box.upper)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    epsilon = float(exact * data.draw(st.sampled_from((Fraction(1, 2), Fraction(999, 1000), Fraction(3, 2)))))
    if not np.isfinite(epsilon):
        return
    goals = epsilon_goals(f.input_size, f.output_size, epsilon)
    lower, upper = box.lower[None], box.upper[None]
    joint = make_joint((f, g), (crown_bounds(f, lower, upper), crown_bounds(g, lower, upper)), goals)
    search = Splitter(joint, goals, domain.polytopes[0], lambda points: False)
    search.run(max_boxes=60)
    if search.proved.all():
        assert exact <= Fraction(epsilon)
    if np.isfinite(search.reach):
        assert Fraction(search.reach) + Fraction(epsilon) >= exact


def test_an_unhalvable_root_of_a_network_ends_with_nothing_proved():
    network = chain_network([(np.array([[1.0]]), np.zeros(1))])
    bounder = AssumptionBounder(network, Assumption(np.eye(1), np.zeros((1, 1)), np.zeros(1)), lambda points: False)
    low, high = np.zeros((1, 1)), np.full((1, 1), 4 * 5e-324)
    search = BoxSearch(bounder, Boxes.roots(low, high, bounder.units.count, 1), order="newest")
    search.run(max_boxes=100)
    assert not search.proved[0]
    assert search.boxes < 100
