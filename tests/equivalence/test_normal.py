"""Normal forms of a network on a box against exact evaluation, with and without merged units."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.domain import Box, Polytope, box_domain
from eqverify.equivalence import DecideOptions, WitnessSearch, decide, epsilon_goals
from eqverify.equivalence.exchange import exchange
from eqverify.equivalence.joint import _Layout, make_joint
from eqverify.equivalence.matching import _plain
from eqverify.equivalence.normal import NormalRows, _Form, _Seen, normal_rows, relu_signs
from eqverify.equivalence.sharpen import sharpen
from eqverify.equivalence.zonotope import Zonotope, _apply
from eqverify.network import Network, evaluate_exact
from eqverify.problem import Problem
from eqverify.stability.facts import Facts
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, boxes

UNIT = Box(-np.ones(2), np.ones(2))


def bounds_of(network: Network, box: Box) -> Bounds:
    return crown_bounds(network, box.lower[None], box.upper[None])


def rows_of(network: Network, box: Box, *, merged: bool, sliver: float = 0.0) -> NormalRows:
    bounds = bounds_of(network, box)
    signs = relu_signs(network, bounds, sliver)
    return normal_rows(network, bounds, signs, [sign != 0 for sign in signs], merged=merged)


def assert_holds(form: NormalRows, network: Network, x: list[Fraction]) -> None:
    """The rows are what they are said to be at an input."""
    exact = evaluate_exact(network, x)
    names = [node.source for node in network.relus]
    z = [exact[names[layer]][unit] for layer, unit in form.origin.tolist()]
    values = [*x, Fraction(1), *(max(v, Fraction(0)) for v in z)]
    outputs = [v for port in network.outputs for v in exact[port.source]]
    for row, error, truth in (
        *zip(form.rows, form.error, z, strict=True),
        *zip(form.outputs, form.output_error, outputs, strict=True),
    ):
        shown = sum((Fraction(c) * v for c, v in zip(row.tolist(), values, strict=True)), Fraction(0))
        assert abs(shown - truth) <= Fraction(float(error))
    for low, value, high in zip(form.lower, z, form.upper, strict=True):
        assert low <= value <= high
    reads = form.rows[:, form.rows.shape[1] - len(z) :] != 0
    assert not reads[form.level[:, None] <= form.level[None]].any()


@given(any_networks(), st.data())
def test_rows_hold_at_rational_points(network: Network, data: st.DataObject) -> None:
    box = data.draw(boxes(network.input_size))
    forms = [rows_of(network, box, merged=m, sliver=s) for m, s in ((False, 0.0), (True, 0.0), (True, 0.1))]
    for _ in range(3):
        shares = data.draw(st.lists(st.fractions(0, 1), min_size=box.size, max_size=box.size))
        ends = zip(box.lower.tolist(), box.upper.tolist(), shares, strict=True)
        x = [Fraction(low) + share * (Fraction(high) - Fraction(low)) for low, high, share in ends]
        for form in forms:
            assert_holds(form, network, x)


def minimum_network() -> Network:
    """min(x, y) as a tree of ReLUs, each term written as relu(t) - relu(-t), and a unit that nothing reads."""
    terms = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 1.0], [0.5, 0.0], [-2.0, 2.0]])
    # z = y - relu(y - x) and its opposite, relu(y - x) / 2 once more
    second = np.array([[1.0, -1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0, 0.5]])
    return chain_network([(terms, np.zeros(5)), (second, np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))])


def test_parallel_and_superfluous_units_go() -> None:
    form = rows_of(minimum_network(), UNIT, merged=True)
    # min(x, y) = y - relu(y - x): the rest are multiples of it, or linear, or read by nothing.
    assert form.origin.tolist() == [[0, 2]]
    assert (form.error <= 1e-12).all()
    assert len(rows_of(minimum_network(), UNIT, merged=False).rows) > len(form.rows)
    for x in ([Fraction(1, 3), Fraction(-1, 7)], [Fraction(-1), Fraction(1)], [Fraction(1, 2), Fraction(1, 2)]):
        assert_holds(form, minimum_network(), x)


@pytest.mark.parametrize("off", [0.0, 2.0**-30])
def test_nearly_parallel_units_are_not_merged(off: float) -> None:
    """relu(x + off) - relu(x) is no constant; a difference of 1e-12 of the row's size is too much."""
    f = chain_network([(np.ones((2, 1)), np.array([off, 0.0])), (np.array([[1.0, -1.0]]), np.zeros(1))])
    form = rows_of(f, Box(-np.ones(1), np.ones(1)), merged=True)
    assert len(form.rows) == (2 if off else 0)


def test_copies_of_active_units_cost_no_rounding() -> None:
    """Two networks that differ in a unit that nothing reads: proved with eps 0, which composed rows would not allow."""
    random = np.random.default_rng(5)
    layers: list[tuple[FloatArray, FloatArray]] = [
        (random.normal(size=(6, 2)), np.full(6, 9.0)),
        (random.normal(size=(5, 6)) ** 2, random.normal(size=5)),
        (random.normal(size=(2, 5)), random.normal(size=2)),
    ]
    f = chain_network(layers)
    first, second, last = layers
    wider = (np.concatenate([first[0], np.ones((1, 2))]), np.append(first[1], 0.5))
    g = chain_network([wider, (np.concatenate([second[0], np.zeros((5, 1))], axis=1), second[1]), last])
    domain = box_domain(-np.ones(2), np.ones(2))
    goals = epsilon_goals(2, 2, 0.0)
    search = WitnessSearch(f, g, goals, domain)
    found = decide(f, g, goals, search, DecideOptions(timeout=5.0, methods=("splitting",)))
    assert (found.verdict, found.reach, found.evidence) == ("equivalent", 0.0, "bounds")
    joint = make_joint((f, g), (bounds_of(f, UNIT), bounds_of(g, UNIT)), goals)
    assert sum(level.lone for level in joint.levels) == 0


def test_an_error_that_is_no_number_is_not_forgotten() -> None:
    """Where bounds left the range of floats, an error is NaN; it must never become 0."""
    network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    lost = np.full(2, np.nan)
    form = _Form(network, bounds_of(network, UNIT), [np.ones(2, dtype=np.int64)], [np.ones(2, dtype=bool)])
    form.visit(network.nodes[0], False)
    form.values["affine0"] = replace(form.values["affine0"], error=lost)
    form.visit(network.relus[0], False)
    assert np.isnan(form.values["relu0"].error).all()
    rows = replace(rows_of(network, UNIT, merged=False), error=lost)
    joint = _Layout(rows, rows, np.arange(2), epsilon_goals(2, 1, 0.1)).joint()
    assert np.isnan(joint.levels[0].error).all()


def test_a_generator_that_is_no_number_is_not_left_out() -> None:
    one = np.ones((1, 1))
    zonotope = Zonotope(one, np.ones((1, 1, 1)), 0.0 * one)
    for lam, radius in ((1.0, np.nan), (np.nan, 0.0)):
        found, _ = _apply(zonotope, lam * one, 0.0 * one, radius * one, np.array([1]))
        assert np.isnan(found.generators.sum() + found.slack.sum())


def test_units_without_partner_are_proved_on_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """|x| <= 1.125 on the box: the proof ends behind that unit, and says nothing about its neighbour."""
    f = chain_network(
        [
            (np.array([[1.0], [-1.0]]), np.zeros(2)),
            (np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([-3.0, -1.125])),
            (np.ones((2, 2)), np.zeros(2)),
            (np.ones((1, 2)), np.zeros(1)),
        ]
    )
    box = Polytope(Box(-np.ones(1), np.ones(1)))
    seen = []

    def spy(problem: Problem, *arguments: object, **keywords: object) -> Facts:
        seen.append([problem.network.sizes[relu.name] for relu in problem.network.relus])
        return prove_stability(problem, *arguments, **keywords)

    monkeypatch.setattr("eqverify.equivalence.sharpen.prove_stability", spy)
    known = {name: Interval(i.lower - 1, i.upper + 1) for name, i in bounds_of(f, box.box).items()}
    sharper, _ = sharpen(f, known, np.array([[1, 1]]), box, 10.0, 0)
    assert seen == [[2, 2]]
    source = f.relus[1].source
    assert sharper[source].upper[0, 1] <= 0
    assert sharper[source].upper[0, 0] == known[source].upper[0, 0]
    assert all(sharper[relu.source].lower[0, 0] == known[relu.source].lower[0, 0] for relu in f.relus)


def test_parallel_rows_are_merged_whatever_errors_they_have() -> None:
    """Composed rows bring rounding errors that exceed the tolerance for being parallel."""
    network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    basis = _Form(network, bounds_of(network, UNIT), [np.zeros(2)] * 1, [np.zeros(2, dtype=bool)]).basis
    row, other = np.array([0.5, -1.0, 0.25, 0.0, 0.0]), np.array([-1.0, 2.0, -0.5, 0.0, 0.0])
    seen = _Seen(basis)
    assert seen.find(row, 1e-9, 3) is None
    found = seen.find(other, 1e-9, 4)
    assert found is not None
    assert 3e-9 <= found[1] < 1e-8


def test_pairing_looks_through_active_units() -> None:
    """What one network reads from an active unit, the other may read from the inputs."""
    rows = np.array([[1.0, 4.0, 0.0, 0.0], [0.0, -12.0, 3.0, 0.0]])
    assert _plain(rows, np.array([True, False])).tolist() == [[1.0, 4.0, 0.0, 0.0], [3.0, 0.0, 0.0, 0.0]]


@given(st.data())
def test_bounds_from_partners_hold(data: st.DataObject) -> None:
    f = data.draw(any_networks())
    g, box = data.draw(any_networks().filter(lambda n: n.input_size == f.input_size)), data.draw(boxes(f.input_size))
    g = g if g.output_size == f.output_size else f
    goals = epsilon_goals(f.input_size, f.output_size, 0.1)
    known = dict(bounds_of(f, box)), dict(bounds_of(g, box))
    found = exchange(make_joint((f, g), known, goals), (f, g), known, box.lower, box.upper)
    for share in (Fraction(0), Fraction(1, 3), Fraction(1)):
        x = [Fraction(a) + share * (Fraction(b) - Fraction(a)) for a, b in zip(box.lower, box.upper, strict=True)]
        for network, bounds in zip((f, g), found, strict=True):
            for name, values in evaluate_exact(network, x).items():
                pairs = zip(bounds[name].lower[0], values, bounds[name].upper[0], strict=True)
                assert all(low <= value <= high for low, value, high in pairs)
