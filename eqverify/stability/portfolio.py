"""The proof of stability: a list of stages, cheap to dear, each only on what is left.

A stage is a name and a function of the `Run`; `PLANS` lists them by engine.  To add one, write the function (it reads
and feeds `run.table`, and asks `run.budget`) and put a `StageSpec` where its cost belongs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval, crown_bounds, interval_bounds
from eqverify.bounds.alpha import optimise_slopes
from eqverify.bounds.refine import split_bounds
from eqverify.execution import Executor, make_executor
from eqverify.milp.encoding import JointFactory, SolverFactory
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.stability.budget import Budget
from eqverify.stability.factories import IsaFactory, LeoFactory, ScipFactory
from eqverify.stability.facts import PROOFS, Evidence, Facts, FactTable, Stage, Status
from eqverify.stability.falsify import Falsifier
from eqverify.stability.joint import JointQuestions
from eqverify.stability.journal import Journal, open_journal
from eqverify.stability.options import Engine, StabilityOptions
from eqverify.stability.proof import DualRows, Recorder
from eqverify.stability.sign_questions import QuestionPolicy, SignQuestions
from eqverify.stability.sign_rules import sign_bounds

CLIMB_SHARE = 0.15
"""Share of the time that gradient search may take; what it misses, solver candidates may still show."""

ALPHA_FACTOR = 30.0
"""Optimising slopes took 6 to 28 times as long as CROWN on the shared networks (benchmarks/bounds)."""

SPLIT_SHARE = 0.6
"""Share of the time left that splitting may take."""

SPLIT_BOXES = 20_000
"""Boxes of a run with a node limit, where time must not matter."""

_BOX_CHUNK = 64
"""Boxes bounded in one batch: keeps the coefficient arrays of CROWN within a few hundred MB."""


def prove_stability(
    problem: Problem,
    options: StabilityOptions | None = None,
    *,
    progress: Progress = silent,
    solver_factory: SolverFactory | None = None,
    joint_factory: JointFactory | None = None,
    executor: Executor | None = None,
) -> Facts:
    """Decide for every ReLU unit whether it is stable on the problem's domain.

    Args:
        problem: network and domain.
        options: engine and limits.
        progress: told of each stage and layer.
        solver_factory: makes the MILP model of a polytope; SCIP by default.
        joint_factory: makes the model of the engine ``isa``; SCIP by default.
        executor: where solver questions are asked; by default made, and closed, as `options.workers` says.

    Returns:
        The table of facts.  Trusted: float64 arithmetic; for units with evidence `solver`, also the solver named there;
        the journal, if there is one.

    Raises:
        ContradictionError: two proofs exclude each other.
        InputError: the journal is damaged or about something else.
        LimitError: a worker process died.
    """
    options = options or StabilityOptions()
    nodes = -1 if options.node_limit is None else options.node_limit
    factory = solver_factory or (LeoFactory if options.engine == "leo" else ScipFactory)(options.seed, nodes)
    joint = joint_factory or IsaFactory(options.seed, nodes)
    chosen = executor or make_executor(options.workers)
    try:
        run = Run(problem, options, progress, factory, joint, chosen)
        with closing(run.journal):
            return run.run()
    finally:
        if executor is None:
            chosen.close()


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


class Run:
    """One proof: what the stages share.

    Attributes:
        problem: network and domain.
        options: of the caller.
        progress: to be told.
        factory, joint_factory: make solver models.
        executor: where these live.
        budget: the total time.
        table: what is known.
        falsifier: finds witnesses, and replays those of others.
        journal: takes facts as they are proved.
        solver: name and version of the solver, once one was asked.
        proof: takes the steps as they come.
    """

    def __init__(
        self,
        problem: Problem,
        options: StabilityOptions,
        progress: Progress,
        factory: SolverFactory,
        joint_factory: JointFactory,
        executor: Executor,
    ) -> None:
        self.problem = problem
        self.options = options
        self.progress = progress
        self.factory = factory
        self.joint_factory = joint_factory
        self.executor = executor
        self.budget = Budget(options.time_limit)
        self.table = FactTable(problem.network, len(problem.domain.polytopes))
        self.falsifier = Falsifier(problem.network, problem.domain, self.table, options.seed)
        self.stages: list[Stage] = []
        self.solver = ""
        self.proof = Recorder()
        self.journal: Journal = open_journal(options.resume, problem, options.engine)

    def run(self) -> Facts:
        """All stages of the engine."""
        if self.journal.entries:
            with self._stage("journal"):
                self.solver = self.journal.restore(self.table, self.falsifier)
            self.proof.restored(self.table.bounds)
        self.journal.record(self.table, self.falsifier)
        self.table.listeners.append(self.proof.believed)
        for stage in PLANS[self.options.engine]:
            if stage.always or self.table.undecided():
                with self._stage(stage.name):
                    stage.work(self)
                self.journal.flush(self.solver)
        witnesses = self.falsifier.witnesses
        return self.table.freeze(self.problem, self.stages, witnesses, self.solver, self.proof.steps)

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

    def derived(self) -> Evidence:
        """What new bounds rest on that start from those of the table."""
        if self.solver:
            return Evidence.SOLVER
        if self.table.rests_on(Evidence.TREE):
            return Evidence.TREE
        return Evidence.DUAL if self.table.rests_on(Evidence.DUAL) else Evidence.DERIVED


BoundFunction = Callable[[Problem, FloatArray, FloatArray, Bounds], Bounds]
"""(problem, lower, upper (boxes, input_size), known bounds) -> bounds of all nodes."""


def _crown_of(
    problem: Problem, lower: FloatArray, upper: FloatArray, known: Mapping[str, Interval]
) -> Mapping[str, Interval]:
    return crown_bounds(problem.network, lower, upper, known)


def _interval_of(
    problem: Problem,
    lower: FloatArray,
    upper: FloatArray,
    known: Mapping[str, Interval],  # noqa: ARG001 - the plain method
) -> Mapping[str, Interval]:
    return interval_bounds(problem.network, lower, upper)


def _crown(run: Run) -> None:
    run.proof.bounds()
    run.bound(run.derived(), _crown_of)


def _signs(run: Run) -> None:
    domain = run.problem.domain
    run.proof.bounds()
    run.table.learn(sign_bounds(run.problem.network, run.table, domain.lower, domain.upper), run.derived())


def _interval(run: Run) -> None:
    run.proof.bounds()
    run.bound(Evidence.DERIVED, _interval_of)


def _sample(run: Run) -> None:
    run.falsifier.sample()


def _falsify(run: Run) -> None:
    run.falsifier.sample()
    share = Budget(run.budget.left * CLIMB_SHARE)
    run.falsifier.climb(run.budget.exhausted if run.options.node_limit is not None else share.exhausted)


def _alpha(run: Run) -> None:
    """Optimised slopes for the open units; left out where they would take too long, judged by what CROWN took."""
    crown = next((stage.seconds for stage in run.stages if stage.name == "crown"), 0.0)
    if run.options.node_limit is None and crown * ALPHA_FACTOR > run.budget.left:
        run.annotate(0, f"left out: CROWN took {crown:.2f} s")
        return
    table = run.table
    targets = {name: np.asarray(table.status(name) == Status.UNDECIDED) for name in table.bounds}
    rows: list[DualRows] = []
    done = 0

    def optimised(problem: Problem, lower: FloatArray, upper: FloatArray, known: Bounds) -> Bounds:
        nonlocal done
        found = optimise_slopes(problem.network, lower, upper, known, targets, above=table.above, below=table.below)
        rows.extend(DualRows(node, done, slopes) for node, chunks in found.slopes.items() for slopes in chunks)
        done += len(lower)
        return found.bounds

    run.bound(max(run.derived(), Evidence.DUAL, key=PROOFS.index), optimised)
    run.proof.bounds(tuple(rows))


def _split(run: Run) -> None:
    """Input splitting, where few inputs are free: all open units of all layers at once."""
    domain, table = run.problem.domain, run.table
    free = int((domain.upper > domain.lower).any(axis=0).sum())
    if free > run.options.split_inputs:
        run.annotate(0, f"left out: {free} free inputs")
        return
    cut = any(not part.is_box for part in domain.polytopes)
    fixed = run.options.node_limit is not None
    found = split_bounds(
        run.problem.network,
        domain.lower,
        domain.upper,
        table.bounds,
        undecided={name: table.status(name) == Status.UNDECIDED for name in table.bounds},
        above=table.above,
        below=table.below,
        constraints=[(part.matrix, part.bound) for part in domain.polytopes] if cut else None,
        max_boxes=SPLIT_BOXES if fixed else 1_000_000,
        seconds=float("inf") if fixed else run.budget.left * SPLIT_SHARE,
    )
    run.falsifier.try_points(found.points)
    table.learn(found.bounds, Evidence.TREE)
    run.proof.splitting(found)
    if table.undecided():
        run.bound(run.derived(), _crown_of)
        run.proof.bounds()
    run.annotate(0, "" if found.complete else "time limit reached")


def _scip(run: Run) -> None:
    """The layers in order; bounds are tightened again after each layer that gained."""
    rounds = run.options.node_limit is None

    def gained() -> None:
        run.bound(Evidence.SOLVER, _crown_of)
        run.proof.bounds()

    _ask(run, QuestionPolicy(run.options.unit_time_limit, rounds=rounds), gained)


def _leo(run: Run) -> None:
    """LEO: every unit of every layer both ways, with interval bounds; stable units of earlier layers are left out."""
    _ask(run, QuestionPolicy(run.options.unit_time_limit, rounds=False, thorough=True), lambda: None)


def _ask(run: Run, policy: QuestionPolicy, gained: Callable[[], None]) -> None:
    session = SignQuestions(run.problem, run.table, run.falsifier, run.factory, run.budget, policy, run.executor)
    run.solver = session.description
    try:
        for node in run.problem.network.relus:
            if run.budget.exhausted() or not run.table.undecided():
                break
            if session.layer(node, run.progress) and run.table.undecided():
                gained()
    finally:
        session.close()
    note = "time limit reached" if run.budget.exhausted() else ""
    run.annotate(session.questions, note)


def _isa(run: Run) -> None:
    """ISA: one model for all units of the network, with interval bounds."""
    session = JointQuestions(run.problem, run.table, run.falsifier, run.joint_factory, run.budget)
    session.run(run.progress)
    run.solver = session.description
    run.annotate(session.questions, "; ".join(sorted(set(session.reasons))))


PLANS: Mapping[Engine, tuple[StageSpec, ...]] = {
    "crown": (
        StageSpec("crown", _crown, always=True),
        StageSpec("signs", _signs),
        StageSpec("falsify", _sample, always=True),
    ),
    "portfolio": (
        StageSpec("crown", _crown, always=True),
        StageSpec("signs", _signs),
        StageSpec("falsify", _falsify, always=True),
        StageSpec("alpha", _alpha),
        StageSpec("split", _split),
        StageSpec("scip", _scip),
    ),
    "leo": (StageSpec("interval", _interval, always=True), StageSpec("signs", _signs), StageSpec("leo", _leo)),
    "isa": (StageSpec("interval", _interval, always=True), StageSpec("signs", _signs), StageSpec("isa", _isa)),
}
