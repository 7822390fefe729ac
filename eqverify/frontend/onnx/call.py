"""One node of a graph as an operator's lowering sees it: checked access to inputs, attributes and errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import InputError, Place
from eqverify.frontend.onnx.builder import Builder
from eqverify.frontend.onnx.limits import MAX_COMPONENTS
from eqverify.frontend.onnx.values import ELEMENTS, Choice, Constant, Tensor, Value

JUMPS = "a choice by computed values is read where what it chooses between agrees at the change, which is not so here"


@dataclass(frozen=True, slots=True)
class Call:
    """A node to be lowered.

    Attributes:
        operator: its type.
        node_name: its ONNX name, often empty.
        name: its first output, which names it here.
        outputs: all its outputs.
        opset: the opset version it is read with.
        file: the model's path, or None.
        inputs: its inputs; None for one left out.
        attributes: decoded attributes by name; only those the operator's entry in the table lists.
        builder: receives the network nodes.
        smooth: whether smooth nodes are wanted.
    """

    operator: str
    node_name: str
    name: str
    outputs: tuple[str, ...]
    opset: int
    file: str | None
    inputs: tuple[Value | Choice | None, ...]
    attributes: Mapping[str, object]
    builder: Builder
    smooth: bool = False

    def error(self, code: str, message: str, *, value: object = None, hint: str | None = None) -> InputError:
        """The error `onnx/<code>` at this node."""
        own = f" (ONNX node {self.node_name!r})" if self.node_name else ""
        text = f"{self.operator}: {message}{own}"
        place = Place(file=self.file, node=self.name)
        return InputError(f"onnx/{code}", text, place=place, value=value, hint=hint)

    def shape_error(self, message: str, *shapes: object) -> InputError:
        """The error `onnx/shape-mismatch` at this node."""
        return self.error("shape-mismatch", message, value=" and ".join(str(shape) for shape in shapes))

    # Attributes

    def _typed(self, key: str, kind: type, what: str) -> object:
        value = self.attributes.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.error("bad-attribute", f"attribute {key!r} must be {what}", value=value)
        return value

    def integer(self, key: str, default: int) -> int:
        """An integer attribute."""
        value = self._typed(key, int, "an integer")
        return default if value is None else int(value)  # type: ignore[call-overload]

    def flag(self, key: str) -> bool:
        """An integer attribute that is 0 (default) or 1."""
        value = self.integer(key, 0)
        if value not in (0, 1):
            raise self.error("bad-attribute", f"attribute {key!r} must be 0 or 1", value=value)
        return value == 1

    def number(self, key: str, default: float) -> float:
        """A finite floating-point attribute."""
        return float(self.finite(np.array(self.any_number(key, default)), f"attribute {key!r}"))

    def any_number(self, key: str, default: float) -> float:
        """A floating-point attribute, perhaps infinite or NaN."""
        found = self._typed(key, float, "a number")
        return default if found is None else float(found)  # type: ignore[arg-type]

    def finite(self, numbers: FloatArray, what: str) -> FloatArray:
        """The numbers, once it is known that they are numbers."""
        if not np.isfinite(numbers).all():
            raise self.error("not-finite", f"{what} is not a finite number", value=float(numbers.reshape(-1)[0]))
        return numbers

    def integers(self, key: str) -> tuple[int, ...] | None:
        """A list of integers, or None where it is left out."""
        value = self._typed(key, tuple, "a list of integers")
        if value is None:
            return None
        if not all(isinstance(item, int) for item in value):  # type: ignore[attr-defined]
            raise self.error("bad-attribute", f"attribute {key!r} must be a list of integers", value=value)
        return value  # type: ignore[return-value]

    def text(self, key: str, default: str) -> str:
        """A string attribute."""
        value = self._typed(key, str, "a string")
        return default if value is None else str(value)

    # Inputs

    def optional(self, index: int) -> Value | None:
        """Input `index`, or None where it is left out."""
        value = self.inputs[index] if index < len(self.inputs) else None
        if isinstance(value, Choice):
            raise self.error("nonlinear", f"input {index}: {JUMPS}", value=value.name)
        return value

    def value(self, index: int) -> Value:
        """Input `index`."""
        value = self.optional(index)
        if value is None:
            raise self.error("missing-input", f"input {index} is missing")
        return value

    def tensor(self, index: int) -> Tensor:
        """Input `index`, which must be computed; stored numbers become a node without terms."""
        value = self.value(index)
        if not isinstance(value, Constant):
            return value
        if value.element not in ELEMENTS:
            raise self.error("unsupported-form", f"input {index} must be computed, not constant", value=value.name)
        bias = self.weights(value, value.element).reshape(-1)
        name = self.builder.helper_name(self.name, "stored")
        return self.builder.affine(name, (), bias, self.checked(value.shape), value.element)

    def constant(self, index: int) -> Constant:
        """Input `index`, which must be stored in the file."""
        value = self.value(index)
        if isinstance(value, Tensor):
            raise self.error(
                "not-constant",
                f"input {index} must be constant but depends on the network's input",
                value=value.source,
                hint="simplify the model first (constant folding), for example with onnxsim",
            )
        return value

    def constant_integers(self, index: int) -> tuple[int, ...]:
        """Input `index`, a constant vector (or scalar) of integers."""
        constant = self.constant(index)
        if constant.array.dtype.kind not in "iu" or constant.array.ndim > 1:
            found = f"{constant.array.dtype}{list(constant.shape)}"
            raise self.error("element-type", f"input {index} must be a vector of integers", value=found)
        return tuple(int(number) for number in constant.array.reshape(-1).tolist())

    def listed(self, key: str, index: int) -> tuple[int, ...] | None:
        """Integers that are attribute `key` in earlier opsets and input `index` in later ones; None where left out."""
        return self.integers(key) if self.optional(index) is None else self.constant_integers(index)

    def weights(self, constant: Constant, element: str) -> FloatArray:
        """The numbers of a constant that enters arithmetic with `element` values: float64, finite, exact."""
        if constant.element != element:
            value = f"{constant.name!r} is {constant.element}, the other input is {element}"
            raise self.error("element-type", "a constant has another element type than what it meets", value=value)
        finite = np.isfinite(constant.array)
        if not finite.all():
            first = tuple(int(i) for i in np.argwhere(~finite)[0])
            raise self.error(
                "not-finite",
                "a stored number is NaN or infinite",
                value=f"{constant.array[first]} at index {list(first)} of initialiser {constant.name!r}",
                hint="the network was exported from a diverged training run, or is damaged",
            )
        return np.asarray(constant.array, dtype=np.float64)

    # Shapes

    def axis(self, axis: int, rank: int, *, end: bool = False) -> int:
        """`axis` counted from the front; with `end` the rank itself is allowed too."""
        top = rank if end else rank - 1
        if not -rank <= axis <= top:
            raise self.error("bad-attribute", "axis out of range", value=f"{axis} for rank {rank}")
        return axis if axis >= 0 else axis + rank

    def axes(self, axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
        """Distinct axes counted from the front."""
        found = tuple(self.axis(axis, rank) for axis in axes)
        if len(set(found)) != len(found):
            raise self.error("bad-attribute", "an axis is named twice", value=axes)
        return found

    def checked(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape`, once it is known that it is neither empty nor too large."""
        size = math.prod(shape)
        if size == 0:
            raise self.error("empty-tensor", "the result would have no components", value=list(shape))
        if size > MAX_COMPONENTS:
            raise self.error("too-large", f"the result has more than {MAX_COMPONENTS} components", value=list(shape))
        return shape

    def broadcast(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
        """The common shape by numpy's rules."""
        try:
            return self.checked(np.broadcast_shapes(*shapes))
        except ValueError:
            raise self.shape_error("shapes cannot be broadcast", *map(list, shapes)) from None
