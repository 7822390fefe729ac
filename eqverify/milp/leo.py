"""LEO's question: how large can one pre-activation get?

Serra, Kumar, Ramalingam, "Lossless Compression of Deep Neural Networks" (CPAIOR 2020, arXiv 2001.00218, section 4),
with the encoding of Kumar, Serra, Ramalingam, "Equivalent and Approximate Transformations of Deep Neural Networks"
(arXiv 1905.11428).
"""

from __future__ import annotations

from typing import Any

from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.scip import DUAL_TOLERANCE, ScipSolver

_CLEARLY = 1e-5
"""An incumbent ends the search only this far above the threshold, as a share of the row's largest summand: nearer ones
often do not survive the replay."""


class LeoSolver(ScipSolver):
    """Maximises a row, as published, with SCIP's default settings; stops early when the sign is settled.

    That is: when an incumbent exceeds the threshold (`CANDIDATE`), or when the dual bound falls to it (`NEVER`).
    Unlike in `ScipSolver` there is no threshold constraint.  Only the dual bound counts, compared here.
    """

    def _set_parameters(self) -> None:
        """SCIP's own."""

    def _solve(self, linear: Any, threshold: float, time_limit: float) -> Answer:
        model = self._model
        self._forget_question()
        lowered = threshold - 2.0 * DUAL_TOLERANCE  # SCIP may round the bound of an objective it takes for integral
        model.setObjective(linear, "maximize")
        model.setParam("limits/primal", threshold + _CLEARLY)
        model.setParam("limits/dual", lowered - 2.0 * DUAL_TOLERANCE)
        status = self._run(time_limit)
        if status in ("optimal", "duallimit") and float(model.getDualbound()) <= lowered:
            return Answer(Verdict.NEVER)
        if status in ("optimal", "primallimit", "bestsollimit") and model.getNSols() > 0:
            return Answer(Verdict.CANDIDATE, point=self._point(model.getBestSol()))
        return Answer(Verdict.UNKNOWN, reason=status)
