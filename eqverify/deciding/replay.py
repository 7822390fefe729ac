"""Replay of candidates on the original network: exactly, and with onnxruntime.

A candidate counts only if (1) its rational values satisfy the property as written, on the inputs' closed float64 box,
and (2) onnxruntime's outputs for it satisfy the property within the competition's tolerance.  (1) alone would report
what no run of the network shows; (2) alone what is not true of the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Case, Conjunction, HalfSpace
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs, outputs_exact

TOLERANCE = 1e-4
"""The competition's absolute tolerance of a constraint at a counterexample (VNN-COMP 2023 rules)."""

_EXACT_LIMIT = 200_000
"""Networks of so many weights are evaluated in rationals where float64 cannot tell."""


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """An input that satisfies a property.

    Attributes:
        x: (input_size,) float64; where the network's input is float32, numbers of that type if the box has any there.
        y: (output_size,) what onnxruntime computes.
    """

    x: FloatArray
    y: FloatArray


@dataclass(slots=True)
class Replayer:
    """Tries candidates for one case of a property; keeps the first that holds.

    Attributes:
        network: the original.
        case: inputs and condition.
        run: outputs of the original's file at points (k, input_size), by onnxruntime.
        witness: the first candidate that held.
    """

    network: Network
    case: Case
    run: Callable[[FloatArray], FloatArray]
    witness: Witness | None = field(default=None)

    def __call__(self, points: FloatArray) -> bool:
        """Whether one of the points (k, input_size) is a witness."""
        for point in points:
            for x in self._variants(point):
                if self.witness is None and self._holds(x):
                    y = self.run(x[None])[0]
                    if any(all(_nearly(row, x, y) for row in rows) for rows in self.case.unsafe):
                        self.witness = Witness(x, y)
        return self.witness is not None

    def _variants(self, point: FloatArray) -> list[FloatArray]:
        """The point in the network's own type, moved into the box; then the point itself."""
        box = self.case.polytope.box
        x = np.clip(point, box.lower, box.upper)
        variants = []
        if all(port.element == "float32" for port in self.network.inputs):
            near = x.astype(np.float32)
            near = np.where(near < box.lower, np.nextafter(near, np.float32(np.inf)), near)
            near = np.where(near > box.upper, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float64)
            variants.append(np.where((near >= box.lower) & (near <= box.upper), near, x))
        return [*variants, x]

    def _holds(self, x: FloatArray) -> bool:
        """Whether the property holds there over the reals, beyond doubt."""
        if not self.case.polytope.contains(x[None])[0]:
            return False
        values = evaluate_nodes(self.network, x[None])
        errors = join_outputs(self.network, evaluation_error(self.network, values))[0]
        y = join_outputs(self.network, values)[0]
        exact_x = [Fraction(v) for v in x.tolist()]
        answers = [_judge(rows, exact_x, y, errors) for rows in self.case.unsafe]
        if True in answers or None not in answers or self.network.parameter_count > _EXACT_LIMIT:
            return True in answers
        exact = outputs_exact(self.network, exact_x)
        return any(all(row.holds(exact_x, exact) for row in rows) for rows in self.case.unsafe)


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


def _nearly(row: HalfSpace, x: FloatArray, y: FloatArray) -> bool:
    """Whether a row holds at onnxruntime's outputs within the tolerance."""
    value = sum(float(c) * float(y[j]) for j, c in row.outputs.items())
    value += sum(float(c) * float(x[i]) for i, c in row.inputs.items())
    return value <= float(row.bound) + TOLERANCE
