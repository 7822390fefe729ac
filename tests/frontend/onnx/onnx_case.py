"""One ONNX model in the making, for drawers of operators: what the functions of onnx_operators build on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import defs, helper, numpy_helper

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-40, -1e-40, 3.4028234663852886e38, -3.4028234663852886e38]


@dataclass
class Case:
    """One model in the making.

    Attributes:
        rng: decides everything.
        operator: its type.
        opset: of the model.
        dtype: of its input.
    """

    rng: np.random.Generator
    operator: str
    opset: int
    dtype: type = np.float32
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[tuple[str, Shape]] = field(default_factory=list)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def shape(self, least: int = 0, most: int = 4) -> Shape:
        return tuple(self.pick(1, 1, 2, 3, 4) for _ in range(self.whole(least, most)))

    def image(self, channels: int | None = None) -> Shape:
        extents = tuple(self.pick(1, 2, 3, 4, 5, 6, 7) for _ in range(self.pick(1, 2, 2, 3)))
        return (self.pick(1, 1, 1, 2), channels or self.pick(1, 2, 3, 4), *extents)

    def input(self, shape: Shape) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append((name, shape))
        return name

    def constant(self, array: Any, dtype: Any = None) -> str:
        name = f"c{len(self.stored)}"
        with np.errstate(over="ignore"):  # the ends of float32 are beyond float16
            self.stored.append(numpy_helper.from_array(np.asarray(array, dtype=dtype or self.dtype), name))
        return name

    def integers(self, values: Sequence[int]) -> str:
        return self.constant(list(values), self.pick(np.int64, np.int64, np.int64, np.int32))

    def numbers(self, shape: Shape) -> Array:
        values = self.rng.normal(size=shape)
        edges = self.rng.choice(EDGES, size=shape)
        share = self.pick(0.0, 0.0, 0.1)
        with np.errstate(over="ignore"):
            return np.asarray(np.where(self.rng.random(shape) < share, edges, values), dtype=self.dtype)

    def other(self, shape: Shape) -> str:
        """A second operand: stored, or computed, of a shape that may or may not go with the first."""
        if self.chance(0.5):
            shape = shape[self.whole(0, len(shape)) :]
            shape = tuple(1 if self.chance(0.3) else n for n in shape)
        if self.chance(0.2):
            shape = (self.pick(1, 2), *shape)
        return self.input(shape) if self.chance(0.3) else self.constant(self.numbers(shape))

    def axis(self, rank: int) -> int:
        return self.whole(-rank - (self.chance(0.03)), max(rank - 1, 0) + self.chance(0.03))

    def axes(self, rank: int) -> list[int]:
        chosen = [k for k in range(rank) if self.chance(0.5)]
        return [k - rank if self.chance(0.3) else k for k in self.rng.permutation(chosen).tolist()]

    def node(self, inputs: Sequence[str], pools: dict[str, Callable[[], Any]] | None = None, outputs: int = 1) -> None:
        """The operator with some of the attributes that its schema knows, and others with their default."""
        schema, given = defs.get_schema(self.operator, self.opset, ""), {}
        for name, attribute in schema.attributes.items():
            pool = (pools or {}).get(name)
            if attribute.required or self.chance(0.45):
                value = pool() if pool else self._anything(attribute)
                if value is not None:
                    given[name] = value
        names = ["y", *(f"y{k}" for k in range(1, outputs))]
        self.nodes.append(helper.make_node(self.operator, list(inputs), names, **given))

    def _anything(self, attribute: Any) -> Any:
        kinds = defs.OpSchema.AttrType
        return {
            kinds.INT: lambda: self.pick(0, 0, 1, 1, -1, 2),
            kinds.FLOAT: lambda: self.pick(0.0, 1.0, 0.3, -1.5, 1e-5, *EDGES),
            kinds.INTS: lambda: [self.pick(0, 1, 2) for _ in range(self.whole(1, 3))],
            kinds.FLOATS: lambda: [self.pick(1.0, 2.0, 0.5) for _ in range(self.whole(1, 4))],
        }.get(attribute.type, lambda: None)()

    def finished(self, outputs: int = 1) -> bytes:
        code = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype))
        inputs = [helper.make_tensor_value_info(name, code, shape) for name, shape in self.inputs]
        shown = [onnx.ValueInfoProto(name=name) for name in ["y", *(f"y{k}" for k in range(1, outputs))]]
        graph = helper.make_graph(self.nodes, "one", inputs, shown, initializer=self.stored)
        imports = [helper.make_opsetid("", self.opset)]
        version = max(helper.find_min_ir_version_for(imports), 4)
        return bytes(helper.make_model(graph, opset_imports=imports, ir_version=version).SerializeToString())
