"""Numbered statements: each is defined once in specs/, and whatever is cited is defined."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from .test_text_files import ROOT, tracked

DEFINED = re.compile(r"^(?:#+ |\*\*)([A-Z]-\d+)\b", re.MULTILINE)
CITED = re.compile(r"(?<![\w-])[A-Z]-\d+\b(?![\w-])")
UNDEFINED = {"R-0"}
"""A statement of a pass that tests make up."""


def definitions() -> Counter[str]:
    """How often each statement is defined."""
    return Counter(one for page in (ROOT / "specs").glob("*.md") for one in DEFINED.findall(page.read_text("utf-8")))


def test_a_statement_is_defined_once() -> None:
    found = definitions()
    assert len(found) > 50
    assert not [one for one, count in found.items() if count > 1]


@pytest.mark.parametrize("suffix", [".py", ".md", ".toml"])
def test_what_is_cited_is_defined(suffix: str) -> None:
    known = definitions().keys() | UNDEFINED
    cited = {
        (path, one) for path in tracked() if path.suffix == suffix for one in CITED.findall(path.read_text("utf-8"))
    }
    assert cited or suffix == ".toml"
    assert not [f"{path}: {one}" for path, one in sorted(cited) if one not in known]


def test_docstrings_cite_what_the_repository_has() -> None:
    """No unpublished page: a reference is a paper, a book or a file of the repository."""
    outside = re.compile(r"\(design\b|\bdesign, section", re.IGNORECASE)
    assert not [
        path
        for path in tracked()
        if path.is_relative_to(ROOT / "eqverify") and path.suffix == ".py" and outside.search(path.read_text("utf-8"))
    ]
