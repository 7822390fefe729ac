"""Which neighbouring levels share a layer of the sequential shape, so that it has as few carriers as possible.

Levels are the ReLU layers of the original, or the earliest ones that there can be (`NormalForm.earliest`).  Where
simplifications took away what made one level depend on the one before, both fit into one layer.  If levels a..b do, the
layer needs r(a, b) carriers: the rank of all rows after b over the columns before a.  That does not depend on how the
other levels are grouped, so the best grouping is a shortest path (statement C-2 in `specs/rewrites.md`).  A network
whose layers were split is grouped as it was before, or better.
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.normal_form.form import NormalForm
from eqverify.transform.carriers import RANK_TOLERANCE, columns_before
from eqverify.transform.realise import Element


def merge_levels(form: NormalForm, element: Element) -> NormalForm:
    """The same units on fewer levels where that needs no more carriers.

    Args:
        form: rows of units and outputs.
        element: the type the weights will be written in; it sets the tolerance of the numerical rank.
    """
    first = _first_mergeable(form)
    if all(start == index for index, start in enumerate(first)):
        return form
    # best[k]: fewest carriers, then fewest layers, of levels before k; begins[k]: where the last of those begins.
    best: list[tuple[int, int]] = [(0, 0)]
    begins = [0]
    costs = [_Carried(form, index, RANK_TOLERANCE[element]) for index in range(len(first))]
    involved = _involved(first)
    for last, start in enumerate(first):
        choices = []
        for begin in range(start, last + 1):
            carried = costs[begin].after(last) if involved[last] else 0
            choices.append((best[begin][0] + carried, best[begin][1] + 1, begin))
        carriers, layers, begin = min(choices)
        best.append((carriers, layers))
        begins.append(begin)
    merged, own = np.zeros(len(form), dtype=np.int64), form.levels()
    end = len(own)
    while end:
        merged[own[begins[end]][0] : own[end - 1][-1] + 1] = end
        end = begins[end]
    return form.with_levels(merged)


def _first_mergeable(form: NormalForm) -> list[int]:
    """By level, the first one that can share a layer with it: none of those between reads another."""
    first: list[int] = []
    levels = form.levels()
    for index, own in enumerate(levels):
        start = index
        while start > (first[-1] if first else 0) and not form.rows[own][:, form.columns[levels[start - 1]]].any():
            start -= 1
        first.append(start)
    return first


def _involved(first: list[int]) -> list[bool]:
    """By level, whether it could share a layer with a neighbour; carriers of others are the same in any grouping."""
    involved = [False] * len(first)
    for index, start in enumerate(first):
        if start < index:
            involved[start : index + 1] = [True] * (index + 1 - start)
    return involved


class _Carried:
    """How many carriers a layer needs that begins with one level: ranks of growing sets of rows, computed once."""

    def __init__(self, form: NormalForm, begin: int, tolerance: float) -> None:
        self._form, self._levels = form, form.levels()
        self._before = columns_before(form, self._levels[begin])
        self._tolerance = tolerance
        self._ranks: dict[int, int] = {}

    def after(self, last: int) -> int:
        """The rank of the rows after level `last` over the columns before the first level of the layer."""
        if not self._ranks:
            self._fill(last)
        return self._ranks[last]

    def _fill(self, stop: int) -> None:
        """Ranks for all ends from the last level back to `stop`, by orthogonalising block after block."""
        scale = self._form.basis.radius[self._before]
        span = np.zeros((0, self._before.size))
        later = [self._form.rows[own] for own in reversed(self._levels[stop + 1 :])]
        blocks = [block[:, self._before] * scale for block in (self._form.outputs, *later)]
        largest = max(float(np.linalg.norm(block, axis=1).max(initial=0.0)) for block in blocks)
        for offset, block in enumerate(blocks):
            span = _extended(span, block, self._tolerance * largest)
            self._ranks[len(self._levels) - 1 - offset] = len(span)


def _extended(span: FloatArray, rows: FloatArray, limit: float) -> FloatArray:
    """An orthonormal basis of the span of orthonormal rows and of others, short of pivots below `limit`."""
    if not rows.any():
        return span
    import scipy.linalg  # a fifth of a second at start-up

    for _ in range(2):  # twice is enough (Golub & Van Loan, section 5.2.8)
        rows = rows - (rows @ span.T) @ span
    factor, triangle, _ = scipy.linalg.qr(rows.T, mode="economic", pivoting=True)
    rank = int((np.abs(np.diag(triangle)) > limit).sum())
    return np.concatenate([span, factor[:, :rank].T])
