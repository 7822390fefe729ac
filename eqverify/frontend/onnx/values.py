"""What an ONNX tensor is while a graph is lowered: stored numbers, or a value of the network being built."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

ELEMENTS: dict[str, npt.DTypeLike] = {"float16": np.float16, "float32": np.float32, "float64": np.float64}
"""Element types of computed values, with the numpy type of the constants that go with them."""


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """Stored numbers, or numbers computed from them.

    Attributes:
        name: ONNX name, for errors.
        array: in the type of the file; float64 for numbers of another float type that were computed, without rounding.
        declared: the element type in the file where that is not the array's.
    """

    name: str
    array: npt.NDArray[Any]
    declared: str = ""

    @property
    def element(self) -> str:
        """The element type in the file."""
        return self.declared or str(self.array.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents of the array."""
        return self.array.shape


@dataclass(frozen=True, slots=True)
class Tensor:
    """A computed tensor: the components of a network node (or input) in row-major order.

    Attributes:
        source: the node or input.
        shape: extents, the batch dimension being 1 where it is symbolic.
        element: one of `ELEMENTS`, or an integer type where quantised operators are read.
        most: of integers, a bound on their magnitude that is known.
    """

    source: str
    shape: tuple[int, ...]
    element: str
    most: float = math.inf

    @property
    def size(self) -> int:
        """Number of components."""
        return math.prod(self.shape)

    def reshaped(self, shape: tuple[int, ...]) -> Tensor:
        """The same components under another shape of equal size."""
        return replace(self, shape=shape)


@dataclass(frozen=True, slots=True)
class Scaled(Tensor):
    """What DynamicQuantizeLinear makes, or what is made of it, in terms of its scale s, which depends on the input.

    Attributes:
        unit: the tensor that s is.
        part: ``values``: integers less their zero point, read as these times s; ``zero``; ``scale``: s times `factor`.
        factor: of a scale.
    """

    unit: str = ""
    part: str = "values"
    factor: Constant | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Truth values, or numbers that jump: of each component a function with pieces (`eqverify.frontend.onnx.choices`).

    Attributes:
        name: ONNX name, for errors.
        shape: extents.
        reading: the functions in an array of that shape, by the number of a reading; None where that has none.
        element: ``bool``, or one of `ELEMENTS`.
    """

    name: str
    shape: tuple[int, ...]
    reading: Callable[[int], npt.NDArray[Any] | None]
    element: str


Value = Constant | Tensor
