"""ISA's model: one MILP that looks for the signs of all units of a layer at once.

Serra, Yu, Kumar, Ramalingam, "Scaling Up Exact Neural Network Compression by ReLU Stability" (NeurIPS 2021, arXiv
2102.07804, section 5): binaries p_i <= d_i and q_i <= 1 - d_i, where d_i says whether unit i is active, and

    maximise  sum p_i + sum q_i    over the units whose sign is not witnessed yet.

A solution names an input, which is replayed; the signs that it claims and everything else that it shows leave the
objective for good, and the search goes on.  When the bound falls below 1, no unit can show a new sign.

Differences from the published code: the objective changes between solves and not inside one, for SCIP has it fixed
there; a claim that does not replay proves nothing, so that its unit stays undecided; a time-out leaves everything
undecided that was not witnessed (the published code calls it stable); there are no training samples to begin with.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.milp.encoding import JointAnswer, Known, Replay
from eqverify.milp.scip import ScipSolver, total

_BOUND = 1.0 - 1e-3
"""The dual bound must lie below this: far enough from 1 for every tolerance of the solver."""


class IsaSolver(ScipSolver):
    """The model on one polytope, solved once.  What it says is a claim, to the tolerances in `description`.

    Units may be off a little while they count as active or inactive: by what constraints are loosened, so that what is
    excluded is excluded despite the dual tolerance.

    Args:
        polytope: the inputs.
        seed: SCIP's.
        node_limit: branch-and-bound nodes, -1 for any number.
    """

    def __init__(self, polytope: Polytope, seed: int = 0, node_limit: int = -1) -> None:
        super().__init__(polytope, seed, node_limit)
        self._settled = 0

    def _set_parameters(self) -> None:
        """SCIP's own; a search ends at the first solution that claims a sign."""
        self._model.setParam("limits/primal", _BOUND)

    def _add_sign(self, constraint: Any) -> None:
        """What the sign of a unit means is the question here."""
        self._add_loosened(constraint)

    def settle(self, replay: Replay, known: Known, budget: Budget) -> JointAnswer:
        """Find points until no unit added since the last call can show a new sign; see the module for the model.

        Args:
            replay: tries a point, with the signs it is to show, and tells which signs are witnessed then.
            known: which are witnessed already, of the units added since the last call.
            budget: the time.

        Returns:
            The signs excluded; none unless the bound fell below 1.
        """
        switches, self._settled = self._switches[self._settled :], len(self._switches)
        units = len(switches)
        chosen = np.array([k for k, d in enumerate(switches) if d is not None], dtype=np.int64)
        never = np.zeros(2 * units, dtype=bool)
        places = np.concatenate([chosen, units + chosen])
        self._model.freeTransform()
        flags = self._flags([switches[k] for k in chosen])
        open_flags = ~np.concatenate(known)[places]
        while open_flags.any():
            search = partial(self._search, flags, open_flags, budget.left)
            claims, reason = self._guarded(search, lambda reason: (None, reason))
            if reason:
                return _answer(never, reason)
            if claims is None:
                break
            point, shown = claims
            claimed = np.zeros(2 * units, dtype=bool)
            claimed[places[shown]] = True
            witnessed = np.concatenate(replay(point, (claimed[:units], claimed[units:])))
            open_flags &= ~(witnessed | claimed)[places]
        never[places[open_flags]] = True
        return _answer(never)

    def _flags(self, switches: list[Any]) -> list[Any]:
        model = self._model
        above, below = ([model.addVar(vtype="B") for _ in switches] for _ in range(2))
        self._ranges += 2.0 * len(switches)
        for d, p, q in zip(switches, above, below, strict=True):
            model.addCons(p <= d)
            model.addCons(q <= 1 - d)
        return above + below

    def _search(
        self, flags: list[Any], open_flags: BoolArray, seconds: float
    ) -> tuple[tuple[FloatArray, BoolArray] | None, str]:
        """An input and the flags it claims, None where the bound excludes all, or why neither is known."""
        model = self._model
        model.freeTransform()
        objective = total(flag for flag, still in zip(flags, open_flags, strict=True) if still)
        model.setObjective(objective, "maximize")
        status = self._run(seconds)
        if status == "optimal" and float(model.getDualbound()) < _BOUND:
            return None, ""
        if status not in ("optimal", "primallimit", "bestsollimit", "timelimit", "nodelimit") or not model.getNSols():
            return None, status
        best = model.getBestSol()
        shown = np.array([best[flag] > 0.5 for flag in flags]) & open_flags
        return ((self._point(best), shown), "") if shown.any() else (None, status)


def _answer(never: BoolArray, reason: str = "") -> JointAnswer:
    half = never.size // 2
    return JointAnswer(never[:half], never[half:], reason)
