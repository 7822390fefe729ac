"""Cells of a hyperplane arrangement: which functions change sign on them, with proofs (specs/regions.md, N-1, N-2).

A cell is the set of x in a box with  f_k(x) >= 0  for some affine functions.  That a function changes sign on it is
shown by interior points, that it does not by multipliers; both are checked with rounding bounds, and in rationals where
these leave it open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

import numpy as np

from eqverify.approximate.forms import Frame
from eqverify.arrays import FloatArray
from eqverify.bounds.farkas import Row, combination, never_positive, value_at
from eqverify.bounds.polyhedron import Maximum, Polyhedron
from eqverify.network import UNIT_ROUNDOFF, gamma
from eqverify.network.evaluate import UNDERFLOW


@dataclass(frozen=True, slots=True, eq=False)
class Function:
    """An affine function of the free inputs: |f(x) - (row . x + constant)| <= error on the box.

    Attributes:
        row: (n,).
        constant: of the function as computed.
        error: bound on the rounding in composing it.
        exact: gives the function in rationals.
        unit: the ReLU unit whose sign it is, counted through the network; -1 for a constraint of the domain.
    """

    row: FloatArray
    constant: float
    error: float
    exact: Callable[[], Row]
    unit: int = -1

    @property
    def bound(self) -> float:
        """f(x) <= row . x + bound  for all x of the box."""
        bound = self.constant + self.error
        return float(np.nextafter(bound + UNIT_ROUNDOFF * abs(bound), np.inf))

    def negated(self) -> Function:
        """-f."""
        return Function(-self.row, -self.constant, self.error, lambda: [-c for c in self.exact()], self.unit)


class Side(Enum):
    """Answers to "is f > 0 somewhere inside the cell?"."""

    EMPTY = "empty"
    FULL = "full"
    UNDECIDED = "undecided"


@dataclass(slots=True)
class Geometry:
    """The cell that questions are about, and how many were asked.

    Attributes:
        frame: the box.
        questions: linear programs solved.
        exact: questions that rational arithmetic answered.
    """

    frame: Frame
    questions: int = 0
    exact: int = 0
    _polyhedron: Polyhedron = field(init=False)
    _functions: list[Function] = field(default_factory=list)
    _rows: FloatArray = field(init=False)
    _offsets: FloatArray = field(init=False)
    _norms: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self._polyhedron = Polyhedron(self.frame.lower, self.frame.upper)
        self._collect()

    def visit(self, functions: Sequence[Function]) -> None:
        """Make {f_k >= 0 for these} the cell; cheap where it shares its first functions with the one before."""
        if self._polyhedron.visit(functions):
            self._functions = list(functions)
            self._collect()

    def _collect(self) -> None:
        n = self.frame.free.size
        self._rows = np.array([f.row for f in self._functions]).reshape(-1, n)
        self._offsets = np.array([(f.constant, f.error) for f in self._functions]).reshape(-1, 2)
        self._norms = np.sqrt((self._rows**2).sum(axis=1)) * (1 + gamma(n + 4))

    def depth(self, points: FloatArray) -> FloatArray:
        """(k,) for points (k, n) radii of balls inside the cell around them; not positive where nothing is proved."""
        slack = np.minimum(points - self.frame.lower, self.frame.upper - points).min(axis=1, initial=np.inf)
        slack = slack * (1 - 4 * UNIT_ROUNDOFF)
        if not self._functions:
            return np.asarray(slack)
        values = points @ self._rows.T + self._offsets[:, 0]
        size = np.abs(points) @ np.abs(self._rows).T + np.abs(self._offsets[:, 0])
        values -= self._offsets[:, 1] + gamma(self.frame.free.size + 4) * size * (1 + 1e-12) + UNDERFLOW
        with np.errstate(divide="ignore", invalid="ignore"):
            radii = np.where(self._norms > 0, values / self._norms, np.where(values > 0, np.inf, values))
        radii = radii * np.where(radii > 0, 1 - 1e-12, 1.0)
        smallest = np.minimum(slack, radii.min(axis=1))
        return np.where(np.isnan(smallest), -np.inf, smallest)

    def centre(self) -> tuple[FloatArray, float] | None:
        """A point deep inside and the radius of a ball around it that is proved to be inside; None if there is none."""
        self.questions += 1
        found = self._polyhedron.centre()
        if found is None:
            return None
        radius = float(self.depth(found[0][None])[0])
        return (found[0], radius) if radius > 0 else None

    def extent(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sound bounds (n,), (n,) of the cell, and points (k, n) where it is said to reach them."""
        n = self.frame.free.size
        lower, upper, points = self.frame.lower.copy(), self.frame.upper.copy(), []
        for k in range(n):
            unit = np.zeros(n)
            unit[k] = 1.0
            for sign in (1.0, -1.0):
                found = self._ask(sign * unit)
                points += [] if found.point is None else [found.point]
                if sign > 0:
                    upper[k] = min(upper[k], found.value)
                else:
                    lower[k] = max(lower[k], -found.value)
        return lower, np.maximum(upper, lower), np.array(points).reshape(-1, n)

    def maximum(self, row: FloatArray) -> float:
        """A sound upper bound of row . x on the cell."""
        return self._ask(row).value

    def _ask(self, row: FloatArray) -> Maximum:
        self.questions += 1
        return self._polyhedron.maximum(row)

    def positive(self, function: Function, inside: FloatArray) -> tuple[Side, FloatArray | None]:
        """Is f > 0 somewhere inside the cell?

        Args:
            function: f.
            inside: (n,) a point inside the cell, where f may have any value.

        Returns:
            The answer, and a point inside with f > 0 where it is `FULL`.  Trusted: float64 and rational arithmetic.
        """
        found = self._ask(function.row)
        if found.value == -np.inf:
            return Side.EMPTY, None
        bound = found.value + function.constant
        if bound + 4 * UNIT_ROUNDOFF * (abs(found.value) + abs(function.constant)) + function.error <= 0:
            return Side.EMPTY, None
        if found.point is not None:
            for candidate in self._towards(function, inside, found.point):
                if self._shown(function, candidate):
                    return Side.FULL, candidate
        return self._exactly(function, found)

    def reason(self, function: Function) -> dict[int, Fraction] | None:
        """Multipliers by number of the cell's functions that show f <= 0 on it, in rationals (N-2 b); None for none."""
        found, target = self._ask(function.row), function.exact()
        numbers, n = np.flatnonzero(found.multipliers).tolist(), self.frame.free.size
        floats = {k: Fraction(float(found.multipliers[k])) for k in numbers if found.multipliers[k] > 0}
        if self._holds(target, floats):
            return floats
        exact = combination(target, [self._polyhedron.exact(k) for k in found.tight.tolist()])
        pairs = zip(found.tight.tolist(), exact or (), strict=False)
        chosen = {k - 2 * n: y for k, y in pairs if k >= 2 * n and y > 0}
        return chosen if self._holds(target, chosen) else None

    def _holds(self, target: Row, multipliers: Mapping[int, Fraction]) -> bool:
        row = list(target)
        for k, y in multipliers.items():
            row = [c + y * other for c, other in zip(row, self._functions[k].exact(), strict=True)]
        ends = zip(row, self.frame.lower.tolist(), self.frame.upper.tolist(), strict=False)
        return sum((max(c * Fraction(low), c * Fraction(high)) for c, low, high in ends), row[-1]) <= 0

    def inside(self, functions: Sequence[Function], points: FloatArray) -> tuple[Side, FloatArray]:
        """Is the cell {f_k >= 0} full-dimensional?  It is the cell afterwards, unless it is found empty before.

        Args:
            functions: f_k, taken one after the other.
            points: (k, n) in the box, to begin with.

        Returns:
            The answer, and points inside where it is `FULL`.
        """
        self.visit([])
        points = np.vstack([(self.frame.lower + self.frame.upper) / 2, points])
        points = points[self.depth(points) > 0]
        for count, function in enumerate(functions):
            if not len(points):
                return Side.UNDECIDED, points
            side, point = self.positive(function, points.mean(axis=0))
            if point is None:
                return side, points[:0]
            self.visit(functions[: count + 1])
            points = np.vstack([point, points[self.depth(points) > 0]])
        return (Side.FULL if len(points) else Side.UNDECIDED), points

    def _towards(self, function: Function, inside: FloatArray, vertex: FloatArray) -> list[FloatArray]:
        """Points between one inside and the vertex where f is largest, on the side where f > 0."""
        low = float(function.row @ inside) + function.constant
        high = float(function.row @ vertex) + function.constant
        if not high > 0:
            return []
        share = min(1.0, high / (high - low)) if low < high else 1.0
        return [vertex + step * share * (inside - vertex) for step in (0.5, 0.1)]

    def _shown(self, function: Function, point: FloatArray) -> bool:
        value = float(function.row @ point) + function.constant
        size = float(np.abs(function.row) @ np.abs(point)) + abs(function.constant)
        clear = value > function.error + gamma(point.size + 4) * size * (1 + 1e-12) + UNDERFLOW
        return bool(clear) and float(self.depth(point[None])[0]) > 0

    def _exactly(self, function: Function, found: Maximum) -> tuple[Side, FloatArray | None]:
        self.exact += 1
        target = function.exact()
        if never_positive(target, [self._polyhedron.exact(k) for k in found.tight.tolist()]):
            return Side.EMPTY, None
        self.visit([*self._functions, function])
        try:
            self.questions += 1
            centre = self._polyhedron.centre()
            if centre is not None and self._inside_exactly(centre[0]):
                return Side.FULL, centre[0]
        finally:
            self.visit(self._functions[:-1])
        return Side.UNDECIDED, None

    def _inside_exactly(self, point: FloatArray) -> bool:
        if not ((point > self.frame.lower) & (point < self.frame.upper)).all():
            return False
        return all(value_at(function.exact(), point.tolist()) > 0 for function in self._functions)
