"""Whether an input satisfies a conjunction of rows, in exact rational arithmetic: for small problems, and for ends of
ranges and ties, where floats cannot tell (specs/verification.md, V-7).

Branching on the signs of ReLUs over linear relaxations that are solved exactly.  Both answers are arithmetic: an
infeasible system of rows with exact coefficients, or an input at which the network itself is evaluated exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from eqverify.bounds import Interval
from eqverify.deciding.forms import Forms, PatternForms, value_of
from eqverify.domain import Box, Case, Conjunction, HalfSpace
from eqverify.domain.simplex import Simplex
from eqverify.equivalence.encoding import Form, UnstableRelu, combine
from eqverify.network import Network, outputs_exact

MAX_PRODUCTS = 200_000
"""Networks with more products are not looked at: a product takes a microsecond or more."""

_TINY_PRODUCTS = 2_000

MAX_RELUS = 60
"""Parts of the input set on which more ReLUs are open are left alone."""

_MAX_ENTRIES = 40_000
"""Most coefficients of the first relaxation."""

_DIGITS = (2, 5, 10, 16, 23, 40, 52)
"""Binary places to which an input is rounded where that is allowed."""

_ZERO, _ONE = Fraction(0), Fraction(1)


class _GaveUpError(Exception):
    """Time is over, or the relaxation is too large."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """An answer; trusted is nothing but rational arithmetic, and the ranges that were given.

    Attributes:
        verdict: `unsat` is proved; `sat` has `x`; `unknown` says nothing.
        x: (input_size,) an input at which everything holds; empty unless `sat`.
    """

    verdict: Literal["sat", "unsat", "unknown"]
    x: tuple[Fraction, ...] = ()


@dataclass(frozen=True, slots=True)
class Inputs:
    """A set of inputs: intervals, which of their ends are excluded, and rows."""

    lower: list[Fraction]
    upper: list[Fraction]
    above: list[bool]
    below: list[bool]
    rows: tuple[HalfSpace, ...]

    @property
    def empty(self) -> bool:
        """Whether an interval is."""
        ends = zip(self.lower, self.upper, self.above, self.below, strict=True)
        return any(low > high or (low == high and (a or b)) for low, high, a, b in ends)

    def hold(self, x: list[Fraction]) -> bool:
        """Whether an input belongs to the set."""
        ends = zip(x, self.lower, self.upper, self.above, self.below, strict=True)
        if any(v < low or v > high or (v == low and a) or (v == high and b) for v, low, high, a, b in ends):
            return False
        return all(row.holds(x, {}) for row in self.rows)


def inputs_of(case: Case, box: Box | None = None) -> Inputs:
    """The inputs of a case, as they are written where that is known, within a box."""
    own, written = case.polytope, case.written
    if written is None:
        ends = [(Fraction(a), Fraction(b)) for a, b in zip(own.box.lower.tolist(), own.box.upper.tolist(), strict=True)]
        strict = [(False, False)] * len(ends)
        rows = tuple(
            HalfSpace({i: Fraction(v) for i, v in enumerate(row) if v}, {}, Fraction(bound))
            for row, bound in zip(own.matrix.tolist(), own.bound.tolist(), strict=True)
        )
    else:
        ends = [written.interval(i) for i in range(written.size)]
        strict = [written.strict_ends(i) for i in range(written.size)]
        rows = written.rows
    found = Inputs([a for a, _ in ends], [b for _, b in ends], [a for a, _ in strict], [b for _, b in strict], rows)
    for limit in (own.box,) if box is None else (own.box, box):
        for i, (low, high) in enumerate(zip(limit.lower.tolist(), limit.upper.tolist(), strict=True)):
            if low > found.lower[i]:
                found.lower[i], found.above[i] = Fraction(low), False
            if high < found.upper[i]:
                found.upper[i], found.below[i] = Fraction(high), False
    return found


def decide_exactly(
    network: Network,
    inputs: Inputs,
    rows: Conjunction,
    stop: Callable[[], bool],
    ranges: Mapping[str, Interval] | None = None,
    late: int | None = None,
) -> Exactly:
    """Decide whether an input of a set satisfies all rows.

    Args:
        network: the network.
        inputs: the set.
        rows: constraints on inputs and outputs.
        stop: asked often whether to give up.
        ranges: proved intervals (1, n) of nodes on the set, where there are some.
        late: where given, only so many ReLU nodes, the last, are looked into, and `ranges` has those of the others:
            with intervals only, that is quick, and enough where a range ends for reasons of the last layers (a Clip).
    """
    if inputs.empty:
        return Exactly("unsat")
    known, count = ranges or {}, len(network.relus)
    early = () if late is None else network.relus[: max(0, count - late)]
    if not all(np.isfinite(known[relu.source].upper).all() for relu in early):
        return Exactly("unknown")
    try:
        return _Search(network, inputs, rows, stop, known, late).run()
    except _GaveUpError:
        return Exactly("unknown")


def small_enough(network: Network) -> bool:
    """Whether a network can be evaluated in rationals many times."""
    return network.products <= MAX_PRODUCTS and not network.smooth


def tiny(network: Network) -> bool:
    """Whether exact decisions about a network hardly take time."""
    return network.products <= _TINY_PRODUCTS and not network.smooth


class _Search:
    """One search."""

    def __init__(
        self,
        network: Network,
        inputs: Inputs,
        rows: Conjunction,
        stop: Callable[[], bool],
        ranges: Mapping[str, Interval],
        late: int | None,
    ) -> None:
        self.network, self.inputs, self.rows, self.stop = network, inputs, rows, stop
        self.encoder = Forms(inputs.lower, inputs.upper, self._tick, ranges, late)
        self._join_equal()
        self.outputs = self.encoder.outputs(network)

    def _tick(self) -> None:
        if self.stop():
            raise _GaveUpError

    def _join_equal(self) -> None:
        """Inputs that rows equate, and that have the same interval, become one variable."""
        seen: set[tuple[int, int]] = set()
        inputs = self.inputs
        for row in inputs.rows:
            if row.bound or row.strict or sorted(row.inputs.values()) != [-_ONE, _ONE]:
                continue
            (high,), (low,) = ([i for i, c in row.inputs.items() if c == sign] for sign in (_ONE, -_ONE))
            same = inputs.lower[low] == inputs.lower[high] and inputs.upper[low] == inputs.upper[high]
            if same and (low, high) in seen:
                old, new = self.encoder.inputs[max(low, high)], self.encoder.inputs[min(low, high)]
                self.encoder.inputs[:] = [new if form is old else form for form in self.encoder.inputs]
            seen.add((high, low))

    def run(self) -> Exactly:
        """The answer."""
        forms = [(_form(row, self.encoder.inputs, self.outputs), row) for row in (*self.inputs.rows, *self.rows)]
        for form, row in forms:
            least = self.encoder.interval(form)[0]
            if least > row.bound or (least == row.bound and row.strict):
                return Exactly("unsat")
        if self.encoder.late is not None:
            raise _GaveUpError
        relus = self.encoder.relus
        entries = sum(len(relu.form.coefficients) + 1 for relu in relus) * 3
        entries += sum(len(form.coefficients) for form, _ in forms)
        if len(relus) > MAX_RELUS or entries > _MAX_ENTRIES:
            raise _GaveUpError
        self.simplex = _simplex(self.encoder, self.inputs, self.stop)
        self.units = [self._unit(relu) for relu in relus]
        for form, row in forms:
            self.simplex.at_most(self.simplex.add_row(form.coefficients), row.bound - form.constant, row.strict)
        found = self._branch()
        return Exactly("unsat") if found is None else Exactly("sat", _rounded(found, self._holds))

    def _unit(self, relu: UnstableRelu) -> _Unit:
        """Three rows: the pre-activation z, h - z >= 0, and the triangle's edge."""
        form, h, simplex = relu.form, relu.variable, self.simplex
        z = simplex.add_row(form.coefficients)
        simplex.at_least(z, relu.lower - form.constant)
        simplex.at_most(z, relu.upper - form.constant)
        above = simplex.add_row({h: _ONE, z: -_ONE})
        simplex.at_least(above, form.constant)
        slope = relu.upper / (relu.upper - relu.lower)
        edge = simplex.add_row({h: _ONE, z: -slope})
        simplex.at_most(edge, slope * (form.constant - relu.lower))
        return _Unit(relu, z, above)

    def _branch(self) -> list[Fraction] | None:
        """An input that satisfies everything within the bounds of the simplex, or None where there is none."""
        feasible = self.simplex.feasible()
        if feasible is None:
            raise _GaveUpError
        if not feasible:
            return None
        values = self.simplex.point(len(self.encoder.bounds))
        x = [value_of(form, values) for form in self.encoder.inputs]
        if self._holds(x):
            return self._inwards(x)
        gaps = [unit.gap(values) for unit in self.units]
        if not any(gaps):  # the relaxation allows more than the network does
            raise _GaveUpError
        unit = self.units[max(range(len(gaps)), key=gaps.__getitem__)]
        positive = value_of(unit.relu.form, values) > 0
        for side in (positive, not positive):
            saved = self.simplex.bounds()
            unit.fix(self.simplex, side)
            found = self._branch()
            if found is not None:
                return found
            self.simplex.restore(saved)
        return None

    def _holds(self, x: list[Fraction]) -> bool:
        """Whether an input satisfies everything, evaluated exactly."""
        return self.inputs.hold(x) and _met(self.network, x, self.rows)

    def _inwards(self, x: list[Fraction]) -> list[Fraction]:
        """An input of the same linear region off all bounds, where there is one: it has room for rounding."""
        values: list[Fraction] = [_ZERO] * len(self.encoder.bounds)
        for form, v in zip(self.encoder.inputs, x, strict=True):
            for variable in form.coefficients:
                values[variable] = v
        for unit in self.units:
            z = value_of(unit.relu.form, values)
            values[unit.relu.variable] = max(z, _ZERO)
            unit.fix(self.simplex, z > 0)
        self.simplex.tighten()
        if not self.simplex.feasible():
            return x
        values = self.simplex.point(len(self.encoder.bounds))
        inner = [value_of(form, values) for form in self.encoder.inputs]
        return inner if self._holds(inner) else x


def decide_around(
    network: Network,
    inputs: Inputs,
    rows: Conjunction,
    point: Sequence[Fraction],
    free: Collection[int],
    stop: Callable[[], bool],
) -> Exactly:
    """Look for an input that satisfies all rows on the linear region around a point: one linear program.

    Args:
        network: the network.
        inputs: the set.
        rows: constraints on inputs and outputs.
        point: (input_size,) within the bounds of the set.
        free: the inputs that may differ from the point's.
        stop: asked often whether to give up.

    Returns:
        `sat`, or `unknown`.
    """
    intervals = zip(inputs.lower, inputs.upper, point, strict=True)
    ends = [(a, b) if i in free else (v, v) for i, (a, b, v) in enumerate(intervals)]

    def tick() -> None:
        if stop():
            raise _GaveUpError

    def holds(x: list[Fraction]) -> bool:
        return inputs.hold(x) and _met(network, x, rows)

    try:
        forms = PatternForms([a for a, _ in ends], [b for _, b in ends], tick, point)
        outputs = forms.outputs(network)
    except _GaveUpError:
        return Exactly("unknown")
    simplex = _simplex(forms, inputs, stop)
    for form in forms.positive:
        simplex.at_least(simplex.add_row(form.coefficients), -form.constant)
    for form in forms.negative:
        simplex.at_most(simplex.add_row(form.coefficients), -form.constant)
    for row in (*inputs.rows, *rows):
        form = _form(row, forms.inputs, outputs)
        simplex.at_most(simplex.add_row(form.coefficients), row.bound - form.constant, row.strict)
    found: list[Fraction] | None = None
    for _ in range(2):
        if not simplex.feasible():
            break
        values = simplex.point(len(forms.bounds))
        x = [value_of(form, values) for form in forms.inputs]
        found = x if holds(x) else found
        simplex.tighten()  # an input off all bounds, where there is one, has room for rounding
    return Exactly("unknown") if found is None else Exactly("sat", _rounded(found, holds))


def _form(row: HalfSpace, inputs: Sequence[Form], outputs: Sequence[Form]) -> Form:
    """A constraint's left side as a form of the variables."""
    terms = [(c, inputs[i]) for i, c in row.inputs.items()]
    return combine([*terms, *((c, outputs[j]) for j, c in row.outputs.items())])


def _simplex(forms: Forms, inputs: Inputs, stop: Callable[[], bool]) -> Simplex:
    """The variables within their bounds; ends of inputs that are excluded are."""
    simplex = Simplex(len(forms.bounds), stop)
    for variable, (low, high) in enumerate(forms.bounds):
        simplex.at_least(variable, low)
        simplex.at_most(variable, high)
    for form, above, below in zip(forms.inputs, inputs.above, inputs.below, strict=True):
        for variable in form.coefficients:
            low, high = forms.bounds[variable]
            simplex.at_least(variable, low, above)
            simplex.at_most(variable, high, below)
    return simplex


def _met(network: Network, x: list[Fraction], rows: Conjunction) -> bool:
    """Whether all rows hold at an input, evaluated exactly."""
    y = outputs_exact(network, x)
    return all(row.holds(x, y) for row in rows)


def _rounded(x: list[Fraction], holds: Callable[[list[Fraction]], bool]) -> tuple[Fraction, ...]:
    """Numbers with few binary digits next to an input that was found, where these hold too."""
    for digits in _DIGITS:
        near = [Fraction(round(v * 2**digits), 2**digits) for v in x]
        if holds(near):
            return tuple(near)
    return tuple(x)


@dataclass(frozen=True, slots=True)
class _Unit:
    """An open ReLU in the relaxation.

    Attributes:
        relu: its form.
        z: the row of the pre-activation, without its constant.
        above: the row h - z, without the constant.
    """

    relu: UnstableRelu
    z: int
    above: int

    def gap(self, values: Sequence[Fraction]) -> Fraction:
        """How far h is from max(0, z)."""
        return values[self.relu.variable] - max(_ZERO, value_of(self.relu.form, values))

    def fix(self, simplex: Simplex, active: bool) -> None:
        """Make it linear."""
        constant = self.relu.form.constant
        if active:
            simplex.at_least(self.z, -constant)
            simplex.at_most(self.above, constant)
        else:
            simplex.at_most(self.z, -constant)
            simplex.at_most(self.relu.variable, _ZERO)
