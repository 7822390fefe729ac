"""Runs models with onnxruntime, and compares them with networks within a rigorous rounding bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import InputError
from eqverify.network import UNIT_ROUNDOFF, Affine, Network, evaluate_nodes, evaluation_error, join_outputs

if TYPE_CHECKING:
    import onnxruntime

_UNITS = {"float32": 2.0**-24, "float64": UNIT_ROUNDOFF}
_SMALLEST_NORMAL = {"float32": 2.0**-126, "float64": 2.0**-1022}
_NUMPY = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_EXTRA_ROUNDINGS = 16
"""Roundings per component allowed beyond those of our own nodes: Gemm's alpha and beta, scalings, means."""


@dataclass(frozen=True, slots=True)
class RuntimeComparison:
    """How far a run of a model is from its network.

    Attributes:
        points: number of points compared.
        largest_deviation: max |model - network| over points and outputs.
        largest_allowed: the rounding bound, at its largest.
        worst_ratio: max of deviation / bound: at most 1 where all agree.
        agrees: whether every output of every point is within its own bound.
    """

    points: int
    largest_deviation: float
    largest_allowed: float
    worst_ratio: float
    agrees: bool


def run_model(data: bytes, points: FloatArray, *, one_by_one: bool = False) -> FloatArray:
    """Outputs of a model by onnxruntime (CPU, one thread, no graph optimisation).

    Args:
        data: the bytes of a model whose inputs and outputs are float32 or float64 tensors.
        points: (batch, input_size); rounded to the inputs' element types.  Several inputs follow one another.
        one_by_one: one call per point even where the batch dimension is symbolic.

    Returns:
        (batch, output_size), all outputs one after the other.

    Raises:
        InputError: `runtime/rejected` where onnxruntime refuses or fails, `runtime/arity`, `runtime/element-type`.

    Trusted: onnxruntime.
    """
    session = _session(data)
    ports = (*session.get_inputs(), *session.get_outputs())
    symbolic = all(port.shape and not isinstance(port.shape[0], int) for port in ports)
    points = np.asarray(points, dtype=np.float64)
    if symbolic and not one_by_one:
        return _run(session, points)
    rows = [_run(session, point[None, :]) for point in points]
    return np.concatenate(rows) if rows else np.zeros((0, 0))


def _session(data: bytes) -> onnxruntime.InferenceSession:
    # Imported here: it takes half a second, and few commands run models.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated classes of its own
        raise InputError("runtime/rejected", "onnxruntime rejects the model", value=_first_line(error)) from error


def _run(session: onnxruntime.InferenceSession, points: FloatArray) -> FloatArray:
    """One call with a batch of points (1 where the batch dimension is fixed)."""
    feeds, start = {}, 0
    for port in session.get_inputs():
        if port.type not in _NUMPY:
            raise InputError("runtime/element-type", "an input is not a float tensor", value=f"{port.name}: {port.type}")
        shape = [extent if isinstance(extent, int) else 1 for extent in port.shape]
        size = int(np.prod(shape))
        if len(points) != 1:
            shape[0] = len(points)
        part = points[:, start : start + size]
        if part.shape[1] != size:
            raise InputError("runtime/arity", "points and inputs differ in length", value=f"{points.shape[1]}")
        feeds[port.name] = part.astype(_NUMPY[port.type]).reshape(shape)
        start += size
    if start != points.shape[1]:
        raise InputError("runtime/arity", "points and inputs differ in length", value=f"{points.shape[1]} for {start}")
    try:
        results = session.run(None, feeds)
    except Exception as error:  # as above
        raise InputError("runtime/rejected", "onnxruntime fails on the model", value=_first_line(error)) from error
    return np.concatenate([np.asarray(r, dtype=np.float64).reshape(len(points), -1) for r in results], axis=1)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def compare_with_runtime(data: bytes, network: Network, points: FloatArray) -> RuntimeComparison:
    """Compare onnxruntime's outputs of a model with those of a network.

    The network is evaluated in float64 at the points rounded to the inputs' element types, so that both see the same
    numbers.  The bound is an a-priori one for any order of summation in the model's arithmetic, plus the error of our
    own evaluation: there is no tolerance to choose.

    Args:
        data: the bytes of a model.
        network: what it should compute.
        points: (batch, input_size).

    Raises:
        InputError: as `run_model`.

    Trusted: onnxruntime computes in IEEE arithmetic, summing products in some order.
    """
    points = _rounded(network, np.asarray(points, dtype=np.float64))
    values = evaluate_nodes(network, points)
    expected = join_outputs(network, values)
    allowed = _allowed(network, values)
    comparison = _compared(run_model(data, points), expected, allowed)
    if comparison.agrees:
        return comparison
    # A model can mix the samples of a batch (a Reshape to a fixed shape): what counts is its value at batch 1.
    return _compared(run_model(data, points, one_by_one=True), expected, allowed)


def _rounded(network: Network, points: FloatArray) -> FloatArray:
    parts, start = [], 0
    for port in network.inputs:
        part = points[:, start : start + port.size]
        parts.append(part.astype(np.float32).astype(np.float64) if port.element == "float32" else part)
        start += port.size
    return np.concatenate([*parts, points[:, start:]], axis=1)


def _compared(actual: FloatArray, expected: FloatArray, allowed: FloatArray) -> RuntimeComparison:
    if actual.shape != expected.shape:
        raise InputError("runtime/arity", "model and network differ in outputs", value=f"{actual.shape}, {expected.shape}")
    deviation = np.abs(actual - expected)
    with np.errstate(invalid="ignore"):
        agrees = bool((deviation <= allowed).all())
        ratio = float(np.max(deviation / allowed, initial=0.0))
    return RuntimeComparison(
        points=len(expected),
        largest_deviation=float(np.max(deviation, initial=0.0)),
        largest_allowed=float(np.max(allowed, initial=0.0)),
        worst_ratio=ratio,
        agrees=agrees,
    )


def _allowed(network: Network, values: dict[str, FloatArray]) -> FloatArray:
    """Bound on |run of the model - our float64 evaluation|, (batch, output_size)."""
    elements = {port.element for port in (*network.inputs, *network.outputs)}
    element = "float32" if "float32" in elements else "float64"
    model = join_outputs(network, evaluation_error(network, values, _UNITS[element], _EXTRA_ROUNDINGS))
    own = join_outputs(network, evaluation_error(network, values))
    return np.asarray(model + own + _underflow(network, _SMALLEST_NORMAL[element]))


def _underflow(network: Network, smallest: float) -> FloatArray:
    """What results below the smallest normal number, rounded or flushed to zero, can add to the outputs."""
    added = {port.name: np.zeros(port.size) for port in network.inputs}
    for node in network.nodes:
        if not isinstance(node, Affine):
            added[node.name] = added[node.source]
            continue
        roundings = sum(2 * term.map.fan_in + 2 for term in node.terms) + _EXTRA_ROUNDINGS
        carried = [term.map.absolute().forward(added[term.source]) for term in node.terms]
        added[node.name] = np.sum([*carried, np.full(node.size, roundings * smallest)], axis=0) * (1.0 + 2.0**-20)
    return join_outputs(network, added)
