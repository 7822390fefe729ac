"""cos: the sine, a quarter of a period earlier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.functions.sine import Sin


@dataclass(frozen=True, slots=True)
class Cos(Sin):
    """The cosine."""

    shift: ClassVar[float] = 1.0

    def value(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return np.cos(x)

    def slope(self, x: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):
            return -np.sin(x)
