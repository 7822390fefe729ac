"""`tox -e floors` tests the releases that pyproject.toml names as the oldest."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def floors() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    needed = [
        *project["dependencies"],
        *extras["pictures"],
        *extras["testing"],
        *extras["distributed"],
        *extras["embedding"],
        *extras["fast"],
        *extras["marabou"],
    ]
    return sorted(re.sub(r"^([\w-]+)>=([\d.]+)(?:;.*)?$", r"\1==\2", requirement) for requirement in needed)


def test_constraints_are_the_floors() -> None:
    text = (ROOT / "tests" / "packaging" / "floors.txt").read_text("utf-8")
    assert [line for line in text.splitlines() if not line.startswith("#")] == floors()
