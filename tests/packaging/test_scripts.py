"""The scripts of examples/ run as they stand, and what they print is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples"
PRINTED = {
    "reduce_and_check.py": r"120 ReLUs before, \d\d after; .*\nverified eps=\S+ \(equivalent\)",
    "largest_ball.py": r"(radius 0\.\d+: (sat|unsat|timed-out|unknown)\n){5}class 0 on the ball of radius 0\.0[67]",
    "quantised_copy.py": r"up to 10.0: equivalent, proved 0\.\d+, .*\nup to 0.001: different, proved None, seen 0\.0",
}


def test_every_script_is_run_and_listed():
    scripts = {path.name for path in FOLDER.glob("*.py")}
    assert scripts == PRINTED.keys()
    listed = re.findall(r"^\| `(\w+\.py)`", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert set(listed) == scripts


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_a_script_prints_what_it_should(name, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(FOLDER.parent)}
    command = [sys.executable, str(FOLDER / name)]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.search(PRINTED[name], done.stdout), done.stdout
