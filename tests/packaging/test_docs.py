"""The pages of the documentation print what they say; numbers may differ from machine to machine."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from eqverify.cli.overview import COMMANDS

DOCS = Path(__file__).parents[2] / "docs"
PAGES = {path.name: path for path in (*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md")}


@pytest.fixture
def outputs(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("outputs", DOCS / "outputs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setenv("COLUMNS", module.WIDTH)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_prints_what_it_says(name, outputs):
    page = PAGES[name].read_text("utf-8")
    assert outputs.words_of(outputs.renewed(page)) == outputs.words_of(page)


def test_what_a_page_says_wrongly_is_found(outputs):
    page = (
        "```python\nprint('one', 1 + 1)\n```\n\n```text\none 3\n```\n\n```console\n$ eqverify --name\neqverify\n```\n"
    )
    new = outputs.renewed(page)
    assert "\none 2\n" in new
    assert outputs.words_of(new) == outputs.words_of(page)
    assert outputs.words_of(new) != outputs.words_of(page.replace("\neqverify", "\nother"))
    assert outputs.renewed("```console\n$ eqverify --no\n```\n").endswith("(exit status 2)\n```\n")


def test_every_command_is_shown(outputs):
    """But for the one that prints a script."""
    assert set(outputs.PAGES) == set(PAGES.values())
    text = "\n".join(path.read_text("utf-8") for path in PAGES.values())
    commands = re.findall(r"^\$ (\w+) (\w+)", text, re.MULTILINE)
    assert {program for program, _ in commands} == {"eqverify"}
    assert {command for _, command in commands} == COMMANDS.keys() - {"completion"}


def test_the_readme_is_short():
    assert len(PAGES["README.md"].read_text("utf-8").splitlines()) <= 120
