"""Reads ONNX models into networks, and describes models whether or not they can be read."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx import operators as _operators  # noqa: F401  (fills the table)
from eqverify.frontend.onnx.fold import FOLDABLE
from eqverify.frontend.onnx.fuse import fuse
from eqverify.frontend.onnx.load import declared_opset, load_model, read_bytes, supported_opset
from eqverify.frontend.onnx.lowering import Failures, Lowering, needed_nodes, operator_error
from eqverify.frontend.onnx.ports import (
    declared_element,
    declared_extents,
    graph_inputs,
    input_port,
    input_tensor,
    output_port,
)
from eqverify.frontend.onnx.table import registered
from eqverify.frontend.onnx.values import Constant, Tensor
from eqverify.network import Network, Port


def read_network(path: str | Path) -> Network:
    """Read a model file (`.onnx` or `.onnx.gz`).

    Args:
        path: the file.

    Returns:
        The network: stored weights as they are, batch dimension 1.

    Raises:
        UsageError: `onnx/no-file`, `onnx/unreadable`.
        InputError: `onnx/...` as listed in specs/onnx.md.

    Trusted: protobuf, `onnx.checker`, and onnx's reference evaluator for nodes that have only constant inputs.
    """
    return parse_network(read_bytes(path), str(path))


def parse_network(data: bytes, source: str | None = None) -> Network:
    """The network that the bytes of an ONNX model mean.

    Args:
        data: an uncompressed model.
        source: its path, for errors.

    Returns:
        A DAG of affine and ReLU nodes, named after ONNX outputs, that computes in real arithmetic what the model's
        stored weights say.  Nothing is rounded while lowering.

    Raises:
        InputError: `onnx/...` as listed in specs/onnx.md; never anything else, whatever the bytes.

    Trusted: as `read_network`.
    """
    model = load_model(data, source)
    opset = supported_opset(model, source)
    ports = [input_port(info, source) for info in graph_inputs(model.graph)]
    place = Place(file=source)
    if not ports:
        raise InputError("onnx/no-input", "the model has no input", place=place)
    if not model.graph.output:
        raise InputError("onnx/no-output", "the model has no output", place=place)
    lowering = Lowering(model.graph, opset, source, {port.name: input_tensor(port) for port in ports})
    lowering.run()
    outputs = [_output(lowering, info) for info in model.graph.output]
    nodes, outputs = fuse(lowering.builder.nodes, outputs)
    return Network(tuple(ports), tuple(nodes), tuple(outputs))


def _output(lowering: Lowering, info: onnx.ValueInfoProto) -> Port:
    """The port of an output; a constant output becomes an affine node without terms."""
    value = lowering.value(info.name)
    place = Place(file=lowering.file, node=info.name)
    if value is None:
        raise InputError(
            "onnx/unsupported-output", "this output is not computed by any supported operator", place=place
        )
    if isinstance(value, Constant):
        value = _constant_output(lowering, info, value, place)
    return output_port(info, value, lowering.file)


def _constant_output(lowering: Lowering, info: onnx.ValueInfoProto, constant: Constant, place: Place) -> Tensor:
    element = str(constant.array.dtype)
    if element not in ("float32", "float64"):
        raise InputError("onnx/element-type", "a constant output is no float tensor", place=place, value=element)
    bias = constant.array.astype(np.float64).reshape(-1)
    if not np.isfinite(bias).all():
        raise InputError("onnx/not-finite", "a constant output is NaN or infinite", place=place)
    if not bias.size:
        raise InputError("onnx/empty-tensor", "an output has no components", place=place)
    name = lowering.builder.helper_name(info.name, "constant")
    return lowering.builder.affine(name, (), bias, constant.shape, element)


@dataclass(frozen=True, slots=True)
class OperatorEntry:
    """One row of the operator table.

    Attributes:
        name: ONNX operator type.
        since: first opset.
        until: last opset, None for all later ones.
        attributes: the attributes that are understood; others must have their default value.
        lowering: what it becomes, or that it is folded where all inputs are constant.
    """

    name: str
    since: int
    until: int | None
    attributes: tuple[str, ...]
    lowering: str


def operator_table() -> tuple[OperatorEntry, ...]:
    """What is read: operators on computed values first, then those that are only folded."""
    entries = [OperatorEntry(e.name, e.since, e.until, tuple(sorted(e.attributes)), e.summary) for e in registered()]
    names = {entry.name for entry in entries}
    folded = [OperatorEntry(name, 7, None, (), "Constants only: folded.") for name in FOLDABLE if name not in names]
    return (*entries, *folded)


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
class Unsupported:
    """A node (or, with an empty operator, an input, an output or the model) that cannot be read.

    Attributes:
        node: its first output.
        operator: its type.
        code: the error code that reading it gives.
        reason: what is wrong, in one sentence.
    """

    node: str
    operator: str
    code: str
    reason: str


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
    """

    source: str | None
    opset: int | None
    producer: str
    inputs: tuple[TensorDescription, ...]
    outputs: tuple[TensorDescription, ...]
    operators: tuple[tuple[str, int], ...]
    parameters: int
    unsupported: tuple[Unsupported, ...]


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
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)
    return Description(
        source=source,
        opset=declared_opset(proto),
        producer=f"{proto.producer_name} {proto.producer_version}".strip(),
        inputs=tuple(map(_described, graph_inputs(graph))),
        outputs=tuple(map(_described, graph.output)),
        operators=tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0]))),
        parameters=sum(math.prod(tensor.dims) for tensor in graph.initializer if tensor.data_type in floats),
        unsupported=_unsupported(proto, source, data),
    )


def _described(info: onnx.ValueInfoProto) -> TensorDescription:
    return TensorDescription(info.name, declared_element(info), declared_extents(info))


def _unsupported(model: onnx.ModelProto, source: str | None, data: bytes) -> tuple[Unsupported, ...]:
    """Nodes at which reading fails of itself, or else whatever else stops `parse_network`."""
    failures: Failures = []
    try:
        opset = supported_opset(model, source)
        ports = [input_port(info, source) for info in graph_inputs(model.graph)]
        Lowering(model.graph, opset, source, {port.name: input_tensor(port) for port in ports}, failures).run()
        if not failures:
            parse_network(data, source)
    except InputError as error:
        return (Unsupported(error.place.node or "", "", error.code, error.message),)
    judged = {node.output[0]: error for node, error in failures}
    found = []
    for node in needed_nodes(model.graph) if failures else ():
        failure = judged.get(node.output[0]) or operator_error(node, opset, source)
        if failure is not None:
            found.append(Unsupported(node.output[0], node.op_type, failure.code, failure.message))
    return tuple(found)
