"""The nodes and initialisers of an ONNX graph, written node by node from a network.

Every value is a tensor with a batch axis in front: a row [batch, n], or an image [batch, channels, ...] where a
convolution reads or writes it.  What needs the other form gets it by a Flatten or Reshape, once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place
from eqverify.export.rounding import TYPES, ElementType, unknown_map
from eqverify.functions import Power, Silu
from eqverify.network import (
    Affine,
    Dense,
    Diagonal,
    Identity,
    LinearMap,
    Network,
    Node,
    Port,
    Product,
    Relu,
    Selection,
    Smooth,
    Term,
)
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.gathering import ScaledSelection
from eqverify.network.sparse import Sparse

Extents = tuple[int, ...]
"""Of a value without its batch axis: (n,) for a row, (channels, ...) for an image."""


def has_batch(port: Port) -> bool:
    """Whether the first axis of a port is a batch axis: symbolic, or 1 before others."""
    return len(port.shape) > 1 and (isinstance(port.shape[0], str) or port.shape[0] == 1)


def declared_extents(port: Port) -> Extents | None:
    """The extents behind the batch axis; None where there is none."""
    return tuple(int(extent) for extent in port.shape[1:]) if has_batch(port) else None


def natural_extents(network: Network) -> dict[str, Extents]:
    """In which form each value is written: an image where a convolution makes it, else as its sources are, or a row."""
    found = {port.name: declared_extents(port) or (port.size,) for port in network.inputs}
    for node in network.nodes:
        found[node.name] = _affine_extents(node, found) if isinstance(node, Affine) else found[node.sources[0]]
    return found


def _affine_extents(node: Affine, known: dict[str, Extents]) -> Extents:
    for term in node.terms:
        if isinstance(term.map, Convolution):
            return (term.map.kernel.shape[0], *term.map.output_extents)
        if isinstance(term.map, TransposedConvolution):
            return (term.map.convolution.channels, *term.map.convolution.extents)
    if node.terms and all(isinstance(term.map, Identity | Diagonal) for term in node.terms):
        return max((known[term.source] for term in node.terms), key=len)
    return (node.size,)


@dataclass(slots=True)
class GraphWriter:
    """What has been written so far.

    Attributes:
        network: what is written.
        dtype: element type of all weights.
        batch: what stands for the batch axis in the shape of a Reshape.
        extents: by value, the form it is written in first.
        claimed: by value, the name of the output port that shows it as it is.
        used: names that are taken.
        tensors: by value and form, the name of its tensor.
    """

    network: Network
    dtype: ElementType
    batch: int
    extents: dict[str, Extents]
    claimed: dict[str, str]
    used: set[str]
    tensors: dict[tuple[str, Extents], str] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)

    # Names, nodes and stored numbers

    def fresh(self, name: str) -> str:
        """`name`, or a variant of it that is not used yet."""
        candidate, count = name, 1
        while candidate in self.used:
            count += 1
            candidate = f"{name}_{count}"
        self.used.add(candidate)
        return candidate

    def emit(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Write a node whose output (and name) is `name`."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name=name, **attributes))
        return name

    def reshape(self, source: str, name: str, shape: list[int]) -> str:
        """A Reshape to a constant shape."""
        argument = self.initialiser(f"{name}_shape", TensorProto.INT64, np.array(shape, dtype="<i8"))
        return self.emit("Reshape", [source, argument], name)

    def initialiser(self, name: str, code: int, array: npt.NDArray[np.generic]) -> str:
        """Store an array under `name` or a variant of it, as raw data."""
        name = self.fresh(name)
        self.initialisers.append(helper.make_tensor(name, code, array.shape, array.tobytes(), raw=True))
        return name

    def weights(self, node: Affine, kind: str, array: FloatArray) -> str:
        """Store weights, none of which may need rounding."""
        code, layout = TYPES[self.dtype]
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
        return self.initialiser(f"{node.name}.{kind}", code, stored)

    # Values

    def add_input(self, port: Port) -> None:
        """Make an input known."""
        if has_batch(port):
            self.tensors[port.name, self.extents[port.name]] = port.name
        else:
            name = self.fresh(f"{port.name}_row")
            self.tensors[port.name, (port.size,)] = self.reshape(port.name, name, [self.batch, port.size])

    def value(self, source: str, extents: Extents) -> str:
        """The tensor of a value in a form, converted where it is not there yet."""
        if (source, extents) not in self.tensors:
            stem = "row" if len(extents) == 1 else "image"
            current = self.tensors[source, self.extents[source]]
            name = self.fresh(f"{current}_{stem}")
            self.tensors[source, extents] = self.convert(current, self.extents[source], extents, name)
        return self.tensors[source, extents]

    def convert(self, tensor: str, have: Extents, want: Extents, name: str) -> str:
        """A tensor in another form, as the tensor `name`."""
        if len(want) == 1 and len(have) > 1:
            return self.emit("Flatten", [tensor], name, axis=1)
        return self.reshape(tensor, name, [self.batch, *want])

    def add_node(self, node: Node) -> None:
        """Write a node of the network."""
        extents = self.extents[node.name]
        name = self.claimed.get(node.name) or self.fresh(node.name)
        if isinstance(node, Relu):
            tensor = self.emit("Relu", [self.value(node.source, extents)], name)
        elif isinstance(node, Product):
            tensor = self.emit("Mul", [self.value(source, extents) for source in node.sources], name)
        elif isinstance(node, Smooth):
            tensor = self._smooth(node, extents, name)
        else:
            tensor = _AffineWriter(self, node, extents).write(name)
        self.tensors[node.name, extents] = tensor

    def _smooth(self, node: Smooth, extents: Extents, name: str) -> str:
        """A smooth node: functions are called as the operators that they are read from, but powers."""
        argument, code = self.value(node.argument, extents), TYPES[self.dtype][0]
        if isinstance(node.function, Silu):
            factor = self.emit("Sigmoid", [argument], self.fresh(f"{node.name}_sigmoid"))
            return self.emit("Mul", [argument, factor], name)
        if not isinstance(node.function, Power):
            return self.emit(node.function.name, [argument], name)
        exponent = np.array([node.function.exponent], dtype=TYPES[self.dtype][1])
        return self.emit("Pow", [argument, self.initialiser(f"{node.name}.exponent", code, exponent)], name)

    def add_output(self, port: Port) -> None:
        """Write what an output port needs beyond the value that it shows."""
        shown = port.name == port.source and port.source in {given.name for given in self.network.inputs}
        if shown or self.claimed.get(port.source) == port.name:
            return
        tensor, have = self.tensors[port.source, self.extents[port.source]], self.extents[port.source]
        if len(port.shape) == 2 and has_batch(port) and len(have) > 1:
            self.emit("Flatten", [tensor], port.name, axis=1)
        else:
            self.reshape(tensor, port.name, [extent if isinstance(extent, int) else -1 for extent in port.shape])


@dataclass(slots=True)
class _AffineWriter:
    """Writes one affine node: an operator per term (two for factors and quotients), then Adds."""

    writer: GraphWriter
    node: Affine
    extents: Extents

    def write(self, name: str) -> str:
        """The node as the tensor `name`, or the tensor that has its value already."""
        writer, node = self.writer, self.node
        written = len(writer.nodes)
        carrier = self._carrier()
        tensors = [self._term(term, node.bias if index == carrier else None) for index, term in enumerate(node.terms)]
        if not tensors:
            tensors, carrier = [self._constant()], 0
        if carrier is None and node.bias.any():
            tensors.insert(1, writer.weights(node, "bias", node.bias.reshape(1, *self.extents)))
        total = tensors[0]
        for index, tensor in enumerate(tensors[1:], start=1):
            total = writer.emit("Add", [total, tensor], writer.fresh(f"{node.name}/sum{index}"))
        last = writer.nodes[-1] if len(writer.nodes) > written else None
        shared = total in writer.tensors.values()
        if last is not None and last.output[0] == total and not shared:
            last.output[0] = last.name = name
            return name
        # Nothing but a copy: an output port needs a tensor of its own all the same.
        return writer.reshape(total, name, [writer.batch, *self.extents]) if node.name in writer.claimed else total

    def _carrier(self) -> int | None:
        """The first term whose operator can add the bias."""
        for index, term in enumerate(self.node.terms):
            if isinstance(term.map, Dense | Sparse):
                return index
            if isinstance(term.map, Convolution | TransposedConvolution):
                by_channel = self.node.bias.reshape(_image_extents(term.map)[0], -1)
                if (by_channel == by_channel[:, :1]).all():
                    return index
        return None

    def _fresh(self, purpose: str) -> str:
        return self.writer.fresh(f"{self.node.name}/{purpose}")

    def _term(self, term: Term, bias: FloatArray | None) -> str:
        """One term in the node's form."""
        linear = term.map
        have: Extents = (self.node.size,)
        if isinstance(linear, Identity):
            return self.writer.value(term.source, self.extents)
        if isinstance(linear, Diagonal):
            tensor = self.writer.value(term.source, self.extents)
            tensor = self._factors("Div", tensor, linear.divisor, self.extents)
            return self._factors("Mul", tensor, linear.scale, self.extents)
        if isinstance(linear, Selection | ScaledSelection):
            tensor = self._selected(term.source, linear)
        elif isinstance(linear, Dense | Sparse):
            tensor = self._product(term.source, linear.dense(), bias)
        elif isinstance(linear, Convolution | TransposedConvolution):
            tensor, have = self._convolved(term.source, linear, bias), _image_extents(linear)
        else:
            raise unknown_map(self.node.name, linear)
        return tensor if have == self.extents else self.writer.convert(tensor, have, self.extents, self._fresh("form"))

    def _product(self, source: str, matrix: FloatArray, bias: FloatArray | None) -> str:
        writer, node = self.writer, self.node
        row = writer.value(source, (matrix.shape[1],))
        weight = writer.weights(node, "weight", matrix)
        added = writer.weights(node, "bias", np.zeros(node.size) if bias is None else bias)
        inputs = [row, weight, added]
        return writer.emit("Gemm", inputs, self._fresh("product"), alpha=1.0, beta=1.0, transA=0, transB=1)

    def _constant(self) -> str:
        """A node without terms: a product with zeros, which has the batch axis that a stored tensor lacks."""
        source = self.writer.network.inputs[0]
        tensor = self._product(source.name, np.zeros((self.node.size, source.size)), self.node.bias)
        row = (self.node.size,)
        return tensor if row == self.extents else self.writer.convert(tensor, row, self.extents, self._fresh("form"))

    def _convolved(self, source: str, linear: Convolution | TransposedConvolution, bias: FloatArray | None) -> str:
        forward = isinstance(linear, Convolution)
        inner = linear if isinstance(linear, Convolution) else linear.convolution
        read = (inner.channels, *inner.extents) if forward else (inner.kernel.shape[0], *inner.output_extents)
        channels = _image_extents(linear)[0]
        by_channel = np.zeros(channels) if bias is None else bias.reshape(channels, -1)[:, 0]
        weight = self.writer.weights(self.node, "weight", inner.kernel)
        inputs = [self.writer.value(source, read), weight, self.writer.weights(self.node, "bias", by_channel)]
        attributes: dict[str, Any] = {
            "kernel_shape": list(inner.window),
            "strides": list(inner.strides),
            "dilations": list(inner.dilations),
            "group": inner.groups,
        }
        if forward:
            return self.writer.emit(
                "Conv", inputs, self._fresh("product"), pads=[*inner.before, *inner.after], **attributes
            )
        # What the last window does not reach is added by output_padding, and what lies beyond the output is cut off.
        axes = zip(inner.extents, inner.output_extents, inner.strides, inner.window, inner.dilations, strict=True)
        reached = [s * (n - 1) + (w - 1) * d + 1 for _, n, s, w, d in axes]
        surplus = [r - b - n for r, b, n in zip(reached, inner.before, inner.extents, strict=True)]
        attributes["pads"] = [*inner.before, *(max(extent, 0) for extent in surplus)]
        attributes["output_padding"] = [max(-extent, 0) for extent in surplus]
        return self.writer.emit("ConvTranspose", inputs, self._fresh("product"), **attributes)

    def _selected(self, source: str, linear: Selection | ScaledSelection) -> str:
        tensor = self.writer.value(source, (linear.size,))
        if linear.indices.size != linear.size or (linear.indices != np.arange(linear.size)).any():
            stored = self.writer.initialiser(
                f"{self.node.name}.indices", TensorProto.INT64, linear.indices.astype("<i8")
            )
            tensor = self.writer.emit("Gather", [tensor, stored], self._fresh("gathered"), axis=1)
        scale = linear.scale if isinstance(linear, ScaledSelection) else np.ones(linear.indices.size)
        return self._factors("Mul", tensor, scale, (scale.size,))

    def _factors(self, operator: str, tensor: str, factors: FloatArray, extents: Extents) -> str:
        """A product with (quotient by) constants; nothing where all of them are 1."""
        if (factors == 1).all():
            return tensor
        stored = factors.reshape(1, *extents)
        if len(extents) > 1:  # one number per channel where that is enough
            by_channel = factors.reshape(extents[0], -1)
            if (by_channel == by_channel[:, :1]).all():
                stored = by_channel[:, 0].reshape(1, extents[0], *[1] * (len(extents) - 1))
        kind, purpose = ("scale", "scaled") if operator == "Mul" else ("divisor", "divided")
        return self.writer.emit(operator, [tensor, self.writer.weights(self.node, kind, stored)], self._fresh(purpose))


def _image_extents(linear: LinearMap) -> Extents:
    """The form of what a convolution or its transpose makes."""
    if isinstance(linear, Convolution):
        return (linear.kernel.shape[0], *linear.output_extents)
    assert isinstance(linear, TransposedConvolution)
    return (linear.convolution.channels, *linear.convolution.extents)
