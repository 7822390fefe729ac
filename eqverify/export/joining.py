"""Puts a rewritten front and the opaque part of a model, which was copied unchanged, together again."""

from __future__ import annotations

import onnx

from eqverify.errors import InputError
from eqverify.network.tail import OpaqueTail


def join(front: bytes, tail: OpaqueTail) -> bytes:
    """One model of a front and the opaque part behind it, with the ports of the original.

    Args:
        front: a model whose inputs are the original's and whose outputs include the tensors at the cut, by name;
            written with the opset of the tail.  Its inner tensors are renamed where the tail has some of the same name.
        tail: what follows.

    Returns:
        The model, accepted by `onnx.checker`; metadata are those of the front.

    Raises:
        InputError: `export/join` where front and tail do not fit together.

    Trusted: `onnx.checker`.
    """
    head, rest, whole = (onnx.load_from_string(data) for data in (front, tail.model, tail.interface))
    _check(head, rest, whole, tail.opset)
    _rename(head, rest)
    joined = onnx.ModelProto()
    joined.CopyFrom(whole)
    joined.producer_name, joined.producer_version = head.producer_name, head.producer_version
    joined.ir_version = max(head.ir_version, rest.ir_version)
    del joined.metadata_props[:]
    joined.metadata_props.extend(head.metadata_props)
    graph = joined.graph
    for part in (head.graph, rest.graph):
        graph.node.extend(part.node)
        graph.initializer.extend(part.initializer)
    graph.sparse_initializer.extend(rest.graph.sparse_initializer)
    graph.value_info.extend(rest.graph.value_info)
    onnx.checker.check_model(joined)
    return bytes(joined.SerializeToString(deterministic=True))


def _check(head: onnx.ModelProto, rest: onnx.ModelProto, whole: onnx.ModelProto, opset: int) -> None:
    """Refuse parts that do not fit together."""
    written = max((entry.version for entry in head.opset_import if not entry.domain), default=0)
    if written != opset:
        raise InputError(
            "export/join",
            "front and tail are written in different opsets",
            value=f"{written} and {opset}",
            hint="write the front with the opset of the tail",
        )
    inputs = {info.name: _element(info) for info in whole.graph.input}
    shown = {info.name: _element(info) for info in head.graph.output}
    for info in head.graph.input:
        if inputs.get(info.name) != _element(info):
            raise InputError("export/join", "the front has another input than the original", value=info.name)
    for info in rest.graph.input:
        if {**inputs, **shown}.get(info.name) != _element(info):
            raise InputError("export/join", "the front lacks a tensor that the tail reads", value=info.name)
    made = {*shown, *(info.name for info in rest.graph.output)}
    for info in whole.graph.output:
        if info.name not in made:
            raise InputError("export/join", "neither front nor tail compute an output", value=info.name)


def _element(info: onnx.ValueInfoProto) -> int:
    return int(info.type.tensor_type.elem_type)


def _rename(head: onnx.ModelProto, rest: onnx.ModelProto) -> None:
    """Give inner tensors of the front other names where the tail has tensors of theirs."""
    kept = {info.name for info in (*head.graph.input, *head.graph.output)}
    taken = {name for node in rest.graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in rest.graph.initializer}
    own = {name for node in head.graph.node for name in node.output}
    own |= {tensor.name for tensor in head.graph.initializer}
    names: dict[str, str] = {}
    for name in sorted((own & taken) - kept):
        candidate = f"front/{name}"
        while candidate in taken | own:
            candidate = f"front/{candidate}"
        names[name] = candidate
    for node in head.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        node.name = names.get(node.name, node.name)
    for tensor in head.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
