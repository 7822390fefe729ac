"""How commands end where the world does not go along: files missing, full, the same twice, signals at any time."""

from __future__ import annotations

import gzip
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import eqverify.api.loading
from eqverify.cli import supervision
from eqverify.cli.main import run
from eqverify.examples import example_files

NETWORK, QUERY = (str(path) for path in (example_files().network, example_files().query))
READING = ("reduce", "stability", "regions", "shallow")
QUICK = ("--engine", "crown", "--time-limit", "5")


def ended(arguments, capsys):
    status = run(arguments)
    return status, capsys.readouterr().err


def written_to(command, folder):
    return ["-o", str(folder / "out.onnx")] if command in ("reduce", "shallow") else []


@pytest.mark.parametrize("command", READING)
@pytest.mark.parametrize("missing", ["network", "property"])
def test_a_missing_file_is_a_usage_error(command, missing, tmp_path, capsys):
    gone = str(tmp_path / "none")
    files = [gone, QUERY] if missing == "network" else [NETWORK, gone]
    status, told = ended([command, *files, *written_to(command, tmp_path)], capsys)
    assert status == 2
    assert "no-file" in told
    assert gone in told


@pytest.mark.parametrize("command", READING)
def test_a_folder_is_no_network(command, tmp_path, capsys):
    status, told = ended([command, str(tmp_path), QUERY, *written_to(command, tmp_path)], capsys)
    assert status == 2
    assert "onnx/unreadable" in told


@pytest.mark.parametrize("command", READING)
def test_a_damaged_archive_under_any_name_is_told(command, tmp_path, capsys):
    packed = tmp_path / "net.bin"
    packed.write_bytes(gzip.compress(Path(NETWORK).read_bytes())[:-9])
    status, told = ended([command, str(packed), QUERY, *written_to(command, tmp_path)], capsys)
    assert status == 3
    assert "not a whole gzip file" in told


SAME = {
    "output is network": ["reduce", "net", QUERY, "-o", "net"],
    "another way to say it": ["reduce", "net", QUERY, "-o", "./link"],
    "property-out is property": ["reduce", "net", "prop", "-o", "out", "--property-out", "prop"],
    "certificate is output": ["reduce", "net", QUERY, "-o", "out", "--certificate", "out"],
    "journal is network": ["stability", "net", QUERY, "--resume", "net"],
    "a numbered output": ["reduce", "net-1.onnx", QUERY, "-o", "net.onnx"],
    "shallow": ["shallow", "net", QUERY, "-o", "net"],
    "list": ["regions", "net", "prop", "--list", "prop"],
    "query": ["equiv", "net", "net", "prop", "--epsilon", "1", "--query-out", "prop"],
    "result": ["verify", "prop", "--network", "f=net", "--result-file", "net"],
}


@pytest.mark.parametrize("arguments", SAME.values(), ids=SAME)
def test_a_file_that_would_replace_another_is_refused_first(arguments, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("net", "prop", "net-1.onnx"):
        Path(name).write_bytes(b"kept")
    Path("link").symlink_to("net")
    status, told = ended(arguments, capsys)
    assert status == 2
    assert "usage/same-file" in told
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"kept"}


def test_a_file_that_is_no_journal_is_left_alone(tmp_path, capsys):
    """It has no line end, as if its first line had been torn."""
    path = tmp_path / "precious"
    path.write_bytes(b"precious")
    status, told = ended(["stability", NETWORK, QUERY, *QUICK, "--resume", str(path)], capsys)
    assert status == 3
    assert "journal/damaged" in told
    assert path.read_bytes() == b"precious"


def test_two_runs_with_one_journal(tmp_path, capsys):
    from eqverify.files import sole_writer

    path = tmp_path / "run.journal"
    assert run(["stability", NETWORK, QUERY, *QUICK, "--resume", str(path)]) == 0
    before = path.read_bytes()
    with sole_writer(path):
        status, told = ended(["stability", NETWORK, QUERY, *QUICK, "--resume", str(path)], capsys)
    assert status == 2
    assert "files/locked" in told
    assert path.read_bytes() == before


def shell(*arguments, stdout):
    command = [sys.executable, "-m", "eqverify", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_standard_output_is_an_error_with_a_code():
    with open("/dev/full", "w") as full:
        done = shell("info", NETWORK, stdout=full)
    assert done.returncode == 2
    assert "error[files/not-writable]" in done.stderr
    assert "Exception" not in done.stderr


def test_a_full_journal_is_an_error_with_a_code(tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    path = tmp_path / "run.journal"
    status, told = ended(["stability", NETWORK, QUERY, *QUICK, "--resume", str(path)], capsys)
    assert status == 2
    assert "journal/not-writable" in told


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_a_signal_makes_of_an_import_is_no_defect(number, expected, capsys, monkeypatch):
    """Compiled modules turn what a handler raises into errors of their own."""

    def interrupted(*_, **__):
        monkeypatch.setattr(supervision, "_received", number)
        raise ImportError("numpy._core.multiarray failed to import")

    monkeypatch.setattr(eqverify.api.loading, "load_problem", interrupted)
    status, told = ended(["stability", NETWORK, QUERY], capsys)
    assert status == expected
    assert "defect" not in told


def test_ctrl_c_while_modules_are_loaded_ends_quietly():
    script = (
        "import os, signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # background jobs of a shell ignore it
        "class Finder:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'eqverify.cli.main':\n"
        "            try:\n"
        "                os.kill(os.getpid(), signal.SIGINT)\n"
        "                for _ in range(500):  # not pause(): the signal may have come just before it\n"
        "                    time.sleep(0.01)\n"
        "            except KeyboardInterrupt:\n"
        "                raise ImportError('failed to import') from None\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from eqverify.cli import main\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr == "interrupted; nothing was written\n"


@pytest.mark.parametrize("given", [True, False])
def test_ctrl_c_leaves_what_was_proved(given, tmp_path, capsys, monkeypatch):
    """In the journal that was given, or in a new one; the command that is printed goes on."""
    from eqverify.stability.journal import Journal

    monkeypatch.chdir(tmp_path)
    words = ["reduce", NETWORK, QUERY, "-o", "an output.onnx", "--json", *(["--resume", "run.journal"] * given)]
    flush = Journal.flush

    def interrupted(journal, solver):
        flush(journal, solver)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "flush", interrupted)  # after the first stage
        status, said = ended(words, capsys)
    assert status == 130
    (journal,) = tmp_path.glob("*.journal")
    typed = shlex.split(said.splitlines()[-1])
    assert typed == ["eqverify", *words, *([] if given else ["--resume", journal.name])]
    assert not Path("an output.onnx").exists()
    assert run(typed[1:]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stages"][0]["name"] == "journal"
    assert found["stages"][0]["decided"] > 0
    assert found["relus_after"] == 40


def test_ctrl_c_before_and_behind_the_proof_leaves_nothing(tmp_path, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    for place in ("eqverify.reduction.pipeline.transform", "eqverify.api.loading.load_problem"):
        monkeypatch.setattr(place, interrupted)
        assert ended(["reduce", NETWORK, QUERY, "-o", "out.onnx"], capsys) == (
            130,
            "interrupted; nothing was written\n",
        )
        assert not list(tmp_path.iterdir())


def test_ctrl_c_in_a_folder_that_is_not_writable_is_told(tmp_path, capsys, monkeypatch):
    from eqverify.stability.journal import Interrupted, Journal

    def interrupted(*_, **__):
        raise Interrupted(Journal(None, ({"journal": 0},)))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(eqverify.api.loading, "load_problem", interrupted)
    monkeypatch.setattr(Journal, "leave", full)
    assert ended(["stability", NETWORK, QUERY], capsys) == (130, "interrupted; nothing was written\n")
