"""Property-directed proof: per disjunct of the output condition, which units are stable where that disjunct holds.

For one case (a polytope of inputs) and one disjunct let D' be the inputs of the polytope whose outputs satisfy it.
What is proved on the polytope holds on D', and what is proved empty needs no verifier.  There is no witness of signs on
D': an input that is known to lie in it is a counterexample of the property, and ends the matter.

D' is a region, and the stages of the portfolio decide it (`eqverify.stability.run`).  Where many inputs are free, one
proof on the polytope comes first, which serves all disjuncts of the case (`eqverify.stability.joint_disjuncts`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from eqverify.arrays import ByteArray, FloatArray, IntArray
from eqverify.bounds.crown import never
from eqverify.bounds.lp import HintSource
from eqverify.budget import Budget
from eqverify.domain import Domain
from eqverify.errors import LimitError, Place, UsageError
from eqverify.execution import SerialExecutor
from eqverify.milp.encoding import SolverFactory
from eqverify.problem import Problem, domain_problem
from eqverify.progress import Progress, silent
from eqverify.stability.assumed import directed_problem
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.stability.factories import IsaFactory, ScipFactory
from eqverify.stability.facts import Evidence, Facts, FactTable, Stage, Status
from eqverify.stability.falsify import Falsifier
from eqverify.stability.joint_disjuncts import Effort, SharedProof, prove_rows
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import FIRST_LOOK, PLANS, REGION, prove_stability
from eqverify.stability.proofs import DerivedProof, Proof, ignore
from eqverify.stability.run import Run, StageSpec

SHARED_SHARE = 0.7
"""Of the time, for the proof that all disjuncts of a case share."""

_LEAST = 0.01
"""Seconds that it is given where none are left: it ends at once."""

Outcome = Literal["unsat", "open", "sat", "skipped"]


@dataclass(frozen=True, slots=True, eq=False)
class Directed:
    """What was proved about one disjunct.

    Attributes:
        case: index of the case.
        index: number of the disjunct within it.
        problem: the network on the case's polytope with just this disjunct, and with it assumed.
        status: ``unsat``: D' is empty.  ``sat``: `point` lies in it.  ``open``: neither is known.  ``skipped``: not
            looked at, since another disjunct is ``sat``.
        evidence: what ``unsat`` rests on.
        how: how the status was found.
        facts: for ``open``, about D'.
        point: (input_size,) for ``sat``, checked exactly.
        signs: for ``open``, by ReLU node (n,): 1 where z >= 0, -1 where z <= 0 was proved on D' and not on the
            polytope; else 0.
        stages: what was done.
        proofs: for ``unsat``, if they were asked for: the steps of the proof, in order.  None where it is a solver's.
            Those of ``open`` are in `facts`.
        claimed: for ``open``, that a solver says that D' is empty, which nothing shows.
        shared: about the case's polytope, if one proof served all its disjuncts.
    """

    case: int
    index: int
    problem: Problem
    status: Outcome
    evidence: Evidence = Evidence.NONE
    how: str = ""
    facts: Facts | None = None
    point: FloatArray | None = None
    signs: Mapping[str, ByteArray] | None = None
    stages: tuple[Stage, ...] = ()
    proofs: tuple[Proof, ...] = ()
    claimed: bool = False
    shared: Facts | None = None


def prove_directed(
    problem: Problem,
    options: StabilityOptions | None = None,
    *,
    facts: Facts | None = None,
    certified_only: bool = False,
    progress: Progress = silent,
    solver_factory: SolverFactory | None = None,
    hints: Callable[[], HintSource | None] = lambda: None,
    record: bool = False,
    row_proofs: bool = False,
    share: float = 1.0,
    searched: bool = False,
) -> tuple[Directed, ...]:
    """Decide the disjuncts of a property, or find what is stable where they hold.

    Args:
        problem: network and property.
        options: limits; `engine` and `resume` are not looked at.
        facts: proved before for this problem; then disjuncts share no further proof.
        certified_only: never ask the MILP solver.
        progress: told of each disjunct.
        solver_factory: makes the MILP model; SCIP by default.
        hints: makes the source of LP multipliers; HiGHS by default.
        record: whether to keep the steps of proofs, for certificates, which have none about several disjuncts: each is
            then proved by itself.  `facts` are taken for known by them.
        share: of the time that is left when it is the turn of single disjuncts, what they may take; a second at least.
        searched: whether the caller has looked for inputs already: a search for each comes after what is shared, then.

    Returns:
        One result per disjunct, in order; where one is ``sat``, those that are open are ``skipped``.  Trusted: float64
        arithmetic, `facts`, and for evidence `solver`, which there is only where `options` trust it, the solver.

    Raises:
        UsageError: `facts/other-problem`, `directed/no-condition`.
        InputError: `directed/tail`.
    """
    options = replace(options or StabilityOptions(), engine="portfolio", resume=None)
    folder = None if record or isinstance(options.facts, Facts) else options.facts  # recorded steps show everything
    options = replace(options, facts=folder)
    if facts is not None:
        facts.require(problem)
    if not any(case.unsafe for case in problem.cases):
        raise UsageError(
            "directed/no-condition",
            "the property has no output condition that an output could satisfy",
            place=Place(file=problem.specification.source),
            hint="reduce without --for-property",
        )
    factory = solver_factory or ScipFactory(options.seed, -1 if options.node_limit is None else options.node_limit)
    regions = [
        _Region(problem, (number, index), options, factory, hints, record=record, row_proofs=row_proofs)
        for number, case in enumerate(problem.cases)
        for index in range(len(case.unsafe))
    ]
    plan = REGION[:-1] if certified_only else REGION
    budget = Budget.of(options.time_limit).without_hope()
    if searched:
        plan = (*FIRST_LOOK, *plan)
    if searched or _first_look(regions, budget, progress):
        joint = facts is None and not record
        if not joint or _share_proofs(problem, regions, options, budget, progress):
            rest = budget if share == 1.0 else Budget(max(1.0, budget.left * share))
            _one_by_one([one for one in regions if one.status == "open"], facts, plan, rest, progress)
    return tuple(one.result() for one in regions)


def _first_look(regions: Sequence[_Region], budget: Budget, progress: Progress) -> bool:
    """A short search for an input of each; whether none is ``sat``."""
    for number, one in enumerate(regions):
        progress("disjuncts: first look", number, len(regions))
        one.budget = budget
        one.work(FIRST_LOOK)
        if one.status == "sat":
            return False
    return True


def _share_proofs(
    problem: Problem, regions: Sequence[_Region], options: StabilityOptions, budget: Budget, progress: Progress
) -> bool:
    """One proof for the open disjuncts of each case where many inputs are free; whether none turns out ``sat``."""
    many = [one for one in regions if one.status == "open" and one.free_inputs > options.split_inputs]
    numbers = sorted({one.place[0] for one in many})
    for place, number in enumerate(numbers):
        own = [one for one in many if one.place[0] == number]
        case = problem.cases[number]
        case = replace(case, unsafe=tuple(case.unsafe[one.place[1]] for one in own))
        asked = replace(problem, specification=replace(problem.specification, cases=(case,)))
        start = time.perf_counter()
        found = share_proof(asked, budget.left * SHARED_SHARE / (len(numbers) - place), options, progress)
        for one, closed in zip(own, found.closed, strict=True):
            one.learn(found, (time.perf_counter() - start) / len(own), closed=bool(closed))
            if one.status == "sat":
                return False
    return True


def share_proof(
    problem: Problem, seconds: float, options: StabilityOptions, progress: Progress, effort: Effort = "all"
) -> SharedProof:
    """One proof for all disjuncts of the one case of a problem, as `prove_rows`; it survives workers that die."""
    budget = Budget(max(seconds, _LEAST))
    prove = partial(
        prove_rows,
        problem,
        seed=options.seed,
        progress=progress,
        node_limit=options.node_limit,
        effort=effort,
        folder=options.facts,
    )
    try:
        return prove(budget.left, workers=options.workers)
    except LimitError:  # a worker process died: one that does without is slower, but lives
        return prove(max(budget.left, 1.0), workers=1)


def _one_by_one(
    regions: Sequence[_Region], facts: Facts | None, plan: Sequence[StageSpec], budget: Budget, progress: Progress
) -> None:
    """All stages for each, until one is ``sat``."""
    known: dict[int, Facts] = {}
    given = () if facts is None else (facts,)
    for number, one in enumerate(regions):
        progress("disjuncts", number, len(regions))
        (polytope,) = one.problem.domain.polytopes
        if one.before is None and id(polytope) not in known:
            own = domain_problem(one.problem.network, Domain((polytope,)))
            known[id(polytope)] = prove_stability(own, one.options, plan=PLANS["crown"][:2], start=given)
        if one.before is None:
            one.before = known[id(polytope)]
            one.start(one.before)
        one.budget, one.worked = budget.share(len(regions) - number), True
        one.work(plan)
        if one.status == "sat":
            return


class _Points(Falsifier):
    """The falsifier of a region: no input shows a sign there; one that is known to lie in it ends the matter.

    Args:
        search: looks for such an input.
        problem: of the disjunct.
        table: of the proof; takes nothing from here.
    """

    def __init__(self, search: CounterexampleSearch, problem: Problem, table: FactTable) -> None:
        super().__init__(problem.network, problem.domain, table)
        self.search = search

    def try_points(self, points: FloatArray) -> None:
        """See whether one of the points (k, input_size) lies in the region."""
        if len(points):
            self.search.try_points(points)

    def sample(self, count: int = 0, stop: Callable[[], bool] = never) -> None:
        """Nothing: the search begins with points of its own."""

    def climb(self, stop: Callable[[], bool] = never) -> None:
        """Gradient steps for an input of the region."""
        self.search.search(stop)

    def propose(self, part: int, point: FloatArray, name: str, up: IntArray, down: IntArray) -> None:
        """See whether a solver's point lies in the region."""
        if point.shape == (self.domain.size,):
            self.search.try_points(point[None])

    def climb_from(self, name: str, part: int, units: IntArray, signs: FloatArray, points: FloatArray) -> None:
        """Nothing: signs of units are not looked for."""


class _Region(Run):
    """The proof on the inputs where one disjunct holds.

    Attributes:
        place: index of the case, and number of the disjunct in it.
        search: for an input.
        before: what is known on the case's polytope.
        shared: that, if several disjuncts share its proof.
        worked: whether all stages had their turn.
    """

    def __init__(
        self,
        problem: Problem,
        place: tuple[int, int],
        options: StabilityOptions,
        factory: SolverFactory,
        hints: Callable[[], HintSource | None],
        *,
        record: bool,
        row_proofs: bool,
    ) -> None:
        self.place, own = place, directed_problem(problem, *place)
        (case,) = own.cases
        assert own.assumed is not None
        self.search = search = CounterexampleSearch(own.network, case, case.unsafe[0], own.assumed, options.seed)
        points = partial(_Points, search, own)
        super().__init__(
            own, options, silent, factory, IsaFactory(options.seed), SerialExecutor(), ignore,
            enough=lambda _: search.found is not None, make_falsifier=points, hints=hints, record=record,
            row_proofs=row_proofs,
        )  # fmt: skip
        self.before: Facts | None = None
        self.shared: Facts | None = None
        self.worked = False
        box = case.polytope.box
        self.free_inputs = int((box.upper > box.lower).sum())

    @property
    def status(self) -> Outcome:
        """What is known by now."""
        if self.search.found is not None:
            return "sat"
        return "open" if self.emptied is None else "unsat"

    def learn(self, found: SharedProof, seconds: float, *, closed: bool) -> None:
        """Take what one proof for several disjuncts showed: facts about the polytope, or that this one is `closed`."""

        def take(run: Run) -> None:
            run.falsifier.try_points(found.facts.witnesses)
            if closed:
                run.empty(found.evidence, "one proof for all disjuncts")
            else:
                run.start(found.facts)

        self.before = self.shared = found.facts
        self.work([StageSpec("shared", take, always=True)])
        self.stages[-1] = replace(self.stages[-1], seconds=seconds)

    def result(self) -> Directed:
        """What came out."""
        status, (evidence, how) = self.status, self.emptied or (Evidence.NONE, "")
        if status == "sat":
            evidence, how = Evidence.NONE, "an input was found"
        if status == "open" and not self.worked:
            status, how = "skipped", "another disjunct is satisfied"
        if self.proved and self.record:
            # a checker notes what bounds that exclude each other say when it has taken them all
            self.proofs(DerivedProof("crown", {}))
        facts, is_open = self.facts(), status == "open"
        return Directed(
            *self.place, self._about, status, evidence, how,
            facts=facts if is_open else None,
            point=self.search.found,
            signs=self._signs(facts) if is_open else None,
            stages=facts.stages,
            proofs=facts.proofs if status == "unsat" else (),
            claimed=is_open and self.claimed_empty,
            shared=self.shared,
        )  # fmt: skip

    def _signs(self, facts: Facts) -> dict[str, ByteArray]:
        """What is stable on D' and not known to be on the polytope."""
        assert self.before is not None
        signs = {}
        for layer, before in zip(facts.layers, self.before.layers, strict=True):
            sign = np.where(layer.status == Status.INACTIVE, -1, np.where(layer.status == Status.ACTIVE, 1, 0))
            known = before.mask(Status.INACTIVE, Status.ACTIVE)
            signs[layer.name] = np.where(known, 0, sign).astype(np.int8)
        return signs
