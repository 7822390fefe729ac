"""Reads a model, runs it with onnxruntime and with onnx's reference, and says whether what was read is right."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from eqverify.errors import EqverifyError, InputError
from eqverify.export.runtime import compare_with_runtime, rounded_points
from eqverify.frontend.onnx import parse_network
from eqverify.network import Network, evaluate, evaluate_nodes, evaluation_error, join_outputs, split_inputs
from eqverify.network.arithmetic import Arithmetic

_EDGES = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, 1e-40, -1e-40, 1e30, -1e30, 3e38, -3e38])

_REFERENCE_IS_WRONG = ("GlobalMaxPool",)
"""It takes the maximum over other axes than the images' (onnx 1.23); onnxruntime's float32 says what is right."""


def judge(model: bytes, seed: int = 0) -> str:
    """``refused CODE``, ``agrees``, ``unrunnable``, or what is wrong, which begins with ``WRONG``."""
    try:
        network = parse_network(model)
    except InputError as error:
        return f"refused {error.code}"
    points = rounded_points(network, _points(network, seed))
    try:
        wrong = _shapes(model, network, points) or _values(model, network, points)
    except EqverifyError as error:
        if error.code != "runtime/rejected":
            return f"WRONG {error.code} {error.value}"
        return _reference(model, network, points)
    return wrong or "agrees"


def _points(network: Network, seed: int) -> np.ndarray:
    rng, size = np.random.default_rng(seed), network.input_size
    plain = [rng.normal(size=(3, size)) * scale for scale in (1.0, 1e-3, 100.0)]
    points = np.concatenate([*plain, rng.choice(_EDGES[:9], size=(3, size)), rng.choice(_EDGES, size=(2, size))])
    return points.astype(np.float32).astype(np.float64)


def _feeds(network: Network, point: np.ndarray) -> dict[str, np.ndarray]:
    parts = split_inputs(network, point)
    return {p.name: parts[p.name].reshape([int(n) for n in p.shape]).astype(p.element) for p in network.inputs}


def _shapes(model: bytes, network: Network, points: np.ndarray) -> str:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        results = session.run(None, _feeds(network, points[0]))
    except Exception:  # onnxruntime raises a dozen classes of its own; `compare_with_runtime` says the same
        return ""
    pairs = [(result.shape, tuple(port.shape)) for result, port in zip(results, network.outputs, strict=True)]
    return "".join(f"WRONG shape {seen} read as {read}" for seen, read in pairs if seen != read)


def _values(model: bytes, network: Network, points: np.ndarray) -> str:
    comparison = compare_with_runtime(model, network, points, overflow=False)
    return "" if comparison.agrees else f"WRONG {comparison.first}"


def _reference(model: bytes, network: Network, points: np.ndarray) -> str:
    """Where onnxruntime does not run a model, the reference has the word, if it runs it."""
    if any(node.op_type in _REFERENCE_IS_WRONG for node in onnx.load_from_string(model).graph.node):
        return "unrunnable"
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            evaluator = ReferenceEvaluator(onnx.load_from_string(model))
            rows = [evaluator.run(None, _feeds(network, point)) for point in points]
            values = np.array([np.concatenate([np.asarray(r, np.float64).reshape(-1) for r in row]) for row in rows])
        except Exception:  # whatever numpy raises for a model that is none
            return "unrunnable"
    read = evaluate(network, points)
    if values.shape != read.shape:
        return f"WRONG reference: {values.shape[1]} components, read as {read.shape[1]}"
    finite = np.isfinite(values).all(axis=1)
    errors = join_outputs(network, evaluation_error(network, evaluate_nodes(network, points)))
    scale = np.abs(read[finite]).max(axis=0, initial=0.0) + np.abs(points).max() * 1e-3
    unit = max(1e-4, 16 * Arithmetic.of(network.element).unit)
    near = (np.abs(values - read)[finite] <= unit * scale + errors[finite]).all()
    return "agrees" if near else "WRONG reference computes something else"
