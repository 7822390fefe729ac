"""The patterns of the grammars."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from eqverify.errors import InputError
from eqverify.frontend.vnnlib import parse_query

GAP = r"(?:\s++|;[^\n]*+)"
"""White space and comments: once begun, neither can fail."""


@pytest.mark.parametrize("version", [1, 2])
def test_no_possessive_group_can_fail_after_it_has_begun(version):
    """Python 3.11.0 to 3.11.4 keep what such a group matched before it failed: "12e+" would be a number."""
    text = (files("eqverify.frontend.vnnlib") / f"version{version}.lark").read_text("utf-8")
    assert GAP in text
    assert not re.findall(r".{9}\)(?:[?*+]|\{[0-9,]+\})\+", re.sub(re.escape(GAP) + r"[*+]\+", "", text))


DECLARED = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n"
CLAUSES = """(assert (or (and (<= X_0 0.5) (>= Y_0
  -1e-1)
\t( < Y_0 X_0 )) (and (= Y_0 .5))
  (and (> Y_0 2.)(<= X_0 1))))"""


def places(query) -> list[tuple[int, int]]:
    (formula,) = query.assertions
    return [comparison.position for clause in formula.parts for comparison in clause.parts]


def test_fused_clauses_mean_what_the_rules_mean():
    """No fused terminal takes a comment."""
    fused = parse_query(DECLARED + CLAUSES)
    one_by_one = parse_query(DECLARED + CLAUSES.replace("and ", "and;\n"))
    assert fused == one_by_one
    lines = CLAUSES.split("\n")
    starts = [(3 + k, found.start() + 1) for k, line in enumerate(lines) for found in re.finditer(r"\(\s*[<>=]", line)]
    assert places(fused) == starts


@pytest.mark.parametrize(
    ("wrong", "line", "column"),
    [
        ("(and (<= X_0 1)  (<= Y_7 2))", 3, 30),
        ("(and (<= X_0 1)\n  (<= X_0 Y_7))", 4, 11),
        ("(and (<=\nY_7 1))", 3, 14),
    ],
)
def test_errors_inside_fused_clauses_say_where(wrong, line, column):
    with pytest.raises(InputError) as caught:
        parse_query(f"{DECLARED}(assert {wrong})")
    assert caught.value.code == "vnnlib/undeclared"
    assert (caught.value.place.line, caught.value.place.column) == (line, column)
