"""The joint system of two networks: pairs, differences, and what they say about each network's bounds."""

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
from eqverify.equivalence.exchange import exchange
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.joint import _Layout, make_joint
from eqverify.equivalence.matching import _plain
from eqverify.equivalence.portfolio import DecideOptions, decide
from eqverify.equivalence.sharpen import sharpen
from eqverify.equivalence.witness import WitnessSearch
from eqverify.equivalence.zonotope import Zonotope, _apply
from eqverify.network import Network, evaluate_exact
from eqverify.normal_form import building
from eqverify.normal_form.building import box_form
from eqverify.problem import Problem
from eqverify.stability.facts import Facts
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, boxes

UNIT = Box(-np.ones(2), np.ones(2))


def bounds_of(network: Network, box: Box) -> Bounds:
    return crown_bounds(network, box.lower[None], box.upper[None])


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


def test_an_error_that_is_no_number_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where bounds left the range of floats, an error is NaN; it must never become 0."""
    network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    lost = np.full(2, np.nan)
    known, affine = bounds_of(network, UNIT), building.affine_expression
    with monkeypatch.context() as patched:
        patched.setattr(
            building, "affine_expression", lambda *a: replace(affine(*a), error=lost) if a[0].size == 2 else affine(*a)
        )
        folded = box_form(network, known, [np.ones(2, dtype=np.int64)], [np.ones(2, dtype=bool)])
        kept = box_form(network, known, [np.zeros(2, dtype=np.int64)], [np.zeros(2, dtype=bool)])
    assert np.isnan(folded.output_error).all()
    assert np.isnan(kept.error).all()
    joint = _Layout(kept, kept, np.arange(2), epsilon_goals(2, 1, 0.1)).joint()
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
