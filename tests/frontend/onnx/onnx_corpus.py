"""Where the VNN-COMP networks are: the variable EQVERIFY_VNNCOMP, or ../shared/vnncomp beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

FULLY_CONNECTED = ("acasxu", "acasxu_pruned", "mnist_fc", "rl_benchmarks", "test", "tllverifybench")
CONVOLUTIONAL = ("cifar10_resnet", "collins_rul_cnn", "oval21", "verivital")


def folder() -> Path:
    root = Path(__file__).resolve().parents[3]
    return Path(os.environ.get("EQVERIFY_VNNCOMP", root.parent / "shared" / "vnncomp"))


def networks(*benchmarks: str) -> list[Path]:
    """The model files of some benchmarks; empty where the folder is missing (a test of its own fails then)."""
    found = [path for name in benchmarks for path in (folder() / name).rglob("*.onnx*")]
    return sorted(path for path in found if path.suffix in (".onnx", ".gz"))


def label(path: Path) -> str:
    return f"{path.relative_to(folder()).parts[0]}/{path.name}"
