"""Networks that are one function by their structure, whatever a writer and a reader made of their nodes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from eqverify.errors import InputError
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import parse_network
from eqverify.network import Affine, Dense, Diagonal, Identity, Network, Port, Relu, Selection, Term
from eqverify.network.sameness import same_function
from eqverify.testing.strategies import any_networks
from eqverify.transform.structured import read_nodes


def all_read(network):
    """A reader leaves out what no output depends on."""
    return len(read_nodes(network)) == len(network.nodes)


@given(any_networks())
def test_what_is_written_and_read_back_is_the_same(network):
    try:
        data = write_network(network, metadata={}, producer="test", dtype=network.inputs[0].element)
    except InputError:
        assume(False)
    assume(all(node.terms for node in network.nodes if isinstance(node, Affine)))  # else zeros are written for them
    assume(all_read(network))
    assert same_function(network, parse_network(data))


@given(any_networks(), st.data())
def test_another_number_is_another_function(network, data):
    affine = [k for k, node in enumerate(network.nodes) if isinstance(node, Affine)]
    nodes, place = list(network.nodes), data.draw(st.sampled_from(affine))
    assume(nodes[place] in read_nodes(network))
    bias = np.array(nodes[place].bias)
    bias[data.draw(st.integers(0, bias.size - 1))] += 1.0
    nodes[place] = Affine(nodes[place].name, nodes[place].terms, bias)
    assert same_function(network, network)
    assert not same_function(network, Network(network.inputs, tuple(nodes), network.outputs))


def one_layer(*nodes) -> Network:
    last = nodes[-1].name
    return Network((Port("x", (1, 2), "float64", "x"),), nodes, (Port("y", (1, 2), "float64", last),))


W = Dense(np.array([[1.0, 2.0], [3.0, 4.0]]))
HALF = Diagonal(np.array([3.0, 5.0]), np.array([7.0, 1.0]))
APART = (
    Affine("a", (Term("x", Diagonal(np.ones(2), HALF.divisor)),), np.zeros(2)),
    Affine("b", (Term("a", Diagonal(HALF.scale, np.ones(2))),), np.zeros(2)),
)
SAME = {
    "a factor and a quotient apart": (one_layer(Affine("y", (Term("x", HALF),), np.zeros(2))), one_layer(*APART)),
    "a sum in two nodes": (
        one_layer(Affine("y", (Term("x", W), Term("x", Identity(2))), np.ones(2))),
        one_layer(
            Affine("a", (Term("x", W),), np.ones(2)),
            Affine("y", (Term("a", Identity(2)), Term("x", Identity(2))), np.zeros(2)),
        ),
    ),
}  # fmt: skip
DIFFERENT = {
    "twice the term": one_layer(Affine("y", (Term("x", W), Term("x", W)), np.zeros(2))),
    "another order": one_layer(Affine("y", (Term("x", Selection(np.array([1, 0]), 2)),), np.zeros(2))),
    "a ReLU before": one_layer(Relu("h", "x"), Affine("y", (Term("h", W),), np.zeros(2))),
    "a ReLU after": one_layer(Affine("z", (Term("x", W),), np.zeros(2)), Relu("y", "z")),
    "a bias through a map": one_layer(
        Affine("z", (), np.ones(2)), Affine("y", (Term("x", W), Term("z", W)), np.zeros(2))
    ),
    "nothing": one_layer(Affine("y", (), np.zeros(2))),
    "itself": one_layer(Affine("y", (Term("x", W),), np.zeros(2))),
}  # fmt: skip


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_one_function_written_in_two_ways(pair):
    assert same_function(*pair)


def test_all_of_these_differ():
    listed = list(DIFFERENT.values())
    for k, one in enumerate(listed):
        assert [same_function(one, other) for other in listed] == [k == m for m in range(len(listed))]


def test_sums_that_would_be_written_out_too_long_are_not_looked_at():
    names = ["x", *(f"s{k}" for k in range(20))]
    network = one_layer(
        *(
            Affine(after, (Term(before, Dense(W.matrix + k)), Term(before, Identity(2))), np.zeros(2))
            for k, (before, after) in enumerate(pairwise(names))
        )
    )
    assert not same_function(network, network)
