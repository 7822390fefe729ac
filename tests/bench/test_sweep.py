"""Sweeps: nothing lost, nothing doubled, wrong verdicts named, limits kept."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from eqverify.bench import running, sweep
from eqverify.bench.cases import sweep_cases
from eqverify.bench.instances import Proof, Row, read_details, read_expected, read_instances, read_results
from eqverify.bench.page import sweep_page
from eqverify.bench.running import Outcome, Settings, proof_file, run_instance
from eqverify.bench.scoring import score
from eqverify.bench.sweep import LocalPool, run_sweep
from eqverify.cli.main import run
from eqverify.errors import EqverifyError, UsageError
from eqverify.files import sole_writer
from eqverify.testing.processes import alive

from .bench_helpers import VERDICTS, benchmark

SETTINGS = Settings("scip", True)


class FakePool:
    """Answers at once, and dies after some instances if told so."""

    workers = 1

    def __init__(self, results, dies_after=None):
        self.results, self.dies_after, self.asked = results, dies_after, []

    def outcomes(self, instances, settings):
        for count, instance in enumerate(instances):
            if count == self.dies_after:
                raise KeyboardInterrupt
            self.asked.append(instance.key)
            name = instance.query.removeprefix("vnnlib/").removesuffix(".vnnlib")
            yield Outcome(Row(instance.key, 0.0, self.results[name], 1.0), {"backend": "fake"})


def silent(*_):
    pass


@pytest.fixture
def instances(tmp_path):
    return read_instances(benchmark(tmp_path / "family"))


def test_instances_are_read_as_listed(instances):
    assert [instance.timeout for instance in instances] == [30.0] * 4
    assert instances[0].category == "family"
    assert instances[0].path("onnx/net.onnx").name == "net.onnx.gz"
    with pytest.raises(UsageError, match="bench/no-file"):
        instances[0].path("onnx/other.onnx")
    assert read_expected(instances)[instances[1].key] == "sat"


def test_a_bad_line_is_named(tmp_path):
    (tmp_path / "instances.csv").write_text("a.onnx,b.vnnlib,60\na.onnx,b.vnnlib\n")
    with pytest.raises(EqverifyError, match="bench/instances") as caught:
        read_instances(tmp_path / "instances.csv")
    assert caught.value.place.line == 2


def test_an_interrupted_sweep_goes_on_where_it_was(instances, tmp_path):
    results = tmp_path / "r.csv"
    with pytest.raises(KeyboardInterrupt):
        run_sweep(instances, SETTINGS, results, FakePool(VERDICTS, dies_after=2), silent)
    second = FakePool(VERDICTS)
    rows = run_sweep(instances, SETTINGS, results, second, silent)
    assert second.asked == [instance.key for instance in instances[2:]]
    assert list(rows) == [instance.key for instance in instances]
    lines = list(csv.reader(results.open()))
    assert len(lines) == 4
    assert len({tuple(line[:3]) for line in lines}) == 4


def test_a_torn_line_is_run_again_and_does_not_join_the_next(instances, tmp_path):
    results = tmp_path / "r.csv"
    run_sweep(instances[:2], SETTINGS, results, FakePool(VERDICTS), silent)
    results.write_bytes(results.read_bytes()[:-9])
    pool = FakePool(VERDICTS)
    run_sweep(instances[:2], SETTINGS, results, pool, silent)
    assert pool.asked == [instances[1].key]
    assert len(read_results(results)) == 2
    assert len(list(csv.reader(results.open()))) == 2


def test_results_of_another_limit_are_not_gone_on_with(instances, tmp_path):
    results = tmp_path / "scip-with.csv"
    run_sweep(instances[:1], SETTINGS, results, FakePool(VERDICTS), silent)
    longer = [replace(instance, timeout=60.0) for instance in instances]
    pool = FakePool(VERDICTS)
    with pytest.raises(UsageError, match="bench/other-limit"):
        run_sweep(longer, SETTINGS, results, pool, silent)
    assert not pool.asked
    assert len(read_results(results)) == 1
    assert len(run_sweep(instances, SETTINGS, results, pool, silent)) == 4


def test_claims_are_a_column_and_older_results_have_none(instances, tmp_path):
    results = tmp_path / "r.csv"
    rows = [Row(instances[0].key, 0.0, "unknown", 1.0, 3), Row(instances[1].key, 0.0, "sat", 1.0)]
    older = "family,onnx/net.onnx,vnnlib/edge.vnnlib,0.001,unsat,0.908\n"
    damaged = "family,onnx/net.onnx,vnnlib/far.vnnlib,0.001,unsat,0.908,many\n"
    results.write_text("".join(row.line() for row in rows) + older + damaged)
    assert [len(fields) for fields in csv.reader(results.open())] == [7, 7, 6, 7]
    read = read_results(results)
    assert [row.claimed for row in read.values()] == [3, None, None]
    assert read[instances[2].key].result == "unsat"
    assert score(instances, read, {}).claimed == 1
    pool = FakePool(VERDICTS)
    run_sweep(instances, SETTINGS, results, pool, silent)
    assert pool.asked == [instances[3].key]


@pytest.mark.slow
def test_a_sweep_says_what_is_claimed_and_who_is_trusted(tmp_path, capsys):
    """A tool that lies about everything; it is asked where gradients find nothing, and refuted unless it is trusted."""
    lists, output, tool = benchmark(tmp_path / "family", ("low", "high")), tmp_path / "out", tmp_path / "liar.sh"
    tool.write_text('#!/bin/sh\necho unsat >"$5"\n')
    tool.chmod(0o755)
    command = ["bench", str(lists), "-o", str(output), "--backend", f"command:{tool}", "--without-reduction"]
    assert run(command) == 0
    assert "2 of 2 solved, 0 wrong, 0 claimed" in capsys.readouterr().out
    assert run([*command, "--trust", "command", "--json"]) == 0
    sums = json.loads(capsys.readouterr().out)["runs"]
    ((name, found),) = sums.items()
    assert name == f"command:{tool}, without reduction, trusting command"
    assert (found["solved"], found["claimed"]) == (2, 1)
    (file,) = output.glob("*-trusting-command.csv")
    rows = {key[2]: row for key, row in read_results(file).items()}
    assert [(row.result, row.claimed) for row in rows.values()] == [("unsat", 1), ("sat", 0)]
    (details,) = [d for d in read_details(file.with_suffix(".jsonl")).values() if d["verdict"] == "unsat"]
    assert details["evidence"] == ["claim of command, trusted"]
    assert "claim of command, trusted" in (output / "report.html").read_text()
    assert len(list(output.glob("*.csv"))) == 2


def test_an_outcome_that_comes_twice_is_kept_once(instances, tmp_path):
    class Doubling(FakePool):
        def outcomes(self, instances, settings):
            for outcome in super().outcomes(instances, settings):
                yield outcome
                yield replace(outcome, row=replace(outcome.row, result="error"))

    rows = run_sweep(instances, SETTINGS, tmp_path / "r.csv", Doubling(VERDICTS), silent)
    assert len(list(csv.reader((tmp_path / "r.csv").open()))) == 4
    assert {row.result for row in rows.values()} == {"sat", "unsat"}


def test_progress_says_how_long_it_will_take(instances, tmp_path):
    seen = []
    run_sweep(instances, SETTINGS, tmp_path / "r.csv", FakePool(VERDICTS), lambda *call: seen.append(call))
    assert [(done, total) for _, done, total, _ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert seen[-1][3] == 0.0


def test_wrong_verdicts_and_limits_cost(instances):
    results = {"low": "sat", "high": "sat", "edge": "timeout", "far": "unsat"}
    rows = {o.row.key: o.row for o in FakePool(results).outcomes(instances, SETTINGS)}
    found = score(instances, rows, read_expected(instances))
    assert found.wrong == (instances[0].key,)
    assert (found.instances, found.solved) == (4, 2)
    assert found.par2 == (60 + 1 + 60 + 1) / 4


@pytest.mark.parametrize(
    ("output", "failure", "late", "result"),
    [
        ('{"verdict": "unsat"}', "", False, "unsat"),
        ('{"verdict": "timed-out"}', "", False, "timeout"),
        ('{"verdict": "unsat"}', "", True, "timeout"),
        ("", "time limit", True, "timeout"),
        ("", "exit status 5", False, "error"),
        ("[1]", "", False, "error"),
        ("{}", "", False, "error"),
    ],
)
def test_only_an_answer_in_time_is_a_verdict(output, failure, late, result):
    assert running._judge(output, failure, late)[0] == result


def test_instances_run_in_processes_of_their_own(instances):
    outcome = run_instance(instances[1], SETTINGS)
    assert outcome.row.result == "sat"
    assert outcome.details["relus_before"] == 4
    assert "witness" not in outcome.details
    missing = replace(instances[0], network="onnx/none.onnx")
    assert run_instance(missing, SETTINGS).row.result == "error"


@pytest.mark.slow
def test_the_command_writes_results_and_a_report(tmp_path, capsys):
    lists = benchmark(tmp_path / "family", ("low", "high"))
    output = tmp_path / "out"
    command = ["bench", str(lists), "-o", str(output), "--with-reduction", "--without-reduction", "--workers", "2"]
    assert run(command) == 0
    assert "2 of 2 solved, 0 wrong" in capsys.readouterr().out
    page = (output / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert run([*command, "--json", "--match", "*net* *"]) == 0
    sums = json.loads(capsys.readouterr().out)["runs"]
    assert sums["scip, with reduction"]["solved"] == 2


@pytest.mark.parametrize("listed", [True, False])
def test_the_page_is_made_again_of_the_results(instances, tmp_path, capsys, listed):
    """Nothing runs; expected verdicts are those of the lists, and limits those of the results."""
    results = {**VERDICTS, "low": "sat"}
    run_sweep(instances, SETTINGS, tmp_path / "scip-with.csv", FakePool(results), silent)
    lists = [str(tmp_path / "family" / "instances.csv")] if listed else []
    command = ["bench", *lists, "-o", str(tmp_path), "--report-only", "--timeout", "1", "--json"]
    assert run(command) == (1 if listed else 0)
    ((name, found),) = json.loads(capsys.readouterr().out)["runs"].items()
    assert (name, found["instances"], found["solved"]) == ("scip-with", 4, 3 if listed else 4)
    assert found["par2"] == ((3 * 1.0 + 2 * 30.0) / 4 if listed else 1.0)
    assert "Instances solved over time" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_ends_what_it_started(tmp_path, number):
    """The tool of the instance that is running ends too; what came before is kept, and the message says so."""
    lists, output, mark = benchmark(tmp_path / "family", ("low", "far")), tmp_path / "out", tmp_path / "mark"
    tool = tmp_path / "tool.sh"
    tool.write_text(f'#!/bin/sh\n[ -e {mark} ] && echo $$ >{mark}.2 && exec sleep 60\ntouch {mark}; echo unsat >"$5"\n')
    tool.chmod(0o755)
    run_bench = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from eqverify.cli import main; "
    )
    command = ["bench", str(lists), "-o", str(output), "--backend", f"command:{tool}", "--without-reduction"]
    process = subprocess.Popen(
        [sys.executable, "-c", f"{run_bench}main({command!r})"], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    pid = waited_for(tmp_path / "mark.2")
    process.send_signal(number)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert f"results are in {output}" in message
    assert not alive(pid)
    (file,) = output.glob("*.csv")
    assert [row.result for row in read_results(file).values()] == ["unsat"]


def waited_for(path):
    """The number in a file, once it is there."""
    for _ in range(200):
        if path.is_file() and path.read_text().endswith("\n"):
            return int(path.read_text())
        time.sleep(0.1)
    raise AssertionError(path)


@pytest.mark.slow
def test_a_wrong_verdict_fails_the_command(tmp_path, capsys):
    lists = benchmark(tmp_path / "family", ("low",))
    (tmp_path / "family" / "expected.csv").write_text("onnx/net.onnx,vnnlib/low.vnnlib,sat\n")
    assert run(["bench", str(lists), "-o", str(tmp_path / "out")]) == 1
    assert "bench/wrong" in capsys.readouterr().err


def test_pages_escape_what_they_show(instances, tmp_path):
    rows = run_sweep(instances, SETTINGS, tmp_path / "r.csv", FakePool(VERDICTS), silent)
    odd = {instances[0].key: {"reason": "<i>odd"}}
    page = sweep_page(instances, {"<a>": rows}, {}, {"<a>": odd}, "eqverify <x>")
    assert "<i>odd" not in page
    assert "&lt;i&gt;odd" in page
    assert "<x>" not in page
    assert read_details(tmp_path / "none.jsonl") == {}


def test_local_pools_yield_every_outcome(instances, monkeypatch):
    monkeypatch.setattr(sweep, "run_instance", lambda instance, *_: Outcome(Row(instance.key, 0, "sat", 1), {}))
    keys = [outcome.row.key for outcome in LocalPool(3).outcomes(instances, SETTINGS)]
    assert sorted(keys) == sorted(instance.key for instance in instances)


def test_two_sweeps_into_one_folder(tmp_path, capsys):
    """The second is told, and the results of the first stay as they are."""
    listed = benchmark(tmp_path / "family", ("low",))
    results = tmp_path / "out" / "report.html"
    results.parent.mkdir()
    with sole_writer(results):
        assert run(["bench", str(listed), "-o", str(results.parent)]) == 2
    assert "files/locked" in capsys.readouterr().err
    assert [path.name for path in results.parent.iterdir() if path.suffix != ".lock"] == []


def test_damaged_lines_of_results_are_left_out(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"a,b,c,0.1,unsat,1.0\n\xff\xfe,b\na,b,d,x,unsat,1.0\na,b,e,0.1,sat,2.0\n")
    assert [key[2] for key in read_results(path)] == ["c", "e"]
    path.write_bytes(b'[1]\n\xff\n{"key": ["a", "b", "c"], "limit": 1}\n{"key": 3}\n')
    assert list(read_details(path)) == [("a", "b", "c")]


PROVED = Proof(1000, 2.0, "verified unsat")


def proved(instances, *proofs):
    """Results unsat in 4 s, each with its proof."""
    return {i.key: Row(i.key, 0.0, "unsat", 4.0, 0, proof) for i, proof in zip(instances, proofs, strict=False)}


def test_proofs_are_counted_by_what_check_says_of_them(instances):
    too_slow = Proof(3000, 8.0, "time limit")
    found = score(instances, proved(instances, PROVED, None, too_slow, PROVED), {}).proofs
    assert (found.verified, found.none, found.open, found.rejected) == (2, 1, (instances[2].key,), ())
    assert (found.median_bytes, found.largest_bytes) == (1000, 3000)
    assert (found.median_ratio, found.largest_ratio) == (0.5, 2.0)
    assert score(instances, proved(instances, None, None), {}).proofs is None


@pytest.mark.parametrize("verdict", ["rejected check/not-empty", "verified sat"])
def test_a_proof_that_is_rejected_or_shows_something_else_fails_the_command(instances, tmp_path, capsys, verdict):
    rows = proved(instances, PROVED, replace(PROVED, verdict=verdict))
    assert score(instances, rows, {}).proofs.rejected == (instances[1].key,)
    (tmp_path / "r.csv").write_text("".join(row.line() for row in rows.values()))
    limits = [json.dumps({"key": list(key), "limit": 30.0}) for key in rows]
    (tmp_path / "r.jsonl").write_text("".join(f"{line}\n" for line in limits))
    assert run(["bench", "-o", str(tmp_path), "--report-only"]) == 1
    said = capsys.readouterr()
    assert "1 proofs verified, 1 rejected, 0 not judged, 0 verdicts without" in said.out
    assert "bench/rejected" in said.err
    assert verdict in (tmp_path / "report.html").read_text()


def test_results_with_proofs_are_read_as_they_are_written(instances, tmp_path):
    rows = proved(instances, PROVED, None, Proof(3, 0.5, "rejected certificate/digest"))
    (tmp_path / "r.csv").write_text("".join(row.line() for row in rows.values()) + "a,b,c,0.1,unsat,1.0,0,x,1.0,y\n")
    assert read_results(tmp_path / "r.csv") == rows
    assert [row.proved for row in rows.values()] == [True, None, False]


def test_results_are_written_for_test_systems(instances, tmp_path):
    """What is wrong fails, what has no verdict is skipped, with the log of its run."""
    from xml.etree import ElementTree

    results = {"low": "sat", "high": "sat", "edge": "timeout", "far": "error"}
    run_sweep(instances, SETTINGS, tmp_path / "r.csv", FakePool(results), silent)
    lists, written = tmp_path / "family" / "instances.csv", tmp_path / "junit.xml"
    assert run(["bench", str(lists), "-o", str(tmp_path), "--report-only", "--junit", str(written)]) == 1
    (suite,) = ElementTree.parse(written).getroot()
    assert suite.get("name") == "r"
    found = [[(child.tag, child.get("message")) for child in case] for case in suite]
    assert found == [[("failure", "sat instead of unsat")], [], [("skipped", "timeout")], [("error", "error")]]
    assert suite[0].get("classname") == "family/onnx/net.onnx"


def test_a_rejected_proof_fails_in_a_test_system(instances):
    rows = proved(instances, PROVED, Proof(3, 0.5, "rejected certificate/digest"))
    cases = sweep_cases(instances, {"r": rows}, {}, {})["r"]
    assert [case.outcome for case in cases] == ["passed", "failure"]
    assert cases[1].message == "the proof of unsat: rejected certificate/digest"


@pytest.mark.slow
@pytest.mark.parametrize("warm", [False, True])
def test_the_log_of_a_run_is_kept_and_opens_where_it_failed(warm, instances, tmp_path):
    missing = replace(instances[0], query="vnnlib/bad.vnnlib")
    (tmp_path / "family" / "vnnlib" / "bad.vnnlib").write_text("(assert (<= X_0 <b>))")
    outcome = run_instance(missing, replace(SETTINGS, warm=warm))
    first, second = outcome.details["log"].splitlines()[:2]
    assert first.startswith("$ eqverify verify ")
    assert second.startswith("error[vnnlib/")
    page = sweep_page([missing], {"r": {missing.key: outcome.row}}, {}, {"r": {missing.key: outcome.details}}, "")
    assert "<summary>error</summary><pre>$ eqverify verify " in page
    assert "<b>" not in page


@pytest.mark.slow
def test_proofs_of_a_sweep_are_kept_and_checked(tmp_path, capsys):
    """In a run of its own, whose proofs are what `check` verifies."""
    lists, output, folder = benchmark(tmp_path / "family", ("low",)), tmp_path / "out", tmp_path / "proofs"
    assert run(["bench", str(lists), "-o", str(output), "--proofs", str(folder)]) == 0
    assert "scip, with reduction, with proofs: 1 proofs verified, 0 rejected" in capsys.readouterr().out
    (row,) = read_results(output / "scip-with-proofs.csv").values()
    proof = proof_file(folder / "scip-with", row.key)
    assert row.proof.verdict == "verified unsat"
    assert row.proof.size == proof.stat().st_size
    network, query = tmp_path / "family" / "onnx" / "net.onnx.gz", tmp_path / "family" / "vnnlib" / "low.vnnlib.gz"
    assert run(["check", str(network), str(query), str(proof)]) == 0


def test_a_proof_of_an_earlier_run_is_not_taken_for_one_of_this(instances, tmp_path):
    settings = replace(SETTINGS, backend="command:/none", proofs=str(tmp_path / "proofs"))
    left = proof_file(tmp_path / "proofs", instances[0].key)
    left.parent.mkdir(parents=True)
    left.write_bytes(b"left over")
    broken = replace(instances[0], timeout=1e-3)
    outcome = run_instance(broken, settings)
    assert outcome.row.proof is None
    assert not left.exists()


def test_proofs_of_instances_with_alike_names_have_files_of_their_own(tmp_path):
    keys = [("a", "onnx/n.onnx", "v/p.vnnlib"), ("a", "other/n.onnx", "v/p.vnnlib"), ("a", "../n.onnx", "v/p.q.vnnlib")]
    assert len({proof_file(tmp_path, key) for key in keys}) == 3
    assert all(proof_file(tmp_path, key).parent == tmp_path / "a" for key in keys)
