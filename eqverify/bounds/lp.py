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

from eqverify.arrays import ByteArray, FloatArray
from eqverify.bounds.assumed import assumed_node
from eqverify.bounds.duality import Multipliers, Triangles, add_constraints, add_units, triangles
from eqverify.domain import Assumption
from eqverify.network.expression import affine_expression
from eqverify.relaxation.blocks import UnitBlock
from eqverify.relaxation.model import RestrictedModel

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
        """Take a model; units and constraints are only ever appended to the one before."""

    def maximise(self, row: FloatArray, seconds: float) -> tuple[Multipliers, FloatArray] | None:
        """Multipliers, and values of all columns, for the objective row . v; None if there are none.

        Where no columns satisfy the constraints, multipliers whose bound of the zero row is negative.
        """


class _QuietHighs(highspy.Highs):
    """HiGHS without the banner that its constructor prints to stdout when it enables callbacks."""

    def enableCallbacks(self) -> None:  # noqa: N802
        self.setOptionValue("output_flag", False)
        super().enableCallbacks()  # type: ignore[no-untyped-call]

    def run(self) -> Any:
        """Once more with as many threads as there are, where others of this process chose another number than one.

        HiGHS keeps the threads of the first run of a process, and ends with an error where a later one wants others.
        """
        status = super().run()
        if status == highspy.HighsStatus.kError:
            self.setOptionValue("threads", 0)
            status = super().run()
        return status


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
        self._rows = 0
        self._units: list[int] = []
        self._constraints: list[int] = []
        """The first of the two rows of each unit, and the row of each constraint."""
        self._sane = True

    def load(self, model: Triangles) -> None:
        numbers = (model.rows, model.error, model.offset, model.matrix, model.bound)
        self._sane = self._sane and all(bool((np.abs(a) <= _LARGEST).all()) for a in numbers)
        if not self._sane:
            return
        infinity = self._solver.inf
        for column in range(self._columns, model.width):
            low, high = float(model.lower[column]), float(model.upper[column])
            self._solver.addVar(low if low >= -_LARGEST else -infinity, high if high <= _LARGEST else infinity)
        self._columns = model.width
        for index in range(len(self._constraints), model.bound.size):
            self._constraints.append(self._rows)
            self._add_row(model.matrix[index], float(model.bound[index]))
        for unit in range(len(self._units), model.units):
            self._units.append(self._rows)
            row, own = model.rows[unit].copy(), model.first + unit
            row[own] = -1.0
            self._add_row(row, float(model.error[unit]))
            row = -model.lam[unit] * model.rows[unit]
            row[own] = 1.0
            self._add_row(row, float(model.offset[unit] + model.lam[unit] * model.error[unit]))

    def _add_row(self, row: FloatArray, bound: float) -> None:
        used = np.flatnonzero(np.abs(row) > 1e-9)
        self._solver.addRow(-self._solver.inf, bound, used.size, used.astype(np.int32), row[used])
        self._rows += 1

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
        if self._solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible:
            _, known, ray = self._solver.getDualRay()
            duals = -np.array(ray) if known else duals
        if duals.size != self._rows or values.size != self._columns:
            return None
        units = np.array(self._units, dtype=np.int64)
        return Multipliers(duals[units], duals[units + 1], duals[np.array(self._constraints, dtype=np.int64)]), values


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

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units; trusted."""
        self.model = add_units(self.model, block)

    def add_constraints(self, matrix: FloatArray, bound: FloatArray) -> None:
        """Append constraints  matrix v <= bound  over the columns there are, (k, columns) and (k,); trusted."""
        self.model = add_constraints(self.model, matrix, bound)

    def empty(self, *, seconds: float = float("inf")) -> LpBound | None:
        """Multipliers that show that no columns satisfy the model: their bound of the zero row is negative.

        By Farkas' lemma there are such multipliers, up to rounding, where the linear program is infeasible.

        Returns:
            That bound, or None where nothing is shown.  Trusted: as for `bound`.
        """
        found = self.bound(np.zeros(self.model.width), seconds=seconds)
        return found if found.value < 0 else None

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


def lp_of(
    model: RestrictedModel,
    *,
    assumed: Assumption | None = None,
    signs: Mapping[str, ByteArray] | None = None,
    hints: HintSource | None = None,
) -> LpLayer:
    """The LP of a network, with assumed constraints on inputs and outputs (specs/bounds.md, B-10).

    Args:
        model: the network; its first part of the domain.
        assumed: the constraints; they read nothing that the model leaves out.
        signs: by ReLU node, (n,) 1 for units where z >= 0 is assumed, -1 for z <= 0, else 0.
        hints: where multipliers come from.

    Returns:
        The LP over the model's columns.  Its constraints are the assumed ones, then a row for each sign, ReLU by ReLU.
    """
    layer, network = LpLayer(*model.box, hints=hints), model.network
    for block in model.blocks():
        layer.add_units(block)
    if assumed is not None:
        rows = affine_expression(assumed_node(network, assumed), model.values, model.basis)
        layer.add_constraints(rows.rows, rows.error)
    for relu in network.relus:
        if signs is not None and relu.source in model.values:
            sides = signs[relu.name]
            own, z = np.flatnonzero(sides), model.values[relu.source]
            layer.add_constraints(-sides[own, None] * z.rows[own], z.error[own])
    return layer
