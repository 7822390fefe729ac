"""What `eqverify supports` says is what the front ends take: no more, and no less."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import eqverify as eq
from eqverify.cli.main import run
from eqverify.errors import EqverifyError
from eqverify.frontend.onnx import parse_network

CAPABILITIES = {
    "onnx-element-types": {"real"},
    "vnnlib-versions": {"1.0", "2.0"},
    "hidden-node-theories": {"NH", "H"},
    "multiple-input-output-theories": {"SIO", "MIO"},
    "multiple-network-theories": {"SNET", "MNET", "MENET", "MINET"},
    "multiple-node-comparison-theories": {"SNC", "MNC"},
    "arithmetic-complexity-theories": {"BND", "OUTC", "LIN", "POLY"},
    "optimised-disjunctive-reasoning": {"true", "false"},
    "serialise-assignments": {"true"},
    "unsat-proofs": {"true"},
}

NET = "(declare-network {name} {relative} (declare-input {x} real [1,2]) {hidden} (declare-output {y} real [1,2]))"
BOX = "(assert (and (>= {x}[0,0] 0.0) (<= {x}[0,0] 1.0) (>= {x}[0,1] 0.0) (<= {x}[0,1] 1.0)))"


def declared(name="f", relative="", hidden=""):
    """A network with its box; its tensors are named by it."""
    names = {"name": name, "x": f"{name}x", "y": f"{name}y"}
    return NET.format(relative=relative, hidden=hidden, **names), BOX.format(**names)


def query(*declarations, condition):
    networks, boxes = zip(*declarations, strict=True)
    return "\n".join(["(vnnlib-version <2.0>)", *networks, *boxes, f"(assert {condition})"])


def pair(relative):
    return query(declared(), declared("g", relative), condition="(>= (- fy[0,0] gy[0,0]) 5.0)")


TWO_PORTS = (
    "(declare-network f (declare-input fx real [1,2]) (declare-input fz real [1,2]) (declare-output fy real [1,2]))",
    BOX.format(x="fx") + BOX.format(x="fz"),
)
BND = query(declared(), condition="(>= fy[0,0] 5.0)")
THEORIES = {
    "hidden-node-theories": {
        "NH": BND,
        "H": query(declared(hidden='(declare-hidden fh real [1,2] "h")'), condition="(>= fh[0,0] 5.0)"),
    },
    "multiple-input-output-theories": {"SIO": BND, "MIO": query(TWO_PORTS, condition="(>= fy[0,0] 9.0)")},
    "multiple-network-theories": {
        "SNET": BND,
        "MENET": pair("(equal-to f)"),
        "MINET": pair("(isomorphic-to f)"),
        "MNET": pair(""),
    },
    "multiple-node-comparison-theories": {
        "SNC": BND,
        "MNC": query(declared(), condition="(>= fy[0,0] (+ fx[0,0] 9.0))"),
    },
    "arithmetic-complexity-theories": {
        "BND": BND,
        "OUTC": query(declared(), condition="(and (>= fy[0,0] fy[0,1]) (>= fy[0,0] 5.0))"),
        "LIN": query(declared(), condition="(>= (+ (* 0.5 fy[0,0]) fx[0,1]) 5.0)"),
        "POLY": query(declared(), condition="(>= (* fy[0,0] fy[0,1]) 25.0)"),
    },
}
"""By set of theories a query that needs each; all of those that are taken are unsat."""


def said(name, capsys):
    assert run(["supports", f"--{name}"]) == 0
    return capsys.readouterr().out.splitlines()


def model(path, inputs=1):
    """max(0, x), or of a sum."""
    names = [f"x{k}" for k in range(inputs)]
    nodes = [helper.make_node("Sum", names, ["s"])] if inputs > 1 else []
    nodes.append(helper.make_node("Relu", ["s" if inputs > 1 else "x0"], ["h"]))
    nodes.append(helper.make_node("Add", ["h", "zero"], ["y"]))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2]) for name in (*names, "y")]
    zero = numpy_helper.from_array(np.zeros(2, np.float32), "zero")
    graph = helper.make_graph(nodes, "g", ports[:-1], ports[-1:], [zero])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def taken(text, tmp_path):
    """Whether a query is answered rather than refused."""
    (tmp_path / "query.vnnlib").write_text(text)
    plain, more = model(tmp_path / "net.onnx"), model(tmp_path / "two.onnx", 2)
    first = more if "fz" in text else plain
    networks = {"f": first, "g": plain} if "declare-network g" in text and "equal-to" not in text else {"f": first}
    try:
        assert eq.verify(tmp_path / "query.vnnlib", networks, timeout=20).verdict == "unsat"
    except EqverifyError as error:
        assert error.exit_status == 3, error
        return False
    return True


@pytest.mark.parametrize("name", CAPABILITIES)
def test_capabilities_are_words_of_the_standard(name, capsys):
    lines = said(name, capsys)
    assert lines
    assert set(lines) <= CAPABILITIES[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", THEORIES)
def test_theories_are_those_that_are_taken(name, capsys, tmp_path):
    assert THEORIES[name].keys() == CAPABILITIES[name]
    assert said(name, capsys) == [theory for theory, text in THEORIES[name].items() if taken(text, tmp_path)]


def test_versions_of_the_query_language_are_those_that_are_read(capsys, tmp_path):
    """A pair, the oldest and the newest."""
    oldest, newest = said("vnnlib-versions", capsys)
    assert oldest == "1.0"
    assert taken(BND.replace("2.0>", f"{newest}>"), tmp_path)
    after = f"{int(newest.split('.')[0]) + 1}.0>"
    assert not taken(BND.replace("2.0>", after), tmp_path)


def test_opsets_are_those_that_are_read(capsys, tmp_path):
    oldest, newest = map(int, said("onnx-opset-versions", capsys))
    path = model(tmp_path / "net.onnx")
    for opset, read in ((oldest - 1, False), (oldest, True), (newest, True), (newest + 1, False)):
        loaded = onnx.load(path)
        loaded.opset_import[0].version = opset
        if read:
            assert parse_network(loaded.SerializeToString()).output_size == 2
        else:
            with pytest.raises(EqverifyError, match="onnx/opset"):
                parse_network(loaded.SerializeToString())


def test_operators_are_those_of_the_reader(capsys):
    operators = said("onnx-operators", capsys)
    assert {"Gemm", "Relu", "Conv"} <= set(operators)
    assert operators == sorted(set(operators))
    assert run(["supports"]) == 2


@pytest.mark.parametrize("networks", [{}, {"g": "net.onnx"}, {"f": "net.onnx", "h": "net.onnx"}])
def test_missing_and_unnecessary_networks_are_errors_as_the_standard_demands(networks, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model(tmp_path / "net.onnx")
    (tmp_path / "query.vnnlib").write_text(BND)
    words = [word for name, path in networks.items() for word in ("--network", f"{name}={path}")]
    assert run(["verify", "query.vnnlib", *words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "usage/networks" in told.err
