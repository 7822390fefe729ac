"""CROWN: linear bounds propagated backwards (Zhang et al. 2018, arXiv 1811.00866), rounded outwards.

To bound rows L z of a node from above, L is pulled back through the network: an affine node multiplies it, a ReLU with
l < z < u replaces max(0, z) by the line s z + t above it where the coefficient is positive, and by alpha z below it
where it is negative.  *Any* s and alpha in [0, 1] give a valid bound with t = max(-s l, (1 - s) u), so the slopes
themselves need no care with rounding.  Lower bounds are upper bounds of negated rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds.interval import Bounds, Interval, centred, input_intervals, interval_affine
from eqverify.network import UNIT_ROUNDOFF, Affine, Network, Relu, gamma
from eqverify.network.evaluate import UNDERFLOW

_SAFETY = 1.0 + 1e-6
"""Covers the rounding of the error terms themselves: fewer than 10^9 additions, each off by 2^-53."""


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Linear bounds of one ReLU layer: alpha z <= max(0, z) <= slope z + offset, all (boxes, n)."""

    alpha: FloatArray
    slope: FloatArray
    offset: FloatArray


def relax(z: Interval) -> Relaxation:
    """The chord above, and below the line 0 or z that leaves the smaller area (CROWN's adaptive choice)."""
    lower, upper = z.lower, z.upper
    with np.errstate(divide="ignore", invalid="ignore"):
        chord = np.clip(upper / (upper - lower), 0.0, 1.0)
    chord = np.where(np.isfinite(chord), chord, 0.5)
    slope = np.where(upper <= 0, 0.0, np.where(lower >= 0, 1.0, chord))
    alpha = np.where(upper <= 0, 0.0, np.where((lower >= 0) | (upper >= -lower), 1.0, 0.0))
    stable = (upper <= 0) | (lower >= 0)
    with np.errstate(invalid="ignore"):
        offset = np.maximum(-slope * lower, (1.0 - slope) * upper) * (1.0 + 8 * UNIT_ROUNDOFF) + UNDERFLOW
    return Relaxation(alpha, slope, np.where(stable, 0.0, offset))


@dataclass(slots=True)
class _Pullback:
    """Rows on their way from a node back to the inputs.

    Attributes:
        network: the network.
        bounds: intervals of all nodes before the target.
        rows: by name, coefficients (boxes or 1, m, n).
        constant: (boxes or 1, m) what the bound has so far.
        error: (boxes or 1, m) bound on the rounding errors made so far.
    """

    network: Network
    bounds: Bounds
    relaxations: Mapping[str, Relaxation]
    rows: dict[str, FloatArray]
    constant: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))
    error: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))

    def run(self) -> FloatArray:
        """(boxes, m) upper bounds of the rows."""
        with np.errstate(invalid="ignore", over="ignore"):
            for node in reversed(self.network.nodes):
                rows = self.rows.pop(node.name, None)
                if rows is None:
                    continue
                if isinstance(node, Affine):
                    self._through_affine(node, rows)
                else:
                    self._through_relu(node, rows)
            return self._at_inputs()

    def _add(self, name: str, rows: FloatArray) -> None:
        if name in self.rows:
            rows = self.rows[name] + rows
            self.error = self.error + UNIT_ROUNDOFF * _times(np.abs(rows), self.bounds[name].magnitude)
        self.rows[name] = rows

    def _shift(self, amount: FloatArray, error: FloatArray) -> None:
        self.constant = self.constant + amount
        self.error = self.error + error + UNIT_ROUNDOFF * np.abs(self.constant)

    def _through_affine(self, node: Affine, rows: FloatArray) -> None:
        size = np.abs(rows)
        self._shift(rows @ node.bias, gamma(node.size + 2) * (size @ np.abs(node.bias)))
        for term in node.terms:
            reach = term.map.absolute().forward(self.bounds[term.source].magnitude)
            self.error = self.error + gamma(term.map.fan_out + 4) * _times(size, reach)
            self._add(term.source, term.map.backward(rows))

    def _through_relu(self, node: Relu, rows: FloatArray) -> None:
        relaxation = self.relaxations[node.name]
        positive, negative = np.maximum(rows, 0.0), np.minimum(rows, 0.0)
        pulled = positive * relaxation.slope[:, None, :] + negative * relaxation.alpha[:, None, :]
        lift = _times(positive, relaxation.offset)
        reach = self.bounds[node.source].magnitude
        self._shift(lift, gamma(rows.shape[-1] + 2) * lift + 2 * UNIT_ROUNDOFF * _times(np.abs(pulled), reach))
        self._add(node.source, pulled)

    def _at_inputs(self) -> FloatArray:
        for port in self.network.inputs:
            rows = self.rows.get(port.name)
            if rows is None:
                continue
            centre, radius = centred(self.bounds[port.name])
            size = np.abs(rows)
            amount = _times(rows, centre) + _times(size, radius)
            self._shift(amount, gamma(port.size + 4) * _times(size, np.abs(centre) + radius))
        result = np.nextafter(self.constant + self.error * _SAFETY + UNDERFLOW, np.inf)
        return np.where(np.isnan(result), np.inf, result)


def _times(rows: FloatArray, vectors: FloatArray) -> FloatArray:
    """rows (boxes or 1, m, n) times vectors (boxes, n): (boxes, m)."""
    if rows.shape[0] == 1:
        return np.asarray(vectors @ rows[0].T)
    product = np.matmul(rows, vectors[:, :, None])[:, :, 0]
    return np.asarray(product)


def maximise_rows(
    network: Network, target: str, rows: FloatArray, bounds: Bounds, relaxations: Mapping[str, Relaxation]
) -> FloatArray:
    """Upper bounds of rows . value(target) over each box.

    Args:
        network: the network.
        target: name of the node the rows act on.
        rows: (m, n) coefficients on the node's components.
        bounds: proved intervals of all nodes before the target.
        relaxations: one per ReLU node before the target.

    Returns:
        (boxes, m); +inf where arithmetic overflowed.
    """
    boxes = next(iter(bounds.values())).lower.shape[0]
    upper = _Pullback(network, bounds, relaxations, {target: rows[None]}).run()
    return np.broadcast_to(upper, (boxes, rows.shape[0]))


def tighten(
    network: Network, node: str, units: IntArray, bounds: Bounds, relaxations: Mapping[str, Relaxation]
) -> Interval:
    """CROWN bounds of some components of a node: an interval of shape (boxes, len(units))."""
    size = network.sizes[node]
    rows = np.zeros((2 * units.size, size))
    rows[np.arange(units.size), units] = 1.0
    rows[np.arange(units.size, 2 * units.size), units] = -1.0
    upper = maximise_rows(network, node, rows, bounds, relaxations)
    return Interval(-upper[:, units.size :], upper[:, : units.size])


def crown_bounds(
    network: Network, lower: FloatArray, upper: FloatArray, known: Bounds | None = None, outputs: bool = False
) -> dict[str, Interval]:
    """Bounds of all nodes over boxes; pre-activations that intervals leave open by CROWN.

    Args:
        network: the network.
        lower: (boxes, input_size).
        upper: (boxes, input_size).
        known: proved intervals of some nodes, (boxes or 1, n), used wherever they are tighter.
        outputs: whether the output nodes get CROWN bounds too.

    Returns:
        An interval per input and node.  Trusted: float64 arithmetic, and `known`.

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    bounds = input_intervals(network, lower, upper)
    relaxations: dict[str, Relaxation] = {}
    targets = {node.source for node in network.relus}
    wanted = {port.source for port in network.outputs} if outputs else set()
    for node in network.nodes:
        if isinstance(node, Relu):
            relaxations[node.name] = relax(bounds[node.source])
            bounds[node.name] = bounds[node.source].relu()
            continue
        z = interval_affine(node, bounds)
        if known is not None and node.name in known:
            z = z.intersect(known[node.name], node.name)
        if node.name in targets or node.name in wanted:
            open_units = ((z.lower < 0) & (z.upper > 0)).any(axis=0)
            units = np.arange(node.size) if node.name in wanted else np.flatnonzero(open_units)
            if units.size and relaxations:
                tight = tighten(network, node.name, units, bounds, relaxations)
                z = _replace(z, units, tight, node.name)
        bounds[node.name] = z
    return bounds


def _replace(z: Interval, units: IntArray, tight: Interval, node: str) -> Interval:
    old = Interval(z.lower[:, units], z.upper[:, units]).intersect(tight, node)
    lower, upper = z.lower.copy(), z.upper.copy()
    lower[:, units], upper[:, units] = old.lower, old.upper
    return Interval(lower, upper)
