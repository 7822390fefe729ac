"""What is asked about two networks: disjuncts of rows over the inputs and both outputs.

A *difference* is an input of the domain at which all rows of some disjunct are positive (or zero, where equality
counts).  `epsilon_goals` and `top1_goals` write the two usual questions in this form; a query of two networks is in it
already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.domain import Conjunction, HalfSpace
from eqverify.numerals import round_up

_LARGEST = 1000
"""Numbers of rows stay below about 2 to this power."""


@dataclass(frozen=True, slots=True, eq=False)
class PairGoals:
    """Disjuncts over the inputs x and the outputs (f, g), as float rows  v = rows . (x, f, g) + constant.

    A disjunct is *refuted* on a set where some row of it has v < 0 everywhere (v <= 0 if the row is strict); one that
    holds always has the row v = 1.  A row of
    a disjunct may also be the sum of two of its rows: where f's part of one is the opposite of g's part of the other,
    the sum is about differences f - g, which differential bounds know best (specs/equivalence.md, E-5).

    Attributes:
        exact: the disjuncts as they are meant; outputs are numbered f's first.
        rows: (r, input_size + outputs of f + outputs of g), each entry within one rounding of what is meant.
        constant: (r,) rounded upwards.
        rounded: (r,) whether an entry of `rows` is not what is meant.
        strict: (r,) whether v = 0 does not belong to the disjunct.
        disjunct: (r,) which disjunct a row belongs to.
        sizes: input_size, outputs of f, outputs of g.
        epsilon: where the goals are those of `epsilon_goals`, its epsilon per output, exact; else None.
    """

    exact: tuple[Conjunction, ...]
    rows: FloatArray
    constant: FloatArray
    rounded: BoolArray
    strict: BoolArray
    disjunct: IntArray
    sizes: tuple[int, int, int]
    epsilon: tuple[Fraction, ...] | None = None

    def __len__(self) -> int:
        return len(self.exact)

    def refuted(self, upper: FloatArray) -> BoolArray:
        """(boxes, disjuncts) bool: which disjuncts proved upper bounds (boxes, r) of the rows exclude."""
        gone = (upper < 0) | ((upper <= 0) & self.strict)
        result = np.zeros((len(upper), len(self)), dtype=bool)
        for row, k in enumerate(self.disjunct.tolist()):
            result[:, k] |= gone[:, row]
        return result

    def least(self, values: FloatArray) -> FloatArray:
        """(boxes, disjuncts) the smallest value (boxes, r) of each disjunct's rows."""
        result = np.full((len(values), len(self)), np.inf)
        for row, k in enumerate(self.disjunct.tolist()):
            result[:, k] = np.minimum(result[:, k], values[:, row])
        return result


def epsilon_goals(inputs: int, outputs: int, epsilon: float | Fraction | Sequence[float | Fraction]) -> PairGoals:
    """A difference is |f_i - g_i| > epsilon_i for some output i; disjunct 2 i is f_i above g_i, 2 i + 1 below.

    Args:
        inputs: number of inputs.
        outputs: number of outputs of each network.
        epsilon: finite, not negative; one number, or one per output.  A float is the rational that it is.
    """
    one = Fraction(1)
    given = (epsilon,) * outputs if isinstance(epsilon, int | float | Fraction) else epsilon
    each = tuple(Fraction(allowed) for allowed in given)
    disjuncts = [
        (HalfSpace({}, {i: -sign * one, outputs + i: sign * one}, -allowed, True),)
        for i, allowed in enumerate(each)
        for sign in (1, -1)
    ]
    return replace(make_goals(tuple(disjuncts), (inputs, outputs, outputs)), epsilon=each)


def top1_goals(inputs: int, outputs: int) -> PairGoals:
    """A difference is a pair of outputs i, j with i largest for f, j largest for g, f_i > f_j and g_j > g_i.

    So a tie between i and j in either network counts as agreement.

    Args:
        inputs: number of inputs.
        outputs: number of outputs of each network.
    """
    one = Fraction(1)

    def ahead(winner: int, other: int, start: int, strict: bool) -> HalfSpace:
        return HalfSpace({}, {start + other: one, start + winner: -one}, Fraction(0), strict)

    disjuncts = []
    for i in range(outputs):
        for j in range(outputs):
            if i != j:
                first = [ahead(i, k, 0, k == j) for k in range(outputs) if k != i]
                second = [ahead(j, k, outputs, k == i) for k in range(outputs) if k != j]
                disjuncts.append((*first, *second))
    return make_goals(tuple(disjuncts), (inputs, outputs, outputs))


def make_goals(disjuncts: tuple[Conjunction, ...], sizes: tuple[int, int, int]) -> PairGoals:
    """Goals from exact disjuncts.

    Args:
        disjuncts: half-spaces over the inputs and the outputs of f, then of g.
        sizes: input_size, outputs of f, outputs of g.
    """
    found = [(k, row) for k, conjunction in enumerate(disjuncts) for row in _disjunct_rows(conjunction, sizes)]
    return PairGoals(
        disjuncts,
        np.array([row.entries for _, row in found], dtype=np.float64).reshape(-1, sum(sizes)),
        np.array([row.constant for _, row in found], dtype=np.float64),
        np.array([row.rounded for _, row in found], dtype=bool),
        np.array([row.strict for _, row in found], dtype=bool),
        np.array([k for k, _ in found], dtype=np.int64),
        sizes,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    """A row  v = entries . (x, f, g) + constant  of a disjunct, as `PairGoals` has them below each other."""

    entries: FloatArray
    constant: float
    rounded: bool
    strict: bool


def _disjunct_rows(conjunction: Conjunction, sizes: tuple[int, int, int]) -> list[_Row]:
    if not conjunction:
        return [_Row(np.zeros(sum(sizes)), 1.0, False, False)]
    rows = [_row(half, sizes) for half in conjunction]
    return rows + _opposites(rows, sizes)


def _row(half: HalfSpace, sizes: tuple[int, int, int]) -> _Row:
    row = np.zeros(sum(sizes))
    meant = [(i, -value) for i, value in half.inputs.items()]
    meant += [(sizes[0] + i, -value) for i, value in half.outputs.items()]
    scale = _scale([half.bound, *(value for _, value in meant)])
    for i, value in meant:
        row[i] = float(value * scale)
    rounded = any(Fraction(float(row[i])) != value * scale for i, value in meant)
    return _Row(row, round_up(half.bound * scale), rounded, half.strict)


def _scale(values: Sequence[Fraction]) -> Fraction:
    """1, or the power of two that brings numbers that are too large for floats into their range."""
    largest = max(map(abs, values))
    excess = largest.numerator.bit_length() - largest.denominator.bit_length() - _LARGEST
    return Fraction(1, 1 << excess) if excess > 0 else Fraction(1)


def _opposites(found: list[_Row], sizes: tuple[int, int, int]) -> list[_Row]:
    """Sums of a row on f alone and a row on g alone with opposite coefficients."""
    inputs, first, second = sizes
    if first != second or len(found) < 2:
        return []
    sums = []
    for one in found:
        for other in found:
            f_part, g_part = one.entries[inputs : inputs + first], other.entries[inputs + first :]
            rest = np.concatenate(
                [one.entries[:inputs], one.entries[inputs + first :], other.entries[: inputs + first]]
            )
            if f_part.any() and not rest.any() and np.array_equal(f_part, -g_part):
                total = one.constant + other.constant
                constant = float(np.nextafter(total, np.inf)) if one.constant or other.constant else 0.0
                rounded, strict = one.rounded or other.rounded, one.strict or other.strict
                sums.append(_Row(one.entries + other.entries, constant, rounded, strict))
    return sums
