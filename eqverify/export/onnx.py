"""Writes networks as ONNX models in few operators: Gemm, Conv, Relu, Add, and some more where nothing else will do."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import helper

from eqverify.errors import InputError, Place, UsageError
from eqverify.export.joining import join
from eqverify.export.rounding import TYPES, ElementType, element_type, round_to
from eqverify.export.writer import GraphWriter, declared_extents, natural_extents
from eqverify.network import Network, Port

__all__ = ["ElementType", "join", "round_to", "write_network"]

_OLDEST_OPSET = 7
_OLDEST_IR = 4
"""Before IR version 4, initialisers must be listed as inputs too."""


def write_network(
    network: Network,
    *,
    metadata: Mapping[str, str],
    producer: str,
    dtype: ElementType = "float32",
    opset: int = 13,
) -> bytes:
    """A network as the bytes of an ONNX model.

    A chain of dense layers becomes a chain of Gemm (with bias, transB=1, all attributes written) and Relu; a
    convolution becomes a Conv with explicit attributes, with a Flatten before the first dense layer; a node of several
    terms ends in Adds of two.  Other maps become Gather, Mul, Div and ConvTranspose, which not every verifier reads.
    Nothing is rounded: the model, read again, computes the same function.

    Inputs and outputs have the names, shapes and symbolic batch dimension of the network's ports; a Reshape comes first
    or last where a port has no batch axis.  The element type of all is `dtype`; where a port declares another one, the
    metadata says so (`eqverify.original_element`): casts inside the model would round outputs, and old readers do not
    know them.

    Args:
        network: any number of inputs and outputs.
        metadata: written as the model's metadata, in the order of its keys.
        producer: name and version of the program, for the model's header.
        dtype: type of the weights, of the inputs and of the outputs.
        opset: from 7; the default is read by all verifiers.

    Returns:
        The model, accepted by `onnx.checker`; equal calls give equal bytes.

    Raises:
        UsageError: `export/dtype`, `export/opset`.
        InputError: `export/empty-layer` (a layer without units, which ONNX cannot express), `export/linear-map`,
            `export/not-representable` where a weight is no number of `dtype` (see `round_to`).

    Trusted: `onnx.checker`.
    """
    element_type(dtype)
    newest = onnx.defs.onnx_opset_version()
    if not _OLDEST_OPSET <= opset <= newest:
        hint = f"choose one from {_OLDEST_OPSET} to {newest}"
        raise UsageError("export/opset", "no such opset", value=opset, hint=hint)
    writer = _writer(network, dtype)
    for port in network.inputs:
        writer.add_input(port)
    for node in network.nodes:
        writer.add_node(node)
    for port in network.outputs:
        writer.add_output(port)
    inputs, outputs = ([_info(port, dtype) for port in ports] for ports in (network.inputs, network.outputs))
    graph = helper.make_graph(writer.nodes, "eqverify", inputs, outputs, initializer=writer.initialisers)
    imports = [helper.make_opsetid("", opset)]
    version = max(helper.find_min_ir_version_for(imports), _OLDEST_IR)
    model = helper.make_model(graph, producer_name=producer, opset_imports=imports, ir_version=version)
    declared = {port.element for port in (*network.inputs, *network.outputs)} - {dtype}
    extra = {"eqverify.original_element": ",".join(sorted(declared))} if declared else {}
    helper.set_model_props(model, dict(sorted({**metadata, **extra}.items())))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _writer(network: Network, dtype: ElementType) -> GraphWriter:
    for node in network.nodes:
        if network.sizes[node.name] == 0:
            place = Place(node=node.name)
            raise InputError("export/empty-layer", "a layer without units cannot be written", place=place)
    extents = natural_extents(network)
    claimed: dict[str, str] = {}
    inputs = {port.name for port in network.inputs}
    for port in network.outputs:
        if port.source not in inputs and declared_extents(port) == extents[port.source]:
            claimed.setdefault(port.source, port.name)
    used = inputs | {port.name for port in network.outputs}
    batch = -1 if any(isinstance(port.shape[0], str) for port in network.inputs if port.shape) else 1
    return GraphWriter(network, dtype, batch, extents, claimed, used)


def _info(port: Port, dtype: ElementType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(port.name, TYPES[dtype][0], list(port.shape))
