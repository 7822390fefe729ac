"""alpha-CROWN: lower slopes of their own for every bound, by projected gradient steps (specs/bounds.md, B-4).

Xu et al. 2021 (arXiv 2011.13824).  A pulled-back bound is U(alpha) = constant + max over the box of a linear function.
Its gradient is found by running forwards what ran backwards: with x* the maximising corner, a relaxed ReLU passes g_z on
as lam g_z + t where the coefficient on it was positive and as alpha g_z where it was negative, and
dU / d alpha_i = min(coefficient_i, 0) g_z_i.  Every iterate is a bound that is rounded outwards, so that the steps
themselves need no care; the best one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.crown import chunks, open_units, replace_units, target_units, tighten, widest
from eqverify.bounds.interval import Bounds, Interval, centred, input_intervals, interval_affine
from eqverify.bounds.pullback import Ground, LinearBound, Relaxation, relax
from eqverify.network import Affine, Network, Relu

_RATE, _DECAY = 0.25, 0.95
_MOMENTS = (0.9, 0.999)


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """The lower slopes behind the bounds of some rows of one node, for later certificates.

    Attributes:
        units: (m,) component of each row.
        signs: (m,) 1 for an upper bound of z, -1 for an upper bound of -z.
        columns: by ReLU node, (k,) the units whose slopes were chosen; all others have CROWN's.
        alpha: by ReLU node, (boxes, m, k) in [0, 1].
        upper: (boxes, m) the bounds that they give.
    """

    units: IntArray
    signs: FloatArray
    columns: Mapping[str, IntArray]
    alpha: Mapping[str, FloatArray]
    upper: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class AlphaBounds:
    """What optimised slopes gave.

    Attributes:
        bounds: an interval, (boxes, n), per input and node.
        slopes: by target node, a list of chunks of rows.
    """

    bounds: Mapping[str, Interval]
    slopes: Mapping[str, tuple[Slopes, ...]]


def optimise_slopes(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    bounds: Bounds,
    targets: Mapping[str, BoolArray],
    *,
    above: Mapping[str, BoolArray] | None = None,
    below: Mapping[str, BoolArray] | None = None,
    iterations: int = 20,
) -> AlphaBounds:
    """Tighten the bounds of chosen units by optimised slopes; later nodes use what earlier ones gained.

    Args:
        network: the network.
        lower: (boxes, input_size).
        upper: (boxes, input_size).
        bounds: proved intervals of nodes, (boxes or 1, n), as from `crown_bounds`.
        targets: by pre-activation node, (n,) bool: the units to work on.  Those that are decided are left alone.
        above: by pre-activation node, (n,) bool: z > 0 is witnessed, so upper bounds are not worked on.
        below: likewise for z < 0 and lower bounds.
        iterations: gradient steps per bound, at most.

    Returns:
        Intervals of all nodes, not wider than `bounds`, and the slopes.  Trusted: float64 arithmetic, and `bounds`.

    Raises:
        ContradictionError: `bounds` and a bound found here exclude each other.
    """
    found = input_intervals(network, lower, upper)
    relaxations: dict[str, Relaxation] = {}
    ground = Ground(network, found, relaxations)
    slopes: dict[str, tuple[Slopes, ...]] = {}
    sources = {relu.source for relu in network.relus}
    for node in network.nodes:
        if isinstance(node, Relu):
            relaxations[node.name] = relax(found[node.source])
            found[node.name] = found[node.source].relu()
            continue
        z = interval_affine(node, found)
        if node.name in bounds:
            z = z.intersect(bounds[node.name], node.name)
        if slopes and node.name in sources:
            units = target_units(node, open_units(z))
            z = replace_units(z, units, tighten(ground, node.name, units), node.name) if units.size else z
        if relaxations and node.name in targets:
            rows = _rows(z, targets[node.name], (above or {}).get(node.name), (below or {}).get(node.name))
            slopes[node.name] = _optimise_node(ground, node, *rows, iterations)
            for part in slopes[node.name]:
                z = _take(z, part, node.name)
        found[node.name] = z
    return AlphaBounds(found, slopes)


def _rows(
    z: Interval, wanted: BoolArray, above: BoolArray | None, below: BoolArray | None
) -> tuple[IntArray, FloatArray]:
    """The bounds that are worth work, as units and signs: those of undecided units whose sign is not witnessed."""
    nothing = np.zeros(wanted.size, dtype=bool)
    undecided = wanted & (z.upper > 0).any(axis=0) & (z.lower < 0).any(axis=0)
    up = np.flatnonzero(undecided & ~(nothing if above is None else above))
    down = np.flatnonzero(undecided & ~(nothing if below is None else below))
    return np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])


def _take(z: Interval, part: Slopes, node: str) -> Interval:
    for sign in (1.0, -1.0):
        own = np.flatnonzero(part.signs == sign)
        if not own.size:
            continue
        infinite = np.full((len(z.lower), own.size), np.inf)
        one = Interval(-infinite, part.upper[:, own]) if sign > 0 else Interval(-part.upper[:, own], infinite)
        z = replace_units(z, part.units[own][None], one, node)
    return z


def _optimise_node(
    ground: Ground, node: Affine, units: IntArray, signs: FloatArray, iterations: int
) -> tuple[Slopes, ...]:
    parts = chunks(2 * units.size, ground.boxes, widest(ground.network))
    pieces = (slice(part.start // 2, part.stop // 2) for part in parts)
    return tuple(_Ascent(ground, node, units[p], signs[p]).run(iterations) for p in pieces if units[p].size)


class _Ascent:
    """Gradient steps for some rows of one node; rows that got decided drop out."""

    def __init__(self, ground: Ground, node: Affine, units: IntArray, signs: FloatArray) -> None:
        self.ground = ground
        self.node = node
        self.units = units
        self.signs = signs
        self.before = _ancestors(ground.network, node.name)
        self.columns: dict[str, IntArray] = {}
        self.alpha: dict[str, FloatArray] = {}
        for relu in ground.network.relus:
            if relu.name in self.before:
                z = ground.bounds[relu.source]
                self.columns[relu.name] = np.flatnonzero(open_units(z).any(axis=0))
                start = ground.relaxations[relu.name].alpha[:, None, self.columns[relu.name]]
                self.alpha[relu.name] = np.repeat(start, units.size, axis=1)
        self.first = {name: np.zeros_like(alpha) for name, alpha in self.alpha.items()}
        self.second = {name: np.zeros_like(alpha) for name, alpha in self.alpha.items()}

    def run(self, iterations: int) -> Slopes:
        """At most so many steps; the best slopes of each row and box."""
        best = np.full((self.ground.boxes, self.units.size), np.inf)
        kept = {name: alpha.copy() for name, alpha in self.alpha.items()}
        live = np.arange(self.units.size)
        rate = _RATE
        for step in range(iterations + 1):
            relaxations = self._relaxations(live)
            found = self._pull(relaxations, live)
            better = found.upper < best[:, live]
            best[:, live] = np.minimum(best[:, live], found.upper)
            for name, alpha in self.alpha.items():
                kept[name][:, live] = np.where(better[:, :, None], alpha[:, live], kept[name][:, live])
            going = ~(best[:, live] <= 0).all(axis=0)
            if step == iterations or not going.any():
                break
            gradients = self._gradients(relaxations, found)
            live = live[going]
            self._step({name: g[:, going] for name, g in gradients.items()}, live, rate, step + 1)
            rate *= _DECAY
        return Slopes(self.units, self.signs, self.columns, kept, best)

    def _relaxations(self, live: IntArray) -> dict[str, Relaxation]:
        result = dict(self.ground.relaxations)
        for name, columns in self.columns.items():
            base = result[name]
            alpha = np.repeat(base.alpha[:, None, :], live.size, axis=1)
            alpha[:, :, columns] = self.alpha[name][:, live]
            source = self.ground.network.by_name[name].sources[0]
            result[name] = relax(self.ground.bounds[source], alpha)
        return result

    def _pull(self, relaxations: Mapping[str, Relaxation], live: IntArray) -> LinearBound:
        ground = self.ground.with_relaxations(relaxations)
        return ground.unit_rows(self.node.name, self.units[live][None], self.signs[live][None]).run(record=True)

    def _gradients(self, relaxations: Mapping[str, Relaxation], found: LinearBound) -> dict[str, FloatArray]:
        """By ReLU node, (boxes, rows, columns) of dU / d alpha."""
        network, gradients = self.ground.network, {}
        values: dict[str, FloatArray] = {}
        shape = found.upper.shape
        for port in network.inputs:
            centre, radius = centred(self.ground.bounds[port.name])
            direction = np.sign(found.inputs.get(port.name, np.zeros((1, 1, port.size))))
            values[port.name] = np.broadcast_to(
                centre[:, None, :] + direction * radius[:, None, :], (*shape, port.size)
            )
        with np.errstate(over="ignore", invalid="ignore"):
            for node in network.nodes:
                if node.name not in self.before:
                    continue
                if isinstance(node, Affine):
                    total = np.broadcast_to(node.bias, (*shape, node.size))
                    for term in node.terms:
                        total = total + term.map.forward(values[term.source])
                    values[node.name] = total
                    continue
                row, z, relaxation = found.entering[node.name], values[node.source], relaxations[node.name]
                columns = self.columns[node.name]
                gradients[node.name] = np.minimum(row[..., columns], 0.0) * z[..., columns]
                above = relaxation.lam[:, None, :] * z + relaxation.offset[:, None, :]
                values[node.name] = np.where(row > 0, above, relaxation.alpha * z)
        return gradients

    def _step(self, gradients: Mapping[str, FloatArray], live: IntArray, rate: float, step: int) -> None:
        """Adam (Kingma, Ba 2015, arXiv 1412.6980), downhill, back into [0, 1]."""
        one, two = _MOMENTS
        for name, gradient in gradients.items():
            g = np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
            size = np.abs(g).max(axis=2, initial=0.0, keepdims=True)
            g = g / np.where(size > 0, size, 1.0)
            first = one * self.first[name][:, live] + (1 - one) * g
            second = two * self.second[name][:, live] + (1 - two) * g * g
            self.first[name][:, live], self.second[name][:, live] = first, second
            move = first / (1 - one**step) / (np.sqrt(second / (1 - two**step)) + 1e-8)
            self.alpha[name][:, live] = np.clip(self.alpha[name][:, live] - rate * move, 0.0, 1.0)


def _ancestors(network: Network, name: str) -> set[str]:
    """The nodes that a node depends on, without itself."""
    wanted = set(network.by_name[name].sources)
    for node in reversed(network.nodes):
        if node.name in wanted:
            wanted.update(node.sources)
    return wanted
