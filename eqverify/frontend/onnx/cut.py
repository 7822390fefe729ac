"""Cuts models at their opaque operators: what lies before them becomes a network, what lies behind is kept as it is.

An operator is opaque where it cannot be lowered: it is not piecewise linear, or is used in a form that is not read.  A
model that is malformed or of wrong shapes is not cut; it is an error as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx
from onnx import helper

from eqverify.files import Source, source_name
from eqverify.frontend.onnx.functions import unfolded
from eqverify.frontend.onnx.fuse import fuse
from eqverify.frontend.onnx.load import load_model, read_bytes, supported_opset
from eqverify.frontend.onnx.lowering import Failures, Lowering, lowered, names_read, needed_nodes
from eqverify.frontend.onnx.ports import Extents, graph_inputs, input_tensor
from eqverify.frontend.onnx.reader import declared_inputs, shown_output
from eqverify.frontend.onnx.values import Constant, Scaled, Tensor
from eqverify.network import Network, Port
from eqverify.network.normalise import normalised
from eqverify.reading import SIMPLIFIED

OPAQUE = frozenset(
    f"onnx/{code}"
    for code in (
        "nonlinear",
        "not-constant",
        "unsupported-attribute",
        "unsupported-form",
        "unsupported-operator",
        "unsupported-output",
    )
)
"""Codes of errors that say what cannot be lowered, not that something is wrong."""

_CODES = {"float16": onnx.TensorProto.FLOAT16, "float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}
_CODES |= {name: getattr(onnx.TensorProto, name.upper()) for name in ("int8", "uint8", "int16", "uint16", "int32")}


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A node (or, with an empty operator, an input, an output or the model) that cannot be read.

    Attributes:
        node: its first output.
        operator: its type.
        code: the error code that reading it gives.
        reason: what is wrong, in one sentence.
        hint: what would help.
    """

    node: str
    operator: str
    code: str
    reason: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Tail:
    """The part of a model from its first opaque operators on, copied unchanged.

    Attributes:
        model: a model of its own; its inputs are the tensors at the cut, then inputs of the original that it reads.
        interface: a model without nodes: the original's inputs, outputs, operator sets and functions.
        opset: version of the default operator set.
        inputs: names of the model's inputs.
        outputs: names of the model's outputs.
        operators: types of its nodes, each once, in the order in which they first come.
    """

    model: bytes
    interface: bytes
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cut:
    """Where and why a model is cut.

    Attributes:
        tensors: the tensors at the cut: outputs of the front that the tail reads.
        opaque: the first opaque nodes, those that read nothing of other opaque nodes.
        relus: ReLUs before the cut.
        copied: number of nodes behind the cut.
    """

    tensors: tuple[str, ...]
    opaque: tuple[Unsupported, ...]
    relus: int
    copied: int


@dataclass(frozen=True, slots=True)
class Front:
    """A model as a network and what follows it.

    Attributes:
        network: its outputs are the tensors at the cut, in the order in which the tail reads them, then outputs of the
            model that do not depend on opaque operators.  The whole model's outputs where there is no tail.
            It is normalised: without units that others make superfluous everywhere (M-6), unless it rounds.
        tail: None where nothing is opaque.
        cut: None where nothing is opaque.
        rounded: tensors whose numbers no float64 can hold, and that mean the nearest ones instead (specs/onnx.md).
        open_ends: tensors with a bound at the end of their type, read as none: right where no value is beyond.
        stored: the same as `network`, node by node as the file says it; None where that is `network`.
        unmodelled: operators whose rounding in a run the network's nodes do not tell (specs/runtime.md).
    """

    network: Network
    tail: Tail | None
    cut: Cut | None
    rounded: tuple[str, ...] = ()
    open_ends: tuple[str, ...] = ()
    stored: Network | None = None
    unmodelled: tuple[str, ...] = ()

    @property
    def as_stored(self) -> Network:
        """The network as the file says it, node by node."""
        return self.network if self.stored is None else self.stored

    def unit_by_unit(self) -> Front:
        """The same without what was done to the network behind reading it."""
        told = tuple(name for name in self.unmodelled if name != SIMPLIFIED)
        return replace(self, network=self.as_stored, stored=None, unmodelled=told)


def read_front(path: Source, *, roundings: bool = False, smooth: bool = False) -> Front:
    """Read a model up to its opaque operators (`.onnx` or `.onnx.gz`).

    Args:
        path: the file, or what it holds.
        roundings: whether operators that round are read, with inputs for what they round; else they are opaque.
        smooth: whether functions of one value that are not piecewise linear are read, as smooth nodes; else the model
            is cut at them.

    Raises:
        UsageError, InputError: as `read_network`, but operators that cannot be lowered are errors only where no output
            of another operator comes before them.

    Trusted: as `read_network`.  That tail and front together are the model is tested, not proved.
    """
    return parse_front(read_bytes(path), source_name(path), roundings=roundings, smooth=smooth)


def parse_front(data: bytes, source: str | None = None, *, roundings: bool = False, smooth: bool = False) -> Front:
    """As `read_front`, for the bytes of an uncompressed model.

    Args:
        data: the model.
        source: its path, for errors.
        roundings, smooth: as there.

    Raises:
        InputError: as `read_front`.
    """
    model = load_model(data, source)
    model = unfolded(model) if smooth else model
    opset = supported_opset(model, source)
    ports = declared_inputs(model.graph, source)
    failures: Failures = []
    inputs = {port.name: input_tensor(port) for port in ports}
    lowering = lowered(model.graph, opset, source, inputs, failures, roundings=roundings, smooth=smooth)
    for _, error in failures:
        if error.code not in OPAQUE:
            raise error
    tail_nodes = _tail_nodes(lowering)
    made = {name for node in tail_nodes for name in node.output}
    read = list(dict.fromkeys(name for node in tail_nodes for name in names_read(node) if name not in made))
    declared = {port.name for port in ports}
    crossing = [name for name in read if isinstance(lowering.value(name), Tensor) and name not in declared]
    unshown = any(isinstance(lowering.value(name), Scaled) for name in crossing)
    outputs = [] if unshown else _front_outputs(lowering, ports, crossing, made)
    if not outputs:  # the first operators are opaque already
        raise failures[0][1]
    builder = lowering.builder
    stored = builder.finished(ports, *fuse(builder.nodes, outputs))
    network = stored if stored.roundings else normalised(stored)
    if network is not stored:  # a run computes what the file says, and rounds that
        builder.unmodelled.append(SIMPLIFIED)
    said = tuple(builder.rounded), tuple(builder.open_ends), stored, tuple(dict.fromkeys(builder.unmodelled))
    if not tail_nodes:
        return Front(network, None, None, *said)
    opaque = _first_opaque(lowering, tail_nodes, failures)
    cut = Cut(tuple(crossing), opaque, stored.relu_count, len(tail_nodes))
    return Front(network, _tail(model, opset, tail_nodes, read, network), cut, *said)


def _tail_nodes(lowering: Lowering) -> list[onnx.NodeProto]:
    """The nodes behind the cut, in order.

    Those with an output that is needed and has no value, and what makes the constants and choices that they read.
    """
    needed = needed_nodes(lowering.graph)
    wanted = {info.name for info in lowering.graph.output} | {name for node in needed for name in names_read(node)}
    chosen = {
        node.output[0]
        for node in needed
        if any(name in wanted and lowering.value(name) is None for name in node.output if name)
        and node.output[0] not in lowering.choices
    }
    read: set[str] = set()
    for node in reversed(needed):
        made = {name for name in node.output if isinstance(lowering.value(name), Constant) or name in lowering.choices}
        if made & read or node.output[0] in chosen:
            chosen.add(node.output[0])
            read.update(names_read(node))
    return [node for node in needed if node.output[0] in chosen]


def _front_outputs(lowering: Lowering, ports: list[Port], crossing: list[str], made: set[str]) -> list[Port]:
    """The ports of the front: tensors at the cut, then outputs that are computed before it."""
    declared = {info.name: info for info in lowering.graph.output}
    batches = {port.shape[0] if port.shape else 1 for port in ports}
    batch = next(iter(batches)) if len(batches) == 1 else 1
    found = []
    for name in crossing:
        tensor = lowering.value(name)
        assert isinstance(tensor, Tensor)
        shape: Extents = tensor.shape
        if isinstance(batch, str) and len(shape) > 1 and shape[0] == 1:
            shape = (batch, *shape[1:])
        port = Port(name, shape, tensor.element, tensor.source)
        found.append(shown_output(lowering, declared[name]) if name in declared else port)
    rest = [info for info in lowering.graph.output if info.name not in (*made, *crossing)]
    return [*found, *(shown_output(lowering, info) for info in rest)]


def _first_opaque(lowering: Lowering, nodes: list[onnx.NodeProto], failures: Failures) -> tuple[Unsupported, ...]:
    judged = {node.output[0]: error for node, error in failures}
    found = []
    for node in nodes:
        error = judged.get(node.output[0])
        missing = [name for name in node.output if name and lowering.value(name) is None]
        if error is not None:
            found.append(Unsupported(node.output[0], node.op_type, error.code, error.message))
        elif missing and lowering.value(node.output[0]) is not None:
            reason = f"{node.op_type}: the output {missing[0]!r} is not computed here"
            found.append(Unsupported(node.output[0], node.op_type, "onnx/unsupported-output", reason))
    return tuple(found)


def _tail(model: onnx.ModelProto, opset: int, nodes: list[onnx.NodeProto], read: list[str], network: Network) -> Tail:
    graph = model.graph
    made = {name for node in nodes for name in node.output}
    shown = {port.name: port for port in network.outputs}
    inputs = [
        helper.make_tensor_value_info(name, _CODES[shown[name].element], list(shown[name].shape))
        for name in read
        if name in shown
    ]
    inputs += [info for info in graph_inputs(graph) if info.name in read]
    outputs = [info for info in graph.output if info.name in made]
    behind = helper.make_graph(
        nodes,
        graph.name or "tail",
        inputs,
        outputs,
        initializer=[tensor for tensor in graph.initializer if tensor.name in read],
        value_info=[info for info in graph.value_info if info.name in made],
    )
    version = max(model.ir_version, 4)  # before, initialisers had to be inputs
    options = {"opset_imports": model.opset_import, "ir_version": version, "functions": model.functions}
    whole = helper.make_graph([], graph.name or "model", graph_inputs(graph), graph.output)
    return Tail(
        model=helper.make_model(behind, **options).SerializeToString(deterministic=True),
        interface=helper.make_model(whole, **options).SerializeToString(deterministic=True),
        opset=opset,
        inputs=tuple(info.name for info in inputs),
        outputs=tuple(info.name for info in outputs),
        operators=tuple(dict.fromkeys(node.op_type for node in nodes)),
    )
