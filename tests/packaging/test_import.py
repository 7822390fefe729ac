"""Importing eqverify is quick and quiet."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("cyclopts", "lark", "matplotlib", "onnx", "onnxruntime", "pyscipopt", "rich", "scipy", "sklearn", "z3")


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement, warnings being errors."""
    program = f"{statement}\nimport sys\nprint(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    command = [sys.executable, "-W", "error", "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return set(result.stdout.splitlines()[-1].split())


def test_import_loads_nothing_heavy() -> None:
    loaded = modules_after("import eqverify")
    assert "eqverify" in loaded
    assert not loaded.intersection(HEAVY)


@pytest.mark.parametrize("module", ["network", "domain", "problem", "bounds", "stability.facts", "stability.options"])
def test_the_core_needs_numpy_only(module: str) -> None:
    assert not modules_after(f"import eqverify.{module}").intersection(HEAVY)


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"], ["--version"], ["--name"]])
def test_what_needs_no_command_imports_none(words: list[str]) -> None:
    loaded = modules_after(f"from eqverify.cli.main import run\nrun({words!r})")
    assert not loaded.intersection({*HEAVY, "filelock", "numpy"})


def test_help_of_a_command_is_cheap() -> None:
    loaded = modules_after("from eqverify.cli.main import run\nrun(['reduce', '--help'])")
    assert not loaded.intersection({*HEAVY, "numpy"} - {"cyclopts", "rich"})


def test_every_public_name_can_be_had() -> None:
    modules_after("import eqverify\nfor name in getattr(eqverify, '__all__', ()): getattr(eqverify, name)")


def test_unknown_names_are_attribute_errors() -> None:
    import eqverify

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = eqverify.no_such_name
