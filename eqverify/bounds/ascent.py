"""Gradient steps on slopes, and on multipliers of sign splits, of pulled-back bounds (specs/bounds.md, B-4 and B-7).

A pulled-back bound is U(alpha, beta) = constant + max over the box of a linear function.  Its gradient is found by
running forwards what ran backwards: with x* the maximising corner, a relaxed ReLU passes g_z on as lam g_z + t
where the coefficient on it was positive and as alpha g_z where it was negative; then dU / d alpha_i =
min(coefficient_i, 0) g_z_i, and a multiplier beta on a split z_j >= 0 has dU / d beta = g_z_j (Xu et al. 2021,
arXiv 2011.13824; Wang et al. 2021, arXiv 2103.06624).  Every iterate is a bound that is rounded outwards, so that
the steps themselves need no care; the best one counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.crown import open_units
from eqverify.bounds.interval import centred
from eqverify.bounds.pullback import Ground, LinearBound, Relaxation, Row, ancestors, relax
from eqverify.network import Affine

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

    def select(self, rows: BoolArray) -> Slopes:
        """Some rows, (m,) bool."""
        alpha = {name: values[:, rows] for name, values in self.alpha.items()}
        return Slopes(self.units[rows], self.signs[rows], self.columns, alpha, self.upper[:, rows])


class Ascent:
    """Gradient steps for some rows of one node; rows that got decided drop out.

    Args:
        ground: network, bounds and relaxations of what stands before the node; on a box where a sign is split, the
            bounds are clipped to that side.
        node: the target.
        units: (m,) components.
        signs: (m,) 1 to bound z from above, -1 to bound -z from above.
        splits: by pre-activation node, (boxes, n): 1 where z >= 0 may be used as a constraint, -1 where z <= 0, else 0.
    """

    def __init__(
        self,
        ground: Ground,
        node: Affine,
        units: IntArray,
        signs: FloatArray,
        splits: Mapping[str, ByteArray] | None = None,
    ) -> None:
        self.ground = ground
        self.node = node
        self.units = units
        self.signs = signs
        self.before = ancestors(ground.network, node.name)
        self.columns: dict[str, IntArray] = {}
        self.alpha: dict[str, FloatArray] = {}
        for relu in ground.network.relus:
            if relu.name in self.before:
                z = ground.bounds[relu.source]
                self.columns[relu.name] = np.flatnonzero(open_units(z).any(axis=0))
                start = ground.relaxations[relu.name].alpha[:, None, self.columns[relu.name]]
                self.alpha[relu.name] = np.repeat(start, units.size, axis=1)
        self.split_columns: dict[str, IntArray] = {}
        self.sides: dict[str, FloatArray] = {}
        self.beta: dict[str, FloatArray] = {}
        for name, side in (splits or {}).items():
            columns = np.flatnonzero(side.any(axis=0))
            if name in self.before and columns.size:
                self.split_columns[name] = columns
                self.sides[name] = side[:, None, columns].astype(np.float64)
                self.beta[name] = np.zeros((ground.boxes, units.size, columns.size))
        self.moments = {key: (np.zeros_like(v), np.zeros_like(v)) for key, v in (self.alpha | self.beta).items()}
        self.last: LinearBound | None = None

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
            result[name] = relax(self.ground.bounds[self._source(name)], alpha)
        return result

    def _pull(self, relaxations: Mapping[str, Relaxation], live: IntArray) -> LinearBound:
        ground = self.ground.with_relaxations(relaxations)
        pullback = ground.unit_rows(self.node.name, self.units[live][None], self.signs[live][None])
        for name, beta in self.beta.items():
            rows = np.zeros((ground.boxes, live.size, ground.network.sizes[name]))
            rows[:, :, self.split_columns[name]] = self.sides[name] * beta[:, live]
            pullback.add(name, Row(rows))
        self.last = pullback.run(record=True)
        return self.last

    def _gradients(self, relaxations: Mapping[str, Relaxation], found: LinearBound) -> dict[str, FloatArray]:
        """dU / d alpha by ReLU node and dU / d beta by pre-activation node, (boxes, rows, columns) each."""
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
                    if node.name in self.beta:
                        gradients[node.name] = self.sides[node.name] * total[..., self.split_columns[node.name]]
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
            first, second = (moment[:, live] for moment in self.moments[name])
            first, second = one * first + (1 - one) * g, two * second + (1 - two) * g * g
            self.moments[name][0][:, live], self.moments[name][1][:, live] = first, second
            move = rate * first / (1 - one**step) / (np.sqrt(second / (1 - two**step)) + 1e-8)
            if name in self.alpha:
                self.alpha[name][:, live] = np.clip(self.alpha[name][:, live] - move, 0.0, 1.0)
            else:
                self.beta[name][:, live] = np.maximum(self.beta[name][:, live] - self._scale(name) * move, 0.0)

    def _scale(self, name: str) -> float:
        """The order of magnitude of coefficients on a pre-activation node, which its multipliers should have."""
        entering = {} if self.last is None else self.last.entering
        sizes = [np.abs(rows).max(initial=0.0) for relu, rows in entering.items() if self._source(relu) == name]
        scale = max(sizes, default=0.0)
        return float(scale) if np.isfinite(scale) and scale > 0 else 1.0

    def _source(self, relu: str) -> str:
        return self.ground.network.by_name[relu].sources[0]
