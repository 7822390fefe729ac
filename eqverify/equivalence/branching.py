"""Branching on unit signs of two small networks side by side, over linear programs (specs/equivalence.md, E-10).

A solver's multipliers and vertices are hints: a bound is computed again from the multipliers, in float64 rounded
outwards, and where that is just not enough in rationals, from multipliers that are solved for exactly.  Where all signs
are given and something is still open, the simplex method in rationals decides.  A vertex at which all ReLUs are what
they should be is an input where the networks may differ; it is tried, as floats and exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.farkas import largest
from eqverify.bounds.polyhedron import Maximum
from eqverify.domain import Conjunction, Polytope
from eqverify.domain.simplex import Simplex
from eqverify.equivalence.encoding import Form, combine, lies_in
from eqverify.equivalence.relaxation import Line, Relaxation, Unit
from eqverify.network import Network

_NEARLY = 1e-6
"""A bound of t (which is between -1 and 1) up to this may be 0 in truth, and is computed in rationals."""

_SYSTEM = 150
"""Systems of more equations are not solved in rationals."""

_AGREES = 1e-7
"""A vertex at which all units are so close to what they should be, as a share of their ranges, is tried as an input."""

_FEW = 6
"""With at most so many free inputs, each node is looked at in rationals too before it is split."""

Floats = Callable[[FloatArray], bool]
"""Tries inputs (k, input_size); whether they show a difference."""

Exact = Callable[[tuple[Fraction, ...]], bool]
"""Tries one exact input of the part."""


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """The signs fixed so far by unit, their constraints, and the open units, as numbers."""

    sides: Mapping[int, int]
    lines: tuple[Line, ...]
    open: tuple[int, ...]


class SignSearch:
    """Sign branching on one part of the domain.

    Args:
        networks: f and g.
        part: the part.
        floats, exact: try inputs that may show a difference.
        tick: called again and again while this is made; raises to stop.

    Attributes:
        nodes: linear programs over nodes of the trees, of all calls.
        found: whether a difference was found.

    Raises:
        OverflowError: numbers are beyond the range of floats.
    """

    def __init__(
        self,
        networks: tuple[Network, Network],
        part: Polytope,
        floats: Floats,
        exact: Exact,
        tick: Callable[[], None],
    ) -> None:
        self.part, self._floats, self._exact = part, floats, exact
        self.relaxation = Relaxation(networks, part, tick)
        self.relaxation.tighten()
        self._open = tuple(k for k, unit in enumerate(self.relaxation.units) if not unit.side)
        self._sides: dict[tuple[int, int], tuple[Line, ...]] = {}
        self.nodes, self.found = 0, False

    def refute(self, conjunction: Conjunction, tick: Callable[[], None]) -> bool:
        """Whether no input of the part satisfies all rows of a disjunct, proved.

        Args:
            conjunction: the rows.
            tick: called for every node; raises to stop.

        Trusted: float64 arithmetic, rational arithmetic, and the encoding; no solver.  False where a difference was
        found, or nobody knows.
        """
        goal, strict = self.relaxation.goal(conjunction)
        root = [*self.relaxation.base, *goal]
        stack = [_Node({}, (), self._open)]
        while stack:
            tick()
            node = stack.pop()
            self.nodes += 1
            self.relaxation.polyhedron.visit([*root, *node.lines])
            found = self._bound(strict)
            exactly = not node.open or self.relaxation.inputs <= _FEW
            if found is None or (exactly and self._empty(node, conjunction, tick)):
                continue
            unit, agrees = self._branch(node, found)
            self.found = self.found or (agrees and found.point is not None and self._try(found.point.tolist()))
            if unit is None or self.found:
                return False
            rest = tuple(k for k in node.open if k != unit)
            sides = sorted((-1, 1), key=lambda side: side == self._likely(unit, found))
            stack += [_Node({**node.sides, unit: side}, (*node.lines, *self._side(unit, side)), rest) for side in sides]
        return True

    def _bound(self, strict: bool) -> Maximum | None:
        """None where no input is left; else where the solver says that t is largest."""

        def excludes(value: float | Fraction) -> bool:
            return value < 0 or (strict and value <= 0)

        relaxation = self.relaxation
        value, found = relaxation.maximum(relaxation.objective)
        if excludes(value):
            return None
        near = found.point is not None and abs(float(found.point[relaxation.t])) <= _NEARLY
        if near and found.tight.size <= _SYSTEM:
            tight = [relaxation.polyhedron.exact(k) for k in found.tight.tolist()]
            exactly = largest(relaxation.objective.exact(), tight)
            if exactly is not None and excludes(exactly):
                return None
        return found

    def _branch(self, node: _Node, found: Maximum) -> tuple[int | None, bool]:
        """The unit to branch on, if there is one, and whether the solver's point is what the networks compute."""
        if not node.open:
            return None, True
        if found.point is None:
            return node.open[0], False
        gaps = np.array([self._gap(self.relaxation.units[k], found.point) for k in node.open])
        costs = np.array([self._cost(self.relaxation.units[k], found) for k in node.open])
        score = gaps * (costs + 1e-9 * costs.max())
        best = int(np.argmax(score if score.max() > 0 else gaps))
        widths = np.array([self.relaxation.upper[self.relaxation.units[k].h] for k in node.open])
        return node.open[best], bool((gaps <= _AGREES * widths).all())

    def _gap(self, unit: Unit, point: FloatArray) -> float:
        """How far a unit's output is from what it should be."""
        return abs(float(point[unit.h]) - max(0.0, self._value(unit, point)))

    def _value(self, unit: Unit, point: FloatArray) -> float:
        return float(unit.z.row @ point) + float(unit.z.form.constant)

    def _cost(self, unit: Unit, found: Maximum) -> float:
        """The multiplier of the upper side of a unit's triangle: how much the bound gains where that falls."""
        place = self._places().get(id(unit.hull[-1]), -1)
        return max(0.0, float(found.multipliers[place])) if 0 <= place < found.multipliers.size else 0.0

    def _places(self) -> dict[int, int]:
        return {id(line): k for k, line in enumerate(self.relaxation.base)}

    def _likely(self, unit: int, found: Maximum) -> int:
        """The side on which the solver's point is: it is looked at first."""
        own = self.relaxation.units[unit]
        return 1 if found.point is None or self._value(own, found.point) >= 0 else -1

    def _side(self, unit: int, side: int) -> tuple[Line, ...]:
        if (unit, side) not in self._sides:
            own = self.relaxation.units[unit]
            self._sides[unit, side] = self.relaxation.fixed(own.z.form, own.h, side)
        return self._sides[unit, side]

    def _empty(self, node: _Node, conjunction: Conjunction, tick: Callable[[], None]) -> bool:
        """Whether no input has the signs given and satisfies a disjunct, in rationals; with all signs, one is tried.

        A row of a unit or of the disjunct that depends on open units is left out.
        """

        def stop() -> bool:
            tick()
            return False

        relaxation = self.relaxation
        affine = relaxation.affine(node.sides)
        simplex = Simplex(relaxation.inputs, stop)
        for k, (low, high) in enumerate(relaxation.encoder.bounds[: relaxation.inputs]):
            simplex.at_least(k, low)
            simplex.at_most(k, high)
        rows: list[tuple[Form | None, bool]] = [(line.form, False) for line in relaxation.domain]
        for k, side in node.sides.items():
            rows.append((affine(combine([(Fraction(side), relaxation.units[k].z.form)])), False))
        rows += [(affine(relaxation.row(half)), half.strict) for half in conjunction]
        for form, strict in rows:
            if form is not None:
                simplex.at_least(simplex.add_row(form.coefficients), -form.constant, strict)
        if not simplex.feasible():
            return True
        self.found = self.found or (not node.open and self._try(simplex.point(relaxation.inputs)))
        return False

    def _try(self, columns: Sequence[float | Fraction]) -> bool:
        """Try the inputs at a point of the columns, as floats and exactly."""
        forms = self.relaxation.encoder.inputs
        x = tuple(f.constant if not f.coefficients else Fraction(columns[min(f.coefficients)]) for f in forms)
        return self._floats(np.array(x, dtype=np.float64)[None]) or (lies_in(self.part, x) and self._exact(x))
