"""The solver interface of the VNN-LIB 2 standard."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.testing.chains import chain_network

PROPERTY_1 = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1)) (assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (<= Y_0 {bound}))
"""
PROPERTY_2 = """
(vnnlib-version <2.0>)
(declare-network f (declare-input A {element} [1,2]) (declare-output B {element} [1,1]))
(assert (and (>= A[0,0] -1.0) (<= A[0,0] 1.0) (>= A[0,1] -1.0) (<= A[0,1] 1.0)))
(assert (<= B[0,0] {bound}))
"""


@pytest.fixture
def network(tmp_path):
    """|x0| + |x1|"""
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    net = chain_network([(rows, np.zeros(4)), (np.ones((1, 4)), np.zeros(1))], "float32", (1,))
    path = tmp_path / "net.onnx"
    path.write_bytes(write_network(net, metadata={}, producer="test"))
    return path


def query(tmp_path, text, **values):
    path = tmp_path / "query.vnnlib"
    path.write_text(text.format(**values))
    return str(path)


def test_unsat_is_one_line(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_1, bound=-0.5)
    assert run(["verify", asked, "--network", f"any={network}", "--timeout", "20"]) == 0
    out, err = capsys.readouterr()
    assert out == "unsat\n"
    assert "bounds" in err


def test_sat_is_followed_by_the_assignment_in_declared_order(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_2, bound=0.5, element="float32")
    assert run(["verify", asked, "--network", f"f={network}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["sat", "A float32 [1,2]"]
    assert lines[4] == "B float32 [1,1]"
    assert len(lines) == 6
    x, y = [float(line) for line in lines[2:4]], float(lines[5])
    assert y == pytest.approx(abs(x[0]) + abs(x[1]), abs=1e-6)
    assert y <= 0.5


def test_assignments_are_serialised_on_request(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_2, bound=0.5, element="float32")
    folder = tmp_path / "new" / "folder"
    assert run(["verify", asked, "--network", f"f={network}", "--serialise-assignments", str(folder)]) == 0
    assert capsys.readouterr().out == "sat\n"
    tensors = {path.name: onnx.TensorProto.FromString(path.read_bytes()) for path in folder.iterdir()}
    assert set(tensors) == {"A.pb", "B.pb"}
    assert tensors["A.pb"].data_type == onnx.TensorProto.FLOAT
    a, b = (numpy_helper.to_array(tensors[name]) for name in ("A.pb", "B.pb"))
    assert a.shape == (1, 2)
    assert np.abs(a).sum() == pytest.approx(b.item(), abs=1e-6)


def test_the_competition_reads_the_result_file(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_1, bound=0.5)
    file = tmp_path / "result.txt"
    assert run(["verify", asked, "--network", f"={network}", "--result-file", str(file)]) == 0
    first, rest = file.read_text().split("\n", 1)
    assert first == "sat"
    assert rest.startswith("((X_0 ")
    assert rest.count("\n(") == 2
    assert rest.endswith("))\n")


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (["--network", "g={net}"], 2, "usage/networks"),
        (["--network", "f={net}", "--network", "g={net}"], 2, "usage/networks"),
        (["--network", "f={net}", "--network", "f={net}"], 2, "usage/networks"),
        (["--network", "f=missing.onnx"], 2, "onnx/no-file"),
        (["--network", "f={net}", "--backend", "nonesuch"], 2, "usage/backend"),
        (["--network", "f={net}", "--timeout", "0"], 2, "usage/limit"),
        ([], 2, "usage/networks"),
    ],
)
def test_wrong_calls_print_nothing_on_stdout(tmp_path, network, capsys, options, status, code):
    asked = query(tmp_path, PROPERTY_2, bound=0.5, element="real")
    assert run(["verify", asked, *(option.format(net=network) for option in options)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert code in err


def test_declared_element_types_must_be_those_of_the_model(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_2, bound=0.5, element="float64")
    assert run(["verify", asked, "--network", f"f={network}"]) == 3
    assert "verify/element-type" in capsys.readouterr().err
    asked = query(tmp_path, PROPERTY_2, bound=-0.5, element="real")
    assert run(["verify", asked, "--network", f"f={network}"]) == 0
    assert capsys.readouterr().out == "unsat\n"


def test_json_is_one_object(tmp_path, network, capsys):
    asked = query(tmp_path, PROPERTY_1, bound=0.5)
    assert run(["verify", asked, "--network", f"N={network}", "--json", "--no-reduction"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["verdict"] == "sat"
    assert len(answer["witness"]["x"]) == 2


HANGING = """
import sys, time
from eqverify.deciding import run as deciding
from eqverify.cli import supervision
from eqverify.cli.main import run

supervision.allow()
deciding.VerifyRun.decide = lambda *_: time.sleep(60)
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_that_is_ended_at_the_limit_tells_the_size_of_the_network(tmp_path, network):
    """In a process of its own, since it forks.  It was said to have no ReLUs."""
    asked = query(tmp_path, PROPERTY_1, bound=0.5)
    options = ["verify", asked, "--network", f"N={network}", "--json", "--timeout", "6"]
    done = subprocess.run(
        [sys.executable, "-c", HANGING, *options], capture_output=True, text=True, timeout=50, check=False
    )
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["relus_before"]) == ("timed-out", 4)


CLAIMING = """
import sys, time
from eqverify.deciding import run as deciding
from eqverify.cli import supervision
from eqverify.cli.main import run

supervision.allow()
deciding.VerifyRun._attack = lambda *_: False
deciding.rederive = lambda *_: time.sleep(60)
deciding.VerifyRun._prove_claimed = lambda *_: None
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_that_is_ended_at_the_limit_tells_what_was_claimed(tmp_path, network):
    """The search for a proof of the claim does not look at the time."""
    asked, liar = query(tmp_path, PROPERTY_1, bound=0.5), tmp_path / "liar.sh"
    liar.write_text('#!/bin/sh\necho unsat >"$5"\n')
    liar.chmod(0o755)
    options = ["verify", asked, "--network", f"N={network}", "--json", "--timeout", "6", "--no-reduction"]
    done = subprocess.run(
        [sys.executable, "-c", CLAIMING, *options, "--backend", f"command:{liar}"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["claimed"]) == ("timed-out", 1)
    assert "claimed: 1" in done.stderr


def test_name_and_version(capsys):
    assert run(["--name"]) == 0
    assert capsys.readouterr().out == "eqverify\n"
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.count(".") == 2


PAIR = """
(vnnlib-version <2.0>)
(declare-network f (declare-input A real [1,2]) (declare-output B real [1,1]))
(declare-network g (declare-input C real [1,2]) (declare-output D real [1,1]))
(assert (and (>= A[0,0] -1.0) (<= A[0,0] 1.0) (>= A[0,1] -1.0) (<= A[0,1] 1.0)))
(assert (and (== A[0,0] C[0,0]) (== A[0,1] C[0,1])))
(assert (>= (- B[0,0] D[0,0]) {bound}))
"""


@pytest.mark.parametrize(("bound", "verdict"), [("0.5", "unsat"), ("-0.5", "sat")])
def test_queries_about_two_networks(tmp_path, network, capsys, bound, verdict):
    asked = query(tmp_path, PAIR, bound=bound)
    command = ["verify", asked, "--network", f"f={network}", "--network", f"g={network}", "--timeout", "20"]
    assert run(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == verdict
    if verdict == "sat":
        names = [line.split()[0] for line in lines[1:] if line[0].isalpha()]
        assert names == ["A", "B", "C", "D"]
        assert lines[2:4] == lines[7:9]
    assert run(["verify", asked, "--network", f"f={network}"]) == 2
    assert "usage/networks" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("bound", "more", "kind", "message"),
    [
        (-0.5, [], None, None),
        (0.5, [], "failure", "an input satisfies the property"),
        (-0.5, ["--network", "other=none.onnx"], "error", "usage/networks"),
    ],
)
def test_answers_and_errors_are_written_for_test_systems(tmp_path, network, bound, more, kind, message):
    from xml.etree import ElementTree

    asked, path = query(tmp_path, PROPERTY_1, bound=bound), tmp_path / "junit.xml"
    run(["verify", asked, "--network", f"any={network}", "--junit", str(path), *more])
    ((case,),) = ElementTree.parse(path).getroot()
    assert (case.get("classname").split(", ")[0], case.get("name")) == (str(network), asked)
    assert [(child.tag, child.get("message")) for child in case] == ([] if kind is None else [(kind, message)])
    assert all(child.text for child in case)
