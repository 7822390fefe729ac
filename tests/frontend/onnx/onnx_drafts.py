"""Random small ONNX models for differential tests: every operator of the table with every attribute."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

NEWEST_RUNTIME_OPSET = 26
"""The newest opset that the pinned onnxruntime runs."""

FACTORS = [1.0, 0.5, -2.0, 0.0, 0.1, 1.7]


@dataclass(frozen=True)
class Wire:
    """A computed tensor of a draft."""

    name: str
    shape: Shape


@dataclass
class Draft:
    """A model being drawn."""

    draw: Callable[[st.SearchStrategy[Any]], Any]
    rng: np.random.Generator
    dtype: type
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def flip(self) -> bool:
        return bool(self.draw(st.booleans()))

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))

    def numbers(self, *shape: int, nonzero: bool = False) -> Array:
        array = self.rng.normal(size=shape)
        if not nonzero and self.flip():
            array = np.where(self.rng.random(shape) < 0.3, 0.0, array)
        return array.astype(self.dtype)

    def fresh(self, prefix: str) -> str:
        return f"{prefix}{len(self.nodes) + len(self.initialisers)}"

    def constant(self, array: Array) -> str:
        """A constant in one of the forms a file can hold it in."""
        form = self.pick("raw", "typed", "node", "folded")
        name = self.fresh("c")
        if form == "typed":
            code = helper.np_dtype_to_tensor_dtype(array.dtype)
            self.initialisers.append(helper.make_tensor(name, code, array.shape, array.reshape(-1).tolist()))
            return name
        tensor = numpy_helper.from_array(array, name)
        if form == "raw":
            self.initialisers.append(tensor)
        else:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        if form == "folded":
            self.nodes.append(helper.make_node("Identity", [name], [name + "i"]))
            return name + "i"
        return name

    def node(self, operator: str, inputs: list[str], shape: Shape, outputs: int = 1, **attributes: Any) -> Wire:
        """A node with random omission of nothing: attributes as given; its first output becomes a wire."""
        name = self.fresh("t")
        names = [name, *(f"{name}_{i}" for i in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, inputs, names, **attributes))
        wire = Wire(name, tuple(int(extent) for extent in shape))
        self.wires.append(wire)
        return wire


def gemm(d: Draft, x: Wire) -> Wire:
    if len(x.shape) != 2:
        x = flatten(d, x)
    first = d.flip()
    flags = {"transA": int(d.flip()), "transB": int(d.flip())}
    rows, columns = x.shape[::-1] if flags["transA" if first else "transB"] else x.shape
    width = d.integer(1, 3)
    stored = (columns, width) if first else (width, rows)
    shape = (rows, width) if first else (width, columns)
    if flags["transB" if first else "transA"]:
        stored = stored[::-1]
    weights = d.constant(d.numbers(*stored))
    inputs = [x.name, weights] if first else [weights, x.name]
    addend = d.pick("none", "full", "row", "column", "scalar", "vector", "branch")
    options = {"full": shape, "row": (1, shape[1]), "column": (shape[0], 1), "scalar": (), "vector": (shape[1],)}
    others = [wire for wire in d.wires if wire.shape == shape]
    if addend in options:
        inputs.append(d.constant(d.numbers(*options[addend])))
    elif addend == "branch" and others:
        inputs.append(d.pick(*others).name)
    elif d.opset < 11:
        inputs.append(d.constant(d.numbers(1)))
    attributes = {key: value for key, value in flags.items() if value or d.flip()}
    for key in ("alpha", "beta"):
        if d.flip():
            attributes[key] = d.pick(*FACTORS)
    return d.node("Gemm", inputs, shape, **attributes)


def matmul(d: Draft, x: Wire) -> Wire:
    if not x.shape:
        x = unsqueeze(d, x)
    width, stack = d.integer(1, 3), d.pick((), (1,), (2,))
    if d.flip():
        inner = x.shape[-1]
        weights = d.numbers(*d.pick((inner,), (*stack, inner, width)))
        stacked = len(weights.shape) == 3 and len(x.shape) > 2 and x.shape[-3] not in (1, weights.shape[0])
        weights = weights[0] if stacked and weights.shape[0] != 1 else weights
        shape = np.matmul(np.zeros(x.shape), np.zeros(weights.shape)).shape
        return d.node("MatMul", [x.name, d.constant(weights)], shape)
    inner = x.shape[-2] if len(x.shape) > 1 else x.shape[0]
    weights = d.numbers(*d.pick((inner,), (width, inner)))
    shape = np.matmul(np.zeros(weights.shape), np.zeros(x.shape)).shape
    return d.node("MatMul", [d.constant(weights), x.name], shape)


def _operand_shape(d: Draft, shape: Shape) -> Shape:
    """A shape that broadcasts with `shape`, smaller, equal or larger."""
    kind = d.pick("scalar", "same", "ones", "tail", "longer", "wider")
    if kind == "scalar":
        return ()
    if kind == "ones":
        return tuple(1 if d.flip() else extent for extent in shape)
    if kind == "tail":
        return shape[d.integer(0, len(shape)) :]
    if kind == "longer" and len(shape) < 4:
        return (d.integer(1, 2), *shape)
    if kind == "wider":
        return tuple(2 if extent == 1 and math.prod(shape) < 20 else extent for extent in shape)
    return shape


def _binary(operator: str, *, constant_first: bool = True) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        other = d.numbers(*_operand_shape(d, x.shape), nonzero=operator == "Div")
        if operator in ("Mul", "Div") and d.flip():
            other = np.ones_like(other)
        inputs = [x.name, d.constant(other)]
        if constant_first and d.flip():
            inputs.reverse()
        return d.node(operator, inputs, np.broadcast_shapes(x.shape, other.shape))

    return drawer


def _fits(first: Shape, second: Shape) -> bool:
    try:
        return math.prod(np.broadcast_shapes(first, second)) <= 64
    except ValueError:
        return False


def _branches(operator: str) -> Callable[[Draft, Wire], Wire]:
    def drawer(d: Draft, x: Wire) -> Wire:
        other = d.pick(*[wire for wire in d.wires if _fits(wire.shape, x.shape)])
        pair = [x, other] if d.flip() else [other, x]
        return d.node(operator, [wire.name for wire in pair], np.broadcast_shapes(x.shape, other.shape))

    return drawer


def total(d: Draft, x: Wire) -> Wire:
    others = [wire for wire in d.wires if wire.shape == x.shape]
    names = [x.name, *(d.pick(*others).name for _ in range(d.integer(0, 2)))]
    if d.flip():
        names.insert(d.integer(0, len(names)), d.constant(d.numbers(*x.shape)))
    return d.node("Sum", names, x.shape)


def flatten(d: Draft, x: Wire) -> Wire:
    rank = len(x.shape)
    axis = d.integer(-rank if d.opset >= 11 else 0, rank)
    attributes = {} if axis == 1 and d.flip() else {"axis": axis}
    place = axis + rank if axis < 0 else axis
    return d.node("Flatten", [x.name], (math.prod(x.shape[:place]), math.prod(x.shape[place:])), **attributes)


def reshape(d: Draft, x: Wire) -> Wire:
    size = math.prod(x.shape)
    divisor = d.pick(*[n for n in range(1, size + 1) if size % n == 0])
    shape = d.pick((size,), (divisor, size // divisor), (1, divisor, size // divisor), x.shape)
    written = list(shape)
    if written and d.flip():
        written[d.integer(0, len(written) - 1)] = -1
    for index, extent in enumerate(written):
        if index < len(x.shape) and extent == x.shape[index] and d.flip():
            written[index] = 0
    attributes = {"allowzero": 0} if d.opset >= 14 and d.flip() else {}
    if 0 not in written and -1 not in written and d.opset >= 14 and d.flip():
        attributes = {"allowzero": 1}
    return d.node("Reshape", [x.name, d.constant(np.array(written, dtype=np.int64))], shape, **attributes)


def reshape_by_shape(d: Draft, x: Wire) -> Wire:
    """The chain exporters write: Shape, Gather of the batch, Concat with -1, Reshape."""
    attributes = {"start": 0, "end": len(x.shape)} if d.opset >= 15 and d.flip() else {}
    extents = d.node("Shape", [x.name], (len(x.shape),), **attributes)
    d.wires.pop()
    if not x.shape:
        return d.node("Reshape", [x.name, extents.name], x.shape)
    first = d.node("Gather", [extents.name, d.constant(np.array([0], dtype=np.int64))], (1,), axis=0)
    wanted = d.node("Concat", [first.name, d.constant(np.array([-1], dtype=np.int64))], (2,), axis=0)
    del d.wires[-2:]
    return d.node("Reshape", [x.name, wanted.name], (x.shape[0], math.prod(x.shape[1:])))


def _with_axes(d: Draft, operator: str, x: Wire, axes: list[int], shape: Shape) -> Wire:
    if d.opset < 13:
        return d.node(operator, [x.name], shape, axes=axes)
    return d.node(operator, [x.name, d.constant(np.array(axes, dtype=np.int64))], shape)


def squeeze(d: Draft, x: Wire) -> Wire:
    ones = [axis for axis, extent in enumerate(x.shape) if extent == 1]
    if d.flip() or not ones:
        return d.node("Squeeze", [x.name], tuple(extent for extent in x.shape if extent != 1))
    axis = d.pick(*ones)
    shape = x.shape[:axis] + x.shape[axis + 1 :]
    return _with_axes(d, "Squeeze", x, [axis - len(x.shape) if d.opset >= 11 and d.flip() else axis], shape)


def unsqueeze(d: Draft, x: Wire) -> Wire:
    axes = sorted(d.draw(st.sets(st.integers(0, len(x.shape)), min_size=1, max_size=2)))
    shape = np.expand_dims(np.zeros(x.shape), tuple(axes)).shape
    written = [axis - len(shape) if d.opset >= 11 and d.flip() else axis for axis in axes]
    return _with_axes(d, "Unsqueeze", x, written, shape)


def transpose(d: Draft, x: Wire) -> Wire:
    if d.flip():
        return d.node("Transpose", [x.name], x.shape[::-1])
    permutation = d.draw(st.permutations(range(len(x.shape))))
    if not permutation:
        return d.node("Transpose", [x.name], x.shape)
    return d.node("Transpose", [x.name], tuple(x.shape[axis] for axis in permutation), perm=list(permutation))


def expand(d: Draft, x: Wire) -> Wire:
    shape = _operand_shape(d, x.shape)
    wanted = d.constant(np.array(shape, dtype=np.int64))
    return d.node("Expand", [x.name, wanted], np.broadcast_shapes(x.shape, shape))


def dropout(d: Draft, x: Wire) -> Wire:
    outputs = d.integer(1, 2)
    if d.opset < 12:
        return d.node("Dropout", [x.name], x.shape, outputs, **({"ratio": 0.25} if d.flip() else {}))
    inputs = [x.name]
    if d.flip():
        inputs.append(d.constant(np.array(0.25, dtype=np.float32)))
        if d.flip():
            inputs.append(d.constant(np.array(False)))
    return d.node("Dropout", inputs, x.shape, outputs, **({"seed": 3} if d.flip() else {}))


def cast(d: Draft, x: Wire) -> Wire:
    """A cast of a constant, added to x; or a cast that changes nothing."""
    own = TensorProto.FLOAT if d.dtype is np.float32 else TensorProto.DOUBLE
    if d.flip():
        return d.node("Cast", [x.name], x.shape, to=own)
    other = np.float16 if d.flip() else np.float32
    stored = d.constant(d.rng.normal(size=x.shape).astype(other))
    name = d.node("Cast", [stored], x.shape, to=own).name
    d.wires.pop()
    return d.node("Add", [x.name, name], x.shape)


def constant(d: Draft, x: Wire) -> Wire:
    """All forms of Constant, added to a float32 x (their type is fixed)."""
    if d.dtype is not np.float32 or d.opset < 12:
        return _binary("Add")(d, x)
    name = d.fresh("k")
    if d.flip():
        d.nodes.append(helper.make_node("Constant", [], [name], value_float=0.3))
        return d.node("Add", [x.name, name], x.shape)
    d.nodes.append(helper.make_node("Constant", [], [name], value_floats=[0.3]))
    shape_name = d.fresh("k")
    d.nodes.append(helper.make_node("Constant", [], [shape_name], value_ints=[*x.shape]))
    shaped = d.node("Reshape", [x.name, shape_name], x.shape)
    return d.node("Mul", [shaped.name, name], np.broadcast_shapes(x.shape, (1,)))


def _unary(operator: str) -> Callable[[Draft, Wire], Wire]:
    return lambda d, x: d.node(operator, [x.name], x.shape)


DRAWERS: dict[str, Callable[[Draft, Wire], Wire]] = {
    "Add": _binary("Add"),
    "Add of branches": _branches("Add"),
    "Cast": cast,
    "Constant": constant,
    "Div": _binary("Div", constant_first=False),
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Gemm": gemm,
    "Identity": _unary("Identity"),
    "MatMul": matmul,
    "Mul": _binary("Mul"),
    "Neg": _unary("Neg"),
    "Relu": _unary("Relu"),
    "Reshape": reshape,
    "Shape": reshape_by_shape,
    "Squeeze": squeeze,
    "Sub": _binary("Sub"),
    "Sub of branches": _branches("Sub"),
    "Sum": total,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""By operator (and form), a function that adds it to a draft."""

NEEDS_OPSET = {"Expand": 8, "Sum": 8}


@st.composite
def models(draw: Callable[[st.SearchStrategy[Any]], Any], kind: str) -> tuple[bytes, np.random.Generator]:
    """The bytes of a model that uses the operator `kind` among others, and a generator for its points."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float32, np.float32, np.float64]))
    opset = draw(st.integers(NEEDS_OPSET.get(kind, 7), NEWEST_RUNTIME_OPSET))
    d = Draft(draw, rng, dtype, opset)
    rank = d.integer(0, 4)
    shape = tuple(d.integer(1, 3) for _ in range(rank))
    shape = (1, *shape[1:]) if rank > 1 and (math.prod(shape[1:]) > 1 or d.flip()) else shape
    declared: list[Any] = list(shape)
    if rank > 1 and shape[0] == 1 and d.flip():
        declared[0] = "N"
    wire = Wire("x", shape)
    d.wires.append(wire)
    allowed = [name for name in DRAWERS if NEEDS_OPSET.get(name, 7) <= opset]
    before, after = d.integer(0, 2), d.integer(0, 2)
    for name in [d.pick(*allowed) for _ in range(before)] + [kind] + [d.pick(*allowed) for _ in range(after)]:
        if math.prod(wire.shape) <= 64 and len(wire.shape) < 6:
            wire = DRAWERS[name](d, wire)
    if wire.name == "x":
        wire = d.node("Relu", ["x"], shape)
    return _finish(d, declared, wire), rng


def _finish(d: Draft, declared: list[Any], wire: Wire) -> bytes:
    code = TensorProto.FLOAT if d.dtype is np.float32 else TensorProto.DOUBLE
    outputs = [helper.make_tensor_value_info(wire.name, code, list(wire.shape))]
    extra = d.pick(*d.wires)
    if d.flip() and extra.name not in ("x", wire.name):
        outputs.append(helper.make_tensor_value_info(extra.name, code, list(extra.shape)))
    inputs = [helper.make_tensor_value_info("x", code, declared)]
    imports = [helper.make_opsetid("", d.opset)]
    version = helper.find_min_ir_version_for(imports)
    if version < 4:  # then initialisers must be listed as inputs too
        inputs += [helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in d.initialisers]
    graph = helper.make_graph(d.nodes, "g", inputs, outputs, initializer=d.initialisers)
    model = helper.make_model(graph, opset_imports=imports, ir_version=version)
    onnx.checker.check_model(model)
    return model.SerializeToString()
