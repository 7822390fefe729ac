"""Bounds over a batch of boxes: intervals, and rows pulled back with any slopes and multipliers.

Statements B-0 to B-3, B-6, B-7, B-9 and B-12 of specs/bounds.md.  All bounds are float64, (boxes, n), and hold on the
part of the domain inside each box; rows are numbers of either arithmetic, (boxes or 1, m, n).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.checker import curves
from eqverify.checker.numbers import TINY, Floats, Numbers
from eqverify.domain import Assumption
from eqverify.network import Affine, Dense, Network, Node, Product, Relu, Smooth

Lines = tuple[Numbers, Numbers, Numbers]
"""alpha z <= max(0, z) <= lam z + offset, (boxes, m or 1, n)."""

Curve = tuple[Numbers, Numbers, Numbers, Numbers]
"""alpha z + base <= f(z) <= lam z + offset, (boxes, 1, n)."""

_MOST = 1e30
"""Of multipliers of a cut."""

SparseSlopes = Mapping[str, tuple[IntArray, FloatArray]]
"""By node, columns (k,) and a number for each of them, (boxes, m, k)."""


class Interval(NamedTuple):
    """lower <= value <= upper."""

    lower: FloatArray
    upper: FloatArray

    def open(self) -> BoolArray:
        """Where both signs are possible as far as is known."""
        return np.asarray((self.lower < 0) & (self.upper > 0))

    def meet(self, other: Interval) -> tuple[Interval, BoolArray]:
        """What both say, and the boxes where they exclude each other: there is no point of the domain in those."""
        lower, upper = np.maximum(self.lower, other.lower), np.minimum(self.upper, other.upper)
        return Interval(np.minimum(lower, upper), np.maximum(lower, upper)), np.asarray((lower > upper).any(axis=1))

    def signs(self) -> Interval:
        """The signs that follow."""
        return Interval(np.where(self.lower >= 0, 0.0, -np.inf), np.where(self.upper <= 0, 0.0, np.inf))

    def take(self, boxes: slice | IntArray | BoolArray) -> Interval:
        """Some boxes."""
        return Interval(self.lower[boxes], self.upper[boxes])

    def hull(self) -> Interval:
        """(1, n) around all boxes."""
        return Interval(self.lower.min(axis=0, keepdims=True), self.upper.max(axis=0, keepdims=True))


class Cut(NamedTuple):
    """For each box a linear function, slopes x + constant, that is not negative at the points in question.

    Attributes:
        slopes: by input, (boxes, n), finite.
        constant: (boxes, 1), finite.
    """

    slopes: dict[str, FloatArray]
    constant: FloatArray

    def take(self, boxes: slice | IntArray | BoolArray) -> Cut:
        """Some boxes."""
        return Cut({name: one[boxes] for name, one in self.slopes.items()}, self.constant[boxes])


@dataclass(frozen=True, slots=True, eq=False)
class Hints:
    """Numbers that a prover chose for m rows on each of the boxes; any are valid.

    Attributes:
        alpha, lam: by ReLU node, lower (upper) slopes; clipped to [0, 1].
        tau: by node, multipliers on ranges [l, u]: of u - z, or where negative of z - l.
        mu: (boxes, m, k) multipliers >= 0 on the constraints, or None.
    """

    alpha: SparseSlopes = field(default_factory=dict)
    lam: SparseSlopes = field(default_factory=dict)
    tau: SparseSlopes = field(default_factory=dict)
    mu: FloatArray | None = None

    def take(self, boxes: slice | IntArray, rows: slice) -> Hints:
        """Some boxes and rows."""
        alpha, lam, tau = (
            {name: (columns, values[boxes, rows]) for name, (columns, values) in one.items()}
            for one in (self.alpha, self.lam, self.tau)
        )
        return Hints(alpha, lam, tau, None if self.mu is None else self.mu[boxes, rows])


@dataclass(slots=True, eq=False)
class Region:
    """A batch of boxes with what is known on them.

    Attributes:
        network, numbers: the network and the arithmetic.
        bounds: by input or node, as far as it got.
        constraints: on inputs and outputs, which hold for all points in question.
        cut: where there is one, it joins rows that are bounded.
        lines: by ReLU node, those with the default slopes, and the bounds that they are for.
        curves: by smooth node, likewise.
    """

    network: Network
    numbers: Floats
    bounds: dict[str, Interval]
    constraints: Assumption | None = None
    cut: Cut | None = None
    lines: dict[str, tuple[Interval, Lines]] = field(default_factory=dict)
    curves: dict[str, tuple[Interval, Curve]] = field(default_factory=dict)

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return len(next(iter(self.bounds.values())).lower)

    def take(self, boxes: slice | IntArray | BoolArray) -> Region:
        """Some boxes."""
        bounds = {name: one.take(boxes) for name, one in self.bounds.items()}
        cut = None if self.cut is None else self.cut.take(boxes)
        return Region(self.network, self.numbers, bounds, self.constraints, cut)

    def hull(self) -> Region:
        """One box around all."""
        return Region(self.network, self.numbers, {name: z.hull() for name, z in self.bounds.items()})

    def reach(self, name: str) -> FloatArray:
        """(n,) max |value| on any box."""
        lower, upper = self.bounds[name]
        return np.asarray(np.maximum(np.abs(lower), np.abs(upper)).max(axis=0))

    def alive(self, name: str) -> IntArray:
        """The components that are not known to be 0."""
        lower, upper = self.bounds[name]
        return np.flatnonzero(((upper != 0) | (lower != 0)).any(axis=0))

    def error(self, node: Affine) -> FloatArray:
        """(n,): rows of size 1 on each component lose at most this to rounding on their way through."""
        total = self.numbers.gamma(node.size + 2) * np.abs(node.bias)
        for term in node.terms:
            size = term.map.absolute().forward(self.reach(term.source))
            total = total + self.numbers.gamma(term.map.fan_out + 4) * size
        return total + TINY

    def bound(self, node: Node, known: Interval | None = None, wanted: BoolArray | None = None) -> BoolArray:
        """Bounds of a node from those before it and what is known; CROWN for open units before a ReLU (B-1 to B-3), and
        for what smooth nodes and products read (K-21).

        Args:
            node: the sources have bounds.
            known: what holds besides.
            wanted: (boxes, n) the units that need CROWN; by default all.

        Returns:
            (boxes,) whether bounds exclude each other.
        """
        if isinstance(node, Relu):
            lower, upper = self.bounds[node.source]
            self.bounds[node.name] = Interval(np.maximum(lower, 0.0), np.maximum(upper, 0.0))
            return np.zeros(self.boxes, dtype=bool)
        z = self.interval(node).meet(self._signs(node))[0] if isinstance(node, Affine) else self._curved(node)
        z, void = z.meet(known) if known is not None else (z, np.zeros(self.boxes, dtype=bool))
        self.bounds[node.name] = z
        if not isinstance(node, Affine):
            return void
        bent = any(node.name in other.sources for other in self.network.smooth)
        mask = (z.open() | bent) & (True if wanted is None else wanted)
        before = self.cut is not None or any(source in self.network.by_name for source in node.sources)
        if before and mask.any() and (bent or any(relu.source == node.name for relu in self.network.relus)):
            units = _chosen(node, mask)
            count, boxes = units.shape[1], np.arange(self.boxes)[:, None]
            found = self.maxima(node.name, np.hstack([units, units]), np.repeat([1.0, -1.0], count))
            # Lists are filled up with units that nobody asked for: what is said of them would depend on the batch.
            lower, upper = np.full(mask.shape, -np.inf), np.full(mask.shape, np.inf)
            lower[boxes, units], upper[boxes, units] = -found[:, count:], found[:, :count]
            crown = Interval(np.where(mask, lower, -np.inf), np.where(mask, upper, np.inf))
            self.bounds[node.name], more = z.meet(crown)
            void = void | more
        return void

    def _curved(self, node: Smooth | Product) -> Interval:
        """Bounds from those of the sources (K-21)."""
        ends = [self.bounds[source] for source in node.sources]
        if isinstance(node, Smooth):
            return Interval(*curves.value_range(node.function, ends[0]))
        return Interval(*curves.product_range(self.numbers, ends[0], ends[1]))

    def interval(self, node: Affine) -> Interval:
        """Bounds from those of the sources (B-1)."""
        numbers = self.numbers
        gamma = numbers.gamma(sum(term.map.fan_in + 2 for term in node.terms) + 3)
        value = numbers.of(np.broadcast_to(node.bias, (self.boxes, node.size)))
        radius = gamma * np.abs(value)
        with np.errstate(invalid="ignore", over="ignore"):
            for term in node.terms:
                lower, upper = self.bounds[term.source]
                middle = np.clip(lower + (upper - lower) / 2, lower, upper)
                width = np.maximum(upper - middle, middle - lower)
                centre, spread = (
                    numbers.of(v) for v in (middle, np.where(width > 0, np.nextafter(width, np.inf), width))
                )
                value = value + numbers.forward(term.map, centre)
                whole = np.abs(centre) + spread
                size = spread + gamma * whole + (TINY * (whole > 0) if numbers.unit else 0)
                radius = radius + numbers.forward(term.map, size, absolute=True)
            error = 2 * gamma * radius + 4 * numbers.unit * np.abs(value)
            return Interval(-numbers.up(radius - value, error), numbers.up(value + radius, error))

    def _signs(self, node: Affine) -> Interval:
        """Bounds at 0 where all summands have one sign: comparisons only, so that nothing is rounded."""
        positive, negative = ((side * node.bias > 0).astype(np.float64)[None] for side in (1.0, -1.0))
        for term in node.terms:
            lower, upper = self.bounds[term.source]
            above, below = (upper > 0).astype(np.float64), (lower < 0).astype(np.float64)
            if isinstance(term.map, Dense):
                plus, minus = ((side * term.map.matrix > 0).astype(np.float64).T for side in (1.0, -1.0))
                positive = positive + above @ plus + below @ minus
                negative = negative + above @ minus + below @ plus
            else:
                some = term.map.absolute().forward(np.maximum(above, below))
                positive, negative = positive + some, negative + some
        shape = (self.boxes, node.size)
        positive, negative = np.broadcast_to(positive, shape), np.broadcast_to(negative, shape)
        return Interval(np.where(negative == 0, 0.0, -np.inf), np.where(positive == 0, 0.0, np.inf))

    def maxima(self, target: str, units: IntArray, signs: FloatArray, hints: Hints | None = None) -> FloatArray:
        """Upper bounds (boxes, m) of signs * z_units of an affine node; units (boxes or 1, m), signs (m,) +-1."""
        result = np.empty((self.boxes, units.shape[1]))
        for boxes, rows in self._chunks(units.shape[1]):
            some = self if boxes.stop - boxes.start == self.boxes else self.take(boxes)
            pull = Pull(some, Hints() if hints is None else hints.take(boxes, rows))
            pull.start(target, units[boxes, rows] if len(units) > 1 else units[:, rows], signs[rows])
            result[boxes, rows] = pull.run()
        return result

    def excluded(self, mu: FloatArray) -> BoolArray:
        """(boxes,): no point satisfies the constraints, as one of the multipliers (boxes, m, k) shows (B-9)."""
        found = Pull(self, Hints(mu=mu)).run()
        return np.asarray((found < 0).any(axis=1))

    def clip(self, mu: FloatArray) -> BoolArray:
        """Take as the cut what multipliers (boxes, k) leave over of the constraints; (boxes,) where it is negative."""
        pull = Pull(self, Hints(mu=mu[:, None]))
        pull.back()
        self.cut = pull.form()
        return pull.greatest()[:, 0] < 0

    def _chunks(self, rows: int) -> Iterator[tuple[slice, slice]]:
        """Boxes and rows whose coefficients fit the limit."""
        most = max(1, self.numbers.chunk // max(self.network.sizes.values()))
        height = max(1, most // max(rows, 1))
        for box in range(0, self.boxes, height):
            for row in range(0, rows, most):
                yield slice(box, min(box + height, self.boxes)), slice(row, min(row + most, rows))


@dataclass(slots=True, eq=False)
class Pull:
    """Rows on their way back to the inputs (B-3).

    Attributes:
        region: bounds, and constraints.
        hints: slopes and multipliers of the rows.
        rows: by name, the coefficients that arrived there, and the components that they are on.
        constant, error: (boxes or 1, m) what the bound has so far, and a bound on the rounding errors.
        reached: the sum of all magnitudes that coefficients arrived at: coefficients that underflow count so often.
        cancels: whether rows may cancel exactly, so that it is worth to see where nothing is rounded.
    """

    region: Region
    hints: Hints = field(default_factory=Hints)
    cancels: bool = False
    rows: dict[str, tuple[Numbers, IntArray]] = field(default_factory=dict)
    constant: Numbers = field(init=False)
    error: Numbers = field(init=False)
    reached: float = 0.0

    def __post_init__(self) -> None:
        self.constant = self.error = self.region.numbers.zeros((1, 1))

    def start(self, target: str, units: IntArray, factors: FloatArray) -> None:
        """Add factors * z_units: units (boxes or 1, m), factors (m,)."""
        region, numbers = self.region, self.region.numbers
        node, scale = region.network.by_name.get(target), numbers.of(factors)
        dense = isinstance(node, Affine) and all(isinstance(term.map, Dense) for term in node.terms)
        if isinstance(node, Affine) and dense and (np.abs(factors) == 1).all():
            self.shift(numbers.of(node.bias)[units] * scale)
            for term in node.terms:
                alive = region.alive(term.source)
                self.add(term.source, numbers.matrix(term.map)[:, alive][units] * scale[:, None], alive)
            return
        rows = numbers.zeros((*units.shape, region.network.sizes[target]))
        rows[np.arange(len(units))[:, None], np.arange(units.shape[1]), units] = scale
        self.add(target, rows, np.arange(rows.shape[2]))

    def add(self, name: str, values: Numbers, columns: IntArray) -> None:
        """Add rows on some components of a node."""
        self.reached += float(self.region.reach(name).sum()) if self.region.numbers.unit else 0.0
        if name in self.rows:
            before, added = self.full(name, *self.rows[name]), self.full(name, values, columns)
            values, columns = before + added, np.arange(added.shape[2])
            if self.region.numbers.unit:
                rounded = np.where((before != 0) & (added != 0), np.abs(values), 0.0)
                self.error = self.error + self.region.numbers.unit * (rounded @ self.region.reach(name))
        self.rows[name] = values, columns

    def full(self, name: str, values: Numbers, columns: IntArray) -> Numbers:
        """Rows on all components of a node."""
        result = self.region.numbers.zeros((*values.shape[:2], self.region.network.sizes[name]))
        result[:, :, columns] = values
        return result

    def shift(self, amount: Numbers) -> None:
        """Add to the constant."""
        before, self.constant = self.constant, self.constant + amount
        if self.region.numbers.unit:
            rounded = np.where((amount != 0) & (before != 0), np.abs(self.constant), 0.0)
            self.error = self.error + self.region.numbers.unit * rounded

    def touch(self, size: Numbers) -> None:
        """Where rows may cancel exactly: note that these, (boxes, m, n), did not, however small they are."""
        if self.cancels and self.region.numbers.unit:
            self.error = self.error + TINY * (size != 0).any(axis=2)

    def run(self) -> FloatArray:
        """(boxes, m): pull everything back to the inputs, and bound it there."""
        self.back()
        return self.greatest()

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def back(self) -> None:
        """Pull everything back to the inputs."""
        self._multipliers()
        for node in reversed(self.region.network.nodes):
            values, columns = self.rows.pop(node.name, (np.zeros(0), np.zeros(0, np.int64)))
            if not values.any():
                continue
            if isinstance(node, Affine):
                self._affine(node, values, columns)
            elif isinstance(node, Relu):
                self.relu(node, values, columns)
            elif isinstance(node, Smooth):
                self._smooth(node, values, columns)
            else:
                self._product(node, values, columns)

    @np.errstate(invalid="ignore", over="ignore", divide="ignore")
    def greatest(self) -> FloatArray:
        """(boxes, m): the largest values on each box of what arrived at the inputs."""
        region = self.region
        if region.cut is not None:
            self._join(region.cut)
        for name, (values, columns) in self.rows.items():
            self._greatest(name, values, columns)
        found = region.numbers.up(self.constant, self._total_error())
        if self.cancels:  # nothing is left: nothing was rounded
            found = np.where((self.constant == 0) & (self.error == 0), 0.0, found)
        return np.broadcast_to(found, (region.boxes, found.shape[1]))

    def _total_error(self) -> Numbers:
        if not self.region.numbers.unit:
            return self.error
        return self.error + TINY * self.reached * (self.error != 0 if self.cancels else 1)

    def _arrived(self) -> dict[str, Numbers]:
        """By input, the coefficients (boxes or 1, m, n) that arrived there."""
        names = [port.name for port in self.region.network.inputs]
        nothing = self.region.numbers.zeros((1, 1, 0)), np.zeros(0, np.int64)
        return {name: self.full(name, *self.rows.get(name, nothing)) for name in names}

    @np.errstate(invalid="ignore", over="ignore")
    def form(self) -> Cut:
        """The linear function that a row, m = 1, came to, as a cut (B-12); 0 where its numbers are infinite."""
        numbers, boxes, slopes, above = self.region.numbers, self.region.boxes, {}, self.constant
        for name, values in self._arrived().items():
            found, rest = numbers.floats(values)
            above = above + numbers.dot(rest, numbers.of(self.region.reach(name)[None, None]))
            slopes[name] = np.broadcast_to(found[:, 0], (boxes, found.shape[2]))
        constant = np.broadcast_to(numbers.up(above, self._total_error()), (boxes, 1))
        finite = np.isfinite(np.hstack([constant, *slopes.values()])).all(axis=1, keepdims=True)
        zero = {name: np.where(finite, one, 0.0) for name, one in slopes.items()}
        return Cut(zero, np.where(finite, constant, 0.0))

    def _join(self, cut: Cut) -> None:
        """Add the cut so often that the largest values on the boxes are small (B-12)."""
        region, numbers = self.region, self.region.numbers
        rows = np.concatenate([numbers.floats(values)[0] for values in self._arrived().values()], axis=2)
        steep = np.concatenate(list(cut.slopes.values()), axis=1)
        ends = [np.concatenate([region.bounds[name][side] for name in cut.slopes], axis=1) for side in (0, 1)]
        factors = numbers.of(_shares(rows, steep, cut.constant, *ends))
        amount = factors * numbers.of(cut.constant)
        self.shift(amount)
        if numbers.unit:
            self.error = self.error + numbers.unit * np.abs(amount)
        for name, slopes in cut.slopes.items():
            added = factors[:, :, None] * numbers.of(slopes)[:, None]
            if numbers.unit:
                self.error = self.error + numbers.unit * (np.abs(added) @ region.reach(name))
            self.add(name, added, np.arange(slopes.shape[1]))

    def _multipliers(self) -> None:
        """Add terms that are not negative on the set in question (B-6, B-7, B-9)."""
        region, numbers = self.region, self.region.numbers
        for name, (columns, tau) in self.hints.tau.items():
            factors = numbers.of(tau)
            self._greatest(name, factors, columns)
            self.add(name, -factors, columns)
        if self.hints.mu is None or region.constraints is None:
            return
        given, factors = region.constraints, numbers.of(self.hints.mu)
        gamma, limit = numbers.gamma(len(given) + 2), numbers.of(given.bound)[None, None]
        self.shift(numbers.dot(factors, limit))
        self.error = self.error + gamma * numbers.dot(factors, np.abs(limit))
        for ports, matrix in ((region.network.outputs, given.outputs), (region.network.inputs, given.inputs)):
            start, amount = 0, numbers.product(factors, numbers.of(-matrix))
            for port in ports:
                chosen, start = slice(start, start + port.size), start + port.size
                if not amount[:, :, chosen].any():
                    continue
                if numbers.unit:
                    size = factors @ np.abs(matrix[:, chosen])
                    self.error = self.error + gamma * (size @ region.reach(port.source))
                self.add(port.source, amount[:, :, chosen], np.arange(port.size))

    def _greatest(self, name: str, values: Numbers, columns: IntArray) -> None:
        """Add the largest value that rows on some components of a node have on each box."""
        numbers = self.region.numbers
        lower, upper = (numbers.of(bound[:, None, columns]) for bound in self.region.bounds[name])
        above, below = np.maximum(values, 0), np.minimum(values, 0)
        self.shift(numbers.dot(above, upper) + numbers.dot(below, lower))
        if numbers.unit:
            size = numbers.dot(above, np.abs(upper)) - numbers.dot(below, np.abs(lower))
            self.error = self.error + numbers.gamma(2 * columns.size + 4) * size
            self.touch(values)

    def _affine(self, node: Affine, values: Numbers, columns: IntArray) -> None:
        region, numbers = self.region, self.region.numbers
        self.shift(numbers.dot(values, numbers.of(node.bias[None, None, columns])))
        if numbers.unit:
            size = np.abs(values)
            if self.cancels and not any(term.map.entry_error for term in node.terms):  # a single 1 only copies
                size = np.where(((size != 0).sum(axis=2) == 1) & (size.sum(axis=2) == 1), 0.0, 1.0)[:, :, None] * size
            self.error = self.error + size @ region.error(node)[columns]
            self.touch(size)
        for term in node.terms:
            alive = region.alive(term.source)
            self.add(term.source, numbers.backward(term.map, values, columns, alive), alive)

    def relu(self, node: Relu, values: Numbers, columns: IntArray) -> None:
        """Through a ReLU: alpha z <= max(0, z) <= lam z + offset."""
        numbers, lines = self.region.numbers, self.lines(node, values.shape[1])
        alpha, lam, offset = (one[:, :, columns] for one in lines)
        positive = values > 0
        above = np.where(positive, values, 0)
        lift, pulled = numbers.dot(above, offset), values * np.where(positive, lam, alpha)
        self.shift(lift)
        if not self.cancels:
            pulled, rest = numbers.cut(pulled, self.region.reach(node.source)[columns])
            self.shift(rest)
        if numbers.unit:
            self.error = self.error + numbers.gamma(columns.size + 2) * lift
            self.touch((above != 0) & (offset != 0))
            if not self.cancels:  # else slopes are 0 or 1
                self.error = self.error + 2 * numbers.unit * (np.abs(pulled) @ self.region.reach(node.source)[columns])
        self.add(node.source, pulled, columns)

    def _smooth(self, node: Smooth, values: Numbers, columns: IntArray) -> None:
        """Through a function, by its lines (K-21)."""
        region, numbers = self.region, self.region.numbers
        z = region.bounds[node.argument]
        known = region.curves.get(node.name)
        if known is None or known[0] is not z:
            found = curves.lines(node.function, z, region.bounds[node.name])
            known = z, tuple(numbers.of(one[:, None]) for one in found)
            region.curves[node.name] = known
        alpha, base, lam, offset = (one[:, :, columns] for one in known[1])
        self._offsets(values, base, offset)
        self._scaled(node.argument, values, np.where(values > 0, lam, alpha), columns)

    def _product(self, node: Product, values: Numbers, columns: IntArray) -> None:
        """Through a product, by its planes (K-21)."""
        region, numbers = self.region, self.region.numbers
        found = curves.planes(numbers, region.bounds[node.left], region.bounds[node.right])
        left, right, low, high = (numbers.of(one[:, None, columns]) for one in found)
        self._offsets(values, low, high)
        self._scaled(node.left, values, left, columns)
        self._scaled(node.right, values, right, columns)

    def _offsets(self, values: Numbers, low: Numbers, high: Numbers) -> None:
        """Add to the constant the offsets above where rows are positive, and those below where they are negative."""
        numbers, above, below = self.region.numbers, np.maximum(values, 0), np.minimum(values, 0)
        self.shift(numbers.dot(above, high) + numbers.dot(below, low))
        if numbers.unit:
            size = numbers.dot(above, np.abs(high)) - numbers.dot(below, np.abs(low))
            self.error = self.error + numbers.gamma(2 * values.shape[2] + 4) * size

    def _scaled(self, source: str, values: Numbers, factors: Numbers, columns: IntArray) -> None:
        """Add rows times factors on some components of a node."""
        numbers, reach = self.region.numbers, self.region.reach(source)[columns]
        pulled, rest = numbers.cut(values * factors, reach)
        self.shift(rest)
        self.error = self.error + 2 * numbers.unit * (np.abs(pulled) @ reach) if numbers.unit else self.error
        self.add(source, pulled, columns)

    def lines(self, node: Relu, rows: int) -> Lines:
        """Valid lines with any slopes in [0, 1] (B-2).

        By default the chord above and the side of smaller area below; of nearly equal ones slope 1, so that bounds
        which differ by roundings only give the same lines.
        """
        numbers, z = self.region.numbers, self.region.bounds[node.source]
        known = self.region.lines.get(node.name)
        default = node.name not in self.hints.alpha and node.name not in self.hints.lam
        if default and known is not None and known[0] is z:
            return known[1]
        lower, upper = z.lower[:, None], z.upper[:, None]
        chord = np.where(lower >= 0, 1.0, np.nan_to_num(upper / (upper - lower), nan=0.5))
        slopes = []
        below = (upper * (1 + 2.0**-14) >= -lower).astype(np.float64)
        for own, usual in ((self.hints.alpha, below), (self.hints.lam, chord)):
            slope = usual
            if node.name in own:
                columns, values = own[node.name]
                slope = np.repeat(usual, rows, axis=1)
                slope[:, :, columns] = values
            slopes.append(numbers.of(np.clip(slope, 0.0, 1.0)))
        alpha, lam = slopes
        left, right = (np.where(end < 0, -lam * end, (1 - lam) * end) for end in map(numbers.of, (lower, upper)))
        offset = np.maximum(left, right)
        found = alpha, lam, offset * (1.0 + 8 * numbers.unit) + TINY if numbers.unit else offset
        if default:
            self.region.lines[node.name] = z, found
        return found


def _chosen(node: Affine, wanted: BoolArray) -> IntArray:
    """(boxes or 1, m) components with at least those wanted; lists per box where maps are dense."""
    if len(wanted) == 1 or not all(isinstance(term.map, Dense) for term in node.terms):
        return np.flatnonzero(wanted.any(axis=0))[None]
    most = int(wanted.sum(axis=1).max(initial=0))
    return np.argsort(~wanted, axis=1, kind="stable")[:, :most]


def _shares(
    rows: FloatArray, steep: FloatArray, constant: FloatArray, lower: FloatArray, upper: FloatArray
) -> FloatArray:
    """(boxes, m) nu >= 0 that make the largest value of rows + nu (steep x + constant) on a box small; any are valid.

    That value is convex in nu, and its slope grows where a coefficient changes its sign.
    """
    middle, weight = lower + (upper - lower) / 2, (np.abs(steep) * (upper - lower) / 2)[:, None]
    at = -rows / steep[:, None]
    turns = np.isfinite(at) & (at > 0)
    slope = constant + (steep * middle).sum(axis=1, keepdims=True) + np.where(turns, -weight, weight).sum(axis=2)
    at = np.where(turns, at, np.inf)
    order = np.argsort(at, axis=2)
    later = slope[:, :, None] + np.cumsum(np.take_along_axis(2 * weight * turns, order, axis=2), axis=2)
    first = np.argmax(later >= 0, axis=2)[:, :, None]
    found = np.take_along_axis(np.take_along_axis(at, order, axis=2), first, axis=2)[:, :, 0]
    return np.where((slope < 0) & (later >= 0).any(axis=2) & (found < _MOST), found, 0.0)
