"""Feasibility of linear constraints in exact rational arithmetic, strict ones included.

The general simplex of Dutertre and de Moura (2006, *A fast linear-arithmetic solver for DPLL(T)*): every row is a
variable with bounds, and a strict bound is one that is moved by an infinitesimal.  Bounds may be loosened again at
any time, so that a search tree shares one tableau.  Nothing is rounded; termination is Bland's rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

Delta: TypeAlias = tuple[Fraction, Fraction]
"""(a, b): the number a + b d for an infinitesimal d > 0.  Compared lexicographically."""

BoundLists: TypeAlias = tuple[list[Delta | None], list[Delta | None]]

_ZERO = Fraction(0)
_GREEDY_STEPS = 200
"""So many steps take the variable that is furthest out; then the first, which cannot cycle."""


class Simplex:
    """Variables within bounds, some of them linear forms of others.

    Args:
        size: number of free variables; they are numbered from 0.
        stop: asked before each step whether to give up.
    """

    def __init__(self, size: int, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._rows: dict[int, dict[int, Fraction]] = {}
        self._lower: list[Delta | None] = [None] * size
        self._upper: list[Delta | None] = [None] * size
        self._value: list[Delta] = [(_ZERO, _ZERO)] * size

    def add_row(self, form: Mapping[int, Fraction]) -> int:
        """A new variable that is a linear form of earlier ones; its number."""
        row: dict[int, Fraction] = {}
        for variable, coefficient in form.items():
            for k, c in self._rows.get(variable, {variable: Fraction(1)}).items():
                row[k] = row.get(k, _ZERO) + coefficient * c
        number = len(self._value)
        self._rows[number] = {k: c for k, c in row.items() if c}
        self._lower.append(None)
        self._upper.append(None)
        self._value.append(self._total(self._rows[number]))
        return number

    def _total(self, row: Mapping[int, Fraction]) -> Delta:
        real = sum((c * self._value[k][0] for k, c in row.items()), _ZERO)
        return real, sum((c * self._value[k][1] for k, c in row.items()), _ZERO)

    def at_least(self, variable: int, bound: Fraction, strict: bool = False) -> None:
        """Require variable >= bound, or > where `strict`."""
        new = bound, Fraction(int(strict))
        old = self._lower[variable]
        if old is None or old < new:
            self._lower[variable] = new
            self._settle(variable)

    def at_most(self, variable: int, bound: Fraction, strict: bool = False) -> None:
        """Require variable <= bound, or < where `strict`."""
        new = bound, Fraction(-int(strict))
        old = self._upper[variable]
        if old is None or old > new:
            self._upper[variable] = new
            self._settle(variable)

    def bounds(self) -> BoundLists:
        """The bounds now, for `restore`."""
        return list(self._lower), list(self._upper)

    def restore(self, bounds: BoundLists) -> None:
        """Go back to looser bounds."""
        self._lower, self._upper = list(bounds[0]), list(bounds[1])
        for variable in range(len(self._value)):
            self._settle(variable)

    def tighten(self) -> None:
        """Make all bounds of variables that have a range strict."""
        for k, (low, high) in enumerate(zip(self._lower, self._upper, strict=True)):
            if low is not None and high is not None and low[0] >= high[0]:
                continue
            if low is not None:
                self.at_least(k, low[0], strict=True)
            if high is not None:
                self.at_most(k, high[0], strict=True)

    def _settle(self, variable: int) -> None:
        """Move a free variable within its bounds."""
        target = self._missed(variable)
        if target is not None and variable not in self._rows:
            self._move(variable, target)

    def _missed(self, variable: int) -> Delta | None:
        """The bound that a variable is beyond."""
        value, low, high = self._value[variable], self._lower[variable], self._upper[variable]
        if low is not None and value < low:
            return low
        return high if high is not None and value > high else None

    def _move(self, variable: int, target: Delta) -> None:
        """Give a free variable another value."""
        old = self._value[variable]
        step = target[0] - old[0], target[1] - old[1]
        self._value[variable] = target
        for k, row in self._rows.items():
            if c := row.get(variable):
                self._value[k] = self._value[k][0] + c * step[0], self._value[k][1] + c * step[1]

    def feasible(self) -> bool | None:
        """Whether some values meet all bounds; None where it gave up."""
        if any(low is not None and high is not None and low > high for low, high in zip(*self.bounds(), strict=True)):
            return False
        steps = 0
        while True:
            missed = [(k, target) for k in self._rows if (target := self._missed(k)) is not None]
            if not missed:
                return True
            if self._stop():
                return None
            steps += 1
            if steps <= _GREEDY_STEPS:
                leaving, target = max(missed, key=lambda pair: abs(pair[1][0] - self._value[pair[0]][0]))
            else:
                leaving, target = min(missed, key=lambda pair: pair[0])
            entering = self._entering(leaving, target > self._value[leaving])
            if entering is None:
                return False
            self._exchange(leaving, entering, target)

    def _entering(self, leaving: int, upwards: bool) -> int | None:
        """The first free variable that can move a row in the direction in which it must go."""
        for k, c in sorted(self._rows[leaving].items()):
            limit = self._upper[k] if (c > 0) == upwards else self._lower[k]
            if limit is None or self._value[k] != limit:
                return k
        return None

    def _exchange(self, leaving: int, entering: int, target: Delta) -> None:
        """Move `entering` until `leaving` is at its bound, and exchange their roles."""
        row = self._rows[leaving]
        pivot = row[entering]
        old = self._value[leaving]
        value = self._value[entering]
        self._move(entering, (value[0] + (target[0] - old[0]) / pivot, value[1] + (target[1] - old[1]) / pivot))
        del self._rows[leaving]
        solved = {k: -c / pivot for k, c in row.items() if k != entering}
        solved[leaving] = 1 / pivot
        for other in self._rows.values():
            if factor := other.pop(entering, None):
                for k, c in solved.items():
                    total = other.get(k, _ZERO) + factor * c
                    if total:
                        other[k] = total
                    else:
                        other.pop(k, None)
        self._rows[entering] = solved

    def point(self, count: int) -> list[Fraction]:
        """Values of the first variables that meet all bounds, after `feasible`: a number for the infinitesimal."""
        step = Fraction(1)
        for value, low, high in zip(self._value, self._lower, self._upper, strict=True):
            for one, other in ((low, value), (value, high)):
                if one is not None and other is not None and one[0] < other[0] and one[1] > other[1]:
                    step = min(step, (other[0] - one[0]) / (one[1] - other[1]))
        step /= 2
        return [value[0] + step * value[1] for value in self._value[:count]]
