"""The line that says how far a command is."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import pytest
import rich.live

from eqverify.cli import progress
from eqverify.cli.progress import Log, shown_progress


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_lines_come_after_ten_seconds_and_then_more_seldom():
    clock, said = Clock(), []
    log = Log(said.append, None, clock)
    spoken = []
    for second in range(400):
        clock.now = 100.0 + second
        log("scip h1", second, 1000)
        if len(said) > len(spoken):
            spoken.append(second)
    assert spoken == [10, 30, 70, 130, 190, 250, 310, 370]


def test_a_line_says_how_much_is_left():
    clock = Clock()
    log = Log(lambda line: None, 60.0, clock)
    clock.now += 5
    log("scip h1", 0, 12)
    assert log.line() == "scip h1 0 of 12; 5 s, 55 s left of the time limit"
    clock.now += 6
    log("scip h1", 3, 12)
    assert log.line() == "scip h1 3 of 12; 11 s, about 18 s left of this stage, 49 s left of the time limit"
    log("check", 0, 1)
    clock.now += 60
    assert log.line() == "check; 71 s, 0 s left of the time limit"
    assert Log(lambda line: None, None, clock).line() == "starting; 0 s"


def test_short_commands_are_silent_where_there_is_no_terminal(capsys):
    with shown_progress(60.0) as progress:
        progress("crown", 0, 1)
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line_that_goes_away(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with shown_progress(60.0) as progress:
        progress("crown", 0, 1)
    shown = capsys.readouterr().err
    assert "crown; 0 s, 60 s left of the time limit" in shown
    assert shown.endswith("\x1b[2K")  # the line is erased


@pytest.mark.parametrize("installed", [True, False])
def test_a_notebook_has_a_line_that_changes_where_rich_can_show_one(installed, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "find_spec", lambda name: SimpleNamespace() if installed else None)
    shown = []
    monkeypatch.setattr(rich.live, "Live", lambda **options: shown.append(options["get_renderable"]) or nullcontext())
    with shown_progress(60.0) as told:
        told("crown", 1, 4)
        lines = [str(line()) for line in shown]
    assert lines == ["crown 1 of 4; 0 s, about 0 s left of this stage, 60 s left of the time limit"] * installed
    assert capsys.readouterr().err == ""


def test_a_limit_that_stops_a_proof_says_what_would_have_come_next(call, capsys):
    assert call("stability net.onnx prop.vnnlib --time-limit 0.000001") == 0
    out = capsys.readouterr().out
    assert "\nnext  signs, alpha, split, lp, branch, scip: not reached within the time limit\n" in out
    assert "scip 0.00" not in out
    assert call("stability net.onnx prop.vnnlib --time-limit 600") == 0
    assert "not reached" not in capsys.readouterr().out
