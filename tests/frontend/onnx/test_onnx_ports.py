"""Inputs whose first axis is no batch, outputs without a shape or that are inputs; bounds of Clip by their side."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.export.onnx import write_network
from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import parse_network
from eqverify.network import outputs_exact

LARGEST = float(np.finfo(np.float32).max)


def built(nodes, shape, outputs, stored, opset=13) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", [x], outputs, initializer=tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8).SerializeToString()


def shown(name, shape=None):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def agrees_and_is_written(model: bytes) -> None:
    """The network runs as it was read, and so does what is written of it."""
    network = parse_network(model)
    points = np.random.default_rng(0).normal(size=(8, network.input_size))
    assert compare_with_runtime(model, network, points).agrees
    written = write_network(network, metadata={}, producer="test")
    onnx.checker.check_model(written)
    assert compare_with_runtime(written, parse_network(written), points).agrees
    x = [Fraction(value) for value in points[0].tolist()]
    assert outputs_exact(parse_network(written), x) == outputs_exact(network, x)


@pytest.mark.parametrize("shape", [[2, 4], [3, 4], [2, 1, 4]])
def test_the_first_axis_of_an_input_need_not_be_a_batch(shape):
    w = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Relu", ["m"], ["r"]),
        helper.make_node("ReduceSum", ["r", "axis"], ["y"], keepdims=0),
    ]
    agrees_and_is_written(built(nodes, shape, [shown("y")], {"w": w, "axis": np.array([0])}))


def test_an_output_needs_no_shape():
    agrees_and_is_written(built([helper.make_node("Relu", ["x"], ["y"])], [1, 3], [shown("y")], {}))
    agrees_and_is_written(built([helper.make_node("Relu", ["x"], ["y"])], [1, 3], [onnx.ValueInfoProto(name="y")], {}))


def test_an_output_can_be_an_input():
    model = built([helper.make_node("Relu", ["x"], ["y"])], [1, 3], [shown("y", [1, 3]), shown("x", [1, 3])], {})
    agrees_and_is_written(model)
    assert [port.name for port in parse_network(model).outputs] == ["y", "x"]


@pytest.mark.parametrize("opset", [9, 11, 13])
@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (None, -LARGEST, -LARGEST),
        (LARGEST, None, LARGEST),
        (-LARGEST, LARGEST, None),
        (-np.inf, np.inf, None),
        (-LARGEST, -LARGEST, -LARGEST),
        (-1.0, LARGEST, None),
        (-LARGEST, -1.0, -1.0),
    ],
)
def test_a_bound_of_clip_is_none_at_its_own_side_only(opset, low, high, expected):
    bounds = {name: value for name, value in (("min", low), ("max", high)) if value is not None}
    if opset < 11:
        nodes, stored = [helper.make_node("Clip", ["x"], ["y"], **bounds)], {}
    else:
        names = ["x", *(name if name in bounds else "" for name in ("min", "max"))]
        nodes, stored = [helper.make_node("Clip", names, ["y"])], {k: np.float32(v) for k, v in bounds.items()}
    model = built(nodes, [1, 1], [shown("y")], stored, opset)
    network = parse_network(model)
    assert outputs_exact(network, [Fraction(0)]) == [Fraction(0) if expected is None else Fraction(expected)]
    assert compare_with_runtime(model, network, np.zeros((1, 1))).agrees
