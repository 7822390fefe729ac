"""Linear constraints on inputs and outputs in float64: what property-directed mode may assume."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, frozen
from eqverify.domain.condition import Conjunction, HalfSpace
from eqverify.errors import InputError
from eqverify.numerals import nearest_float, round_up


@dataclass(frozen=True, slots=True, eq=False)
class Assumption:
    """The constraints  outputs y + inputs x <= bound  on inputs x and outputs y = f(x).

    Attributes:
        outputs: (k, output_size) float64.
        inputs: (k, input_size) float64.
        bound: (k,) float64.  Whoever makes it from exact rows moves it outwards by the rounding of row and bound.
    """

    outputs: FloatArray
    inputs: FloatArray
    bound: FloatArray

    def __post_init__(self) -> None:
        for name in ("outputs", "inputs", "bound"):
            object.__setattr__(self, name, frozen(getattr(self, name)))
        count = self.bound.size
        shapes = self.outputs.shape[:1] == self.inputs.shape[:1] == self.bound.shape == (count,)
        if not shapes or self.outputs.ndim != 2 or self.inputs.ndim != 2:
            raise InputError(
                "domain/shape", "an assumption needs as many rows on outputs and on inputs as bounds", value=count
            )
        if not all(np.isfinite(array).all() for array in (self.outputs, self.inputs, self.bound)):
            raise InputError("domain/not-finite", "an assumed constraint has a coefficient that is not finite")

    def __len__(self) -> int:
        return int(self.bound.size)

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the exact float64 rows, in order."""
        state = hashlib.sha256(b"eqverify-assumption-1")
        for array in (self.outputs, self.inputs, self.bound):
            state.update(repr(array.shape).encode())
            state.update(np.ascontiguousarray(array + 0.0, dtype="<f8").tobytes())
        return state.hexdigest()

    def with_inputs(self, matrix: FloatArray, bound: FloatArray) -> Assumption:
        """These constraints and  matrix x <= bound  on the inputs, (m, input_size) and (m,)."""
        return Assumption(
            np.concatenate([self.outputs, np.zeros((bound.size, self.outputs.shape[1]))]),
            np.concatenate([self.inputs, matrix]),
            np.concatenate([self.bound, bound]),
        )


def assumed_inputs(matrix: FloatArray, bound: FloatArray, outputs: int) -> Assumption:
    """The constraints  matrix x <= bound  on inputs, (k, input_size) and (k,), of a network with so many outputs."""
    return Assumption(np.zeros((bound.size, outputs)), matrix, bound)


def assume(rows: Sequence[HalfSpace], inputs: FloatArray, outputs: FloatArray) -> Assumption:
    """Exact constraints as float64 rows that follow from them; strict ones count as not strict.

    A coefficient c is rounded to the nearest float c'; the bound grows by |c' - c| times the largest value, exactly
    (statement S-3).  A row whose coefficients or bound are no finite floats, or whose rounding cannot be bounded, is
    left out.

    Args:
        rows: the constraints.
        inputs: (input_size,) bounds on |x| over the domain.
        outputs: (output_size,) proved bounds on |y|; infinite where there are none.
    """
    size = len(rows)
    on_outputs, on_inputs, bound = np.zeros((size, outputs.size)), np.zeros((size, inputs.size)), np.full(size, np.inf)
    for k, row in enumerate(rows):
        exact: Fraction | float = row.bound
        for target, coefficients, reach in ((on_outputs, row.outputs, outputs), (on_inputs, row.inputs, inputs)):
            for index, coefficient in coefficients.items():
                target[k, index] = nearest_float(coefficient)
                exact = _raised(exact, target[k, index], coefficient, reach[index])
        bound[k] = _up(exact)
    usable = np.isfinite(bound) & np.isfinite(on_outputs).all(axis=1) & np.isfinite(on_inputs).all(axis=1)
    return Assumption(on_outputs[usable], on_inputs[usable], bound[usable])


def condition_rows(
    disjuncts: Sequence[Conjunction], inputs: FloatArray, outputs: FloatArray
) -> tuple[Assumption, BoolArray]:
    """The rows of all disjuncts as `assume` makes them, each once in order of first occurrence, and whose they are.

    A row that has no float form is 0 <= 1, and so is the only one where there are no others.

    Args:
        disjuncts: exact rows.
        inputs, outputs: as for `assume`.

    Returns:
        The rows, and (disjuncts, rows) bool: which rows each disjunct has.
    """
    places = row_numbers(disjuncts)
    pairs = [pair for own, rows in zip(places, disjuncts, strict=True) for pair in zip(own, rows, strict=True)]
    exact = dict(pairs)
    always = Assumption(np.zeros((1, outputs.size)), np.zeros((1, inputs.size)), np.ones(1))
    found = [assume([exact[number]], inputs, outputs) for number in range(len(exact))]
    each = [one if len(one) else always for one in found] or [always]
    members = np.zeros((len(places), len(each)), dtype=bool)
    for disjunct, own in enumerate(places):
        members[disjunct, own] = True
    parts = zip(*((one.outputs, one.inputs, one.bound) for one in each), strict=True)
    return Assumption(*map(np.concatenate, parts)), members


def row_numbers(disjuncts: Sequence[Conjunction]) -> list[list[int]]:
    """For each row of each disjunct, its number among all rows of `condition_rows`."""
    number: dict[object, int] = {}
    return [[number.setdefault(_key(row), len(number)) for row in rows] for rows in disjuncts]


def _key(row: HalfSpace) -> object:
    """Equal for rows that say the same in the same numbers; strict or not, their float rows are one."""
    return tuple(sorted(row.inputs.items())), tuple(sorted(row.outputs.items())), row.bound


def _raised(bound: Fraction | float, rounded: float, exact: Fraction, reach: float) -> Fraction | float:
    """The bound plus |rounded - exact| * reach, exactly; infinite where that is no number."""
    if not isinstance(bound, Fraction) or not np.isfinite(rounded):
        return np.inf
    lost = abs(Fraction(rounded) - exact)
    if not lost:
        return bound
    return bound + lost * Fraction(float(reach)) if np.isfinite(reach) else np.inf


def _up(value: Fraction | float) -> float:
    """The smallest float64 at least `value`; infinite above (and below) the finite range."""
    if not isinstance(value, Fraction) or not np.isfinite(nearest_float(value)):
        return np.inf
    return round_up(value)
