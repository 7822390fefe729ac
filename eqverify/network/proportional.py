"""Which rows are exact multiples of earlier ones; products and sums that do not round."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray, IntArray

_SMALLEST_NORMAL = 2.0**-1022

_WINDOW = 2.0**-40
"""Rows with keys this close are compared; keys of exact multiples are some roundings apart."""


def proportional(parts: Sequence[FloatArray]) -> tuple[IntArray, list[Fraction]]:
    """By what factor rows are multiples of earlier ones, over the rationals.

    The key of a row is the magnitude of its product with one random vector, by its length.  So multiples have keys that
    are roundings apart, and equal keys of other rows cost one comparison.

    Args:
        parts: (n, k) each, finite: row i is the i-th rows of all, one after the other.

    Returns:
        (n,) the first row that each is a multiple of, itself where there is none before, -1 for a row of zeros; and
        the factors, not 0.
    """
    count = len(parts[0])
    first, factors = np.arange(count), [Fraction(1)] * count
    zero = ~np.logical_or.reduce([part.any(axis=1) for part in parts])
    first[zero] = -1
    keys = _keys(parts)
    order = np.flatnonzero(~zero)[np.argsort(keys[~zero], kind="stable")]
    gaps = np.flatnonzero(~(np.diff(keys[order]) <= _WINDOW)) + 1
    for cluster in np.split(order, gaps):
        if cluster.size < 2:
            continue
        rows = {row: np.concatenate([part[row] for part in parts]) for row in sorted(cluster.tolist())}
        leaders: list[int] = []
        for row, numbers in rows.items():
            found = ((leader, _multiple(numbers, rows[leader])) for leader in leaders)
            leader, factor = next(((k, factor) for k, factor in found if factor is not None), (row, Fraction(1)))
            first[row], factors[row] = leader, factor
            if leader == row:
                leaders.append(row)
    return first, factors


def _keys(parts: Sequence[FloatArray]) -> FloatArray:
    """(n,) numbers that are all but the same for rows that are multiples of each other."""
    random = np.random.default_rng(0)
    directions = [random.normal(size=part.shape[1]) for part in parts]

    def of(rows: Sequence[FloatArray]) -> FloatArray:
        sums = np.sum([part @ direction for part, direction in zip(rows, directions, strict=True)], axis=0)
        lengths = np.sum([np.einsum("ij,ij->i", part, part) for part in rows], axis=0)
        return np.asarray(np.abs(sums) / np.sqrt(lengths))

    largest = np.max([np.abs(part).max(axis=1, initial=0.0) for part in parts], axis=0)
    with np.errstate(all="ignore"):
        keys = of(parts)
        odd = np.flatnonzero((largest > 0) & ~((largest > 2.0**-400) & (largest < 2.0**400)))
        keys[odd] = of([part[odd] / largest[odd, None] for part in parts])
    return keys


def _multiple(row: FloatArray, other: FloatArray) -> Fraction | None:
    """The factor by which a row is another; None where there is none.  Neither is all zero."""
    for sign in (1, -1):
        if np.array_equal(row, sign * other):
            return Fraction(sign)
    used = np.flatnonzero(other)
    if not np.array_equal(used, np.flatnonzero(row)):
        return None
    row, other = row[used], other[used]
    pivot = int(np.argmax(np.abs(other)))
    with np.errstate(all="ignore"):
        close = np.abs(row - row[pivot] / other[pivot] * other) <= 2.0**-48 * np.abs(row)
    normal = np.minimum(np.abs(row), np.abs(other)) > 2.0**-960
    if (normal & ~close).any():
        return None
    factor = Fraction(float(row[pivot])) / Fraction(float(other[pivot]))
    pairs = zip(row.tolist(), other.tolist(), strict=True)
    return factor if all(Fraction(one) == factor * Fraction(two) for one, two in pairs) else None


def exact_product(values: FloatArray, factor: float) -> FloatArray | None:
    """`values` * `factor`, or None unless every product is a float64 without rounding.

    The test is sufficient, not necessary: the significant bits of both must fit into 53 together (a power of two
    needs none), and no product may overflow or be subnormal.
    """
    bits = (_significant_bits(values), _significant_bits(np.array([factor])))
    if min(bits) > 1 and sum(bits) > 53:
        return None
    with np.errstate(over="ignore", under="ignore"):
        products = values * factor
    magnitude = np.abs(products)
    lost = (magnitude < _SMALLEST_NORMAL) & (values != 0) & (factor != 0)
    return None if lost.any() or not np.isfinite(magnitude).all() else products


def exact_sum(values: FloatArray, others: FloatArray) -> FloatArray | None:
    """`values` + `others`, or None unless every sum is a float64 without rounding (TwoSum of Knuth and Moller)."""
    with np.errstate(over="ignore", invalid="ignore"):
        total = values + others
        part = total - values
        lost = (values - (total - part)) + (others - part)
    return total if np.isfinite(total).all() and not lost.any() else None


def _significant_bits(values: FloatArray) -> int:
    """The largest number of significant bits of any of `values` (finite)."""
    nonzero = values[values != 0]
    if not nonzero.size:
        return 0
    mantissas = (np.abs(np.frexp(nonzero)[0]) * 2.0**53).astype(np.int64)
    lowest = mantissas & -mantissas
    return int(53 - np.log2(lowest.astype(np.float64)).min())
