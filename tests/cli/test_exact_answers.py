"""What `verify` prints satisfies the text to the letter, and says what it does not know."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import keeps_order, parse_front
from eqverify.network import outputs_exact
from eqverify.numerals import exact_text
from eqverify.testing.chains import chain_network


@pytest.fixture
def network():
    """y = relu(x) - relu(-x) = x, in double precision."""
    layers = [(np.array([[1.0], [-1.0]]), np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))]
    return chain_network(layers, "float64", (1,))


def ask(tmp_path, network, text, *options):
    model, query = tmp_path / "net.onnx", tmp_path / "query.vnnlib"
    data = (
        network if isinstance(network, bytes) else write_network(network, metadata={}, producer="test", dtype="float64")
    )
    model.write_bytes(data)
    query.write_text(text)
    return run(["verify", str(query), "--network", f"={model}", "--timeout", "20", *options])


def property_of(*lines, outputs=1, inputs=1):
    declared = [f"(declare-const X_{i} Real)" for i in range(inputs)]
    declared += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    return "\n".join([*declared, *(f"(assert {line})" for line in lines)])


DECIMALS = [
    (("(>= X_0 0.1)", "(<= X_0 0.1)"), lambda x: x == Fraction("0.1")),
    (("(>= X_0 -1.0)", "(<= X_0 0.1)", "(>= Y_0 0.1)"), lambda x: x == Fraction("0.1")),
    (("(>= X_0 -1.0)", "(< X_0 0.3)", "(>= Y_0 0.29999999999999993)"), lambda x: x < Fraction("0.3")),
    (("(> X_0 0.1)", "(<= X_0 0.7)", "(<= Y_0 0.10000000000000002)"), lambda x: x > Fraction("0.1")),
    (("(>= X_0 -1.0)", "(<= X_0 1.0)", "(= (* 3 Y_0) 1.0)"), lambda x: x == Fraction(1, 3)),
]


@pytest.mark.parametrize(("lines", "wanted"), DECIMALS)
def test_the_assignment_is_exact_in_all_its_forms(tmp_path, network, capsys, lines, wanted):
    assert ask(tmp_path, network, property_of(*lines)) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "sat"
    x, y = Fraction(printed[2]), Fraction(printed[4])
    assert wanted(x)
    assert outputs_exact(network, [x]) == [x]
    assert y == x or abs(y - x) < Fraction(1, 10**9)
    assert ask(tmp_path, network, property_of(*lines), "--json") == 0
    exact = json.loads(capsys.readouterr().out)["witness"]["exact"]
    assert [Fraction(exact["x"][0]), Fraction(exact["y"][0])] == [x, y]


@pytest.mark.parametrize(
    ("lines", "wanted", "expected"),
    [(*pair, word) for pair, word in zip(DECIMALS, ["unknown", "unknown", "sat", "sat", "unknown"], strict=True)],
)
def test_a_result_file_has_numbers_of_the_type_or_none(tmp_path, network, lines, wanted, expected):
    """What only numbers that are no floats satisfy is unknown there."""
    result = tmp_path / "result.txt"
    assert ask(tmp_path, network, property_of(*lines), "--result-file", str(result)) == 0
    word, _, rest = result.read_text().partition("\n")
    values = [Fraction(value) for value in re.findall(r"\(\w_\d+ ([^)]+)\)", rest)]
    assert (word, len(values)) == (expected, 2 if expected == "sat" else 0)
    assert all(Fraction(float(v)) == v for v in values)
    assert all(map(wanted, values[:1]))


def test_tensors_that_cannot_hold_an_assignment_are_not_all_there_is(tmp_path, network, capsys):
    folder = tmp_path / "folder"
    third = property_of("(>= X_0 -1.0)", "(<= X_0 1.0)", "(= (* 3 Y_0) 1.0)")
    assert ask(tmp_path, network, third, "--serialise-assignments", str(folder)) == 0
    out, err = capsys.readouterr()
    assert out == "sat\n"
    assert "nearest floats" in err
    assert "1/3" in err
    assert numpy_helper.to_array(onnx.TensorProto.FromString((folder / "X.pb").read_bytes())) == 1 / 3


@pytest.mark.parametrize(
    "value", [Fraction(0), Fraction(-3, 4), Fraction(0.1), Fraction(5e-324), Fraction(1, 3), Fraction(10) ** 400]
)
def test_numbers_are_printed_to_the_last_digit(value):
    assert Fraction(exact_text(value)) == value


@pytest.mark.parametrize(
    "lines",
    [
        ("(> X_0 0.0)", "(< X_0 0.0)", "(<= Y_0 5.0)"),
        ("(>= X_0 1.0)", "(<= X_0 0.0)", "(<= Y_0 5.0)"),
        ("(>= X_0 -1.0)", "(<= X_0 0.1)", "(>= Y_0 0.1000000000000000055511151231257827)"),
        ("(>= X_0 -1.0)", "(<= X_0 1.0)", "(>= Y_0 1e400)"),
        ("(>= X_0 -1.0)", "(<= X_0 1.0)", "(<= (* 1e400 Y_0) -1e401)"),
    ],
)
def test_what_only_rounding_would_allow_is_unsat(tmp_path, network, capsys, lines, recwarn):
    assert ask(tmp_path, network, property_of(*lines)) == 0
    out, err = capsys.readouterr()
    assert out == "unsat\n"
    assert "proved by " in err
    assert not recwarn.list


def test_coefficients_beyond_float64_are_answered(tmp_path, network, capsys, recwarn):
    lines = ("(>= X_0 -1.0)", "(<= X_0 1.0)", "(>= (* 1e400 Y_0) 1.0)")
    assert ask(tmp_path, network, property_of(*lines)) == 0
    assert capsys.readouterr().out.startswith("sat\n")
    assert not recwarn.list


def test_queries_about_two_networks_keep_strict_signs(tmp_path, network, capsys):
    model, query = tmp_path / "net.onnx", tmp_path / "query.vnnlib"
    model.write_bytes(write_network(network, metadata={}, producer="test", dtype="float64"))
    text = """(vnnlib-version <2.0>)
        (declare-network f (declare-input X float64 [1]) (declare-output Y float64 [1]))
        (declare-network g (equal-to f) (declare-input Z float64 [1]) (declare-output W float64 [1]))
        (assert (>= X[0] -1.0)) (assert ({} X[0] 0.1)) (assert (== X[0] Z[0]))
        (assert (>= Y[0] 0.1)) (assert (>= W[0] 0.1))"""
    for sign, verdict in (("<", "unsat"), ("<=", "sat")):
        query.write_text(text.format(sign))
        assert run(["verify", str(query), "--network", f"f={model}", "--timeout", "20"]) == 0
        printed = capsys.readouterr().out.splitlines()
        assert printed[0] == verdict
        assert verdict == "unsat" or [Fraction(line) for line in printed[2::2]] == [Fraction("0.1")] * 4


def tailed(operator, opset=13, shape=(1, 3), **attributes):
    """The identity on three inputs, and an operator."""
    eye = numpy_helper.from_array(np.eye(3, dtype=np.float32), "I")
    nodes = [
        helper.make_node("Gemm", ["x", "I"], ["z"]),
        helper.make_node("Relu", ["z"], ["h"]),
        helper.make_node("Gemm", ["h", "I"], ["t"]),
        helper.make_node(operator, ["t"], ["y"], **attributes),
    ]
    kind = TensorProto.INT64 if operator == "ArgMax" else TensorProto.FLOAT
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3]),
        helper.make_tensor_value_info("y", kind, list(shape)),
    ]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [eye])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


UNIT = tuple(line for i in range(3) for line in (f"(>= X_{i} 0.0)", f"(<= X_{i} 1.0)"))


@pytest.mark.parametrize("operator", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (("(<= Y_0 Y_1)", "(<= Y_0 Y_2)"), "sat"),
        (("(< Y_0 Y_1)", "(< Y_1 Y_2)", "(< Y_2 Y_0)"), "unsat"),
        (("(>= X_0 0.5)", "(< X_1 0.5)", "(> Y_1 Y_0)"), "unsat"),
        (("(>= X_0 0.5)", "(<= X_1 0.5)", "(>= (* 2 Y_1) (* 2 Y_0))"), "sat"),
        (("(>= Y_0 0.5)",), "unknown"),
        (("(<= Y_0 (* 2 Y_1))",), "unknown"),
    ],
)
def test_comparisons_behind_a_softmax_are_decided(tmp_path, capsys, operator, lines, verdict):
    assert ask(tmp_path, tailed(operator, axis=1), property_of(*UNIT, *lines, inputs=3, outputs=3)) == 0
    out, err = capsys.readouterr()
    assert out.split("\n")[0] == verdict
    assert verdict != "unknown" or "only comparisons of two outputs" in err


def test_an_argmax_is_refused_in_clear_words(tmp_path, capsys):
    model = tailed("ArgMax", shape=(1,), axis=1, keepdims=0)
    assert ask(tmp_path, model, property_of(*UNIT, "(>= Y_0 0.0)", inputs=3)) == 0
    out, err = capsys.readouterr()
    assert out == "unknown\n"
    assert "ArgMax" in err


@pytest.mark.parametrize(
    ("options", "ordered"),
    [
        ({"operator": "Softmax"}, True),
        ({"operator": "Softmax", "axis": 1}, True),
        ({"operator": "Softmax", "axis": -1}, True),
        ({"operator": "Softmax", "axis": 0}, False),
        ({"operator": "Softmax", "axis": 0, "opset": 11}, True),
        ({"operator": "Softmax", "opset": 11}, True),
        ({"operator": "LogSoftmax"}, True),
        ({"operator": "Sigmoid"}, False),
        ({"operator": "Tanh"}, False),
    ],
)
def test_which_operators_keep_the_order_of_all_outputs(options, ordered):
    assert keeps_order(parse_front(tailed(**options))) is ordered


def test_eps_behind_opaque_operators_is_about_the_cut(tmp_path, capsys):
    model, query = tmp_path / "net.onnx", tmp_path / "query.vnnlib"
    model.write_bytes(tailed("Softmax"))
    query.write_text(property_of(*UNIT, inputs=3, outputs=3))
    assert run(["reduce", str(model), str(query), "-o", str(tmp_path / "out.onnx")]) == 0
    out = capsys.readouterr().out
    assert "|original - reduced|" not in out
    assert "the outputs behind it are not bounded" in out
    assert run(["reduce", str(model), str(query), "-o", str(tmp_path / "out.onnx"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["epsilon_of"] == "cut"
