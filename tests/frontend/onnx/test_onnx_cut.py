"""Models with opaque operators: front and tail together are the model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from eqverify.cli.description import describe_network
from eqverify.errors import EqverifyError
from eqverify.export.onnx import join, round_to, write_network
from eqverify.export.runtime import compare_with_runtime, run_model
from eqverify.frontend.onnx import Front, describe, parse_front, parse_network, read_front
from eqverify.network import Network

from .onnx_drafts import DRAWERS, models

EXAMPLES = settings(deadline=None, max_examples=2 * settings().max_examples, suppress_health_check=list(HealthCheck))
FLOAT = TensorProto.FLOAT


def node(operator, inputs, *outputs, **attributes):
    return helper.make_node(operator, inputs.split(), list(outputs), **attributes)


def build(nodes, *, outputs=("y",), shape=("N", 3), out=(), opset=13, **arrays) -> bytes:
    ports = [helper.make_tensor_value_info(name, FLOAT, list(out or shape)) for name in outputs]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    inputs = [helper.make_tensor_value_info("x", FLOAT, list(shape))]
    graph = helper.make_graph(nodes, "g", inputs, ports, initializer=tensors)
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=8).SerializeToString()


W = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
LAYER = [node("MatMul", "x w", "a"), node("Relu", "a", "r")]
CAPTURING = helper.make_graph(
    [helper.make_node("Mul", ["r", "r"], ["square"])],
    "then",
    [],
    [helper.make_tensor_value_info("square", FLOAT, ["a", "b"])],
)
CASES = {
    "softmax": build([*LAYER, node("Softmax", "r", "y", axis=1)], w=W),
    "two tensors": build([*LAYER, node("Tanh", "a", "t"), node("Mul", "t r", "y")], w=W),
    "reads the input": build([*LAYER, node("Sigmoid", "x", "s"), node("Mul", "s r", "y")], w=W),
    "layers behind": build([*LAYER, node("Exp", "r", "e"), node("MatMul", "e w", "m"), node("Relu", "m", "y")], w=W),
    "several outputs": build([*LAYER, node("Tanh", "r", "y"), node("Neg", "r", "n")], outputs=("n", "y", "a"), w=W),
    "an output at the cut": build([*LAYER, node("Tanh", "r", "y")], outputs=("y", "r"), w=W),
    "constants behind": build(
        [
            *LAYER,
            node("Identity", "s", "k"),
            node("Pow", "r k", "p"),
            node("Shape", "r", "h"),
            node("Reshape", "p h", "y"),
        ],
        w=W,
        s=np.float32(2.0),
    ),
    "a form that is not read": build([*LAYER, node("Mul", "r a", "q"), node("Relu", "q", "y")], w=W),
    "second output": build(
        [
            node("Reshape", "x s", "i"),
            node("MaxPool", "i", "m", "n", kernel_shape=[1, 2]),
            node("Cast", "n", "c", to=1),
            node("Add", "m c", "y"),
        ],
        s=np.array([1, 1, 1, 3]),
        shape=(1, 3),
        out=(1, 1, 1, 3),
    ),
    "a graph inside": build(
        [*LAYER, helper.make_node("If", ["b"], ["y"], then_branch=CAPTURING, else_branch=CAPTURING)],
        w=W,
        b=np.array(True),
        shape=(1, 3),
    ),
}


def joined(front: Front, dtype="float32") -> bytes:
    assert front.tail is not None
    written = write_network(front.network, metadata={}, producer="test", dtype=dtype, opset=front.tail.opset)
    return join(written, front.tail)


def ports_of(data: bytes) -> list:
    graph = onnx.load_from_string(data).graph
    return [(info.name, info.type.tensor_type.elem_type) for info in (*graph.input, *graph.output)]


@pytest.mark.parametrize("case", CASES)
def test_front_and_tail_are_the_model(case):
    data = CASES[case]
    with pytest.raises(EqverifyError):
        parse_network(data)
    front = parse_front(data)
    whole = joined(front)
    assert ports_of(whole) == ports_of(data)
    points = np.random.default_rng(1).normal(size=(20, 3))
    # The front is one product here, so onnxruntime computes the very same numbers.
    np.testing.assert_array_equal(run_model(whole, points, one_by_one=True), run_model(data, points, one_by_one=True))


def test_where_and_why():
    front = parse_front(CASES["two tensors"])
    assert front.cut is not None
    assert front.tail is not None
    assert front.cut.tensors == ("a", "r")
    assert [port.name for port in front.network.outputs] == ["a", "r"]
    assert [port.shape for port in front.network.outputs] == [("N", 3), ("N", 3)]
    assert [(o.node, o.operator, o.code) for o in front.cut.opaque] == [("t", "Tanh", "onnx/unsupported-operator")]
    assert (front.cut.relus, front.cut.copied) == (3, 2)
    assert front.tail.operators == ("Tanh", "Mul")
    assert (front.tail.inputs, front.tail.outputs) == (("a", "r"), ("y",))
    assert describe(CASES["two tensors"]).cut == front.cut


def test_info_says_where_and_why(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(CASES["two tensors"])
    shown = dict(describe_network(path))
    assert shown["supported"] is False
    assert (shown["cut at"], shown["because of"]) == ("a, r", "Tanh t")
    assert (shown["before the cut"], shown["behind the cut"]) == ("3 ReLUs", "2 nodes, copied")


def test_outputs_before_the_cut_come_last():
    front = parse_front(CASES["several outputs"])
    assert [port.name for port in front.network.outputs] == ["r", "n", "a"]


def test_without_opaque_operators_the_front_is_the_network(tmp_path):
    data = build(LAYER, outputs=("r",), w=W)
    path = tmp_path / "net.onnx"
    path.write_bytes(data)
    front = read_front(path)
    assert (front.tail, front.cut) == (None, None)
    assert front.network.digest == parse_network(data).digest
    assert describe(path).cut is None


def test_what_is_wrong_is_no_cut():
    data = build([*LAYER, node("Tanh", "r", "t"), node("Add", "r c", "y")], outputs=("t", "y"), w=W, c=np.ones(2, "f"))
    with pytest.raises(EqverifyError, match="onnx/shape-mismatch"):
        parse_front(data)
    assert describe(data).cut is None


def test_nothing_before_the_cut_is_an_error():
    data = build([node("Tanh", "x", "t"), node("MatMul", "t w", "y")], w=W)
    with pytest.raises(EqverifyError, match="onnx/unsupported-operator"):
        parse_front(data)
    assert describe(data).cut is None


def test_inner_names_of_the_front_give_way():
    front = parse_front(CASES["layers behind"])
    network = front.network
    affine, relu = network.nodes
    renamed = (type(affine)("m", affine.terms, affine.bias), type(relu)(relu.name, "m"))
    whole = joined(Front(Network(network.inputs, renamed, network.outputs), front.tail, front.cut))
    points = np.ones((2, 3))
    np.testing.assert_array_equal(run_model(whole, points), run_model(CASES["layers behind"], points))


def test_parts_that_do_not_fit_are_refused():
    front = parse_front(CASES["two tensors"])
    tail, network = front.tail, front.network
    write = lambda n, **options: write_network(n, metadata={}, producer="test", **options)  # noqa: E731
    other = Network(network.inputs, network.nodes, network.outputs[:1])
    double = write(network, dtype="float64", opset=13)
    later = parse_front(CASES["several outputs"])
    partial = Network(later.network.inputs, later.network.nodes, later.network.outputs[:1])
    for head, behind in (
        (write(network, opset=12), tail),
        (write(other), tail),
        (double, tail),
        (write(partial), later.tail),
    ):
        with pytest.raises(EqverifyError) as caught:
            join(head, behind)
        assert caught.value.code == "export/join"


@EXAMPLES
@given(st.data())
def test_any_front_before_an_opaque_operator(data):
    drawn, rng = data.draw(models(data.draw(st.sampled_from(sorted(DRAWERS)))))
    model = onnx.load_from_string(drawn)
    first = model.graph.output[0]
    model.graph.node.append(helper.make_node("Tanh", [first.name], ["opaque"]))
    port = model.graph.output.add()
    port.CopyFrom(first)
    port.name = "opaque"
    front = parse_front(model.SerializeToString())
    assert front.cut is not None
    assert front.cut.tensors == (first.name,)
    assert front.network.digest == parse_network(drawn).digest
    dtype = front.network.inputs[0].element
    try:
        network = round_to(front.network, dtype)
    except EqverifyError as error:
        assert error.code in ("export/overflow", "network/quotient")
        return
    whole = joined(Front(network, front.tail, front.cut), dtype)
    assert ports_of(whole) == [entry for entry in ports_of(model.SerializeToString()) if entry[0] in ports_named(front)]
    if dtype == "float32":  # onnxruntime has no double-precision kernels for some operators
        written = write_network(network, metadata={}, producer="test")
        points = rng.normal(size=(2, network.input_size))
        comparison = compare_with_runtime(whole, parse_network(written), points)
        assert comparison.agrees, comparison


def ports_named(front: Front) -> set[str]:
    """The names of all ports of the original but stored numbers, which old files list as inputs."""
    assert front.tail is not None
    return {port.name for port in (*front.network.inputs, *front.network.outputs)} | set(front.tail.outputs)
