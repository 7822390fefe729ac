"""Which kept units of two normal forms mean the same, as far as their rows tell.  A heuristic: nothing rests on it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from eqverify.normal_form.form import NormalForm

_CLOSE = 0.5
"""Units are paired where their rows differ by less than this share of what they can amount to."""


_CANDIDATES = 4
"""For a unit of one network, so many units of the other are looked at: those with the closest rows."""


def match_units(f: NormalForm, g: NormalForm, close: float = _CLOSE, *, plain: bool = True) -> IntArray:
    """Pair units level by level: for a level of g, the later level of f that has the most units like its own.

    Rows of g are rewritten over f's columns through the pairs found so far, so that units match only where what they
    read does.

    Args:
        f: one network.
        g: the other.
        close: share of what rows can amount to by which those of pairs may differ.
        plain: whether kept units that are active are looked through: what one network reads from such a unit, the other
            may read from the inputs.

    Returns:
        (units of f,) the unit of g, -1 for none; levels are paired one to one and in order.
    """
    head = f.rows.shape[1] - len(f.rows)
    if plain:
        f, g = (replace(form, rows=_plain(form.rows, form.lower >= 0)) for form in (f, g))
    paired = np.full(len(f.rows), -1, dtype=np.int64)
    next_level = 0
    for level in np.unique(g.level).tolist():
        own = np.flatnonzero(g.level == level)
        translated, lost = _translate(f, g, own, paired, head)
        best: tuple[IntArray, IntArray] | None = None
        best_level = next_level
        for candidate in np.unique(f.level[f.level >= next_level]).tolist():
            units = np.flatnonzero(f.level == candidate)
            found = _pairs(f, units, own, translated, lost, close)
            if found[0].size and (best is None or found[0].size > best[0].size):
                best, best_level = found, candidate
        if best is not None:
            paired[best[0]] = best[1]
            next_level = best_level + 1
    return paired


def _plain(rows: FloatArray, active: BoolArray) -> FloatArray:
    """Rows (n, head + n) of units with those of active ones, (n,) bool, put in for their outputs."""
    rows, head = rows.copy(), rows.shape[1] - len(rows)
    for unit in np.flatnonzero(active).tolist():
        readers = np.flatnonzero(rows[:, head + unit])
        factor = rows[readers, head + unit]
        rows[readers, head + unit] = 0.0
        rows[readers] += factor[:, None] * rows[unit]
    return rows


def _translate(
    f: NormalForm, g: NormalForm, own: IntArray, paired: IntArray, head: int
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
    f: NormalForm, units: IntArray, own: IntArray, translated: FloatArray, lost: FloatArray, close: float
) -> tuple[IntArray, IntArray]:
    """Greedy pairs (units of f, units of g), the closest first, where closeness is Euclidean; the share decides."""
    weighted, others = f.rows[units] * f.magnitude, translated * f.magnitude
    square = (weighted**2).sum(axis=1)[None] + (others**2).sum(axis=1)[:, None] - 2 * others @ weighted.T
    size = np.abs(weighted).sum(axis=1)
    first, second = [], []
    free_f, free_g = np.ones(units.size, dtype=bool), np.ones(own.size, dtype=bool)
    near = np.argsort(square, axis=1, kind="stable")[:, :_CANDIDATES]
    order = np.argsort(np.take_along_axis(square, near, axis=1), axis=None, kind="stable")
    for place in order.tolist():
        row = place // near.shape[1]
        column = int(near.flat[place])
        if not (free_f[column] and free_g[row]):
            continue
        gap = np.abs(weighted[column] - others[row]).sum() + lost[row]
        if gap < close * size[column]:
            free_f[column] = free_g[row] = False
            first.append(int(units[column]))
            second.append(int(own[row]))
    return np.array(first, dtype=np.int64), np.array(second, dtype=np.int64)
