"""Replay of candidates on the original network: exactly, and with onnxruntime.

A candidate counts only if (1) it satisfies the property as written over the rationals, inputs and outputs, strict signs
included, and (2) onnxruntime's outputs for the floats next to it satisfy the condition within the competition's
tolerance.  (1) alone would report what no run of the network shows; (2) alone what is not true of the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Case, Conjunction, HalfSpace
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs, outputs_exact

TOLERANCE = 1e-4
"""The competition's absolute tolerance of a constraint at a counterexample (VNN-COMP 2023 rules)."""

_EXACT_LIMIT = 200_000
"""Networks of so many weights are evaluated in rationals where float64 cannot tell."""

_EXACT_SECONDS = 1.0
"""When so much time has gone into points of a search, only what floats show counts: where a range ends at the limit,
every point looks as if it might hold, and is evaluated in rationals."""

_ABOVE = 1.0 + 2.0**-50

Values = tuple[Fraction, ...]


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
class Replayer:
    """Tries candidates for one case of a property; keeps the first that holds.

    Attributes:
        network: the original.
        case: inputs and condition.
        run: outputs of the original's file at points (k, input_size), by onnxruntime.
        ordered: whether these are other numbers that stand in the order of the network's (a Softmax behind it): they
            then have to satisfy the condition to the letter.
        witness: the first candidate that held.
        unshown: candidates that hold over the rationals, but not in onnxruntime.
    """

    network: Network
    case: Case
    run: Callable[[FloatArray], FloatArray]
    ordered: bool = False
    witness: Witness | None = None
    unshown: int = 0
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
        variants = []
        if all(port.element == "float32" for port in self.network.inputs):
            with np.errstate(over="ignore"):
                near = x.astype(np.float32)
                near = np.where(near < lower, np.nextafter(near, np.float32(np.inf)), near)
                near = np.where(near > upper, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
            variants.append(_Candidate(np.where((near >= lower) & (near <= upper), near, x), other))
        variants.append(_Candidate(x, other))
        return variants + self._at_ends(point, variants[-1])

    def _at_ends(self, point: FloatArray, candidate: _Candidate) -> list[_Candidate]:
        """The candidate with components that were moved set to the ends as written, which are no floats."""
        written, (lower, upper, _) = self.case.written, self._inner
        if written is None or self.network.parameter_count > _EXACT_LIMIT:
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
        values = evaluate_nodes(self.network, candidate.x[None])
        errors = evaluation_error(self.network, values, moved=candidate.moved())
        y, error = (join_outputs(self.network, v)[0] for v in (values, errors))
        answers = [_judge(rows, exact, y, error) for rows in self.case.unsafe]
        small = self.network.parameter_count <= _EXACT_LIMIT
        open_ = True not in answers and None in answers and small and exactly
        if not (self._met(exact, outputs_exact(self.network, exact)) if open_ else True in answers):
            return False
        shown = self.run(candidate.x[None])[0]
        finite = bool(np.isfinite(shown).all())
        outputs = [Fraction(v) for v in shown.tolist()] if finite else []
        met = finite and self._met(exact, outputs)
        if not met and (self.ordered or not self._nearly_met(exact, shown)):
            self.unshown += 1
            return False
        if not met:
            outputs = outputs_exact(self.network, exact) if small else [Fraction(v) for v in y.tolist()]
        self.witness = Witness(candidate.x, shown, tuple(exact), tuple(outputs))
        return True

    def _allowed(self, x: list[Fraction], within: bool) -> bool:
        """Whether an input belongs to the case as written."""
        polytope, written = self.case.polytope, self.case.written
        if within:
            return polytope.rows_hold(x) if written is None else written.rows_hold(x)
        ends = zip(x, polytope.box.lower.tolist(), polytope.box.upper.tolist(), strict=True)
        if not all(low <= v <= high for v, low, high in ends) or not polytope.rows_hold(x):
            return False
        return written is None or written.holds(x)

    def _nearly_met(self, x: list[Fraction], y: FloatArray) -> bool:
        """Whether a disjunct holds within the tolerance at what onnxruntime computes."""
        return any(all(_nearly(row, x, y) for row in rows) for rows in self.case.unsafe)

    def _met(self, x: list[Fraction], y: list[Fraction]) -> bool:
        """Whether a disjunct holds at exact values."""
        return any(all(row.holds(x, y) for row in rows) for rows in self.case.unsafe)


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("nan")


def _judge(rows: Conjunction, x: list[Fraction], y: FloatArray, errors: FloatArray) -> bool | None:
    """Whether all rows hold for every output within `errors` of `y`; None where that is open, False where one fails."""
    if not np.isfinite(errors).all() or not np.isfinite(y).all():
        return None
    middle = {j: Fraction(float(y[j])) for row in rows for j in row.outputs}
    answers = []
    for row in rows:
        spread = sum((abs(c) * Fraction(float(errors[j])) for j, c in row.outputs.items()), Fraction(0))
        value = sum((c * middle[j] for j, c in row.outputs.items()), Fraction(0))
        value += sum((c * x[i] for i, c in row.inputs.items()), Fraction(0))
        if value - spread > row.bound:
            return False
        answers.append(value + spread < row.bound or (value + spread == row.bound and not row.strict))
    return True if all(answers) else None


def _nearly(row: HalfSpace, x: list[Fraction], y: FloatArray) -> bool:
    """Whether a row holds at onnxruntime's outputs within the tolerance."""
    if not np.isfinite([y[j] for j in row.outputs]).all():
        return False
    value = sum((c * Fraction(float(y[j])) for j, c in row.outputs.items()), Fraction(0))
    value += sum((c * x[i] for i, c in row.inputs.items()), Fraction(0))
    return value <= row.bound + Fraction(TOLERANCE)
