"""One proof of stability: what its stages share.

A proof is about the parts of a domain, or about a region of one part where an assumed disjunct holds
(`Problem.assumed`).  Nothing is known to lie in such a region, so that it has no witnesses of signs, and it may be
empty: that is one more goal, which a stage reaches by `Run.empty`, or by a bound that excludes another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds, interval_bounds
from eqverify.bounds.constrained import ConstrainedSet
from eqverify.bounds.lp import HintSource
from eqverify.budget import Budget
from eqverify.domain import Assumption
from eqverify.errors import ContradictionError
from eqverify.execution import Executor
from eqverify.milp.encoding import JointFactory, SolverFactory
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.facts import (
    NOT_REACHED,
    PROOFS,
    Asked,
    Enough,
    Evidence,
    Facts,
    FactTable,
    Stage,
    never_enough,
)
from eqverify.stability.falsify import Falsifier
from eqverify.stability.journal import Interrupted, Journal, open_journal
from eqverify.stability.options import StabilityOptions
from eqverify.stability.proofs import DerivedProof, Proof, ProofListener, SolverClaim, claims_of

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
        rows: whether it writes the network as rows over its units, so that it can do nothing with smooth nodes.
    """

    name: str
    work: Callable[[Run], None]
    always: bool = False
    rows: bool = False


@dataclass(eq=False)
class Run:
    """One proof: what the stages share.

    Attributes:
        problem: network and domain; a stage may find that the inputs of a region lie in a smaller box.
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
        make_falsifier: makes `falsifier` for the table; by default one that looks for signs.
        hints: makes a source of LP multipliers, or gives None for HiGHS.
        record: whether proofs are kept.
        row_proofs: whether `RowProof`s may be among them.
        solver: name and version of the solver, once one was asked.
        emptied: what shows that the region is empty, and how; None as long as nothing does.
        claimed_empty: whether a solver says so.
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
    make_falsifier: Callable[[FactTable], Falsifier] | None = None
    hints: Callable[[], HintSource | None] = lambda: None
    record: bool = True
    row_proofs: bool = False
    proved: list[Proof] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    solver: str = ""
    emptied: tuple[Evidence, str] | None = None
    claimed_empty: bool = False

    def __post_init__(self) -> None:
        self._about = problem = self.problem
        options = self.options
        self.budget = Budget.of(options.time_limit)
        if options.node_limit is not None:
            self.budget = self.budget.without_hope()
        self.table = FactTable(
            problem.network,
            len(problem.domain.polytopes),
            lambda bounds: self.emptied is not None or self.enough(bounds),
            self.asked,
            trusts="scip" in options.believed,
            gained=self.budget.gain,
        )
        self.table.goals = int(problem.assumed is not None)
        if self.table.trusts:
            take = self.table.listeners.append
            take(lambda node, part, unit, up: self.proofs(SolverClaim(node, part, unit, 2 * up - 1)))
        make = self.make_falsifier or partial(Falsifier, problem.network, problem.domain, seed=options.seed)
        self.falsifier = make(self.table)
        journal = None if options.resume is None else Path(options.resume)
        self.journal: Journal = open_journal(journal, problem, options.engine)

    @property
    def assumed(self) -> Assumption | None:
        """The constraints on outputs and inputs that hold in the region; None where the proof is about whole parts."""
        return None if self.problem.assumed is None else self.problem.given(0)

    def run(self, plan: Sequence[StageSpec]) -> Facts:
        """All stages of a plan, after what the journal knows."""
        if self.journal.entries:
            with self._stage("journal"):
                self.solver = self.journal.restore(self.table, self.falsifier)
            for proof in claims_of(self.table.bounds):
                self.proofs(proof)
        self.journal.record(self.table, self.falsifier)
        try:
            self.work(plan)
        except KeyboardInterrupt:
            raise Interrupted(self.journal) from None
        return self.facts()

    def work(self, plan: Sequence[StageSpec]) -> None:
        """The stages of a plan, as long as there is anything to decide."""
        for stage in plan:
            if stage.always or self.table.undecided():
                with self._stage(stage.name):
                    if stage.rows and self.problem.network.smooth:
                        self.annotate(0, "left out: for piecewise linear networks only")
                    elif stage.always or self.budget.total_left > 0:
                        self._attempt(stage)
                    else:
                        self.annotate(0, NOT_REACHED)
                self.journal.flush(self.solver)

    def _attempt(self, stage: StageSpec) -> None:
        """In a region, bounds that exclude each other show that it is empty; elsewhere one of their proofs is wrong."""
        try:
            stage.work(self)
        except ContradictionError:
            if self.problem.assumed is None:
                raise
            self.empty(self.derived(), "bounds that exclude each other")

    def empty(self, evidence: Evidence, how: str) -> None:
        """Note that no input lies in the region: nothing is left to decide."""
        self.emptied = self.at_least(evidence), how

    def start(self, facts: Facts) -> None:
        """Take what is proved on a set that contains the domain; its proofs are not repeated."""
        for layer in facts.layers:
            shape = self.table.bounds[layer.source].lower.shape
            known = Interval(np.broadcast_to(layer.lower, shape), np.broadcast_to(layer.upper, shape))
            proved = np.where(np.isin(layer.evidence, PROOFS), layer.evidence, Evidence.NONE).astype(np.int8)
            self.table.restore(layer.source, known, proved, facts.weakest_evidence)
        self.proved += [proof for proof in facts.proofs if isinstance(proof, SolverClaim)]

    def recall(self, kept: Sequence[Facts]) -> None:
        """The same with what earlier runs kept, as a stage."""
        if kept:
            with self._stage("facts"):
                for facts in kept:
                    self.start(facts)

    def facts(self) -> Facts:
        """What is known."""
        witnesses = self.falsifier.witnesses
        facts = self.table.freeze(self._about, self.stages, witnesses, self.solver, self.proved)
        return replace(facts, trust=self.options.believed)

    def proofs(self, proof: Proof) -> None:
        """Keep a proof, and tell who listens."""
        if self.record or isinstance(proof, SolverClaim):
            self.proved.append(proof)
        self.listener(proof)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.progress(name, 0, 1)
        start, before, stable = time.perf_counter(), self.table.undecided(), self.table.stable()
        self.stages.append(Stage(name, 0.0, 0))
        self.budget.renew()
        yield
        self.stages[-1] = replace(
            self.stages[-1],
            seconds=time.perf_counter() - start,
            decided=before - self.table.undecided(),
            stable=self.table.stable() - stable,
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
            try:
                found.append(bounds_of(self.problem, domain.lower[chunk], domain.upper[chunk], known))
            except ContradictionError:
                table.rest_on(evidence)
                raise
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
            return self.budget.total_left <= 0 and time.monotonic() - start > _LATE

        self.bound(self.derived(), partial(_crown_of, late))
        self.proofs(DerivedProof("crown", known))

    def bounds_on(self, part: int) -> dict[str, Interval]:
        """Intervals (1, n) of all inputs and nodes on one part of the domain, from what the table knows.

        Raises:
            ContradictionError: two bounds exclude each other.
        """
        domain, own = self.problem.domain, slice(part, part + 1)
        known = {name: Interval(i.lower[own], i.upper[own]) for name, i in self.table.bounds.items()}
        network = self.problem.network
        bounded = crown_bounds if network.smooth else interval_bounds  # the table knows nothing of what they read
        return bounded(network, domain.lower[own], domain.upper[own], known)

    def region(self) -> ConstrainedSet:
        """Box and constraints of a region."""
        assumed, box = self.assumed, self.problem.domain.polytopes[0].box
        assert assumed is not None
        return ConstrainedSet(self.problem.network, box.lower, box.upper, assumed)

    def derived(self) -> Evidence:
        """What new bounds rest on that start from those of the table."""
        return self.table.weakest_evidence

    def at_least(self, evidence: Evidence) -> Evidence:
        """What new bounds rest on that were found like this, from those of the table."""
        return max(self.derived(), evidence, key=PROOFS.index)


BoundFunction = Callable[[Problem, FloatArray, FloatArray, Bounds], Bounds]
"""(problem, lower, upper (boxes, input_size), known bounds) -> bounds of all nodes."""


def _crown_of(
    stop: Callable[[], bool], problem: Problem, lower: FloatArray, upper: FloatArray, known: Bounds
) -> Bounds:
    return crown_bounds(problem.network, lower, upper, known, stop=stop)
