"""Gradient steps on slopes, and on multipliers of sign splits, of pulled-back bounds (specs/bounds.md, B-4, B-7, B-9).

A pulled-back bound is U(alpha, beta) = constant + max over the box of a linear function.  Its gradient is found by
running forwards what ran backwards: with x* the maximising corner, a relaxed ReLU passes g_z on as lam g_z + t
where the coefficient on it was positive and as alpha g_z where it was negative; then dU / d alpha_i =
min(coefficient_i, 0) g_z_i, and a multiplier beta on a split z_j >= 0 has dU / d beta = g_z_j (Xu et al. 2021,
arXiv 2011.13824; Wang et al. 2021, arXiv 2103.06624).  A multiplier nu on an assumed constraint C y + B x <= d has
dU / d nu = d - C g_y - B x*.  Every iterate is a bound that is rounded outwards, so that
the steps themselves need no care; the best one counts.  Slopes and multipliers are float32 numbers held in float64:
proofs can keep them exactly in half the space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import ByteArray, FloatArray, IntArray
from eqverify.bounds.assumed import add_assumed, assumed_nodes, assumed_slack
from eqverify.bounds.crown import open_units
from eqverify.bounds.interval import Interval, centred
from eqverify.bounds.pullback import LinearBound, Pullback, PullbackContext, Relaxation, Row, ancestors, per_row, relax
from eqverify.domain import Assumption
from eqverify.network import Affine, Dense

FIRST_STEP, _DECAY = 0.25, 0.95
_MOMENTS = (0.9, 0.999)
_NU = "nu"
"""The one entry of the multipliers on assumed constraints."""


@dataclass(frozen=True, slots=True, eq=False)
class Slopes:
    """The lower slopes and split multipliers behind the bounds of some rows of one node, for later certificates.

    Attributes:
        units: (m,) component of each row.
        signs: (m,) 1 for an upper bound of z, -1 for an upper bound of -z.
        columns: by ReLU node, (k,) the units whose slopes were chosen; all others have CROWN's.
        alpha: by ReLU node, (boxes, m, k) in [0, 1].
        beta: by ReLU node, (boxes, m, k) >= 0, where signs are split.
        upper: (boxes, m) the bounds that they give.
        nu: (boxes, m, k) the multipliers on the assumed constraints; k = 0 without any.
    """

    units: IntArray
    signs: FloatArray
    columns: Mapping[str, IntArray]
    alpha: Mapping[str, FloatArray]
    beta: Mapping[str, FloatArray]
    upper: FloatArray
    nu: FloatArray


class Ascent:
    """Gradient steps for some rows of one node; rows that got decided drop out.

    Args:
        ground: network, bounds and relaxations of what stands before the node, and before the outputs where constraints
            are assumed.
        node: the target; None for the zero row, of which a negative bound shows that no input satisfies the assumed
            constraints.
        units: (m,) components.
        signs: (m,) 1 to bound z from above, -1 to bound -z from above.
        splits: by ReLU node, (boxes, m, k) over its open units: 1 where z >= 0 holds, -1 where z <= 0, else 0.
        alpha: by ReLU node, (boxes, m, k) slopes to begin with; CROWN's by default.
        beta: by ReLU node, (boxes, m, k) multipliers to begin with; 0 by default.
        nu: (boxes, m, k) multipliers on the assumed constraints to begin with; 0 by default, 1 for the zero row.
        assumed: constraints on outputs and inputs that may be used.
        limits: (m,) a row is done when its bound is not above this; 0 by default.
        rate: length of the first step.
    """

    def __init__(
        self,
        ground: PullbackContext,
        node: Affine | None,
        units: IntArray,
        signs: FloatArray,
        splits: Mapping[str, ByteArray] | None = None,
        alpha: Mapping[str, FloatArray] | None = None,
        beta: Mapping[str, FloatArray] | None = None,
        *,
        nu: FloatArray | None = None,
        assumed: Assumption | None = None,
        limits: FloatArray | None = None,
        rate: float = FIRST_STEP,
    ) -> None:
        self.ground = ground
        self.node = node
        self.units = units
        self.signs = signs
        self.limits = np.zeros(units.size) if limits is None else limits
        self.rate = rate
        self.assumed = assumed
        self.before = set() if node is None else ancestors(ground.network, node.name)
        if assumed is not None:
            self.before |= assumed_nodes(ground.network, assumed)
        self.columns: dict[str, IntArray] = {}
        self.alpha: dict[str, FloatArray] = {}
        self.sides: dict[str, FloatArray] = {}
        self.beta: dict[str, FloatArray] = {}
        for relu in ground.network.relus:
            name = relu.name
            if name not in self.before:
                continue
            self.columns[name] = np.flatnonzero(open_units(ground.bounds[relu.source]).any(axis=0))
            start = ground.relaxations[name].alpha[:, None, self.columns[name]]
            self.alpha[name] = np.repeat(start, units.size, axis=1) if alpha is None else alpha[name].copy()
            if splits is not None and splits[name].any():
                self.sides[name] = splits[name].astype(np.float64)
                self.beta[name] = np.zeros(self.sides[name].shape) if beta is None else beta[name].copy()
        count = 0 if assumed is None else len(assumed)
        self.nu = {_NU: np.full((ground.boxes, units.size, count), float(node is None)) if nu is None else nu.copy()}
        self.moments = [
            {n: (np.zeros_like(v), np.zeros_like(v)) for n, v in p.items()} for p in (self.alpha, self.beta, self.nu)
        ]
        self.last: LinearBound | None = None
        self.last_relaxations: Mapping[str, Relaxation] = ground.relaxations
        self.last_rows = np.arange(units.size)
        self._needed = self._find_needed()
        self._matrices: dict[tuple[str, int], FloatArray] = {}

    def run(self, iterations: int) -> Slopes:
        """At most so many steps; the best slopes of each row and box."""
        best = np.full((self.ground.boxes, self.units.size), np.inf)
        chosen = (self.alpha, self.beta, self.nu)
        kept = [{name: v.copy() for name, v in values.items()} for values in chosen]
        live = np.arange(self.units.size)
        rate = self.rate
        for step in range(iterations + 1):
            relaxations = self._relaxations(live)
            found = self._pull(relaxations, live)
            better = found.upper < best[:, live]
            best[:, live] = np.minimum(best[:, live], found.upper)
            for own, values in zip(kept, chosen, strict=True):
                for name, value in values.items():
                    own[name][:, live] = np.where(better[:, :, None], value[:, live], own[name][:, live])
            going = ~(best[:, live] <= self.limits[live]).all(axis=0)
            if step == iterations or not going.any():
                break
            gradients = self._gradients(relaxations, found)
            live = live[going]
            for kind, own in enumerate(gradients):
                self._step(kind, {name: g[:, going] for name, g in own.items()}, live, rate, step + 1)
            rate *= _DECAY
        return Slopes(self.units, self.signs, self.columns, kept[0], kept[1], best, kept[2][_NU])

    def _relaxations(self, live: IntArray) -> dict[str, Relaxation]:
        """Those of the ground, with the slopes, and on split signs the bounds, of each row."""
        result = dict(self.ground.relaxations)
        for name, columns in self.columns.items():
            base, z = result[name], self.ground.bounds[self._source(name)]
            lower, upper = z.lower[:, None, columns], z.upper[:, None, columns]
            if name in self.sides:
                side = self.sides[name][:, live]
                lower, upper = np.where(side > 0, 0.0, lower), np.where(side < 0, 0.0, upper)
            own = relax(Interval(lower, upper), self.alpha[name][:, live])
            alpha = _spread(base.alpha, columns, own.alpha)
            lam, offset = base.lam, base.offset
            if name in self.sides:
                lam, offset = _spread(lam, columns, own.lam), _spread(offset, columns, own.offset)
            result[name] = Relaxation(alpha, lam, offset, base.alive)
        return result

    def _pull(self, relaxations: Mapping[str, Relaxation], live: IntArray) -> LinearBound:
        ground = self.ground.with_relaxations(relaxations)
        pullback = Pullback(ground)
        if self.node is not None:
            pullback = ground.unit_rows(self.node.name, self.units[live][None], self.signs[live][None])
        if self.assumed is not None:
            add_assumed(pullback, self.assumed, self.nu[_NU][:, live])
        for name, beta in self.beta.items():
            source = self._source(name)
            rows = np.zeros((ground.boxes, live.size, ground.network.sizes[source]))
            rows[:, :, self.columns[name]] = self.sides[name][:, live] * beta[:, live]
            pullback.add(source, Row(rows))
        self.last, self.last_relaxations = pullback.run(record=True), relaxations
        self.last_rows = live
        return self.last

    def gaps(self) -> dict[str, FloatArray]:
        """What the relaxation of each unit costs the bounds of the last pull at their maximising corners.

        Returns:
            By ReLU node, (boxes, rows, n), of the rows `last_rows`: |coefficient| times the distance of the unit's line
            from max(0, z).  A unit whose line is exact there costs nothing: splitting it would not help.
        """
        assert self.last is not None
        values, costs = self._at_corners(self.last_relaxations, self.last), {}
        for name in self.columns:
            if (row := self.last.entering.get(name)) is not None:
                costs[name] = np.abs(row * (values[name] - np.maximum(values[self._source(name)], 0.0)))
        return costs

    def _at_corners(self, relaxations: Mapping[str, Relaxation], found: LinearBound) -> dict[str, FloatArray]:
        """Values (boxes, rows, n) of all nodes at the maximising corners, ReLUs on the lines that the bounds used."""
        network, shape = self.ground.network, found.upper.shape
        values: dict[str, FloatArray] = {}
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
                    values[node.name] = self._forward(node, values, shape)
                    continue
                z, relaxation = values[node.source], relaxations[node.name]
                row = found.entering.get(node.name, np.zeros((1, 1, z.shape[2])))
                above = per_row(relaxation.lam) * z + per_row(relaxation.offset)
                values[node.name] = np.where(row > 0, above, per_row(relaxation.alpha) * z)
        return values

    def _gradients(
        self, relaxations: Mapping[str, Relaxation], found: LinearBound
    ) -> tuple[dict[str, FloatArray], dict[str, FloatArray], dict[str, FloatArray]]:
        """dU / d alpha and dU / d beta by ReLU node, and dU / d nu, (boxes, rows, columns) each."""
        network, slopes, multipliers = self.ground.network, {}, {}
        values = self._at_corners(relaxations, found)
        with np.errstate(over="ignore", invalid="ignore"):
            for name, columns in self.columns.items():
                source = self._source(name)
                z = values[source]
                row = found.entering.get(name, np.zeros((1, 1, z.shape[2])))
                free = open_units(self.ground.bounds[source])[:, None, columns]
                if name in self.beta:
                    side = self.sides[name][:, self.last_rows]
                    free = free & (side == 0)
                    multipliers[name] = side * z[..., columns]
                slopes[name] = np.where(free, np.minimum(row[..., columns], 0.0) * z[..., columns], 0.0)
            nu = {} if self.assumed is None else {_NU: assumed_slack(network, self.assumed, values)}
        return slopes, multipliers, nu

    def _forward(self, node: Affine, values: Mapping[str, FloatArray], shape: tuple[int, ...]) -> FloatArray:
        """The node's value; where it is dense and read by one ReLU only, without the units that are inactive there."""
        rows = self._needed.get(node.name)
        total = np.broadcast_to(
            node.bias if rows is None else node.bias[rows], (*shape, node.size if rows is None else rows.size)
        )
        for index, term in enumerate(node.terms):
            value, columns = values[term.source], self.ground.columns(term.source)
            if not isinstance(term.map, Dense):
                product = term.map.forward(value)
                total = total + (product if rows is None else product[..., rows])
                continue
            if (node.name, index) not in self._matrices:
                matrix = term.map.matrix if columns is None else term.map.matrix[:, columns]
                self._matrices[node.name, index] = (matrix if rows is None else matrix[rows]).T.copy()
            total = total + (value if columns is None else value[..., columns]) @ self._matrices[node.name, index]
        if rows is None:
            return total
        result = np.zeros((*shape, node.size))
        result[..., rows] = total
        return result

    def _find_needed(self) -> dict[str, IntArray]:
        """By affine node that one ReLU alone reads: the units that are not inactive."""
        readers: dict[str, list[str]] = {}
        for node in self.ground.network.nodes:
            for source in node.sources:
                readers.setdefault(source, []).append(node.name)
        found = {}
        for relu in self.columns:
            alive = self.ground.relaxations[relu].alive
            if alive is not None and readers[self._source(relu)] == [relu]:
                found[self._source(relu)] = alive
        return found

    def _step(self, kind: int, gradients: Mapping[str, FloatArray], live: IntArray, rate: float, step: int) -> None:
        """Adam (Kingma, Ba 2015, arXiv 1412.6980), downhill; slopes (kind 0) stay in [0, 1], multipliers above 0."""
        one, two = _MOMENTS
        values = (self.alpha, self.beta, self.nu)[kind]
        for name, gradient in gradients.items():
            size = np.abs(gradient).max(axis=2, initial=0.0, keepdims=True)
            g = gradient
            if not np.isfinite(size).all():
                g = np.nan_to_num(gradient, nan=0.0, posinf=0.0, neginf=0.0)
                size = np.abs(g).max(axis=2, initial=0.0, keepdims=True)
            g = g / np.where(size > 0, size, 1.0)
            first, second = (moment[:, live] for moment in self.moments[kind][name])
            first, second = one * first + (1 - one) * g, two * second + (1 - two) * g * g
            self.moments[kind][name][0][:, live], self.moments[kind][name][1][:, live] = first, second
            move = rate * first / (1 - one**step) / (np.sqrt(second / (1 - two**step)) + 1e-8)
            scale = 1.0 if kind == 0 else self._scale(name) if kind == 1 else self._assumed_scale(size, live)
            moved = np.clip(values[name][:, live] - scale * move, 0.0, 1.0 if kind == 0 else np.inf)
            if kind == 2 and self.node is None:
                moved = _normalised(moved)
            with np.errstate(over="ignore"):
                values[name][:, live] = moved.astype(np.float32)

    def _assumed_scale(self, size: FloatArray, live: IntArray) -> FloatArray | float:
        """What a full step changes: as much as would bring a linear bound to zero; the zero row's is scaled to 1.

        Args:
            size: (boxes, live rows, 1) the largest derivative of each bound.
            live: the rows.
        """
        if self.node is None or self.last is None:
            return 1.0
        upper = self.last.upper[:, np.searchsorted(self.last_rows, live)]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = np.abs(upper)[:, :, None] / size
        return np.where(np.isfinite(scale), scale, 0.0)

    def _scale(self, name: str) -> float:
        """The order of magnitude of coefficients on a pre-activation node, which its multipliers should have."""
        entering = {} if self.last is None else self.last.entering
        scale = np.abs(entering[name]).max(initial=0.0) if name in entering else 0.0
        return float(scale) if np.isfinite(scale) and scale > 0 else 1.0

    def _source(self, relu: str) -> str:
        return self.ground.network.by_name[relu].sources[0]


def _normalised(nu: FloatArray) -> FloatArray:
    """Multipliers that sum to 1; all equal where they are all 0."""
    total = nu.sum(axis=2, keepdims=True)
    return np.where(total > 0, nu / np.where(total > 0, total, 1.0), 1.0)


def _spread(base: FloatArray, columns: IntArray, own: FloatArray) -> FloatArray:
    """`base` (boxes, n) for every row, with its own numbers (boxes, m, k) in some columns."""
    result = np.repeat(base[:, None, :], own.shape[1], axis=1)
    result[:, :, columns] = own
    return result
