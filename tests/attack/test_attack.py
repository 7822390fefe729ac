"""The search for inputs: what it finds holds exactly, it finds what is easy, and a replay tells what does not hold."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.attack.gradient import row_gradients
from eqverify.attack.points import Sampler, nearest_of_type, sample_boxes
from eqverify.attack.replay import TOLERANCE, Replay, holding, shown_by
from eqverify.attack.search import RowSearch
from eqverify.domain import Box, Case, HalfSpace, Polytope, box_domain
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate, evaluate_nodes, outputs_exact
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import stable_sets_exact
from eqverify.testing.strategies import any_networks, boxes, conditions, polytopes

ONE = Fraction(1)
SQUARE = Polytope(Box(-np.ones(2), np.ones(2)))


def random_network(seed, sizes=(2, 6, 6, 2)):
    random = np.random.default_rng(seed)
    pairs = pairwise(sizes)
    return chain_network([(random.normal(size=(out, into)), random.normal(size=out)) for into, out in pairs])


def with_rows(network, rows):
    """The network with rows  sum of outputs - bound  as outputs, for half-spaces without inputs, in float64."""
    matrix = np.zeros((len(rows), network.output_size))
    for k, row in enumerate(rows):
        for j, c in row.outputs.items():
            matrix[k, j] = c
    terms, start = [], 0
    for port in network.outputs:
        terms.append(Term(port.source, Dense(matrix[:, start : start + port.size])))
        start += port.size
    last = Affine("rows", tuple(terms), np.array([-float(row.bound) for row in rows]))
    return Network(network.inputs, (*network.nodes, last), (Port("rows", (len(rows),), "float64", "rows"),))


def searched(network, part, disjuncts, rounds=2):
    """The replay after a search for an input of the part that satisfies a disjunct."""
    replay = Replay(network, Case(part, disjuncts))
    rows = [row for rows in disjuncts for row in rows]
    members = np.array([[row in own for row in rows] for own in disjuncts], dtype=bool)
    assert RowSearch(with_rows(network, rows), part, replay, members).search(lambda: False, rounds) == (
        replay.witness is not None
    )
    return replay


@st.composite
def questions(draw):
    network = draw(any_networks())
    part = draw(st.one_of(boxes(network.input_size).map(Polytope), polytopes(network.input_size)))
    unsafe = draw(conditions(network.input_size, network.output_size))
    unsafe = tuple(tuple(replace(row, inputs={}) for row in rows) for rows in unsafe if rows)
    return network, part, unsafe


@given(questions())
def test_what_is_found_holds_exactly(asked):
    network, part, disjuncts = asked
    witness = searched(network, part, disjuncts).witness if disjuncts else None
    if witness is None:
        return
    assert witness.as_floats
    x = list(witness.inputs)
    assert part.rows_hold(x)
    assert ((witness.x >= part.box.lower) & (witness.x <= part.box.upper)).all()
    y = outputs_exact(network, x)
    assert all(row.holds(x, y) for row in disjuncts[witness.disjunct])
    if witness.confirmed == "exact":
        assert list(witness.outputs) == y


@pytest.mark.parametrize("seed", range(8))
def test_what_enumeration_says_is_easy_is_found(seed):
    """An output within a tenth of its range below its exact maximum; and one above it, which is not found."""
    network, domain = random_network(seed), box_domain(-np.ones(2), np.ones(2))
    for output, exact in enumerate(stable_sets_exact(network, domain).outputs):
        easy = HalfSpace({}, {output: -ONE}, -(exact.upper - (exact.upper - exact.lower) / 10))
        found = searched(network, SQUARE, ((easy,),), rounds=4).witness
        assert found is not None, (output, exact)
        assert outputs_exact(network, found.inputs)[output] >= -easy.bound
        beyond = HalfSpace({}, {output: -ONE}, -exact.upper, strict=True)
        assert searched(network, SQUARE, ((beyond,),)).witness is None


def test_one_of_several_conjunctions_is_enough():
    network = chain_network([(np.eye(2), np.zeros(2)), (np.eye(2), np.zeros(2))])
    never, ever = HalfSpace({}, {0: ONE}, Fraction(-1)), HalfSpace({}, {1: -ONE}, Fraction(-1, 2))
    found = searched(network, SQUARE, ((never, ever), (ever,))).witness
    assert found is not None
    assert found.disjunct == 1
    assert found.x[1] >= 0.5


def test_a_search_where_gradients_vanish_goes_on_elsewhere():
    """relu(x0 - 0.9) + relu(x1 - 0.9) is zero but near two edges."""
    network = chain_network([(np.eye(2), np.full(2, -0.9)), (np.ones((1, 2)), np.zeros(1))])
    row = HalfSpace({}, {0: -ONE}, Fraction(-1, 10))
    asked = RowSearch(with_rows(network, [row]), SQUARE, replay := Replay(network, Case(SQUARE, ((row,),))))
    asked.climb(np.zeros((4, 2)), np.zeros(4, dtype=np.int64), (0.01,) * 20)
    assert replay.witness is not None


def test_a_search_ends_when_it_is_told_to_and_takes_no_odd_candidates():
    network, asked = random_network(0), []
    search = RowSearch(network, SQUARE, lambda points: bool(asked.append(points)))
    assert not search.search(lambda: True, rounds=10**9)
    assert asked == []
    calls = iter([False] * 5 + [True] * 10)
    assert not search.search(lambda: next(calls), rounds=10**9)
    for odd in (np.full(2, np.inf), np.zeros(5), np.zeros((1, 2)), np.array([0.0, np.nan])):
        assert not search.near(odd)
    assert not search.attempt(np.empty((0, 2)))


def test_the_clearest_points_are_replayed_and_noted():
    network = chain_network([(np.array([[1.0, 0.0]]), np.zeros(1))])
    shown, noted = [], []
    search = RowSearch(
        network, SQUARE, lambda points: bool(shown.append(points)), note=lambda *told: noted.append(told), sense=-1.0
    )
    points = np.stack([np.linspace(-1, 1, 41), np.zeros(41)], axis=1)
    assert not search.attempt(points)
    assert shown[0][:, 0].tolist() == points[:-9:-1, 0].tolist()
    ((chosen, where, gap),) = noted
    assert (chosen.tolist(), where.tolist(), gap.tolist()) == ([0], [[1.0, 0.0]], [-1.0])


IDENTITY = chain_network([(np.eye(1), np.zeros(1))])
UNIT = Polytope(Box(np.zeros(1), np.ones(1)))
HALF = ((HalfSpace({}, {0: ONE}, Fraction(1, 2)),),)


@pytest.mark.parametrize(
    ("shown", "ordered", "failures"),
    [(0.25, False, 0), (0.5 + float(TOLERANCE) / 2, False, 0), (0.5 + float(TOLERANCE) / 2, True, 1), (0.6, False, 1)],
)
def test_a_run_that_disagrees_is_told(shown, ordered, failures):
    run = shown_by(lambda points: np.full((len(points), 1), shown), IDENTITY, HALF, ordered)
    replay = Replay(IDENTITY, Case(UNIT, HALF), run)
    assert replay(np.array([[0.5]])) == (failures == 0)
    assert replay.failures == failures
    if not failures:
        assert replay.witness.y.tolist() == [shown]
        assert HALF[0][0].holds(list(replay.witness.inputs), list(replay.witness.outputs))


def test_what_does_not_hold_is_no_failure_of_a_run():
    replay = Replay(IDENTITY, Case(UNIT, HALF), shown_by(lambda points: points, IDENTITY, HALF))
    assert not replay(np.array([[0.75]]))
    assert replay.failures == 0
    assert replay.take([Fraction(1, 3)])
    assert replay.witness.as_floats


def test_an_exact_input_counts_where_floats_next_to_it_do_not():
    third = ((HalfSpace({}, {0: Fraction(3)}, ONE), HalfSpace({}, {0: Fraction(-3)}, -ONE)),)
    replay = Replay(IDENTITY, Case(UNIT, third))
    assert not replay(np.array([[1 / 3]]))
    assert replay.take([Fraction(1, 3)])
    assert replay.witness.inputs == (Fraction(1, 3),)
    assert not replay.witness.as_floats
    outside = Replay(IDENTITY, Case(Polytope(Box(np.zeros(1), np.full(1, 0.25))), third))
    assert not outside.take([Fraction(1, 3)])


def test_values_that_overflow_hold_only_by_rational_arithmetic():
    huge = chain_network([(np.full((2, 1), 1e300), np.zeros(2)), (np.array([[1e300, 0.0], [0.0, 1.0]]), np.zeros(2))])
    above = ((HalfSpace({}, {1: -ONE}, Fraction(-1)),),)
    replay = Replay(huge, Case(UNIT, above))
    assert replay(np.ones((1, 1)))
    assert replay.witness.confirmed == "exact"


numbers = st.fractions(-4, 4, max_denominator=8)
rows = st.builds(
    HalfSpace,
    st.dictionaries(st.integers(0, 1), numbers.filter(bool), max_size=2),
    st.dictionaries(st.integers(0, 1), numbers.filter(bool), max_size=2),
    numbers,
    st.booleans(),
)


@given(st.lists(rows, max_size=2).map(tuple), *[st.lists(numbers, min_size=2, max_size=2)] * 3)
def test_what_holds_within_an_error_holds_at_its_ends(conjunction, x, middle, size):
    y, error = [float(v) for v in middle], [abs(float(v)) for v in size]
    number, is_open = holding((conjunction,), x, y, error)
    ends = [[Fraction(y[0]) + a * Fraction(error[0]), Fraction(y[1]) + b * Fraction(error[1])]
            for a in (-1, 0, 1) for b in (-1, 0, 1)]  # fmt: skip
    answers = [all(row.holds(x, end) for row in conjunction) for end in ends]
    if number is not None:
        assert all(answers)
    elif not is_open:
        assert not any(answers)
    exact, undecided = holding((conjunction,), x, middle)
    assert not undecided
    assert (exact is not None) == all(row.holds(x, list(middle)) for row in conjunction)
    unknown = holding((conjunction,), x, [np.nan, np.inf], error)[0] is not None
    assert not unknown or not any(row.outputs for row in conjunction)


def test_gradients_of_rows_over_several_ports():
    """Two ports share a node, another shows an input."""
    nodes = (
        Affine("z", (Term("x", Dense(np.array([[1.0, -2.0], [3.0, 0.5]]))),), np.array([0.25, 0.0])),
        Relu("h", "z"),
    )
    ports = (Port("a", (2,), "float64", "h"), Port("b", (2,), "float64", "x"), Port("c", (2,), "float64", "h"))
    network = Network((Port("x", (2,), "float64", "x"),), nodes, ports)
    x = np.array([[0.5, 0.1]])
    for row in range(6):
        found = row_gradients(network, np.array([row]), np.array([2.0]), evaluate_nodes(network, x))
        step = 2.0**-20
        expected = [
            2 * (evaluate(network, x + e)[0, row] - evaluate(network, x)[0, row]) / step for e in np.eye(2) * step
        ]
        assert found[0] == pytest.approx(expected, abs=1e-6)


@given(st.integers(1, 4).flatmap(polytopes), st.integers(0, 40))
def test_points_lie_in_the_box_and_seeds_repeat_them(part, count):
    first, again = (Sampler(part, np.random.default_rng(5)).sample(count) for _ in range(2))
    assert np.array_equal(first, again)
    assert first.shape == (count, part.box.size)
    assert ((first >= part.box.lower) & (first <= part.box.upper)).all()


def test_points_of_boxes_come_by_turns():
    lower, upper = np.array([[0.0], [10.0]]), np.array([[1.0], [12.0]])
    points = sample_boxes(lower, upper, 20, np.random.default_rng(0))[:, 0]
    assert points[:6].tolist() == [0.5, 11.0, 0.0, 10.0, 1.0, 12.0]
    assert set(points[[6, 10, 14]]) <= {0.0, 1.0}
    assert ((points[8::4] > 0) & (points[8::4] < 1)).all()


@given(boxes(3), st.integers(0, 2**32 - 1), st.sampled_from(["float16", "float32"]))
def test_points_of_a_type_stay_between_the_bounds(box, seed, element):
    points = Sampler(Polytope(box), np.random.default_rng(seed)).sample(6)
    near = nearest_of_type(points, box.lower, box.upper, element)
    assert ((near >= box.lower) & (near <= box.upper)).all()
    with np.errstate(over="ignore"):
        single = near.astype(element).astype(np.float64) == near
        inside = points.astype(element).astype(np.float64)
    assert (single | (near == points)).all()
    assert single[(inside >= box.lower) & (inside <= box.upper)].all()
