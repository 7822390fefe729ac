"""The normal form of a network on a box: rows of kept units and outputs over the inputs and earlier kept units (E-1).

Units that are multiples of others can be merged, and units put on the earliest level they can be on, so that networks
that were made differently look alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds import Bounds
from eqverify.network import UNIT_ROUNDOFF, Affine, Network, Relu
from eqverify.network.evaluate import lost_coefficients
from eqverify.network.expression import (
    Basis,
    Expression,
    affine_expression,
    input_expressions,
    make_basis,
    restrict_relu,
    value_range,
)

_PARALLEL = 1e-12
"""Units are merged where their rows are multiples of each other up to this share of what they can amount to, whatever
errors the rows have from being composed."""

_SAME_KEY = 1e-9
"""Rows whose keys differ by more are not compared."""


@dataclass(frozen=True, slots=True, eq=False)
class NormalRows:
    """The kept units and the outputs of one network as rows over  x, 1, kept units.

    Attributes:
        rows: (n, input_size + 1 + n) pre-activations of the kept units, each over earlier ones.
        error: (n,) how far a row may be from the pre-activation on the box.
        lower: (n,) proved bounds of the pre-activations on the box.
        upper: (n,)
        level: (n,) ascending; rows read units of lower levels only.
        origin: (n, 2) the number of the ReLU layer that a unit belongs to, and its number there.
        outputs: (m, input_size + 1 + n).
        output_error: (m,)
        magnitude: (input_size + 1 + n,) bounds on the columns.
    """

    rows: FloatArray
    error: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: IntArray
    origin: IntArray
    outputs: FloatArray
    output_error: FloatArray
    magnitude: FloatArray


def relu_signs(network: Network, bounds: Bounds, sliver: float = 0.0) -> list[IntArray]:
    """Per ReLU layer, (n,): 1 where z >= 0 is proved, -1 where z <= 0 is, else 0.

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the box, (1, n) each.
        sliver: how much of the other sign is put up with, as a share of the unit's range.
    """
    signs = []
    for node in network.relus:
        lower, upper = bounds[node.source].lower[0], bounds[node.source].upper[0]
        with np.errstate(invalid="ignore"):
            tiny = np.nan_to_num(sliver * (upper - lower), nan=0.0, posinf=0.0)
        signs.append(np.where(upper <= tiny, -1, np.where(lower >= -tiny, 1, 0)))
    return signs


def normal_rows(
    network: Network,
    bounds: Bounds,
    signs: list[IntArray],
    folded: list[BoolArray],
    *,
    merged: bool = False,
    tick: Callable[[], None] = lambda: None,
) -> NormalRows:
    """The normal form on a box.

    A folded unit may have a little of the other sign: max(0, z) is within max(0, -lower) of z, and within max(0, upper)
    of 0 (E-1).

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the box, (1, n) each.
        signs: per ReLU layer, as what a folded unit counts.
        folded: per ReLU layer, which units are not kept.
        merged: whether to merge parallel units, fold those whose rows show their sign, drop those that nothing reads,
            and put the others on the earliest level they can be on; else there is one level per ReLU layer.
        tick: called for each node; raises to stop.
    """
    form = _Form(network, bounds, signs, folded)
    for node in network.nodes:
        tick()
        form.visit(node, merged)
    return form.selected(form.read() if merged else np.flatnonzero(form.alive), merged)


class _Form:
    """The rows of a network while they are composed.

    Args:
        network, bounds, signs, folded: as `normal_rows`.
    """

    def __init__(self, network: Network, bounds: Bounds, signs: list[IntArray], folded: list[BoolArray]) -> None:
        self.network = network
        names = [node.name for node in network.relus]
        self.kept = {name: ~gone for name, gone in zip(names, folded, strict=True)}
        self.active = {name: gone & (sign > 0) for name, sign, gone in zip(names, signs, folded, strict=True)}
        self.ranges = {n.name: (bounds[n.source].lower[0], bounds[n.source].upper[0]) for n in network.relus}
        inputs = [bounds[port.name] for port in network.inputs]
        box = np.concatenate([i.lower[0] for i in inputs]), np.concatenate([i.upper[0] for i in inputs])
        self.basis = make_basis(network, self.kept, box, self.ranges)
        self.values = input_expressions(network, self.basis)
        self.seen = _Seen(self.basis)
        self.head = network.input_size + 1
        self.alive = np.ones(self.basis.width - self.head, dtype=bool)
        """(kept units,) bool: which are neither multiples of others nor folded."""

    def visit(self, node: Affine | Relu, merged: bool) -> None:
        """The next node."""
        if isinstance(node, Affine):
            self.values[node.name] = affine_expression(node, self.values, self.basis)
            return
        if merged:
            self._fold_by_rows(node)
        kept, columns = self.kept[node.name], self.basis.columns[node.name]
        z, (lower, upper) = self.values[node.source], self.ranges[node.name]
        h = restrict_relu(z, self.active[node.name], np.where(kept, columns, -1), self.basis)
        beyond = np.maximum(np.where(self.active[node.name], -lower, upper), 0.0)
        error = h.error + np.where(kept, 0.0, beyond)
        rows, error = h.rows, np.where(error == 0, 0.0, error * (1 + 4 * UNIT_ROUNDOFF))
        for unit in np.flatnonzero(kept).tolist() if merged else ():
            known = self.seen.find(z.rows[unit], float(z.error[unit]), int(columns[unit]))
            if known is not None:
                rows[unit], error[unit] = known
                self.alive[columns[unit] - self.head] = False
        self.values[node.name] = Expression(rows, error)

    def _fold_by_rows(self, node: Relu) -> None:
        """Bounds that rows show, which may be better since units were merged in them, and the signs that follow."""
        kept, (lower, upper) = self.kept[node.name], self.ranges[node.name]
        z = self.values[node.source]
        low, high = value_range(z, self.basis)
        with np.errstate(invalid="ignore"):
            tiny = np.nan_to_num(4 * z.error + _PARALLEL * self.basis.reach(z.rows), nan=0.0, posinf=0.0)
        # Units that are active already are kept as copies.
        open_units = kept & (lower < 0) & (upper > 0)
        self.ranges[node.name] = np.maximum(lower, low), np.minimum(upper, high)
        inactive, active = open_units & (high <= tiny), open_units & (low >= -tiny) & (high > tiny)
        self.kept[node.name] = kept & ~(inactive | active)
        self.active[node.name] = self.active[node.name] | active
        self.alive[self.basis.columns[node.name][inactive | active] - self.head] = False

    def read(self) -> IntArray:
        """Numbers of the kept units that matter: outputs read them, or units that matter do."""
        needed = np.any([(self.values[port.source].rows != 0).any(axis=0) for port in self.network.outputs], axis=0)
        for node in reversed(self.network.relus):
            for unit in np.flatnonzero(self.kept[node.name])[::-1].tolist():
                if needed[self.basis.columns[node.name][unit]]:
                    needed |= self.values[node.source].rows[unit] != 0
        return np.flatnonzero(needed[self.head :] & self.alive)

    def selected(self, chosen: IntArray, early: bool) -> NormalRows:
        """The rows of some kept units, by layer or on the earliest level."""
        names = [node.name for node in self.network.relus]
        kept = [np.flatnonzero(self.basis.columns[name] >= 0) for name in names]
        units = [self.values[node.source].select(k) for node, k in zip(self.network.relus, kept, strict=True)]
        none = np.zeros(0)
        rows = np.concatenate([np.zeros((0, self.basis.width)), *(u.rows for u in units)])
        error = np.concatenate([none, *(u.error for u in units)])
        lower, upper = (
            np.concatenate([none, *(self.ranges[name][side][k] for name, k in zip(names, kept, strict=True))])
            for side in (0, 1)
        )
        layer = np.repeat(np.arange(len(names)), [k.size for k in kept])
        origin = np.stack([layer, np.concatenate([none.astype(np.int64), *kept])], axis=1)
        level = _earliest(rows[:, self.head :]) if early else layer
        order = chosen[np.argsort(level[chosen], kind="stable")]
        columns = np.concatenate([np.arange(self.head), self.head + order])
        outputs = [self.values[port.source] for port in self.network.outputs]
        return NormalRows(
            rows[order][:, columns],
            error[order],
            lower[order],
            upper[order],
            level[order],
            origin[order],
            np.concatenate([o.rows for o in outputs])[:, columns],
            np.concatenate([o.error for o in outputs]),
            self.basis.magnitude[columns],
        )


def _earliest(rows: FloatArray) -> IntArray:
    """(n,) levels of units from their coefficients on each other, (n, n): one more than the highest level read."""
    level = np.zeros(len(rows), dtype=np.int64)
    reads = rows != 0
    for unit in range(len(rows)):
        level[unit] = level[reads[unit]].max(initial=-1) + 1
    return level


class _Seen:
    """Rows of kept units so far, by keys in which multiples agree."""

    def __init__(self, basis: Basis) -> None:
        self.basis = basis
        self.weights = np.where(np.isfinite(basis.magnitude), basis.magnitude, 0.0)
        self.direction = np.random.default_rng(0).normal(size=basis.width)
        self.keys = np.zeros(0)
        self.rows: list[FloatArray] = []
        self.errors: list[float] = []
        self.columns: list[int] = []

    def find(self, row: FloatArray, error: float, column: int) -> tuple[FloatArray, float] | None:
        """The output of a unit as a row over the output of one before it and its error, or None: then it is noted.

        With |z - c z'| <= r: if c > 0, max(0, z) is within r of c max(0, z'); if c < 0, it is z + max(0, -z), which is
        within r of  z - c max(0, z')  (E-1).

        Args:
            row: (width,) the pre-activation.
            error: how far that may be off.
            column: the unit's own column.
        """
        weighted = row * self.weights
        size = float(np.abs(weighted).sum())
        if not (np.isfinite(size) and size > 0):
            return None
        key = abs(float(weighted @ self.direction)) / size
        for place in np.flatnonzero(np.abs(self.keys - key) <= _SAME_KEY).tolist():
            factor = self._factor(row, place)
            gap = self._gap(row, factor, place)
            if gap <= _PARALLEL * size:
                gap = (gap + error + abs(factor) * self.errors[place]) * (1 + 1e-6)
                return self._output(row, error, factor, gap, self.columns[place])
        self.keys = np.append(self.keys, key)
        self.rows.append(row)
        self.errors.append(error)
        self.columns.append(column)
        return None

    def _factor(self, row: FloatArray, place: int) -> float:
        other = self.rows[place]
        pivot = int(np.argmax(np.abs(other * self.weights)))
        return float(row[pivot] / other[pivot])

    def _gap(self, row: FloatArray, factor: float, place: int) -> float:
        """A bound on |z - factor z'| on the box, but for the errors that both rows have anyway."""
        scaled = factor * self.rows[place]
        magnitude = self.basis.magnitude
        apart = float(np.abs(row - scaled) @ magnitude)
        if not apart and abs(math.frexp(factor)[0]) == 0.5 and np.array_equal(scaled / factor, self.rows[place]):
            rounding = 0.0
        else:
            rounding = 8 * UNIT_ROUNDOFF * float((np.abs(row) + np.abs(scaled)) @ magnitude) + float(
                lost_coefficients(magnitude)
            )
        return (apart + rounding) * (1 + 1e-6)

    def _output(
        self, row: FloatArray, error: float, factor: float, gap: float, column: int
    ) -> tuple[FloatArray, float]:
        if factor > 0:
            result = np.zeros_like(row)
            result[column] = factor
            return result, gap
        result = row.copy()
        result[column] -= factor
        rounding = 0.0 if row[column] == 0 else UNIT_ROUNDOFF * abs(result[column]) * self.basis.magnitude[column]
        return result, (gap + error + rounding) * (1 + 4 * UNIT_ROUNDOFF)
