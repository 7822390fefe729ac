"""Writes sequential networks as ONNX models that every verifier of specs/onnx.md reads: Gemm and Relu."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place, UsageError
from eqverify.network import Affine, Dense, Diagonal, LinearMap, Network, Node, Port, Relu, Term

ElementType = Literal["float32", "float64"]

_TYPES: dict[str, tuple[int, str]] = {"float32": (TensorProto.FLOAT, "<f4"), "float64": (TensorProto.DOUBLE, "<f8")}
_OLDEST_OPSET = 9


def round_to(network: Network, dtype: ElementType) -> Network:
    """The network with every weight rounded to the nearest number of a type.

    Args:
        network: of `Dense` maps and maps without parameters (`Diagonal` without divisors is rounded too).
        dtype: ``float32``; ``float64`` returns the network as it is.

    Returns:
        A network of the same structure; its distance to `network` is for the caller to bound.

    Raises:
        UsageError: `export/dtype`.
        InputError: `export/overflow` where a weight is larger than the type's largest number,
            `export/not-sequential` for maps that cannot be rounded.
    """
    _element_type(dtype)
    if dtype == "float64":
        return network
    nodes = tuple(_rounded_affine(node) if isinstance(node, Affine) else node for node in network.nodes)
    return Network(network.inputs, nodes, network.outputs)


def _rounded_affine(node: Affine) -> Affine:
    terms = tuple(Term(term.source, _rounded_map(node, term.map)) for term in node.terms)
    return Affine(node.name, terms, _rounded(node, node.bias))


def _rounded_map(node: Affine, linear: LinearMap) -> LinearMap:
    if isinstance(linear, Dense):
        return Dense(_rounded(node, linear.matrix))
    if isinstance(linear, Diagonal) and (linear.divisor == 1).all():
        return Diagonal(_rounded(node, linear.scale), linear.divisor)
    if any(array.dtype == np.float64 for array in linear.parameters()):
        raise InputError(
            "export/not-sequential",
            "this kind of linear map cannot be rounded",
            place=Place(node=node.name),
            value=type(linear).__name__,
        )
    return linear


def _rounded(node: Affine, array: FloatArray) -> FloatArray:
    with np.errstate(over="ignore", under="ignore"):
        rounded = array.astype(np.float32).astype(np.float64)
    if not np.isfinite(rounded).all():
        raise InputError(
            "export/overflow",
            "a weight is too large for float32",
            place=Place(node=node.name),
            value=float(np.abs(array).max()),
            hint="write float64 (--dtype float64)",
        )
    return rounded


def write_network(
    network: Network,
    *,
    metadata: Mapping[str, str],
    producer: str,
    dtype: ElementType = "float32",
    opset: int = 13,
) -> bytes:
    """A sequential network as the bytes of an ONNX model.

    The model is a chain of Gemm (with bias, transB=1, all attributes written) and Relu.  Where the declared input is
    not a row, a Flatten or Reshape comes first, and where the declared output is not a row, a Reshape comes last.
    Names, shapes and symbolic batch dimension of input and output are those of the network's ports.  The element type
    of both is `dtype`; where the port declares another one, the metadata says so (`eqverify.original_element`):
    casts inside the model would round outputs, and old readers do not know them.

    Args:
        network: one input, one output; each affine node reads one source by a `Dense` map.
        metadata: written as the model's metadata, in the order of its keys.
        producer: name and version of the program, for the model's header.
        dtype: type of the weights, of the input and of the output.
        opset: from 9; the default is read by all verifiers.

    Returns:
        The model, accepted by `onnx.checker`; equal calls give equal bytes.

    Raises:
        UsageError: `export/dtype`, `export/opset`.
        InputError: `export/not-sequential`, `export/empty-layer` (a layer without units, which ONNX cannot express),
            `export/not-representable` where a weight is no number of `dtype` (see `round_to`).

    Trusted: `onnx.checker`.
    """
    _element_type(dtype)
    if not _OLDEST_OPSET <= opset <= onnx.defs.onnx_opset_version():
        newest = onnx.defs.onnx_opset_version()
        raise UsageError(
            "export/opset", "no such opset", value=opset, hint=f"choose one from {_OLDEST_OPSET} to {newest}"
        )
    chain = _chain(network)
    source, target = network.inputs[0], network.outputs[0]
    writer = _Writer(dtype, _reserved_names(network))
    current = writer.as_row(source)
    for node in chain[:-1]:
        current = writer.node(node, current, writer.fresh(node.name))
    direct = _is_row(target)
    last = writer.node(chain[-1], current, target.name if direct else writer.fresh(chain[-1].name))
    if not direct:
        writer.reshape(last, target.name, _reshape_target(target), target.name)
    graph = helper.make_graph(
        writer.nodes, "eqverify", [_info(source, dtype)], [_info(target, dtype)], initializer=writer.initialisers
    )
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(
        graph,
        producer_name=producer,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports),
    )
    declared = {source.element, target.element} - {dtype}
    extra = {"eqverify.original_element": ",".join(sorted(declared))} if declared else {}
    helper.set_model_props(model, dict(sorted({**metadata, **extra}.items())))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def _element_type(dtype: str) -> tuple[int, str]:
    if dtype not in _TYPES:
        raise UsageError("export/dtype", "no such element type", value=dtype, hint=f"choose one of {', '.join(_TYPES)}")
    return _TYPES[dtype]


def _not_sequential(node: str, message: str, value: object = None) -> InputError:
    return InputError(
        "export/not-sequential",
        message,
        place=Place(node=node),
        value=value,
        hint="only chains of dense layers and ReLUs can be written; realise the network in the sequential shape first",
    )


def _chain(network: Network) -> list[Node]:
    """The nodes from input to output.

    Raises:
        InputError: where they are no chain of dense layers and ReLUs, or a layer is empty.
    """
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        names = [port.name for port in (*network.inputs, *network.outputs)]
        raise _not_sequential(names[0], "the network has several inputs or outputs", ", ".join(names))
    previous = network.inputs[0].name
    for node in network.nodes:
        if node.sources != (previous,):
            raise _not_sequential(node.name, "a node does not read just the node before", ", ".join(node.sources))
        if isinstance(node, Affine) and not isinstance(node.terms[0].map, Dense):
            raise _not_sequential(node.name, "a node's map is not dense", type(node.terms[0].map).__name__)
        if network.sizes[node.name] == 0 or network.sizes[previous] == 0:
            raise InputError(
                "export/empty-layer", "a layer without units cannot be written", place=Place(node=node.name)
            )
        previous = node.name
    if not network.nodes or network.outputs[0].source != previous:
        raise _not_sequential(network.outputs[0].name, "the output is not the last node", network.outputs[0].source)
    return list(network.nodes)


def _reserved_names(network: Network) -> set[str]:
    return {network.inputs[0].name, network.outputs[0].name}


def _is_row(port: Port) -> bool:
    """Whether the declared shape is that of one row: [1, n] or [batch, n]."""
    return len(port.shape) == 2 and (isinstance(port.shape[0], str) or port.shape[0] == 1)


def _reshape_target(port: Port) -> list[int]:
    """The shape argument that makes a row what the port declares; -1 stands for a symbolic batch."""
    return [extent if isinstance(extent, int) else -1 for extent in port.shape]


def _info(port: Port, dtype: ElementType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(port.name, _TYPES[dtype][0], list(port.shape))


@dataclass(slots=True)
class _Writer:
    """The ONNX nodes and initialisers written so far."""

    dtype: ElementType
    used: set[str]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)

    def fresh(self, name: str) -> str:
        """`name`, or a variant of it that is not used yet."""
        candidate, count = name, 1
        while candidate in self.used:
            count += 1
            candidate = f"{name}_{count}"
        self.used.add(candidate)
        return candidate

    def as_row(self, port: Port) -> str:
        """The input as one row; returns the tensor's name."""
        if _is_row(port):
            return port.name
        name = self.fresh(f"{port.name}_row")
        if len(port.shape) > 2 and (isinstance(port.shape[0], str) or port.shape[0] == 1):
            self.nodes.append(helper.make_node("Flatten", [port.name], [name], name=name, axis=1))
        else:
            batch = -1 if any(isinstance(extent, str) for extent in port.shape) else 1
            self.reshape(port.name, name, [batch, port.size], name)
        return name

    def reshape(self, source: str, name: str, shape: list[int], node_name: str) -> None:
        """A Reshape to a constant shape."""
        array = np.array(shape, dtype="<i8")
        argument = self._initialiser(f"{name}_shape", TensorProto.INT64, array)
        self.nodes.append(helper.make_node("Reshape", [source, argument], [name], name=node_name))

    def node(self, node: Node, source: str, name: str) -> str:
        """One layer or ReLU under the tensor name `name`; returns the name."""
        if isinstance(node, Relu):
            self.nodes.append(helper.make_node("Relu", [source], [name], name=name))
            return name
        weight = self._weights(node, "weight", node.terms[0].map.dense())
        bias = self._weights(node, "bias", node.bias)
        inputs = [source, weight, bias]
        self.nodes.append(helper.make_node("Gemm", inputs, [name], name=name, alpha=1.0, beta=1.0, transA=0, transB=1))
        return name

    def _weights(self, node: Affine, kind: str, array: FloatArray) -> str:
        code, layout = _TYPES[self.dtype]
        with np.errstate(over="ignore", under="ignore"):
            stored = array.astype(layout)
        wrong = np.flatnonzero(stored.astype(np.float64).reshape(-1) != array.reshape(-1))
        if wrong.size:
            raise InputError(
                "export/not-representable",
                f"a weight is no {self.dtype} number",
                place=Place(node=node.name, unit=int(wrong[0] // math.prod(array.shape[1:]))),
                value=float(array.reshape(-1)[wrong[0]]),
                hint="round the network first (round_to) and account for the difference",
            )
        return self._initialiser(f"{node.name}.{kind}", code, stored)

    def _initialiser(self, name: str, code: int, array: npt.NDArray[np.generic]) -> str:
        name = self.fresh(name)
        self.initialisers.append(helper.make_tensor(name, code, array.shape, array.tobytes(), raw=True))
        return name
