"""Diagnostics, word by word: every file of tests/golden/vnnlib holds a text and the error it must give."""

from __future__ import annotations

from pathlib import Path

import pytest

from eqverify.errors import EqverifyError
from eqverify.frontend.vnnlib import lower, parse_query

GOLDEN = Path(__file__).parents[2] / "golden" / "vnnlib"
SEPARATOR = "\n=== expected ===\n"
# Shown by test_files and test_export.
ELSEWHERE = {
    "vnnlib/no-file",
    "vnnlib/gzip",
    "vnnlib/encoding",
    "vnnlib/too-many-entries",
    "export/not-decimal",
    "export/not-expressible",
}


def cases() -> list[Path]:
    return sorted(GOLDEN.glob("*.txt"))


def test_there_are_cases() -> None:
    assert len(cases()) > 50


@pytest.mark.parametrize("path", cases(), ids=lambda path: path.stem)
def test_error_is_as_written(path: Path) -> None:
    text, expected = path.read_text("utf-8").split(SEPARATOR)
    with pytest.raises(EqverifyError) as caught:
        lower(parse_query(text, "property.vnnlib"))
    assert str(caught.value) + "\n" == expected


def test_every_documented_code_has_a_case() -> None:
    specification = (GOLDEN.parents[2] / "specs" / "vnnlib.md").read_text("utf-8")
    table = specification.partition("## Error codes")[2]
    rows = [line.split("`")[1] for line in table.splitlines() if line.startswith("| `")]
    shown = {path.read_text("utf-8").split("error[")[1].split("]")[0] for path in cases()}
    assert set(rows) - ELSEWHERE == shown
