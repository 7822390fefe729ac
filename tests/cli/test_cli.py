"""The command line end to end: results on stdout, diagnostics on stderr, exit statuses, no partial files."""

import itertools
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.cli.main import run
from eqverify.export.runtime import run_model

PROPERTY = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1))
(assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (>= Y_0 3))
"""


def model(weights=((1.0, 1.0), (1.0, -1.0), (0.5, 0.0)), bias=(-3.0, 0.0, 4.0), operator="Relu"):
    """X [1,2] -> Gemm -> Relu -> Gemm -> Y [1,1]: one inactive, one unstable and one active unit."""
    first = numpy_helper.from_array(np.array(weights, dtype=np.float32), "W")
    shift = numpy_helper.from_array(np.array(bias, dtype=np.float32), "b")
    last = numpy_helper.from_array(np.array([[1.0, 1.0, -1.0]], dtype=np.float32), "V")
    nodes = [
        helper.make_node("Gemm", ["X", "W", "b"], ["z"], transB=1),
        helper.make_node(operator, ["z"], ["h"], name="activation"),
        helper.make_node("Gemm", ["h", "V"], ["Y"], transB=1),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("X", [1, 2]), ("Y", [1, 1]))]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [first, shift, last])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


def opaque(*operators):
    """X [1,2] -> operators one after the other -> Y [1,2]; Gemm is the identity."""
    eye = numpy_helper.from_array(np.eye(2, dtype=np.float32), "I")
    names = ["X", *(f"t{k}" for k in range(1, len(operators))), "Y"]
    nodes = [
        helper.make_node(operator, [source, "I"] if operator == "Gemm" else [source], [target])
        for operator, source, target in zip(operators, names[:-1], names[1:], strict=True)
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in ("X", "Y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [eye])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


@pytest.fixture
def files(tmp_path):
    network, query = tmp_path / "net.onnx", tmp_path / "prop.vnnlib"
    network.write_bytes(model())
    query.write_text(PROPERTY)
    return network, query, tmp_path / "out.onnx"


def test_reduce_writes_a_smaller_network_and_a_table(files, capsys):
    network, query, output = files
    assert run(["reduce", str(network), str(query), "-o", str(output)]) == 0
    text = capsys.readouterr()
    assert text.err == ""
    assert "3 -> 2 (33.3 % removed)" in text.out
    onnx.checker.check_model(onnx.load(output))


def test_reduce_json_is_one_object_with_the_promised_keys(files, capsys):
    network, query, output = files
    assert run(["reduce", str(network), str(query), "-o", str(output), "--json", "--cross-check", "z3"]) == 0
    out = capsys.readouterr().out
    found = json.loads(out)
    assert out.count("\n") == 1
    promised = {
        "relus_before", "relus_after", "layers", "witnessed_unstable", "epsilon", "evidence", "certified",
        "parameters_before", "parameters_after", "seconds",
    }  # fmt: skip
    assert promised <= found.keys()
    assert found["cross_check"] == "equivalent"
    assert (found["relus_before"], found["relus_after"], found["witnessed_unstable"]) == (3, 2, 1)
    columns = {"name", "units", "inactive", "active", "unstable", "undecided", "claimed", "kept", "carriers"}
    assert all(set(layer) == columns for layer in found["layers"])
    assert all(value >= 0 for value in found["seconds"].values())


def test_reduce_explain_and_picture(files, capsys):
    network, query, output = files
    picture = output.with_suffix(".svg")
    assert run(["reduce", str(network), str(query), "-o", str(output), "--picture", str(picture), "--explain"]) == 0
    text = capsys.readouterr().out
    assert "h[1] unstable" in text
    assert "inputs of the property show both signs" in text
    assert "tried crown: " in text
    assert picture.read_text().lstrip().startswith("<?xml")


def test_what_follows_an_opaque_operator_is_copied(files, capsys):
    """The ReLUs before Softmax are reduced, eps is proved for what it reads, and the written model has it too."""
    network, query, output = files
    network.write_bytes(opaque("Gemm", "Relu", "Gemm", "Softmax"))
    query.write_text(PROPERTY.replace("(<= X_0 1)", "(<= X_0 -0.5)") + "(declare-const Y_1 Real)")
    assert run(["reduce", str(network), str(query), "-o", str(output), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["relus_before"], found["relus_after"], found["opaque"]) == (2, 1, ["Softmax"])
    points = np.random.default_rng(0).uniform([-1.0, -1.0], [-0.5, 1.0], size=(20, 2))
    assert np.abs(run_model(network.read_bytes(), points) - run_model(output.read_bytes(), points)).max() < 1e-6


def test_stability_prints_the_table_and_json(files, capsys):
    network, query, _ = files
    assert run(["stability", str(network), str(query)]) == 0
    assert capsys.readouterr().out.split()[:6] == ["layer", "units", "inactive", "active", "unstable", "undecided"]
    assert run(["stability", str(network), str(query), "--engine", "crown", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    counts = {"units": 3, "inactive": 1, "active": 1, "unstable": 1, "undecided": 0, "claimed": 0}
    assert found["layers"] == [{"name": "h", **counts}]


def test_info_describes_networks_that_cannot_be_read_too(files, capsys):
    network, query, _ = files
    assert run(["info", str(network), str(query)]) == 0
    assert "Gemm x2, Relu x1" in capsys.readouterr().out
    network.write_bytes(model(operator="Sigmoid"))
    assert run(["info", str(network), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["supported"] is False


@pytest.mark.parametrize("engine", ["portfolio", "crown", "leo", "isa"])
def test_every_engine_reduces(engine, files, capsys):
    network, query, output = files
    assert run(["reduce", str(network), str(query), "-o", str(output), "--engine", engine, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["relus_after"] == 2


def test_a_journal_is_written_and_resumed(files, capsys):
    network, query, output = files
    journal = output.with_suffix(".journal")
    arguments = ["reduce", str(network), str(query), "-o", str(output), "--resume", str(journal), "--json"]
    assert run(arguments) == 0
    capsys.readouterr()
    assert run(arguments) == 0
    assert json.loads(capsys.readouterr().out)["stages"][0]["name"] == "journal"
    query.write_text(PROPERTY.replace("(<= X_0 1)", "(<= X_0 0.5)"))
    assert run(arguments) == 3
    assert "journal/other-problem" in capsys.readouterr().err


def test_two_workers(files, capsys):
    network, query, output = files
    arguments = ["--workers", "2", "--split-inputs", "0", "--json"]
    assert run(["reduce", str(network), str(query), "-o", str(output), *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["relus_after"] == 2


MALFORMED = {
    "empty file": (b"", PROPERTY),
    "truncated": (model()[:60], PROPERTY),
    "not onnx": (b"hello, world" * 10, PROPERTY),
    "unsupported operator": (opaque("Floor", "Gemm"), PROPERTY),
    "nan weight": (model(bias=(np.nan, 0, 0)), PROPERTY),
    "infinite weight": (model(bias=(np.inf, 0, 0)), PROPERTY),
    "wrong arity": (model(), PROPERTY + "(declare-const X_2 Real)(assert (<= X_2 0))(assert (>= X_2 0))"),
    "unbounded input": (model(), PROPERTY.replace("(assert (<= X_1 1))", "")),
    "empty domain": (model(), PROPERTY.replace("(assert (<= X_1 1))", "(assert (<= X_1 -2))")),
    "property syntax": (model(), PROPERTY + "(assert (<= X_0"),
}
"""Name -> network bytes and property text; each must have an error code of its own."""


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_input_is_refused_with_a_code_and_leaves_the_old_file(case, files, capsys):
    network, query, output = files
    network.write_bytes(MALFORMED[case][0])
    query.write_text(MALFORMED[case][1])
    output.write_bytes(b"old")
    assert run(["reduce", str(network), str(query), "-o", str(output)]) == 3
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("error[")
    assert "Traceback" not in text.err
    assert output.read_bytes() == b"old"
    assert sorted(p.name for p in output.parent.iterdir()) == ["net.onnx", "out.onnx", "prop.vnnlib"]


def test_malformed_inputs_have_codes_of_their_own(files, capsys):
    network, query, output = files
    codes = {}
    for case, (data, text) in MALFORMED.items():
        network.write_bytes(data)
        query.write_text(text)
        run(["reduce", str(network), str(query), "-o", str(output)])
        codes[case] = capsys.readouterr().err.split("]")[0].removeprefix("error[")
    same = {("truncated", "not onnx"), ("nan weight", "infinite weight")}
    for one, other in itertools.combinations(codes, 2):
        assert (codes[one] == codes[other]) == ((one, other) in same), (one, other)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reduce"],
        ["reduce", "a.onnx", "b.vnnlib"],
        ["polish"],
        ["reduce", "a.onnx", "b.vnnlib", "-o", "c.onnx", "--engine", "magic"],
        ["reduce", "a.onnx", "b.vnnlib", "-o", "c.onnx", "--time-limit", "soon"],
        ["reduce", "a.onnx", "b.vnnlib", "-o", "c.onnx", "--time-limit", "-1"],
        ["reduce", "missing.onnx", "missing.vnnlib", "-o", "c.onnx"],
        ["reduce", "missing.onnx", "missing.vnnlib", "-o", "no/such/folder/c.onnx"],
        ["stability", "missing.onnx", "missing.vnnlib"],
    ],
)
def test_wrong_calls_exit_with_2(arguments, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.startswith("error[")
    assert not list(tmp_path.iterdir())


def test_help_and_version(capsys):
    assert run([]) == 0
    assert run(["--version"]) == 0
    assert run(["reduce", "--help"]) == 0
    assert "--time-limit" in capsys.readouterr().out


def test_an_unexpected_error_is_internal_and_has_no_traceback(files, capsys, monkeypatch):
    network, query, output = files

    def broken(*_arguments, **_options):
        raise RuntimeError("boom")

    monkeypatch.setattr("eqverify.reduction.pipeline.transform", broken)
    assert run(["reduce", str(network), str(query), "-o", str(output)]) == 5
    text = capsys.readouterr().err
    assert text.startswith("error[internal/unexpected]")
    assert "Traceback" not in text
    assert not output.exists()


def test_an_interrupt_leaves_nothing(files, capsys, monkeypatch):
    network, query, output = files

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("eqverify.reduction.pipeline.transform", interrupted)
    assert run(["reduce", str(network), str(query), "-o", str(output)]) == 130
    assert not output.exists()


def test_a_lying_proof_is_caught_and_nothing_is_written(files, capsys, monkeypatch):
    """If the proof of eps were wrong, running both networks on points shows it."""
    network, query, output = files

    def lie(problem, facts, reduced, unit_maps, relations=()):
        return np.zeros(problem.network.output_size)

    from eqverify.transform.leo import RemoveInactive

    original = RemoveInactive.__call__

    def wrong(self, chain, facts):
        result = original(self, chain, facts)
        from dataclasses import replace

        return (
            replace(result, subject=replace(result.subject, bias=result.subject.bias + 1)) if result.removed else result
        )

    monkeypatch.setattr("eqverify.transform.passes.prove_deviation", lie)
    monkeypatch.setattr("eqverify.transform.deviation.prove_deviation", lie)
    monkeypatch.setattr(RemoveInactive, "__call__", wrong)
    assert run(["reduce", str(network), str(query), "-o", str(output), "--shape", "leo"]) == 5
    assert "reduce/epsilon-exceeded" in capsys.readouterr().err
    assert not output.exists()


def test_z3_refutes_a_lying_proof(files, capsys, monkeypatch):
    network, query, output = files
    from eqverify.transform.leo import RemoveInactive

    original = RemoveInactive.__call__

    def wrong(self, chain, facts):
        from dataclasses import replace

        result = original(self, chain, facts)
        return (
            replace(result, subject=replace(result.subject, bias=result.subject.bias + 1e-3))
            if result.removed
            else result
        )

    monkeypatch.setattr("eqverify.transform.passes.prove_deviation", lambda *_: np.zeros(1))
    monkeypatch.setattr("eqverify.transform.deviation.prove_deviation", lambda *_: np.zeros(1))
    monkeypatch.setattr("eqverify.reduction.pipeline._replay", lambda *_: None)
    monkeypatch.setattr(RemoveInactive, "__call__", wrong)
    arguments = ["reduce", str(network), str(query), "-o", str(output)]
    assert run([*arguments, "--shape", "leo", "--cross-check", "z3"]) == 1
    assert "reduce/refuted" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.slow
def test_module_and_pipe(files):
    """`python -m eqverify` in a pipe: no colour codes, one JSON object; lines of progress where it takes long."""
    network, query, output = files
    command = [sys.executable, "-m", "eqverify", "reduce", str(network), str(query), "-o", str(output), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0
    assert all(re.fullmatch(r"eqverify: [ -~]+", line) for line in done.stderr.splitlines())
    json.loads(done.stdout)
