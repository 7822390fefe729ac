"""Where real networks are: three small ones of our own, in `networks/`, and VNN-COMP's, no part of this repository.

Tests on competition data are skipped where there is none.  Where the variable EQVERIFY_VNNCOMP names a folder, missing
data fails them: that is for who must not skip by mistake, as CI.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest

VARIABLE = "EQVERIFY_VNNCOMP"
DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "vnncomp"

FULLY_CONNECTED = ("acasxu", "acasxu_pruned", "mnist_fc", "rl_benchmarks", "test", "tllverifybench")
CONVOLUTIONAL = ("cifar10_resnet", "collins_rul_cnn", "oval21", "verivital")


class OwnNetwork(NamedTuple):
    """A network trained by benchmarks/training/small.py.

    Attributes:
        name: of its files, without endings.
        relus: how many ReLUs it has; the policy's Clip is two.
        verdicts: of its two properties.
    """

    name: str
    relus: int
    verdicts: tuple[str, str]

    @property
    def model(self) -> Path:
        return Path(__file__).parent / "networks" / f"{self.name}.onnx"

    @property
    def properties(self) -> tuple[Path, Path]:
        first, second = (self.model.with_name(f"{self.name}-{number}.vnnlib") for number in (1, 2))
        return first, second


OWN = {
    own.name: own
    for own in (
        OwnNetwork("policy", 50, ("unsat", "unsat")),
        OwnNetwork("tabular", 40, ("unsat", "sat")),
        OwnNetwork("cnn", 264, ("unsat", "sat")),
    )
}


def _folder() -> Path:
    return Path(os.environ.get(VARIABLE) or DEFAULT)


def vnncomp(benchmark: str) -> Path:
    """The folder of a benchmark; without it the test that asks is skipped, or fails where the data was promised."""
    folder = _folder() / benchmark
    if folder.is_dir():
        return folder
    if os.environ.get(VARIABLE, "none") not in ("none", ""):
        pytest.fail(f"no VNN-COMP data in {folder}, though {VARIABLE} names its parent")
    pytest.skip(f"without VNN-COMP data; benchmarks/README.md says where it is, {VARIABLE}=FOLDER that it is there")


def models(*benchmarks: str) -> list[Path]:
    """The model files of some benchmarks; none where there is no data."""
    found = [path for name in benchmarks for path in (_folder() / name).rglob("*.onnx*")]
    return sorted(path for path in found if path.suffix in (".onnx", ".gz"))


def slow(*values: object) -> list[object]:
    """Parameters whose tests are left to `pytest -m ""`, beside others whose tests `pytest` runs too."""
    rows = [value if isinstance(value, tuple) else (value,) for value in values]
    return [pytest.param(*row, marks=pytest.mark.slow) for row in rows]


def label(path: Path) -> str:
    """A model's name among tests."""
    return "/".join((path.parent.name.replace("onnx", path.parents[1].name), path.name))
