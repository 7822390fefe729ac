"""A box cut by linear constraints, and finite unions of those."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, frozen
from eqverify.domain.box import Box
from eqverify.errors import InputError

if TYPE_CHECKING:
    from eqverify.domain.written import Written


@dataclass(frozen=True, slots=True, eq=False)
class Polytope:
    """The set {x in box : matrix x <= bound}.

    Attributes:
        box: the surrounding box.
        matrix: (m, n) float64; m = 0 for a plain box.
        bound: (m,) float64.  Whoever makes a polytope from decimal or rational rows moves `bound` outwards by
            the rounding of row and bound, so that this set contains the written one.
    """

    box: Box
    matrix: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    bound: FloatArray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        matrix = np.asarray(self.matrix, dtype=np.float64)
        if not matrix.size:
            matrix = np.empty((matrix.shape[0], self.box.size))
        if matrix.ndim != 2 or matrix.shape[1] != self.box.size:
            raise InputError(
                "domain/shape",
                "a constraint row needs one coefficient per input",
                value=f"{matrix.shape} for {self.box.size} inputs",
            )
        object.__setattr__(self, "matrix", frozen(matrix))
        object.__setattr__(self, "bound", frozen(self.bound))
        if self.bound.shape != (matrix.shape[0],):
            raise InputError("domain/shape", "as many bounds as constraint rows are needed", value=self.bound.shape)
        if not (np.isfinite(self.matrix).all() and np.isfinite(self.bound).all()):
            raise InputError(
                "domain/not-finite", "a linear constraint on the inputs has a coefficient that is not finite"
            )

    @property
    def is_box(self) -> bool:
        """Whether no linear constraint cuts the box."""
        return self.bound.size == 0

    def contains(self, points: FloatArray) -> BoolArray:
        """Which points certainly lie in the set.

        Args:
            points: (batch, n) float64.

        Returns:
            (batch,) bool.  The box test is exact; a row counts as satisfied only beyond its rounding error
            gamma_n |row| |x| (Higham, *Accuracy and Stability*, eq. 3.5), so True is proved, False may be caution.
        """
        inside: BoolArray = np.all((points >= self.box.lower) & (points <= self.box.upper), axis=1)
        if self.is_box:
            return inside
        error = 2.0**-52 * (self.box.size + 4) * (np.abs(points) @ np.abs(self.matrix).T + np.abs(self.bound)) + 1e-300
        return np.logical_and(inside, np.all(points @ self.matrix.T + error <= self.bound, axis=1))

    def rows_hold(self, x: Sequence[Fraction]) -> bool:
        """Whether the linear constraints hold at an exact input, by rational arithmetic."""
        for row, bound in zip(self.matrix, self.bound.tolist(), strict=True):
            used = np.flatnonzero(row).tolist()
            if sum((Fraction(float(row[i])) * x[i] for i in used), Fraction(0)) > Fraction(bound):
                return False
        return True


@dataclass(frozen=True, eq=False)
class Domain:
    """A finite union of polytopes of one dimension, at least one.

    Attributes:
        polytopes: the parts; they may overlap.
        written: for each part what is written of its inputs, exactly, once for each case that it is of: an input
            belongs to the domain where one of them holds.  Empty where the polytopes are what is meant.  What is proved
            is proved on the polytopes; an input that shows something must satisfy this, too.
    """

    polytopes: tuple[Polytope, ...]
    written: tuple[tuple[Written, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.polytopes:
            raise InputError("domain/empty", "the property allows no input at all: every input disjunct is empty")
        if len({part.box.size for part in self.polytopes}) != 1:
            raise InputError("domain/shape", "the parts of a domain must have one dimension")

    @property
    def size(self) -> int:
        """Number of inputs n."""
        return self.polytopes[0].box.size

    @cached_property
    def lower(self) -> FloatArray:
        """(parts, n) lower bounds of the parts' boxes."""
        return frozen(np.stack([part.box.lower for part in self.polytopes]))

    @cached_property
    def upper(self) -> FloatArray:
        """(parts, n) upper bounds of the parts' boxes."""
        return frozen(np.stack([part.box.upper for part in self.polytopes]))

    @cached_property
    def hull(self) -> Box:
        """The smallest box around the union of the parts' boxes."""
        return Box(self.lower.min(axis=0), self.upper.max(axis=0))

    def contains(self, points: FloatArray) -> BoolArray:
        """(batch,) bool: which of the points (batch, n) certainly lie in the union."""
        return np.asarray(np.any([part.contains(points) for part in self.polytopes], axis=0))

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the exact float64 bounds and rows, in order."""
        state = hashlib.sha256(b"eqverify-domain-1")
        for part in self.polytopes:
            for array in (part.box.lower, part.box.upper, part.matrix, part.bound):
                state.update(repr(array.shape).encode())
                state.update(np.ascontiguousarray(array + 0.0, dtype="<f8").tobytes())
        return state.hexdigest()


def box_domain(lower: FloatArray, upper: FloatArray) -> Domain:
    """The domain that is the single box [lower, upper], both (n,)."""
    return Domain((Polytope(Box(lower, upper)),))
