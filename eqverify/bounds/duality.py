"""Bounds from multipliers: weak duality of the triangle relaxation, rounded outwards (specs/bounds.md, B-6).

Columns v are the inputs x, the constant 1, and the outputs h of kept units in topological order; each kept unit has

    h >= z,   h <= lam z + t,   |z - row . v| <= error,   0 <= h <= max(u, 0)

(Ehlers 2017, arXiv 1705.01320), and the columns may satisfy  A v <= b (on inputs, or as assumed of outputs).
For *any* multipliers >= 0

    c . v  <=  c . v + sum_i [ y_i (h_i - z_i) + w_i (lam_i z_i + t_i - h_i) ] + mu . (b - A v),

and the right-hand side is a linear function of v, whose maximum over the columns' ranges is a product and a sum.  So
nothing about a solver that proposed the multipliers need be believed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Interval, centred
from eqverify.bounds.pullback import relax
from eqverify.network import gamma
from eqverify.network.evaluate import lost_coefficients
from eqverify.relaxation.blocks import UnitBlock


@dataclass(frozen=True, slots=True, eq=False)
class Multipliers:
    """What a dual bound is recomputed from; negative numbers and NaN count as 0.

    Attributes:
        below: (units,) on h >= z.
        above: (units,) on h <= lam z + t.
        constraints: (k,) on the linear constraints.
    """

    below: FloatArray
    above: FloatArray
    constraints: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Triangles:
    """The relaxation of kept units over columns.

    Attributes:
        lower: (width,) proved lower bounds of the columns.
        upper: (width,) proved upper bounds.
        rows: (units, width) the pre-activations; a unit's row uses columns before its own only.
        error: (units,) |z - row . v| is at most this.
        lam: (units,) upper slopes.
        offset: (units,) offsets of the upper lines.
        first: the column of unit 0; the others follow.
        matrix: (k, inputs or more) linear constraints on the first columns.
        bound: (k,) their right-hand sides.
    """

    lower: FloatArray
    upper: FloatArray
    rows: FloatArray
    error: FloatArray
    lam: FloatArray
    offset: FloatArray
    first: int
    matrix: FloatArray
    bound: FloatArray

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.lower.size)

    @property
    def units(self) -> int:
        """Number of kept units."""
        return int(self.error.size)

    def none(self) -> Multipliers:
        """Multipliers that are all zero: the bound of interval arithmetic."""
        return Multipliers(np.zeros(self.units), np.zeros(self.units), np.zeros(self.bound.size))

    def maximum(self, row: FloatArray, multipliers: Multipliers) -> float:
        """A sound upper bound of row . v; +inf where arithmetic overflowed.

        Args:
            row: (width,), or shorter if only the first columns occur.
            multipliers: anything.
        """
        c = np.zeros(self.width)
        c[: row.size] = row
        below, above, mu = (_repaired(m) for m in (multipliers.below, multipliers.above, multipliers.constraints))
        with np.errstate(over="ignore", invalid="ignore"):
            return self._maximum(c, below, above, mu)

    def _maximum(self, c: FloatArray, below: FloatArray, above: FloatArray, mu: FloatArray) -> float:
        units, constrained = slice(self.first, self.first + self.units), self.matrix.shape[1]
        through = self.lam * above
        factor = through - below
        reduced, size = c + factor @ self.rows, np.abs(c) + (through + below) @ np.abs(self.rows)
        reduced[units] += below - above
        size[units] += below + above
        reduced[:constrained] -= mu @ self.matrix
        size[:constrained] += mu @ np.abs(self.matrix)
        centre, radius = centred(Interval(self.lower[None], self.upper[None]))
        magnitude = np.abs(centre[0]) + radius[0]
        constant = np.array([above @ self.offset, mu @ self.bound, (through + below) @ self.error])
        value = reduced @ centre[0] + np.abs(reduced) @ radius[0] + constant.sum()
        scale = size @ magnitude + above @ self.offset + mu @ np.abs(self.bound) + (through + below) @ self.error
        error = gamma(2 * self.width + 3 * self.units + mu.size + 20) * scale * (1 + 1e-6) + float(
            lost_coefficients(magnitude)
        )
        result = float(np.nextafter(value + 2 * error, np.inf))
        return np.inf if np.isnan(result) else result


def triangles(
    lower: FloatArray,
    upper: FloatArray,
    matrix: FloatArray | None = None,
    bound: FloatArray | None = None,
) -> Triangles:
    """The relaxation without units: columns x and 1.

    Args:
        lower: (inputs,).
        upper: (inputs,).
        matrix: (k, inputs) linear constraints  matrix x <= bound.
        bound: (k,).
    """
    one, none = np.ones(1), np.empty(0)
    inputs = lower.size
    return Triangles(
        np.concatenate([lower, one]),
        np.concatenate([upper, one]),
        np.empty((0, inputs + 1)),
        none,
        none,
        none,
        inputs + 1,
        np.empty((0, inputs)) if matrix is None or bound is None else matrix,
        none if matrix is None or bound is None else bound,
    )


def add_units(base: Triangles, block: UnitBlock) -> Triangles:
    """The relaxation with further kept units, one more column each; trusted: their errors and bounds."""
    count, z = block.error.size, Interval(block.lower[None], block.upper[None])
    relaxation = relax(z)
    padded = np.zeros((base.units + count, base.width + count))
    padded[: base.units, : base.width] = base.rows
    padded[base.units :, : block.rows.shape[1]] = block.rows
    h = z.relu()
    return Triangles(
        np.concatenate([base.lower, h.lower[0]]),
        np.concatenate([base.upper, h.upper[0]]),
        padded,
        np.concatenate([base.error, block.error]),
        np.concatenate([base.lam, relaxation.lam[0]]),
        np.concatenate([base.offset, relaxation.offset[0]]),
        base.first,
        base.matrix,
        base.bound,
    )


def add_constraints(base: Triangles, matrix: FloatArray, bound: FloatArray) -> Triangles:
    """The relaxation with further constraints  matrix v <= bound, (k, width) and (k,); trusted."""
    widened = np.zeros((base.bound.size, base.width))
    widened[:, : base.matrix.shape[1]] = base.matrix
    return replace(base, matrix=np.concatenate([widened, matrix]), bound=np.concatenate([base.bound, bound]))


def _repaired(multipliers: FloatArray) -> FloatArray:
    """Any numbers as multipliers: not negative, finite."""
    return np.asarray(np.maximum(np.nan_to_num(multipliers, nan=0.0, posinf=0.0, neginf=0.0), 0.0))


def scaled(multipliers: Multipliers, factor: float) -> Multipliers:
    """The multipliers, all of them times a factor >= 0."""
    return Multipliers(*(factor * m for m in (multipliers.below, multipliers.above, multipliers.constraints)))


def slopes_of(
    model: Triangles, multipliers: Multipliers, row: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Multipliers of a bound as slopes of a pullback that gives about the same.

    A row c v is bounded by adding y (h - z) and w (lam z + t - h) for units from the last to the first (B-6).  With c
    the coefficient that has arrived at h, what goes on to z is (lam w - y): the pullback of B-3 passes on the same with
    lower slope y / -c where c < 0, and with upper slope lam w / c where c > 0.  Where the two differ (both multipliers
    positive, or a reduced cost of the wrong sign) the slopes are still valid, as any are.

    Args:
        model: the relaxation.
        multipliers: of its rows; any numbers.
        row: (columns or fewer,) that was bounded from above.

    Returns:
        (units,) lower slopes, upper slopes, both in [0, 1], and multipliers on the ranges of z; (k,) multipliers of the
        constraints.
    """
    below, above, mu = (_repaired(m) for m in (multipliers.below, multipliers.above, multipliers.constraints))
    left = np.zeros(model.width)
    left[: row.size] = row
    left[: model.matrix.shape[1]] -= mu @ model.matrix
    alpha, lam, tau = np.zeros(model.units), np.array(model.lam), np.zeros(model.units)
    for unit in reversed(range(model.units)):
        arrived = left[model.first + unit]
        if arrived < 0:
            alpha[unit] = min(below[unit] / -arrived, 1.0)
            left[: model.rows.shape[1]] += alpha[unit] * arrived * model.rows[unit]
        elif arrived > 0:
            lam[unit] = min(model.lam[unit] * above[unit] / arrived, 1.0)
            left[: model.rows.shape[1]] += lam[unit] * arrived * model.rows[unit]
        tau[unit] = _on_bounds(arrived, below[unit], above[unit], model.lam[unit])
        left[: model.rows.shape[1]] -= tau[unit] * model.rows[unit]
    return alpha, lam, tau, mu


def _on_bounds(arrived: float, below: float, above: float, lam: float) -> float:
    """What multipliers say beyond slopes: of u - z, or where negative of z - l.

    Both lines together bound z:  h >= z  and  h <= lam z + t  give  (1 - lam) (u - z) >= 0, and h >= 0 with the second
    gives  lam (z - l) >= 0;  h <= u with the first gives  u - z >= 0.
    """
    y, w = (below - min(below, -arrived), above) if arrived < 0 else (below, above - min(above, arrived))
    both = min(y, w)
    return float(both * (1.0 - lam) - (w - both) * lam + (y - both))
