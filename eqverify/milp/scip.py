"""SCIP through PySCIPOpt: the only file that imports it.

A question is a feasibility problem: the row must exceed the threshold, and one solution is wanted, so that nothing is
ever solved to optimality; the row is the objective too, which guides the search.  The threshold is a constraint and no
objective limit, because SCIP rounds the limit of an objective that it finds to be integral (a constant one, say) and
then calls feasible models infeasible.  Only the status `infeasible` proves anything; incumbents are candidates; all
else is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyscipopt
from pyscipopt.scip import PY_SCIP_PARAMSETTING as SETTING

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope
from eqverify.milp.encoding import Answer, UnitBlock, Verdict

DUAL_TOLERANCE = 1e-9
"""SCIP's dual feasibility tolerance as set here; the margin of a question follows from it."""

SMALLEST = 1e-9
"""SCIP reads smaller coefficients as zero.  They are left out here, and what they could contribute becomes slack."""

LARGEST = 1e9
"""Beyond this the solver's absolute tolerances mean nothing: such a model answers `UNKNOWN` to everything."""


def total(variables: Iterable[Any]) -> Any:
    """The sum of variables, as an expression of SCIP."""
    return pyscipopt.quicksum(variables)


class ScipSolver:
    """One warm SCIP model on one polytope.  Trusted: SCIP 10, to the tolerances in `description`.

    A dual solution that violates a reduced cost by the dual tolerance misstates a bound by at most that tolerance
    times the range of the variable.  `exceeds` therefore asks about a threshold lowered by twice the sum over all
    variables, and says `NEVER` only if nothing lies above the lowered one.

    No solution and no statistics outlive a question, so that its answer does not depend on the questions before.

    Args:
        polytope: the inputs.
        seed: SCIP's.
        node_limit: branch-and-bound nodes per question, -1 for any number.
    """

    def __init__(self, polytope: Polytope, seed: int = 0, node_limit: int = -1) -> None:
        self._model: Any = pyscipopt.Model()
        self._model.hideOutput()
        self.description = f"SCIP {self._model.version()}, dual feasibility {DUAL_TOLERANCE:g}, feasibility 1e-06"
        self._set_parameters()
        for name, value in (
            ("numerics/dualfeastol", DUAL_TOLERANCE),
            ("limits/memory", 8000.0),
            ("limits/nodes", node_limit),
            ("limits/maxorigsol", 0),
            ("misc/catchctrlc", False),
            ("randomization/randomseedshift", seed),
        ):
            self._model.setParam(name, value)
        self._polytope = polytope
        self._looseness = 0.0
        self._switches: list[Any] = []
        box = polytope.box
        self._sane = bool((box.magnitude <= LARGEST).all())
        self._question: Any = None
        self._ranges = float((box.upper - box.lower).sum())
        limits = zip(np.clip(box.lower, -LARGEST, LARGEST), np.clip(box.upper, -LARGEST, LARGEST), strict=True)
        self._inputs = [self._model.addVar(lb=float(low), ub=float(high)) for low, high in limits]
        self._columns = [*self._inputs, self._model.addVar(lb=1.0, ub=1.0)]
        self._magnitude = [*box.magnitude.tolist(), 1.0]
        for row, bound in zip(polytope.matrix, polytope.bound, strict=True):
            linear, slack = self._linear(row)
            self._check(float(bound))
            if self._sane:
                self._model.addCons(linear <= float(bound) + slack)

    def _set_parameters(self) -> None:
        """For feasibility questions: the first solution ends the search, and heuristics rarely find one.

        Cuts and symmetry cost more than they save: without them more units are decided in equal time.
        """
        model = self._model
        model.setPresolve(SETTING.FAST)
        model.setHeuristics(SETTING.OFF)
        model.setSeparating(SETTING.OFF)
        model.setParam("misc/usesymmetry", 0)
        model.setParam("limits/solutions", 1)

    def _linear(self, row: FloatArray) -> tuple[Any, float]:
        """row . columns without its tiny coefficients, and a bound on what they contribute."""
        magnitude = np.array(self._magnitude[: row.size])
        size = np.abs(row)
        tiny = size < SMALLEST
        self._check(*size, *magnitude)
        if not self._sane:
            return 0.0, 0.0
        slack = float((size[tiny] * magnitude[tiny]).sum()) * (1 + 1e-9)
        return pyscipopt.quicksum(float(row[k]) * self._columns[k] for k in np.flatnonzero(~tiny)), slack

    def _check(self, *numbers: float) -> None:
        """A number beyond the limit, or NaN, and the model is not used: it answers `UNKNOWN` from then on."""
        self._sane = self._sane and bool((np.abs(numbers) <= LARGEST).all())

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units by the encoding of `eqverify.milp.encoding`.

        A kept unit may well be stable on this polytope though it is not on the whole domain: then it needs no binary.
        """
        self._forget_question()
        for row, error, lower, upper in zip(block.rows, block.error, block.lower, block.upper, strict=True):
            low, high = float(lower), float(upper)
            linear, slack = self._linear(row)
            self._check(low, high, float(error))
            if self._sane:
                self._add_unit(linear, float(error) + slack, low, high)
            else:
                self._columns.append(self._model.addVar(lb=0.0, ub=0.0))
                self._switches.append(None)
            self._ranges += (high - low) + max(high, 0.0) + 1.0
            self._magnitude.append(max(high, 0.0))

    def _add_unit(self, linear: Any, band: float, low: float, high: float) -> None:
        model, d = self._model, None
        h = model.addVar(lb=max(low, 0.0), ub=max(high, 0.0))
        if high > 0:
            z = model.addVar(lb=low, ub=high)
            model.addCons(z - linear <= band)
            model.addCons(z - linear >= -band)
            if low >= 0:
                model.addCons(h == z)
            else:
                d = model.addVar(vtype="B")
                model.addCons(h >= z)
                model.addCons(h <= high * d + self._looseness)
                model.addCons(h <= z - low * (1 - d) + self._looseness)
        self._columns.append(h)
        self._switches.append(d)

    def assume(self, rows: FloatArray, bound: FloatArray) -> None:
        """Append constraints, loosened by what the dual tolerance may amount to over all variables."""
        self._forget_question()
        for row, most in zip(rows, bound, strict=True):
            linear, slack = self._linear(row)
            loosened = float(most) + slack + 2.0 * DUAL_TOLERANCE * self._ranges
            self._check(loosened)
            if self._sane and row.any():
                self._model.addCons(linear <= loosened)

    def add_constraints(self, rows: FloatArray, bound: FloatArray) -> None:
        """Add  rows . columns <= bound,  (m, columns so far) and (m,): proved cuts, or part of the question."""
        self._forget_question()
        for row, limit in zip(rows, bound, strict=True):
            linear, slack = self._linear(row)
            self._check(float(limit))
            if self._sane and row.any():
                self._model.addCons(linear <= float(limit) + slack)

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns exceed `threshold`?  Stops at the first solution, at infeasibility, or at the limit."""
        linear, slack = self._linear(row)
        lowered = threshold - slack - 2.0 * DUAL_TOLERANCE * self._ranges
        if not self._sane or not abs(lowered) <= LARGEST:
            return Answer(Verdict.UNKNOWN, reason="numbers too large for the solver's tolerances")
        if not row.any():
            return Answer(Verdict.UNKNOWN, reason="no variable in the row")
        try:
            return self._solve(linear, lowered, time_limit)
        except Exception as error:
            return Answer(Verdict.UNKNOWN, reason=f"solver error: {error}")

    def _forget_question(self) -> None:
        self._model.freeTransform()
        if self._question is not None:
            self._model.delCons(self._question)
            self._question = None

    def _solve(self, linear: Any, threshold: float, time_limit: float) -> Answer:
        model = self._model
        self._forget_question()
        self._question = model.addCons(linear >= threshold)
        model.setObjective(linear, "maximize")
        model.setParam("limits/time", max(0.0, time_limit))
        model.optimize()
        status = str(model.getStatus())
        if status == "infeasible":
            return Answer(Verdict.NEVER)
        if status in ("sollimit", "bestsollimit", "optimal") and model.getNSols() > 0:
            best = model.getBestSol()
            return Answer(Verdict.CANDIDATE, point=np.array([best[x] for x in self._inputs]))
        return Answer(Verdict.UNKNOWN, reason=status, progress=self._progress(threshold))

    def _progress(self, threshold: float) -> float | None:
        if int(self._model.getNTotalNodes()) < 2:
            return None
        first, now = float(self._model.getDualboundRoot()), float(self._model.getDualbound())
        share = (first - now) / (first - threshold) if first > threshold else 0.0
        return min(max(share, 0.0), 1.0) if np.isfinite(share) else 0.0
