"""Every error code of the reader, with its whole text (tests/golden/onnx/errors.txt).

EQVERIFY_UPDATE_GOLDEN=1 writes the file anew.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.errors import EqverifyError
from eqverify.frontend.onnx import describe, parse_network, read_network

GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "onnx" / "errors.txt"
FLOAT = TensorProto.FLOAT


def build(
    nodes, *, shape=(1, 2), out=(1, 2), constants=None, opset=13, element=FLOAT, edit: Callable | None = None
) -> bytes:
    """A model x -> y of these nodes."""
    inputs = [helper.make_tensor_value_info("x", element, list(shape))]
    outputs = [helper.make_tensor_value_info("y", element, list(out))]
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    if edit is not None:
        edit(model)
    return model.SerializeToString()


def node(operator, *inputs, outputs=("y",), name="", **attributes):
    return helper.make_node(operator, list(inputs), list(outputs), name=name, **attributes)


def f32(*numbers):
    return np.array(numbers, dtype=np.float32)


def negated(name):
    """A branch that negates b."""
    shown = helper.make_tensor_value_info(name, FLOAT, [1, 2])
    return helper.make_graph([node("Neg", "b", outputs=(name,))], name, [], [shown])


def external(model):
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def shadowing(model):
    imports = [helper.make_opsetid("", 13)]
    model.functions.append(helper.make_function("", "Relu", ["a"], ["b"], [node("Neg", "a", outputs=("b",))], imports))


def lying(model):
    model.graph.initializer[0].dims[0] = 10**12


NAN_BIAS = f32([1.0, float("nan")])
BIG = np.zeros((3, 2), dtype=np.float32)

CASES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "malformed": lambda: build([node("Relu", "x")])[:-7],
    "no-graph": lambda: onnx.ModelProto(ir_version=8).SerializeToString(),
    "invalid": lambda: build([node("Relu", "nowhere")]),
    "invalid-attribute": lambda: build([node("Relu", "x", slope=1.0)]),
    "opset-old": lambda: build([node("Relu", "x")], opset=6),
    "opset-new": lambda: build([node("Relu", "x")], edit=lambda m: setattr(m.opset_import[0], "version", 999)),
    "no-input": lambda: build(
        [node("Relu", "c")], constants={"c": f32(1, 2)}, edit=lambda m: m.graph.ClearField("input")
    ),
    "no-output": lambda: build([node("Relu", "x")], edit=lambda m: m.graph.ClearField("output")),
    "unsupported-operator": lambda: build([node("Sin", "x", name="act")]),
    "unsupported-domain": lambda: build(
        [helper.make_node("Relu", ["x"], ["y"], domain="com.example")],
        edit=lambda m: m.opset_import.add(domain="com.example", version=1),
    ),
    "unsupported-attribute": lambda: build(
        [node("Cast", "c", outputs=("d",), to=TensorProto.FLOAT8E5M2), node("Add", "x", "d")],
        constants={"c": f32(1, 2)},
        opset=19,
    ),
    "unsupported-output": lambda: build([node("Dropout", "x", outputs=("z", "mask")), node("Where", "mask", "z", "x")]),
    "unsupported-form-training": lambda: build(
        [node("Dropout", "x", "r", "t")], constants={"r": np.float32(0.5), "t": np.array(True)}
    ),
    "unsupported-form-cast": lambda: build(
        [node("Cast", "x", outputs=("d",), to=TensorProto.DOUBLE), node("Cast", "d", to=FLOAT)]
    ),
    "unsupported-form-upsample": lambda: build(
        [node("Resize", "x", "", "s", name="up")], constants={"s": f32(1, 1.5)}, out=(1, 3)
    ),
    "unsupported-form-batch-norm": lambda: build(
        [node("BatchNormalization", "x", "c", "c", "c", "c", training_mode=1)], constants={"c": f32(1, 2)}, opset=15
    ),
    "unsupported-attribute-resize": lambda: build(
        [node("Resize", "x", "", "s", mode="cubic")], constants={"s": f32(1, 2)}, out=(1, 4)
    ),
    "division-by-zero-batch-norm": lambda: build(
        [node("BatchNormalization", "x", "c", "c", "c", "v")], constants={"c": f32(1, 2), "v": f32(1, -1)}
    ),
    "unsupported-form-deconvolution": lambda: build(
        [node("ConvTranspose", "x", "w", auto_pad="SAME_UPPER", strides=[2], output_padding=[1])],
        constants={"w": np.ones((1, 1, 3), dtype=np.float32)},
        shape=(1, 1, 2),
        out=(1, 1, 4),
    ),
    "shape-gemm": lambda: build([node("Gemm", "x", "W", name="fc1")], constants={"W": BIG}),
    "shape-add": lambda: build([node("Add", "x", "c")], constants={"c": f32(1, 2, 3)}),
    "shape-reshape": lambda: build([node("Reshape", "x", "s")], constants={"s": np.array([3, -1])}),
    "shape-output": lambda: build([node("Relu", "x")], out=(1, 3)),
    "dynamic-dimension": lambda: build([node("Relu", "x")], shape=("N", "length"), out=("N", "length")),
    "dynamic-vector": lambda: build([node("Relu", "x")], shape=("N",), out=("N",)),
    "no-shape": lambda: build(
        [node("Relu", "x")], edit=lambda m: m.graph.input[0].type.tensor_type.ClearField("shape")
    ),
    "empty-tensor": lambda: build([node("Relu", "x")], shape=(1, 0), out=(1, 0)),
    "too-large": lambda: build([node("Relu", "x")], shape=(1, 10**12), out=(1, 10**12)),
    "element-bfloat16": lambda: build([node("Relu", "x")], element=TensorProto.BFLOAT16),
    "element-mixed": lambda: build([node("Add", "x", "c")], constants={"c": np.zeros(2)}),
    "not-finite": lambda: build([node("Add", "x", "c", name="bias")], constants={"c": NAN_BIAS}),
    "not-finite-output": lambda: build([node("Identity", "c")], constants={"c": f32([np.inf, 1])}),
    "nonlinear": lambda: build([node("Relu", "x", outputs=("h",)), node("Mul", "x", "h", name="gate")]),
    "nonlinear-division": lambda: build([node("Div", "c", "x")], constants={"c": f32(1)}),
    "division-by-zero": lambda: build([node("Div", "x", "c")], constants={"c": f32(1, 0)}),
    "not-constant": lambda: build([node("Reshape", "x", "x")]),
    "external-data": lambda: build([node("Add", "x", "c")], constants={"c": f32(1, 2)}, edit=external),
    "functions": lambda: build([node("Relu", "x")], edit=shadowing),
    "bad-tensor": lambda: build([node("Add", "x", "c")], constants={"c": f32(1, 2)}, edit=lying),
    "bad-attribute": lambda: build([node("Transpose", "x", perm=[0, 0])]),
    "constant-folding": lambda: build(
        [node("Reshape", "c", "s", outputs=("d",)), node("Add", "x", "d")],
        constants={"c": f32(1, 2), "s": np.array([5])},
    ),
}


def error_text(data: bytes) -> str:
    with pytest.raises(EqverifyError) as caught:
        parse_network(data, "net.onnx")
    assert caught.value.exit_status == 3
    assert caught.value.place.file == "net.onnx"
    # What depends on the version of onnx is left out.
    text = re.sub(r"(rejects the model\n  at .*\n  value: ).*", r"\1<message of onnx.checker>", str(caught.value))
    return re.sub(r"opsets 7 to \d+", "opsets 7 to <newest>", text)


@functools.cache
def golden() -> dict[str, str]:
    if "EQVERIFY_UPDATE_GOLDEN" in os.environ:
        GOLDEN.write_text("".join(f"== {name}\n{error_text(make())}\n\n" for name, make in CASES.items()))
    parts = re.split(r"^== (.*)\n", GOLDEN.read_text(), flags=re.MULTILINE)[1:]
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


@pytest.mark.parametrize("case", CASES)
def test_error_text(case):
    assert error_text(CASES[case]()) == golden()[case]


def test_golden_file_has_no_other_cases():
    assert set(golden()) == set(CASES)


def test_every_code_in_the_specification_and_back():
    text = (Path(__file__).resolve().parents[3] / "specs" / "onnx.md").read_text()
    listed = set(re.findall(r"^\| `(onnx/[a-z-]+)`", text, flags=re.MULTILINE))
    used = set()
    package = Path(__file__).resolve().parents[3] / "eqverify" / "frontend" / "onnx"
    for path in package.rglob("*.py"):
        source = path.read_text()
        used |= set(re.findall(r'Error\(\s*"(onnx/[a-z-]+)"', source))
        calls = re.findall(r'(?:call\.error\(|self\.error\(|_error\(node,)\s*"([a-z-]+)"', source)
        used |= {f"onnx/{code}" for code in calls}
    assert listed == used


def test_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(EqverifyError) as caught:
        read_network(tmp_path / "none.onnx")
    assert (caught.value.code, caught.value.exit_status) == ("onnx/no-file", 2)
    with pytest.raises(EqverifyError) as caught:
        read_network(tmp_path)
    assert (caught.value.code, caught.value.exit_status) == ("onnx/unreadable", 2)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "net.onnx.gz"
    path.write_bytes(b"\x1f\x8b\x08 not gzip")
    with pytest.raises(EqverifyError) as caught:
        read_network(path)
    assert (caught.value.code, caught.value.exit_status) == ("onnx/malformed", 3)


def test_describe_lists_all_unsupported_operators():
    nodes = [node("Sin", "x", outputs=("a",)), node("Relu", "a", outputs=("b",)), node("Softmax", "b", name="soft")]
    description = describe(build(nodes))
    assert [(entry.node, entry.operator) for entry in description.unsupported] == [("a", "Sin"), ("y", "Softmax")]
    assert all(entry.hint for entry in description.unsupported)
    assert description.operators == (("Relu", 1), ("Sin", 1), ("Softmax", 1))
    assert description.inputs[0].shape == (1, 2)
    assert description.outputs[0].element == "float32"


def test_describe_lists_only_what_is_not_read_and_what_would_help():
    nodes = [
        node("Mul", "x", "x", outputs=("a",)),
        node("Relu", "x", outputs=("b",)),
        helper.make_node("Relu", ["x"], ["c"], domain="com.example"),
        node("If", "t", outputs=("d",), then_branch=negated("p"), else_branch=negated("q")),
        node("Sum", "a", "b", "c", "d"),
    ]
    edit = lambda m: m.opset_import.add(domain="com.example", version=1)  # noqa: E731
    found = describe(build(nodes, constants={"t": np.array(True)}, edit=edit)).unsupported
    assert [(entry.node, entry.operator) for entry in found] == [("a", "Mul"), ("c", "Relu")]
    assert "products" in found[0].hint
    assert "function" in found[1].hint


def test_describe_names_what_is_no_operator():
    (entry,) = describe(build([node("Relu", "x")], shape=(8, 0), out=(8, 0))).unsupported
    assert (entry.node, entry.operator, entry.code) == ("x", "", "onnx/empty-tensor")


def test_unused_branches_are_not_read():
    network = parse_network(build([node("Sin", "x", outputs=("unused",)), node("Relu", "x")]))
    assert [n.name for n in network.nodes] == ["y"]
