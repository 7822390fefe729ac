"""Sphinx: `sphinx-build -W docs build/docs` (tox -e docs)."""

import re
from typing import Any

from eqverify import __version__

project = "eqverify"
author = "eqverify developers"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["build"]
default_role = "literal"
html_theme = "alabaster"
html_theme_options = {"description": "Verified reduction of ReLU networks", "page_width": "1100px"}
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # pages that are included from specs/ link to files beside them


def _absolute_values(_app: object, _what: str, _name: str, _it: object, _options: object, lines: list[str]) -> None:
    """Bars in docstrings are absolute values, no substitutions."""
    for number, line in enumerate(lines):
        parts = re.split(r"(`+[^`]*`+)", line)
        lines[number] = "".join(p if p.startswith("`") else p.replace("|", "\\|") for p in parts)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _absolute_values)
