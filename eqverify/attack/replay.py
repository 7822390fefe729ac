"""Replay of candidates: does a condition hold at an input, for certain, and does a run show it?

A candidate counts only if it satisfies the condition as written over the rationals, inputs and outputs, strict signs
included: by float64 values with bounded errors, or by rational arithmetic where those cannot tell.  `RuntimeCheck`
asks beside that for outputs of onnxruntime that satisfy it within the competition's tolerance.  The first alone would
report what no run of the network shows; the second alone what is not true of the network.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Generic, Literal, TypeVar

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.points import nearest_single
from eqverify.domain import Case, Conjunction
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs, outputs_exact

TOLERANCE = Fraction(1, 10**4)
"""The competition's absolute tolerance of a constraint at a counterexample (VNN-COMP 2023 rules)."""

_EXACT_LIMIT = 2_000_000
"""Networks with more products than this are not evaluated in rationals, which takes a microsecond per product."""

_EXACT_SECONDS = 1.0
"""When so much time has gone into points of a search, only what floats show counts: where a range ends at the limit,
every point looks as if it might hold, and is evaluated in rationals."""

_ABOVE = 1.0 + 2.0**-50

Values = tuple[Fraction, ...]
Shown = TypeVar("Shown")


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
class Found:
    """An input at which a disjunct of a case is proved to hold.

    Attributes:
        x: (input_size,) float64 next to `inputs`.
        inputs: (input_size,) exactly what was checked: the floats, where they satisfy the text.
        y: (output_size,) what float64 gives at `x`.
        disjunct: its number.
        confirmed: ``rounding``: float64 values beyond their proved errors; ``exact``: rational evaluation.
    """

    x: FloatArray
    inputs: Values
    y: FloatArray
    disjunct: int
    confirmed: Literal["rounding", "exact"]

    @property
    def as_floats(self) -> bool:
        """Whether the floats are what was checked."""
        return all(Fraction(v) == exact for v, exact in zip(self.x.tolist(), self.inputs, strict=True))


@dataclass(slots=True)
class _Candidate:
    """An input: floats, and the components that are meant to be other numbers next to them."""

    x: FloatArray
    other: dict[int, Fraction] = field(default_factory=dict)

    def exact(self) -> list[Fraction]:
        values = [Fraction(v) for v in self.x.tolist()]
        for i, value in self.other.items():
            values[i] = value
        return values

    def moved(self) -> FloatArray | None:
        """(1, input_size) how far the floats are from what is meant, rounded upwards."""
        if not self.other:
            return None
        distance = np.zeros((1, self.x.size))
        for i, value in self.other.items():
            distance[0, i] = float(abs(value - Fraction(float(self.x[i])))) * _ABOVE + 5e-324
        return distance


@dataclass(eq=False)
class Replay(Generic[Shown]):
    """Tries candidates for one case; keeps the first that holds.

    Attributes:
        network: where the case's condition is judged.
        case: inputs and condition.
        confirm: what is kept of a proved candidate; None where a further test fails, such as a run of onnxruntime.
        witness: what was kept of the first candidate that held.
        failures: candidates that hold, but failed the further test.
    """

    network: Network
    case: Case
    confirm: Callable[[Found], Shown | None]
    witness: Shown | None = None
    failures: int = 0
    _seconds: float = 0.0

    def __call__(self, points: FloatArray) -> bool:
        """Whether one of the points (k, input_size), moved into the inputs as written, is a witness."""
        for point in points:
            for candidate in self._variants(point):
                start = time.monotonic()
                if self._try(candidate, exactly=self._seconds < _EXACT_SECONDS):
                    return True
                self._seconds += time.monotonic() - start
        return False

    def inside(self, point: FloatArray) -> list[Fraction]:
        """The point (input_size,) moved within the bounds of the inputs as written."""
        return self._variants(point)[0].exact()

    def take(self, x: Sequence[Fraction]) -> bool:
        """Whether an exact input (input_size,), or floats next to it, is a witness."""
        point = np.array([_nearest(value) for value in x])
        if not np.isfinite(point).all():
            return False
        other = {i: v for i, v in enumerate(x) if v != Fraction(float(point[i]))}
        if any(self._try(candidate) for candidate in self._variants(point)):
            return True
        return self._try(_Candidate(point, other), within=False)

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
            lower[i] = upper[i] = _nearest(other[i])
        return lower, upper, other

    def _variants(self, point: FloatArray) -> list[_Candidate]:
        """The point moved into the inputs as written: in the network's own type, in float64, and to exact ends."""
        lower, upper, other = self._inner
        x = np.clip(point, lower, upper)
        variants = [_Candidate(x, other)]
        if all(port.element == "float32" for port in self.network.inputs):
            variants.insert(0, _Candidate(nearest_single(x, lower, upper), other))
        return variants + self._at_ends(point, variants[-1])

    def _at_ends(self, point: FloatArray, candidate: _Candidate) -> list[_Candidate]:
        """The candidate with components that were moved set to the ends as written, which are no floats."""
        written, (lower, upper, _) = self.case.written, self._inner
        if written is None or self.network.products > _EXACT_LIMIT:
            return []
        other = dict(candidate.other)
        for i in np.flatnonzero(((point <= lower) | (point >= upper)) & (lower < upper)).tolist():
            side = int(point[i] >= upper[i])
            if not written.strict_ends(i)[side] and written.interval(i)[side] != Fraction(float(candidate.x[i])):
                other[i] = written.interval(i)[side]
        return [_Candidate(candidate.x, other)] if len(other) > len(candidate.other) else []

    def _try(self, candidate: _Candidate, exactly: bool = True, *, within: bool = True) -> bool:
        """Whether a candidate is a witness.

        Args:
            candidate: the input.
            exactly: whether it is evaluated in rationals where float64 cannot tell.
            within: whether its components are known to be within the bounds.
        """
        if self.witness is not None:
            return True
        exact = candidate.exact()
        if not self._allowed(exact, within):
            return False
        found = self._prove(candidate, exact, exactly)
        if found is None:
            return False
        self.witness = self.confirm(found)
        self.failures += self.witness is None
        return self.witness is not None

    def _prove(self, candidate: _Candidate, exact: list[Fraction], exactly: bool) -> Found | None:
        """The disjunct that certainly holds there."""
        values = evaluate_nodes(self.network, candidate.x[None])
        errors = evaluation_error(self.network, values, moved=candidate.moved())
        y, error = (join_outputs(self.network, v)[0] for v in (values, errors))
        number, open_ = holding(self.case.unsafe, exact, y.tolist(), error.tolist())
        if number is not None:
            return Found(candidate.x, tuple(exact), y, number, "rounding")
        if not open_ or not exactly or self.network.products > _EXACT_LIMIT:
            return None
        number, _ = holding(self.case.unsafe, exact, outputs_exact(self.network, exact))
        return None if number is None else Found(candidate.x, tuple(exact), y, number, "exact")

    def _allowed(self, x: list[Fraction], within: bool) -> bool:
        """Whether an input belongs to the case as written."""
        polytope, written = self.case.polytope, self.case.written
        if within:
            return polytope.rows_hold(x) if written is None else written.rows_hold(x)
        ends = zip(x, polytope.box.lower.tolist(), polytope.box.upper.tolist(), strict=True)
        if not all(low <= v <= high for v, low, high in ends) or not polytope.rows_hold(x):
            return False
        return written is None or written.holds(x)


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """An input that satisfies a property.

    Attributes:
        x: (input_size,) float64 next to `inputs`.
        y: (output_size,) what onnxruntime computes there.
        inputs: (input_size,) exactly what was checked: the floats, where they satisfy the text.
        outputs: (output_size,) with `inputs` they satisfy the property to the letter: `y` where that does, else what
            the network computes, exactly or (for large networks) within its rounding error.
    """

    x: FloatArray
    y: FloatArray
    inputs: Values
    outputs: Values


@dataclass(frozen=True, slots=True, eq=False)
class RuntimeCheck:
    """Whether a run shows what is proved of a candidate.

    Attributes:
        network: the original.
        unsafe: the condition.
        run: outputs of the original's file at points (k, input_size), by onnxruntime.
        ordered: whether these are other numbers that stand in the order of the network's (a Softmax behind it): they
            then have to satisfy the condition to the letter.
    """

    network: Network
    unsafe: tuple[Conjunction, ...]
    run: Callable[[FloatArray], FloatArray]
    ordered: bool = False

    def __call__(self, found: Found) -> Witness | None:
        """The witness; None where onnxruntime's outputs do not satisfy the condition within the tolerance."""
        y = self.run(found.x[None])[0]
        shown, none = y.tolist(), [0.0] * y.size
        if np.isfinite(y).all() and holding(self.unsafe, found.inputs, shown, none)[0] is not None:
            return Witness(found.x, y, found.inputs, tuple(map(Fraction, shown)))
        if self.ordered or holding(self._relaxed, found.inputs, shown, none)[0] is None:
            return None
        small = self.network.products <= _EXACT_LIMIT
        outputs = outputs_exact(self.network, found.inputs) if small else [Fraction(v) for v in found.y.tolist()]
        return Witness(found.x, y, found.inputs, tuple(outputs))

    @property
    def _relaxed(self) -> list[Conjunction]:
        """The condition within the tolerance."""
        return [tuple(replace(row, bound=row.bound + TOLERANCE, strict=False) for row in rows) for rows in self.unsafe]


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("nan")
