"""Linear questions about {x : lower <= x <= upper, A x <= b}, small and many (specs/regions.md, N-2).

HiGHS stays warm while rows come and go and objectives change.  Bounds are recomputed from its multipliers in
outward-rounded arithmetic, as in `eqverify.bounds.lp`; points and radii are hints for whoever asks.  To the solver the
box is the unit box and rows have norm 1, so that its absolute tolerances mean the same for every set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds.duality import Multipliers, Triangles, triangles
from eqverify.bounds.farkas import Row
from eqverify.bounds.lp import simplex_solver

_ITERATIONS = 5000
_TOLERANCE = 1e-10
"""HiGHS's smallest feasibility tolerances; thin sets need them."""

_LARGEST = 1e12


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """How large a row gets.

    Attributes:
        value: sound upper bound; -inf where the set is proved to be empty.
        point: (n,) where the solver says that the maximum is; in the box, perhaps just outside the set; None if it
            found none.
        tight: constraints that hold the maximum there, by the solver: k < 2 n for the bounds of the box (lower of x_k
            at 2 k, upper at 2 k + 1), 2 n + i for row i.
        multipliers: (k,) of the rows, from which the value was computed; empty if the solver found none.
    """

    value: float
    point: FloatArray | None
    tight: IntArray
    multipliers: FloatArray


class Constraint(Protocol):
    """An affine function f of x, which is >= 0 on a set."""

    @property
    def row(self) -> FloatArray:
        """(n,) its coefficients, rounded."""

    @property
    def bound(self) -> float:
        """f(x) <= row . x + bound  for all x of the box."""

    @property
    def exact(self) -> Callable[[], Row]:
        """Gives f in rationals."""


class Polyhedron:
    """The set, as a stack of rows on a box of positive width.

    Args:
        lower: (n,) finite.
        upper: (n,) finite, above `lower`.
        ends: the ends of the box in rationals, where floats only enclose them.
    """

    def __init__(
        self, lower: FloatArray, upper: FloatArray, ends: Sequence[tuple[Fraction, Fraction]] | None = None
    ) -> None:
        self.lower, self.upper = lower, upper
        floats = zip(lower.tolist(), upper.tolist(), strict=True)
        self._ends = [(Fraction(low), Fraction(high)) for low, high in floats] if ends is None else ends
        self._constraints: list[Constraint] = []
        self.rows = np.empty((0, lower.size))
        self.bound = np.empty(0)
        self._norms: list[float] = []
        self._width = upper - lower
        self._none = np.empty(0)
        self._duality: Triangles | None = None
        self._solver = self._make()

    def _make(self) -> Any:
        """Columns t in [0, 1] with x = lower + width t, then the radius, fixed at 0; rows for the box first."""
        n, solver = self.lower.size, simplex_solver(_ITERATIONS)
        for name in ("primal_feasibility_tolerance", "dual_feasibility_tolerance"):
            solver.setOptionValue(name, _TOLERANCE)
        self._columns = np.arange(n + 1, dtype=np.int32)
        for _ in range(n):
            solver.addVar(0.0, 1.0)
        solver.addVar(0.0, 0.0)
        scale = float(self._width.max())
        for k in range(n):
            share = float(self._width[k]) / scale
            pair = np.array([k, n], dtype=np.int32)
            solver.addRow(-solver.inf, 0.0, 2, pair, np.array([-share, 1.0]))
            solver.addRow(-solver.inf, share, 2, pair, np.array([share, 1.0]))
        self._scale = scale
        return solver

    def push(self, row: FloatArray, bound: float) -> None:
        """Add  row . x <= bound."""
        self.rows = np.vstack([self.rows, row])
        self.bound = np.append(self.bound, bound)
        inner = row * self._width
        norm = float(np.abs(inner).max(initial=0.0))
        norm = norm if 0 < norm <= _LARGEST else 1.0
        self._norms.append(norm)
        with np.errstate(over="ignore", invalid="ignore"):
            radius = float(np.sqrt(row @ row)) * self._scale
            coefficients = np.append(inner, radius) / norm
            right = (bound - float(row @ self.lower)) / norm
        if not (np.isfinite(coefficients).all() and abs(right) <= _LARGEST):  # as good as no row, for hints
            coefficients, right = np.zeros_like(coefficients), 0.0
        self._solver.addRow(-self._solver.inf, right, coefficients.size, self._columns, coefficients)
        self._duality = None

    def pop(self, count: int = 1) -> None:
        """Take the last rows off."""
        if not count:
            return
        kept = len(self._norms) - count
        gone = np.arange(2 * self.lower.size + kept, 2 * self.lower.size + kept + count, dtype=np.int32)
        self._solver.deleteRows(count, gone)
        self.rows, self.bound = self.rows[:kept], self.bound[:kept]
        del self._norms[kept:]
        self._duality = None

    def visit(self, constraints: Sequence[Constraint]) -> bool:
        """Make the set the one where these are >= 0, and tell whether it was another.

        Cheap where the first of them are those that are there.
        """
        common = 0
        for old, new in zip(self._constraints, constraints, strict=False):
            if old is not new:
                break
            common += 1
        gone, added = len(self._constraints) - common, constraints[common:]
        self.pop(gone)
        for new in added:
            self.push(-new.row, new.bound)
        self._constraints = list(constraints)
        return bool(gone or added)

    def exact(self, index: int) -> Row:
        """Constraint `index` of `Maximum.tight` as a function that is >= 0, in rationals; after `visit`."""
        n = self.lower.size
        if index >= 2 * n:
            return self._constraints[index - 2 * n].exact()
        k, upper = divmod(index, 2)
        row = [Fraction(0)] * (n + 1)
        row[k], row[n] = (Fraction(-1), self._ends[k][1]) if upper else (Fraction(1), -self._ends[k][0])
        return row

    def maximum(self, row: FloatArray) -> Maximum:
        """A sound upper bound of row . x; trusted: float64 arithmetic."""
        n, solver = self.lower.size, self._solver
        inner = row * self._width
        norm = float(np.abs(inner).max(initial=0.0))
        cost = np.append(-inner / norm if 0 < norm <= _LARGEST else np.zeros(n), 0.0)
        solver.changeColsCost(n + 1, self._columns, cost)
        solver.run()
        solution = solver.getSolution()
        every, t = -_finite(solution.row_dual), np.array(solution.col_value)[:n]
        sides, duals = every[: 2 * n].copy(), every[2 * n :]
        if duals.size != len(self._norms) or t.size != n or not np.isfinite(t).all():
            return Maximum(self._value(row, np.zeros(len(self._norms))), None, np.empty(0, dtype=np.int64), np.empty(0))
        if solver.modelStatusToString(solver.getModelStatus()) == "Infeasible" and self._empty():
            return Maximum(-np.inf, None, np.empty(0, dtype=np.int64), np.empty(0))
        if self._norms:
            with np.errstate(over="ignore"):
                duals = duals * norm / np.array(self._norms)
        reduced = _finite(solution.col_dual)[:n]  # the box is there twice, as bounds and as rows
        sides[0::2] += np.maximum(reduced, 0.0)
        sides[1::2] += np.maximum(-reduced, 0.0)
        tight = np.flatnonzero(np.concatenate([sides, duals]) > _TOLERANCE)
        return Maximum(self._value(row, duals), self._point(t), tight, duals)

    def _empty(self) -> bool:
        """Whether the solver's ray proves that the set is empty: its bound of the zero row is negative."""
        _, known, ray = self._solver.getDualRay()
        duals = -_finite(ray)[2 * self.lower.size :] if known else np.zeros(0)
        if duals.size != len(self._norms):
            return False
        return self._value(np.zeros(self.lower.size), duals / np.array(self._norms)) < 0

    def _value(self, row: FloatArray, duals: FloatArray) -> float:
        """The bound that multipliers of the rows prove."""
        if self._duality is None:
            self._duality = triangles(self.lower, self.upper, self.rows, self.bound)
        return self._duality.maximum(row, Multipliers(self._none, self._none, duals))

    def centre(self) -> tuple[FloatArray, float] | None:
        """The centre and radius of a largest ball inside, as the solver says; None if it says nothing.

        The radius is in units of the inputs; the point and the radius are hints.
        """
        n, solver = self.lower.size, self._solver
        solver.changeColsCost(n + 1, self._columns, np.append(np.zeros(n), -1.0))
        solver.changeColBounds(n, 0.0, 1.0)
        solver.run()
        values = np.array(solver.getSolution().col_value)
        feasible = solver.modelStatusToString(solver.getModelStatus()) == "Optimal"
        solver.changeColBounds(n, 0.0, 0.0)
        if not feasible or values.size != n + 1 or not np.isfinite(values).all():
            return None
        return self._point(values[:n]), min(float(values[n]), 1.0) * self._scale

    def _point(self, t: FloatArray) -> FloatArray:
        """The input for columns of the solver."""
        return np.clip(self.lower + self._width * np.clip(t, 0.0, 1.0), self.lower, self.upper)


def _finite(numbers: list[float]) -> FloatArray:
    """A solver's numbers without those that are none, and small enough to be added up."""
    return np.clip(np.nan_to_num(np.array(numbers, dtype=np.float64), nan=0.0), -_LARGEST, _LARGEST)
