"""Activation patterns of full-dimensional cells, one after the other, by no-good cuts.

Serra, Tjandraatmadja, Ramalingam, "Bounding and Counting Linear Regions of Deep Neural Networks" (ICML 2018, arXiv
1711.02114, section 5), with the correction of arXiv 2301.07966: the margin f is below z of every active unit *and*
below -z of every inactive one,

    w f <= z + M (1 - d),    w f <= -z + M d,

so that f > 0 puts the input into the interior of its cell; w, the width of the unit's range, makes f a share of it.  A
pattern that was found is cut off by
sum_{d = 1} (1 - d) + sum_{d = 0} d >= 1.

An inactive unit may be zero on the whole cell (a dead unit without bias, say); then no f > 0 exists though the cell is
full-dimensional.  `exempt_zeros` therefore lets inactive units leave the margin for z = 0; patterns that are found then
are candidates only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.domain import Polytope
from eqverify.milp.scip import ScipSolver, total

MARGIN = 1e-6
"""Cells on which no f reaches this are not looked for."""

_TOLERANCE = 1e-7
"""SCIP's feasibility tolerance here: well below the margin."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What one search ended with.

    Attributes:
        pattern: (units,) bool: the unstable units' activity; None if there is none to be shown.
        point: (input_size,) where the solver says so.
        exhausted: the solver claims that no pattern is left.
        reason: the solver's status where it stopped for another reason.
    """

    pattern: BoolArray | None = None
    point: FloatArray | None = None
    exhausted: bool = False
    reason: str = ""


class RegionSolver(ScipSolver):
    """The patterns of one polytope.  What it says is a claim, to the tolerances in `description`.

    Args:
        polytope: the inputs.
        seed: SCIP's.
    """

    def __init__(self, polytope: Polytope, seed: int = 0) -> None:
        super().__init__(polytope, seed)
        self.description = f"SCIP {self._model.version()}, feasibility {_TOLERANCE:g}, margin {MARGIN:g}"
        self._exempt: list[Any] = []

    def _set_parameters(self) -> None:
        """A search ends at the first pattern."""
        super()._set_parameters()
        self._model.setParam("numerics/feastol", _TOLERANCE)
        self._margin = self._model.addVar(lb=MARGIN, ub=1.0)
        self._model.setObjective(self._margin, "maximize")

    def _add_unit(self, linear: Any, band: float, low: float, high: float, scale: float) -> tuple[Any, Any]:
        """As in the base class, with the margin on both sides."""
        h, d = super()._add_unit(linear, band, low, high, scale)
        if d is None:
            return h, d
        # |z - linear| <= band, so that margins are asked of z up to the band: candidates are checked anyway.
        model, f = self._model, self._margin
        exempt = model.addVar(vtype="B", ub=0.0)
        self._exempt.append(exempt)
        width = high - low
        model.addCons(width * f <= scale * h + width * (1.0 - d))
        model.addCons(width * f <= -linear + (width + high) * d + width * exempt)
        model.addCons(linear >= low * (1 - exempt) - band)
        return h, d

    def exempt_zeros(self) -> None:
        """From now on inactive units may have z = 0, but not all may be without one."""
        self._model.freeTransform()
        for exempt in self._exempt:
            self._model.chgVarUb(exempt, 1.0)
        if self._exempt:
            self._model.addCons(total(self._exempt) >= 1)

    def exclude(self, pattern: BoolArray) -> None:
        """Cut off one activity (units,) of the unstable units."""
        self._model.freeTransform()
        switches = [d for d in self._switches if d is not None]
        cut = total(1 - d if on else d for d, on in zip(switches, pattern, strict=True))
        if switches:
            self._model.addCons(cut >= 1)

    def search(self, seconds: float) -> Found:
        """A pattern that was not excluded; `seconds` is the limit."""
        return self._guarded(lambda: self._search(seconds), lambda reason: Found(reason=reason))

    def _search(self, seconds: float) -> Found:
        self._model.freeTransform()
        status = self._run(seconds)
        if status == "infeasible":
            return Found(exhausted=True)
        if status not in ("sollimit", "bestsollimit", "optimal") or not self._model.getNSols():
            return Found(reason=status)
        best = self._model.getBestSol()
        shown = np.array([best[d] > 0.5 for d in self._switches if d is not None], dtype=bool)
        return Found(shown, self._point(best))
