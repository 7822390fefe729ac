"""One proof of stability: what its stages share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.budget import Budget
from eqverify.execution import Executor
from eqverify.milp.encoding import JointFactory, SolverFactory
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.facts import PROOFS, Asked, Enough, Evidence, Facts, FactTable, Stage, never_enough
from eqverify.stability.falsify import Falsifier
from eqverify.stability.journal import Journal, open_journal
from eqverify.stability.options import StabilityOptions
from eqverify.stability.proofs import Believed, DerivedProof, Proof, ProofListener, believed

_BOX_CHUNK = 64
"""Boxes bounded in one batch: keeps the coefficient arrays of CROWN within a few hundred MB."""

_LATE = 0.5
"""Seconds for CROWN once the budget is used up: in small networks, what was learnt last still counts."""


@dataclass(frozen=True, slots=True)
class StageSpec:
    """One stage.

    Attributes:
        name: for the report.
        work: does it.
        always: whether it runs even if no unit is open.
    """

    name: str
    work: Callable[[Run], None]
    always: bool = False


@dataclass(eq=False)
class Run:
    """One proof: what the stages share.

    Attributes:
        problem: network and domain.
        options: of the caller.
        progress: to be told.
        factory, joint_factory: make solver models.
        executor: where these live.
        listener: told how bounds were proved, for certificates.
        enough, asked: as `FactTable`.
        budget: the total time.
        table: what is known.
        falsifier: finds witnesses, and replays those of others.
        journal: takes facts as they are proved.
        solver: name and version of the solver, once one was asked.
    """

    problem: Problem
    options: StabilityOptions
    progress: Progress
    factory: SolverFactory
    joint_factory: JointFactory
    executor: Executor
    listener: ProofListener
    enough: Enough = never_enough
    asked: Asked | None = None
    proved: list[Proof] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    solver: str = ""

    def __post_init__(self) -> None:
        problem, options, trusts = self.problem, self.options, "scip" in self.options.believed
        self.budget = Budget(options.time_limit)
        self.table = FactTable(problem.network, len(problem.domain.polytopes), self.enough, self.asked, trusts=trusts)
        self.falsifier = Falsifier(problem.network, problem.domain, self.table, options.seed)
        journal = None if options.resume is None else Path(options.resume)
        self.journal: Journal = open_journal(journal, problem, options.engine)

    def run(self, plan: Sequence[StageSpec]) -> Facts:
        """All stages of a plan."""
        if self.journal.entries:
            with self._stage("journal"):
                self.solver = self.journal.restore(self.table, self.falsifier)
            for proof in believed(self.table.bounds):
                self.proofs(proof)
        self.journal.record(self.table, self.falsifier)
        if self.table.trusts:
            take = self.table.listeners.append
            take(lambda node, part, unit, up: self.proofs(Believed(node, part, unit, 2 * up - 1)))
        for stage in plan:
            if stage.always or self.table.undecided():
                with self._stage(stage.name):
                    stage.work(self)
                self.journal.flush(self.solver)
        witnesses = self.falsifier.witnesses
        facts = self.table.freeze(self.problem, self.stages, witnesses, self.solver, self.proved)
        return replace(facts, trust=self.options.believed)

    def proofs(self, proof: Proof) -> None:
        """Keep a proof, and tell who listens."""
        self.proved.append(proof)
        self.listener(proof)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.progress(name, 0, 1)
        start, before = time.perf_counter(), self.table.undecided()
        self.stages.append(Stage(name, 0.0, 0))
        yield
        self.stages[-1] = replace(
            self.stages[-1], seconds=time.perf_counter() - start, decided=before - self.table.undecided()
        )
        self.progress(name, 1, 1)

    def annotate(self, questions: int, note: str) -> None:
        """Add to the report of the stage that runs."""
        self.stages[-1] = replace(self.stages[-1], questions=questions, note=note)

    def bound(self, evidence: Evidence, bounds_of: BoundFunction) -> None:
        """Bounds on all parts of the domain, in batches."""
        domain, table = self.problem.domain, self.table
        found: list[Mapping[str, Interval]] = []
        for start in range(0, len(domain.polytopes), _BOX_CHUNK):
            chunk = slice(start, start + _BOX_CHUNK)
            known = {name: Interval(i.lower[chunk], i.upper[chunk]) for name, i in table.bounds.items()}
            found.append(bounds_of(self.problem, domain.lower[chunk], domain.upper[chunk], known))
        bounds = {
            name: Interval(
                np.concatenate([part[name].lower for part in found]),
                np.concatenate([part[name].upper for part in found]),
            )
            for name in table.bounds
        }
        table.learn(bounds, evidence)

    def crown(self) -> None:
        """CROWN with the default slopes, from what the table knows."""
        known = dict(self.table.bounds)
        start = time.monotonic()

        def late() -> bool:
            return self.budget.exhausted() and time.monotonic() - start > _LATE

        self.bound(self.derived(), partial(_crown_of, late))
        self.proofs(DerivedProof("crown", known))

    def derived(self) -> Evidence:
        """What new bounds rest on that start from those of the table."""
        return self.table.dearest

    def at_least(self, evidence: Evidence) -> Evidence:
        """What new bounds rest on that were found like this, from those of the table."""
        return max(self.derived(), evidence, key=PROOFS.index)


BoundFunction = Callable[[Problem, FloatArray, FloatArray, Bounds], Bounds]
"""(problem, lower, upper (boxes, input_size), known bounds) -> bounds of all nodes."""


def _crown_of(
    stop: Callable[[], bool], problem: Problem, lower: FloatArray, upper: FloatArray, known: Bounds
) -> Bounds:
    return crown_bounds(problem.network, lower, upper, known, stop=stop)
