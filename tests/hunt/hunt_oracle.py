"""The exact oracle of the hunt: a piecewise linear function on a polytope, cut into the cells on which it is linear.

It imports nothing of eqverify (`test_hunt_oracle.py` sees to that): every number is a rational of python-flint, and a
cell is the list of its vertices, each with the set of constraints that are tight there.  On a cell all values are
linear, so minima, maxima and "is there a point with ..." are read off its vertices.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import product

from flint import fmpq

ZERO, ONE = fmpq(0), fmpq(1)
MOST_FREE = 6


def rational(value: float | int | str | Fraction | fmpq) -> fmpq:
    """A number exactly as it is stored or written."""
    if isinstance(value, fmpq):
        return value
    exact = Fraction(value)
    return fmpq(exact.numerator, exact.denominator)


def fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


class LeftOutError(Exception):
    """The oracle cannot tell: more cells than it may look at, or a file that its readers do not know."""


@dataclass(frozen=True, slots=True)
class Form:
    """An affine form over numbered variables: inputs first, then units."""

    terms: Mapping[int, fmpq] = field(default_factory=dict)
    constant: fmpq = ZERO

    def __add__(self, other: Form) -> Form:
        terms = dict(self.terms)
        for variable, factor in other.terms.items():
            total = terms.get(variable, ZERO) + factor
            if total == 0:
                terms.pop(variable, None)
            else:
                terms[variable] = total
        return Form(terms, self.constant + other.constant)

    def __sub__(self, other: Form) -> Form:
        return self + other.scaled(-ONE)

    def scaled(self, factor: fmpq) -> Form:
        if factor == 0:
            return Form()
        return Form({v: c * factor for v, c in self.terms.items()}, self.constant * factor)

    def at(self, values: Sequence[fmpq]) -> fmpq:
        total = self.constant
        for variable, factor in self.terms.items():
            total += factor * values[variable]
        return total

    def renamed(self, names: Sequence[int]) -> Form:
        return Form({names[v]: c for v, c in self.terms.items()}, self.constant)


def variable(number: int) -> Form:
    return Form({number: ONE})


@dataclass(frozen=True, slots=True)
class Unit:
    """z >= 0 gives up * z, z <= 0 gives down * z: ReLU is (1, 0), Abs (1, -1), LeakyRelu (1, a)."""

    z: Form
    up: fmpq = ONE
    down: fmpq = ZERO
    name: str = ""


@dataclass(frozen=True, slots=True)
class Function:
    """Inputs are variables 0, ..., units follow in an order in which each needs earlier ones only."""

    inputs: int
    units: tuple[Unit, ...]
    outputs: tuple[Form, ...]

    def values(self, point: Sequence[fmpq]) -> list[fmpq]:
        """All variables at one input."""
        values = list(point)
        for unit in self.units:
            z = unit.z.at(values)
            values.append(z * (unit.up if z >= 0 else unit.down))
        return values

    def __call__(self, point: Sequence[fmpq]) -> list[fmpq]:
        values = self.values(point)
        return [form.at(values) for form in self.outputs]


def beside(first: Function, second: Function, shared: bool) -> Function:
    """Two functions as one: on the same inputs, or each on its own."""
    inputs = first.inputs if shared else first.inputs + second.inputs
    one = [*range(first.inputs), *range(inputs, inputs + len(first.units))]
    own = range(second.inputs) if shared else range(first.inputs, inputs)
    start = inputs + len(first.units)
    two = [*own, *range(start, start + len(second.units))]
    units = [Unit(u.z.renamed(n), u.up, u.down, u.name) for f, n in ((first, one), (second, two)) for u in f.units]
    outputs = [form.renamed(n) for f, n in ((first, one), (second, two)) for form in f.outputs]
    return Function(inputs, tuple(units), tuple(outputs))


@dataclass(frozen=True, slots=True)
class Vertex:
    values: tuple[fmpq, ...]  # of all variables that are known so far, inputs first
    tight: int  # a bit for each constraint that holds with equality


Cell = list[Vertex]


@dataclass(frozen=True, slots=True)
class Atom:
    """form <= 0, or form < 0."""

    form: Form
    strict: bool = False


def box(lower: Sequence[fmpq], upper: Sequence[fmpq]) -> Cell:
    """The vertices of a box; a side of width zero has one end.  Empty where a bound is above the other.

    Raises:
        LeftOutError: too many sides have a width.
    """
    if any(low > high for low, high in zip(lower, upper, strict=True)):
        return []
    if sum(low < high for low, high in zip(lower, upper, strict=True)) > MOST_FREE:
        raise LeftOutError("too many inputs that are free")
    sides = []
    for k, (low, high) in enumerate(zip(lower, upper, strict=True)):
        ends = [(low, 1 << 2 * k), (high, 1 << 2 * k + 1)]
        sides.append(ends if low < high else [(low, 3 << 2 * k)])
    return [Vertex(tuple(v for v, _ in corner), sum(bit for _, bit in corner)) for corner in product(*sides)]


def cut(cell: Cell, form: Form, bit: int) -> tuple[Cell, Cell]:
    """The parts of a cell where form <= 0 and where form >= 0; each may be empty, or all of it."""
    at = [form.at(vertex.values) for vertex in cell]
    if all(value <= 0 for value in at) or all(value >= 0 for value in at):
        border = [Vertex(v.values, v.tight | bit) for v, value in zip(cell, at, strict=True) if value == 0]
        one_side = any(value < 0 for value in at), any(value > 0 for value in at)
        return (cell if not one_side[1] else border), (cell if not one_side[0] else border)
    border = [Vertex(v.values, v.tight | bit) for v, value in zip(cell, at, strict=True) if value == 0]
    below = [(v, value) for v, value in zip(cell, at, strict=True) if value < 0]
    above = [(v, value) for v, value in zip(cell, at, strict=True) if value > 0]
    for v, low in below:
        for w, high in above:
            common = v.tight & w.tight
            if any(u.tight & common == common for u in cell if u is not v and u is not w):
                continue  # no edge: a third vertex is in the smallest face that holds both
            share = low / (low - high)
            values = tuple(a + share * (b - a) for a, b in zip(v.values, w.values, strict=True))
            border.append(Vertex(values, common | bit))
    return [v for v, _ in below] + border, [v for v, _ in above] + border


def clipped(cell: Cell, atoms: Iterable[Atom], first_bit: int) -> Cell:
    """The points of a cell that satisfy all atoms, strict ones as if they were not."""
    for number, atom in enumerate(atoms):
        if not cell:
            break
        cell = cut(cell, atom.form, 1 << first_bit + number)[0]
    return cell


def satisfied_somewhere(cell: Cell, atoms: Sequence[Atom], first_bit: int) -> bool:
    """Whether a point of the cell satisfies all atoms, strict signs included.

    Where each strict atom holds strictly at some vertex, the mean of these vertices satisfies all of them strictly.
    """
    left = clipped(cell, atoms, first_bit)
    return bool(left) and all(any(a.form.at(v.values) < 0 for v in left) for a in atoms if a.strict)


def cells(function: Function, start: Cell, most: int = 2000) -> Iterator[tuple[Cell, tuple[int, ...]]]:
    """The cells on which a function is linear, with the side (1 above zero, else 0) of each unit.

    Raises:
        LeftOutError: there are more than `most`.
    """
    found = 0
    first = 2 * function.inputs + 64  # bits below belong to the box and to what the domain was cut with
    stack: list[tuple[Cell, tuple[int, ...]]] = [(start, ())] if start else []
    while stack:
        cell, sides = stack.pop()
        number = len(sides)
        if number == len(function.units):
            found += 1
            if found > most:
                raise LeftOutError
            yield cell, sides
            continue
        unit = function.units[number]
        at = [unit.z.at(vertex.values) for vertex in cell]
        if any(z > 0 for z in at) and any(z < 0 for z in at):
            below, above = cut(cell, unit.z, 1 << first + number)
            parts = [(below, 0, unit.down), (above, 1, unit.up)]
        elif any(z > 0 for z in at):
            parts = [(cell, 1, unit.up)]
        else:
            parts = [(cell, 0, unit.down)]
        for part, side, slope in parts:
            extended = [Vertex((*v.values, slope * unit.z.at(v.values)), v.tight) for v in part]
            stack.append((extended, (*sides, side)))


def extremes(function: Function, start: Cell, forms: Sequence[Form]) -> list[tuple[fmpq, fmpq]]:
    """Minimum and maximum of forms over the function's variables; the start must not be empty."""
    bounds: list[tuple[fmpq, fmpq]] = []
    for cell, _ in cells(function, start):
        for vertex in cell:
            at = [form.at(vertex.values) for form in forms]
            bounds = bounds or [(value, value) for value in at]
            bounds = [(min(low, v), max(high, v)) for (low, high), v in zip(bounds, at, strict=True)]
    return bounds


def deviation(first: Function, second: Function, start: Cell) -> list[fmpq]:
    """Per output, the largest |first - second| on a polytope."""
    both = beside(first, second, shared=True)
    half = len(first.outputs)
    forms = [a - b for a, b in zip(both.outputs[:half], both.outputs[half:], strict=True)]
    return [max(-low, high) for low, high in extremes(both, start, forms)]
