"""Reads ONNX models into networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx

from eqverify.errors import InputError, Place
from eqverify.files import Source, source_name
from eqverify.frontend.onnx import operators as _operators  # noqa: F401  (fills the table)
from eqverify.frontend.onnx.fold import FOLDABLE
from eqverify.frontend.onnx.fuse import fuse
from eqverify.frontend.onnx.load import load_model, read_bytes, supported_opset
from eqverify.frontend.onnx.lowering import CHOSEN, Lowering, lowered
from eqverify.frontend.onnx.ports import graph_inputs, input_port, input_tensor, output_port
from eqverify.frontend.onnx.table import registered
from eqverify.frontend.onnx.values import ELEMENTS, Constant, Tensor
from eqverify.network import Network, Port


def read_network(path: Source) -> Network:
    """Read a model file (`.onnx` or `.onnx.gz`).

    Args:
        path: the file, or what it holds.

    Returns:
        The network: stored weights as they are, batch dimension 1.

    Raises:
        UsageError: `onnx/no-file`, `onnx/unreadable`.
        InputError: `onnx/...` as listed in specs/onnx.md.

    Trusted: protobuf, `onnx.checker`, and onnx's reference evaluator for nodes that have only constant inputs.
    """
    return parse_network(read_bytes(path), source_name(path))


def parse_network(data: bytes, source: str | None = None, *, smooth: bool = False) -> Network:
    """The network that the bytes of an ONNX model mean.

    Args:
        data: an uncompressed model.
        source: its path, for errors.
        smooth: whether functions that are not piecewise linear are read, as smooth nodes.

    Returns:
        A DAG of affine and ReLU nodes, named after ONNX outputs, that computes in real arithmetic what the model's
        stored weights say.  Nothing is rounded while lowering.

    Raises:
        InputError: `onnx/...` as listed in specs/onnx.md; never anything else, whatever the bytes.

    Trusted: as `read_network`.
    """
    model = load_model(data, source)
    opset = supported_opset(model, source)
    ports = declared_inputs(model.graph, source)
    lowering = lowered(model.graph, opset, source, {port.name: input_tensor(port) for port in ports}, smooth=smooth)
    return assembled(lowering, ports)


def assembled(lowering: Lowering, ports: list[Port]) -> Network:
    """The network of a walk without failures.

    Raises:
        InputError: as `shown_output`, and where the network is none.
    """
    outputs = [shown_output(lowering, info) for info in lowering.graph.output]
    return lowering.builder.finished(ports, *fuse(lowering.builder.nodes, outputs))


def declared_inputs(graph: onnx.GraphProto, source: str | None) -> list[Port]:
    """The ports of all inputs of a graph that has inputs and outputs.

    Raises:
        InputError: `onnx/no-input`, `onnx/no-output`, and as `input_port`.
    """
    ports = [input_port(info, source) for info in graph_inputs(graph)]
    if not ports:
        raise InputError("onnx/no-input", "the model has no input", place=Place(file=source))
    if not graph.output:
        raise InputError("onnx/no-output", "the model has no output", place=Place(file=source))
    return ports


def shown_output(lowering: Lowering, info: onnx.ValueInfoProto) -> Port:
    """The port of an output; a constant output becomes an affine node without terms."""
    value = lowering.value(info.name)
    place = Place(file=lowering.file, node=info.name)
    if value is None:
        raise InputError(
            "onnx/unsupported-output", "this output is not computed by any supported operator", place=place
        )
    if isinstance(value, Constant):
        value = _constant_output(lowering, info, value, place)
    if value.element not in ELEMENTS:
        raise InputError("onnx/element-type", "an output is no float tensor", place=place, value=value.element)
    return output_port(info, value, lowering.file)


def _constant_output(lowering: Lowering, info: onnx.ValueInfoProto, constant: Constant, place: Place) -> Tensor:
    element = constant.element
    if element not in ELEMENTS:
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
        refused: forms of it that are not read.
    """

    name: str
    since: int
    until: int | None
    attributes: tuple[str, ...]
    lowering: str
    refused: str = ""


def operator_table() -> tuple[OperatorEntry, ...]:
    """What is read: operators on computed values first, then those that are only folded."""
    entries = [
        OperatorEntry(e.name, e.since, e.until, tuple(sorted(e.attributes)), e.summary, e.refused) for e in registered()
    ]
    entries.append(OperatorEntry("If", 7, None, (), CHOSEN, "a condition that is computed"))
    names = {entry.name for entry in entries}
    folded = [OperatorEntry(name, 7, None, (), "Constants only: folded.") for name in FOLDABLE if name not in names]
    return (*entries, *folded)
