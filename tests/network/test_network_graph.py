"""Invariants of the graph, its digest and its text form."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.errors import InputError
from eqverify.network import (
    Affine,
    Dense,
    Diagonal,
    Identity,
    Network,
    Node,
    Port,
    Relu,
    Selection,
    Term,
    format_network,
)
from eqverify.testing.handmade import one_of_each
from eqverify.testing.strategies import any_networks

X = Port("X", (2,), "float64", "X")
Y = Port("Y", (2,), "float64", "y")
BIAS = np.array([0.0, 0.5])


def affine(name: str, source: str, bias: np.ndarray = BIAS) -> Affine:
    return Affine(name, (Term(source, Dense(np.array([[1.0, 2.0], [-1.0, 0.0]]))),), bias)


def sample_network() -> Network:
    """One node of each kind and one map of each kind."""
    nodes: tuple[Node, ...] = (
        affine("z", "X"),
        Relu("h", "z"),
        Affine(
            "y",
            (
                Term("h", Identity(2)),
                Term("X", Diagonal(np.array([1.0, -2.0]), np.array([3.0, 1.0]))),
                Term("z", Selection(np.array([1, 1]), 2)),
            ),
            np.zeros(2),
        ),
    )
    return Network((X,), nodes, (Y,))


VIOLATIONS: dict[str, tuple[Callable[[], object], str]] = {
    "no input": (lambda: Network((), (), (Y,)), "network/ports"),
    "no output": (lambda: Network((X,), (), ()), "network/ports"),
    "two inputs of one name": (lambda: Network((X, X), (), (replace(Y, source="X"),)), "network/duplicate-name"),
    "two nodes of one name": (
        lambda: Network((X,), (affine("y", "X"), affine("y", "X")), (Y,)),
        "network/duplicate-name",
    ),
    "a node named as an input": (lambda: Network((X,), (Relu("X", "X"),), (Y,)), "network/duplicate-name"),
    "a node before its source": (lambda: Network((X,), (Relu("y", "z"), affine("z", "X")), (Y,)), "network/order"),
    "a node that reads itself": (lambda: Network((X,), (Relu("y", "y"),), (Y,)), "network/order"),
    "an unknown source": (lambda: Network((X,), (affine("y", "nowhere"),), (Y,)), "network/order"),
    "a map of the wrong input size": (
        lambda: Network((X,), (Affine("y", (Term("X", Dense(np.ones((2, 3)))),), np.zeros(2)),), (Y,)),
        "network/shape",
    ),
    "a map of the wrong output size": (
        lambda: Network((X,), (Affine("y", (Term("X", Dense(np.ones((3, 2)))),), np.zeros(2)),), (Y,)),
        "network/shape",
    ),
    "an output of the wrong size": (
        lambda: Network((X,), (affine("y", "X"),), (replace(Y, shape=(3,)),)),
        "network/shape",
    ),
    "an output of nothing": (lambda: Network((X,), (affine("z", "X"),), (Y,)), "network/shape"),
    "a NaN bias": (lambda: Network((X,), (affine("y", "X", np.array([0.0, np.nan])),), (Y,)), "network/not-finite"),
    "an infinite weight": (
        lambda: Network((X,), (Affine("y", (Term("X", Dense(np.full((2, 2), np.inf))),), BIAS),), (Y,)),
        "network/not-finite",
    ),
}


@pytest.mark.parametrize("case", VIOLATIONS)
def test_each_violated_invariant_has_its_code(case: str) -> None:
    make, code = VIOLATIONS[case]
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.exit_status == 3


@given(any_networks())
def test_counts_and_sizes_agree(network: Network) -> None:
    assert network.relu_count == sum(network.sizes[relu.source] for relu in network.relus)
    assert network.input_size == sum(port.size for port in network.inputs)
    assert network.output_size == sum(network.sizes[port.source] for port in network.outputs)
    assert set(network.by_name) | {port.name for port in network.inputs} == set(network.sizes)


def test_parameters_count_weights_biases_and_scales() -> None:
    assert sample_network().parameter_count == (4 + 2) + (2 + 2) + 2


def test_a_symbolic_extent_counts_as_one() -> None:
    assert Port("X", ("batch", 3, 2), "float32", "X").size == 6
    assert Port("X", (), "float32", "X").size == 1


def changed_parameters(network: Network, node_index: int, flat: int) -> Network | None:
    """The network with one bias changed; None where the node has no such bias."""
    node = network.nodes[node_index]
    if not isinstance(node, Affine):
        return None
    bias = node.bias.copy()
    bias[flat % node.size] = np.nextafter(bias[flat % node.size], np.inf)
    nodes = (*network.nodes[:node_index], replace(node, bias=bias), *network.nodes[node_index + 1 :])
    return Network(network.inputs, nodes, network.outputs)


@given(any_networks(), st.integers(0, 100), st.integers(0, 100))
def test_digest_sees_the_last_bit_of_every_bias(network: Network, node: int, flat: int) -> None:
    other = changed_parameters(network, node % len(network.nodes), flat)
    assert other is None or other.digest != network.digest


def test_digest_sees_every_change_of_the_sample() -> None:
    network = sample_network()
    z, h, y = network.nodes
    assert isinstance(y, Affine)
    assert isinstance(z, Affine)

    def with_terms(*terms: Term) -> Network:
        return Network(network.inputs, (z, h, replace(y, terms=terms)), network.outputs)

    one, two, three = y.terms
    weight = np.array([[1.0, 2.0], [-1.0, np.nextafter(0.0, 1.0)]])
    variants = [
        network,
        Network((replace(X, element="float32"),), network.nodes, network.outputs),
        Network((replace(X, shape=(1, 2)),), network.nodes, network.outputs),
        Network(network.inputs, network.nodes, (replace(Y, name="Q"),)),
        Network(network.inputs, network.nodes, (replace(Y, source="h"),)),
        Network(network.inputs, (replace(z, terms=(Term("X", Dense(weight)),)), h, y), network.outputs),
        Network(network.inputs, (z, Relu("h", "X"), y), network.outputs),
        with_terms(one, two),
        with_terms(two, one, three),
        with_terms(replace(one, source="z"), two, three),
        with_terms(one, Term("X", Diagonal(np.array([1.0, -2.0]), np.array([3.0, 2.0]))), three),
        with_terms(one, Term("X", Diagonal(np.array([1.0, 2.0]), np.array([3.0, 1.0]))), three),
        with_terms(one, two, Term("z", Selection(np.array([1, 0]), 2))),
        with_terms(one, two, Term("z", Dense(np.array([[0.0, 1.0], [0.0, 1.0]])))),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)


def test_digest_does_not_tell_minus_zero_from_zero() -> None:
    negative = Network((X,), (affine("y", "X", np.array([-0.0, 0.5])),), (Y,))
    assert negative.digest == Network((X,), (affine("y", "X"),), (Y,)).digest


def test_digest_is_the_same_in_another_process() -> None:
    program = (
        "import numpy as np\n"
        "from eqverify.testing.handmade import one_of_each\n"
        "problem = one_of_each()\n"
        "print(problem.network.digest, problem.domain.digest)"
    )
    command = [sys.executable, "-c", program]
    runs = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        runs.add(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    problem = one_of_each()
    assert runs == {f"{problem.network.digest} {problem.domain.digest}\n"}


def test_digest_delimits_the_bias_of_a_constant_node() -> None:
    """Two different networks whose parts, written one after the other, are one string of bytes."""

    def header(name: str) -> bytes:
        return repr(("Affine", name, ())).encode()

    def constant(name: str, values: bytes) -> Affine:
        return Affine(name, (), np.frombuffer(values, dtype="<f8"))

    def name(start: str) -> str:
        """A name whose header fills whole float64 numbers."""
        return start + "_" * (-len(header(start)) % 8)

    first, last, shown = name("a"), name("b"), name("c")
    one, two = np.array([1.0]).tobytes(), np.array([2.0]).tobytes()
    port = Port("Y", (1,), "float64", shown)
    reads_one = (constant(first, one), constant(shown, one), constant(last, two + header(shown) + two))
    swallowed = one + header(shown) + one + header(last) + two
    reads_two = (constant(first, swallowed), constant(shown, two))
    assert Network((X,), reads_one, (port,)).digest != Network((X,), reads_two, (port,)).digest


def test_text_form_is_golden() -> None:
    network = sample_network()
    assert format_network(network) == "\n".join(
        [
            f"network {network.digest[:16]}",
            "input X float64[2]",
            "affine z (2) = dense[2x2] [[ 1., 2.], [-1., 0.]] X + [0. ,0.5]",
            "relu h (2) = max(0, z)",
            "affine y (2) = identity[2x2] h + diagonal[2x2] [ 1.,-2.] [3.,1.] X + selection[2x2] [1,1] z + [0.,0.]",
            "output Y float64[2] = y",
            "",
        ]
    )


def test_text_form_shortens_large_arrays() -> None:
    matrix = np.arange(50.0).reshape(2, 25)
    port = Port("X", ("N", 25), "float32", "X")
    network = Network((port,), (Affine("y", (Term("X", Dense(matrix)),), BIAS),), (Y,))
    text = format_network(network)
    assert "<2x25 " in text
    assert "float32[N,25]" in text
    assert max(len(line) for line in text.splitlines()) < 80


@pytest.mark.parametrize(
    "make",
    [
        lambda: Network((X,), (affine("y", "X"),), (Y, Y)),
        lambda: Network((replace(X, source="Q"),), (affine("y", "X"),), (Y,)),
        lambda: Network((replace(X, shape=(-2, -1)),), (affine("y", "X"),), (Y,)),
        lambda: Diagonal(np.ones(2), np.ones(3)),
    ],
    ids=["two outputs of one name", "an input with a source", "a negative extent", "a diagonal of two lengths"],
)
def test_further_malformed_objects_are_rejected(make: object) -> None:
    with pytest.raises(InputError):
        make()  # type: ignore[operator]
