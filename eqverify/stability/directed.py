"""Property-directed proof: per disjunct of the output condition, which units are stable where that disjunct holds.

For one case (a polytope of inputs) and one disjunct let D' be the inputs of the polytope whose outputs satisfy it.
What is proved on the polytope holds on D', and what is proved empty needs no verifier.  There is no witness of signs on
D': an input that is known to lie in it is a counterexample of the property, and ends the matter.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds import Bounds, Interval
from eqverify.bounds.ascent import Slopes
from eqverify.bounds.crown import open_units
from eqverify.bounds.directed import (
    DirectedLp,
    Question,
    directed_lp,
    directed_slopes,
    emptiness,
    feed_forward,
    lp_bounds,
    meet,
)
from eqverify.bounds.lp import HintSource, LpBound
from eqverify.budget import Budget
from eqverify.domain import Assumption
from eqverify.errors import Place, UsageError
from eqverify.milp.encoding import Answer, Solver, SolverFactory, Verdict
from eqverify.network import Affine, Dense, Network, Term
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.relaxation.blocks import UnitBlock
from eqverify.search.box_cover import cover_set
from eqverify.search.engine import forever
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import BranchResult, Guide, SignQuery
from eqverify.stability.assumed import Start, directed_problem, start_from
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.stability.factories import ScipFactory
from eqverify.stability.facts import PROOFS, Evidence, Facts, LayerFacts, Stage, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.proofs import (
    Believed,
    BranchProof,
    CoverProof,
    DerivedProof,
    LinearProof,
    Proof,
    SlopesProof,
    ZeroProof,
)

ITERATIONS = 20
"""Gradient steps per bound, as for bounds on the whole domain."""

MAX_ROUNDS = 12
GAIN = 0.02
"""Another round needs an open unit less, or intervals of the open units narrower by this share."""

SPLIT_SHARE = 0.6
"""Share of the time left that splitting of the input box may take."""

SPLIT_BOXES = 20_000
"""Boxes of a run with a node limit, where time must not matter; ten times as many otherwise."""

LP_ENTRIES = 20_000_000
"""Linear programs with more entries (units times columns) are left out."""

_LEAST = 1.0
"""Seconds for proving what SCIP claims, at least."""

_NODES = 1_000_000
"""Tree nodes for that, at most."""

PATIENCE = 8
"""SCIP is given up after so many units in a row without an answer."""

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


def prove_directed(
    problem: Problem,
    options: StabilityOptions | None = None,
    *,
    facts: Facts | None = None,
    certified_only: bool = False,
    progress: Progress = silent,
    solver_factory: SolverFactory | None = None,
    hints: Callable[[], HintSource] | None = None,
    record: bool = False,
) -> tuple[Directed, ...]:
    """Decide the disjuncts of a property one after the other, or find what is stable where they hold.

    Args:
        problem: network and property.
        options: limits; `engine`, `workers` and `resume` are not looked at.
        facts: proved before for this problem.
        certified_only: never ask the MILP solver.
        progress: told of each disjunct.
        solver_factory: makes the MILP model; SCIP by default.
        hints: makes the source of LP multipliers; HiGHS by default.
        record: whether to keep the steps of proofs, for certificates; `facts` are taken for known by them.

    Returns:
        One result per disjunct, in order; where one is ``sat``, those that are open are ``skipped``.  Trusted: float64
        arithmetic, `facts`, and for evidence `solver`, which there is only where `options.trust` names it, the solver.

    Raises:
        UsageError: `facts/other-problem`, `directed/no-condition`.
        InputError: `directed/tail`.
    """
    options = options or StabilityOptions()
    if facts is not None:
        facts.require(problem)
    todo = [(c, k) for c, case in enumerate(problem.cases) for k in range(len(case.unsafe))]
    if not todo:
        raise UsageError(
            "directed/no-condition",
            "the property has no output condition that an output could satisfy",
            place=Place(file=problem.specification.source),
            hint="reduce without --for-property",
        )
    nodes = -1 if options.node_limit is None else options.node_limit
    tools = Tools(
        None if certified_only else solver_factory or ScipFactory(options.seed, nodes), hints or (lambda: None), record
    )
    starts: dict[int, Start] = {}
    proofs = []
    for case, index in todo:
        polytope = problem.cases[case].polytope
        if id(polytope) not in starts:
            starts[id(polytope)] = start_from(problem, polytope, facts)
        start = starts[id(polytope)]
        proofs.append(_Proof(case, index, directed_problem(problem, case, index, start.outputs), start, options, tools))
    _work(proofs, Budget(options.time_limit), progress)
    return tuple(proof.result() for proof in proofs)


def _work(proofs: list[_Proof], budget: Budget, progress: Progress) -> None:
    """First what is cheap for all, then the rest for those that are left, until one is ``sat``."""
    for number, proof in enumerate(proofs):
        progress("disjuncts: first look", number, len(proofs))
        proof.first_look(budget)
        if proof.status == "sat":
            return
    left = [proof for proof in proofs if proof.status == "open"]
    for number, proof in enumerate(left):
        progress("disjuncts", number, len(left))
        proof.work(budget.share(len(left) - number))
        if proof.status == "sat":
            return


@dataclass(frozen=True, slots=True)
class Tools:
    """Solvers.

    Attributes:
        solver_factory: makes a MILP model, None for never.
        hints: makes a source of LP multipliers, or gives None for HiGHS.
        record: whether to keep the steps of proofs.
    """

    solver_factory: SolverFactory | None
    hints: Callable[[], HintSource | None]
    record: bool = False


class _Proof:
    """One disjunct."""

    def __init__(
        self, case: int, index: int, problem: Problem, start: Start, options: StabilityOptions, tools: Tools
    ) -> None:
        assert problem.assumed is not None
        self.place = case, index
        self.problem = problem
        self.network = problem.network
        self.start = start
        self.options = options
        self.budget = Budget(0.0)
        self.tools = tools
        (chosen,) = problem.cases
        self.polytope = chosen.polytope
        box = self.polytope.box
        assumed = problem.assumed.with_inputs(self.polytope.matrix, self.polytope.bound)
        self.question = Question(self.network, box.lower, box.upper, assumed)
        self.search = CounterexampleSearch(self.network, chosen, chosen.unsafe[0], problem.assumed, options.seed)
        self.bounds = dict(start.bounds)
        self.level = start.level
        self.evidence = {name: kinds.copy() for name, kinds in start.evidence.items()}
        self.outcome: tuple[Outcome, Evidence, str] | None = None
        self.stages: list[Stage] = []
        self.proofs: list[Proof] = []
        self.solver = ""
        self.trusts = "scip" in options.trust
        self.claims: dict[str, set[int]] = {}
        self.claimed_empty = False
        self.worked = False

    @property
    def status(self) -> Outcome:
        """What is known by now."""
        return "open" if self.outcome is None else self.outcome[0]

    def first_look(self, budget: Budget) -> None:
        """What takes far less than a second: slopes and multipliers for emptiness, and the search for an input."""
        self._run(budget, (("slopes", self._refute_by_slopes), ("search", self._search)))

    def work(self, budget: Budget) -> None:
        """All other stages."""
        self.worked = True
        self._run(budget, (("split", self._split), ("rounds", self._rounds), ("scip", self._ask_solver)))

    def _run(self, budget: Budget, stages: tuple[tuple[str, Callable[[], None]], ...]) -> None:
        self.budget = budget
        for name, work in stages:
            if self.outcome is None and not budget.exhausted():
                with self._stage(name):
                    work()

    def result(self) -> Directed:
        """What came out."""
        status, evidence, how = self.outcome or ("open", Evidence.NONE, "")
        if self.outcome is None and not self.worked:
            status, how = "skipped", "another disjunct is satisfied"
        # a checker notes what bounds that exclude each other say when it has taken them all
        proofs = (*self.proofs, DerivedProof("crown", {})) if self.proofs else ()
        facts = self._facts(proofs) if status == "open" else None
        signs = self._signs() if status == "open" else None
        found = self.search.found
        stages, proofs = tuple(self.stages), proofs if status == "unsat" else ()
        claimed = status == "open" and self.claimed_empty
        return Directed(*self.place, self.problem, status, evidence, how, facts, found, signs, stages, proofs, claimed)

    def _record(self, proof: Proof) -> None:
        if self.tools.record:
            self.proofs.append(proof)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        start, before = time.perf_counter(), self._open_count()
        self.stages.append(Stage(name, 0.0, 0))
        yield
        seconds, decided = time.perf_counter() - start, before - self._open_count()
        self.stages[-1] = replace(self.stages[-1], seconds=seconds, decided=decided)

    def _open(self) -> dict[str, BoolArray]:
        """By pre-activation node, (n,) bool."""
        return {relu.source: open_units(self.bounds[relu.source])[0] for relu in self.network.relus}

    def _open_count(self) -> int:
        return sum(int(open_units(self.bounds[relu.source])[0].sum()) for relu in self.network.relus)

    def _open_width(self) -> float:
        total = 0.0
        for name, units in self._open().items():
            z = self.bounds[name]
            total += float((z.upper - z.lower)[0, units].sum())
        return total

    def _dearer(self, evidence: Evidence) -> Evidence:
        return max(self.level, evidence, key=PROOFS.index)

    def _learn(self, bounds: Mapping[str, Interval] | None, evidence: Evidence, how: str) -> bool:
        """Take bounds of all nodes on D'; None shows that it is empty.  Whether the proof goes on."""
        if bounds is None:
            self._empty(evidence, how)
            return False
        gained = any(
            (bounds[n].lower > z.lower).any() or (bounds[n].upper < z.upper).any() for n, z in self.bounds.items()
        )
        if gained:
            self.level = self._dearer(evidence)
            self.bounds = dict(bounds)
            for relu in self.network.relus:
                new = ~open_units(self.bounds[relu.source])[0] & (self.evidence[relu.name] == Evidence.NONE)
                self.evidence[relu.name][new] = self.level
        return True

    def _empty(self, evidence: Evidence, how: str) -> None:
        self.outcome = ("unsat", self._dearer(evidence), how)

    def _try(self, points: list[FloatArray]) -> None:
        if points:
            self.search.try_points(np.stack(points))
        if self.search.found is not None:
            self.outcome = ("sat", Evidence.NONE, "an input was found")

    def _finds(self, points: FloatArray) -> bool:
        """Whether an input of D' was found by now, with these points (k, input_size)."""
        self.search.try_points(points)
        return self.search.found is not None

    def _search(self) -> None:
        self.search.search(self.budget.exhausted)
        self._try([])

    def _refute_by_slopes(self) -> None:
        found = emptiness(self.question, self.bounds, ITERATIONS)
        if found is not None:
            self._record(ZeroProof(self.bounds, found))
            self._empty(Evidence.DUAL, "optimised slopes")

    def _split(self) -> None:
        """Where few inputs are free: drop parts of the box that miss D', and go on with what is left."""
        free = int((self.question.upper > self.question.lower).sum())
        if free > self.options.split_inputs or not len(self.question.assumed):
            self._note(f"left out: {free} free inputs" if free > self.options.split_inputs else "")
            return
        share = Budget(self.budget.left * SPLIT_SHARE)
        fixed = self.options.node_limit is not None
        region = self.question
        cover = cover_set(
            self.network,
            region.lower,
            region.upper,
            region.assumed,
            self.bounds,
            max_boxes=SPLIT_BOXES if fixed else 10 * SPLIT_BOXES,
            left=forever if fixed else lambda: share.left,
            attempt=self._finds,
        )
        self._record(CoverProof(cover.tree))
        self._note(f"{cover.bounded} boxes, {len(cover.lower)} left")
        self._try([])
        if self.outcome is None and not len(cover.lower):
            self._empty(Evidence.TREE, "splitting the input box")
        if self.outcome is not None:
            return
        self.question = replace(self.question, lower=cover.lower.min(axis=0), upper=cover.upper.max(axis=0))
        merged: dict[str, Interval] = {}
        for name, interval in cover.bounds.items():
            z = meet(self.bounds[name], interval)
            if z is None:
                self._empty(Evidence.TREE, "bounds that exclude each other")
                return
            merged[name] = z
        self._learn(feed_forward(self.question, merged), Evidence.TREE, "bounds that exclude each other")

    def _note(self, note: str) -> None:
        self.stages[-1] = replace(self.stages[-1], note=note)

    def _rounds(self) -> None:
        """Slopes and linear programs, as long as they gain."""
        for _ in range(MAX_ROUNDS):
            count, width = self._open_count(), self._open_width()
            for work in (self._tighten_slopes, self._refute_by_slopes, self._tighten_lp):
                if self.outcome is not None or self.budget.exhausted():
                    return
                work()
            if not count or (self._open_count() == count and self._open_width() > (1 - GAIN) * width):
                return

    def _tighten_slopes(self) -> None:
        def listen(name: str, known: Bounds, slopes: Slopes) -> None:
            self._record(SlopesProof(known, np.zeros(1, dtype=np.int64), {name: (slopes,)}))

        stop = self.budget.exhausted
        found = directed_slopes(self.question, self.bounds, self._open(), ITERATIONS, stop, listen)
        self._learn(found, Evidence.DUAL, "optimised slopes")

    def _program(self) -> DirectedLp | None:
        kept = self._open_count()
        if kept * (kept + self.network.input_size) > LP_ENTRIES:
            return None
        return directed_lp(self.question, self.bounds, self.tools.hints())

    def _tighten_lp(self) -> None:
        """First whether the linear program has a point at all, then all open units by it."""
        program = self._program()
        if program is None:
            return
        nothing = program.layer.empty(seconds=self.budget.left)
        if nothing is not None:
            self._record(ZeroProof(self.bounds, _linear(program, "", 0, 1, nothing)))
            self._empty(Evidence.DUAL, "a linear program")
            return
        points: list[FloatArray] = []
        known: dict[str, Interval] = dict(self.bounds)
        layers = [(name, units) for name, units in self._open().items() if units.any()]
        for number, (name, units) in enumerate(layers):
            found = self._layer_by_lp(program, name, units, self.budget.share(len(layers) - number), points)
            z = meet(known[name], found)
            if z is None:
                self._empty(Evidence.DUAL, "a linear program")
                return
            known[name] = z
        self._try(points)
        if self.outcome is None:
            self._learn(feed_forward(self.question, known), Evidence.DUAL, "bounds that exclude each other")

    def _layer_by_lp(
        self, program: DirectedLp, name: str, units: BoolArray, share: Budget, points: list[FloatArray]
    ) -> Interval:
        order = self._nearest(name, units)

        def listen(unit: int, sense: int, found: LpBound) -> None:
            z = self.bounds[name]
            if found.value < z.upper[0, unit] if sense > 0 else found.value > z.lower[0, unit]:
                self._record(_linear(program, name, unit, sense, found))

        return lp_bounds(program, self.bounds, name, order, lambda: share.left, points.append, listen)

    def _nearest(self, name: str, units: BoolArray) -> IntArray:
        """The units, those whose interval lies nearest to one sign first."""
        chosen = np.flatnonzero(units)
        lower, upper = self.bounds[name].lower[0, chosen], self.bounds[name].upper[0, chosen]
        return np.asarray(chosen[np.argsort(np.minimum(-lower, upper) / (upper - lower), kind="stable")])

    def _ask_solver(self) -> None:
        """The last resort: first whether D' is empty, then the signs of open units.  What the solver says is proved."""
        program = self._program()
        if self.tools.solver_factory is None or program is None:
            return
        solver = self.tools.solver_factory(self.polytope)
        self.solver = solver.description
        self._fill(solver, program)
        questions, silence = 1, 0
        if not self._exists(solver, program):
            for name, units in self._open().items():
                for unit in self._nearest(name, units).tolist():
                    if self.budget.exhausted() or self.outcome is not None or silence >= PATIENCE:
                        break
                    asked, answered = self._ask_unit(solver, program, name, unit)
                    questions += asked
                    silence = 0 if answered else silence + 1
        note = "time limit reached" if self.budget.exhausted() else ""
        self.stages[-1] = replace(self.stages[-1], questions=questions, note=note)

    def _fill(self, solver: Solver, program: DirectedLp) -> None:
        width = self.network.input_size + 1
        for relu in self.network.relus:
            own = np.flatnonzero(open_units(self.bounds[relu.source])[0])
            z, known = program.values[relu.source], self.bounds[relu.source]
            solver.add_units(UnitBlock(z.rows[own, :width], z.error[own], known.lower[0, own], known.upper[0, own]))
            width += own.size

    def _exists(self, solver: Solver, program: DirectedLp) -> bool:
        """Ask whether there is a point at all: about one constraint where the others hold; then require it too.

        Returns:
            Whether the proof has ended.
        """
        model = program.layer.model
        solver.add_constraints(model.matrix[1:], model.bound[1:])
        if not model.bound.size:
            return False
        start = time.monotonic()
        answer = solver.exceeds(-model.matrix[0], -float(model.bound[0]), self.budget.left / 2)
        solver.add_constraints(model.matrix[:1], model.bound[:1])
        self._propose(answer)
        if answer.verdict is Verdict.NEVER and self.outcome is None:
            if self._refute_rows(time.monotonic() - start):
                self._empty(Evidence.TREE, "branching on signs")
            elif self.trusts:
                self._empty(Evidence.SOLVER, self.solver)
            else:
                self.claimed_empty = True
        return self.outcome is not None

    def _refute_rows(self, seconds: float) -> bool:
        """Search for a proof that D' is empty: some constraint on outputs fails wherever the others hold."""
        assumed, budget = self.question.assumed, Budget(min(max(seconds, _LEAST), self.budget.left))
        rows = np.flatnonzero(assumed.outputs.any(axis=1)).tolist()
        for place, row in enumerate(rows):
            rest = np.arange(len(assumed)) != row
            others = Assumption(assumed.outputs[rest], assumed.inputs[rest], assumed.bound[rest])
            network = _with_row(self.network, assumed, row)
            limit = float(np.nextafter(-assumed.bound[row], -np.inf))
            asked = SignQuery(network.nodes[-1].name, 0, -1, limit, guide=Guide.root())
            if self._search_signs(network, asked, others, budget.share(len(rows) - place).left).proved:
                return True
        return False

    def _search_signs(self, network: Network, asked: SignQuery, assumed: Assumption, seconds: float) -> BranchResult:
        (found,) = prove_signs(
            network, self.bounds, [asked], assumed=assumed, max_nodes=_NODES, seconds=seconds, patience=float("inf")
        )
        return found

    def _prove(self, name: str, unit: int, sign: int, seconds: float) -> bool:
        """Search for a proof of a claim by branching, in the time that the claim took; learn what it gives.

        Args:
            name: the pre-activation node.
            unit: of it.
            sign: of the claim  sign * z_unit <= 0.
            seconds: that the claim took.
        """
        if not isinstance(self.network.by_name.get(name), Affine):
            return False
        asked = SignQuery(name, unit, sign, guide=Guide.root())
        seconds = min(max(seconds, _LEAST), self.budget.left)
        found = self._search_signs(self.network, asked, self.question.assumed, seconds)
        if found.proved:
            self._record(BranchProof(self.bounds, 0, found))
            known = {**self.bounds, name: _with_sign(self.bounds[name], unit, -sign)}
            self._learn(feed_forward(self.question, known), Evidence.TREE, "bounds that exclude each other")
        return found.proved

    def _propose(self, answer: Answer) -> None:
        if answer.point is not None and answer.point.shape == (self.network.input_size,):
            self._try([answer.point])

    def _ask_unit(self, solver: Solver, program: DirectedLp, name: str, unit: int) -> tuple[int, bool]:
        """How many questions were asked about a unit, and whether the solver claimed a sign."""
        z, limit = program.values[name], min(self.options.unit_time_limit, self.budget.left)
        nearer_above = self.bounds[name].upper[0, unit] <= -self.bounds[name].lower[0, unit]
        for number, sense in enumerate((1, -1) if nearer_above else (-1, 1), start=1):
            start = time.monotonic()
            answer = solver.exceeds(sense * z.rows[unit], -float(z.error[unit]), limit)
            self._propose(answer)
            if answer.verdict is Verdict.NEVER:
                if not self._prove(name, unit, sense, time.monotonic() - start) and self.outcome is None:
                    self._claim(name, unit, sense)
                return number, True
            if self.outcome is not None:
                return number, False
        return 2, False

    def _claim(self, name: str, unit: int, sign: int) -> None:
        """Note a claim  sign * z <= 0  that was not proved; take it for a fact where the solver is trusted."""
        if not self.trusts:
            self.claims.setdefault(name, set()).add(unit)
            return
        self._record(Believed(name, 0, unit, sign))
        known = {**self.bounds, name: _with_sign(self.bounds[name], unit, -sign)}
        self._learn(feed_forward(self.question, known), Evidence.SOLVER, "bounds that exclude each other")

    def _facts(self, proofs: tuple[Proof, ...]) -> Facts:
        layers = []
        for relu in self.network.relus:
            z = self.bounds[relu.source]
            lower, upper = z.lower[0], z.upper[0]
            status = np.where(upper <= 0, Status.INACTIVE, np.where(lower >= 0, Status.ACTIVE, Status.UNDECIDED))
            claimed = np.zeros(status.shape, dtype=bool)
            claimed[list(self.claims.get(relu.source, ()))] = True
            evidence = self.evidence[relu.name]
            layers.append(LayerFacts(relu.name, relu.source, lower, upper, status.astype(np.int8), evidence, claimed))
        none = np.empty((0, self.network.input_size))
        digest = self.problem.network.digest, self.problem.domain_digest
        return Facts(*digest, tuple(layers), tuple(self.stages), none, self.solver, proofs, self.options.believed)

    def _signs(self) -> dict[str, ByteArray]:
        signs = {}
        for relu in self.network.relus:
            z, new = self.bounds[relu.source], open_units(self.start.bounds[relu.source])[0]
            sign = np.where(z.upper[0] <= 0, -1, np.where(z.lower[0] >= 0, 1, 0))
            signs[relu.name] = np.where(new, sign, 0).astype(np.int8)
        return signs


def _linear(program: DirectedLp, name: str, unit: int, sense: int, found: LpBound) -> LinearProof:
    """A bound by the linear program, of a unit or (without a name) of the zero row."""
    row, error = np.zeros(0), 0.0
    if name:
        row, error = program.values[name].rows[unit], float(program.values[name].error[unit])
    return LinearProof(
        name, 0, unit, sense, found.value, row, error, program.kept, program.active,
        program.layer.model, found.multipliers, assumed=True,
    )  # fmt: skip


def _with_sign(z: Interval, unit: int, sign: int) -> Interval:
    """The interval where a unit has this sign; as it is for 0."""
    lower, upper = z.lower.copy(), z.upper.copy()
    if sign > 0:
        lower[0, unit] = max(lower[0, unit], 0.0)
    elif sign < 0:
        upper[0, unit] = min(upper[0, unit], 0.0)
    return Interval(lower, upper)


def _with_row(network: Network, assumed: Assumption, row: int) -> Network:
    """The network with an affine node of one component behind it: the left-hand side of a constraint."""
    name = "row"
    while name in network.sizes:
        name += "_"
    terms = []
    for ports, matrix in ((network.outputs, assumed.outputs), (network.inputs, assumed.inputs)):
        start = 0
        for port in ports:
            terms.append(Term(port.source, Dense(matrix[[row], start : start + port.size])))
            start += port.size
    return replace(network, nodes=(*network.nodes, Affine(name, tuple(terms), np.zeros(1))))
