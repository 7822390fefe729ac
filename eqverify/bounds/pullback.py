"""Linear bounds pulled back through a network, with any slopes, rounded outwards (specs/bounds.md, B-2 to B-4).

To bound rows L z of a node from above, L is pulled back towards the inputs: an affine node multiplies it, a ReLU with
l < z < u replaces max(0, z) by the line lam z + t above it where the coefficient is positive, and by alpha z below it
where it is negative (Zhang et al. 2018, arXiv 1811.00866, theorem 3.2).  *Any* lam and alpha in [0, 1] give a valid
bound with t = max(-lam l, (1 - lam) u), so slopes need no care with rounding.  Lower bounds are upper bounds of negated
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds.interval import Bounds, Interval, centred
from eqverify.functions import Planes, lines, product_planes
from eqverify.kernels import kernels
from eqverify.network import UNIT_ROUNDOFF, Affine, Dense, LinearMap, Network, Product, Relu, Smooth, gamma
from eqverify.network.evaluate import UNDERFLOW, lost_coefficients

_SAFETY = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves: fewer than 10^9 additions, each off by 2^-53."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Linear bounds of one ReLU layer: alpha z <= max(0, z) <= lam z + offset; of a smooth node, with `base` below.

    Attributes:
        alpha: (boxes, n), or (boxes, m, n) with slopes of their own for each of m rows; each in [0, 1] for ReLUs.
        lam: of one of these shapes; each in [0, 1] for ReLUs.
        offset: of the shape of `lam`; not below max(-lam l, (1 - lam) u) for ReLUs.
        alive: units that are not stably inactive on every box, None for all; the others have zero slopes and offset.
        base: (boxes, n) for smooth nodes, alpha z + base <= f(z); None for ReLUs, where it is 0.
    """

    alpha: FloatArray
    lam: FloatArray
    offset: FloatArray
    alive: IntArray | None
    base: FloatArray | None = None


def relaxation(node: Relu | Smooth, bounds: Bounds) -> Relaxation:
    """The relaxation of a node, for ReLUs with the default slopes (B-2, B-13).  Trusted: `bounds` of what it reads."""
    if isinstance(node, Relu):
        return relax(bounds[node.source])
    argument = bounds[node.argument]
    around = lines(node.function, argument.lower, argument.upper)
    return Relaxation(around.low_slope, around.high_slope, around.high, None, around.low)


def relaxations_of(network: Network, bounds: Bounds) -> dict[str, Relaxation]:
    """By node, the relaxations of all ReLU and smooth nodes that read something of which there are bounds."""
    bent = [node for node in network.nodes if isinstance(node, Relu | Smooth)]
    return {node.name: relaxation(node, bounds) for node in bent if node.sources[0] in bounds}


def planes_of(node: Product, bounds: Bounds) -> Planes:
    """The planes around a product (B-14).  Trusted: `bounds` of its factors."""
    one, other = bounds[node.left], bounds[node.right]
    return product_planes((one.lower, one.upper), (other.lower, other.upper))


def relax(z: Interval, alpha: FloatArray | None = None, lam: FloatArray | None = None) -> Relaxation:
    """The relaxation with the slopes given.

    Args:
        z: proved interval of the pre-activations, (boxes, n), or (boxes, m, n) with one for each of m rows.
        alpha: lower slopes, (boxes, n) or (boxes, m, n); any numbers, which are clipped to [0, 1] (NaN to 0).  By
            default 0 or 1, whichever leaves the smaller area (CROWN's adaptive choice).
        lam: upper slopes, likewise; by default those of the chord.

    Returns:
        A valid relaxation, whatever the slopes.  Trusted: `z`.
    """
    lower, upper = z.lower, z.upper
    if lam is None:
        with np.errstate(divide="ignore", invalid="ignore"):
            lam = upper / (upper - lower)
        lam = np.where(np.isfinite(lam), lam, 0.5)
    if alpha is None:
        alpha = np.where(upper * (1 + 2.0**-14) >= -lower, 1.0, 0.0)  # as the checker's (B-2)
    lam = _slopes(lam, lower, upper)
    wide_lower, wide_upper = _like(lower, lam), _like(upper, lam)
    with np.errstate(invalid="ignore", over="ignore"):
        offset = np.maximum(-lam * wide_lower, (1.0 - lam) * wide_upper) * (1.0 + 8 * UNIT_ROUNDOFF) + UNDERFLOW
    offset = np.where((wide_lower >= 0) | (wide_upper <= 0), 0.0, offset)
    alive = np.flatnonzero((upper > 0).any(axis=tuple(range(upper.ndim - 1))))
    return Relaxation(_slopes(alpha, lower, upper), lam, offset, alive if alive.size < upper.shape[-1] else None)


def _like(bound: FloatArray, slopes: FloatArray) -> FloatArray:
    """Bounds (boxes, n) with an axis for rows where the slopes have one."""
    return bound if slopes.ndim == bound.ndim else bound[:, None, :]


def _slopes(slopes: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    lower, upper = _like(lower, slopes), _like(upper, slopes)
    clipped = np.fmin(np.fmax(slopes, 0.0), 1.0)  # NaN becomes 0
    return np.where(upper <= 0, 0.0, np.where(lower >= 0, 1.0, clipped))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Coefficients on the components of one node.

    Attributes:
        values: (boxes or 1, m, k).
        columns: the k components they stand for, None for all; components left out have coefficient 0.
    """

    values: FloatArray
    columns: IntArray | None = None

    def full(self, size: int) -> FloatArray:
        """(boxes or 1, m, size) with the zeros written out."""
        if self.columns is None:
            return self.values
        result = np.zeros((*self.values.shape[:2], size))
        result[:, :, self.columns] = self.values
        return result


@dataclass(frozen=True, slots=True, eq=False)
class LinearBound:
    """What a pullback found.

    Attributes:
        upper: (boxes, m) sound upper bounds of the rows; +inf where arithmetic overflowed.
        inputs: by input, (boxes or 1, m, size) the coefficients that arrived there; for heuristics only.
        entering: by ReLU or smooth node, the coefficients before its relaxation; recorded on request, for gradients.
    """

    upper: FloatArray
    inputs: Mapping[str, FloatArray]
    entering: Mapping[str, FloatArray]


@dataclass(slots=True)
class PullbackContext:
    """What pullbacks through one network over the same boxes share.

    Attributes:
        network: the network.
        bounds: proved intervals, (boxes, n), of all nodes before the targets; may grow between pullbacks, but what is
            there stays.
        relaxations: by ReLU or smooth node.
    """

    network: Network
    bounds: Bounds
    relaxations: Mapping[str, Relaxation]
    _error: dict[str, FloatArray] = field(default_factory=dict)
    _lost: dict[str, FloatArray] = field(default_factory=dict)
    _planes: dict[str, Planes] = field(default_factory=dict)

    @property
    def boxes(self) -> int:
        """Number of boxes."""
        return int(next(iter(self.bounds.values())).lower.shape[0])

    def with_relaxations(self, relaxations: Mapping[str, Relaxation]) -> PullbackContext:
        """The same over the same boxes with other slopes."""
        return PullbackContext(self.network, self.bounds, relaxations, self._error, self._lost, self._planes)

    def affine_error(self, node: Affine) -> FloatArray:
        """(boxes, n): rows of size 1 on each component lose at most this to rounding on their way through the node."""
        if node.name not in self._error:
            error = gamma(node.size + 2) * np.abs(node.bias)[None]
            for term in node.terms:
                reach = term.map.absolute().forward(self.bounds[term.source].magnitude)
                error = error + gamma(term.map.fan_out + 4) * reach
            self._error[node.name] = error + UNDERFLOW
        return self._error[node.name]

    def planes(self, node: Product) -> Planes:
        """(boxes, n): those around a product."""
        if node.name not in self._planes:
            self._planes[node.name] = planes_of(node, self.bounds)
        return self._planes[node.name]

    def lost(self, name: str) -> FloatArray:
        """(boxes, 1): what coefficients on a node that underflowed can amount to."""
        if name not in self._lost:
            self._lost[name] = lost_coefficients(self.bounds[name].magnitude)[:, None]
        return self._lost[name]

    def columns(self, name: str) -> IntArray | None:
        """The components of a node that rows need: not those of units that are inactive on every box."""
        relaxation = self.relaxations.get(name)
        return None if relaxation is None else relaxation.alive

    def unit_rows(self, target: str, units: IntArray, signs: FloatArray) -> Pullback:
        """Rows signs * e_units of a target node, one step back where that is exact.

        Args:
            target: an affine node.
            units: (boxes or 1, m) int64.
            signs: (boxes or 1, m) +-1.
        """
        node = self.network.by_name[target]
        pullback = Pullback(self)
        dense = isinstance(node, Affine) and all(isinstance(term.map, Dense) for term in node.terms)
        if isinstance(node, Affine) and dense:
            pullback.constant = signs * node.bias[units]
            for term in node.terms:
                columns = self.columns(term.source)
                matrix = term.map.dense() if columns is None else term.map.dense()[:, columns]
                pullback.add(term.source, Row(matrix[units] * signs[:, :, None], columns))
            return pullback
        rows = np.zeros((*units.shape, self.network.sizes[target]))
        np.put_along_axis(rows, units[:, :, None], np.broadcast_to(signs, units.shape)[:, :, None], axis=2)
        pullback.add(target, Row(rows))
        return pullback


@dataclass(slots=True)
class Pullback:
    """Rows on their way from a node back to the inputs.

    Attributes:
        ground: network, bounds and relaxations.
        rows: by name, what has arrived there.
        constant: (boxes or 1, m) what the bound has so far.
        error: (boxes or 1, m) bound on the rounding errors made so far.
    """

    ground: PullbackContext
    rows: dict[str, Row] = field(default_factory=dict)
    constant: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))
    error: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))

    def run(self, record: bool = False) -> LinearBound:
        """Pull everything back to the inputs and bound it there.

        Args:
            record: whether to keep what enters each ReLU or smooth node.
        """
        entering: dict[str, FloatArray] = {}
        with np.errstate(invalid="ignore", over="ignore"):
            for node in reversed(self.ground.network.nodes):
                row = self.rows.pop(node.name, None)
                if row is None:
                    continue
                if isinstance(node, Affine):
                    self._through_affine(node, row)
                else:
                    if record:
                        entering[node.name] = row.full(self.ground.network.sizes[node.name])
                    if isinstance(node, Product):
                        self._through_product(node, row)
                    else:
                        self._through_lines(node, row)
            return self._at_inputs(entering)

    def add(self, name: str, row: Row) -> None:
        """Add rows on a node's components."""
        if name in self.rows:
            size = self.ground.network.sizes[name]
            total = self.rows[name].full(size) + row.full(size)
            self.error = self.error + UNIT_ROUNDOFF * _times(np.abs(total), self.ground.bounds[name].magnitude)
            row = Row(total)
        self.rows[name] = row

    def _shift(self, amount: FloatArray, error: FloatArray) -> None:
        self.constant = self.constant + amount
        self.error = self.error + error + UNIT_ROUNDOFF * np.abs(self.constant)

    def _through_affine(self, node: Affine, row: Row) -> None:
        bias, error = node.bias, self.ground.affine_error(node)
        if row.columns is not None:
            bias, error = bias[row.columns], error[:, row.columns]
        form = kernels(numbers=row.values.size).rows
        self._shift(*form.measured(row.values, bias[None, None], error[:, None]))
        for term in node.terms:
            columns = self.ground.columns(term.source) if isinstance(term.map, Dense) else None
            self.error = self.error + self.ground.lost(term.source)
            self.add(term.source, Row(_backward(term.map, row, columns), columns))

    def _through_lines(self, node: Relu | Smooth, row: Row) -> None:
        (source,), used = node.sources, self.ground.relaxations[node.name]
        own = (used.alpha, used.lam, used.offset)
        alpha, lam, offset = (per_row(_columns(a, row.columns)) for a in own)
        reach = per_row(_columns(self.ground.bounds[source].magnitude, row.columns))
        form = kernels(numbers=2 * row.values.size).rows
        pulled, lift, size = form.through(row.values, alpha, lam, offset, reach)
        most = lift
        if used.base is not None:  # offsets have either sign, and the lines below have some, too
            base, positive = per_row(_columns(used.base, row.columns)), np.maximum(row.values, 0.0)
            below, least = form.measured(row.values - positive, base, np.abs(base))
            _, most = form.measured(positive, offset, np.abs(offset))
            lift, most = lift + below, most + least
        rounding = gamma(row.values.shape[-1] + 4) * most + 2 * UNIT_ROUNDOFF * size
        self._shift(lift, rounding + self.ground.lost(source))
        self.add(source, Row(pulled, row.columns))

    def _through_product(self, node: Product, row: Row) -> None:
        planes, form = self.ground.planes(node), kernels(numbers=2 * row.values.size).rows
        positive = np.maximum(row.values, 0.0)
        for part, offset in ((positive, planes.high), (row.values - positive, planes.low)):
            own = per_row(_columns(offset, row.columns))
            lift, most = form.measured(part, own, np.abs(own))
            self._shift(lift, gamma(part.shape[-1] + 2) * most)
        for source, factor in ((node.left, planes.left), (node.right, planes.right)):
            pulled = row.values * per_row(_columns(factor, row.columns))
            reach = per_row(_columns(self.ground.bounds[source].magnitude, row.columns))
            _, size = form.measured(pulled, reach, reach)
            self.error = self.error + 2 * UNIT_ROUNDOFF * size + self.ground.lost(source)
            self.add(source, Row(pulled, row.columns))

    def _at_inputs(self, entering: dict[str, FloatArray]) -> LinearBound:
        inputs = {}
        for port in self.ground.network.inputs:
            row = self.rows.get(port.name)
            if row is None:
                continue
            rows = inputs[port.name] = row.full(port.size)
            centre, radius = centred(self.ground.bounds[port.name])
            form, middle, spread = kernels(numbers=rows.size).rows, centre[:, None], radius[:, None]
            along, size = form.measured(rows, middle, np.abs(middle) + spread)
            _, across = form.measured(rows, middle, spread)
            self._shift(along + across, gamma(port.size + 4) * size)
        result = np.nextafter(self.constant + self.error * _SAFETY + UNDERFLOW, np.inf)
        result = np.where(np.isnan(result), np.inf, result)
        return LinearBound(np.broadcast_to(result, (self.ground.boxes, result.shape[1])), inputs, entering)


def ancestors(network: Network, name: str) -> set[str]:
    """The nodes that a node depends on, without itself."""
    wanted = set(network.by_name[name].sources)
    for node in reversed(network.nodes):
        if node.name in wanted:
            wanted.update(node.sources)
    return wanted


def per_row(slopes: FloatArray) -> FloatArray:
    """Slopes or offsets with an axis for rows."""
    return slopes if slopes.ndim == 3 else slopes[:, None, :]


def _columns(array: FloatArray, columns: IntArray | None) -> FloatArray:
    return array if columns is None else array[..., columns]


def _backward(linear: LinearMap, row: Row, columns: IntArray | None) -> FloatArray:
    """row . W restricted to some columns: the product is made with those entries only where W is dense."""
    if isinstance(linear, Dense):
        matrix = linear.matrix if row.columns is None else linear.matrix[row.columns]
        matrix = _columns(matrix, columns)
        boxes, rows, width = row.values.shape
        product = row.values.reshape(boxes * rows, width) @ matrix
        return np.asarray(product.reshape(boxes, rows, matrix.shape[1]))
    return _columns(linear.backward(row.full(linear.shape[0])), columns)


def _times(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """rows (boxes or 1, m, n) times vectors (boxes or 1, n): (boxes or 1, m)."""
    if rows.shape[0] == 1:
        return np.asarray(vectors @ rows[0].T)
    if vectors.shape[0] == 1:
        return np.asarray(rows @ vectors[0])
    return np.asarray(np.matmul(rows, vectors[:, :, None])[:, :, 0])
