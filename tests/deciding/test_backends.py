"""Backends by name; tools behind the competition's calling convention; Marabou with precautions; portfolios."""

from __future__ import annotations

import os

import numpy as np
import pytest

import eqverify as eq
from eqverify import execution
from eqverify.deciding import marabou, portfolio
from eqverify.deciding.backends import backends, make_backend
from eqverify.deciding.child import run_group
from eqverify.deciding.command import CommandBackend, assignment
from eqverify.deciding.marabou import MarabouBackend
from eqverify.deciding.portfolio import PortfolioBackend
from eqverify.deciding.question import Disjunction
from eqverify.deciding.scip_backend import ScipBackend
from eqverify.errors import UsageError
from eqverify.network import evaluate
from eqverify.testing.chains import chain_network
from eqverify.testing.processes import alive

from .deciding_helpers import absolute, accepting, budget, chain, needs_marabou, never, question, square

UNSAT = absolute(0.25)
SAT = absolute(-0.25)
SAT_TEXT = "sat\n((X_0 0.0)\n(X_1 0.05)\n(Y_0 -0.2))\n"


def test_ours_have_names():
    assert {"command", "marabou", "portfolio", "scip"} <= set(backends())
    assert isinstance(make_backend("scip"), ScipBackend)


def test_an_unknown_name_lists_those_that_there_are():
    with pytest.raises(UsageError, match="usage/backend") as caught:
        make_backend("nonesuch")
    assert "scip" in caught.value.hint


def test_scip_has_one_mode_more():
    backend = make_backend("scip:milp")
    assert (backend.name, backend.uses_ranges) == ("scip:milp", False)
    with pytest.raises(UsageError, match="usage/backend") as caught:
        make_backend("scip:lp")
    assert "scip:milp" in caught.value.hint


def test_other_packages_add_backends_by_their_entry_points(tmp_path, monkeypatch):
    (tmp_path / "third_party_backend.py").write_text(
        "class Third:\n    name = 'third'\n    def __init__(self, argument):\n        self.argument = argument\n"
    )
    metadata = tmp_path / "third_party-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[eqverify.backends]\nthird = third_party_backend:Third\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "third" in backends()
    assert make_backend("third:with an argument").argument == "with an argument"


def tool(tmp_path, body):
    """A backend of a script; $3 $4 $5 $6 are network, property, result file, seconds."""
    script = tmp_path / "run_instance.sh"
    script.write_text(f"#!/bin/bash\n{body}\n")
    script.chmod(0o755)
    return CommandBackend(str(script))


def test_a_tool_gets_files_that_it_can_read(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    backend = tool(tmp_path, f'cp "$3" "$4" {kept}; echo "$1 $2 $6" > {kept}/said; echo unsat > "$5"')
    reply = backend.decide(question(UNSAT), never, budget())
    assert (reply.verdict, reply.evidence) == ("unsat", "command: run_instance.sh")
    from eqverify.api.loading import load_problem

    assert load_problem(kept / "net.onnx", kept / "prop.vnnlib").network.relu_count == 4
    assert "(assert (<= Y_0 0.0))" in (kept / "prop.vnnlib").read_text()
    version, category, seconds = (kept / "said").read_text().split()
    assert (version, category) == ("v1", "eqverify")
    assert 1 <= int(seconds) <= 5


def test_a_tool_is_asked_about_several_disjuncts_at_once(tmp_path):
    """Y_0 <= 0 and Y_1 <= 0, or Y_2 <= 0; a candidate of the second counts."""
    network = chain(([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [0.5, 0.5, 0.0]))
    asked = Disjunction(network, square(), "float32", np.array([[True, True, False], [False, False, True]]))
    kept = tmp_path / "prop"
    backend = tool(tmp_path, f'cp "$4" {kept}; echo unsat > "$5"')
    assert backend.decide_any(asked, never, budget()).verdict == "unsat"
    from eqverify.api.loading import load_query
    from eqverify.frontend.vnnlib import lower

    (case,) = lower(load_query(kept)).cases
    assert [sorted(j for row in rows for j in row.outputs) for rows in case.unsafe] == [[0, 1], [2]]
    backend = tool(tmp_path, 'echo "sat ((X_0 0.0) (X_1 -0.5))" > "$5"')
    met = []

    def replay(points):
        values = evaluate(network, points)
        met.extend((values[:, 2] <= 0).tolist())
        return bool((values[:, 2] <= 0).any())

    assert backend.decide_any(asked, replay, budget()).verdict == "sat"
    assert met[0]


def test_a_template_says_where_things_go(tmp_path):
    script = tmp_path / "tool"
    script.write_text('#!/bin/bash\n[ -e "$2" ] && [ -e "$4" ] && echo holds\n')
    script.chmod(0o755)
    reply = CommandBackend(f"{script} --net {{onnx}} --prop {{vnnlib}}").decide(question(UNSAT), never, budget())
    assert reply.verdict == "unsat"


def test_sat_of_a_tool_is_replayed(tmp_path):
    (tmp_path / "answer").write_text(SAT_TEXT)
    backend = tool(tmp_path, f'cp {tmp_path}/answer "$5"')
    assert backend.decide(question(SAT), accepting(SAT), budget()).verdict == "sat"
    reply = backend.decide(question(UNSAT), accepting(UNSAT), budget())
    assert reply.verdict == "unknown"
    assert "says sat" in reply.reason


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        ("exit 0", "unknown"),
        ('echo error > "$5"', "unknown"),
        ('echo unsat > "$5"; exit 3', "unknown"),
        ('echo "sat" > "$5"', "unknown"),
        ('echo "unsatisfiable-ish" > "$5"', "unknown"),
        ('echo timeout > "$5"', "timed-out"),
        ('printf "\\xff\\xfe" > "$5"', "unknown"),
    ],
)
def test_what_a_tool_fails_at_is_unknown(tmp_path, body, verdict):
    assert tool(tmp_path, body).decide(question(UNSAT), never, budget()).verdict == verdict


def test_a_missing_tool_is_unknown():
    reply = CommandBackend("/nonexistent/tool").decide(question(UNSAT), never, budget())
    assert reply.verdict == "unknown"
    assert "cannot be started" in reply.reason
    with pytest.raises(UsageError, match="usage/backend"):
        CommandBackend("")


def test_a_tool_and_its_children_end_at_the_limit(tmp_path):
    mark = tmp_path / "pids"
    backend = tool(tmp_path, f"sleep 60 & echo $! > {mark}; sleep 60")
    assert backend.decide(question(UNSAT), never, budget(1.0)).verdict == "timed-out"
    assert not alive(int(mark.read_text()))


def test_a_tool_is_not_told_how_many_threads_to_use(tmp_path, monkeypatch):
    for name in (*execution._THREADS, execution._OURS):
        monkeypatch.setenv(name, "1")
    mark = tmp_path / "environment"
    tool(tmp_path, f'env > {mark}; echo unsat >"$5"').decide(question(UNSAT), never, budget())
    assert "PATH=" in mark.read_text()
    assert "NUM_THREADS" not in mark.read_text()


@pytest.mark.parametrize("body", ["sleep 60", "trap '' TERM; while :; do :; done"])
def test_without_process_groups_a_tool_ends_at_the_limit(body, tmp_path, monkeypatch):
    monkeypatch.delattr(os, "killpg")
    command = ["bash", "-c", f"echo $$ > pid; {body}"]
    assert run_group(command, 1.0, str(tmp_path)) == ("", "time limit")
    assert not alive(int((tmp_path / "pid").read_text()))


def test_run_group_tells_why_a_command_failed(tmp_path):
    assert run_group(["true"], 5, str(tmp_path)) == ("", "")
    assert run_group(["bash", "-c", "echo a; exit 4"], 5, str(tmp_path)) == ("a\n", "exit status 4")
    assert run_group(["sleep", "9"], 0.2, str(tmp_path)) == ("", "time limit")


def test_an_assignment_must_name_every_input():
    assert assignment(SAT_TEXT, 2).tolist() == [0.0, 0.05]
    assert assignment(SAT_TEXT, 3) is None
    assert assignment("sat ((X_0 nan) (X_1 0))", 2) is None
    assert assignment("sat ((X_0 0x) (X_1 0))", 2) is None


@needs_marabou
@pytest.mark.parametrize(("network", "verdict"), [(UNSAT, "unsat"), (SAT, "sat")])
def test_marabou_decides_small_questions(network, verdict):
    reply = MarabouBackend().decide(question(network), accepting(network), budget(30))
    assert reply.verdict == verdict, reply
    if verdict == "unsat":
        assert reply.evidence.startswith("Marabou")


@needs_marabou
@pytest.mark.parametrize(
    ("said", "failure", "verdict", "reason"),
    [
        ({"answer": "unsat", "canary": "unsat"}, "", "unknown", "of the box alone it says unsat"),
        ({"answer": "unsat", "canary": "TIMEOUT"}, "", "unknown", "TIMEOUT"),
        ({"answer": "unsat"}, "exit status -9", "unknown", "exit status -9"),
        ({"answer": "unsat", "canary": "sat"}, "exit status 1", "unknown", "sat"),
        ({"answer": "sat", "point": [0.0, 0.0]}, "", "unknown", "does not hold"),
        ({"answer": "sat", "point": []}, "", "unknown", "does not hold"),
        ({"answer": "TIMEOUT"}, "", "timed-out", ""),
        ({}, "time limit", "timed-out", ""),
        ({}, "exit status 1", "unknown", "exit status 1"),
        ({"answer": "ERROR"}, "", "unknown", "ERROR"),
    ],
)
def test_marabou_is_believed_only_with_precautions(said, failure, verdict, reason):
    reply = MarabouBackend()._judge(said, failure, question(UNSAT), never)
    assert reply.verdict == verdict
    assert reason in reply.reason


@pytest.mark.parametrize("text", ["", '{"answer": "uns', None])
def test_a_result_that_marabou_did_not_finish_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "result.json").write_text(text)
    assert marabou._said(tmp_path / "result.json") == {}


def test_without_the_package_marabou_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(marabou.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="maraboupy") as caught:
        MarabouBackend()
    assert "eqverify[marabou]" in caught.value.hint


def script(tmp_path, name, body):
    path = tmp_path / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return f"command:{path}"


@pytest.mark.slow
def test_the_first_claim_wins_and_the_others_are_ended(tmp_path):
    mark = tmp_path / "pid"
    slow = script(tmp_path, "slow.sh", f"echo $$ > {mark}; sleep 60")
    quick = script(tmp_path, "quick.sh", f'while [ ! -s {mark} ]; do sleep 0.1; done; echo unsat > "$5"')
    reply = PortfolioBackend(f"{slow},{quick}").decide(question(UNSAT), never, budget(40))
    assert (reply.verdict, reply.backend, reply.evidence) == ("unsat", "command", "command: quick.sh")
    assert not alive(int(mark.read_text()))


def test_candidates_of_members_are_replayed_by_us(tmp_path):
    (tmp_path / "answer").write_text(SAT_TEXT)
    found = script(tmp_path, "found.sh", f'cp {tmp_path}/answer "$5"')
    seen = []

    def replay(points):
        seen.append(os.getpid())
        return accepting(SAT)(points)

    reply = PortfolioBackend(found).decide(question(SAT), replay, budget(30))
    assert reply.verdict == "sat"
    assert set(seen) == {os.getpid()}


@pytest.mark.slow
def test_a_portfolio_says_what_its_members_said(tmp_path):
    bad = script(tmp_path, "bad.sh", "exit 1")
    reply = PortfolioBackend(f"{bad},{script(tmp_path, 'worse.sh', 'exit 2')}").decide(
        question(UNSAT), never, budget(30)
    )
    assert reply.verdict == "unknown"
    assert "exit status 1" in reply.reason
    assert "exit status 2" in reply.reason


def test_portfolios_do_not_nest():
    with pytest.raises(UsageError, match="portfolio"):
        PortfolioBackend("scip,portfolio")
    with pytest.raises(UsageError, match="usage/backend"):
        PortfolioBackend("scip,nonesuch")


def test_a_member_that_dies_is_not_waited_for(monkeypatch):
    class Dead:
        def receive(self):
            return "died", None

    ours, theirs = portfolio.get_context("spawn").Pipe()
    theirs.close()
    member = portfolio._Member("scip", None, ours)
    reply = PortfolioBackend("scip")._first([member], never, budget())
    assert reply.verdict == "unknown"
    assert "ended without an answer" in reply.reason


def test_a_wide_question_is_decided_by_branching_or_scip():
    random = np.random.default_rng(0)
    network = chain(
        (random.normal(size=(10, 20)), random.normal(size=10)), (np.abs(random.normal(size=(1, 10))), [0.5])
    )
    assert ScipBackend().decide(question(network), never, budget(20)).verdict == "unsat"


@pytest.mark.slow
def test_no_warning_of_a_member_reaches_the_terminal(tmp_path, capfd):
    """Bounds overflow in its process, too."""
    random = np.random.default_rng(0)
    steep = chain_network([(random.normal(size=(n, m)) * 1e160, np.zeros(n)) for m, n in ((3, 6), (6, 6), (6, 1))])
    names = [f"X_{i}" for i in range(3)]
    lines = [f"(declare-const {x} Real)(assert (<= {x} 1))(assert (>= {x} -1))" for x in names]
    query = tmp_path / "far.vnnlib"
    query.write_text("\n".join([*lines, "(declare-const Y_0 Real)(assert (<= Y_0 -1e290))"]))
    eq.verify(query, steep, backend="portfolio:scip", reduction=False, timeout=10)
    assert capfd.readouterr().err == ""
