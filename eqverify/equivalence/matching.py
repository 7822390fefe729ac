"""Which kept units of two normal forms mean the same, as far as their rows tell.  A heuristic: nothing rests on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import FloatArray, IntArray

if TYPE_CHECKING:
    from eqverify.equivalence.joint import NormalRows

_CLOSE = 0.5
"""Units are paired where their rows differ by less than this share of what they can amount to."""


def match_units(f: NormalRows, g: NormalRows) -> IntArray:
    """Pair units level by level: for a level of g, the later level of f that has the most units like its own.

    Rows of g are rewritten over f's columns through the pairs found so far, so that units match only where what they
    read does.

    Returns:
        (units of f,) the unit of g, -1 for none; levels are paired one to one and in order.
    """
    head = f.rows.shape[1] - len(f.rows)
    paired = np.full(len(f.rows), -1, dtype=np.int64)
    next_level = 0
    for level in np.unique(g.level).tolist():
        own = np.flatnonzero(g.level == level)
        translated, lost = _translate(f, g, own, paired, head)
        best: tuple[IntArray, IntArray] | None = None
        best_level = next_level
        for candidate in np.unique(f.level[f.level >= next_level]).tolist():
            units = np.flatnonzero(f.level == candidate)
            found = _pairs(f, units, own, translated, lost)
            if found[0].size and (best is None or found[0].size > best[0].size):
                best, best_level = found, candidate
        if best is not None:
            paired[best[0]] = best[1]
            next_level = best_level + 1
    return paired


def _translate(
    f: NormalRows, g: NormalRows, own: IntArray, paired: IntArray, head: int
) -> tuple[FloatArray, FloatArray]:
    """Rows of g over f's columns, and what the columns without partner can amount to."""
    rows = np.zeros((own.size, f.rows.shape[1]))
    rows[:, :head] = g.rows[own, :head]
    known = np.flatnonzero(paired >= 0)
    rows[:, head + known] = g.rows[own][:, head + paired[known]]
    lost = np.ones(g.rows.shape[1], dtype=bool)
    lost[:head] = False
    lost[head + paired[known]] = False
    return rows, np.abs(g.rows[own][:, lost]) @ g.magnitude[lost]


def _pairs(
    f: NormalRows, units: IntArray, own: IntArray, translated: FloatArray, lost: FloatArray
) -> tuple[IntArray, IntArray]:
    """Greedy pairs (units of f, units of g), the closest first."""
    size = np.abs(f.rows[units]) @ f.magnitude
    gap = np.stack(
        [np.abs(f.rows[units] - row) @ f.magnitude + more for row, more in zip(translated, lost, strict=True)]
    )
    share = gap / np.maximum(size, 1e-300)[None]
    first, second = [], []
    for flat in np.argsort(share, axis=None, kind="stable").tolist():
        row, column = divmod(flat, units.size)
        if share[row, column] >= _CLOSE:
            break
        if units[column] not in first and own[row] not in second:
            first.append(int(units[column]))
            second.append(int(own[row]))
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
