"""The comparison with onnxruntime notices wrong networks, however deep."""

from __future__ import annotations

import numpy as np
import pytest

from eqverify.errors import EqverifyError
from eqverify.export.onnx import write_network
from eqverify.export.runtime import compare_with_runtime, run_model
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate

POINTS = np.random.default_rng(1).normal(size=(50, 6))


def deep(batch="N", change: float = 0.0) -> Network:
    """Ten layers; `change` moves weights of the fifth."""
    rng, nodes, previous = np.random.default_rng(0), [], "x"
    for index in range(10):
        matrix = rng.normal(size=(6, 6)).astype(np.float32).astype(np.float64)
        matrix[:, 2] += change if index == 4 else 0.0
        nodes += [
            Affine(f"z{index}", (Term(previous, Dense(matrix)),), np.full(6, 0.5)),
            Relu(f"h{index}", f"z{index}"),
        ]
        previous = f"h{index}"
    return Network(
        (Port("x", (batch, 6), "float32", "x"),), tuple(nodes), (Port("y", (batch, 6), "float32", previous),)
    )


def model(batch="N") -> bytes:
    return write_network(deep(batch), metadata={}, producer="test")


@pytest.mark.parametrize("batch", ["N", 1])
def test_equal_networks_agree(batch):
    comparison = compare_with_runtime(model(batch), deep(batch), POINTS)
    assert comparison.agrees
    assert comparison.points == 50
    assert 0 < comparison.largest_deviation < 1e-4
    assert 0 < comparison.largest_allowed < 1e-4
    assert comparison.first is None
    assert 0 < comparison.worst_ratio <= 1


def test_slightly_wrong_weights_are_noticed_and_placed():
    comparison = compare_with_runtime(model(), deep(change=1e-4), POINTS)
    assert not comparison.agrees
    assert comparison.worst_node == "z4"
    assert comparison.first is not None
    assert comparison.first.node == "z4"
    assert abs(comparison.first.model - comparison.first.network) > comparison.first.allowed


def test_a_wrong_bias_of_the_last_layer_is_noticed():
    network = deep()
    last = network.by_name["z9"]
    nodes = tuple(Affine("z9", last.terms, last.bias + 1e-3) if n.name == "z9" else n for n in network.nodes)
    assert not compare_with_runtime(model(), Network(network.inputs, nodes, network.outputs), POINTS).agrees


def test_not_a_number_never_agrees():
    with np.errstate(all="ignore"):
        assert not compare_with_runtime(model(), deep(), np.full((1, 6), 1e38)).agrees


def test_no_points_agree():
    assert compare_with_runtime(model(), deep(), np.zeros((0, 6))).agrees


@pytest.mark.parametrize("batch", ["N", 1])
def test_run_model_returns_one_row_per_point(batch):
    np.testing.assert_allclose(run_model(model(batch), POINTS), evaluate(deep(), POINTS), rtol=1e-3)
    np.testing.assert_allclose(run_model(model(batch), POINTS, one_by_one=True), evaluate(deep(), POINTS), rtol=1e-3)


def test_bad_models_and_points():
    with pytest.raises(EqverifyError) as caught:
        run_model(b"nonsense", POINTS)
    assert caught.value.code == "runtime/rejected"
    for width in (5, 7):
        with pytest.raises(EqverifyError) as caught:
            run_model(model(), np.zeros((1, width)))
        assert caught.value.code == "runtime/arity"
