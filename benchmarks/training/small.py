"""Trains the small networks of the tests: a control policy, a classifier of table rows, a CNN.

    python benchmarks/training/small.py tests/networks

Needs scikit-learn only.  The files look as training frameworks write them: MatMul and Add or Gemm, the scaling of the
inputs and the limits of the control in the graph, a convolution with pooling.  The filters of the convolution are
centres of k-means on image patches (Coates, Lee, Ng 2011, "An analysis of single-layer networks in unsupervised feature
learning"), the layers behind it are trained on what they see.  Each network gets two properties, `NAME-1` and `NAME-2`.
Equal seeds give equal networks on one machine; another order of summation may change last digits.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from tasks import control, digits

OPSET = 17
FILTERS, WINDOW, SIDE = 6, 3, 8


@dataclass(frozen=True, slots=True)
class Region:
    """A question in VNN-LIB 1.0: an input of the box for which one of some conditions on outputs holds.

    Attributes:
        title: what is asked, in a line.
        lower: least inputs, (inputs,).
        upper: largest inputs, (inputs,).
        conditions: lines of VNN-LIB, of which one must hold.
        outputs: how many there are.
    """

    title: str
    lower: np.ndarray
    upper: np.ndarray
    conditions: Sequence[str]
    outputs: int

    def text(self) -> str:
        """The file; bounds have six decimal places."""
        lines = [f"; {self.title}", "; Written by benchmarks/training/small.py."]
        lines += [f"(declare-const X_{k} Real)" for k in range(len(self.lower))]
        lines += [f"(declare-const Y_{k} Real)" for k in range(self.outputs)]
        for k, (low, high) in enumerate(zip(self.lower, self.upper, strict=True)):
            lines.append(f"(assert (>= X_{k} {low:.6f})) (assert (<= X_{k} {high:.6f}))")
        return "\n".join([*lines, "(assert (or", *(f"  (and {line})" for line in self.conditions), "))", ""])


def policy() -> tuple[onnx.ModelProto, list[Region]]:
    """The force on a cart with a pole, within [-1, 1], from its state of four numbers."""
    task = control()
    inputs, targets = task.train
    fitted = MLPRegressor(hidden_layer_sizes=task.hidden, alpha=1e-3, max_iter=200, random_state=0).fit(
        inputs, targets.ravel()
    )
    nodes, weights, source = _dense(fitted, "state", gemm=False)
    nodes.append(helper.make_node("Clip", [source, "least", "most"], ["force"]))
    weights |= {"least": np.array(-1.0), "most": np.array(1.0)}
    calm = np.array([0.1, 0.1, 0.02, 0.1])
    leaning = np.array([0.0, 0.0, 0.3, 0.0])
    regions = [
        Region("Near rest, can the force exceed 0.5?", -calm, calm, ["(>= Y_0 0.5)"], 1),
        Region("The pole leans right: can the force go left?", leaning - calm, leaning + calm, ["(<= Y_0 0.0)"], 1),
    ]
    return _model("policy", nodes, weights, ("state", ["batch", 4]), ("force", ["batch", 1])), regions


def tabular() -> tuple[onnx.ModelProto, list[Region]]:
    """Malignant or benign, from thirty measurements of cells in their own units."""
    rows, labels = load_breast_cancer(return_X_y=True)
    train = np.arange(len(rows)) % 5 > 0
    mean, scale = rows[train].mean(axis=0), rows[train].std(axis=0)
    fitted = MLPClassifier(hidden_layer_sizes=(24, 16), alpha=0.1, max_iter=400, random_state=0)
    fitted.fit((rows[train] - mean) / scale, labels[train])
    nodes, weights, source = _dense(fitted, "scaled", gemm=True)
    first = [
        helper.make_node("Sub", ["row", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
    ]
    weights |= {"mean": mean[None], "scale": scale[None]}
    regions = []
    for number, width in ((0, 0.1), (5, 0.5)):
        title = f"Row {number}, of class {labels[number]}, each measurement within {width} standard deviations."
        low, high = rows[number] - width * scale, rows[number] + width * scale
        regions.append(Region(title, low, high, [f"({'<=' if labels[number] else '>='} Y_0 0.0)"], 1))
    return _model("tabular", [*first, *nodes], weights, ("row", [1, 30]), (source, [1, 1])), regions


def cnn() -> tuple[onnx.ModelProto, list[Region]]:
    """The digit on an image of 8x8 pixels in [0, 1]: a convolution, average pooling, two dense layers."""
    task = digits()
    (images, labels), (tests, found) = task.train, task.test
    squares = np.lib.stride_tricks.sliding_window_view(images.reshape(-1, SIDE, SIDE), (WINDOW, WINDOW), axis=(1, 2))
    patches = squares.reshape(-1, WINDOW * WINDOW)[::11]
    centres = KMeans(FILTERS, n_init=4, random_state=0).fit(patches - patches.mean(axis=1, keepdims=True))
    filters = centres.cluster_centers_ / np.linalg.norm(centres.cluster_centers_, axis=1, keepdims=True)
    bias = np.full(FILTERS, -0.25)
    seen = np.maximum(squares.reshape(len(images), -1, WINDOW * WINDOW) @ filters.T + bias, 0.0)
    places = (SIDE - WINDOW + 1) // 2
    pooled = seen.reshape(-1, places, 2, places, 2, FILTERS).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    fitted = MLPClassifier(hidden_layer_sizes=(32, 16), alpha=0.1, max_iter=300, random_state=0)
    fitted.fit(pooled.reshape(len(images), -1), labels)
    nodes, weights, source = _dense(fitted, "flat", gemm=True)
    first = [
        helper.make_node("Conv", ["image", "filters", "thresholds"], ["edges"], kernel_shape=[WINDOW, WINDOW]),
        helper.make_node("Relu", ["edges"], ["lines"]),
        helper.make_node("AveragePool", ["lines"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    weights |= {"filters": filters.reshape(FILTERS, 1, WINDOW, WINDOW), "thresholds": bias}
    regions = []
    for number, radius in ((0, 0.01), (3, 0.04)):
        label = int(found[number])
        others = [f"(>= Y_{k} Y_{label})" for k in range(10) if k != label]
        title = f"Test image {number}, a {label}, each pixel within {radius}: can another digit score as high?"
        low, high = np.clip(tests[number] - radius, 0.0, 1.0), np.clip(tests[number] + radius, 0.0, 1.0)
        regions.append(Region(title, low, high, others, 10))
    return _model("cnn", [*first, *nodes], weights, ("image", [1, 1, SIDE, SIDE]), (source, [1, 10])), regions


def _dense(
    fitted: MLPClassifier | MLPRegressor, source: str, gemm: bool
) -> tuple[list[onnx.NodeProto], dict[str, np.ndarray], str]:
    """Nodes of the layers, their weights by name, and the name of the result."""
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, np.ndarray] = {}
    for number, (matrix, bias) in enumerate(zip(fitted.coefs_, fitted.intercepts_, strict=True), start=1):
        w, b, z = f"fc{number}.weight", f"fc{number}.bias", f"fc{number}"
        weights |= {w: matrix.T if gemm else matrix, b: bias}
        if gemm:
            nodes.append(helper.make_node("Gemm", [source, w, b], [z], transB=1))
        else:
            nodes.append(helper.make_node("MatMul", [source, w], [f"{z}.product"]))
            nodes.append(helper.make_node("Add", [f"{z}.product", b], [z]))
        source = z
        if number < len(fitted.coefs_):
            source = f"relu{number}"
            nodes.append(helper.make_node("Relu", [z], [source]))
    return nodes, weights, source


def _model(
    name: str,
    nodes: Sequence[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    given: tuple[str, list[int | str]],
    result: tuple[str, list[int | str]],
) -> onnx.ModelProto:
    """A model with weights of type float32, checked."""
    stored = [numpy_helper.from_array(array.astype(np.float32), key) for key, array in weights.items()]
    ports = [[helper.make_tensor_value_info(port, TensorProto.FLOAT, shape)] for port, shape in (given, result)]
    graph = helper.make_graph(nodes, name, *ports, stored)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
        producer_name="eqverify benchmarks/training",
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    """Write all of them into a folder."""
    parser = argparse.ArgumentParser(description="Train the small networks of the tests.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for make in (policy, tabular, cnn):
        model, regions = make()
        (folder / f"{make.__name__}.onnx").write_bytes(model.SerializeToString(deterministic=True))
        for number, region in enumerate(regions, start=1):
            (folder / f"{make.__name__}-{number}.vnnlib").write_text(region.text())


if __name__ == "__main__":
    main()
