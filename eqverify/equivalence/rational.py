"""Networks in exact rational arithmetic: the rows of affine nodes."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from eqverify.network import Affine, Dense, LinearMap

SparseRow = dict[int, Fraction]
"""Column -> coefficient, without zeros."""


def exact_rows(linear: LinearMap) -> list[SparseRow]:
    """The matrix of a linear map as it is meant, row by row.

    Args:
        linear: shape (out, in), of any representation.

    Returns:
        `out` rows.  Unlike `LinearMap.dense`, quotients are not rounded.
    """
    if isinstance(linear, Dense):
        rows = linear.matrix.tolist()
        return [{column: Fraction(v) for column, v in enumerate(row) if v != 0.0} for row in rows]
    outputs, inputs = linear.shape
    result: list[SparseRow] = [{} for _ in range(outputs)]
    unit = np.array([Fraction(0)] * inputs, dtype=object)
    for column in range(inputs):
        unit[column] = Fraction(1)
        for row, value in enumerate(linear.forward_exact(unit)):
            if value:
                result[row][column] = value
        unit[column] = Fraction(0)
    return result


def affine_rows(node: Affine) -> list[tuple[dict[tuple[str, int], Fraction], Fraction]]:
    """What an affine node computes: per unit {(source, component): coefficient} and the constant.

    Terms that read one source are added up; coefficients that cancel are left out.
    """
    sums: list[dict[tuple[str, int], Fraction]] = [{} for _ in range(node.size)]
    for term in node.terms:
        for total, row in zip(sums, exact_rows(term.map), strict=True):
            for column, value in row.items():
                key = (term.source, column)
                total[key] = total.get(key, Fraction(0)) + value
    cleaned = [{key: value for key, value in total.items() if value} for total in sums]
    return list(zip(cleaned, exact_vector(node.bias.tolist()), strict=True))


def exact_vector(values: Sequence[float | int | Fraction]) -> list[Fraction]:
    """The numbers as they are stored, without rounding."""
    return [Fraction(value) for value in values]
