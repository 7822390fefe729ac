"""Run by ``tox -e wheel`` on an installed wheel, with the sources out of the way; no part of the ordinary run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import eqverify

COMMAND = Path(sys.executable).parent / "eqverify"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def test_the_installed_package_is_tested() -> None:
    assert Path(eqverify.__file__).parent != Path(__file__).parents[2] / "eqverify"


def test_demo(tmp_path: Path) -> None:
    result = run(tmp_path, "demo", "--folder", str(tmp_path / "demo"))
    assert result.returncode == 0, result.stderr
    assert {path.suffix for path in (tmp_path / "demo").iterdir()} >= {".onnx"}


def test_errors_have_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "empty.onnx").touch()
    result = run(tmp_path, "info", "empty.onnx")
    assert result.returncode == 3
    assert result.stderr.startswith("error[onnx/empty]")
    assert "Traceback" not in result.stderr


def test_version(tmp_path: Path) -> None:
    assert run(tmp_path, "--version").stdout.strip().endswith(eqverify.__version__)
