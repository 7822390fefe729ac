"""The patterns of the grammars."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

GAP = r"(?:\s++|;[^\n]*+)"
"""White space and comments: once begun, neither can fail."""


@pytest.mark.parametrize("version", [1, 2])
def test_no_possessive_group_can_fail_after_it_has_begun(version):
    """Python 3.11.0 to 3.11.4 keep what such a group matched before it failed: "12e+" would be a number."""
    text = (files("eqverify.frontend.vnnlib") / f"version{version}.lark").read_text("utf-8")
    assert GAP in text
    assert not re.findall(r".{9}\)(?:[?*+]|\{[0-9,]+\})\+", re.sub(re.escape(GAP) + r"[*+]\+", "", text))
