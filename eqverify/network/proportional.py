"""Which rows of numbers are exact multiples of earlier ones, and weights whose products with numbers are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray, IntArray

_SMALLEST_NORMAL = 2.0**-1022

_WINDOW = 2.0**-40
"""Rows with keys this close are compared; keys of exact multiples are some roundings apart."""


def proportional(rows: FloatArray) -> tuple[IntArray, list[Fraction]]:
    """By what factor rows are multiples of earlier ones, over the rationals.

    A row is scaled to a largest magnitude of 1; its key is the magnitude of its product with one random vector, by its
    length.  So multiples have keys that are roundings apart, and equal keys of other rows cost one comparison.

    Args:
        rows: (n, k), finite.

    Returns:
        (n,) the first row that each is a multiple of, itself where there is none before, -1 for a row of zeros; and
        the factors, not 0.
    """
    first, factors = np.arange(len(rows)), [Fraction(1)] * len(rows)
    largest = np.abs(rows).max(axis=1, initial=0.0)
    first[largest == 0] = -1
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        scaled = rows / np.where(largest > 0, largest, 1.0)[:, None]
        direction = np.random.default_rng(0).normal(size=rows.shape[1])
        keys = np.abs(scaled @ direction) / np.sqrt(np.square(scaled).sum(axis=1) + (largest == 0))
    order = np.argsort(keys, kind="stable")
    gaps = np.flatnonzero(np.diff(keys[order]) > _WINDOW) + 1
    for cluster in np.split(order, gaps):
        leaders: list[int] = []
        for row in sorted(cluster[largest[cluster] > 0].tolist()):
            for leader in leaders:
                factor = _multiple(rows[row], rows[leader])
                if factor is not None:
                    first[row], factors[row] = leader, factor
                    break
            else:
                leaders.append(row)
    return first, factors


def _multiple(row: FloatArray, other: FloatArray) -> Fraction | None:
    """The factor by which a row is another, which is not all zero; None where there is none."""
    for sign in (1, -1):
        if np.array_equal(row, sign * other):
            return Fraction(sign)
    used = np.flatnonzero(other)
    pivot = used[np.argmax(np.abs(other[used]))]
    factor = Fraction(float(row[pivot])) / Fraction(float(other[pivot]))
    if not factor or not np.array_equal(row != 0, other != 0):
        return None
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        far = np.abs(row - row[pivot] / other[pivot] * other) > 8 * 2.0**-53 * np.abs(row)
    normal = (np.abs(row) > _SMALLEST_NORMAL * 2) & (np.abs(other) > _SMALLEST_NORMAL * 2)
    if (far & normal).any():
        return None
    pairs = zip(row[used].tolist(), other[used].tolist(), strict=True)
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


def _significant_bits(values: FloatArray) -> int:
    """The largest number of significant bits of any of `values` (finite)."""
    nonzero = values[values != 0]
    if not nonzero.size:
        return 0
    mantissas = (np.abs(np.frexp(nonzero)[0]) * 2.0**53).astype(np.int64)
    lowest = mantissas & -mantissas
    return int(53 - np.log2(lowest.astype(np.float64)).min())
