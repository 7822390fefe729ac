"""Bounds over a batch of boxes: intervals, and rows pulled back with any slopes and multipliers.

Statements B-0 to B-3, B-6, B-7 and B-9 of specs/bounds.md.  All bounds are float64, (boxes, n), and hold on the part of
the domain inside each box; rows are numbers of either arithmetic, (boxes or 1, m, n).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.checker.numbers import TINY, Floats, Numbers
from eqverify.domain import Assumption
from eqverify.network import Affine, Dense, Network, Port, Relu

ALL = slice(None)
Columns = IntArray | slice
_CHUNK = 1 << 22
"""Coefficients held at a time on the widest node."""


class Interval(NamedTuple):
    """lower <= value <= upper."""

    lower: FloatArray
    upper: FloatArray

    @property
    def magnitude(self) -> FloatArray:
        """max |value|."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def open(self) -> BoolArray:
        """Where both signs are possible as far as is known."""
        return np.asarray((self.lower < 0) & (self.upper > 0))

    def meet(self, other: Interval) -> tuple[Interval, BoolArray]:
        """What both say, and the boxes where they exclude each other: there is no point of the domain in those."""
        lower, upper = np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        return Interval(np.minimum(lower, upper), np.maximum(lower, upper)), np.asarray((lower > upper).any(axis=1))

    def take(self, boxes: slice | IntArray) -> Interval:
        """Some boxes."""
        return Interval(self.lower[boxes], self.upper[boxes])


@dataclass(frozen=True, slots=True, eq=False)
class Hints:
    """Numbers that a prover chose for m rows on each of the boxes; any are valid, arrays are (boxes, m, k).

    Attributes:
        alpha, lam: by ReLU node, columns (k,) and lower (upper) slopes, clipped to [0, 1].
        mu: multipliers >= 0 on the linear constraints  matrix x <= bound  of the boxes' part, or None.
        nu: multipliers >= 0 on the assumed constraints on outputs and inputs, or None.
        tau: by pre-activation node, columns and multipliers on ranges [l, u]: of u - z, or where negative of z - l.
    """

    alpha: Mapping[str, tuple[IntArray, FloatArray]] = field(default_factory=dict)
    lam: Mapping[str, tuple[IntArray, FloatArray]] = field(default_factory=dict)
    tau: Mapping[str, tuple[IntArray, FloatArray]] = field(default_factory=dict)
    mu: FloatArray | None = None
    nu: FloatArray | None = None

    def take(self, boxes: slice, rows: slice) -> Hints:
        """Some boxes and rows."""
        alpha, lam, tau = (
            {name: (columns, values[boxes, rows]) for name, (columns, values) in one.items()}
            for one in (self.alpha, self.lam, self.tau)
        )
        mu, nu = (None if one is None else one[boxes, rows] for one in (self.mu, self.nu))
        return Hints(alpha, lam, tau, mu, nu)


class Lines(NamedTuple):
    """alpha z <= max(0, z) <= lam z + offset, numbers (boxes, n) or (boxes, m, n); units not `alive` are inactive."""

    alpha: Numbers
    lam: Numbers
    offset: Numbers
    alive: Columns


def lines(numbers: Floats, z: Interval, alpha: FloatArray | None = None, lam: FloatArray | None = None) -> Lines:
    """Valid lines with any slopes (B-2); by default the chord above and the side of smaller area below."""
    lower, upper = z
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        chord = upper / (upper - lower)
        lam = np.where(np.isfinite(chord), chord, 0.5) if lam is None else lam
        alpha = (upper >= -lower).astype(np.float64) if alpha is None else alpha
        alpha, lam = _clipped(alpha, z), _clipped(lam, z)
        lower, upper = (_like(b, lam) for b in z)
        stable = (lower >= 0) | (upper <= 0)
        if numbers.exact:
            slope, low, high = (numbers.of(np.broadcast_to(a, lam.shape)) for a in (lam, lower, upper))
            left, right = -slope * low, high - slope * high
            offset = np.where(stable, numbers.zeros(lam.shape), np.where(left >= right, left, right))
        else:
            offset = np.maximum(-lam * lower, (1.0 - lam) * upper) * (1.0 + 8 * numbers.unit) + TINY
            offset = np.where(stable, 0.0, offset)
    alive = np.flatnonzero((z.upper > 0).any(axis=0))
    return Lines(numbers.of(alpha), numbers.of(lam), offset, alive if alive.size < z.upper.shape[1] else ALL)


def _like(bound: FloatArray, slopes: FloatArray) -> FloatArray:
    return bound if slopes.ndim == 2 else bound[:, None, :]


def _clipped(slopes: FloatArray, z: Interval) -> FloatArray:
    lower, upper = _like(z.lower, slopes), _like(z.upper, slopes)
    return np.where(upper <= 0, 0.0, np.where(lower >= 0, 1.0, np.clip(slopes, 0.0, 1.0)))


@dataclass(slots=True, eq=False)
class Region:
    """A batch of boxes with what is known on them.

    Attributes:
        network, numbers: the network and the arithmetic.
        bounds: by input or node, as far as it got.
        lines: by ReLU node.
        constraints: (matrix, bound): matrix x <= bound holds for all points in question.
        assumed: constraints on outputs and inputs that hold for all points in question.
        cancels: whether rows may cancel exactly, so that it is worth to see where nothing is rounded.
    """

    network: Network
    numbers: Floats
    bounds: dict[str, Interval]
    lines: dict[str, Lines] = field(default_factory=dict)
    constraints: tuple[FloatArray, FloatArray] | None = None
    assumed: Assumption | None = None
    cancels: bool = False
    losses: dict[str, Numbers] = field(default_factory=dict)

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return len(next(iter(self.bounds.values())).lower)

    def take(self, boxes: slice) -> Region:
        """Some boxes."""
        if boxes.start == 0 and boxes.stop >= self.boxes:
            return self
        cut = {
            name: Lines(one.alpha[boxes], one.lam[boxes], one.offset[boxes], one.alive)
            for name, one in self.lines.items()
        }
        bounds = {name: one.take(boxes) for name, one in self.bounds.items()}
        error = {name: one[boxes] if len(one) > 1 else one for name, one in self.losses.items()}
        kept = self.constraints, self.assumed, self.cancels
        return Region(self.network, self.numbers, bounds, cut, *kept, error)

    def interval(self, node: Affine) -> Interval:
        """Bounds from those of the sources (B-1); a component that reads only zeros is its bias, exactly."""
        numbers = self.numbers
        constant = numbers.gamma(sum(term.map.fan_in + 2 for term in node.terms) + 3)
        value = np.broadcast_to(numbers.of(node.bias), (self.boxes, node.size))
        radius, reads = constant * np.abs(value), np.zeros(value.shape)
        with np.errstate(invalid="ignore", over="ignore"):
            for term in node.terms:
                centre, spread = self._centred(term.source)
                value = value + numbers.forward(term.map, centre)
                size = np.abs(centre) + spread
                radius = radius + numbers.forward(term.map, spread + constant * size, absolute=True)
                if not numbers.exact:
                    some = ~(size == 0)
                    all_read = bool(some.all()) and isinstance(term.map, Dense) and term.map.matrix.all()
                    reads += 1 if all_read else numbers.forward(term.map, some.astype(np.float64), absolute=True)
            if not numbers.exact:
                radius = radius * (1.0 + 2 * constant) + 4 * numbers.unit * np.abs(value)
            found = Interval(-numbers.up(radius - value), numbers.up(value + radius))
        if numbers.exact:
            return found
        return Interval(np.where(reads == 0, node.bias, found.lower), np.where(reads == 0, node.bias, found.upper))

    def _centred(self, name: str) -> tuple[Numbers, Numbers]:
        """A centre c and a radius r >= |value - c|."""
        lower, upper = self.bounds[name]
        if self.numbers.exact:
            low, high = self.numbers.of(lower), self.numbers.of(upper)
            return (low + high) / 2, (high - low) / 2
        centre = np.clip(lower + (upper - lower) / 2, lower, upper)
        radius = np.maximum(upper - centre, centre - lower)
        return centre, np.where(radius > 0, np.nextafter(radius, np.inf), radius)

    def error(self, node: Affine) -> Numbers:
        """(boxes, n): rows of size 1 on each component lose at most this to rounding on their way through."""
        if node.name not in self.losses:
            gamma = self.numbers.gamma
            total = gamma(node.size + 2) * np.abs(node.bias)[None]
            for term in node.terms:
                reach = term.map.absolute().forward(self.bounds[term.source].magnitude)
                total = total + gamma(term.map.fan_out + 4) * reach
            self.losses[node.name] = total
        return self.losses[node.name]

    def maxima(self, target: str, units: IntArray, signs: FloatArray, hints: Hints | None = None) -> FloatArray:
        """Upper bounds of signs * z_units of a node on each box.

        Args:
            target: an affine node; what stands before it has bounds and lines.
            units: (boxes or 1, m).
            signs: (m,) +-1.
            hints: for these rows.

        Returns:
            (boxes, m).
        """
        result = np.empty((self.boxes, units.shape[1]))
        for boxes, rows in self._chunks(units.shape[1]):
            some = self.take(boxes)
            chosen = units[boxes, rows] if len(units) > 1 else units[:, rows]
            hint = None if hints is None else hints.take(boxes, rows)
            pull = Pull(some, hint)
            pull.start(target, chosen, signs[rows])
            result[boxes, rows] = pull.run()
        return result

    def zero(self, hints: Hints) -> FloatArray:
        """Upper bounds (boxes, m) of 0 by multipliers: a box where one is negative has no point in question (B-9)."""
        return Pull(self, hints).run()

    def _chunks(self, rows: int) -> Iterator[tuple[slice, slice]]:
        """Boxes and rows whose coefficients fit the limit; one box at a time where arithmetic is exact."""
        most = max(1, _CHUNK // max(self.network.sizes.values()))
        height = 1 if self.numbers.exact else max(1, most // max(rows, 1))
        for box in range(0, self.boxes, height):
            for row in range(0, rows, most):
                yield slice(box, min(box + height, self.boxes)), slice(row, min(row + most, rows))

    def two_sided(self, target: str, units: IntArray) -> Interval:
        """Bounds of z_units, (boxes or 1, m), with the default slopes."""
        count = units.shape[1]
        signs = np.repeat([1.0, -1.0], count)
        found = self.maxima(target, np.concatenate([units, units], axis=1), signs)
        return Interval(-found[:, count:], found[:, :count])


@dataclass(slots=True, eq=False)
class Pull:
    """Rows on their way back to the inputs (B-3).

    Attributes:
        region: bounds and lines.
        hints: slopes and multipliers of the rows.
        rows: by name, the coefficients that arrived there and the components they stand for.
        constant, error: (boxes or 1, m) what the bound has so far, and a bound on the rounding errors.
    """

    region: Region
    hints: Hints | None = None
    rows: dict[str, tuple[Numbers, Columns]] = field(default_factory=dict)
    constant: Numbers = field(init=False)
    error: Numbers = field(init=False)

    def __post_init__(self) -> None:
        self.constant = self.error = self.region.numbers.zeros((1, 1))

    def start(self, target: str, units: IntArray, signs: FloatArray) -> None:
        """Begin with signs * z_units."""
        region, numbers = self.region, self.region.numbers
        node = region.network.by_name.get(target)
        factors = numbers.of(signs)
        if isinstance(node, Affine) and all(isinstance(term.map, Dense) for term in node.terms):
            self.constant = numbers.of(node.bias)[units] * factors
            for term in node.terms:
                assert isinstance(term.map, Dense)
                alive = self._alive(term.source)
                self.add(term.source, numbers.rows_of(term.map, units, alive) * factors[:, None], alive)
            return
        rows = np.zeros((*units.shape, region.network.sizes[target]))
        np.put_along_axis(rows, units[:, :, None], np.broadcast_to(signs, units.shape)[:, :, None], axis=2)
        self.add(target, numbers.of(rows), ALL)

    def add(self, name: str, values: Numbers, columns: Columns) -> None:
        """Add rows on components of a node."""
        if name in self.rows:
            before, total = self.full(name), self._full(name, values, columns)
            summed = before + total
            if not self.region.numbers.exact:
                rounded = np.where((before != 0) & (total != 0), np.abs(summed), 0.0)
                self.lose(self.region.numbers.unit * self._reach(rounded, name, ALL))
            values, columns = summed, ALL
        self.rows[name] = values, columns

    def full(self, name: str) -> Numbers:
        """The coefficients on all components of a node."""
        return self._full(name, *self.rows[name])

    def run(self) -> FloatArray:
        """(boxes, m): pull everything back to the inputs, and bound it there."""
        with np.errstate(invalid="ignore", over="ignore"):
            if self.hints is not None:
                self._multipliers(self.hints)
            for node in reversed(self.region.network.nodes):
                if node.name not in self.rows:
                    continue
                values, columns = self.rows.pop(node.name)
                if not values.any():
                    continue
                if isinstance(node, Affine):
                    self._affine(node, values, columns)
                else:
                    self.relu(node, values, columns)
            return self._inputs()

    def _multipliers(self, hints: Hints) -> None:
        """Terms that are not negative on the set in question (B-6, B-9)."""
        region, numbers, inputs = self.region, self.region.numbers, self.region.network.inputs
        for name, (columns, tau) in hints.tau.items():
            factors, z = numbers.of(tau), region.bounds[name]
            above = numbers.positive(factors)
            lower, upper = (numbers.of(bound[:, columns]) for bound in z)
            self.shift(numbers.dot(above, upper) + numbers.dot(factors - above, lower))
            used = numbers.dot(above, np.abs(upper)) - numbers.dot(factors - above, np.abs(lower))
            self.lose(numbers.gamma(2 * columns.size + 4) * used)
            self.add(name, *self._spread(name, -factors, columns))
        if hints.mu is not None and region.constraints is not None:
            matrix, bound = region.constraints
            self._constraints(hints.mu, bound, [(inputs, matrix)])
        if hints.nu is not None and region.assumed is not None:
            assumed = region.assumed
            both = [(region.network.outputs, assumed.outputs), (inputs, assumed.inputs)]
            self._constraints(hints.nu, assumed.bound, both)

    def _constraints(
        self, multipliers: FloatArray, bound: FloatArray, sides: Iterable[tuple[Iterable[Port], FloatArray]]
    ) -> None:
        """Add  multipliers (bound - sum of matrix times ports); each matrix has the columns of its ports in order."""
        numbers = self.region.numbers
        factors, limit = numbers.of(np.maximum(multipliers, 0.0)), numbers.of(bound)
        loss = numbers.gamma(len(bound) + 2)
        self.shift(numbers.dot(factors, limit[None]))
        self.lose(loss * numbers.dot(factors, np.abs(limit)[None]))
        for ports, matrix in sides:
            exact, start = numbers.of(matrix), 0
            amount, size = numbers.product(factors, exact), numbers.product(factors, np.abs(exact))
            for port in ports:
                chosen = slice(start, start + port.size)
                self.lose(loss * self._reach(size[:, :, chosen], port.source, ALL))
                self.add(port.source, -amount[:, :, chosen], ALL)
                start += port.size

    def _affine(self, node: Affine, values: Numbers, columns: Columns) -> None:
        numbers = self.region.numbers
        self.shift(numbers.dot(values, numbers.of(node.bias)[None, columns]))
        if not numbers.exact:
            size = np.abs(values)
            if self.region.cancels and not any(term.map.entry_error for term in node.terms):  # a single 1 only copies
                size = np.where(((size != 0).sum(axis=2) == 1) & (size.sum(axis=2) == 1), 0.0, 1.0)[:, :, None] * size
            self.lose(numbers.dot(size, self.region.error(node)[:, columns]))
        for term in node.terms:
            alive = self._alive(term.source)
            self.add(term.source, numbers.backward(term.map, values, columns, alive), alive)

    def relu(self, node: Relu, values: Numbers, columns: Columns) -> None:
        """Through a ReLU: its lines."""
        region, numbers = self.region, self.region.numbers
        line = region.lines[node.name]
        if self.hints is not None and (node.name in self.hints.alpha or node.name in self.hints.lam):
            line = self._own_lines(node, self.hints, values.shape[1])
        alpha, lam, offset = (one[..., columns] for one in (line.alpha, line.lam, line.offset))
        positive = numbers.positive(values)
        negative = values - positive
        lift = numbers.dot(positive, offset) if offset.ndim == 2 else (positive * offset).sum(axis=2)
        self.shift(lift)
        pulled = positive * _per_row(lam) + negative * _per_row(alpha)
        if not numbers.exact:
            self.lose(numbers.gamma(values.shape[2] + 2) * lift)
            inexact = np.abs(pulled)
            if region.cancels:
                inexact = np.where((pulled != values) & (pulled != 0), inexact, 0.0)
            self.lose(2 * numbers.unit * self._reach(inexact, node.source, columns))
        self.add(node.source, pulled, columns)

    def _own_lines(self, node: Relu, hints: Hints, rows: int) -> Lines:
        z = self.region.bounds[node.source]
        slopes: list[FloatArray | None] = []
        for one, default in ((hints.alpha, 0), (hints.lam, 1)):
            if node.name not in one:
                slopes.append(None)
                continue
            columns, values = one[node.name]
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                chord = np.nan_to_num(z.upper / (z.upper - z.lower), nan=0.5)
            start = chord if default else (z.upper >= -z.lower).astype(np.float64)
            full = np.repeat(start[:, None, :], rows, axis=1)
            full[:, :, columns] = values
            slopes.append(full)
        return lines(self.region.numbers, z, *slopes)

    def _inputs(self) -> FloatArray:
        numbers = self.region.numbers
        for name in self.rows:
            rows = self.full(name)
            positive = numbers.positive(rows)
            lower, upper = self.region.bounds[name]
            amount = numbers.dot(positive, numbers.of(upper)) + numbers.dot(rows - positive, numbers.of(lower))
            self.shift(amount)
            if not numbers.exact:
                self.lose(numbers.gamma(rows.shape[2] + 4) * self._reach(np.abs(rows), name, ALL))
        found = numbers.up(self.constant, self.error)
        return np.broadcast_to(found, (self.region.boxes, found.shape[1]))

    def shift(self, amount: Numbers) -> None:
        """Add to the constant."""
        before, self.constant = self.constant, self.constant + amount
        if not self.region.numbers.exact:
            self.lose(self.region.numbers.unit * np.where((amount != 0) & (before != 0), np.abs(self.constant), 0.0))

    def lose(self, error: Numbers) -> None:
        """Add to the rounding errors."""
        if not self.region.numbers.exact:
            self.error = self.error + error

    def _reach(self, size: Numbers, name: str, columns: Columns) -> Numbers:
        numbers = self.region.numbers
        return (
            numbers.zeros((1, 1))
            if numbers.exact
            else numbers.dot(size, self.region.bounds[name].magnitude[:, columns])
        )

    def _alive(self, name: str) -> Columns:
        return self.region.lines[name].alive if name in self.region.lines else ALL

    def _full(self, name: str, values: Numbers, columns: Columns) -> Numbers:
        return values if isinstance(columns, slice) else self._spread(name, values, columns)[0]

    def _spread(self, name: str, values: Numbers, columns: Columns) -> tuple[Numbers, Columns]:
        result = self.region.numbers.zeros((*values.shape[:2], self.region.network.sizes[name]))
        result[:, :, columns] = values
        return result, ALL


def _per_row(slopes: Numbers) -> Numbers:
    return slopes if slopes.ndim == 3 else slopes[:, None, :]
