"""Marabou (Wu et al. 2024, arXiv 2401.14461) through its Python package, in a child process, with precautions.

Its released wheel can call satisfiable queries unsatisfiable, its ONNX reader misreads Sub, and it can take all memory.
So the query is built from our own network, with our own bounds; the child has a limit of time and memory; after each
`unsat` the same query without output condition must come back `sat`; each `sat` is replayed. What fails is `unknown`;
and what passes is a claim all the same, for Marabou's tolerances are absolute.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from eqverify.attack.search import RowSearch
from eqverify.bounds import crown_bounds
from eqverify.budget import Budget
from eqverify.deciding.child import run_group
from eqverify.deciding.question import Question, Replay, Reply
from eqverify.domain import Polytope
from eqverify.errors import UsageError
from eqverify.network import require_piecewise_linear

_GRACE = 1.0
"""Seconds for the child to start and to end."""


class MarabouBackend:
    """Asks Marabou, whose `unsat` is a claim, after the precautions of the module.

    Raises:
        UsageError: `usage/backend` where maraboupy is not installed.
    """

    name = "marabou"

    def __init__(self, argument: str = "") -> None:
        if importlib.util.find_spec("maraboupy") is None:
            raise UsageError(
                "usage/backend",
                "the package maraboupy is not installed",
                value=self.name,
                hint="pip install 'eqverify[marabou]', on Python 3.11",
            )

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        require_piecewise_linear(question.network, "the backend marabou")
        box = question.box
        bounds = crown_bounds(question.network, box.lower[None], box.upper[None], outputs=True)
        with tempfile.TemporaryDirectory(prefix="eqverify-", ignore_cleanup_errors=True) as folder:
            task = Path(folder) / "task"
            plain = {name: (interval.lower[0], interval.upper[0]) for name, interval in bounds.items()}
            task.write_bytes(pickle.dumps((question.network, plain, budget.left)))
            command = [sys.executable, "-m", "eqverify.deciding.marabou_worker", str(task)]
            _, failure = run_group(command, budget.left + _GRACE, folder)
            said = _said(task.with_name("result.json"))
        return self._judge(said, failure, question, replay)

    def _judge(self, said: dict[str, Any], failure: str, question: Question, replay: Replay) -> Reply:
        answer, canary = said.get("answer", ""), said.get("canary", "")
        if answer == "TIMEOUT" or (not answer and failure == "time limit"):
            return Reply("timed-out", self.name)
        if answer == "unsat" and canary == "sat" and not failure:
            return Reply("unsat", self.name, evidence=f"Marabou {said.get('version', '')}".strip())
        if answer == "unsat":
            reason = f"Marabou says unsat, but of the box alone it says {canary or failure or 'nothing'}"
            return Reply("unknown", self.name, reason=reason)
        if answer == "sat":
            point = np.array(said.get("point", []), dtype=np.float64)
            if RowSearch(question.network, Polytope(question.box), replay).near(point):
                return Reply("sat", self.name)
            return Reply("unknown", self.name, reason="Marabou's input does not hold on the original network")
        return Reply("unknown", self.name, reason=f"Marabou: {answer or failure or 'no result'}")


def _said(result: Path) -> dict[str, Any]:
    """What the child wrote; nothing where it was ended before or while it did."""
    try:
        said: dict[str, Any] = json.loads(result.read_text())
    except (OSError, ValueError):
        return {}
    return said
