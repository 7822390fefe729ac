"""Networks of all operators, written and read again: the same function exactly, and the same for onnxruntime."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eqverify.errors import EqverifyError
from eqverify.export.onnx import round_to, write_network
from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import parse_network
from eqverify.network import Network, outputs_exact

from ..frontend.onnx.onnx_drafts import DRAWERS, models

EXAMPLES = settings(
    deadline=None, max_examples=max(1, settings().max_examples * 3 // 10), suppress_health_check=list(HealthCheck)
)


def ports(network: Network) -> list:
    return [(port.name, port.shape) for port in (*network.inputs, *network.outputs)]


@pytest.mark.parametrize("kind", DRAWERS)
def test_what_is_written_means_the_same(kind):
    @EXAMPLES
    @given(st.data(), st.sampled_from([7, 9, 13, 18, 21]))
    def check(data, opset):
        model, rng = data.draw(models(kind))
        network = parse_network(model)
        written = write_network(network, metadata={}, producer="test", dtype="float64", opset=opset)
        again = parse_network(written)
        assert ports(again) == ports(network)
        point = [Fraction(int(n), 7) for n in rng.integers(-9, 9, network.input_size)]
        assert outputs_exact(again, point) == outputs_exact(network, point)

    check()


@pytest.mark.parametrize("kind", DRAWERS)
def test_onnxruntime_agrees_with_what_is_written(kind):
    @EXAMPLES
    @given(st.data())
    def check(data):
        model, rng = data.draw(models(kind))
        try:
            network = round_to(parse_network(model), "float32")
        except EqverifyError as error:
            assert error.code in ("export/overflow", "network/quotient")
            return
        written = write_network(network, metadata={}, producer="test")
        points = rng.normal(size=(3, network.input_size))
        comparison = compare_with_runtime(written, parse_network(written), points)
        assert comparison.agrees, (comparison, onnx.load_from_string(written))

    check()


def test_a_residual_convolutional_network_uses_what_verifiers_read():
    kernel = np.zeros((2, 2, 3, 3), dtype=np.float32)
    draft = [
        onnx.helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Relu", ["a"], ["r"]),
        onnx.helper.make_node("Conv", ["r", "w"], ["b"], pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Add", ["b", "r"], ["s"]),
        onnx.helper.make_node("Relu", ["s"], ["t"]),
        onnx.helper.make_node("Flatten", ["t"], ["f"]),
        onnx.helper.make_node("Gemm", ["f", "m", "v"], ["y"], transB=1),
    ]
    arrays = {"w": kernel, "m": np.ones((3, 32), dtype=np.float32), "v": np.ones(3, dtype=np.float32)}
    graph = onnx.helper.make_graph(
        draft,
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 2, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 3])],
        initializer=[onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    network = parse_network(model.SerializeToString())
    written = write_network(network, metadata={}, producer="test")
    assert parse_network(written).digest == network.digest
    nodes = onnx.load_from_string(written).graph.node
    assert [node.op_type for node in nodes] == ["Conv", "Relu", "Conv", "Add", "Relu", "Flatten", "Gemm"]
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in nodes[0].attribute}
    explicit = {"kernel_shape": [3, 3], "strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1], "group": 1}
    assert attributes == explicit
