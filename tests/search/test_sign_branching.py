"""Branching on signs against exact enumeration."""

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.budget import Budget
from eqverify.errors import UsageError
from eqverify.network import Affine
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import SignQuery
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, domains

from ..bounds.bound_checks import at_most, exact_stability, exact_values


@given(data=st.data())
def test_answers_are_right(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=1, linear=False))
    exact = exact_stability(network, domain)
    nodes = [relu for relu in network.relus if isinstance(network.by_name.get(relu.source), Affine)]
    if exact is None or not nodes:
        reject()
    relu = data.draw(st.sampled_from(nodes))
    unit = data.draw(st.integers(0, network.sizes[relu.source] - 1))
    bounds = crown_bounds(network, domain.lower, domain.upper)
    for sign in (1, -1):
        batch, steps = data.draw(st.sampled_from((1, 4))), data.draw(st.sampled_from((0, 3)))
        answer = ask(network, bounds, relu.source, unit, sign, max_nodes=30, batch=batch, iterations=steps)
        found = exact.layers[relu.name][unit]
        assert at_most(-answer.upper, -found.upper if sign > 0 else found.lower)
        if answer.proved:
            assert found.upper <= 0 if sign > 0 else found.lower >= 0
            check_tree(answer.tree)
        if answer.point is not None:
            from fractions import Fraction

            values = exact_values(network, [Fraction(v) for v in answer.point.tolist()])
            assert sign * values[relu.source][unit] > 0


def ask(network, bounds, node, unit, sign, **options):
    """One question alone."""
    (answer,) = prove_signs(network, bounds, [SignQuery(node, unit, sign)], **options)
    return answer


def check_tree(tree):
    """Every inner node has both sides, every leaf a bound of at most 0 and hints of its own."""
    for index in range(len(tree.parent)):
        children = np.flatnonzero(tree.parent == index)
        if tree.relu[index] < 0:
            assert not children.size
            assert tree.upper[index] <= 0
            assert tree.leaf[index] == (tree.relu[:index] < 0).sum()
        else:
            assert sorted(tree.side[children]) == [-1, 1]


def absolute_sum(constant):
    """z = relu(x0 + x1) + relu(-x0 - x1) + relu(x0 - x1) + relu(x1 - x0) - constant = 2 max(|x0|, |x1|) - constant."""
    first = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    return chain_network(
        [
            (first, np.zeros(4)),
            (np.array([[1.0, 1.0, 1.0, 1.0]]), np.array([-constant])),
            (np.ones((1, 1)), np.zeros(1)),
        ]
    )


def test_a_sum_of_absolute_values_needs_branching():
    network = absolute_sum(2.1)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    assert bounds["affine1"].upper[0, 0] > 0
    answer = ask(network, bounds, "affine1", 0, 1, iterations=20)
    assert answer.proved
    assert len(answer.tree.parent) > 1
    check_tree(answer.tree)


@given(data=st.data())
def test_a_split_makes_no_bound_worse(data):
    """Without gradient steps a leaf begins with its parent's numbers, and the multipliers of `_split`."""
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=1, linear=False))
    nodes = [relu for relu in network.relus if isinstance(network.by_name.get(relu.source), Affine)]
    if not nodes:
        reject()
    relu = data.draw(st.sampled_from(nodes))
    unit = data.draw(st.integers(0, network.sizes[relu.source] - 1))
    bounds = crown_bounds(network, domain.lower, domain.upper)
    tree = ask(network, bounds, relu.source, unit, 1, max_nodes=40, iterations=0).tree
    for index, up in enumerate(tree.parent):
        if up > 0:  # a root has gradient steps, and its last step need not be its best
            assert tree.upper[index] <= tree.upper[up] + 1e-4 * (1 + abs(tree.upper[up]))


def test_patience_goes_on_with_what_seems_hopeless(monkeypatch):
    """Where the pace is believed from the first node on."""
    monkeypatch.setattr("eqverify.search.sign_branching._TRIAL", 1)
    network = absolute_sum(2.0001)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    assert not ask(network, bounds, "affine1", 0, 1, iterations=20, patience=1e-3).proved
    assert ask(network, bounds, "affine1", 0, 1, iterations=20, patience=np.inf).proved


def test_a_false_claim_is_refuted_by_a_point():
    network = absolute_sum(1.9)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    answer = ask(network, bounds, "affine1", 0, 1)
    assert not answer.proved
    assert 2 * np.abs(answer.point).max() > 1.9


def test_limits_leave_the_question_open():
    network = absolute_sum(2.1)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    for limits in ({"max_nodes": 0}, {"max_nodes": 1}, {"budget": Budget(0.0)}):
        assert not ask(network, bounds, "affine1", 0, 1, **limits).proved


def test_only_affine_nodes_have_signs_to_prove():
    network = absolute_sum(2.1)
    bounds = crown_bounds(network, -np.ones((1, 2)), np.ones((1, 2)))
    with pytest.raises(UsageError, match="usage/question"):
        ask(network, bounds, "relu0", 0, 1)
