"""The inputs of a case as they are written: exact bounds and rows, strict where they are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import count

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain.condition import HalfSpace
from eqverify.domain.simplex import Simplex
from eqverify.numerals import Exact, round_down, round_up

MAX_EMPTINESS_ENTRIES = 40_000
"""Inputs times rows up to which it is decided whether rows exclude each other."""

_EMPTINESS_WORK = 2_000_000
"""Steps times entries of the exact simplex after which that stays open."""


def less(a: Exact, b: Exact) -> bool:
    """Whether a < b, exactly."""
    if type(a) is type(b):
        return a < b
    return Fraction(a) < Fraction(b)


@dataclass(slots=True)
class Bounds:
    """Bounds of the inputs; an input without an entry has no bound yet.

    A layer over `base`: only what is tighter than there is stored here.

    Attributes:
        lower: by input.
        upper: by input.
        base: the layer below.
        above: the inputs that do not reach the lower bound that is stored here.
        below: likewise for upper bounds.
    """

    lower: dict[int, Exact] = field(default_factory=dict)
    upper: dict[int, Exact] = field(default_factory=dict)
    base: Bounds | None = None
    above: set[int] = field(default_factory=set)
    below: set[int] = field(default_factory=set)

    def get_lower(self, i: int) -> Exact | None:
        """The lower bound of input i."""
        found = self.lower.get(i)
        return self.base.lower.get(i) if found is None and self.base is not None else found

    def get_upper(self, i: int) -> Exact | None:
        """The upper bound of input i."""
        found = self.upper.get(i)
        return self.base.upper.get(i) if found is None and self.base is not None else found

    def is_above(self, i: int) -> bool:
        """Whether input i does not reach its lower bound."""
        return i in self.above or (self.base is not None and i not in self.lower and i in self.base.above)

    def is_below(self, i: int) -> bool:
        """Whether input i does not reach its upper bound."""
        return i in self.below or (self.base is not None and i not in self.upper and i in self.base.below)

    def raise_lower(self, i: int, value: Exact, strict: bool = False) -> None:
        """Intersect with x_i >= value, or > where `strict`."""
        old = self.get_lower(i)
        if old is None or less(old, value):
            self.lower[i] = value
            (self.above.add if strict else self.above.discard)(i)
        elif strict and not less(value, old):
            self.lower[i] = value
            self.above.add(i)

    def reduce_upper(self, i: int, value: Exact, strict: bool = False) -> None:
        """Intersect with x_i <= value, or < where `strict`."""
        old = self.get_upper(i)
        if old is None or less(value, old):
            self.upper[i] = value
            (self.below.add if strict else self.below.discard)(i)
        elif strict and not less(old, value):
            self.upper[i] = value
            self.below.add(i)

    def take(self, row: HalfSpace) -> bool:
        """Take in a row of one variable; False where the row has several."""
        if len(row.inputs) != 1:
            return False
        ((i, coefficient),) = row.inputs.items()
        if coefficient > 0:
            self.reduce_upper(i, row.bound / coefficient, row.strict)
        else:
            self.raise_lower(i, row.bound / coefficient, row.strict)
        return True

    def first_empty(self) -> int | None:
        """The first input with a lower bound above its upper bound, among those stored in this layer."""
        for i in sorted(self.lower.keys() | self.upper.keys()):
            low, high = self.get_lower(i), self.get_upper(i)
            if low is not None and high is not None and less(high, low):
                return i
        return None

    def key(self) -> tuple[frozenset[object], ...]:
        """What is stored in this layer, to be compared."""
        parts = (self.lower.items(), self.upper.items(), self.above, self.below)
        return tuple(frozenset(part) for part in parts)


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """What is written of the inputs of a case, exactly; its polytope contains that.

    Attributes:
        size: number of inputs.
        bounds: of single inputs, at least those that are written; all that follow from the rest may be there.
        rows: constraints on several inputs.
    """

    size: int
    bounds: Bounds
    rows: tuple[HalfSpace, ...] = ()

    def holds(self, x: Sequence[Fraction]) -> bool:
        """Whether an input (size,) is allowed, exactly."""
        return all(self._within(i, value) for i, value in enumerate(x)) and self.rows_hold(x)

    def holds_within(self, i: int, lower: Fraction, upper: Fraction) -> bool:
        """Whether what is written of input i alone allows all of [lower, upper]."""
        return self._within(i, lower) and self._within(i, upper)

    def rows_hold(self, x: Sequence[Fraction]) -> bool:
        """Whether the constraints on several inputs hold, exactly."""
        values = list(x)
        return all(row.holds(values, {}) for row in self.rows)

    @property
    def strict(self) -> bool:
        """Whether an end or a row is excluded."""
        return bool(self._strict_inputs()) or any(row.strict for row in self.rows)

    @property
    def has_empty_interval(self) -> bool:
        """Whether the two ends of an interval are one number, and excluded."""
        return any(low == high for low, high in map(self.interval, self._strict_inputs()))

    def is_empty(self, stop: Callable[[], bool], *, closed: bool = False) -> bool:
        """Whether no input at all is written: strict ends of one number, or rows that exclude each other, exactly.

        Args:
            stop: asked before each step whether to give up; nothing is shown then.
            closed: whether strict ends and rows are read as if they were not.
        """
        if self.has_empty_interval and not closed:
            return True
        named = sorted({i for row in self.rows for i in row.inputs})
        if not named or len(named) * len(self.rows) > MAX_EMPTINESS_ENTRIES:
            return False
        simplex = Simplex(len(named), stop)
        number = {i: k for k, i in enumerate(named)}
        for i, k in number.items():
            (low, high), (above, below) = self.interval(i), self.strict_ends(i)
            simplex.at_least(k, low, above and not closed)
            simplex.at_most(k, high, below and not closed)
        for row in self.rows:
            form = {number[i]: c for i, c in row.inputs.items()}
            simplex.at_most(simplex.add_row(form), row.bound, row.strict and not closed)
        return simplex.feasible() is False

    def excludes_itself(self, *, closed: bool = False) -> bool:
        """`is_empty`; False also where finding that takes more than so many steps, which are always the same."""
        steps, most = count(), _EMPTINESS_WORK // (self.size * max(1, len(self.rows)))
        return self.is_empty(lambda: next(steps) >= most, closed=closed)

    def _strict_inputs(self) -> set[int]:
        """The inputs with an end that is, or was before a tighter one, excluded."""
        layers = (self.bounds,) if self.bounds.base is None else (self.bounds.base, self.bounds)
        named = set().union(*(layer.above | layer.below for layer in layers))
        return {i for i in named if any(self.strict_ends(i))}

    def _within(self, i: int, value: Fraction) -> bool:
        low, high = self.bounds.get_lower(i), self.bounds.get_upper(i)
        if low is not None and (value < Fraction(low) or (value == Fraction(low) and self.bounds.is_above(i))):
            return False
        return high is None or value < Fraction(high) or (value == Fraction(high) and not self.bounds.is_below(i))

    def interval(self, i: int) -> tuple[Fraction, Fraction]:
        """The bounds of input i, which has both."""
        low, high = self.bounds.get_lower(i), self.bounds.get_upper(i)
        assert low is not None
        assert high is not None
        return Fraction(low), Fraction(high)

    def strict_ends(self, i: int) -> tuple[bool, bool]:
        """Whether the lower and the upper bound of input i are excluded."""
        return self.bounds.is_above(i), self.bounds.is_below(i)

    def inner(self) -> tuple[FloatArray, FloatArray]:
        """(size,) the least and the largest float64 within the bounds of each input; crossed where there is none."""
        lower, upper = np.full(self.size, -math.inf), np.full(self.size, math.inf)
        for layer in (self.bounds,) if self.bounds.base is None else (self.bounds.base, self.bounds):
            for i, value in layer.lower.items():
                lower[i] = round_up(value, strict=i in layer.above)
            for i, value in layer.upper.items():
                upper[i] = round_down(value, strict=i in layer.below)
        return lower, upper
