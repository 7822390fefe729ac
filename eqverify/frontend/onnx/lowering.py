"""Walks the nodes of a graph in order and lowers each by its entry in the operator table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import defs
from onnx.compose import add_prefix_graph

from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.builder import Builder
from eqverify.frontend.onnx.call import JUMPS, Call
from eqverify.frontend.onnx.fold import FOLDABLE, fold
from eqverify.frontend.onnx.functions import UNFOLDED
from eqverify.frontend.onnx.load import DEFAULT_DOMAINS
from eqverify.frontend.onnx.ports import graph_inputs
from eqverify.frontend.onnx.rational import COMPUTED
from eqverify.frontend.onnx.table import (
    OF_INTEGERS,
    ROUNDED_AS_READ,
    Operator,
    find_of_scaled,
    find_operator,
    of_choices,
)
from eqverify.frontend.onnx.table import Lowering as Reader
from eqverify.frontend.onnx.tensors import tensor_array
from eqverify.frontend.onnx.values import ELEMENTS, Choice, Constant, Scaled, Tensor, Value

Failures = list[tuple[onnx.NodeProto, InputError]]

CHOSEN = "the nodes of the chosen branch"
STORED = "stored numbers"
"""How nodes of constants are read."""


def lowered(
    graph: onnx.GraphProto,
    opset: int,
    file: str | None,
    inputs: Mapping[str, Value],
    failures: Failures | None = None,
    *,
    roundings: bool = False,
    smooth: bool = False,
) -> Lowering:
    """A finished walk over a graph: without rounding if that reads as much, else with rounded constants.

    Args:
        graph: as `Lowering`, with all others.

    Raises:
        InputError: as `Lowering`, unless `failures` collects them.
    """
    wanted = {"roundings": roundings, "smooth": smooth}
    walk = Lowering(graph, opset, file, inputs, None if failures is None else [], **wanted)
    try:
        walk.run()
    except InputError:
        if not walk.inexact:
            raise
    if walk.inexact and (walk.failures or not walk.finished):
        again: Failures | None = None if failures is None else []
        rounded = Lowering(graph, opset, file, inputs, again, rounding=True, **wanted)
        rounded.run()
        walk = rounded if len(rounded.values) > len(walk.values) else walk
    if failures is not None:
        failures.extend(walk.failures or ())
    return walk


class Lowering:
    """One walk over one graph.

    Args:
        graph: a graph that `onnx.checker` accepts.
        opset: version of the default operator set.
        file: the model's path, for errors.
        inputs: values of the graph's inputs by name.
        failures: where given, errors of nodes are collected there and what depends on them is passed over.
        rounding: whether numbers that no float64 can hold mean the nearest ones; else they stay computed values, which
            is exact but not understood everywhere.
        roundings: whether operators that round values are read, with inputs for what they round.
        smooth: whether smooth nodes are wanted; else functions that are not piecewise linear are not read.
    """

    def __init__(
        self,
        graph: onnx.GraphProto,
        opset: int,
        file: str | None,
        inputs: Mapping[str, Value],
        failures: Failures | None = None,
        *,
        rounding: bool = False,
        roundings: bool = False,
        smooth: bool = False,
    ) -> None:
        self.graph, self.opset, self.file, self.failures = graph, opset, file, failures
        self.rounding, self.inexact, self.finished, self.smooth = rounding, False, False, smooth
        self.values: dict[str, Value] = dict(inputs)
        self.choices: dict[str, Choice] = {}
        self.readings: dict[str, str] = {}
        self.stored = {tensor.name: tensor for tensor in graph.initializer}
        names = [info.name for info in graph_inputs(graph)] + [name for node in graph.node for name in node.output]
        self.builder = Builder([*names, *self.stored], roundings=roundings)
        if graph.sparse_initializer:
            raise InputError(
                "onnx/element-type", "sparse initialisers are not supported", place=Place(file=file, node=graph.name)
            )

    def run(self) -> None:
        """Lower every node that an output depends on."""
        shown = {info.name for info in self.graph.output}
        for node in needed_nodes(self.graph):
            try:
                self._lower(node)
                if node.output[0] in shown and self.choices.pop(node.output[0], None) is not None:
                    raise self._error(node, "nonlinear", JUMPS)
            except InputError as error:
                if self.failures is None:
                    raise
                self.failures.append((node, error))
        self.finished = True

    def value(self, name: str) -> Value | None:
        """The value of a tensor; None where it has none (its node failed, or does not compute this output)."""
        if name not in self.values and name in self.stored:
            self.values[name] = Constant(name, tensor_array(self.stored[name], self.file))
        return self.values.get(name)

    def _lower(self, node: onnx.NodeProto) -> None:
        inputs = [self.choices.get(name) or self.value(name) if name else None for name in node.input]
        if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
            if self.failures is None:
                raise self._error(node, "unsupported-output", "an input is an output that is not computed here")
            return
        constants = {n: v for n, v in zip(node.input, inputs, strict=True) if isinstance(v, Constant)}
        default_domain = node.domain in DEFAULT_DOMAINS
        if default_domain and node.op_type == "If" and len(constants) == 1:
            self._lower_branch(node, constants[node.input[0]])
            return
        all_constant = bool(constants) and not any(isinstance(value, (Tensor, Choice)) for value in inputs)
        if default_domain and all_constant and node.op_type in FOLDABLE:
            folded, exact = fold(node, constants, self.opset, self.file)
            self.inexact = self.inexact or not exact
            if exact or self.rounding:
                if node.op_type in COMPUTED and any(c.array.dtype.kind == "f" for c in folded):
                    self.builder.unmodelled.append(f"{node.op_type} of stored numbers")
                self.values.update((c.name, c) for c in folded)
                self.readings[node.output[0]] = STORED
                self.builder.rounded += [] if exact else [c.name for c in folded]
                return
            inputs = self._computed(node, inputs)
        entry = find_operator(full_name(node), self.opset, smooth=self._smooth(node))
        if entry is None or (entry.quantised and self.builder.unknowns is None):
            raise unsupported_operator(node, self.opset, self.file)
        lower = self._reader(node, entry, inputs)
        call = Call(
            operator=node.op_type,
            node_name=node.name,
            name=next(filter(None, node.output), ""),
            outputs=tuple(node.output),
            opset=self.opset,
            file=self.file,
            inputs=tuple(inputs),
            attributes=self._attributes(node, entry),
            builder=self.builder,
            smooth=self.smooth,
        )
        results = lower(call)
        self.readings[node.output[0]] = entry.becomes
        if isinstance(results, Choice):
            self.choices[node.output[0]] = results
            return
        results = results if isinstance(results, tuple) else (results,)
        self.values.update(zip(node.output, results, strict=False))
        if node.op_type not in ROUNDED_AS_READ:
            self.builder.unmodelled.append(entry.told)

    def _reader(self, node: onnx.NodeProto, entry: Operator, inputs: list[Value | Choice | None]) -> Reader:
        """What lowers a node of these inputs."""
        if any(isinstance(value, Choice) for value in inputs):
            return of_choices(node.op_type) or entry.lower
        scaled = any(isinstance(value, Scaled) for value in inputs)
        lower = find_of_scaled(full_name(node)) if scaled else entry.lower
        if lower is None:
            raise self._error(node, "unsupported-form", "it is not read of what DynamicQuantizeLinear makes")
        integers = [value.source for value in inputs if isinstance(value, Tensor) and value.element not in ELEMENTS]
        if integers and not scaled and not entry.quantised and node.op_type not in OF_INTEGERS:
            raise self._error(node, "unsupported-form", "it is not read of integers", value=integers[0])
        return lower

    def _smooth(self, node: onnx.NodeProto) -> bool:
        """Whether a node may become smooth: not a last Softmax, behind which comparisons are exact (`keeps_order`)."""
        last = node.op_type == "Softmax" and node.output[0] in {info.name for info in self.graph.output}
        return self.smooth and not last

    def _lower_branch(self, node: onnx.NodeProto, condition: Constant) -> None:
        """The branch that a constant condition chooses, its tensors called `<output>/<name>`."""
        self.readings[node.output[0]] = CHOSEN
        if condition.array.size != 1:
            raise self._error(node, "shape-mismatch", "the condition must be one truth value", value=condition.shape)
        taken = "then_branch" if condition.array.reshape(-1)[0] else "else_branch"
        inner = next(attribute.g for attribute in node.attribute if attribute.name == taken)
        branch = add_prefix_graph(inner, f"{node.output[0]}/")
        if any(self.builder.taken(names_made(graph)) for graph in (inner, branch)) or inner.sparse_initializer:
            raise self._error(node, "unsupported-form", "names inside a branch are names outside it, too")
        self.builder.reserve(names_made(branch))
        self.stored.update({tensor.name: tensor for tensor in branch.initializer})
        for inside in needed_nodes(branch):
            self._lower(inside)
        for name, info in zip(node.output, branch.output, strict=True):
            if (value := self.value(info.name)) is not None:
                self.values[name] = value

    def _computed(self, node: onnx.NodeProto, inputs: list[Value | Choice | None]) -> list[Value | Choice | None]:
        """The inputs of a node of constants, with the first one as a computed value, so that nothing is rounded."""
        first = inputs[0]
        entry = find_operator(node.op_type, self.opset)
        if entry is None or not isinstance(first, Constant) or first.element not in ELEMENTS:
            raise self._error(node, "not-constant", "no float64 holds the numbers of this constant")
        bias = first.array.astype(np.float64).reshape(-1)
        name = self.builder.helper_name(node.output[0], "stored")
        return [self.builder.affine(name, (), bias, first.shape, first.element), *inputs[1:]]

    def _attributes(self, node: onnx.NodeProto, entry: Operator) -> dict[str, object]:
        """Decoded attributes; those the entry does not understand must have their default value."""
        found: dict[str, object] = {}
        for attribute in node.attribute:
            value = self._decoded(node, attribute)
            if attribute.name in entry.attributes:
                found[attribute.name] = value
            elif value != self._default(node, attribute.name):
                raise self._error(
                    node,
                    "unsupported-attribute",
                    f"attribute {attribute.name!r} is not supported",
                    value=str(value)[:100],
                )
        return found

    def _decoded(self, node: onnx.NodeProto, attribute: onnx.AttributeProto) -> object:
        try:
            value = onnx.helper.get_attribute_value(attribute)
            if isinstance(value, bytes):
                return value.decode()
        except ValueError as error:
            raise self._error(node, "bad-attribute", f"attribute {attribute.name!r} cannot be read") from error
        if isinstance(value, (onnx.TensorProto, onnx.GraphProto, int, float, str)):
            return value
        return tuple(value) if hasattr(value, "__iter__") else value

    def _default(self, node: onnx.NodeProto, name: str) -> object:
        if node.domain not in DEFAULT_DOMAINS:
            return None
        schema = defs.get_schema(node.op_type, self.opset, "")
        if name not in schema.attributes or not schema.attributes[name].default_value.ByteSize():
            return None
        return self._decoded(node, schema.attributes[name].default_value)

    def _error(self, node: onnx.NodeProto, code: str, message: str, value: object = None) -> InputError:
        own = f" (ONNX node {node.name!r})" if node.name else ""
        place = Place(file=self.file, node=node.output[0])
        return InputError(f"onnx/{code}", f"{node.op_type}: {message}{own}", place=place, value=value)


def needed_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The nodes that some output depends on, in the order of the graph."""
    needed = {info.name for info in graph.output}
    found = []
    for node in reversed(graph.node):
        if needed.intersection(name for name in node.output if name):
            needed.update(names_read(node))
            found.append(node)
    return found[::-1]


def names_read(node: onnx.NodeProto) -> list[str]:
    """The tensors that a node reads: its inputs, and what the graphs in its attributes read from around it."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
            own = {info.name for info in graph.input} | names_made(graph)
            inside = [name for inner in graph.node for name in names_read(inner)]
            inside += [info.name for info in graph.output]
            names += [name for name in inside if name not in own]
    return names


def names_made(graph: onnx.GraphProto) -> set[str]:
    """The tensors that a graph stores or computes."""
    return {t.name for t in graph.initializer} | {name for node in graph.node for name in node.output if name}


def full_name(node: onnx.NodeProto) -> str:
    """An operator's name in the table."""
    return str(node.op_type) if node.domain in DEFAULT_DOMAINS else f"{node.domain}.{node.op_type}"


def operator_error(node: onnx.NodeProto, opset: int, file: str | None) -> InputError | None:
    """The error for an operator that is outside the table whatever its inputs, or None."""
    entry = find_operator(full_name(node), opset)
    if (entry and not entry.quantised) or (node.domain in DEFAULT_DOMAINS and node.op_type in FOLDABLE):
        return None
    return unsupported_operator(node, opset, file)


_UNROLLED = "export with fixed lengths, so that loops are unrolled"
_HINTS = {
    "": "specs/onnx.md lists what is read; piecewise-linear operators can often be rewritten in those",
    "smooth": "the commands verify, bounds, stability and reduce read it, as a smooth node",
    "custom": "define it as a function of the model, or export with standard operators",
    "quantised": "verify, equiv, bounds and stability read it (specs/quantised.md); reduce first, quantise then",
    "If": "export with fixed shapes and in inference mode, so that the condition is constant",
    **dict.fromkeys(("Loop", "Scan", "SequenceConstruct", "SplitToSequence"), _UNROLLED),
}
"""What would help, by operator."""


def unsupported_operator(node: onnx.NodeProto, opset: int, file: str | None) -> InputError:
    """The error for an operator outside the table."""
    own = f" (ONNX node {node.name!r})" if node.name else ""
    custom, full = node.domain not in DEFAULT_DOMAINS, full_name(node)
    entry, known = find_operator(full, opset, smooth=True), node.op_type if node.op_type in _HINTS else ""
    smooth = node.op_type in UNFOLDED or (entry is not None and entry.smooth)
    kind = "smooth" if smooth else "" if entry is None else "quantised"
    return InputError(
        "onnx/unsupported-operator",
        f"operator {full} is not supported{own}",
        place=Place(file=file, node=node.output[0] if node.output else node.name),
        value=f"{full}, opset {opset}",
        hint=_HINTS[kind or ("custom" if custom else known)],
    )
