"""Real networks, written and read again: the same function, and onnxruntime agrees on 1,000 points.

Of files of one benchmark that are equally large only the first; benchmarks/frontend/run.py takes them all.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from eqverify.export.onnx import write_network
from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import parse_network, read_network
from eqverify.frontend.onnx.load import read_bytes
from eqverify.network import evaluate

from ..vnncomp import CONVOLUTIONAL, FULLY_CONNECTED, OWN, models, slow, vnncomp

OPERATORS = {"Gemm", "Relu", "Flatten", "Reshape", "Conv", "Add"}
"""What the verifiers read; enough for all but pooling and the scaling of inputs."""


@pytest.mark.parametrize("benchmark", [*OWN, *slow(*FULLY_CONNECTED, *CONVOLUTIONAL)])
def test_every_network_is_written_and_read_again(benchmark):
    paths = [OWN[benchmark].model] if benchmark in OWN else models(vnncomp(benchmark).name)
    assert paths
    scaling = {"Mul", "Div"} if benchmark in OWN else set()
    for path in {path.stat().st_size: path for path in paths}.values():
        network = read_network(path)
        written = write_network(network, metadata={}, producer="test")
        again = parse_network(written)
        points = np.random.default_rng(0).uniform(-1.0, 1.0, (1000, network.input_size))
        equal = again.digest == network.digest
        assert equal or np.array_equal(evaluate(again, points[:100]), evaluate(network, points[:100])), path
        comparison = compare_with_runtime(read_bytes(path), again, points)
        assert comparison.agrees, (path, comparison)
        assert compare_with_runtime(written, network, points[:50]).agrees, path
        operators = {node.op_type for node in onnx.load_from_string(written).graph.node}
        assert operators <= OPERATORS | scaling or benchmark == "verivital", (path, operators)
