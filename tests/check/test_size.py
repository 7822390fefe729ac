"""How much of the checker there is to read, and that the documents say so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["docs/explanation.md", "specs/trust.md"])
def test_the_documents_say_how_many_lines_the_checker_has(page):
    (stated,) = re.findall(r"at most\s+([0-9],[0-9]{3}) lines", (ROOT / page).read_text("utf-8"))
    most = int(stated.replace(",", ""))
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in (ROOT / "eqverify/checker").glob("*.py"))
    assert 0.8 * most <= lines <= most
