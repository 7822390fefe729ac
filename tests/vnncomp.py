"""Where the VNN-COMP data is.  It is no part of this repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

VARIABLE = "EQVERIFY_VNNCOMP"
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "vnncomp"


def vnncomp_root() -> Path:
    """The folder with one folder per benchmark.

    Missing data fails the test that asks for it: a silent skip would hide that nothing was tested.  Who has no data
    says so by EQVERIFY_VNNCOMP=none, and gets skips.
    """
    chosen = os.environ.get(VARIABLE, "")
    if chosen == "none":
        pytest.skip(f"no VNN-COMP data, as {VARIABLE}=none says")
    root = Path(chosen) if chosen else DEFAULT
    if not (root / "acasxu" / "instances.csv").is_file():
        pytest.fail(f"no VNN-COMP data in {root}: set {VARIABLE} to its folder, or to 'none' to skip these tests")
    return root
