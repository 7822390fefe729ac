"""Random networks by onnxruntime, with their units permuted, against the bound on the error of runs.

    python benchmarks/runtime/differential.py --evaluations 100000

Each network (dense chains, with skip connections, with convolution, normalisation, pool) is run on random inputs of a
box, in several orders of its hidden units, which change nothing but the order of sums: as they are, at random, and
sorted so that sums on the way become large.  Printed: how many evaluations exceeded the bound (none may), and for each
kind of networks and for all the bound over the largest error that was seen.
"""

from __future__ import annotations

import argparse
from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from eqverify.domain import Box
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import parse_front
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs
from eqverify.runtime_error import domain_errors

ORDERS, INPUTS = 5, 100


class Model:
    """A random model, of which files with other orders of units can be made.

    Args:
        rng: chooses.
        kind: ``dense``, ``skip`` or ``image``.
    """

    def __init__(self, rng: np.random.Generator, kind: str) -> None:
        self.kind, self.channels = kind, int(rng.integers(4, 17))
        self.size = 64 if kind == "image" else int(rng.integers(2, 60))
        depth = int(rng.integers(1, 5))
        width = int(rng.integers(4, 100))
        sizes = [self.size if kind != "image" else self.channels * 9, *[width] * depth, 3]
        self.weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
        self.biases = [rng.normal(size=b) for b in sizes[1:]]
        self.kernel = rng.normal(size=(self.channels, 1, 3, 3))
        self.norm = rng.uniform(0.5, 2.0, size=(4, self.channels))

    def data(self, rng: np.random.Generator, permuted: bool, sorted_: bool = False) -> bytes:
        """The model's bytes, with hidden units in a random order if wanted, or sorted by a row that reads them.

        Sorted by weights that are multiplied with what is not negative, first all negative summands are added up: sums
        on the way are as large as they can be.
        """
        stored: dict[str, np.ndarray] = {}
        nodes, previous, moved = [], "x", np.arange(self.weights[0].shape[1])
        if self.kind == "image":
            order = rng.permutation(self.channels) if permuted else np.arange(self.channels)
            if sorted_:
                order = np.argsort(self.weights[0][rng.integers(len(self.weights[0]))].reshape(-1, 9).sum(axis=1))
            stored |= {"kernel": self.kernel[order], **{f"norm{k}": self.norm[k][order] for k in range(4)}}
            nodes.append(helper.make_node("Conv", ["x", "kernel"], ["c"]))
            nodes.append(helper.make_node("BatchNormalization", ["c", "norm0", "norm1", "norm2", "norm3"], ["b"]))
            nodes.append(helper.make_node("AveragePool", ["b"], ["a"], kernel_shape=[2, 2], strides=[2, 2]))
            nodes.append(helper.make_node("LeakyRelu", ["a"], ["l"], alpha=0.125))
            nodes.append(helper.make_node("Flatten", ["l"], ["f"]))
            previous, moved = "f", (order[:, None] * 9 + np.arange(9)).reshape(-1)
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            last = k == len(self.weights) - 1
            order = np.arange(len(bias)) if last or not permuted else rng.permutation(len(bias))
            if sorted_ and not last:
                order = np.argsort(self.weights[k + 1][rng.integers(len(self.weights[k + 1]))])
            skip = self.kind == "skip" and k > 0 and not last
            order = moved if skip else order  # what is added has to stand in one order
            stored |= {f"w{k}": weight[order][:, moved], f"v{k}": bias[order]}
            nodes.append(helper.make_node("Gemm", [previous, f"w{k}", f"v{k}"], ["y" if last else f"z{k}"], transB=1))
            if not last:
                nodes.append(helper.make_node("Relu", [f"z{k}"], [f"h{k}"]))
                previous = f"h{k}"
            if skip:
                nodes.append(helper.make_node("Add", [f"h{k - 1}" if k == 1 else f"s{k - 1}", f"h{k}"], [f"s{k}"]))
                previous = f"s{k}"
            moved = order
        shape = [INPUTS, 1, 8, 8] if self.kind == "image" else [INPUTS, self.size]
        infos = [
            helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", *s]) for n, s in (("x", shape[1:]), ("y", [3]))
        ]
        tensors = [numpy_helper.from_array(v.astype(np.float32), n) for n, v in stored.items()]
        graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], initializer=tensors)
        opset = [helper.make_opsetid("", 13)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        onnx.checker.check_model(model)
        return model.SerializeToString()


def judged(network: Network, runs: list[np.ndarray], points: np.ndarray, box: Box) -> tuple[int, float]:
    """How many runs exceed the bound, and the bound over the largest error seen (the least ratio of all outputs)."""
    bound = domain_errors(network, [box])
    values = evaluate_nodes(network, points)
    exact, own = (join_outputs(network, v) for v in (values, evaluation_error(network, values)))
    errors = [np.abs(run - exact) for run in runs]
    beyond = sum(int((error > bound + own).any(axis=1).sum()) for error in errors)
    seen = np.max([error.max(axis=0) for error in errors], axis=0)
    return beyond, float(np.min(bound / np.maximum(seen, 1e-45)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, done, beyond = np.random.default_rng(options.seed), 0, 0
    ratios: dict[str, list[float]] = {"dense": [], "skip": [], "image": []}
    while done < options.evaluations:
        kind = list(ratios)[done // (ORDERS * INPUTS) % 3]
        model = Model(rng, kind)
        front = parse_front(model.data(rng, False))
        assert not front.unmodelled
        centre, radius = rng.normal(size=model.size), 10.0 ** rng.uniform(-4, 0)
        box = Box(*(np.asarray(v, dtype=np.float32).astype(float) for v in (centre - radius, centre + radius)))
        points = rng.uniform(box.lower, box.upper, size=(INPUTS, model.size)).astype(np.float32).astype(float)
        points = np.clip(points, box.lower, box.upper)
        runs = [run_model(model.data(rng, k > 0, k > 1), points) for k in range(ORDERS)]
        exceeded, ratio = judged(front.network, runs, points, box)
        beyond, done = beyond + exceeded, done + ORDERS * INPUTS
        ratios[kind].append(ratio)
    print(f"{done} evaluations, {beyond} beyond the bound")
    ratios["all"] = [ratio for several in ratios.values() for ratio in several]
    for kind, found in ratios.items():
        low, middle, high = np.quantile(found, [0.0, 0.5, 1.0])
        print(
            f"{kind}: {len(found)} networks, bound / largest error seen: median {middle:.3g}, {low:.3g} to {high:.3g}"
        )


if __name__ == "__main__":
    main()
