"""Command lines as people type them: commands, networks, patterns and the help."""

import re

import pytest

from eqverify.cli.app import app
from eqverify.cli.main import run

COMMANDS = [name for name in app if not name.startswith("-")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("reduc net.onnx prop.vnnlib -o out.onnx", "did you mean reduce?"),
        ("foo", "there is no such command"),
        ("verfy --help", "did you mean verify?"),
    ],
)
def test_a_command_that_there_is_not(words, said, call, capsys):
    assert call(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("error[usage/command]")
    assert said in told


def test_help_is_a_word_too(capsys):
    for words, same in ((["help"], ["--help"]), (["help", "check"], ["check", "--help"])):
        texts = []
        for line in (words, same):
            assert run(line) == 0
            texts.append(capsys.readouterr().out)
        assert texts[0] == texts[1]
        assert texts[0].startswith("Usage: eqverify")


@pytest.mark.parametrize(
    "words",
    [
        "verify net.onnx prop.vnnlib",
        "verify prop.vnnlib --network net.onnx",
        "verify prop.vnnlib --network =net.onnx",
        "verify prop.vnnlib --network N=net.onnx",
    ],
)
def test_verify_takes_networks_as_people_name_them(words, call, capsys):
    assert call(words) == 0
    assert capsys.readouterr().out == "unsat\n"


@pytest.mark.parametrize(
    "words",
    [
        "verify prop.vnnlib",
        "verify net.onnx prop.vnnlib --network net.onnx",
        "verify prop.vnnlib --network net.onnx --network net.onnx",
        "verify prop.vnnlib --network N=",
    ],
)
def test_verify_wants_each_network_once(words, call, capsys):
    assert call(words) == 2
    assert "usage/networks" in capsys.readouterr().err


def test_a_pattern_that_matches_nothing_is_an_error(call, tmp_path, capsys):
    (tmp_path / "list.csv").write_text("net.onnx,prop.vnnlib,60\n")
    assert run(["bench", "list.csv", "-o", "results", "--match", "cartpole *"]) == 2
    told = capsys.readouterr().err
    assert "bench/no-match" in told
    assert '"net.onnx prop.vnnlib"' in told
    assert not (tmp_path / "results").exists()


def shown(command, capsys):
    assert run([command, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help_are_command_lines(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    examples = re.findall(rf"^ eqverify ({command} .*?) *$", shown(command, capsys), re.MULTILINE)
    assert examples or command in ("demo", "passes", "supports")
    for example in examples:
        line = re.sub(r" > .*", "", example)
        app.parse_args(line, exit_on_error=False, print_error=False)


def test_stars_stay_in_the_help(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    texts = [shown(command, capsys) for command in COMMANDS]
    assert any("*256x2* *" in text for text in texts)


def test_options_stand_in_groups(capsys):
    text = shown("reduce", capsys)
    titles = re.findall(r"╭─ ([^─]*) ─", text)
    proof, rewriting = "Options of the proof of stability", "Options of a reduction"
    assert titles == ["Arguments", "What is written", "For which inputs", "What is told", proof, rewriting]
    for option, title in (("--time-limit", proof), ("--shape", rewriting), ("--picture", "What is written")):
        before = text[: text.index(f" {option} ", text.index("─ What"))]
        assert re.findall(r"╭─ ([^─]*) ─", before)[-1] == title


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell, capsys):
    assert run(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "stability" in text
    assert "time-limit" in text
