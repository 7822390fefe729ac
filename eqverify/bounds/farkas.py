"""Proofs in rational arithmetic where rounding hides the answer: Farkas' lemma with exact multipliers."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

Row = Sequence[Fraction]
"""Coefficients of the free inputs, then the constant: the affine function  row[:n] . x + row[n]."""


def never_positive(target: Row, constraints: Sequence[Row]) -> bool:
    """Whether multipliers prove  target <= 0  wherever all constraints are >= 0  (specs/regions.md, N-2).

    They are the solution y of  sum_k y_k constraint_k = -target  in the coefficients of the inputs; y >= 0 and
    target + sum_k y_k constraint_k <= 0, which is a constant then, is a proof (Farkas).

    Args:
        target: the function.
        constraints: those that a solver names; nothing is believed.
    """
    bound = largest(target, constraints)
    return bound is not None and bound <= 0


def largest(target: Row, constraints: Sequence[Row]) -> Fraction | None:
    """A proved upper bound of a function wherever all constraints are >= 0; None where these multipliers prove none."""
    multipliers = combination(target, constraints)
    if multipliers is None or any(y < 0 for y in multipliers):
        return None
    return target[-1] + sum((y * row[-1] for y, row in zip(multipliers, constraints, strict=True)), Fraction(0))


def combination(target: Row, constraints: Sequence[Row]) -> list[Fraction] | None:
    """y of any signs with  sum_k y_k constraint_k = -target  in the coefficients of the inputs; None for none."""
    return _combination([-c for c in target[:-1]], [row[:-1] for row in constraints])


def value_at(row: Row, point: Sequence[float]) -> Fraction:
    """The exact value of an affine function."""
    return sum((c * Fraction(x) for c, x in zip(row[:-1], point, strict=True)), row[-1])


def _combination(target: list[Fraction], vectors: list[Row]) -> list[Fraction] | None:
    """y with  sum_k y_k vectors_k = target, by elimination; free unknowns are 0; None if there is none."""
    count = len(vectors)
    system = [[vector[i] for vector in vectors] + [target[i]] for i in range(len(target))]
    pivots: list[int] = []
    for column in range(count):
        row = len(pivots)
        lead = next((i for i in range(row, len(system)) if system[i][column]), None)
        if lead is None:
            continue
        system[row], system[lead] = system[lead], system[row]
        head = system[row][column]
        system[row] = [v / head for v in system[row]]
        for i, other in enumerate(system):
            if i != row and other[column]:
                factor = other[column]
                system[i] = [a - factor * b for a, b in zip(other, system[row], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in system[len(pivots) :]):
        return None
    solution = [Fraction(0)] * count
    for index, column in enumerate(pivots):
        solution[column] = system[index][-1]
    return solution
