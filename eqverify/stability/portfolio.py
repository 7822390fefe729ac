"""The proof of stability: a list of stages, cheap to dear, each only on what is left.

A stage is a name and a function of the `Run`; `PLANS` lists them by engine.  To add one, write the function in
`eqverify.stability.stages` (it reads and feeds `run.table`, and asks `run.budget`) and put a `StageSpec` where its cost
belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

from eqverify.execution import Executor, make_executor
from eqverify.kernels import job
from eqverify.milp.encoding import JointFactory, SolverFactory
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.stability import store
from eqverify.stability.factories import IsaFactory, LeoFactory, ScipFactory
from eqverify.stability.facts import Asked, Enough, Facts, never_enough
from eqverify.stability.options import Engine, StabilityOptions
from eqverify.stability.proofs import ProofListener, ignore
from eqverify.stability.run import Run, StageSpec
from eqverify.stability.stages import arithmetic, branching, linear, region, search, solvers


@job()
def prove_stability(
    problem: Problem,
    options: StabilityOptions | None = None,
    *,
    progress: Progress = silent,
    solver_factory: SolverFactory | None = None,
    joint_factory: JointFactory | None = None,
    executor: Executor | None = None,
    proofs: ProofListener = ignore,
    plan: Sequence[StageSpec] | None = None,
    enough: Enough = never_enough,
    asked: Asked | None = None,
    start: Sequence[Facts] = (),
) -> Facts:
    """Decide for every ReLU unit whether it is stable on the problem's domain.

    Args:
        problem: network and domain.
        options: engine and limits.
        progress: told of each stage and layer.
        solver_factory: makes the MILP model of a polytope; SCIP by default.
        joint_factory: makes the model of the engine ``isa``; SCIP by default.
        executor: where solver questions are asked; by default made, and closed, as `options.workers` says.
        proofs: told how bounds were proved, for certificates.
        plan: the stages; by default those of the engine.
        enough: whether what is known suffices; the proof then ends early.
        asked: the units to decide; by default all.  What is found out about others on the way counts too.
        start: what is proved of the network on sets that contain the domain; `proofs` is not told how.

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
        run = Run(problem, options, progress, factory, joint, chosen, proofs, enough=enough, asked=asked)
        folder = None if options.engine in _PUBLISHED else options.facts
        for facts in start:
            run.start(facts)
        if folder is not None:
            run.recall(store.known(folder, problem))
        with closing(run.journal):
            facts = run.run(PLANS[options.engine] if plan is None else plan)
    finally:
        if executor is None:
            chosen.close()
    if folder is not None:
        store.keep(folder, problem, facts)
    return facts


_PUBLISHED = ("leo", "isa")
"""Engines that are baselines: they start from nothing, and leave nothing."""

WITHOUT_SOLVER = (
    StageSpec("crown", arithmetic.crown, always=True),
    StageSpec("signs", arithmetic.signs),
    StageSpec("falsify", search.falsify, always=True),
    StageSpec("alpha", arithmetic.alpha),
    StageSpec("split", search.split),
    StageSpec("lp", linear.lp, rows=True),
    StageSpec("branch", branching.branch),
)
"""The stages of the portfolio whose proofs are arithmetic."""

PLANS: Mapping[Engine, tuple[StageSpec, ...]] = {
    "crown": (
        StageSpec("crown", arithmetic.crown, always=True),
        StageSpec("signs", arithmetic.signs),
        StageSpec("falsify", search.sample, always=True),
    ),
    "portfolio": (*WITHOUT_SOLVER, StageSpec("scip", solvers.scip, rows=True)),
    "leo": (
        StageSpec("interval", arithmetic.interval, always=True),
        StageSpec("signs", arithmetic.signs),
        StageSpec("leo", solvers.leo, rows=True),
    ),
    "isa": (
        StageSpec("interval", arithmetic.interval, always=True),
        StageSpec("signs", arithmetic.signs),
        StageSpec("isa", solvers.isa, rows=True),
    ),
}

FIRST_LOOK = (StageSpec("search", search.falsify),)
"""For a region, before anything is proved: a short search for an input of it."""

REGION = (
    StageSpec("slopes", region.refute),
    StageSpec("crown", arithmetic.crown),
    StageSpec("signs", arithmetic.signs),
    StageSpec("split", region.cover),
    StageSpec("clip", region.clip),
    StageSpec("rounds", region.rounds),
    StageSpec("rows", region.branch_rows),
    StageSpec("branch", branching.branch),
    StageSpec("scip", solvers.scip, rows=True),
)
"""The stages for a region where a disjunct is assumed, after the first look."""
