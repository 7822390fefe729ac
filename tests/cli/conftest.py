"""A folder with a small network and a property, and command lines that are run in it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.testing.chains import chain_network

PROPERTY = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1))
(assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (>= Y_0 3))
"""


@pytest.fixture
def call(tmp_path, monkeypatch) -> Callable[[str], int]:
    """Runs a command line where net.onnx has one inactive, one unstable and one active unit on prop.vnnlib."""
    monkeypatch.chdir(tmp_path)
    first = [[1.0, 1.0], [1.0, -1.0], [0.5, 0.0]], [-3.0, 0.0, 4.0]
    layers = [tuple(np.array(part) for part in layer) for layer in (first, ([[1.0, 1.0, -1.0]], [0.0]))]
    data = write_network(chain_network(layers), metadata={}, producer="test", dtype="float32")
    (tmp_path / "net.onnx").write_bytes(data)
    (tmp_path / "prop.vnnlib").write_text(PROPERTY)
    return lambda words: run(words.split())
