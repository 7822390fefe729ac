"""Input constraints to polytopes: exact until everything is known, then rounded outwards to float64."""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Bounds, Box, HalfSpace, Polytope, Written
from eqverify.errors import InputError, LimitError, Place
from eqverify.frontend.vnnlib.bounds import least_value, propagate
from eqverify.frontend.vnnlib.syntax import BoundList
from eqverify.numerals import Exact, nearest_float, round_down, round_up

MAX_ENTRIES = 50_000_000
"""Most entries of the constraint matrix of one polytope, and of all boxes together."""


class Region:
    """The conjunctive input constraints that all disjuncts share, and their refinement by each disjunct.

    Call `add_list` and `add` first, then `close` once, then `refine`.

    Args:
        names: spelling of the inputs, in flat order.
        source: file name for messages.

    Attributes:
        empty: why the first empty refinement was empty, or None.
    """

    def __init__(self, names: list[str], source: str | None) -> None:
        self._names = names
        self._source = source
        self._bounds = Bounds()
        self._rows: list[HalfSpace] = []
        self._lower: FloatArray = np.full(len(names), -math.inf)
        self._upper: FloatArray = np.full(len(names), math.inf)
        self._always_empty = False
        self._shared: dict[tuple[bytes, ...], Polytope] = {}
        self._written: dict[object, Written | None] = {}
        self.empty: InputError | None = None

    def add_list(self, bounds: BoundList) -> None:
        """Take in a run of bounds."""
        lower, upper = self._bounds.lower, self._bounds.upper
        for relation, i, text in zip(bounds.relations, bounds.inputs, bounds.numbers, strict=True):
            value = Decimal(text)
            if relation == "<":
                if i in upper:
                    self._bounds.reduce_upper(i, value)
                else:
                    upper[i] = value
            elif i in lower:
                self._bounds.raise_lower(i, value)
            else:
                lower[i] = value

    def add(self, row: HalfSpace) -> None:
        """Take in one constraint on inputs alone."""
        if not self._bounds.take(row):
            self._rows.append(row)

    def close(self) -> None:
        """Round the shared bounds."""
        _round_into(self._lower, self._upper, self._bounds)
        self._always_empty = self._is_empty(self._bounds)

    def refine(self, rows: Iterable[HalfSpace]) -> tuple[Polytope, Written] | None:
        """The polytope of the shared constraints and the rows, closed and rounded outwards, and what is written.

        Returns:
            Both, the same objects for equal ones; None where bounds and rows are found to exclude each other.

        Raises:
            InputError: ``domain/unbounded`` or ``domain/not-finite``.
            LimitError: ``vnnlib/too-many-entries``.
        """
        layer = Bounds(base=self._bounds)
        several = self._rows + [row for row in rows if not layer.take(row)]
        if self._always_empty or self._is_empty(layer):
            return None
        if several:
            propagate(layer, several)
            if self._is_empty(layer):
                return None
            if any(_fails_everywhere(layer, row) for row in several):
                self._exclude(several)
                return None
        lower, upper = self._lower.copy(), self._upper.copy()
        _round_into(lower, upper, layer)
        self._require_finite(lower, upper, layer)
        matrix, bound = self._matrix(several, lower, upper)
        key = tuple(array.tobytes() for array in (lower, upper, matrix, bound))
        if key not in self._shared:
            if len(self._shared) * len(self._names) > MAX_ENTRIES:
                raise self._too_large("boxes of disjuncts", f"more than {len(self._shared)} boxes")
            self._shared[key] = Polytope(Box(lower, upper), matrix, bound)
        exactly = (layer.key(), frozenset(map(_row_key, several)))
        if exactly not in self._written:
            written = Written(len(self._names), layer, tuple(several))
            self._written[exactly] = None if written.excludes_itself(closed=True) else written
        meant = self._written[exactly]
        if meant is None:
            self._exclude(several)
            return None
        return self._shared[key], meant

    def _is_empty(self, bounds: Bounds) -> bool:
        i = bounds.first_empty()
        if i is None:
            return False
        low, high = bounds.get_lower(i), bounds.get_upper(i)
        assert low is not None
        assert high is not None
        self.empty = self.empty or InputError(
            "domain/empty",
            f"the property allows no input at all: the lower bound of {self._names[i]} is above its upper bound",
            place=Place(file=self._source),
            value=f"{self._names[i]} in [{show(low)}, {show(high)}]",
            hint="are the two bounds exchanged?",
        )
        return True

    def _exclude(self, rows: list[HalfSpace]) -> None:
        """Keep why a part is left out whose rows and bounds exclude each other."""
        self.empty = self.empty or InputError(
            "domain/empty",
            "the property allows no input at all: linear constraints and bounds exclude each other",
            place=Place(file=self._source),
            value=", ".join(self._names[i] for i in list(rows[0].inputs)[:4]),
            hint="is a relation turned round?",
        )

    def _require_finite(self, lower: FloatArray, upper: FloatArray, bounds: Bounds) -> None:
        finite = np.isfinite(lower) & np.isfinite(upper)
        if finite.all():
            return
        i = int(np.argmin(finite))
        name = self._names[i]
        low, high = bounds.get_lower(i), bounds.get_upper(i)
        if low is not None and high is not None:
            raise InputError(
                "domain/not-finite",
                f"a bound of {name} is beyond the range of float64",
                place=Place(file=self._source),
                value=f"{name} in [{show(low)}, {show(high)}]",
                hint="bounds must lie within about 1.8e308",
            )
        side = "upper" if low is not None else "lower" if high is not None else "lower and no upper"
        relation = "<=" if low is not None else ">="
        raise InputError(
            "domain/unbounded",
            f"the input {name} has no {side} bound",
            place=Place(file=self._source),
            value=name,
            hint=f"add (assert ({relation} {name} ...)), or such a bound to every disjunct",
        )

    def _matrix(self, rows: list[HalfSpace], lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The rows in float64, each bound moved outwards by the rounding of its coefficients over the box.

        For x in the box,  c x = a x - (a - c) x <= b - min (a - c) x  where c is the rounded row; the last term is
        exact, and the sum is rounded up.
        """
        if len(rows) * len(self._names) > MAX_ENTRIES:
            raise self._too_large("a matrix of linear constraints", f"{len(rows)} rows")
        matrix, bound = np.zeros((len(rows), len(self._names))), np.zeros(len(rows))
        for r, row in enumerate(rows):
            slack = Fraction(0)
            for i, coefficient in row.inputs.items():
                rounded = nearest_float(coefficient)
                if not math.isfinite(rounded):
                    raise self._overflow(i)
                matrix[r, i] = rounded
                if error := coefficient - Fraction(rounded):
                    slack -= min(error * Fraction(float(lower[i])), error * Fraction(float(upper[i])))
            bound[r] = round_up(row.bound + slack)
            if not math.isfinite(bound[r]):
                raise self._overflow(next(iter(row.inputs)))
        return matrix, bound

    def _too_large(self, what: str, value: str) -> LimitError:
        return LimitError(
            "vnnlib/too-many-entries",
            f"the input set takes too many numbers: {what}",
            place=Place(file=self._source),
            value=f"{value} of {len(self._names)} inputs",
            hint=f"at most {MAX_ENTRIES} entries are made; split the property into several files",
        )

    def _overflow(self, i: int) -> InputError:
        return InputError(
            "domain/not-finite",
            f"a linear constraint with {self._names[i]} has a number beyond the range of float64",
            place=Place(file=self._source),
            value=self._names[i],
            hint="divide the constraint by a suitable factor",
        )


def _fails_everywhere(bounds: Bounds, row: HalfSpace) -> bool:
    """Whether a row fails wherever the bounds hold, exactly."""
    least = least_value(bounds, row.inputs.items())
    return least is not None and least > row.bound


def _row_key(row: HalfSpace) -> tuple[object, ...]:
    return frozenset(row.inputs.items()), row.bound, row.strict


def _round_into(lower: FloatArray, upper: FloatArray, bounds: Bounds) -> None:
    """Overwrite the entries that `bounds` stores, rounded outwards."""
    for i, value in bounds.lower.items():
        lower[i] = round_down(value)
    for i, value in bounds.upper.items():
        upper[i] = round_up(value)


def show(value: Exact) -> str:
    """A bound for messages."""
    if isinstance(value, Fraction):
        return repr(nearest_float(value))
    text = str(value)
    return text if len(text) <= 25 else repr(nearest_float(value))
