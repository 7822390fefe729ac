"""The product of two networks as one MILP, with or without what differential bounds know (E-7).

Columns are the inputs, 1, the kept units of f and those of g, each with the big-M encoding of `eqverify.milp.encoding`.
With differences, bounds of z_f - z_g and of max(0, z_f) - max(0, z_g) become cuts, and bounds of units those of the
differential analysis; without, it is the plain product network that the literature starts from.
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.domain import Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.joint import Joint
from eqverify.equivalence.zonotope import Pusher
from eqverify.milp.encoding import Answer
from eqverify.milp.scip import ScipSolver
from eqverify.network import UNIT_ROUNDOFF, gamma
from eqverify.relaxation.blocks import UnitBlock


class ProductMilp:
    """Asks SCIP about disjuncts on one part of the domain.  Trusted: SCIP, as `ScipSolver` says.

    What a question has beside its last row, and the cuts, are constraints that `ScipSolver` loosens for its dual
    tolerance: so `NEVER` claims no more than the goal's rows and the proved bounds say.

    Args:
        joint: the system of rows on the part's box.
        goals: the question.
        part: the part of the domain.
        differences: whether to use differential bounds.
        seed: SCIP's.
    """

    def __init__(
        self, joint: Joint, goals: PairGoals, part: Polytope, *, differences: bool = True, seed: int = 0
    ) -> None:
        self.joint, self.goals, self.part, self.seed = joint, goals, part, seed
        self._head = goals.sizes[0] + 1
        f, g = joint.f, joint.g
        of_f, of_g = np.zeros((len(g.rows), f.rows.shape[1])), np.zeros((len(f.rows), g.rows.shape[1]))
        self._units = np.concatenate([self._joined(f.rows, of_g), self._joined(of_f, g.rows)])
        self._lower, self._upper = np.concatenate([f.lower, g.lower]), np.concatenate([f.upper, g.upper])
        self._magnitude = np.concatenate([f.magnitude, g.magnitude[self._head :]])
        self._cuts = self._cut(*self._differences()) if differences else None
        self._solver = self._model()
        self._own_rows = [np.flatnonzero(goals.disjunct == k) for k in range(len(goals))]
        self._rows, self._error = self._goal_rows()

    @property
    def description(self) -> str:
        """The solver with its tolerances."""
        return self._solver.description

    def ask(self, disjunct: int, seconds: float) -> Answer:
        """Can all rows of a disjunct be positive (or zero) on the part?  `NEVER` refutes the disjunct."""
        own = self._own_rows[disjunct]
        solver = self._solver
        if own.size > 1:
            solver = self._model()
            solver.add_constraints(-self._rows[own], self._error[own])
        lead = own[-1]
        return solver.exceeds(self._rows[lead], float(-self._error[lead]), seconds)

    def _model(self) -> ScipSolver:
        """The units of f, level by level, then those of g, and the cuts."""
        solver, f, g = ScipSolver(self.part, self.seed), self.joint.f, self.joint.g
        error = np.concatenate([f.error, g.error])
        level = np.concatenate([f.level, g.level + f.level.max(initial=0) + 1])
        for own in (np.flatnonzero(level == k) for k in np.unique(level)):
            rows = self._units[own, : self._head + own[0]]
            solver.add_units(UnitBlock(rows, error[own], self._lower[own], self._upper[own]))
        if self._cuts is not None:
            solver.add_constraints(*self._cuts)
        return solver

    def _goal_rows(self) -> tuple[FloatArray, FloatArray]:
        """The goals' rows over the model's columns, and how far they may be off on the box."""
        goals, f, g = self.goals, self.joint.f, self.joint.g
        n, first, _ = goals.sizes
        rows = self._joined(goals.rows[:, n : n + first] @ f.outputs, goals.rows[:, n + first :] @ g.outputs)
        rows[:, :n] += goals.rows[:, :n]
        rows[:, n] += goals.constant
        reach = np.abs(rows) @ self._magnitude
        return rows, (self.joint.target.error + gamma(4) * reach) * (1 + 8 * UNIT_ROUNDOFF)

    def _differences(self) -> tuple[IntArray, FloatArray, FloatArray]:
        """Units of f that have a partner, and proved bounds of  z_f - z_g; those of all units become narrower too."""
        box, start = self.part.box, len(self.joint.f.rows)
        pairs, lower, upper = [np.zeros(0, dtype=np.int64)], [np.zeros(0)], [np.zeros(0)]
        found = Pusher(self.joint).level_bounds(box.lower[None], box.upper[None])
        for (own, partners, lone), known in zip(self.joint.units, found, strict=True):
            for units, z in ((start + own, known.g), (partners, known.f), (lone, known.lone)):
                self._lower[units], self._upper[units] = z.lower[0], z.upper[0]
            pairs.append(partners)
            lower.append(known.difference.lower[0])
            upper.append(known.difference.upper[0])
        return np.concatenate(pairs), np.concatenate(lower), np.concatenate(upper)

    def _cut(self, f: IntArray, lower: FloatArray, upper: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of  z_f - z_g  and of  h_f - h_g  of pairs, as rows over all columns of the model."""
        own, h = self.joint.paired[f], np.eye(len(self._units), self._units.shape[1], self._head)
        g = len(self.joint.f.rows) + own
        z, h = self._units[f] - self._units[g], h[f] - h[g]
        reach = (np.abs(self._units[f]) + np.abs(self._units[g])) @ self._magnitude
        error = self.joint.f.error[f] + self.joint.g.error[own] + gamma(self._magnitude.size + 4) * reach
        error *= 1 + 8 * UNIT_ROUNDOFF
        bound = [upper + error, error - lower, np.maximum(upper, 0.0), np.maximum(-lower, 0.0)]
        return np.concatenate([z, -z, h, -h]), np.nextafter(np.concatenate(bound), np.inf)

    def _joined(self, of_f: FloatArray, of_g: FloatArray) -> FloatArray:
        """The sums of rows over f's and over g's columns, over the model's: inputs, 1, units of f, units of g."""
        head = self._head
        return np.concatenate([of_f[:, :head] + of_g[:, :head], of_f[:, head:], of_g[:, head:]], axis=1)
