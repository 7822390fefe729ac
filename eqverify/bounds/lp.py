"""LP bounds of rows over kept units by HiGHS, whose duals are hints: the only file that imports highspy.

The model is the triangle relaxation of `eqverify.bounds.duality`.  It grows layer by layer and stays warm while only
the objective changes.  What is returned as a bound is recomputed from the multipliers in outward-rounded arithmetic, so
that neither the solver's tolerances nor the coefficients it drops (below 1e-9) matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import highspy
import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds.duality import Multipliers, Triangles, add_units, triangles
from eqverify.bounds.interval import Interval
from eqverify.bounds.pullback import ancestors
from eqverify.network import Network
from eqverify.network.expression import Expression, make_basis, restricted_values

_LARGEST = 1e12
"""HiGHS is not asked about models with larger coefficients; bounds beyond it are none to it."""


@dataclass(frozen=True, slots=True, eq=False)
class LpBound:
    """An answer.

    Attributes:
        value: sound upper (lower) bound of the row over the relaxation.
        multipliers: those it was recomputed from.
        point: (inputs,) an input in the box that the solver proposes as a maximiser (minimiser); None if it has none.
    """

    value: float
    multipliers: Multipliers
    point: FloatArray | None


class HintSource(Protocol):
    """Where multipliers and points come from.  Nothing it says is believed."""

    def load(self, model: Triangles) -> None:
        """Take a model; units are only ever appended to the one before."""

    def maximise(self, row: FloatArray, seconds: float) -> tuple[Multipliers, FloatArray] | None:
        """Multipliers, and values of all columns, for the objective row . v; None if there are none."""


class _QuietHighs(highspy.Highs):
    """HiGHS without the banner that its constructor prints to stdout when it enables callbacks."""

    def enableCallbacks(self) -> None:  # noqa: N802
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]


def simplex_solver(iterations: int) -> Any:
    """HiGHS with the dual simplex method on one thread, silent and without presolve, for warm starts."""
    solver: Any = _QuietHighs()  # type: ignore[no-untyped-call]
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("presolve", "off"),
        ("solver", "simplex"),
        ("simplex_strategy", 1),
        ("simplex_scale_strategy", 0),
        ("simplex_iteration_limit", iterations),
    ):
        solver.setOptionValue(option, value)
    return solver


class HighsHints:
    """HiGHS with the dual simplex method, warm from one objective to the next.

    Without scaling: rows are far from degenerate in scale here, and it made questions up to ten times slower.

    Args:
        iterations: simplex iterations per question; makes results the same every time where `seconds` is not reached.
    """

    def __init__(self, iterations: int = 20_000) -> None:
        self._solver: Any = simplex_solver(iterations)
        self._columns = 0
        self._units = 0
        self._constraints = 0
        self._sane = True

    def load(self, model: Triangles) -> None:
        numbers = (model.rows, model.error, model.offset, model.matrix, model.bound)
        self._sane = self._sane and all(bool((np.abs(a) <= _LARGEST).all()) for a in numbers)
        if not self._sane:
            return
        first = not self._columns
        infinity = self._solver.inf
        for column in range(self._columns, model.width):
            low, high = float(model.lower[column]), float(model.upper[column])
            self._solver.addVar(low if low >= -_LARGEST else -infinity, high if high <= _LARGEST else infinity)
        self._columns = model.width
        if first:
            for row, bound in zip(model.matrix, model.bound, strict=True):
                self._add_row(row, float(bound))
            self._constraints = model.bound.size
        for unit in range(self._units, model.units):
            row, own = model.rows[unit].copy(), model.first + unit
            row[own] = -1.0
            self._add_row(row, float(model.error[unit]))
            row = -model.lam[unit] * model.rows[unit]
            row[own] = 1.0
            self._add_row(row, float(model.offset[unit] + model.lam[unit] * model.error[unit]))
        self._units = model.units

    def _add_row(self, row: FloatArray, bound: float) -> None:
        used = np.flatnonzero(np.abs(row) > 1e-9)
        self._solver.addRow(-self._solver.inf, bound, used.size, used.astype(np.int32), row[used])

    def maximise(self, row: FloatArray, seconds: float) -> tuple[Multipliers, FloatArray] | None:
        if not self._sane or not (np.abs(row) <= _LARGEST).all():
            return None
        cost = np.zeros(self._columns)
        cost[: row.size] = -row
        self._solver.changeColsCost(self._columns, np.arange(self._columns, dtype=np.int32), cost)
        self._solver.setOptionValue("time_limit", self._solver.getRunTime() + max(seconds, 0.0))
        self._solver.run()
        solution = self._solver.getSolution()
        duals, values = -np.array(solution.row_dual), np.array(solution.col_value)
        if duals.size != self._constraints + 2 * self._units or values.size != self._columns:
            return None
        units = duals[self._constraints :]
        return Multipliers(units[0::2], units[1::2], duals[: self._constraints]), values


class LpLayer:
    """Bounds of rows over inputs and kept units of one part of the domain.

    Args:
        lower: (inputs,) the box.
        upper: (inputs,).
        matrix: (k, inputs) linear constraints  matrix x <= bound.
        bound: (k,).
        hints: where multipliers come from; HiGHS by default.
    """

    def __init__(
        self,
        lower: FloatArray,
        upper: FloatArray,
        matrix: FloatArray | None = None,
        bound: FloatArray | None = None,
        *,
        hints: HintSource | None = None,
    ) -> None:
        self.model = triangles(lower, upper, matrix, bound)
        self._inputs = int(lower.size)
        self._hints = HighsHints() if hints is None else hints
        self._loaded: Triangles | None = None

    def add_units(self, rows: FloatArray, error: FloatArray, lower: FloatArray, upper: FloatArray) -> None:
        """Append kept units.

        Args:
            rows: (m, columns) pre-activations over the columns there are: x, 1, then the kept units in order.
            error: (m,) |z - row . v| is at most this.
            lower: (m,) proved lower bounds of z.
            upper: (m,) proved upper bounds of z.
        """
        self.model = add_units(self.model, rows, error, Interval(lower[None], upper[None]))

    def bound(self, row: FloatArray, sense: int = 1, *, seconds: float = float("inf")) -> LpBound:
        """Bound row . v from above (sense 1) or below (sense -1).

        Args:
            row: (columns or fewer,).
            sense: 1 for an upper bound, -1 for a lower bound.
            seconds: limit of the solver; a bound from whatever it has then is returned.

        Returns:
            The bound.  Trusted: float64 arithmetic and what went into the model; not the solver.
        """
        if self._loaded is not self.model:
            self._hints.load(self.model)
            self._loaded = self.model
        asked = row if sense > 0 else -row
        multipliers, point = self.model.none(), None
        value = self.model.maximum(asked, multipliers)
        answer = self._hints.maximise(asked, min(seconds, 1e6))
        if answer is not None:
            proposed, columns = answer
            better = self.model.maximum(asked, proposed)
            if better < value:
                value, multipliers = better, proposed
            point = self._clipped(columns)
        return LpBound(value if sense > 0 else -value, multipliers, point)

    def _clipped(self, columns: FloatArray) -> FloatArray | None:
        inputs = columns[: self._inputs]
        if inputs.shape != (self._inputs,) or not np.isfinite(inputs).all():
            return None
        return np.clip(inputs, self.model.lower[: self._inputs], self.model.upper[: self._inputs])


def lp_for_node(
    network: Network,
    node: str,
    kept: Mapping[str, BoolArray],
    active: Mapping[str, BoolArray],
    box: tuple[FloatArray, FloatArray],
    units: Mapping[str, Interval],
    *,
    constraints: tuple[FloatArray, FloatArray] | None = None,
    hints: HintSource | None = None,
) -> tuple[LpLayer, Expression]:
    """The LP of everything before a pre-activation node, and the node's rows over its columns.

    Args:
        network: the network.
        node: pre-activation node of the units to bound.
        kept: by ReLU node that the node depends on, (n,) bool: the units that become columns.
        active: likewise: stably active units that do not; all other units must be stably inactive.
        box: (lower, upper), (inputs,) each.
        units: by pre-activation node, proved intervals (1, n).
        constraints: (matrix, bound) of linear input constraints.
        hints: where multipliers come from.

    Returns:
        The LP and the expression z: |z - rows . v| <= error, (n,) each.
    """
    before = ancestors(network, node) | {node}  # a ReLU may read a ReLU: then the node itself has columns
    relus = [relu for relu in network.relus if relu.name in before]
    nothing = {relu.name: np.zeros(network.sizes[relu.name], dtype=bool) for relu in network.relus}
    chosen = {**nothing, **{relu.name: kept[relu.name] for relu in relus}}
    stable = {**nothing, **{relu.name: active[relu.name] & ~kept[relu.name] for relu in relus}}
    ranges = {relu.name: _range(network, relu.source, relu.name, units, chosen) for relu in network.relus}
    basis = make_basis(network, chosen, box, ranges)
    values = restricted_values(network, basis, stable, stop=node)
    matrix, bound = constraints if constraints is not None else (None, None)
    layer = LpLayer(*box, matrix, bound, hints=hints)
    for relu in relus:
        own = np.flatnonzero(chosen[relu.name])
        z, width = values[relu.source], layer.model.width
        lower, upper = ranges[relu.name]
        layer.add_units(z.rows[own, :width], z.error[own], lower[own], upper[own])
    return layer, values[node]


def _range(
    network: Network, source: str, name: str, units: Mapping[str, Interval], chosen: Mapping[str, BoolArray]
) -> tuple[FloatArray, FloatArray]:
    if not chosen[name].any():
        zero = np.zeros(network.sizes[name])
        return zero, zero
    return units[source].lower[0], units[source].upper[0]
