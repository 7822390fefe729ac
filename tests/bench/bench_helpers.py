"""A folder as the competition lays it out, with instances that take no time."""

from __future__ import annotations

import gzip

import numpy as np

from eqverify.export.onnx import write_network
from eqverify.testing.chains import chain_network

PROPERTY = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1)) (assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (<= Y_0 {bound}))
"""
VERDICTS = {"low": "unsat", "high": "sat", "edge": "unsat", "far": "unsat"}
BOUNDS = {"low": -0.5, "high": 0.5, "edge": -0.001, "far": -3}


def benchmark(folder, names=tuple(BOUNDS)):
    """|x0| + |x1| against several bounds; files are stored with gzip."""
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    network = chain_network([(rows, np.zeros(4)), (np.ones((1, 4)), np.zeros(1))], "float32", (1,))
    for kind in ("onnx", "vnnlib"):
        (folder / kind).mkdir(parents=True)
    (folder / "onnx" / "net.onnx.gz").write_bytes(gzip.compress(write_network(network, metadata={}, producer="test")))
    for name in names:
        text = PROPERTY.format(bound=BOUNDS[name])
        (folder / "vnnlib" / f"{name}.vnnlib.gz").write_bytes(gzip.compress(text.encode()))
    lines = [f"onnx/net.onnx,vnnlib/{name}.vnnlib" for name in names]
    (folder / "instances.csv").write_text("".join(f"{line},30\n" for line in lines))
    (folder / "expected.csv").write_text(
        "".join(f"{line},{VERDICTS[name]}\n" for line, name in zip(lines, names, strict=True))
    )
    return folder / "instances.csv"
