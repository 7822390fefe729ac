"""The import contracts of pyproject.toml hold, and each is seen to fail when it is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]

# contract -> a file and a line to plant there
VIOLATIONS = {
    "layers": ("bounds/interval.py", "import eqverify.stability.facts"),
    "api-layers": ("api/loading.py", "import eqverify.api.verification"),
    "reduction-layers": ("reduction/folding.py", "import eqverify.reduction.result"),
    "transform-solvers": ("transform/chain.py", "import eqverify.stability.portfolio"),
    "transform-readers": ("transform/chain.py", "import eqverify.frontend.vnnlib"),
    "readers-apart": ("frontend/vnnlib/reader.py", "import eqverify.frontend.onnx.limits"),
    "frontend": ("frontend/onnx/reader.py", "import eqverify.bounds.interval"),
    "onnx-frontend-domain": ("frontend/onnx/reader.py", "import eqverify.domain.box"),
    "vnnlib-frontend-network": ("frontend/vnnlib/reader.py", "import eqverify.network.graph"),
    "readers-unknown": ("problem.py", "import eqverify.frontend.onnx"),
    "milp": ("milp/encoding.py", "import eqverify.network.graph"),
    "export": ("export/onnx.py", "import eqverify.stability.facts"),
    "equivalence": ("equivalence/encoding.py", "import eqverify.bounds.crown"),
    "oracle": ("testing/oracle.py", "import eqverify.transform.chain"),
    "checker": ("checker/region.py", "import eqverify.bounds.crown"),
    "checker-sealed": ("certificate/build.py", "import eqverify.checker.verdict"),
    "only-scip": ("milp/encoding.py", "import pyscipopt"),
    "only-highs": ("bounds/crown.py", "import highspy"),
    "only-numba": ("bounds/crown.py", "import numba"),
    "only-filelock": ("stability/journal.py", "import filelock"),
    "only-pandas": ("stability/facts.py", "import pandas"),
    "only-z3": ("equivalence/encoding.py", "import z3"),
    "only-lark": ("export/vnnlib.py", "import lark"),
    "only-onnx": ("cli/main.py", "import onnx.helper"),
    "only-onnxruntime": ("frontend/onnx/load.py", "import onnxruntime"),
    "only-marabou": ("deciding/marabou.py", "import maraboupy"),
    "only-torch": ("api/loading.py", "import torch"),
    "only-distributed": ("bench/running.py", "import distributed"),
    "only-hypothesis": ("examples/__init__.py", "import hypothesis"),
    "only-scipy": ("bounds/crown.py", "import scipy.linalg"),
    "only-sklearn": ("examples/digits_properties.py", "import sklearn.datasets"),
    "only-terminal": ("report/__init__.py", "import rich.table"),
    "only-matplotlib": ("cli/main.py", "import matplotlib.pyplot"),
}


def run_linter(folder: Path) -> subprocess.CompletedProcess[str]:
    """lint-imports on the tree in a folder; imports are read from there, whatever is installed."""
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); from importlinter.cli import lint_imports_command as c; c()"
    )
    command = [sys.executable, "-P", "-c", program, "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)


def copied_tree(folder: Path) -> Path:
    shutil.copytree(ROOT / "eqverify", folder / "eqverify", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder / "eqverify"


def test_this_tree_keeps_all_contracts() -> None:
    result = run_linter(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in result.stdout


def test_every_contract_has_a_violation_to_plant() -> None:
    assert [contract["id"] for contract in CONTRACTS] == list(VIOLATIONS)


def test_planted_violations_are_caught(tmp_path: Path) -> None:
    """All at once, for the linter takes seconds; what is planted for a contract must be named under that contract."""
    package = copied_tree(tmp_path)
    for file, line in VIOLATIONS.values():
        path = package / file
        path.write_text(f"{path.read_text('utf-8')}\n{line}\n", "utf-8")
    result = run_linter(tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert f"Contracts: 0 kept, {len(CONTRACTS)} broken." in result.stdout, result.stdout
    details = result.stdout.split("Broken contracts\n")[1]
    for contract in CONTRACTS:
        file, line = VIOLATIONS[contract["id"]]
        section = details.split(f"\n{contract['name']}\n---")[1].split("\n\n\n")[0]
        importer = "eqverify." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        assert importer in section, f"{contract['id']}: {importer} with {line!r} is not named\n{section}"


@pytest.mark.parametrize("module", ["eqverify/new.py", "eqverify/new/__init__.py"])
def test_a_module_outside_the_layers_is_caught(tmp_path: Path, module: str) -> None:
    package = copied_tree(tmp_path)
    (package.parent / module).parent.mkdir(exist_ok=True)
    (package.parent / module).touch()
    result = run_linter(tmp_path)
    assert result.returncode == 1
    assert "eqverify.new" in result.stdout
