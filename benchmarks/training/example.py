"""Train a network, write it, reduce it on the neighbourhood of an image, and verify the smaller one.

    python benchmarks/training/example.py [--folder DIR]

Needs `pip install eqverify[train]`.  The property asks for an input of the ball on which another class has an output at
least as large.  What is verified is the reduced network with the property that was written for it, relaxed by eps: so
`unsat` holds for the network that was trained.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from tasks import digits
from training import Recipe, train

import eqverify as eq
from eqverify.export.onnx import write_network

RADIUS = 0.03


def robustness(image: np.ndarray, label: int, outputs: int) -> str:
    """The property in VNN-LIB 1.0: satisfied where the class changes on the ball around an image."""
    lower, upper = np.clip(image - RADIUS, 0, 1), np.clip(image + RADIUS, 0, 1)
    lines = [f"(declare-const X_{i} Real)" for i in range(image.size)]
    lines += [f"(declare-const Y_{k} Real)" for k in range(outputs)]
    lines += [f"(assert (>= X_{i} {low:.9f}))" for i, low in enumerate(lower)]
    lines += [f"(assert (<= X_{i} {high:.9f}))" for i, high in enumerate(upper)]
    others = " ".join(f"(and (>= Y_{k} Y_{label}))" for k in range(outputs) if k != label)
    return "\n".join([*lines, f"(assert (or {others}))", ""])


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder by default")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp())
    task = digits()
    trained = train(task, Recipe(l1=1e-3, epochs=40))
    path, prop = folder / "digits.onnx", folder / "ball.vnnlib"
    path.write_bytes(write_network(trained, metadata={}, producer="eqverify benchmarks/training"))
    smaller, relaxed = folder / "reduced.onnx", folder / "reduced.vnnlib"
    images, labels = task.test
    for image, label in zip(images[:10], labels[:10].tolist(), strict=True):
        prop.write_text(robustness(image, label, trained.output_size))
        reduction = eq.reduce(eq.load_problem(path, prop), time_limit=10)
        reduction.save(smaller, property=relaxed)
        before, after = (eq.verify(p, n, timeout=20).verdict for p, n in ((prop, path), (relaxed, smaller)))
        sizes = f"{trained.relu_count} -> {reduction.network.relu_count} ReLUs, eps {reduction.epsilon:.1e}"
        print(f"digit {label}: {sizes}; another class on the ball: {before} (original), {after} (reduced)")


if __name__ == "__main__":
    main()
