"""Runs models with onnxruntime, and compares them with networks within a rigorous rounding bound."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place
from eqverify.network import Affine, Curved, Network, Node, Relu, Smooth, evaluate, split_inputs
from eqverify.network.arithmetic import Arithmetic, node_rounding, node_size
from eqverify.network.evaluate import curved_error
from eqverify.network.rounding import settle_near, settled

if TYPE_CHECKING:
    import onnxruntime

_NUMPY = {"tensor(float16)": np.float16, "tensor(float)": np.float32, "tensor(double)": np.float64}
_ELEMENTS = ("float16", "float32", "float64")
_LIBRARY = 64
"""Units roundoff, of values or of 1, that a runtime's function of one number may be off by."""

_FLOAT64 = Arithmetic.of("float64")
_CHUNK_NUMBERS = 1 << 24
"""Numbers of a comparison held at a time: points are taken in chunks."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a run of a model and its network part.

    Attributes:
        node: the first node, in the network's order.
        unit: its component that differs most, for its bound.
        model: what the run computed there.
        network: what the network says, at the run's own values before the node.
        allowed: how far rounding can take them apart.
    """

    node: str
    unit: int
    model: float
    network: float
    allowed: float

    def __str__(self) -> str:
        seen = f"{self.model!r} in the run, {self.network!r} in the network"
        return f"{self.node}[{self.unit}]: {seen}, rounding allows {self.allowed:.3g}"


@dataclass(frozen=True, slots=True)
class RuntimeComparison:
    """How far a run of a model is from its network.

    Attributes:
        points: number of points compared.
        largest_deviation: max |model - network| over points and outputs, end to end.
        largest_allowed: the largest rounding bound of an output, judged on the model's own values before it.
        worst_ratio: max of deviation / bound over all layers, each judged on the model's own values before it: at
            most 1 where all agree.
        worst_node: where that is; empty where there are no points.
        agrees: whether every value of every layer and output is within its own bound.
        first: where they part; None where they agree.
    """

    points: int
    largest_deviation: float
    largest_allowed: float
    worst_ratio: float
    worst_node: str
    agrees: bool
    first: Difference | None = None


def run_model(data: bytes, points: FloatArray, *, one_by_one: bool = False, optimised: bool = False) -> FloatArray:
    """Outputs of a model by onnxruntime (CPU, one thread).

    Args:
        data: the bytes of a model whose inputs and outputs are float32 or float64 tensors.
        points: (batch, input_size), at least one; rounded to the inputs' element types.  Several inputs follow one
            another.
        one_by_one: one call per point even where the batch dimension is symbolic (a model can mix the samples of
            a batch).
        optimised: with onnxruntime's graph optimisations, which are its default and change what is rounded.

    Returns:
        (batch, output_size), all outputs one after the other.

    Raises:
        InputError: `runtime/rejected` where onnxruntime refuses or fails, `runtime/arity`, `runtime/element-type`.

    Trusted: onnxruntime.
    """
    points = np.asarray(points, dtype=np.float64)
    return np.concatenate(list(_run(_session(data, optimised), points, one_by_one).values()), axis=1)


def run_tensors(data: bytes, points: FloatArray, *, one_by_one: bool = False) -> dict[str, FloatArray]:
    """As `run_model`, the outputs by name, each (batch, n)."""
    return _run(_session(data), np.asarray(points, dtype=np.float64), one_by_one)


def _session(data: bytes, optimised: bool = False) -> onnxruntime.InferenceSession:
    # Imported here: it takes half a second, and few commands run models.
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen unrelated classes of its own
        raise InputError("runtime/rejected", "onnxruntime rejects the model", value=_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__


def _run(session: onnxruntime.InferenceSession, points: FloatArray, one_by_one: bool) -> dict[str, FloatArray]:
    """All outputs by name, (batch, n) each; one call where inputs have a symbolic batch, else one per point."""
    try:
        symbolic = all(port.shape and not isinstance(port.shape[0], int) for port in session.get_inputs())
    except UnicodeDecodeError as error:
        raise InputError("runtime/rejected", "a name in the model is no UTF-8", value=_first_line(error)) from error
    if symbolic and not one_by_one:
        return _call(session, points)
    rows = [_call(session, point[None, :]) for point in points]
    return {port.name: np.concatenate([row[port.name] for row in rows]) for port in session.get_outputs()}


def _call(session: onnxruntime.InferenceSession, points: FloatArray) -> dict[str, FloatArray]:
    feeds, start = {}, 0
    for port in session.get_inputs():
        if port.type not in _NUMPY:
            raise InputError(
                "runtime/element-type", "an input is not a float tensor", value=f"{port.name}: {port.type}"
            )
        shape = [extent if isinstance(extent, int) else 1 for extent in port.shape]
        size = int(np.prod(shape))
        if len(points) != 1:
            shape[0] = len(points)
        part = points[:, start : start + size]
        start += size
        if part.shape[1] == size:
            feeds[port.name] = part.astype(_NUMPY[port.type]).reshape(shape)
    if start != points.shape[1]:
        raise InputError("runtime/arity", "points and inputs differ in length", value=f"{points.shape[1]} for {start}")
    try:
        results = session.run(None, feeds)
        arrays = [np.asarray(result, dtype=np.float64).reshape(len(points), -1) for result in results]
    except Exception as error:  # as in _session
        raise InputError("runtime/rejected", "onnxruntime fails on the model", value=_first_line(error)) from error
    return {port.name: array for port, array in zip(session.get_outputs(), arrays, strict=True)}


def compare_with_runtime(
    data: bytes, network: Network, points: FloatArray, *, overflow: bool = True
) -> RuntimeComparison:
    """Compare a run of a model by onnxruntime with a network, layer by layer and end to end.

    Both see the points rounded to the inputs' element types.  Every tensor of the model that bears the name of a node
    of the network is compared with that node's float64 value at *the model's own* values before it; so an error of one
    layer is judged against the rounding of that layer, not of all layers together, and yet nothing is missed.  All
    bounds are a-priori ones for any order of summation in the model's arithmetic: there is no tolerance to choose.

    Args:
        data: the bytes of a model.
        network: what it should compute, with nodes named after its tensors (as read, or as written).
        points: (batch, own_size or more), of which the model's inputs count.
        overflow: whether points at which a value of the run overflows count, as disagreement; else they are left out.

    Raises:
        InputError: as `run_model`.

    Trusted: onnxruntime computes in IEEE arithmetic, summing products in some order.
    """
    points = rounded_points(network, points)
    session = _session(_traced(data, network))
    step = max(1, _CHUNK_NUMBERS // max(1, sum(network.sizes.values())))
    parts = [
        _compare(session, network, points[start : start + step], overflow) for start in range(0, len(points), step)
    ]
    if not parts:
        return RuntimeComparison(0, 0.0, 0.0, 0.0, "", True)
    worst = max(parts, key=lambda part: part.worst_ratio)
    return RuntimeComparison(
        points=sum(part.points for part in parts),
        largest_deviation=max(part.largest_deviation for part in parts),
        largest_allowed=max(part.largest_allowed for part in parts),
        worst_ratio=worst.worst_ratio,
        worst_node=worst.worst_node,
        agrees=all(part.agrees for part in parts),
        first=next((part.first for part in parts if part.first is not None), None),
    )


def rounded_points(network: Network, points: FloatArray) -> FloatArray:
    """The points, without roundings, in the element types of a model's inputs; what is beyond a type is at its end."""
    rounded, start = [], 0
    for port in network.inputs:
        dtype = np.dtype(port.element if port.element in _ELEMENTS else "float64")
        largest, part = float(np.finfo(dtype).max), np.asarray(points, dtype=np.float64)[:, start : start + port.size]
        if start < network.own_size:
            rounded.append(np.clip(part, -largest, largest).astype(dtype).astype(np.float64))
        start += port.size
    return np.concatenate(rounded, axis=1)


def _traced(data: bytes, network: Network) -> bytes:
    """The model with every tensor that bears a node's name among its outputs."""
    model = onnx.load_from_string(data)
    known = {info.name for info in model.graph.output}
    for node in model.graph.node:
        for name in node.output:
            if name in network.by_name and name not in known:
                model.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(model.SerializeToString())


def _compare(
    session: onnxruntime.InferenceSession, network: Network, points: FloatArray, overflow: bool
) -> RuntimeComparison:
    """One call with all points where that agrees; else one call per point, and that is what counts.

    A model can mix the samples of a batch, or fail on more than one (a Reshape to a fixed shape).
    """
    with contextlib.suppress(InputError):
        comparison = _judged(network, *_finite(points, _run(session, points, one_by_one=False), overflow))
        if comparison.agrees and comparison.points == len(points):
            return comparison
    return _judged(network, *_finite(points, _run(session, points, one_by_one=True), overflow))


def _finite(
    points: FloatArray, actual: dict[str, FloatArray], overflow: bool
) -> tuple[FloatArray, dict[str, FloatArray]]:
    """The points of a run, without those at which one of its values overflowed unless these count."""
    if overflow:
        return points, actual
    kept = np.all([np.isfinite(values).all(axis=1) for values in actual.values()], axis=0)
    return points[kept], {name: values[kept] for name, values in actual.items()}


def _judged(network: Network, points: FloatArray, actual: dict[str, FloatArray]) -> RuntimeComparison:
    """Compare all values that the model shows with the network's."""
    if not len(points):
        return RuntimeComparison(0, 0.0, 0.0, 0.0, "", True)
    arithmetic = Arithmetic.of(network.element)
    values = split_inputs(network, settled(network, points).points)
    errors = {name: np.zeros_like(value) for name, value in values.items()}
    settle_near(network, [port.name for port in network.inputs], values, errors)
    ratios: dict[str, float] = {}
    bounds: dict[str, float] = {}
    first: Difference | None = None
    for node in network.nodes:
        value, error = _step(node, values, errors, arithmetic)
        own = float(error.max(initial=0.0))
        bounds[node.name] = own if isinstance(node, Affine) else bounds.get(node.sources[0], 0.0)
        if node.name in actual:
            ratios[node.name] = _ratio(node.name, actual[node.name], value, error)
            first = first or _difference(node.name, ratios[node.name], actual[node.name], value, error)
            value, error = actual[node.name].reshape(value.shape[0], -1), np.zeros_like(value)
        values[node.name], errors[node.name] = value, error
        settle_near(network, [node.name], values, errors)
    for port in network.outputs:
        if port.name not in actual:
            raise InputError("runtime/arity", "the model lacks an output of the network", value=port.name)
        value, error = values[port.source], errors[port.source]
        ratio = _ratio(port.name, actual[port.name], value, error)
        first = first or _difference(port.name, ratio, actual[port.name], value, error)
        ratios[port.name] = max(ratio, ratios.get(port.name, 0.0))
    outputs = np.concatenate([actual[port.name] for port in network.outputs], axis=1)
    worst = max(ratios, key=lambda name: ratios[name])
    return RuntimeComparison(
        points=len(points),
        largest_deviation=float(np.abs(outputs - evaluate(network, settled(network, points).points)).max(initial=0.0)),
        largest_allowed=max(bounds.get(port.source, 0.0) for port in network.outputs),
        worst_ratio=ratios[worst],
        worst_node=worst,
        agrees=ratios[worst] <= 1.0,
        first=first,
    )


def _difference(
    name: str, ratio: float, actual: FloatArray, expected: FloatArray, allowed: FloatArray
) -> Difference | None:
    """The component that differs most for its bound; None where all are within theirs."""
    if ratio <= 1.0:
        return None
    place = np.unravel_index(int(np.argmax(_ratios(actual, expected, allowed))), actual.shape)
    return Difference(name, int(place[1]), float(actual[place]), float(expected[place]), float(allowed[place]))


def _ratio(name: str, actual: FloatArray, expected: FloatArray, allowed: FloatArray) -> float:
    """max |actual - expected| / allowed, where 0/0 is 0; infinite where anything is not a number."""
    if actual.shape != expected.shape:
        value = f"{name}: {actual.shape[1]} in the model, {expected.shape[1]} in the network"
        place = Place(node=name)
        raise InputError("runtime/arity", "model and network differ in size", place=place, value=value)
    return float(np.max(_ratios(actual, expected, allowed), initial=0.0))


def _ratios(actual: FloatArray, expected: FloatArray, allowed: FloatArray) -> FloatArray:
    """|actual - expected| / allowed by component; 0 where the bound is infinite, as that of what overflows here is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        deviation = np.abs(actual - expected)
        ratios = np.where(deviation == 0.0, 0.0, deviation / allowed)
    ratios = np.where(np.isposinf(allowed) & np.isfinite(actual), 0.0, ratios)
    return np.where(np.isfinite(ratios), ratios, np.inf)


def _step(
    node: Node, values: dict[str, FloatArray], errors: dict[str, FloatArray], arithmetic: Arithmetic
) -> tuple[FloatArray, FloatArray]:
    """The float64 value of one node, and a bound on its distance to the model's value: what either of them rounds."""
    if isinstance(node, Relu):
        return np.maximum(values[node.source], 0.0), errors[node.source]
    if isinstance(node, Curved):
        read = [values[source] for source in node.sources]
        value = node.function.value(read[0]) if isinstance(node, Smooth) else read[0] * read[1]
        own = _LIBRARY * arithmetic.unit * np.maximum(np.abs(value), 1.0)
        return value, curved_error(node, values, errors, value) + own
    batch = len(next(iter(values.values())))
    value = np.broadcast_to(node.bias, (batch, node.size))
    with np.errstate(over="ignore", invalid="ignore"):
        for term in node.terms:
            value = value + term.map.forward(values[term.source])
        carried = {source: np.abs(errors[source]) for source in node.sources}
        size = node_size(node, {source: np.abs(values[source]) + carried[source] for source in node.sources})
        # Terms that are zero are added without rounding, so that only the others count (in any order of summation).
        summands = {source: _most_nonzero(values[source], errors[source]) for source in node.sources}
        own = node_rounding(node, size, arithmetic, summands=summands, computed=True) + node_rounding(
            node, size, _FLOAT64
        )
        linear = Affine(node.name, node.terms, np.zeros(node.size))
        error = own + node_size(linear, carried)
    return value, np.where(np.isfinite(value) & np.isfinite(error), error, np.inf)


def _most_nonzero(values: FloatArray, errors: FloatArray) -> int:
    """The largest number of components of a sample that a run need not have at zero."""
    return int(np.count_nonzero((values != 0) | (errors != 0), axis=1).max(initial=0))
