"""What a caller may choose about the proof of stability.

Its annotations are types, not strings: those of options that add to these are looked up in another module.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from eqverify.budget import TimeLimit
from eqverify.errors import UsageError
from eqverify.execution import MAX_WORKERS
from eqverify.options import require_seconds
from eqverify.trust import NOBODY, Names, Trusting

Engine = Literal["portfolio", "crown", "leo", "isa"]


@dataclass(frozen=True, slots=True)
class StabilityOptions(Trusting):
    """Options of the proof of stability.

    Attributes:
        engine: ``portfolio`` goes from cheap bounds to SCIP; ``crown`` stops after the bounds; ``leo`` and ``isa``
            are the methods of arXiv 2001.00218 and 2102.07804 on SCIP with interval bounds, as baselines: what they
            find are claims, and facts only where ``scip`` is trusted.
        time_limit: seconds for the whole job; what is open then stays undecided.  ``auto`` is as long as the next
            second is expected to decide units, at most a minute; with a node limit, a minute.
        unit_time_limit: seconds for one solver question.
        seed: of the falsifier's random points and of SCIP; equal seeds give equal questions.
        node_limit: branch-and-bound nodes for one solver question; answers are then reproducible, if time suffices.
        resume: a journal: proved facts are appended to it, and those it has already are not proved again.
        facts: a folder of facts of earlier runs: what is proved there on a box holds on every box inside it, and what
            is proved now is added; a certificate does without.
        workers: processes that ask the solver; `isa` is one question and uses one.
        split_inputs: the input box is split where at most so many inputs are free; 0 never splits it.
        branch_nodes: tree nodes for one question to branching on unit signs; 0 never branches.
        trust: the solvers whose claims are facts; here ``scip`` counts.  Otherwise a claim is one until arithmetic has
            shown the same.
    """

    engine: Engine = "portfolio"
    time_limit: TimeLimit = "auto"
    unit_time_limit: float = 5.0
    seed: int = 0
    node_limit: int | None = None
    resume: Path | str | None = None
    facts: Path | str | None = None
    workers: int = 1
    split_inputs: int = 12
    branch_nodes: int = 2000
    trust: Names = NOBODY

    def __post_init__(self) -> None:
        Trusting.__post_init__(self)
        require_seconds(self, "time_limit", "unit_time_limit")
        if self.node_limit is not None and self.node_limit < 1:
            raise UsageError("usage/node-limit", "node_limit must be a positive number of nodes", value=self.node_limit)
        if self.branch_nodes < 0:
            raise UsageError("usage/branch-nodes", "branch_nodes must not be negative", value=self.branch_nodes)
        if not 1 <= self.workers <= MAX_WORKERS:
            raise UsageError("usage/workers", f"workers must be between 1 and {MAX_WORKERS}", value=self.workers)
        if self.engine not in get_args(Engine):
            raise UsageError(
                "usage/engine", "unknown engine", value=self.engine, hint=f"use one of {', '.join(get_args(Engine))}"
            )
