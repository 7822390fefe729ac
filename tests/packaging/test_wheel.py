"""What is in the wheel, and that it works without the sources."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import eqverify

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built in place without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = folder.glob("*.whl")
    return found


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_name_says_version_and_any_platform(wheel: Path) -> None:
    assert wheel.name == f"eqverify-{eqverify.__version__}-py3-none-any.whl"


def test_data_files_are_inside(wheel: Path) -> None:
    wanted = {
        "eqverify/py.typed",
        "eqverify/frontend/vnnlib/version1.lark",
        "eqverify/frontend/vnnlib/version2.lark",
        "eqverify/examples/digits.onnx",
        "eqverify/report/page.css",
        "eqverify/report/page.js",
        *(f"eqverify/examples/properties/{path.name}" for path in (ROOT / "specs" / "properties").glob("*.vnnlib")),
    }
    assert len(wanted) >= 7
    assert wanted - names(wheel) == set()


def test_all_modules_are_inside_and_nothing_else(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "eqverify").rglob("*.py")}
    found = names(wheel)
    assert {name for name in found if name.endswith(".py")} == modules
    strange = {
        name for name in found if not name.startswith(("eqverify/", f"eqverify-{eqverify.__version__}.dist-info/"))
    }
    assert not strange
    assert any(name.endswith("licenses/LICENSE") for name in found)


def test_entry_point(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "eqverify = eqverify.cli:main" in archive.read(name).decode()


@pytest.mark.slow
def test_examples_are_found_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from eqverify.examples import example_files, property_names
from eqverify.frontend.onnx import read_network
from eqverify.frontend.vnnlib import lower, read_query
from eqverify.problem import Problem
for name in property_names():
    files = example_files(name)
    assert files.query.is_relative_to({str(tmp_path)!r}), files
    Problem(read_network(files.network), lower(read_query(files.query)))
    print(name)
"""
    command = [sys.executable, "-I", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == sorted(path.name for path in (ROOT / "specs" / "properties").glob("*.vnnlib"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution of this tree."""
    folder = tmp_path_factory.mktemp("sdist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (archive,) = folder.glob("*.tar.gz")
    assert archive.name == f"eqverify-{eqverify.__version__}.tar.gz"
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


def test_sources_hold_what_the_documents_name(sources: Path) -> None:
    wanted = [
        "README.md",
        "CHANGELOG.md",
        "CITATION.cff",
        "LICENSE",
        "Dockerfile",
        "specs/trust.md",
        "docs/tutorial.md",
    ]
    wanted += ["tests/packaging/test_wheel.py", "examples/plugin/pyproject.toml", "benchmarks/vnncomp/run_instance.sh"]
    assert [name for name in wanted if not (sources / name).is_file()] == []
    assert not [path for path in sources.rglob("*") if path.name in (".git", ".ci", "__pycache__")]


def test_a_wheel_of_the_sources_is_that_of_the_tree(sources: Path, wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=sources, capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (other,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(other) as second:
        assert {i.filename: i.CRC for i in first.infolist()} == {i.filename: i.CRC for i in second.infolist()}


@pytest.mark.slow
def test_the_wheel_reduces_verifies_and_writes_a_page_outside(wheel: Path, tmp_path: Path) -> None:
    """By its entry point and with what it brings, the sources being elsewhere."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path / "site")!r})
import eqverify
assert eqverify.__file__.startswith({str(tmp_path)!r})
from eqverify.cli.main import run
network, query = map(str, eqverify.example_files())
assert run(["reduce", network, query, "-o", "small.onnx", "--report", "page", "--engine", "crown"]) == 0
assert run(["verify", network, query, "--junit", "junit.xml"]) == 0
"""
    command = [sys.executable, "-I", "-c", program]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200, check=False)
    assert result.returncode == 0, result.stderr
    assert "aria-sort" in (tmp_path / "page" / "report.html").read_text("utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"site", "small.onnx", "page", "junit.xml"}
