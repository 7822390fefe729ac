"""The product of two networks as one MILP, with or without what differential bounds know (E-7).

Columns are the inputs, 1, the kept units of f and those of g, each with the big-M encoding of `eqverify.milp.encoding`.
With differences, bounds of z_f - z_g and of max(0, z_f) - max(0, z_g) become cuts, and bounds of units those of the
differential analysis; without, it is the plain product network that the literature starts from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.domain import Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.joint import Joint
from eqverify.equivalence.normal import NormalRows
from eqverify.equivalence.zonotope import Pusher
from eqverify.milp.encoding import Answer, UnitBlock
from eqverify.milp.scip import ScipSolver
from eqverify.network import UNIT_ROUNDOFF, gamma


@dataclass(frozen=True, slots=True, eq=False)
class _Limits:
    """Bounds of the kept units of f and g, and of the differences of pairs, (n,) each."""

    f_lower: FloatArray
    f_upper: FloatArray
    g_lower: FloatArray
    g_upper: FloatArray
    d_lower: FloatArray
    d_upper: FloatArray
    pairs: IntArray
    """(pairs,) the units of f that the differences are about."""


class ProductMilp:
    """Asks SCIP about disjuncts on one part of the domain.  Trusted: SCIP, as `ScipSolver` says.

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
        self.limits = _limits(joint, part) if differences else None
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
        solver = ScipSolver(self.part, self.seed)
        f, g, limits = self.joint.f, self.joint.g, self.limits
        bounds = (f.lower, f.upper, g.lower, g.upper)
        if limits is not None:
            bounds = (limits.f_lower, limits.f_upper, limits.g_lower, limits.g_upper)
        for level in np.unique(f.level):
            solver.add_units(_block(f, np.flatnonzero(f.level == level), 0, *bounds[:2]))
        for level in np.unique(g.level):
            solver.add_units(_block(g, np.flatnonzero(g.level == level), len(f.rows), *bounds[2:]))
        if limits is not None:
            solver.add_constraints(*_cuts(self.joint, limits))
        return solver

    def _goal_rows(self) -> tuple[FloatArray, FloatArray]:
        """The goals' rows over the model's columns, and how far they may be off on the box."""
        goals, f, g = self.goals, self.joint.f, self.joint.g
        n, first, _ = goals.sizes
        a, b = goals.rows[:, n : n + first], goals.rows[:, n + first :]
        rows = np.zeros((len(goals.rows), n + 1 + len(f.rows) + len(g.rows)))
        rows[:, : n + 1] = a @ f.outputs[:, : n + 1] + b @ g.outputs[:, : n + 1]
        rows[:, :n] += goals.rows[:, :n]
        rows[:, n] += goals.constant
        rows[:, n + 1 : n + 1 + len(f.rows)] = a @ f.outputs[:, n + 1 :]
        rows[:, n + 1 + len(f.rows) :] = b @ g.outputs[:, n + 1 :]
        reach = np.abs(rows) @ np.concatenate([f.magnitude, g.magnitude[n + 1 :]])
        return rows, (self.joint.target.error + gamma(4) * reach) * (1 + 8 * UNIT_ROUNDOFF)


def _limits(joint: Joint, part: Polytope) -> _Limits:
    box = part.box
    found = Pusher(joint).level_bounds(box.lower[None], box.upper[None])
    f, g = joint.f, joint.g
    f_lower, f_upper, g_lower, g_upper = f.lower.copy(), f.upper.copy(), g.lower.copy(), g.upper.copy()
    pairs, d_lower, d_upper = [], [], []
    for (own, partners, lone), bounds in zip(joint.units, found, strict=True):
        g_lower[own], g_upper[own] = bounds.g.lower[0], bounds.g.upper[0]
        f_lower[partners], f_upper[partners] = bounds.f.lower[0], bounds.f.upper[0]
        f_lower[lone], f_upper[lone] = bounds.lone.lower[0], bounds.lone.upper[0]
        pairs.append(partners)
        d_lower.append(bounds.difference.lower[0])
        d_upper.append(bounds.difference.upper[0])
    none = np.zeros(0)
    return _Limits(
        f_lower, f_upper, g_lower, g_upper,
        np.concatenate([none, *d_lower]), np.concatenate([none, *d_upper]),
        np.concatenate([none.astype(np.int64), *pairs]),
    )  # fmt: skip


def _block(side: NormalRows, units: IntArray, offset: int, lower: FloatArray, upper: FloatArray) -> UnitBlock:
    """Units of one network over the model's columns so far; those of the other network come first, `offset` many."""
    head = side.rows.shape[1] - len(side.rows)
    before = int(units[0])
    rows = side.rows[units]
    shifted = np.concatenate([rows[:, :head], np.zeros((units.size, offset)), rows[:, head : head + before]], axis=1)
    return UnitBlock(shifted, side.error[units], lower[units], upper[units])


def _cuts(joint: Joint, limits: _Limits) -> tuple[FloatArray, FloatArray]:
    """Bounds of  z_f - z_g  and of  h_f - h_g  of the pairs, as rows over all columns of the model."""
    f, g = joint.f, joint.g
    partners = joint.paired[limits.pairs]
    head = f.rows.shape[1] - len(f.rows)
    width = head + len(f.rows) + len(g.rows)
    z, h = np.zeros((partners.size, width)), np.zeros((partners.size, width))
    z[:, :head] = f.rows[limits.pairs, :head] - g.rows[partners, :head]
    z[:, head : head + len(f.rows)] = f.rows[limits.pairs, head:]
    z[:, head + len(f.rows) :] = -g.rows[partners, head:]
    h[np.arange(partners.size), head + limits.pairs] = 1.0
    h[np.arange(partners.size), head + len(f.rows) + partners] = -1.0
    reach = np.abs(f.rows[limits.pairs]) @ f.magnitude + np.abs(g.rows[partners]) @ g.magnitude
    error = (f.error[limits.pairs] + g.error[partners] + gamma(width + 4) * reach) * (1 + 8 * UNIT_ROUNDOFF)
    low, high = limits.d_lower, limits.d_upper
    rows = np.concatenate([z, -z, h, -h])
    bound = np.concatenate([high + error, error - low, np.maximum(high, 0.0), np.maximum(-low, 0.0)])
    return rows, np.nextafter(bound, np.inf)
