"""What is said without importing a command agrees with what the commands say of themselves."""

from __future__ import annotations

import inspect

import pytest

import eqverify
from eqverify.cli.app import app
from eqverify.cli.main import run
from eqverify.cli.overview import COMMANDS

FLAGS = {*app.help_flags, *app.version_flags}


def test_every_command_is_listed():
    assert set(app) - FLAGS == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_is_described_as_its_own_help_begins(name):
    summary = inspect.getdoc(app[name].default_command).partition("\n\n")[0]
    assert COMMANDS[name] == " ".join(summary.replace("`", "").split())


@pytest.mark.parametrize("columns", [20, 80, 200])
@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["--help", "reduce"]])
def test_help_fits_the_terminal(words, columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(words) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in COMMANDS)
    assert max(map(len, text.splitlines())) <= max(columns, 40)


@pytest.mark.parametrize(("words", "said"), [(["--version"], eqverify.__version__), (["--name"], "eqverify")])
def test_flags_say_one_line(words, said, capsys):
    assert run(words) == 0
    assert capsys.readouterr().out == f"{said}\n"


def test_other_words_are_for_the_commands(capsys):
    assert run(["--seed", "1"]) == 2
    assert "usage/arguments" in capsys.readouterr().err
