"""A reader that misreads is caught by every command; a file that cannot be compared is said not to be."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.cli.main import run
from eqverify.frontend.onnx.operators import piecewise

PROPERTY = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1))
(assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (>= Y_0 30))
"""


def model(activation="LeakyRelu", element=TensorProto.FLOAT, extra=()):
    """X [1,2] -> Gemm -> activation -> Gemm -> Y [1,1]."""
    dtype = helper.tensor_dtype_to_np_dtype(element)
    first = numpy_helper.from_array(np.array([[1.0, 1.0], [1.0, -1.0]], dtype), "W")
    last = numpy_helper.from_array(np.array([[1.0], [-1.0]], dtype), "V")
    nodes = [
        helper.make_node("Gemm", ["X", "W"], ["z"]),
        helper.make_node(activation, ["z"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "V"], ["Y"]),
    ]
    ports = [helper.make_tensor_value_info(n, element, s) for n, s in (("X", [1, 2]), ("Y", [1, 1]))]
    graph = helper.make_graph([*nodes, *extra], "g", ports[:1], ports[1:], [first, last])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)


@pytest.fixture
def files(tmp_path):
    network, query = tmp_path / "net.onnx", tmp_path / "prop.vnnlib"
    onnx.save(model(), network)
    query.write_text(PROPERTY)
    return network, query, tmp_path / "out.onnx"


COMMANDS = {
    "info": lambda n, q, o: ["info", n],
    "info with a property": lambda n, q, o: ["info", n, q],
    "stability": lambda n, q, o: ["stability", n, q],
    "reduce": lambda n, q, o: ["reduce", n, q, "-o", o],
    "reduce for a property": lambda n, q, o: ["reduce", n, q, "-o", o, "--for-property"],
    "reduce on a ball": lambda n, q, o: ["reduce", n, "-o", o, "--radius", "0.5", "--around", "0,0"],
    "verify": lambda n, q, o: ["verify", q, "--network", f"={n}"],
    "equiv": lambda n, q, o: ["equiv", n, n, q, "--epsilon", "0.1"],
    "regions": lambda n, q, o: ["regions", n, q],
    "shallow": lambda n, q, o: ["shallow", n, q, "-o", o],
}


def called(name, files, *more):
    return run([*map(str, COMMANDS[name](*files)), *more])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misread_operator_ends_every_command(name, files, monkeypatch, capsys):
    right = piecewise._leaky
    monkeypatch.setattr(piecewise, "_leaky", lambda call, tensor, slope: right(call, tensor, slope * 1.01))
    assert called(name, files) == 3
    shown = capsys.readouterr()
    assert "error[read/differs]" in shown.err
    assert "(LeakyRelu)" in shown.err
    assert "node 'h'" in shown.err
    assert not shown.out.strip()
    assert not files[2].exists()


def readings(name, shown):
    found = json.loads(shown)
    return found.get("readings") or [found.get("reading", found.get("read"))]


@pytest.mark.parametrize("name", COMMANDS)
def test_what_was_compared_is_said(name, files, capsys):
    assert called(name, files, "--json") in (0, 4)
    for reading in readings(name, capsys.readouterr().out):
        assert reading["compared"]
        assert reading["points"] >= 96
        assert reading["reason"] is None
    assert called(name, files) in (0, 4)
    shown = capsys.readouterr()
    assert "as onnxruntime runs it, at" in shown.out + shown.err


@pytest.mark.parametrize("name", COMMANDS)
def test_what_onnxruntime_cannot_run_is_said_not_to_be_compared(name, files, capsys):
    onnx.save(model("HardSigmoid", TensorProto.DOUBLE), files[0])  # onnxruntime has it in single precision only
    assert called(name, files, "--json") in (0, 4)
    for reading in readings(name, capsys.readouterr().out):
        assert not reading["compared"]
        assert reading["points"] == 0
        assert "onnxruntime" in reading["reason"]
    called(name, files)
    shown = capsys.readouterr()
    assert "NOT compared with onnxruntime" in shown.out + shown.err


def test_an_input_that_was_found_is_compared(files, monkeypatch, capsys):
    """The points of the domain agree; the one that the search found does not."""
    from eqverify.api import loading

    right = loading._compare
    seen = []

    def compare(path, network, points):
        seen.append(points)
        return right(path, network, points)

    monkeypatch.setattr(loading, "_compare", compare)
    files[1].write_text(PROPERTY.replace("30", "0.5"))
    assert called("verify", files) == 0
    assert "sat" in capsys.readouterr().out
    assert len(seen) > 1
    assert called("stability", files) == 0
    assert len(seen[-1]) <= 32


def test_a_certificate_says_how_its_files_were_read(files, tmp_path, monkeypatch, capsys):
    network, query, reduced = map(str, files)
    certificate = str(tmp_path / "c.cert")
    assert run(["reduce", network, query, "-o", reduced, "--certificate", certificate]) == 0
    capsys.readouterr()
    assert run(["check", network, query, reduced, certificate, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [reading["compared"] for reading in found["readings"]] == [True, True]


@pytest.mark.parametrize("size", [1.0, 1e20])
def test_a_bound_at_the_end_of_its_type_is_none_only_where_no_value_is_beyond(size, tmp_path, capsys):
    """Clip(0, FLT_MAX) of 1e30 x is a ReLU for x up to 1, and over the reals no ReLU for x up to 1e20."""
    largest = np.array(np.finfo(np.float32).max, dtype=np.float32)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "a"], ["z"]), helper.make_node("Clip", ["z", "low", "high"], ["y"])],
        "clip",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [
            numpy_helper.from_array(np.array([[1e30]], dtype=np.float32), "a"),
            numpy_helper.from_array(np.array(0.0, dtype=np.float32), "low"),
            numpy_helper.from_array(largest, "high"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    text = f"(declare-const X_0 Real)(declare-const Y_0 Real)(assert (<= X_0 {size:.1f}))(assert (>= X_0 -1.0))"
    (tmp_path / "prop.vnnlib").write_text(text + "(assert (>= Y_0 1e39))")
    status = run(["stability", str(tmp_path / "net.onnx"), str(tmp_path / "prop.vnnlib")])
    shown = capsys.readouterr()
    assert status == (0 if size == 1.0 else 3)
    assert ("read/beyond-type" in shown.err) == (size > 1.0)
