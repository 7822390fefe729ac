"""What is true of all files of the repository."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".md", ".toml", ".ini", ".lark", ".vnnlib", ".yml", ""}
MAX_LINES = 650


def tracked() -> list[Path]:
    """Files under version control; not what else lies in the checkout, such as virtual environments of any name."""
    command = ["git", "ls-files", "--cached"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed if (ROOT / name).is_file()]


def test_no_path_of_one_machine() -> None:
    """Absolute paths into homes and scratch folders mean nothing elsewhere."""
    pattern = re.compile(r"(?<![\w.])/(?:root|home|Users|tmp)/\w")
    here = Path(__file__)
    for path in tracked():
        if path.suffix in SUFFIXES and path != here:
            assert not pattern.search(path.read_text("utf-8", errors="replace")), path


def test_sources_are_of_readable_length() -> None:
    for path in tracked():
        if path.suffix == ".py":
            lines = path.read_text("utf-8").count("\n")
            assert lines <= MAX_LINES, f"{path} has {lines} lines"


def test_fragments_of_the_change_log_are_named_by_what_they_are_about() -> None:
    """A number would need to be free in every branch that is merged; towncrier refuses two of one number and kind."""
    names = [path.name for path in tracked() if path.parent.name == "changelog.d"]
    assert not [name for name in names if not re.fullmatch(r"\+[a-z0-9-]+\.(added|changed|fixed|removed)\.md", name)]
