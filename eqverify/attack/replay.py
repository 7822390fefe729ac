"""Replay of candidates: does a condition hold at an input, for certain, and does a run show it?

A candidate counts only if it satisfies the condition as written over the rationals, inputs and outputs, strict signs
included: by float64 values with bounded errors, or by rational arithmetic where those cannot tell.  `shown_by`
asks beside that for outputs of onnxruntime that satisfy it within the competition's tolerance.  The first alone would
report what no run of the network shows; the second alone what is not true of the network.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.points import nearest_of_type
from eqverify.domain import Case, Conjunction
from eqverify.network import (
    Network,
    evaluate_nodes,
    evaluation_error,
    join_outputs,
    outputs_exact,
)
from eqverify.network.rounding import settled, settled_exact

TOLERANCE = Fraction(1, 10**4)
"""The competition's absolute tolerance of a constraint at a counterexample (VNN-COMP 2023 rules)."""

_EXACT_LIMIT = 2_000_000
"""Networks with more products than this are not evaluated in rationals, which takes a microsecond per product."""

_EXACT_SECONDS = 1.0
"""When so much time has gone into points of a search, only what floats show counts: where a range ends at the limit,
every point looks as if it might hold, and is evaluated in rationals."""

_ABOVE = 1.0 + 2.0**-50
_LARGEST = Fraction(sys.float_info.max)

Values = tuple[Fraction, ...]


def holding(
    disjuncts: Sequence[Conjunction],
    x: Sequence[Fraction],
    y: Sequence[float | Fraction],
    error: Sequence[float] | None = None,
) -> tuple[int | None, bool]:
    """The first disjunct of which all rows hold, for every output within `error` of `y`.

    Args:
        disjuncts: exact rows.
        x: exact inputs.
        y: outputs, as the exact numbers that they are.
        error: for each output; None where `y` is exact.  Rows on outputs that are not finite are open.

    Returns:
        Its number, None where none is known to hold; and whether one is open.
    """
    open_ = False
    for number, rows in enumerate(disjuncts):
        answer = _holds(rows, x, y, error)
        if answer:
            return number, False
        open_ |= answer is None
    return None, open_


def _holds(
    rows: Conjunction, x: Sequence[Fraction], y: Sequence[float | Fraction], error: Sequence[float] | None
) -> bool | None:
    """Whether all rows hold; None where that is open."""
    certain = True
    for row in rows:
        spread = Fraction(0)
        if error is not None:
            if not all(math.isfinite(y[j]) and math.isfinite(error[j]) for j in row.outputs):
                certain = False
                continue
            spread = sum((abs(c) * Fraction(error[j]) for j, c in row.outputs.items()), spread)
        excess = sum((c * Fraction(y[j]) for j, c in row.outputs.items()), -row.bound)
        excess = sum((c * x[i] for i, c in row.inputs.items()), excess)
        if excess > spread or (row.strict and excess == spread):
            return False
        certain &= excess < -spread or (excess == -spread and not row.strict)
    return True if certain else None


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """An input at which a disjunct of a case is proved to hold.

    Attributes:
        x: (own_size,) float64 next to `inputs`: of the model; what it rounds follows from these.
        y: (output_size,) what onnxruntime computes there, if it was run; else float64 arithmetic.
        inputs: (own_size,) exactly what was checked: the floats, where they satisfy the text.
        outputs: (output_size,) with `inputs` they satisfy the disjunct to the letter: `y` where that does, else what
            the network computes, exactly or within its rounding error.
        disjunct: its number.
        confirmed: ``rounding``: float64 values beyond their proved errors; ``exact``: rational evaluation.
    """

    x: FloatArray
    y: FloatArray
    inputs: Values
    outputs: Values
    disjunct: int = 0
    confirmed: Literal["rounding", "exact"] = "rounding"

    @property
    def as_floats(self) -> bool:
        """Whether the floats are what was checked."""
        return self.inputs == tuple(map(Fraction, self.x.tolist()))


Confirm = Callable[[Witness], Witness | None]
"""A further test of a proved candidate: what is kept of it, None where that is nothing."""


@dataclass(eq=False)
class Replay:
    """Tries candidates for one case; keeps the first that holds.

    Attributes:
        network: where the case's condition is judged.
        case: inputs and condition.
        confirm: a further test, such as `shown_by` a run of onnxruntime.
        run_errors: where given, every run has to show it: bounds (output_size,) on |run - network| at an input, which
            then has to be one of the network's type.
        witness: the first candidate that held.
        failures: candidates that hold, but failed the further test.
    """

    network: Network
    case: Case
    confirm: Confirm = lambda witness: witness
    run_errors: Callable[[FloatArray], FloatArray] | None = None
    witness: Witness | None = None
    failures: int = 0
    _seconds: float = 0.0

    def __call__(self, points: FloatArray) -> bool:
        """Whether one of the points (k, input_size), moved into the inputs as written, is a witness."""
        for point in points:
            for candidate in self._variants(self._whole(point)):
                start = time.monotonic()
                if self._try(candidate, exactly=self._seconds < _EXACT_SECONDS):
                    return True
                self._seconds += time.monotonic() - start
        return False

    def inside(self, point: FloatArray) -> list[Fraction]:
        """The point (input_size,) moved within the bounds of the inputs as written."""
        return self._variants(self._whole(point))[0]

    def _whole(self, point: FloatArray) -> FloatArray:
        """A point (own_size or more,) with some number for each input; those for roundings are set later."""
        return np.concatenate([point, np.zeros(self.network.input_size - point.size)])

    def take(self, x: Sequence[Fraction]) -> bool:
        """Whether an exact input (input_size,), or floats next to it, is a witness."""
        point = self._whole(_nearest(x))
        if not np.isfinite(point).all():
            return False
        tried = any(map(self._try, self._variants(point)))
        return tried or (
            self.run_errors is None and self._try([*x, *[Fraction(0)] * (point.size - len(x))], within=False)
        )

    @cached_property
    def _inner(self) -> tuple[FloatArray, FloatArray, dict[int, Fraction]]:
        """The least and largest float64 of each input as written, and numbers for those that have none."""
        written, box = self.case.written, self.case.polytope.box
        if written is None:
            return box.lower, box.upper, {}
        inner_lower, inner_upper = written.inner()
        lower, upper = np.maximum(inner_lower, box.lower), np.minimum(inner_upper, box.upper)
        other: dict[int, Fraction] = {}
        for i in np.flatnonzero(inner_lower > inner_upper).tolist():
            (low, high), (above, below) = written.interval(i), written.strict_ends(i)
            other[i] = high if above and not below else low if not above else (low + high) / 2
            lower[i] = upper[i] = _nearest([other[i]])[0]
        return lower, upper, other

    def _variants(self, point: FloatArray) -> list[list[Fraction]]:
        """The point moved into the inputs as written: in the network's own type, in float64, and to exact ends."""
        lower, upper, other = self._inner
        x = np.clip(point, lower, upper)
        floats = [x]
        element = self.network.element
        if element != "float64" and all(port.element == element for port in self.network.inputs):
            floats.insert(0, nearest_of_type(x, lower, upper, element))
        if self.run_errors is not None:
            return [[Fraction(v) for v in floats[0].tolist()]]
        variants = [[other.get(i, Fraction(v)) for i, v in enumerate(values.tolist())] for values in floats]
        return variants + self._at_ends(point, variants[-1])

    def _at_ends(self, point: FloatArray, exact: list[Fraction]) -> list[list[Fraction]]:
        """The input with components that were moved set to the ends as written, which are no floats."""
        written, (lower, upper, _) = self.case.written, self._inner
        if written is None or self.network.products > _EXACT_LIMIT:
            return []
        ends = exact.copy()
        for i in np.flatnonzero(((point <= lower) | (point >= upper)) & (lower < upper)).tolist():
            side = int(point[i] >= upper[i])
            if not written.strict_ends(i)[side]:
                ends[i] = written.interval(i)[side]
        return [ends] if ends != exact else []

    def _try(self, exact: list[Fraction], exactly: bool = True, *, within: bool = True) -> bool:
        """Whether an input is a witness.

        Args:
            exact: the input.
            exactly: whether it is evaluated in rationals where float64 cannot tell.
            within: whether its components are known to be within the bounds.
        """
        if self.witness is not None:
            return True
        if not self._allowed(exact, within):
            return False
        proved = self._prove(exact, exactly)
        if proved is None:
            return False
        self.witness = self.confirm(proved)
        self.failures += self.witness is None
        return self.witness is not None

    def _prove(self, exact: list[Fraction], exactly: bool) -> Witness | None:
        """The input, where a disjunct certainly holds."""
        exact = exact[: self.network.own_size]
        x = _nearest(exact)
        moved = [abs(v - Fraction(near)) for v, near in zip(exact, x.tolist(), strict=True)]
        here = settled(self.network, x[None], _above(moved)[None])
        values = evaluate_nodes(self.network, here.points)
        errors = evaluation_error(self.network, values, moved=here.errors if here.errors.any() else None)
        y, error = (join_outputs(self.network, v)[0] for v in (values, errors))
        if self.run_errors is not None:
            if any(moved) or not np.array_equal(x, x.astype(self.network.element)):
                return None
            error, exactly = (error + self.run_errors(x)) * _ABOVE, False
        number, open_ = None, True
        if np.isfinite(y).all() and here.certain[0]:
            number, open_ = holding(self.case.unsafe, exact, y.tolist(), error.tolist())
        if number is not None:
            return Witness(x, y, tuple(exact), tuple(map(Fraction, y.tolist())), number)
        if not open_ or not exactly or self.network.products > _EXACT_LIMIT or self.network.smooth:
            return None
        outputs = outputs_exact(self.network, settled_exact(self.network, exact))
        number, _ = holding(self.case.unsafe, exact, outputs)
        return None if number is None else Witness(x, y, tuple(exact), tuple(outputs), number, "exact")

    def _allowed(self, x: list[Fraction], within: bool) -> bool:
        """Whether an input belongs to the case as written."""
        polytope, written = self.case.polytope, self.case.written
        if within:
            if written is None:
                return polytope.rows_hold(x)
            placed = self._inner[2]  # between ends, where there may be nothing
            return all(written.holds_within(i, x[i], x[i]) for i in placed) and written.rows_hold(x)
        ends = zip(x, polytope.box.lower.tolist(), polytope.box.upper.tolist(), strict=True)
        if not all(low <= v <= high for v, low, high in ends) or not polytope.rows_hold(x):
            return False
        return written is None or written.holds(x)


def shown_by(
    run: Callable[[FloatArray], FloatArray],
    network: Network,
    unsafe: tuple[Conjunction, ...],
    ordered: bool = False,
    exactly: bool = False,
) -> Confirm:
    """The test that a run shows a witness: its outputs satisfy the condition within the tolerance.

    Args:
        run: outputs of the original's file at points (k, input_size), by onnxruntime.
        network: the original.
        unsafe: the condition.
        ordered: whether its outputs have to satisfy the condition to the letter: where the question is about runs, and
            where what is run gives other numbers that stand in the order of the network's (a Softmax behind it).
        exactly: whether the numbers of the run have to be the witness: no tolerance, and an input of the file's types.
    """
    relaxed = [tuple(replace(row, bound=row.bound + TOLERANCE, strict=False) for row in rows) for rows in unsafe]

    def confirm(witness: Witness) -> Witness | None:
        if exactly and not (witness.as_floats and is_of_types(network, witness.x)):
            return None
        y = run(witness.x[None])[0]
        shown, none = y.tolist(), [0.0] * y.size
        if np.isfinite(y).all() and holding(unsafe, witness.inputs, shown, none)[0] is not None:
            return replace(witness, y=y, outputs=tuple(map(Fraction, shown)))
        if ordered or exactly or holding(relaxed, witness.inputs, shown, none)[0] is None:
            return None
        small = network.products <= _EXACT_LIMIT and not network.smooth
        return replace(
            witness,
            y=y,
            outputs=tuple(outputs_exact(network, settled_exact(network, witness.inputs))) if small else witness.outputs,
        )

    return confirm


def is_of_types(network: Network, x: FloatArray) -> bool:
    """Whether an input of the model (own_size,) has numbers of the types of its inputs only."""
    ends = np.cumsum([port.size for port in network.inputs])
    pairs = zip(np.split(x, ends[:-1]), network.inputs, strict=True)
    return all(np.array_equal(part, part.astype(port.element)) for part, port in pairs if part.size)


def _nearest(values: Sequence[Fraction]) -> FloatArray:
    """The nearest floats; nan for what is beyond their range."""
    return np.array([float(v) if abs(v) <= _LARGEST else np.nan for v in values])


def _above(values: Sequence[Fraction]) -> FloatArray:
    """Floats that are no smaller."""
    return np.array([float(v) * _ABOVE + 5e-324 if v else 0.0 for v in values])
