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
from eqverify.network import Network, outputs_exact


@dataclass(frozen=True, slots=True, eq=False)
class PairGoals:
    """Disjuncts over the inputs x and the outputs (f, g), as float rows  v = rows . (x, f, g) + constant.

    A disjunct is *refuted* on a set where some row of it has v < 0 everywhere (v <= 0 if the row is strict).  A row of
    a disjunct may also be the sum of two of its rows: where f's part of one is the opposite of g's part of the other,
    the sum is about differences f - g, which differential bounds know best (specs/equivalence.md, E-5).

    Attributes:
        exact: the disjuncts as they are meant; outputs are numbered f's first.
        rows: (r, input_size + outputs of f + outputs of g), each entry within one rounding of what is meant.
        constant: (r,) rounded upwards.
        strict: (r,) whether v = 0 does not belong to the disjunct.
        disjunct: (r,) which disjunct a row belongs to.
        sizes: input_size, outputs of f, outputs of g.
        epsilon: where the goals are those of `epsilon_goals`, its epsilon; else None.
    """

    exact: tuple[Conjunction, ...]
    rows: FloatArray
    constant: FloatArray
    strict: BoolArray
    disjunct: IntArray
    sizes: tuple[int, int, int]
    epsilon: float | None = None

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

    def shown(self, x: FloatArray, f: FloatArray, g: FloatArray) -> bool:
        """Whether a disjunct seems to hold for an input and outputs as they are, by float64 arithmetic."""
        values = self.rows @ np.concatenate([x, f, g]) + self.constant
        return bool((~self.refuted(values[None])).any())

    def holds_exactly(self, f: Network, g: Network, x: Sequence[Fraction]) -> int | None:
        """The first disjunct that holds at x, by rational evaluation of both networks; None if none does."""
        outputs = [*outputs_exact(f, x), *outputs_exact(g, x)]
        for k, conjunction in enumerate(self.exact):
            if all(row.holds(list(x), outputs) for row in conjunction):
                return k
        return None


def epsilon_goals(inputs: int, outputs: int, epsilon: float) -> PairGoals:
    """A difference is |f_i - g_i| > epsilon for some output i; disjunct 2 i is f_i above g_i, 2 i + 1 below.

    Args:
        inputs: number of inputs.
        outputs: number of outputs of each network.
        epsilon: finite, not negative.
    """
    one = Fraction(1)
    disjuncts = [
        (HalfSpace({}, {i: -sign * one, outputs + i: sign * one}, -Fraction(epsilon), True),)
        for i in range(outputs)
        for sign in (1, -1)
    ]
    return replace(make_goals(tuple(disjuncts), (inputs, outputs, outputs)), epsilon=epsilon)


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
    rows: list[FloatArray] = []
    constants: list[float] = []
    strict: list[bool] = []
    disjunct: list[int] = []
    for k, conjunction in enumerate(disjuncts):
        found = [(_row(half, sizes), _upwards(half.bound), half.strict) for half in conjunction]
        found += _opposites(found, sizes)
        for row, constant, is_strict in found:
            rows.append(row)
            constants.append(constant)
            strict.append(is_strict)
            disjunct.append(k)
    return PairGoals(
        disjuncts,
        np.array(rows, dtype=np.float64).reshape(-1, sum(sizes)),
        np.array(constants, dtype=np.float64),
        np.array(strict, dtype=bool),
        np.array(disjunct, dtype=np.int64),
        sizes,
    )


def _row(half: HalfSpace, sizes: tuple[int, int, int]) -> FloatArray:
    row = np.zeros(sum(sizes))
    for i, value in half.inputs.items():
        row[i] = -float(value)
    for i, value in half.outputs.items():
        row[sizes[0] + i] = -float(value)
    return row


def _upwards(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else float(np.nextafter(nearest, np.inf))


_Found = tuple[FloatArray, float, bool]


def _opposites(found: list[_Found], sizes: tuple[int, int, int]) -> list[_Found]:
    """Sums of a row on f alone and a row on g alone with opposite coefficients."""
    inputs, first, second = sizes
    if first != second or len(found) < 2:
        return []
    sums = []
    for one in found:
        for other in found:
            f_part, g_part = one[0][inputs : inputs + first], other[0][inputs + first :]
            rest = np.concatenate([one[0][:inputs], one[0][inputs + first :], other[0][: inputs + first]])
            if f_part.any() and not rest.any() and np.array_equal(f_part, -g_part):
                constant = float(np.nextafter(one[1] + other[1], np.inf)) if one[1] or other[1] else 0.0
                sums.append((one[0] + other[0], constant, one[2] or other[2]))
    return sums
