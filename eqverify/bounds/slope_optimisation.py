"""Pulled-back bounds with slopes and multipliers found by gradient steps (specs/bounds.md, B-4, B-7, B-9).

The steps are untrusted (`eqverify.bounds.gradient_steps`); one pullback at the end, in float64 and rounded outwards, is
the bound.  Slopes and multipliers are float32 numbers held in float64: proofs can keep them exactly in half the space.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import ByteArray, FloatArray, IntArray
from eqverify.bounds.assumed import add_assumed
from eqverify.bounds.gradient_steps import StepNetwork, Steps
from eqverify.bounds.interval import Interval
from eqverify.bounds.pullback import LinearBound, Pullback, PullbackContext, Relaxation, Row, relax
from eqverify.domain import Assumption
from eqverify.network import Affine

FIRST_STEP = 0.25


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
    """Gradient steps for some rows of one node, and the bounds that they give; rows that got decided drop out.

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
        lines: what the steps see of the ground, node and constraints; found here by default.

    Attributes:
        columns: by ReLU node that matters, (k,) its open units.
        last: what the pullback that `run` ended with found for all rows.
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
        lines: StepNetwork | None = None,
    ) -> None:
        self.ground = ground
        self.node = node
        self.units = units
        self.signs = signs
        self.limits = np.zeros(units.size) if limits is None else limits
        self.rate = rate
        self.assumed = assumed
        self.lines = StepNetwork(ground, node, assumed) if lines is None else lines
        self.columns = {name: layer.columns for name, layer in self.lines.layers.items()}
        self.sides: dict[str, ByteArray] = {n: s for n, s in (splits or {}).items() if n in self.columns and s.any()}
        self.shape = ground.boxes, units.size
        count = 0 if assumed is None else len(assumed)
        first = np.full((*self.shape, count), float(node is None)) if nu is None else nu
        self.steps = self._steps(alpha, beta or {}, first)
        self.last: LinearBound | None = None

    def _steps(self, alpha: Mapping[str, FloatArray] | None, beta: Mapping[str, FloatArray], nu: FloatArray) -> Steps:
        constant, start = self.lines.start(self.units, self.signs)
        boxes, rows = self.shape
        numbers, sides = {}, {}
        for name, layer in self.lines.layers.items():
            own = numbers[name] = np.repeat(layer.alpha, rows, axis=0)
            if alpha is not None:
                own[:, layer.places] = alpha[name].reshape(boxes * rows, -1)
            sides[name] = np.zeros((0, own.shape[1]), dtype=np.int8)
            if (split := self.sides.get(name)) is not None:
                side = sides[name] = np.zeros(own.shape, dtype=np.int8)
                side[:, layer.places] = split.reshape(boxes * rows, -1)
                fixed = np.zeros(own.shape, dtype=own.dtype)
                if name in beta:
                    fixed[:, layer.places] = beta[name].reshape(boxes * rows, -1)
                numbers[name] = np.where(side == 0, own, fixed)
        start = {name: np.tile(row, (boxes, 1)) for name, row in start.items()}
        flat = nu.reshape(boxes * rows, -1).astype(self.lines.dtype)
        return Steps(self.lines, np.tile(constant, boxes), start, numbers, sides, flat)

    def run(self, iterations: int) -> Slopes:
        """At most so many steps; the slopes that seem best for each row and box, and the bounds that they give."""
        self.steps.run(iterations, self.limits, self.rate)
        alpha, beta = {}, {}
        with np.errstate(over="ignore"):
            nu = self.steps.nu.astype(np.float32).astype(np.float64).reshape(*self.shape, self.steps.nu.shape[1])
            for name, layer in self.lines.layers.items():
                own = self.steps.numbers[name][:, layer.places].astype(np.float32).astype(np.float64)
                alpha[name] = own.reshape(*self.shape, layer.places.size)
                if (side := self.sides.get(name)) is not None:
                    beta[name] = np.where(side != 0, alpha[name], 0.0)
                    alpha[name] = np.where(side == 0, alpha[name], 0.0)
        self.last = self._pull(self._relaxations(alpha), beta, nu)
        return Slopes(self.units, self.signs, self.columns, alpha, beta, self.last.upper, nu)

    def _relaxations(self, alphas: Mapping[str, FloatArray]) -> dict[str, Relaxation]:
        """Those of the ground, with the slopes, and on split signs the bounds, of each row."""
        result = dict(self.ground.relaxations)
        for name, columns in self.columns.items():
            base, z = result[name], self.ground.bounds[self.lines.layers[name].source]
            lower, upper = z.lower[:, None, columns], z.upper[:, None, columns]
            if name in self.sides:
                side = self.sides[name]
                lower, upper = np.where(side > 0, 0.0, lower), np.where(side < 0, 0.0, upper)
            own = relax(Interval(lower, upper), alphas[name])
            alpha = _spread(base.alpha, columns, own.alpha)
            lam, offset = base.lam, base.offset
            if name in self.sides:
                lam, offset = _spread(lam, columns, own.lam), _spread(offset, columns, own.offset)
            result[name] = Relaxation(alpha, lam, offset, base.alive)
        return result

    def _pull(
        self, relaxations: Mapping[str, Relaxation], betas: Mapping[str, FloatArray], nu: FloatArray
    ) -> LinearBound:
        ground = self.ground.with_relaxations(relaxations)
        pullback = Pullback(ground)
        if self.node is not None:
            pullback = ground.unit_rows(self.node.name, self.units[None], self.signs[None])
        if self.assumed is not None:
            add_assumed(pullback, self.assumed, nu)
        for name, beta in betas.items():
            source = self.lines.layers[name].source
            rows = np.zeros((*self.shape, ground.network.sizes[source]))
            rows[:, :, self.columns[name]] = self.sides[name] * beta
            pullback.add(source, Row(rows))
        return pullback.run(record=True)

    def gaps(self) -> dict[str, FloatArray]:
        """What the relaxation of each open unit costs the bounds of `run` at their maximising corners.

        Returns:
            By ReLU node, (boxes, m, k): |coefficient| times the distance of the unit's line from max(0, z).  A unit
            whose line is exact there costs nothing: splitting it would not help.
        """
        assert self.last is not None
        size, dtype, entering = self.shape[0] * self.shape[1], self.lines.dtype, {}
        held = {name: layer.held for name, layer in self.lines.layers.items()}
        held |= dict.fromkeys((*self.lines.curves, *self.lines.planes))
        for name, places in held.items():
            row = self.last.entering.get(name, np.zeros((*self.shape, self.ground.network.sizes[name])))
            row = row if places is None else row[..., places]
            entering[name] = np.broadcast_to(row, (*self.shape, row.shape[2])).astype(dtype).reshape(size, -1)
        rows = self.last.inputs.items()
        inputs = {n: np.broadcast_to(r, (*self.shape, r.shape[2])).astype(dtype).reshape(size, -1) for n, r in rows}
        values, _ = self.steps.push(self.steps.at(entering, inputs))
        costs = {}
        with np.errstate(over="ignore", invalid="ignore"):
            for name, layer in self.lines.layers.items():
                z = np.maximum(self.steps.before(values, layer), 0)
                cost = np.abs(entering[name] * (values[name] - z))[:, layer.places]
                costs[name] = cost.astype(np.float64).reshape(*self.shape, layer.places.size)
        return costs


def _spread(base: FloatArray, columns: IntArray, own: FloatArray) -> FloatArray:
    """`base` (boxes, n) for every row, with its own numbers (boxes, m, k) in some columns."""
    result = np.repeat(base[:, None, :], own.shape[1], axis=1)
    result[:, :, columns] = own
    return result
