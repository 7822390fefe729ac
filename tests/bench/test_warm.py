"""Runs that branch off a warm process: they answer as fresh ones do, and end when they are told to."""

import json
import threading

import eqverify as eq
from eqverify.bench.running import Settings
from eqverify.bench.warm import run_warm
from eqverify.cli.commands.bench import _file_name, _run_name


def words(*more: str) -> list[str]:
    network, query = eq.example_files()
    return ["verify", str(query), "--network", f"={network}", "--workers", "1", "--json", *more]


def test_a_warm_run_answers_as_a_fresh_one(tmp_path):
    output, failure = run_warm(words(), 60, str(tmp_path))
    assert failure == ""
    answer = json.loads(output)
    assert answer["verdict"] == eq.verify(eq.example_files()[1], eq.example_files()[0]).verdict
    assert answer["schema"].startswith("eqverify verify")


def test_an_error_is_told_by_its_exit_status(tmp_path):
    output, failure = run_warm(["info", "nowhere.onnx", "--json"], 60, str(tmp_path))
    assert failure == "exit status 2"
    assert json.loads(output)["error"]["code"] == "onnx/no-file"


def test_a_run_ends_at_its_limit(tmp_path):
    assert run_warm(words(), 0, str(tmp_path)) == ("", "time limit")


def test_a_run_ends_with_its_sweep(tmp_path):
    stop = threading.Event()
    stop.set()
    assert run_warm(words(), 60, str(tmp_path), stop) == ("", "stopped")


def test_warm_runs_have_results_of_their_own():
    fresh, warm = (Settings("scip", True, warm=w) for w in (False, True))
    assert _file_name(fresh) != _file_name(warm)
    assert _run_name(fresh) != _run_name(warm)
