"""Describes models, whether or not they can be read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import onnx

from eqverify.errors import InputError
from eqverify.frontend.onnx.cut import Cut, Unsupported, parse_front
from eqverify.frontend.onnx.load import declared_opset, load_model, read_bytes, supported_opset
from eqverify.frontend.onnx.lowering import Failures, Lowering, lowered, needed_nodes, operator_error
from eqverify.frontend.onnx.ports import declared_element, declared_extents, graph_inputs, input_tensor
from eqverify.frontend.onnx.reader import assembled, declared_inputs

UNREAD = "nothing: no output depends on it"
"""How nodes are read that nobody needs."""


@dataclass(frozen=True, slots=True)
class TensorDescription:
    """A declared input or output.

    Attributes:
        name: its name.
        element: element type as declared.
        shape: declared extents, strings where symbolic; None where undeclared.
    """

    name: str
    element: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True, slots=True)
class Readings:
    """Nodes of one operator that are read alike.

    Attributes:
        operator: its type.
        becomes: what they are read as, or that no output depends on them.
        nodes: the first output of each, in order.
    """

    operator: str
    becomes: str
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Description:
    """What a model file declares, whether or not it can be read.

    Attributes:
        source: path, or None.
        opset: version of the default operator set, or None.
        producer: name and version of the program that wrote it.
        inputs: without initialisers.
        outputs: in order.
        operators: number of nodes by operator type, most frequent first.
        parameters: number of stored float numbers.
        unsupported: empty exactly where `parse_network` succeeds.  Nodes behind an unsupported one are judged by
            their operator only.
        readings: what the other nodes are read as, by operator.  None behind an unsupported one.
        cut: where `read_front` cuts the model; None where the model is read whole, or not even up to a cut.
    """

    source: str | None
    opset: int | None
    producer: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]
    operators: tuple[tuple[str, int], ...]
    parameters: int
    unsupported: tuple[Unsupported, ...]
    readings: tuple[Readings, ...]
    cut: Cut | None


def describe(model: str | Path | bytes) -> Description:
    """Describe a model for `info`.

    Args:
        model: a path, or the bytes of an uncompressed model.

    Raises:
        UsageError, InputError: as `read_network`, but only where there is no valid ONNX model at all.
    """
    data, source = (model, None) if isinstance(model, bytes) else (read_bytes(model), str(model))
    proto = load_model(data, source)
    graph = proto.graph
    counts = Counter(node.op_type for node in graph.node)
    unsupported, readings = _judged(proto, source)
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    return Description(
        source=source,
        opset=declared_opset(proto),
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        inputs=tuple(map(_described, graph_inputs(graph))),
        outputs=tuple(map(_described, graph.output)),
        operators=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        parameters=sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type in floats),
        unsupported=unsupported,
        readings=readings,
        cut=_cut(data, source) if unsupported else None,
    )


def _cut(data: bytes, source: str | None) -> Cut | None:
    try:
        return parse_front(data, source).cut
    except InputError:  # nothing to reduce before the cut, or no cut would help
        return None


def _described(info: onnx.ValueInfoProto) -> TensorDescription:
    return TensorDescription(info.name, declared_element(info), declared_extents(info))


def _judged(model: onnx.ModelProto, source: str | None) -> tuple[tuple[Unsupported, ...], tuple[Readings, ...]]:
    """Nodes at which reading fails of itself, or else whatever else stops `parse_network`; and how others are read."""
    failures: Failures = []
    try:
        opset = supported_opset(model, source)
        ports = declared_inputs(model.graph, source)
        walk = lowered(model.graph, opset, source, {port.name: input_tensor(port) for port in ports}, failures)
    except InputError as error:
        return (_told(error.place.node or "", "", error),), ()
    readings = _readings(model.graph, walk, {node.output[0] for node, _ in failures})
    if failures:
        return _unsupported(model, source, walk, failures), readings
    try:
        assembled(walk, ports)
    except InputError as error:
        return (_told(error.place.node or "", "", error),), readings
    return (), readings


def _readings(graph: onnx.GraphProto, walk: Lowering, failed: set[str]) -> tuple[Readings, ...]:
    found: dict[tuple[str, str], list[str]] = {}
    needed = {node.output[0] for node in needed_nodes(graph)}
    for node in graph.node:
        output = next(filter(None, node.output), "")
        becomes = walk.readings.get(node.output[0])
        if node.output[0] not in needed:
            becomes = UNREAD
        if becomes is not None and output not in failed:
            found.setdefault((node.op_type, becomes), []).append(output)
    return tuple(Readings(operator, becomes, tuple(nodes)) for (operator, becomes), nodes in found.items())


def _unsupported(
    model: onnx.ModelProto, source: str | None, walk: Lowering, failures: Failures
) -> tuple[Unsupported, ...]:
    """The nodes at which reading fails of itself."""
    judged = {node.output[0]: error for node, error in failures}
    found = []
    for node in needed_nodes(model.graph):
        if node.output[0] in walk.values and node.output[0] not in judged:
            continue
        failure = judged.get(node.output[0]) or operator_error(node, walk.opset, source)
        if failure is not None:
            found.append(_told(node.output[0], node.op_type, failure))
    return tuple(found)


def _told(node: str, operator: str, error: InputError) -> Unsupported:
    listed = "specs/onnx.md lists the forms of this operator that are read" if operator else ""
    return Unsupported(node, operator, error.code, error.message, error.hint or listed)
