"""Rows and affine forms: exact, shared, and never below the true range."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eqverify.domain import Box, Polytope
from eqverify.equivalence.encoding import Encoder, Form, combine, lies_in, nodes_read
from eqverify.equivalence.rational import affine_rows, exact_rows
from eqverify.network import Affine, Diagonal, Identity, Network, Selection, Term, evaluate_exact, outputs_exact
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import polytope_vertices, stable_sets_exact
from eqverify.testing.strategies import any_networks, domains


def encoder(lower: list[int], upper: list[int]) -> Encoder:
    return Encoder([Fraction(v) for v in lower], [Fraction(v) for v in upper], lambda: None)


def assign(coder: Encoder, x: list[Fraction]) -> list[Fraction]:
    """The values of all variables at an input."""
    values = [Fraction(0)] * len(coder.bounds)
    for form, value in zip(coder.inputs, x, strict=True):
        for variable in form.coefficients:
            values[variable] = value
    for relu in coder.relus:
        values[relu.variable] = max(Fraction(0), at(relu.form, values))
    return values


def at(form: Form, values: list[Fraction]) -> Fraction:
    return form.constant + sum(c * values[v] for v, c in form.coefficients.items())


@given(any_networks(), st.data())
def test_encoded_outputs_are_the_networks_outputs(network: Network, data: st.DataObject) -> None:
    part = data.draw(domains(network.input_size, parts=1)).polytopes[0]
    coder = Encoder(
        [Fraction(v) for v in part.box.lower.tolist()], [Fraction(v) for v in part.box.upper.tolist()], lambda: None
    )
    forms = coder.outputs(network)
    for x in polytope_vertices(part):
        values = assign(coder, list(x))
        assert [at(form, values) for form in forms] == outputs_exact(network, x)
        assert all(low <= value <= high for value, (low, high) in zip(values, coder.bounds, strict=True))
        for form, value in zip(forms, outputs_exact(network, x), strict=True):
            low, high = coder.interval(form)
            assert low <= value <= high


@given(any_networks(), st.data())
def test_only_truly_stable_units_are_linear(network: Network, data: st.DataObject) -> None:
    domain = data.draw(domains(network.input_size, parts=1, linear=False))
    box = domain.polytopes[0].box
    lower, upper = ([Fraction(v) for v in bound.tolist()] for bound in (box.lower, box.upper))
    coder = Encoder(lower, upper, lambda: None)
    coder.outputs(network)
    assert len(coder.relus) <= network.relu_count
    if not coder.relus and len(nodes_read(network, ())) == len(network.nodes):
        assert not stable_sets_exact(network, domain).units("unstable")


def test_multiples_and_negated_units_share_one_variable() -> None:
    weights, bias = np.array([[1.0, 2.0], [3.0, 6.0], [-0.5, -1.0], [2.0, 1.0]]), np.array([0.5, 1.5, -0.25, 0.0])
    network = chain_network([(weights, bias), (np.eye(4), np.zeros(4))])
    coder = encoder([-1, -1], [1, 1])
    forms = coder.outputs(network)
    assert len(coder.relus) == 2
    assert coder.outputs(network) == forms
    assert len(coder.relus) == 2


def test_inputs_of_zero_width_are_constants() -> None:
    coder = encoder([1, 0], [1, 2])
    assert coder.inputs == [Form({}, Fraction(1)), Form({0: Fraction(1)}, Fraction(0))]


def test_combining_drops_what_cancels() -> None:
    one = Form({0: Fraction(1), 1: Fraction(2)}, Fraction(3))
    other = Form({0: Fraction(1, 2)}, Fraction(1))
    assert combine([(Fraction(1), one), (Fraction(-2), other)], Fraction(4)) == Form({1: Fraction(2)}, Fraction(5))


def test_rows_of_quotients_are_not_rounded() -> None:
    rows = exact_rows(Diagonal(np.array([1.0, 0.0]), np.array([3.0, 7.0])))
    assert rows == [{0: Fraction(1, 3)}, {}]
    assert exact_rows(Selection(np.array([1, 1, 0]), 2)) == [{1: Fraction(1)}, {1: Fraction(1)}, {0: Fraction(1)}]


def test_terms_of_one_source_are_added_and_cancel() -> None:
    minus = Diagonal(np.full(2, -1.0), np.array([1.0, 2.0]))
    node = Affine("z", (Term("X", Identity(2)), Term("X", minus)), np.array([0.0, 1.0]))
    assert affine_rows(node) == [({}, Fraction(0)), ({("X", 1): Fraction(1, 2)}, Fraction(1))]


@given(any_networks())
def test_affine_rows_give_the_exact_values(network: Network) -> None:
    x = [Fraction(k + 1, 3) for k in range(network.input_size)]
    values = evaluate_exact(network, x)
    for node in network.nodes:
        if isinstance(node, Affine):
            rows = affine_rows(node)
            found = [sum((c * values[s][i] for (s, i), c in row.items()), constant) for row, constant in rows]
            assert found == list(values[node.name])


def test_linear_constraints_are_judged_without_rounding() -> None:
    third, more = Fraction(1, 3), Fraction(1, 3) + Fraction(1, 10**30)
    box = Box(np.zeros(1), np.ones(1))
    part = Polytope(box, np.array([[3.0]]), np.ones(1))
    assert lies_in(part, [third])
    assert not lies_in(part, [more])
    assert lies_in(Polytope(box), [more])
    assert not lies_in(Polytope(box), [-Fraction(1, 10**400)])
