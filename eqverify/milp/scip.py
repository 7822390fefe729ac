"""SCIP through PySCIPOpt: the only file that imports it.

A question is a feasibility problem: an objective limit at the threshold and one solution wanted, so that nothing is ever
solved to optimality.  Only the status `infeasible` proves anything; incumbents are candidates; all else is unknown.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyscipopt
from pyscipopt.scip import PY_SCIP_PARAMSETTING as SETTING

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope
from eqverify.milp.encoding import Answer, UnitBlock, Verdict

DUAL_TOLERANCE = 1e-9
"""SCIP's dual feasibility tolerance as set here; the margin below follows from it."""


class ScipSolver:
    """One warm SCIP model on one polytope.  Trusted: SCIP 10, to the tolerances in `description`.

    A dual solution that violates a reduced cost by the dual tolerance misstates a bound by at most that tolerance times the
    range of the variable.  `exceeds` therefore asks about a threshold lowered by twice the sum over all variables, and
    says `NEVER` only if nothing lies above the lowered one.
    """

    def __init__(self, polytope: Polytope, seed: int = 0) -> None:
        self._model: Any = pyscipopt.Model()
        self._model.hideOutput()
        self.description = f"SCIP {self._model.version()}, dual feasibility {DUAL_TOLERANCE:g}, feasibility 1e-06"
        self._set_parameters(seed)
        box = polytope.box
        self._ranges = float((box.upper - box.lower).sum())
        self._inputs = [self._model.addVar(lb=float(lo), ub=float(hi)) for lo, hi in zip(box.lower, box.upper, strict=True)]
        one = self._model.addVar(lb=1.0, ub=1.0)
        self._columns = [*self._inputs, one]
        for row, bound in zip(polytope.matrix, polytope.bound, strict=True):
            self._model.addCons(self._linear(row) <= float(bound))

    def _set_parameters(self, seed: int) -> None:
        model = self._model
        model.setPresolve(SETTING.FAST)
        model.setHeuristics(SETTING.OFF)
        model.setSeparating(SETTING.FAST)
        model.setParam("numerics/dualfeastol", DUAL_TOLERANCE)
        model.setParam("limits/solutions", 1)
        model.setParam("limits/memory", 8000.0)
        model.setParam("misc/catchctrlc", False)
        model.setParam("randomization/randomseedshift", seed)

    def _linear(self, row: FloatArray) -> Any:
        return pyscipopt.quicksum(float(row[k]) * self._columns[k] for k in np.flatnonzero(row))

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units by the encoding of `eqverify.milp.encoding`."""
        model = self._model
        model.freeTransform()
        for row, error, lower, upper in zip(block.rows, block.error, block.lower, block.upper, strict=True):
            low, high = float(lower), float(upper)
            z = model.addVar(lb=low, ub=high)
            h = model.addVar(lb=0.0, ub=high)
            d = model.addVar(vtype="B")
            linear = self._linear(row)
            model.addCons(z - linear <= float(error))
            model.addCons(z - linear >= -float(error))
            model.addCons(h >= z)
            model.addCons(h <= high * d)
            model.addCons(h <= z - low * (1 - d))
            self._ranges += (high - low) + high + 1.0
            self._columns.append(h)

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns exceed `threshold`?  Stops at the first solution, at infeasibility, or at the limit."""
        model = self._model
        lowered = threshold - 2.0 * DUAL_TOLERANCE * self._ranges
        if not math.isfinite(lowered):
            return Answer(Verdict.UNKNOWN, reason="unbounded")
        try:
            model.freeTransform()
            model.setObjective(self._linear(row), "maximize")
            model.setObjlimit(lowered)
            model.setParam("limits/time", max(0.0, time_limit))
            model.optimize()
            status = str(model.getStatus())
            if status == "infeasible":
                return Answer(Verdict.NEVER)
            if status in ("sollimit", "bestsollimit", "optimal") and model.getNSols() > 0:
                best = model.getBestSol()
                return Answer(Verdict.CANDIDATE, point=np.array([best[x] for x in self._inputs]))
            return Answer(Verdict.UNKNOWN, reason=status)
        except Exception as error:  # a solver's failure is an open question, never an answer
            return Answer(Verdict.UNKNOWN, reason=f"solver error: {error}")
