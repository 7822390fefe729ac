"""Declared inputs and outputs: shapes, element types and the batch dimension."""

from __future__ import annotations

import math

import onnx

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.limits import MAX_COMPONENTS
from eqverify.frontend.onnx.tensors import element_name
from eqverify.frontend.onnx.values import ELEMENTS, Tensor
from eqverify.network import Port

ANONYMOUS_BATCH = "batch"
"""The name given to a batch dimension that the file leaves without one."""

Extents = tuple[int | str, ...]


def declared_extents(info: onnx.ValueInfoProto) -> Extents | None:
    """The extents a file declares, strings where symbolic; None where it declares none."""
    if not info.type.HasField("tensor_type") or not info.type.tensor_type.HasField("shape"):
        return None
    extents: list[int | str] = []
    for dimension in info.type.tensor_type.shape.dim:
        if dimension.HasField("dim_value") and dimension.dim_value >= 0:
            extents.append(dimension.dim_value)
        else:
            extents.append(dimension.dim_param or ANONYMOUS_BATCH)
    return tuple(extents)


def declared_element(info: onnx.ValueInfoProto) -> str:
    """The element type a file declares."""
    return element_name(info.type.tensor_type.elem_type)


def graph_inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that are not initialisers (before IR version 4, initialisers were listed as inputs too)."""
    stored = {tensor.name for tensor in graph.initializer}
    return [info for info in graph.input if info.name not in stored]


def input_port(info: onnx.ValueInfoProto, file: str | None) -> Port:
    """The port of a declared input.

    Raises:
        InputError: `onnx/element-type`, `onnx/no-shape`, `onnx/dynamic-dimension`, `onnx/empty-tensor`,
            `onnx/too-large`.
    """
    place = Place(file=file, node=info.name)
    element = declared_element(info)
    if element not in ELEMENTS:
        raise InputError(
            "onnx/element-type",
            "an input's element type is not supported",
            place=place,
            value=element,
            hint="export the model in float32",
        )
    extents = declared_extents(info)
    if extents is None:
        raise InputError(
            "onnx/no-shape", "an input's shape is not declared", place=place, hint="export with fixed shapes"
        )
    _check_extents(extents, place)
    return Port(info.name, extents, element, info.name)


def _check_extents(extents: Extents, place: Place) -> None:
    """Refuse dynamic dimensions other than a leading batch, and empty or huge inputs."""
    shown = f"[{', '.join(map(str, extents))}]"
    if any(isinstance(extent, str) for extent in extents[1:]) or (len(extents) == 1 and isinstance(extents[0], str)):
        raise InputError(
            "onnx/dynamic-dimension",
            "an input has a dynamic dimension other than a leading batch dimension",
            place=place,
            value=shown,
            hint="export the model with fixed extents",
        )
    numbers = concrete(extents)
    if 0 in numbers:
        raise InputError("onnx/empty-tensor", "an input has no components", place=place, value=shown)
    if math.prod(numbers) > MAX_COMPONENTS:
        raise InputError(
            "onnx/too-large", f"an input has more than {MAX_COMPONENTS} components", place=place, value=shown
        )


def concrete(extents: Extents) -> tuple[int, ...]:
    """The extents with a symbolic batch dimension as 1."""
    return tuple(extent if isinstance(extent, int) else 1 for extent in extents)


def input_tensor(port: Port) -> Tensor:
    """The value of an input."""
    return Tensor(port.name, concrete(port.shape), port.element)


def output_port(info: onnx.ValueInfoProto, tensor: Tensor, file: str | None) -> Port:
    """The port of a declared output, whose computed value is `tensor`.

    The declared extents are kept, the computed ones fill in what is not declared.

    Raises:
        InputError: `onnx/shape-mismatch`, `onnx/element-type`.
    """
    place = Place(file=file, node=info.name)
    extents = declared_extents(info)
    if extents is None:
        return Port(info.name, tensor.shape, tensor.element, tensor.source)
    pairs = list(zip(extents, tensor.shape, strict=False))
    if len(extents) != len(tensor.shape) or any(isinstance(d, int) and d != c for d, c in pairs):
        value = f"[{', '.join(map(str, extents))}] declared, {list(tensor.shape)} computed"
        raise InputError(
            "onnx/shape-mismatch", "an output's declared and computed shapes differ", place=place, value=value
        )
    if declared_element(info) != tensor.element:
        value = f"{declared_element(info)} declared, {tensor.element} computed"
        raise InputError(
            "onnx/element-type", "an output's declared and computed types differ", place=place, value=value
        )
    symbolic_batch = bool(pairs) and isinstance(extents[0], str) and tensor.shape[0] == 1
    shape: Extents = (extents[0] if symbolic_batch else tensor.shape[0], *tensor.shape[1:]) if pairs else ()
    return Port(info.name, shape, tensor.element, tensor.source)
