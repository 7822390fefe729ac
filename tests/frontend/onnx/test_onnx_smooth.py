"""Operators that become smooth nodes: read as they run where that is wanted, cut at elsewhere, and written back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

from eqverify.errors import InputError
from eqverify.export.comparison import compare_reading
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import parse_front, parse_network
from eqverify.frontend.onnx.functions import UNFOLDED
from eqverify.frontend.onnx.operators.smooth import FUNCTIONS
from eqverify.frontend.onnx.table import registered
from eqverify.functions import Power, Reciprocal, Sigmoid, Sqrt, Tanh
from eqverify.network import Smooth, meaning
from eqverify.network.sameness import same_function

ROOT = Path(__file__).parents[3]
OPERATORS = list(FUNCTIONS)
POWERS = {2.0: Power(2), 3.0: Power(3), 7.0: Power(7), 0.5: Sqrt(), -1.0: Reciprocal()}
WEIGHTS = np.float32([[0.5, 1.5], [0.25, 0.75], [1.0, 2.0]])


def model(*behind, opset=13, **stored):
    """A dense layer of positive numbers, ReLUs, then nodes (operator, inputs) from ``r`` on to ``y``."""
    start = [helper.make_node("Gemm", ["x", "w", "b"], ["z"], transB=1), helper.make_node("Relu", ["z"], ["r"])]
    nodes = [helper.make_node(operator, inputs.split(), [output]) for operator, inputs, output in behind]
    values = {"w": WEIGHTS, "b": [0.0, 0.0, 0.0], **stored}
    graph = helper.make_graph(
        [*start, *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3])],
        [numpy_helper.from_array(np.float32(value), name) for name, value in values.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(made)
    return made.SerializeToString()


POINTS = np.random.default_rng(0).uniform(0.25, 2, size=(20, 2))


@pytest.mark.parametrize("operator", OPERATORS)
def test_an_operator_is_read_as_it_runs(operator):
    since = min(schema.since_version for schema in defs.get_all_schemas_with_history() if schema.name == operator)
    for opset in sorted({max(7, since), 13, 20}):
        data = model((operator, "r", "y"), opset=opset)
        network = parse_front(data, smooth=True).network
        assert [type(node.function).__name__ for node in network.smooth] == [operator]
        assert compare_reading(data, network, POINTS) == (len(POINTS), "")


@pytest.mark.parametrize("exponent", POWERS)
def test_powers_are_read_as_they_run(exponent):
    data = model(("Pow", "r p", "y"), p=[exponent])
    network = parse_front(data, smooth=True).network
    assert [node.function for node in network.smooth] == [POWERS[exponent]]
    assert compare_reading(data, network, POINTS) == (len(POINTS), "")


@pytest.mark.parametrize("exponent", [2.5, -2.0, 65.0])
def test_other_powers_are_cut_at(exponent):
    front = parse_front(model(("Pow", "r p", "y"), p=[exponent]), smooth=True)
    assert front.tail.operators == ("Pow",)


def test_a_function_read_as_another_one_is_noticed():
    data = model(("Sigmoid", "r", "y"))
    network = parse_front(data, smooth=True).network
    wrong = [Smooth(n.name, n.argument, Tanh()) if isinstance(n, Smooth) else n for n in network.nodes]
    with pytest.raises(InputError) as caught:
        compare_reading(data, replace(network, nodes=tuple(wrong)), POINTS)
    assert caught.value.code == "read/differs"


@pytest.mark.parametrize("operator", OPERATORS)
def test_where_smooth_nodes_are_not_wanted_it_is_as_before(operator):
    data = model((operator, "r", "s"), ("Relu", "s", "y"))
    assert parse_front(data).tail.operators == (operator, "Relu")
    with pytest.raises(InputError) as caught:
        parse_network(data)
    assert caught.value.code == "onnx/unsupported-operator"
    assert "smooth node" in caught.value.hint


@pytest.mark.parametrize("function", [Sigmoid(), Power(3)])
def test_what_is_written_is_read_again(function):
    network = parse_front(model(("Sigmoid", "r", "s"), ("Neg", "s", "y")), smooth=True).network
    nodes = [Smooth(n.name, n.argument, function) if isinstance(n, Smooth) else n for n in network.nodes]
    network = replace(network, nodes=tuple(nodes))
    again = parse_front(write_network(network, metadata={}, producer="test"), smooth=True).network
    assert same_function(network, again)
    assert [node.function for node in again.smooth] == [function]


def test_the_specification_lists_them_all():
    text = (ROOT / "specs" / "onnx.md").read_text("utf-8")
    section = text[text.index("## Smooth operators") :]
    for operator in [*(entry.name for entry in registered(smooth=True)), *UNFOLDED, "Pow"]:
        assert f"`{operator}`" in section


PRODUCT = "a product of two values"
PRODUCTS = {
    "two branches": ([("MatMul", "r m", "s"), ("Mul", "r s", "y")], [PRODUCT]),
    "broadcast": ([("ReduceSum", "r", "s"), ("Mul", "s r", "y")], [PRODUCT]),
    "square": ([("Mul", "r r", "y")], ["Power 2"]),
    "silu": ([("Sigmoid", "r", "s"), ("Mul", "s r", "y")], ["Silu"]),
    "quotient": (
        [("Div", "r p", "q"), ("Add", "r e", "s"), ("Div", "q s", "y")],
        ["Reciprocal", PRODUCT],
    ),
    "constant dividend": ([("Add", "r e", "s"), ("Div", "p s", "y")], ["Reciprocal"]),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_products_and_quotients_are_read_as_they_run(name):
    nodes, expected = PRODUCTS[name]
    matrix = [[1, -1, 0.5], [0.5, 1, -1], [-1, 0, 1]]
    data = model(*nodes, m=matrix, p=[1.5, 2.0, 0.5], e=[0.5, 0.25, 1.0], opset=11 if "ReduceSum" in str(nodes) else 13)
    network = parse_front(data, smooth=True).network
    used = {name for node in network.nodes for name in node.sources} | {port.source for port in network.outputs}
    assert [meaning(node) for node in network.smooth if node.name in used] == expected
    assert compare_reading(data, network, POINTS) == (len(POINTS), "")
    again = parse_front(write_network(network, metadata={}, producer="test"), smooth=True).network
    assert same_function(network, again)
    with pytest.raises(InputError):
        parse_network(data)


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_softmax_is_read_as_it_runs(axis, opset):
    nodes = [
        helper.make_node("Softmax", ["x"], ["s"], axis=axis),
        helper.make_node("Neg", ["s"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 3, 2]) for name in ("x", "y")]
    made = helper.make_model(
        helper.make_graph(nodes, "g", ports[:1], ports[1:]),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=8,
    )
    data = made.SerializeToString()
    network = parse_front(data, smooth=True).network
    points = np.random.default_rng(0).normal(size=(5, 12))
    assert compare_reading(data, network, points) == (5, "")


@pytest.mark.parametrize("opset", [11, 13])
def test_a_last_softmax_is_cut_at(opset):
    front = parse_front(model(("Softmax", "r", "y"), opset=opset), smooth=True)
    assert front.tail.operators == ("Softmax",)
    assert not front.network.smooth


@pytest.mark.parametrize(("left", "right"), [([3, 4], [4, 2]), ([2, 3, 4], [2, 4, 2]), ([2, 1, 3, 2], [1, 5, 2, 2])])
def test_products_of_computed_matrices_are_read_as_they_run(left, right):
    graph = helper.make_graph(
        [helper.make_node("Relu", ["a"], ["r"]), helper.make_node("MatMul", ["r", "b"], ["y"])],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in (("a", left), ("b", right))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, list(np.matmul(np.ones(left), np.ones(right)).shape))],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
    network = parse_front(data, smooth=True).network
    points = np.random.default_rng(0).normal(size=(5, network.input_size))
    assert compare_reading(data, network, points) == (5, "")


MADE_OF_OTHERS = [
    ("Elu", {"alpha": 0.7}, (7, 13, 22)),
    ("Celu", {"alpha": 0.7}, (12, 22)),
    ("Celu", {}, (13,)),
    ("Selu", {}, (7, 13, 22)),
    ("Selu", {"alpha": 1.5, "gamma": 0.75}, (22,)),
    ("Gelu", {}, (20,)),
    ("Gelu", {"approximate": "tanh"}, (20,)),
    ("HardSwish", {}, (14, 22)),
    ("Mish", {}, (18, 22)),
    ("Softsign", {}, (22,)),
    ("MeanVarianceNormalization", {"axes": [1, 2]}, (13,)),
    ("ReduceL2", {}, (18,)),
    ("ReduceSumSquare", {"keepdims": 0}, (18,)),
    ("Swish", {"alpha": 1.25}, (24,)),
    ("LogSoftmax", {"axis": 1}, (13, 18)),
    ("InstanceNormalization c d", {"epsilon": 0.125}, (7, 13, 22)),
    ("LayerNormalization s b", {}, (17,)),
    ("LayerNormalization s", {"axis": 2, "epsilon": 0.01}, (20,)),
    ("RMSNormalization s", {}, (23,)),
    ("GroupNormalization c d", {"num_groups": 2}, (21,)),
]


@pytest.mark.parametrize(("call", "attributes", "opsets"), MADE_OF_OTHERS, ids=str)
def test_what_is_made_of_functions_is_read_as_it_runs(call, attributes, opsets):
    operator, *parameters = call.split()
    stored = {"w": np.arange(-3, 5).reshape(1, 4, 2) / 4 + 0.125, "s": [1.5, 0.5], "b": [0.25, -0.5]}
    stored |= {"c": [1.0, 2.0, -0.5, 0.75], "d": [0.5, 0.0, 1.0, -1.0]}
    nodes = [helper.make_node("Mul", ["x", "w"], ["r"]), helper.make_node("Neg", ["f"], ["y"])]
    nodes.insert(1, helper.make_node(operator, ["r", *parameters], ["f"], **attributes))
    for opset in opsets:
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, 2])],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.float32(value), name) for name, value in stored.items()],
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        data = made.SerializeToString()
        front = parse_front(data, smooth=True)
        assert front.tail is None
        points = np.random.default_rng(0).normal(size=(20, 8))
        assert compare_reading(data, front.network, points) == (20, "")
        with pytest.raises(InputError) as caught:
            parse_network(data)
        assert "smooth node" in caught.value.hint


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize(("operator", "gates"), [("LSTM", 4), ("GRU", 3), ("GRU reset", 3), ("RNN", 1)])
@pytest.mark.parametrize("initial", [False, True])
def test_a_recurrent_operator_is_read_as_it_runs(operator, gates, direction, initial):
    length, batch, width, hidden, count = 3, 2, 2, 3, 2 if direction == "bidirectional" else 1
    random = np.random.default_rng(4)
    shapes = {
        "w": (count, gates * hidden, width),
        "r": (count, gates * hidden, hidden),
        "b": (count, 2 * gates * hidden),
    }
    shapes |= {"h": (count, batch, hidden), "c": (count, batch, hidden)}
    stored = {name: np.float32(random.normal(size=shape)) for name, shape in shapes.items()}
    inputs = ["x", "w", "r", "b", "", *(["h", "c"] if operator == "LSTM" else ["h"])][: None if initial else 4]
    results = ["all", "last", *(["memory"] if operator == "LSTM" else [])]
    given = {"hidden_size": hidden, "direction": direction}
    operator, *reset = operator.split()
    given |= {"linear_before_reset": 1} if reset else {}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in results]
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, results, **given)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [length, batch, width])],
        ports,
        [numpy_helper.from_array(value, name) for name, value in stored.items() if name in inputs],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()
    front = parse_front(data, smooth=True)
    assert front.tail is None
    assert front.network.output_size == count * batch * hidden * (length + len(results) - 1)
    points = np.random.default_rng(0).normal(size=(8, length * batch * width))
    assert compare_reading(data, front.network, points) == (8, "")


@pytest.mark.parametrize(
    ("operator", "given"), [("GRU", {"activations": ["Tanh"] * 2}), ("LSTM", {"activations": ["Tanh"] * 3})]
)
def test_other_forms_of_recurrent_operators_are_cut_at(operator, given):
    gates = 3 if operator == "GRU" else 4
    stored = {"w": np.ones((1, 2 * gates, 2)), "r": np.ones((1, 2 * gates, 2))}
    nodes = [
        helper.make_node("Relu", ["x"], ["z"]),
        helper.make_node(operator, ["z", "w", "r"], ["y"], hidden_size=2, **given),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(value), name) for name, value in stored.items()],
    )
    data = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8).SerializeToString()
    assert parse_front(data, smooth=True).tail.operators == (operator,)
