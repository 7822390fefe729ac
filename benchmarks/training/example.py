"""Train a network, write it, reduce it on the neighbourhood of an image, and verify the smaller one.

    python benchmarks/training/example.py [--folder DIR]

Needs `pip install eqverify[train]`.  Verification is by bounds: the class is certain on the ball if every other class
has a smaller output there, by CROWN and by more than the eps of the reduction.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from tasks import digits
from training import Recipe, train

import eqverify as eq
from eqverify.bounds import crown_bounds
from eqverify.export.onnx import write_network
from eqverify.network import Affine, Dense, Network, Port, Term
from eqverify.problem import box_problem

RADIUS = 0.03


def margins(network: Network, label: int) -> Network:
    """The network whose outputs are  output[label] - output[k]  for all other k."""
    size = network.output_size
    matrix = np.delete(np.eye(size)[label] - np.eye(size), label, axis=0)
    last = Affine("margins", (Term(network.outputs[0].source, Dense(matrix)),), np.zeros(size - 1))
    return Network(network.inputs, (*network.nodes, last), (Port("M", (1, size - 1), "float64", "margins"),))


def certain(network: Network, label: int, lower: np.ndarray, upper: np.ndarray, epsilon: float) -> bool:
    """Whether bounds prove the class, even where every output is off by epsilon."""
    bounds = crown_bounds(margins(network, label), lower[None], upper[None], outputs=True)
    return bool((bounds["margins"].lower > 2 * epsilon).all())


def main() -> None:
    """Run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; a temporary folder by default")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    task = digits()
    network = train(task, Recipe(l1=1e-3, epochs=40))
    path = folder / "digits.onnx"
    path.write_bytes(write_network(network, metadata={}, producer="eqverify benchmarks/training"))
    loaded = eq.load_network(path)
    shares, before, after = [], 0, 0
    images, labels = task.test
    for image, label in zip(images[:10], labels[:10].tolist(), strict=True):
        lower, upper = np.clip(image - RADIUS, 0, 1), np.clip(image + RADIUS, 0, 1)
        reduction = eq.reduce(box_problem(loaded, lower, upper), time_limit=10)
        reduction.save(folder / "reduced.onnx")
        smaller = eq.load_network(folder / "reduced.onnx")
        shares.append(smaller.relu_count)
        before += certain(loaded, label, lower, upper, 0.0)
        after += certain(smaller, label, lower, upper, reduction.epsilon)
    print(f"{loaded.relu_count} ReLUs; reduced on balls around ten images: {shares}")
    print(f"class certain on the ball: {before} of 10 with the original, {after} of 10 with the reduced networks")


if __name__ == "__main__":
    main()
