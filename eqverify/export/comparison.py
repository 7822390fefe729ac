"""Compares a model's file with the network that was read from it, before anybody relies on what was read."""

from __future__ import annotations

import numpy as np
import onnx

from eqverify.arrays import BoolArray, FloatArray
from eqverify.attack.points import sample_boxes
from eqverify.domain import Domain
from eqverify.errors import InputError, Place
from eqverify.export.runtime import compare_with_runtime, rounded_points, run_model, run_tensors
from eqverify.network import Network, evaluate
from eqverify.network.arithmetic import Arithmetic
from eqverify.network.rounding import settled

_MOST_POINTS, _LEAST_POINTS = 96, 3
_MULTIPLICATIONS = 1 << 28
"""Multiplications of one comparison: networks that take more are compared at fewer points."""

_CLOSER = 4
"""Points at which every node is judged, not just outputs: later layers can hide what earlier ones do.  One, where the
network is large."""

_MERGED = ("Add", "Sub")
"""Operators that take the place of the one before them where they add a bias to it."""

_ULPS = 32
"""Units roundoff (of the largest value of an output) within which outputs are not looked at more closely."""


def point_count(network: Network) -> int:
    """How many points a network is compared at: fewer where a run takes long."""
    return max(_LEAST_POINTS, min(_MOST_POINTS, _MULTIPLICATIONS // max(1, network.products)))


def probe_points(network: Network, domain: Domain | None) -> FloatArray:
    """Centre, corners and random points of a domain's boxes, or of boxes around zero where there is no domain.

    Args:
        network: gives the number of points.
        domain: where to look.

    Returns:
        (k, own_size); the first ones differ most.
    """
    end = np.ones((1, network.own_size))
    lower, upper = (-end, end) if domain is None else (domain.lower, domain.upper)
    lower, upper = lower[:, : network.own_size], upper[:, : network.own_size]
    return sample_boxes(lower, upper, point_count(network), np.random.default_rng(0))


def compare_reading(data: bytes, network: Network, points: FloatArray, file: str | None = None) -> tuple[int, str]:
    """Run a model, and compare the run with the network that was read from its file.

    Outputs come first.  Where one is further away than a few units roundoff, and at the first points in any case, every
    tensor of the model that the network names is shown, and each is judged on the run's own values before it, within
    the bound of its own rounding (`compare_with_runtime`): the bounds of a layer are not multiplied by those behind it.

    Args:
        data: the bytes of the model.
        network: as read; with an opaque tail, the part before it.
        points: (k, own_size or more) of which the model's inputs count; they are rounded to their types.
        file: the model's path, for errors.

    Returns:
        How many points were compared, and why not all: onnxruntime cannot run the model, or its numbers overflow.

    Raises:
        InputError: `read/differs`.

    Trusted: onnxruntime computes in IEEE arithmetic, summing products in some order.
    """
    model = onnx.load_from_string(data)
    if _show_only(model, [port.name for port in network.outputs]):
        data = bytes(model.SerializeToString())
    points = rounded_points(network, points)
    try:
        far = _far(data, network, points)
        few = _CLOSER if network.products < _MULTIPLICATIONS >> 4 else 1
        closer = np.flatnonzero(far | (np.arange(len(points)) < few))
        closer = closer[: max(_CLOSER, _MULTIPLICATIONS // (8 * max(1, network.products)))]
        comparison = compare_with_runtime(data, network, points[closer], overflow=False)
    except InputError as error:
        if error.code == "runtime/arity":
            raise _differs(file, model, error.place.node, error.value) from error
        return 0, f"{error.message} ({error.value})" if error.value else error.message
    if (first := comparison.first) is not None:
        moved = _not_moved(model, network, first.node, points[closer[:1]])
        raise _differs(file, model, moved or first.node, str(first))
    left = len(closer) - comparison.points
    near = int((~far).sum()) - int((~far[closer]).sum())
    return near + comparison.points, f"its numbers overflow at {left} points" if left else ""


def _far(data: bytes, network: Network, points: FloatArray) -> BoolArray:
    """(k,) the points where a run's outputs are not so near to the network's that rounding need not be looked at."""
    expected = evaluate(network, settled(network, points).points if network.roundings else points)
    try:
        outputs = run_model(data, points)
    except InputError:  # all points at once: a model may want them one by one
        outputs = run_model(data, points, one_by_one=True)
    if outputs.shape != expected.shape:
        return np.ones(len(points), dtype=bool)
    unit = Arithmetic.of(network.element).unit
    with np.errstate(invalid="ignore", over="ignore"):
        near = np.abs(outputs - expected) <= _ULPS * unit * np.abs(expected).max(axis=0, initial=0.0)
    return np.asarray(~(near & np.isfinite(expected)).all(axis=1))


def _show_only(model: onnx.ModelProto, names: list[str]) -> bool:
    """Leave of a model what tensors of these names depend on, and show just them; says whether that changed it."""
    declared = {info.name: info for info in model.graph.output}
    needed, kept = set(names), []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(_read_by(node))
            kept.append(node)
    if names == [info.name for info in model.graph.output] and len(kept) == len(model.graph.node):
        return False
    del model.graph.node[:], model.graph.output[:]
    model.graph.node.extend(reversed(kept))
    model.graph.output.extend(declared.get(name, onnx.ValueInfoProto(name=name)) for name in names)
    return True


def _read_by(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads, with all that graphs inside it (of If, Loop) name."""
    graphs = [graph for a in node.attribute for graph in (*([a.g] if a.HasField("g") else []), *a.graphs)]
    inside = [name for graph in graphs for inner in graph.node for name in _read_by(inner)]
    return [*node.input, *inside, *(info.name for graph in graphs for info in graph.output)]


def _not_moved(model: onnx.ModelProto, network: Network, node: str, point: FloatArray) -> str:
    """The first tensor before a node that was read as a copy of what precedes it, and is none; empty if there is none.

    Operators that were read as nothing have no node, so that the next one is the first to differ.
    """
    makers = {name: maker for maker in model.graph.node for name in maker.output}
    known = {*network.by_name, *(port.name for port in network.inputs)}
    if node not in makers or makers[node].op_type in _MERGED:
        return ""
    chain = [next(iter(makers[node].input), "")]
    while chain[-1] not in known and chain[-1] in makers and makers[chain[-1]].input:
        chain.append(makers[chain[-1]].input[0])
    if chain[-1] not in known or len(chain) == 1:
        return ""
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    _show_only(shown, list(dict.fromkeys(chain)))
    try:
        values = run_tensors(bytes(shown.SerializeToString()), point)
    except InputError:
        return ""
    source = values[chain[-1]]
    return next((name for name in chain[-2::-1] if not np.array_equal(values[name], source)), "")


def _differs(file: str | None, model: onnx.ModelProto, node: str | None, value: object) -> InputError:
    operator = next((maker.op_type for maker in model.graph.node if node in maker.output), "")
    return InputError(
        "read/differs",
        f"onnxruntime computes something else than was read{f' ({operator})' if operator else ''}",
        place=Place(file=file, node=node),
        value=value,
        hint="it may be read wrongly, so nothing is said about it; please report it with the file",
    )
