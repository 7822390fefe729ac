"""specs/errors.md lists exactly the codes of the sources, and every code has one exit status."""

from __future__ import annotations

import re

from eqverify.errors import EqverifyError

from . import error_codes

REFRESH = "run: python tests/contracts/error_codes.py"


def test_table_is_that_of_the_sources() -> None:
    listed = set(re.findall(r"^\| `([a-z0-9-]+/[a-z0-9-]+)` \|", error_codes.documented(), re.MULTILINE))
    made = {row[0] for row in error_codes.rows()}
    assert made - listed == set(), f"codes that specs/errors.md lacks; {REFRESH}"
    assert listed - made == set(), f"codes that no source makes; {REFRESH}"
    assert error_codes.documented() == error_codes.render(), f"meanings or hints are stale; {REFRESH}"


def test_codes_are_found_in_every_way_they_are_made() -> None:
    """Directly, through helpers that take a code, and through helpers that add a prefix."""
    codes = {row[0]: row[1] for row in error_codes.rows()}
    assert codes["problem/arity"] == "3"
    assert codes["domain/empty"] == "3"
    assert codes["vnnlib/index-gap"] == "3"
    assert codes["vnnlib/too-deep"] == "3"
    assert codes["onnx/bad-attribute"] == "3"
    assert codes["onnx/shape-mismatch"] == "3"
    assert codes["usage/arguments"] == "2"
    assert len(codes) > 90


def test_no_literal_code_escapes_the_search() -> None:
    """Every string of the sources that looks like a code of a known family is in the table."""
    codes = {row[0] for row in error_codes.rows()}
    families = {code.split("/")[0] for code in codes}
    for path in sorted(error_codes.PACKAGE.rglob("*.py")):
        for word in re.findall(r"[\"'`]([a-z]+/[a-z0-9-]+)[\"'`]", path.read_text("utf-8")):
            assert word.split("/")[0] not in families or word in codes, f"{path}: {word}"


def test_every_code_has_one_form_and_one_status() -> None:
    for code, status, message, _ in error_codes.rows():
        assert re.fullmatch(r"[a-z0-9]+/[a-z0-9]+(-[a-z0-9]+)*", code), code
        assert status in "12345", f"{code} has the exit statuses {status}"
        assert message, f"{code} has no message"


def test_classes_have_the_statuses_of_the_table() -> None:
    text = error_codes.TABLE.read_text("utf-8")
    rows = dict(re.findall(r"^\| (?P<status>\d) \| `(?P<name>\w+)`", text, re.MULTILINE))
    subclasses = {str(kind.exit_status): kind.__name__ for kind in EqverifyError.__subclasses__()}
    assert rows == subclasses
