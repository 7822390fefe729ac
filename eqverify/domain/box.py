"""An axis-parallel box of inputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, frozen
from eqverify.errors import InputError, Place


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """The set {x : lower <= x <= upper}.

    Attributes:
        lower: (n,) float64, finite.
        upper: (n,) float64, finite, no entry below `lower`.

    Raises:
        InputError: `domain/not-finite` or `domain/empty`, naming the first such component.
    """

    lower: FloatArray
    upper: FloatArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", frozen(self.lower))
        object.__setattr__(self, "upper", frozen(self.upper))
        if self.lower.ndim != 1 or self.lower.shape != self.upper.shape:
            raise InputError(
                "domain/shape",
                "the bounds of a box must be two vectors of one length",
                value=f"{self.lower.shape} and {self.upper.shape}",
            )
        if not self.lower.size:
            raise InputError("domain/shape", "a box needs at least one input", value=self.lower.shape)
        finite = np.isfinite(self.lower) & np.isfinite(self.upper)
        self._require(finite, "domain/not-finite", "a bound of the input box is not a finite number")
        self._require(self.lower <= self.upper, "domain/empty", "the input box is empty: lower bound above upper bound")

    def _require(self, holds: BoolArray, code: str, message: str) -> None:
        if holds.all():
            return
        first = int(np.argmin(holds))
        raise InputError(
            code, message, place=Place(unit=first), value=f"[{self.lower[first]!r}, {self.upper[first]!r}]"
        )

    @property
    def size(self) -> int:
        """Number of inputs n."""
        return int(self.lower.size)

    @property
    def centre(self) -> FloatArray:
        """(n,) a point inside; the midpoint up to rounding."""
        middle = self.lower + (self.upper - self.lower) / 2
        return np.clip(middle, self.lower, self.upper)

    @property
    def magnitude(self) -> FloatArray:
        """(n,) max |x_i| over the box, exact."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))
