"""Functions: the nodes of their bodies take the place of calls, of those of a model, and of some operators of ONNX."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import defs, helper

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.limits import MAX_NODES

Name = tuple[str, str, str]

UNFOLDED = (
    *(
        "Gelu",
        "GroupNormalization",
        "HardSwish",
        "LayerNormalization",
        "LogSoftmax",
        "MeanVarianceNormalization",
        "Mish",
    ),
    *("RMSNormalization", "ReduceL2", "ReduceSumSquare", "Softsign", "Swish"),
)
"""Operators that ONNX defines by others, which are smooth nodes, products and what is piecewise linear."""


def inlined(model: onnx.ModelProto, place: Place) -> onnx.ModelProto:
    """The model without calls of functions of its own.

    Raises:
        InputError: `onnx/unsupported-form` (a function that calls itself, or has the name of an operator, of which
            runtimes take one or the other), `onnx/too-large`.

    Trusted: `onnx.inliner`.
    """
    if not model.functions:
        return model
    bodies = {_key(function.domain, function.name, function.overload): function for function in model.functions}
    for function in model.functions:
        if function.domain in ("", "ai.onnx") or defs.has(function.name, function.domain):
            raise _refused("a function of the model has the name of an operator", f"{function.name}", place)
    if _count(model.graph.node, bodies, {}, (), place) > MAX_NODES:
        value = f"{MAX_NODES} nodes"
        raise InputError(
            "onnx/too-large", "the model's functions unfold to more than is read", place=place, value=value
        )
    from onnx import inliner

    return inliner.inline_local_functions(model)


def unfolded(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the definitions of `UNFOLDED` in the place of these, where its opset has one.

    Not of a LogSoftmax where one is an output: behind that comparisons are exact (`keeps_order`).

    Trusted: `onnx.inliner`, and its shape inference, for the types that some definitions depend on.
    """
    found = {node.op_type for node in model.graph.node if node.domain in ("", "ai.onnx")} & set(UNFOLDED)
    shown = {info.name for info in model.graph.output}
    found -= {node.op_type for node in model.graph.node if node.op_type == "LogSoftmax" and node.output[0] in shown}
    if not found:
        return model
    from onnx import inliner, shape_inference

    model = shape_inference.infer_shapes(model)
    known = {info.name for info in (*model.graph.input, *model.graph.value_info)}
    for tensor in model.graph.initializer:  # has a type, which the inliner asks for elsewhere
        if tensor.name not in known:
            info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            model.graph.value_info.append(info)
    version = next(one.version for one in model.opset_import if one.domain in ("", "ai.onnx"))
    for node in model.graph.node:
        if node.op_type in found:
            schema, given = defs.get_schema(node.op_type, version), {one.name for one in node.attribute}
            defaults = [(name, one.default_value) for name, one in schema.attributes.items() if name not in given]
            node.attribute.extend(value for _, value in defaults if value.type)
    names = [(node.domain, node.op_type) for node in model.graph.node if node.op_type in found]
    return inliner.inline_selected_functions(model, sorted(set(names)), inline_schema_functions=True)


def _key(domain: str, name: str, overload: str) -> Name:
    return ("" if domain == "ai.onnx" else domain, name, overload)


def _count(
    nodes: Iterable[onnx.NodeProto],
    bodies: dict[Name, onnx.FunctionProto],
    known: dict[Name, int],
    within: tuple[Name, ...],
    place: Place,
) -> int:
    """How many nodes there are once calls are unfolded."""
    total = 0
    for node in nodes:
        total += 1
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                total += _count(graph.node, bodies, known, within, place)
        key = _key(node.domain, node.op_type, node.overload)
        if key not in bodies:
            continue
        if key in within or len(within) > 20:
            raise _refused("functions of the model call themselves, or are nested too deeply", node.op_type, place)
        if key not in known:
            known[key] = _count(bodies[key].node, bodies, known, (*within, key), place)
        total += known[key]
    return total


def _refused(message: str, name: str, place: Place) -> InputError:
    return InputError("onnx/unsupported-form", message, place=place, value=name)
