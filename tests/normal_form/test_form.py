"""Normal forms of a network on a box against exact evaluation, with and without simplifications."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds import Bounds, crown_bounds
from eqverify.domain import Box
from eqverify.equivalence.joint import relu_signs
from eqverify.errors import ContradictionError
from eqverify.network import Network, evaluate_exact
from eqverify.normal_form.building import box_form
from eqverify.normal_form.form import NormalForm
from eqverify.normal_form.passes import Context
from eqverify.normal_form.relation import Relation
from eqverify.normal_form.simplify import DropUnread, simplify
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, boxes

UNIT = Box(-np.ones(2), np.ones(2))


def bounds_of(network: Network, box: Box) -> Bounds:
    return crown_bounds(network, box.lower[None], box.upper[None])


def form_of(network: Network, box: Box, sliver: float = 0.0) -> NormalForm:
    bounds = bounds_of(network, box)
    signs = relu_signs(network, bounds, sliver)
    return box_form(network, bounds, signs, [sign != 0 for sign in signs])


def merged(form: NormalForm) -> NormalForm:
    return simplify(form, 1e-12).tightened().earliest().compact()


def assert_holds(form: NormalForm, network: Network, x: list[Fraction]) -> None:
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
    reads = form.rows[:, form.columns] != 0
    assert not reads[form.level[:, None] <= form.level[None]].any()


def points(box: Box, data: st.DataObject) -> list[list[Fraction]]:
    """Three rational points of a box."""
    found = []
    for _ in range(3):
        shares = data.draw(st.lists(st.fractions(0, 1), min_size=box.size, max_size=box.size))
        ends = zip(box.lower.tolist(), box.upper.tolist(), shares, strict=True)
        found.append([Fraction(low) + share * (Fraction(high) - Fraction(low)) for low, high, share in ends])
    return found


@given(any_networks(), st.data())
def test_rows_hold_at_rational_points(network: Network, data: st.DataObject) -> None:
    box = data.draw(boxes(network.input_size))
    forms = [form_of(network, box), merged(form_of(network, box)), merged(form_of(network, box, 0.1))]
    for x in points(box, data):
        for form in forms:
            assert_holds(form, network, x)


@given(any_networks(), st.data())
def test_errors_cover_whatever_relations_say(network: Network, data: st.DataObject) -> None:
    """Wrong relations, and columns replaced by a constant, make rows useless and never wrong."""
    box = data.draw(boxes(network.input_size))
    form = form_of(network, box)
    chosen: list[Relation] = []
    for place, pair in enumerate(form.pairs()):
        kind = data.draw(st.sampled_from(["none", "inactive", "active"] + ["parallel", "antiparallel"] * (place > 0)))
        other = data.draw(st.sampled_from(form.pairs()[:place])) if kind.endswith("parallel") else ("", -1)
        if kind != "none":
            chosen.append(Relation(kind, *pair, *other, data.draw(st.sampled_from([1.0, 0.3]))))  # type: ignore[arg-type]
    found, relations = form.related(lambda level: [r for r in chosen if (r.layer, r.unit) in level.pairs()])
    assert sorted(map(str, relations)) == sorted(map(str, chosen))
    assert len(found) == len(form) - len(chosen)
    fewer = DropUnread()(found, Context(tolerance=data.draw(st.sampled_from([0.0, 0.5])))).subject
    for x in points(box, data):
        assert_holds(found.compact(), network, x)
        assert_holds(fewer.tightened().earliest().compact(), network, x)


def minimum_network() -> Network:
    """min(x, y) as a tree of ReLUs, each term written as relu(t) - relu(-t), and a unit that nothing reads."""
    terms = np.array([[0.0, 1.0], [0.0, -1.0], [-1.0, 1.0], [0.5, 0.0], [-2.0, 2.0]])
    # z = y - relu(y - x) and its opposite, relu(y - x) / 2 once more
    second = np.array([[1.0, -1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0, 0.5]])
    return chain_network([(terms, np.zeros(5)), (second, np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))])


def test_parallel_and_superfluous_units_go() -> None:
    form = merged(form_of(minimum_network(), UNIT))
    # min(x, y) = y - relu(y - x): the rest are multiples of it, or linear, or read by nothing.
    assert form.origin.tolist() == [[0, 2]]
    assert (form.error <= 1e-12).all()
    assert len(form_of(minimum_network(), UNIT)) > len(form)
    for x in ([Fraction(1, 3), Fraction(-1, 7)], [Fraction(-1), Fraction(1)], [Fraction(1, 2), Fraction(1, 2)]):
        assert_holds(form, minimum_network(), x)


@pytest.mark.parametrize("off", [0.0, 2.0**-30])
def test_nearly_parallel_units_are_not_merged(off: float) -> None:
    """relu(x + off) - relu(x) is no constant; a difference of 1e-12 of the row's size is too much."""
    f = chain_network([(np.ones((2, 1)), np.array([off, 0.0])), (np.array([[1.0, -1.0]]), np.zeros(1))])
    form = merged(form_of(f, Box(-np.ones(1), np.ones(1))))
    assert len(form) == (2 if off else 0)


def test_parallel_rows_are_merged_whatever_errors_they_have() -> None:
    """Composed rows bring rounding errors that exceed the tolerance for being parallel."""
    rows = np.array([[0.5, -1.0], [-1.0, 2.0]])
    network = chain_network([(rows, np.array([0.25, -0.5])), (np.ones((1, 2)), np.zeros(1))])
    form = merged(replace(form_of(network, UNIT), error=np.full(2, 1e-9)))
    assert form.pairs() == [("relu0", 0)]
    assert 3e-9 <= form.output_error[0] < 1e-8


@pytest.mark.parametrize(
    "relation",
    [
        Relation("parallel", "relu0", 0, "relu0", 1),
        Relation("parallel", "relu0", 1, "relu0", 1),
        Relation("parallel", "relu0", 1, "relu0", 0, -1.0),
        Relation("antiparallel", "relu0", 1, "relu0", 0, float("inf")),
        Relation("parallel", "relu0", 1, "nowhere", 0),
        Relation("active", "relu0", 2),
        Relation("inactive", "nowhere", 0),
    ],
    ids=str,
)
def test_relations_that_say_nothing_are_refused(relation: Relation) -> None:
    network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    for relations in ([relation], [Relation("active", "relu0", 1)] * 2):
        with pytest.raises(ContradictionError, match="deviation/relation"):
            form_of(network, UNIT).related(lambda _, own=relations: own)
