"""Functions of one number with pieces: what comparisons, and choices by them, compute in one component.

All is exact: rows have rational coefficients.  Nothing here knows ONNX.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Key = tuple[str, int]
"""A component of a network node or input: its name and flat index."""

ONE: Key = ("", -1)
"""The key of a row's constant."""

Row = Mapping[Key, Fraction]
"""A sum of components with coefficients other than 0."""


class UnevenError(Exception):
    """What is computed is not a function of one guard with pieces."""


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A function that is one thing below, at and above each of finitely many values of a guard.

    Attributes:
        guard: a row without constant; empty where there are no cuts.
        cuts: the values, ascending.
        cells: what it is below the first, at it, above it and below the second, ...: rows, or truth values.
    """

    guard: Row
    cuts: tuple[Fraction, ...]
    cells: tuple[Any, ...]

    def at(self, guard: Fraction) -> Any:
        """The cell of a value of the guard."""
        k = bisect_left(self.cuts, guard)
        return self.cells[2 * k + (k < len(self.cuts) and self.cuts[k] == guard)]


def plain(cell: Any) -> Pieces:
    """The same everywhere."""
    return Pieces({}, (), (cell,))


def added(first: Row, second: Row, factor: Fraction = Fraction(1)) -> Row:
    """first + factor * second."""
    total = {key: first.get(key, Fraction(0)) + factor * second.get(key, Fraction(0)) for key in {**first, **second}}
    return {key: number for key, number in total.items() if number}


def multiplied(first: Row, second: Row) -> Row:
    """The product of a constant and a row.

    Raises:
        UnevenError: neither is constant.
    """
    if not second.keys() <= {ONE}:
        first, second = second, first
    if not second.keys() <= {ONE}:
        raise UnevenError
    return added({}, first, second.get(ONE, Fraction(0)))


def combined(function: Callable[..., Any], *parts: Pieces) -> Pieces:
    """A function of the cells of functions of one guard.

    Raises:
        UnevenError: their guards are not multiples of each other.
    """
    guard = next((part.guard for part in parts if part.cuts), {})
    turned = [_turned(part, guard) for part in parts]
    return _made(guard, {cut for part in turned for cut in part.cuts}, lambda t: function(*(p.at(t) for p in turned)))


def sign_of(part: Pieces) -> Pieces:
    """-1, 0 or 1 in each cell: the sign of a function whose pieces depend on the guard alone.

    Raises:
        UnevenError: a piece depends on something else.
    """
    guard = part.guard or added(part.cells[0], {ONE: Fraction(-1)}, part.cells[0].get(ONE, Fraction(0)))
    lines = Pieces(guard, part.cuts, tuple((_multiple(c, guard), c.get(ONE, Fraction(0))) for c in part.cells))
    zeros = {-level / slope for slope, level in lines.cells if slope}

    def sign(guard: Fraction) -> int:
        slope, level = lines.at(guard)
        number: Fraction = slope * guard + level
        return (number > 0) - (number < 0)

    return _made(guard, {*part.cuts, *zeros}, sign)


def bends(part: Pieces) -> list[tuple[Fraction, Fraction]] | None:
    """Cuts and slopes with  part = (first cell) + sum of slope * relu(guard - cut)  everywhere; None where it jumps."""
    found = []
    for k, cut in enumerate(part.cuts):
        left, here, right = part.cells[2 * k : 2 * k + 3]
        try:
            slopes = [_multiple(added(other, left, Fraction(-1)), part.guard) for other in (here, right)]
        except UnevenError:
            return None
        steps = [added(other, left, Fraction(-1)).get(ONE, Fraction(0)) for other in (here, right)]
        if any(step != -slope * cut for slope, step in zip(slopes, steps, strict=True)):
            return None
        found.append((cut, slopes[1]))
    return found


def _made(guard: Row, cuts: set[Fraction], cell: Callable[[Fraction], Any]) -> Pieces:
    """The function with a cell for each value of the guard, without cuts at which nothing changes."""
    ends = sorted(cuts)
    between = [(low + high) / 2 for low, high in itertools.pairwise(ends)]
    inside = [cell(t) for t in ([ends[0] - 1, *between, ends[-1] + 1] if ends else [Fraction(0)])]
    kept, cells = [], [inside[0]]
    for end, after in zip(ends, inside[1:], strict=True):
        here = cell(end)
        if not here == after == cells[-1]:
            kept.append(end)
            cells += [here, after]
    return Pieces(guard if kept else {}, tuple(kept), tuple(cells))


def _turned(part: Pieces, guard: Row) -> Pieces:
    """The same function by a guard that is a multiple of its own."""
    if not part.cuts or part.guard is guard:
        return part
    factor = _multiple(part.guard, guard)
    if not factor:
        raise UnevenError
    cuts, cells = tuple(cut / factor for cut in part.cuts), part.cells
    return Pieces(guard, cuts if factor > 0 else cuts[::-1], cells if factor > 0 else cells[::-1])


def _multiple(row: Row, guard: Row) -> Fraction:
    """The factor with  row = factor * guard + constant."""
    key = next(iter(guard), ONE)
    factor = row.get(key, Fraction(0)) / guard[key] if guard else Fraction(0)
    if not added(row, guard, -factor).keys() <= {ONE}:
        raise UnevenError
    return factor
