"""`eqverify reduce` with --for-property, --per-box and --radius."""

import json
from unittest.mock import patch

import numpy as np
import onnx
import pytest

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.testing.chains import chain_network

HEADER = "(declare-const X_0 Real)\n(declare-const X_1 Real)\n(declare-const Y_0 Real)\n(declare-const Y_1 Real)\n"
BOX = "".join(f"(assert (>= X_{i} -1)) (assert (<= X_{i} 1))\n" for i in range(2))
TWO_BOXES = (
    "(assert (or (and (>= X_0 -1) (<= X_0 -0.5) (>= X_1 -1) (<= X_1 1))"
    " (and (>= X_0 0.5) (<= X_0 1) (>= X_1 -1) (<= X_1 1))))\n"
)


@pytest.fixture
def net(tmp_path):
    random = np.random.default_rng(2)
    sizes = ((10, 2), (6, 10), (2, 6))
    layers = [(random.normal(size=size).round(2), random.normal(size=size[0]).round(2)) for size in sizes]
    path = tmp_path / "net.onnx"
    path.write_bytes(write_network(chain_network(layers), dtype="float64", metadata={}, producer="test"))
    return path


def query(tmp_path, text):
    path = tmp_path / "query.vnnlib"
    path.write_text(HEADER + text)
    return str(path)


def result(capsys, *arguments):
    status = run([*arguments, "--json"])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return json.loads(captured.out)


def test_for_property(net, tmp_path, capsys):
    text = query(tmp_path, BOX + "(assert (or (and (>= Y_0 1000)) (and (<= Y_1 -1000))))")
    command = ["reduce", str(net), text, "-o", str(tmp_path / "out.onnx"), "--for-property"]
    found = result(capsys, *command)
    assert (found["verdict"], found["counts"]["unsat"], found["claim"]) == ("unsat", 2, "equisatisfiable with signs")
    assert not list(tmp_path.glob("out*"))
    assert run(command) == 0
    assert "unsat (2 unsat)" in capsys.readouterr().out


def test_for_property_with_something_left(net, tmp_path, capsys):
    text = query(tmp_path, BOX + "(assert (or (and (>= Y_0 -1000)) (and (>= Y_0 1000))))")
    files = str(tmp_path / "out.onnx"), str(tmp_path / "out.vnnlib")
    command = [
        "reduce",
        str(net),
        text,
        "-o",
        files[0],
        "--for-property",
        "--time-limit",
        "1",
        "--property-out",
        files[1],
    ]
    with patch.object(CounterexampleSearch, "holds", return_value=False):
        found = result(capsys, *command)
        left = [d for d in found["disjuncts"] if d["status"] == "open"]
        assert run(command[:-2]) == 0
    assert "not equivalent" in capsys.readouterr().out
    assert len(left) == 1
    for entry in left:
        assert entry["files"] == [*files]
        claim = {e.key: e.value for e in onnx.load(files[0]).metadata_props}["eqverify.claim"]
        assert claim.startswith("equisatisfiable with signs, not equivalent")
    assert all(d["files"] == [] for d in found["disjuncts"] if d["status"] != "open")


def test_per_box(net, tmp_path, capsys):
    text = query(tmp_path, TWO_BOXES + "(assert (>= Y_0 1000))")
    found = result(capsys, "reduce", str(net), text, "-o", str(tmp_path / "out.onnx"), "--per-box", "--time-limit", "5")
    assert [box["files"] for box in found["boxes"]] == [[str(tmp_path / f"out-{k}.onnx")] for k in (1, 2)]
    assert len(json.loads((tmp_path / "out.boxes.json").read_text())) == 2
    assert all(box["claim"] == "equivalent" for box in found["boxes"])


def test_radius_with_and_without_a_property(net, tmp_path, capsys):
    text = query(tmp_path, BOX + "(assert (>= Y_0 1000))")
    out = ["-o", str(tmp_path / "out.onnx")]
    whole = result(capsys, "reduce", str(net), text, *out)
    for arguments in ([text, "--around", "property"], [text, "--around", "0.5,0"], ["--around", "0.5,0"]):
        found = result(capsys, "reduce", str(net), *arguments, "--radius", "0.01", *out)
        assert found["relus_after"] <= whole["relus_after"]


@pytest.fixture
def left_open(net, tmp_path):
    """A command that leaves two disjuncts open and proves one unsat, for no input is believed."""
    text = query(
        tmp_path, BOX + "(assert (or (and (>= Y_0 -1000)) (and (>= Y_0 1000)) (and (<= Y_1 1000) (>= Y_0 -2000))))"
    )
    with patch.object(CounterexampleSearch, "holds", return_value=False):
        yield ["reduce", str(net), text, "-o", str(tmp_path / "out.onnx"), "--for-property", "--time-limit", "2"]


@pytest.mark.slow
def test_for_property_explains_each_disjunct_by_its_own_bounds(left_open, capsys):
    lines = result(capsys, *left_open, "--explain", "--certified-only")["explain"]
    heads = [line for line in lines if line.startswith("case 1, disjunct")]
    assert [head.split(": ")[1].split(" ")[0].rstrip(",") for head in heads] == ["open", "unsat", "open"]
    assert "ReLUs kept where it holds" in heads[0]
    first = lines[: lines.index(heads[1])]
    assert any("undecided, z in [" in line and "left open by" in line for line in first)
    assert not any("scip" in line for line in lines)
    assert run([*left_open, "--explain", "--certified-only"]) == 0
    assert all(head in capsys.readouterr().out for head in heads[1:2])


def test_names_of_files_are_not_broken_in_narrow_terminals(left_open, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", "30")
    assert run(left_open) == 0
    written = [str(path) for path in tmp_path.glob("out*.onnx")]
    printed = capsys.readouterr().out
    assert written
    assert all(path in printed for path in written)


def test_for_property_never_asks_the_solver_where_only_certified_facts_count(left_open, capsys):
    found = result(capsys, *left_open, "--certified-only")
    assert found["certified"]
    stages = [stage["name"] for d in found["disjuncts"] if d["reduction"] for stage in d["reduction"]["stages"]]
    assert stages
    assert "scip" not in stages


@pytest.mark.slow
def test_for_property_draws_a_picture_per_network(left_open, tmp_path):
    assert run([*left_open, "--picture", str(tmp_path / "p.svg")]) == 0
    assert sorted(p.name for p in tmp_path.glob("p*.svg")) == ["p-1.svg", "p-2.svg"]


@pytest.mark.slow
def test_per_box_with_all_that_is_about_one_network(net, tmp_path, capsys):
    text = query(tmp_path, TWO_BOXES + "(assert (>= Y_0 1000))")
    command = ["reduce", str(net), text, "-o", str(tmp_path / "out.onnx"), "--per-box", "--time-limit", "5"]
    command += ["--cross-check", "z3", "--picture", str(tmp_path / "p.svg"), "--explain", "--certified-only"]
    command += ["--resume", str(tmp_path / "facts.journal")]
    found = result(capsys, *command)
    assert [box["cross_check"] for box in found["boxes"]] == ["claimed", "claimed"]
    assert [box["certified"] for box in found["boxes"]] == [True, True]
    assert [line for line in found["explain"] if line.startswith("box")] == ["box 1", "box 2"]
    assert {p.name for p in tmp_path.glob("p-*")} == {"p-1.svg", "p-2.svg"}
    journals = {p.name: p.stat().st_size for p in tmp_path.glob("facts*")}
    assert set(journals) == {"facts-1.journal", "facts-2.journal"}
    assert [box["relus_after"] for box in result(capsys, *command)["boxes"]] == [
        b["relus_after"] for b in found["boxes"]
    ]


@pytest.mark.slow
def test_a_limit_of_eps_that_float64_would_keep_is_told_in_all_modes(net, left_open, tmp_path, capsys):
    folder = tmp_path / "boxes"
    folder.mkdir()
    text = query(folder, TWO_BOXES + "(assert (>= Y_0 1000))")
    limit = ["--max-epsilon", "0", "--dtype", "float32"]
    out = ["-o", str(tmp_path / "out.onnx")]
    for command in (["reduce", str(net), text, *out], ["reduce", str(net), text, *out, "--per-box"], left_open):
        assert run([*command, *limit]) == 0
        assert "--dtype float64" in capsys.readouterr().out
        assert run([*command, "--dtype", "float64", "--max-epsilon", "1e-4"]) == 0
        assert "--dtype float64" not in capsys.readouterr().out


def test_explain_is_part_of_the_json(net, tmp_path, capsys):
    text = query(tmp_path, BOX + "(assert (>= Y_0 1000))")
    command = ["reduce", str(net), text, "-o", str(tmp_path / "out.onnx")]
    assert any(line.startswith("tried crown") for line in result(capsys, *command, "--explain")["explain"])
    assert "explain" not in result(capsys, *command)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["--for-property", "--per-box"], "usage/reduce-mode", "--per-box"),
        (["--for-property", "--workers", "2"], "usage/reduce-mode", "--workers"),
        (["--for-property", "--resume", "facts.journal"], "usage/reduce-mode", "no journal"),
        (["--for-property", "--engine", "crown"], "usage/reduce-mode", "--certified-only"),
        (["--for-property", "--branch-nodes", "5"], "usage/reduce-mode", "--branch-nodes"),
        (["--for-property", "--cross-check", "z3"], "usage/reduce-mode", "replayed"),
        (["--for-property", "--cross-check", "equiv"], "usage/reduce-mode", "--certificate"),
        (["--for-property", "--tree-time-limit", "5"], "usage/reduce-mode", "--tree-time-limit"),
        (["--per-box", "--certificate", "c.cert"], "usage/reduce-mode", "one file per box"),
        (["--radius", "1"], "usage/radius", "--around"),
        (["--around", "property"], "usage/radius", "--radius"),
    ],
)
def test_options_that_do_not_go_together(net, tmp_path, capsys, arguments, code, named):
    text = query(tmp_path, BOX + "(assert (>= Y_0 1000))")
    assert run(["reduce", str(net), text, "-o", str(tmp_path / "out.onnx"), *arguments]) == 2
    error = capsys.readouterr().err
    assert code in error
    assert named in " ".join(error.split())
    assert not list(tmp_path.glob("out*"))


def test_a_property_is_needed(net, tmp_path, capsys):
    assert run(["reduce", str(net), "-o", str(tmp_path / "out.onnx")]) == 2
    assert "usage/no-property" in capsys.readouterr().err
