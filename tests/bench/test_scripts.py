"""The competition's three scripts, called as the competition calls them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eqverify.cli.main import run

from ..vnncomp import slow
from .bench_helpers import benchmark

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "vnncomp"


def call(name, *arguments, cwd, **environment):
    return subprocess.run(
        [str(SCRIPTS / name), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "EQVERIFY_PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def family(tmp_path):
    benchmark(tmp_path / "family", ("low", "high"))
    return tmp_path / "family"


@pytest.mark.parametrize(("name", "verdict"), [("low", "unsat"), *slow(("high", "sat"))])
def test_an_instance_is_prepared_and_run(family, tmp_path, name, verdict):
    files = family / "onnx" / "net.onnx", family / "vnnlib" / f"{name}.vnnlib"
    assert call("prepare_instance.sh", "v1", "family", *files, cwd=tmp_path).returncode == 0
    result = tmp_path / "out.txt"
    result.write_text("left over from the instance before\n")
    done = call("run_instance.sh", "v1", "family", *files, result, 30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert result.read_text().splitlines()[0] == verdict


@pytest.mark.slow
def test_proofs_go_to_a_folder_and_verify(family, tmp_path):
    """The name says what it is about; what was left there from an earlier run goes."""
    files, result = (family / "onnx" / "net.onnx", family / "vnnlib" / "low.vnnlib"), tmp_path / "out.txt"
    arguments, told = ("v1", "fam/ily", *files, result, 30), {"EQVERIFY_PROOFS": "my proofs"}
    done = call("run_instance.sh", *arguments, cwd=tmp_path, **told)
    assert result.read_text() == "unsat\n", done.stderr
    (proof,) = tmp_path.glob("my proofs/*/*")
    assert proof.parent.name == "fam_ily"
    assert proof.name.startswith("net.onnx-low.vnnlib-")
    assert proof.suffix == ".proof"
    assert run(["check", *(f"{path}.gz" for path in files), str(proof)]) == 0
    call("run_instance.sh", *arguments, cwd=tmp_path, **told, EQVERIFY_BACKEND="none")
    assert result.read_text() == "error\n"
    assert not proof.exists()


PAIR = """(vnnlib-version <2.0>)
(declare-network f (declare-input X float32 [1,2]) (declare-output Y float32 [1,1]))
(declare-network g {relation} (declare-input Z float32 [1,2]) (declare-output W float32 [1,1]))
(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0) (>= X[0,1] -1.0) (<= X[0,1] 1.0)))
(assert (and (== Z[0,0] X[0,0]) (== Z[0,1] X[0,1])))
(assert (>= Y[0,0] (+ W[0,0] 0.5)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("relation", ["", *slow("(equal-to f)", "(isomorphic-to f)")])
def test_networks_of_a_property_about_several_come_as_a_list(family, tmp_path, relation):
    """Both packed, relative to a folder that is not that of the scripts."""
    (tmp_path / "pair.vnnlib").write_text(PAIR.format(relation=relation))
    networks, result = "[('f', 'family/onnx/net.onnx'), ('g', 'family/onnx/net.onnx')]", tmp_path / "out.txt"
    assert call("prepare_instance.sh", "v1", "family", networks, "pair.vnnlib", cwd=tmp_path).returncode == 0
    done = call("run_instance.sh", "v1", "family", networks, "pair.vnnlib", "out.txt", 30, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert result.read_text() == "unsat\n"


@pytest.mark.parametrize("networks", ["[('f', 'none.onnx')]", *slow("[1, 2]", "[('f', 3)]", "[]", "[('f',")])
def test_a_list_that_names_no_files_is_an_error(family, tmp_path, networks):
    query = family / "vnnlib" / "low.vnnlib"
    assert call("prepare_instance.sh", "v1", "family", networks, query, cwd=tmp_path).returncode == 1
    call("run_instance.sh", "v1", "family", networks, query, "out.txt", 30, cwd=tmp_path)
    assert (tmp_path / "out.txt").read_text() == "error\n"


@pytest.mark.slow
@pytest.mark.parametrize(("options", "says"), [("", "proved by "), ("--trust command", "claim of command, trusted")])
def test_options_say_who_is_trusted(family, tmp_path, options, says):
    liar = tmp_path / "liar.sh"
    liar.write_text('#!/bin/bash\necho unsat > "$5"\n')
    liar.chmod(0o755)
    result = tmp_path / "out.txt"
    arguments = family / "onnx" / "net.onnx", family / "vnnlib" / "low.vnnlib", result, 30
    environment = {"EQVERIFY_BACKEND": f"command:{liar}", "EQVERIFY_OPTIONS": f"--no-reduction {options}"}
    done = call("run_instance.sh", "v1", "family", *arguments, cwd=tmp_path, **environment)
    assert result.read_text() == "unsat\n"
    assert says in done.stderr


@pytest.mark.slow
def test_a_crash_is_an_error_in_the_result_file(family, tmp_path):
    (family / "onnx" / "bad.onnx").write_bytes(b"no model")
    result = tmp_path / "out.txt"
    arguments = family / "onnx" / "bad.onnx", family / "vnnlib" / "low.vnnlib", result, 30
    assert call("run_instance.sh", "v1", "family", *arguments, cwd=tmp_path).returncode == 0
    assert result.read_text() == "error\n"


@pytest.mark.slow
def test_a_run_that_hangs_is_a_timeout(family, tmp_path):
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/bash\nsleep 60\n")
    hanging.chmod(0o755)
    result = tmp_path / "out.txt"
    arguments = family / "onnx" / "net.onnx", family / "vnnlib" / "low.vnnlib", result, 1
    call("run_instance.sh", "v1", "family", *arguments, cwd=tmp_path, EQVERIFY_PYTHON=str(hanging))
    assert result.read_text() == "timeout\n"


def test_wrong_calls_fail(family, tmp_path):
    assert call("prepare_instance.sh", "v1", "family", "none.onnx", "none.vnnlib", cwd=tmp_path).returncode == 1
    for name in ("install_tool.sh", "prepare_instance.sh", "run_instance.sh"):
        assert call(name, "v0", cwd=tmp_path).returncode == 1
    assert call("run_instance.sh", "v1", "family", cwd=tmp_path).returncode == 1


def test_installation_installs_this_tree(tmp_path):
    recorded = tmp_path / "python"
    recorded.write_text('#!/bin/bash\necho "$@"\n')
    recorded.chmod(0o755)
    done = call("install_tool.sh", "v1", cwd=tmp_path, EQVERIFY_PYTHON=str(recorded))
    assert done.returncode == 0
    *words, folder = done.stdout.split()
    assert words == ["-m", "pip", "install"]
    assert Path(folder).resolve() == SCRIPTS.parents[1]
