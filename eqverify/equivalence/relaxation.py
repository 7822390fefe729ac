"""The linear relaxation of two small networks side by side, with exact rows (specs/equivalence.md, E-10).

Columns are the free inputs and the outputs of unstable ReLUs (`eqverify.equivalence.encoding`), and t in [-1, 1], which
is at most each row that has to be positive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.farkas import Row
from eqverify.bounds.polyhedron import Maximum, Polyhedron
from eqverify.domain import Conjunction, HalfSpace, Polytope
from eqverify.equivalence.encoding import ZERO, Encoder, Form, UnstableRelu, combine
from eqverify.equivalence.rational import exact_vector
from eqverify.network import Network

_ONE = Fraction(1)


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """A function of the columns that is >= 0 (or one to be bounded), exact, and in floats that are never below it.

    Attributes:
        form: the function.
        row: (columns,) its coefficients, rounded.
        bound: form <= row . v + bound for all v in the columns' ranges.
    """

    form: Form
    row: FloatArray
    bound: float

    def exact(self) -> Row:
        """Coefficients of all columns, then the constant."""
        return [*(self.form.coefficients.get(k, ZERO) for k in range(self.row.size)), self.form.constant]


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """What is known of an unstable ReLU  h = max(0, z).

    Attributes:
        z: its pre-activation.
        h: its column.
        side: 1 where z >= 0 is proved on the part, -1 where z <= 0 is, else 0.
        hull: constraints that hold wherever z is in the range that is proved.
    """

    z: Line
    h: int
    side: int
    hull: tuple[Line, ...]


class Relaxation:
    """The relaxation of two networks on one part of the domain, as a stack of constraints.

    Args:
        networks: f and g.
        part: the part.
        tick: called in work that takes long; raises to stop.

    Attributes:
        encoder: the exact encoding.
        units: the unstable ReLUs, once `tighten` was called.
        base: the constraints that hold on the whole part, likewise.
        domain: those of them that are about inputs alone.
        inputs: how many columns are inputs.

    Raises:
        OverflowError: numbers are beyond the range of floats.
    """

    def __init__(self, networks: tuple[Network, Network], part: Polytope, tick: Callable[[], None]) -> None:
        lower, upper = exact_vector(part.box.lower.tolist()), exact_vector(part.box.upper.tolist())
        self.part, self._tick = part, tick
        self.encoder = Encoder(lower, upper, tick)
        self._outputs = [form for network in networks for form in self.encoder.outputs(network)]
        self.inputs = len(self.encoder.bounds) - len(self.encoder.relus)
        self.t, self._bounds = self.encoder.variable(-_ONE, _ONE), self.encoder.bounds
        ends = np.array([(float(low), float(high)) for low, high in self._bounds])
        low = np.where([Fraction(v) > e for v, (e, _) in zip(ends[:, 0], self._bounds, strict=True)], -1, 0)
        high = np.where([Fraction(v) < e for v, (_, e) in zip(ends[:, 1], self._bounds, strict=True)], 1, 0)
        self.lower = np.where(low, np.nextafter(ends[:, 0], -np.inf), ends[:, 0])
        self.upper = np.where(high, np.nextafter(ends[:, 1], np.inf), ends[:, 1])
        if not (np.isfinite(self.lower) & np.isfinite(self.upper)).all():
            raise OverflowError
        self.polyhedron = Polyhedron(self.lower, self.upper, self._bounds)
        self.domain: list[Line] = []
        self.units: list[Unit] = []
        self.base: list[Line] = []
        self.objective = self.line(self.column(self.t))

    # Functions of the columns

    def column(self, index: int) -> Form:
        """A column as a form."""
        return Form({index: _ONE}, ZERO)

    def line(self, form: Form) -> Line:
        """A form with its rounded row."""
        row, slack = np.zeros(len(self._bounds)), ZERO
        for index, coefficient in form.coefficients.items():
            row[index] = float(coefficient)
            lost = abs(Fraction(float(row[index])) - coefficient)
            slack += lost * max(map(abs, self._bounds[index])) if lost else ZERO
        return Line(form, row, _upwards(form.constant + slack))

    def maximum(self, line: Line) -> tuple[float, Maximum]:
        """A proved upper bound of a function under the constraints, and what the solver says."""
        found = self.polyhedron.maximum(line.row)
        return float(np.nextafter(found.value + line.bound, np.inf)) if line.bound else found.value, found

    # The two networks

    def tighten(self) -> None:
        """Bounds of all unstable ReLUs by linear programs, one after the other, and the constraints that follow."""
        self.domain = self._domain()
        self.base = list(self.domain)
        for relu in self.encoder.relus:
            self._tick()
            self.polyhedron.visit(self.base)
            unit = self._unit(relu)
            self.units.append(unit)
            self.base += unit.hull

    def affine(self, sides: Mapping[int, int]) -> Callable[[Form], Form | None]:
        """Makes forms of the columns forms of the inputs, where units have the signs given; None where one is open."""
        known: dict[int, Form | None] = {k: self.column(k) for k in range(self.inputs)}

        def put(form: Form) -> Form | None:
            terms = []
            for column, coefficient in form.coefficients.items():
                if (value := known[column]) is None:
                    return None
                terms.append((coefficient, value))
            return combine(terms, form.constant)

        for k, unit in enumerate(self.units):
            side = unit.side or sides.get(k, 0)
            known[unit.h] = Form({}, ZERO) if side < 0 else put(unit.z.form) if side else None
        return put

    def _domain(self) -> list[Line]:
        """The linear constraints of the part."""
        bounds = exact_vector(self.part.bound.tolist())
        lines = []
        for row, bound in zip(self.part.matrix.tolist(), bounds, strict=True):
            terms = [(-c, x) for c, x in zip(exact_vector(row), self.encoder.inputs, strict=True)]
            lines.append(self.line(combine(terms, bound)))
        return lines

    def _unit(self, relu: UnstableRelu) -> Unit:
        ends = []
        for sign, known in ((_ONE, relu.upper), (-_ONE, -relu.lower)):
            value = self.maximum(self.line(combine([(sign, relu.form)])))[0]
            ends.append(min(known, Fraction(value)) if np.isfinite(value) else known)
        high, low = ends[0], -ends[1]
        z, h = self.line(relu.form), self.column(relu.variable)
        if high <= 0 or low >= 0:
            side = -1 if high <= 0 else 1
            return Unit(z, relu.variable, side, self.fixed(relu.form, relu.variable, side))
        slope = Fraction(float(high / (high - low)))
        offset = max(-slope * low, (1 - slope) * high)
        above = combine([(slope, relu.form), (-_ONE, h)], offset)
        hull = self.line(combine([(_ONE, h), (-_ONE, relu.form)])), self.line(above)
        return Unit(z, relu.variable, 0, hull)

    def fixed(self, z: Form, h: int, side: int) -> tuple[Line, ...]:
        """The constraints of a unit whose sign is given."""
        own = self.column(h)
        if side < 0:
            return self.line(combine([(-_ONE, z)])), self.line(combine([(-_ONE, own)]))
        same = combine([(_ONE, own), (-_ONE, z)])
        return self.line(z), self.line(same), self.line(combine([(-_ONE, same)]))

    def goal(self, conjunction: Conjunction) -> tuple[list[Line], bool]:
        """Constraints that hold, with t > 0 (or >= 0), where a disjunct does; and whether it needs t > 0.

        t is at most each row that has to be positive, scaled, or each row where none has to be.
        """
        strict = any(half.strict for half in conjunction)
        lines = []
        for half in conjunction:
            form = self.row(half)
            scale = _ONE / (max(map(abs, self.encoder.interval(form))) or _ONE)
            share = ZERO if strict and not half.strict else -_ONE
            lines.append(self.line(combine([(scale, form), (share, self.column(self.t))])))
        return lines, strict

    def row(self, half: HalfSpace) -> Form:
        """A row of a disjunct: what has to be positive, or not negative."""
        terms = [(-c, self.encoder.inputs[i]) for i, c in half.inputs.items()]
        terms += [(-c, self._outputs[i]) for i, c in half.outputs.items()]
        return combine(terms, half.bound)


def _upwards(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else float(np.nextafter(nearest, np.inf))
