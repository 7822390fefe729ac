"""The portfolio: is there an input of the domain at which two networks differ?

Cheap to dear: some points, differential bounds, search for a difference, input splitting with these bounds,
branching on signs, the product MILP, and Z3 on small pairs.  Each stage works on what is left, and every stage may find
a difference.  That there is none is proved by the first four only.  What SCIP or Z3 says is a claim: a proof is looked
for by branching, with the time that the claim took, and what stays a claim is counted, and used where its solver is
trusted by name.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Interval, crown_bounds
from eqverify.budget import Budget, Clock
from eqverify.domain import Domain, Polytope
from eqverify.equivalence.branching import SignSearch
from eqverify.equivalence.exchange import exchange
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.joint import Joint, make_joint
from eqverify.equivalence.options import METHODS, EquivalenceOptions, Method
from eqverify.equivalence.product import ROWS
from eqverify.equivalence.sharpen import sharpen
from eqverify.equivalence.splitting import Splitter
from eqverify.equivalence.witness import Witness, WitnessSearch
from eqverify.network import Network, require_piecewise_linear
from eqverify.progress import Progress, silent
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import SignQuery

Verdict = Literal["equivalent", "different", "unknown"]

Known = dict[str, Interval]
"""Proved intervals of all nodes of a network on one box, (1, n) each."""

EXACT_LIMITS = (120, 5_000)
"""ReLUs and products of both networks together beyond which neither branching with exact rows nor Z3 is tried."""

PROOF_SECONDS = 5.0
"""A proof of what a solver claims is looked for so long at least, if there is time."""

_BELOW_ZERO = -1e-300
"""A row that may be 0 is never met where it is negative."""

_MAX_NODES = 1_000_000

MILP_UNITS = 250
"""The product MILP is not tried where both networks together have more undecided units."""


_SHARE = 0.5
"""Share of the time left for stability that one round may take for one network: splitting begins anew in each."""


@dataclass(frozen=True, slots=True)
class DecideOptions(EquivalenceOptions):
    """How to decide.

    Attributes:
        methods: which of the dear stages may be used.
    """

    methods: tuple[Method, ...] = METHODS


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """The answer about one question.

    Attributes:
        verdict: ``equivalent``: no input of the domain satisfies a disjunct, proved up to the claims of those in
            `trusted`.  ``different``: `witness` does.
        witness: the difference.
        reach: a proved upper bound of every disjunct's least row over the domain; at most 0 where equivalent.
        closest: (disjuncts,) the largest least row of each seen at a point of the domain; -inf for none.
        trusted: solvers whose claims were used, none without proof unless `DecideOptions.trust` names them.
        claimed: disjuncts, by part of the domain, of which a solver claims that no input satisfies them, without a
            proof; those in `trusted` aside.
        claimants: the solvers that claim so.
        solver: SCIP's name and tolerances where it was asked to any effect.
        boxes: boxes bounded in all.
        left: boxes that are open.
        done: share of the domain's boxes where every disjunct is excluded, by volume over free inputs.
        reason: why it is unknown.
        seconds: wall time by stage.
    """

    verdict: Verdict
    witness: Witness | None
    reach: float
    closest: FloatArray
    trusted: tuple[str, ...]
    claimed: int
    claimants: tuple[str, ...]
    solver: str
    boxes: int
    left: int
    done: float
    reason: str
    seconds: dict[str, float]

    @property
    def evidence(self) -> str:
        """What the answer rests on: ``bounds`` is arithmetic only."""
        return f"solver ({', '.join(self.trusted)}, trusted)" if self.trusted else "bounds"


def plain_decision(verdict: Verdict, reach: float, closest: FloatArray) -> Decision:
    """The decision about a question that nothing had to be done for."""
    return Decision(verdict, None, reach, closest, (), 0, (), "", 0, 0, 1.0, "", {})


@dataclass(slots=True)
class _PartWork:
    """The work on one part of the domain."""

    polytope: Polytope
    bounds: tuple[Known, Known]
    joint: Joint
    splitter: Splitter
    seconds: float
    """What making the joint system and bounding the whole box took."""
    own: int
    """How many inputs are the model's."""
    claims: set[tuple[int, str]] = field(default_factory=set)
    """Disjuncts of which no input is claimed to satisfy them, and by whom."""
    signs: SignSearch | None = None

    @property
    def free(self) -> int:
        """Inputs that may be halved."""
        return int((self.polytope.box.upper > self.polytope.box.lower)[: self.own].sum())

    @property
    def unmatched(self) -> list[int]:
        """The networks, 0 for f and 1 for g, with units that have no partner."""
        return [place for place, alone in enumerate(self.joint.unpaired) if alone.size]

    @property
    def units(self) -> int:
        """Undecided units of both networks."""
        sides = (self.joint.f, self.joint.g)
        return sum(int(((side.lower < 0) & (side.upper > 0)).sum()) for side in sides)


@dataclass(slots=True)
class _PairRun:
    """One call of `decide`."""

    networks: tuple[Network, Network]
    goals: PairGoals
    search: WitnessSearch
    options: DecideOptions
    progress: Progress
    budget: Budget
    clock: Clock = field(default_factory=Clock)
    parts: list[_PartWork] = field(default_factory=list)
    trusted: set[str] = field(default_factory=set)
    solver: str = ""

    @property
    def settled(self) -> bool:
        """Whether every part of the domain was looked at, and nothing is open there."""
        return len(self.parts) == len(self.search.domain.polytopes) and not self.open_parts

    @property
    def open_parts(self) -> list[_PartWork]:
        return [part for part in self.parts if part.splitter.open.any()]


def decide(
    f: Network,
    g: Network,
    goals: PairGoals,
    search: WitnessSearch,
    options: DecideOptions = DecideOptions(),
    progress: Progress = silent,
) -> Decision:
    """Look for a difference until one is found, none is proved to exist, or the time is over.

    Args:
        f: one network.
        g: another of the same input size.
        goals: the question.
        search: collects witnesses; knows the domain.
        options: limits.
        progress: called with stage, done, total.

    Returns:
        The decision.  Trusted for ``equivalent``: as `Decision.evidence` says.  For ``different``: what judged the
        witness (float64 arithmetic, or rationals).

    Raises:
        ContradictionError: two proofs contradict each other.
        InputError: `network/smooth`.
    """
    for network in (f, g):
        require_piecewise_linear(network, "a comparison of networks")
    if not len(goals):
        return plain_decision("equivalent", -np.inf, np.zeros(0))
    run = _PairRun((f, g), goals, search, options, progress, Budget(options.timeout))
    stages = _stages(run, search.domain)
    # Overflow makes a bound infinite, which decides nothing, or a distance between units large, which pairs none.
    with suppress(TimeoutError), np.errstate(over="ignore", invalid="ignore"):
        for name in stages:
            run.clock.lap(name)
            if search.found is not None or run.settled or run.budget.exhausted():
                break
    return _decision(run)


def _stages(run: _PairRun, domain: Domain) -> Iterator[str]:
    """Do the stages one after the other, naming each when it is done."""
    run.search.quick_sample()
    yield "search"
    for number, polytope in enumerate(domain.polytopes):
        run.progress("bounds", number, len(domain.polytopes))
        run.parts.append(_make_part(run, polytope))
    yield "bounds"
    run.progress("search", 0, 1)
    run.search.search(Budget(0.1 * run.budget.seconds).end, 4)
    yield "search"
    few = max(part.free for part in run.parts) <= run.options.split_inputs
    small = max(part.units for part in run.parts) <= MILP_UNITS
    if any(part.unmatched for part in run.open_parts):
        run.progress("stability", 0, len(run.parts))
        _sharpen(run, run.budget.until(0.4 if few or small else 0.8))
        yield "stability"
    small = max(part.units for part in run.parts) <= MILP_UNITS
    plan: list[tuple[Method, float]] = [("splitting", 0.4 if small else 0.9)] if few else []
    plan += [("branching", 0.5 if few else 0.3), ("milp", 0.7), ("z3", 0.9)]
    for method, share in plan:
        if method in run.options.methods:
            _METHODS[method](run, run.budget.until(share))
            yield method
    if "splitting" in run.options.methods:
        _split(run, run.budget)
        yield "splitting"


def _make_part(run: _PairRun, polytope: Polytope) -> _PartWork:
    box = polytope.box
    bounds = []
    for network in run.networks:
        run.budget.tick()
        bounds.append(crown_bounds(network, box.lower[None], box.upper[None]))
    return _bounded_part(run, polytope, (bounds[0], bounds[1]))


def _bounded_part(run: _PairRun, polytope: Polytope, bounds: tuple[Known, Known]) -> _PartWork:
    """The joint system that follows from bounds of each network, and what it says about the whole part."""
    start = time.monotonic()
    joint = make_joint(run.networks, bounds, run.goals, run.budget.tick)
    own = run.search.network.own_size
    splitter = Splitter(joint, run.goals, polytope, lambda points: run.search.attempt(points, polytope), own)
    splitter.run(max_boxes=1)
    return _PartWork(polytope, bounds, joint, splitter, time.monotonic() - start, own)


def _sharpen(run: _PairRun, budget: Budget) -> None:
    """Better bounds of each network where units have no partner: what is stable needs none."""
    unmatched = [k for k, part in enumerate(run.parts) if part.splitter.open.any() and part.unmatched]
    for number, k in enumerate(unmatched):
        _sharpen_part(run, k, budget.share(len(unmatched) - number))


def _sharpen_part(run: _PairRun, number: int, budget: Budget) -> None:
    """Rounds of bounds from partners and of proofs of stability, until all units have one or a round changes nothing.

    A round is begun if there is time for what it does beside the proofs: that took `seconds` before, less than twice.
    """
    before: list[object] = []
    while (part := run.parts[number]).unmatched and part.splitter.open.any():
        alone = [units.tolist() for units in part.joint.unpaired]
        if alone == before or budget.left < 2 * part.seconds:
            return
        before, box = alone, part.polytope.box
        bounds = exchange(part.joint, run.networks, part.bounds, box.lower, box.upper)
        joint = make_joint(run.networks, bounds, run.goals, run.budget.tick)
        bounds = _prove_lone(run, part.polytope, joint, bounds, Budget(budget.left - part.seconds))
        run.parts[number] = _bounded_part(run, part.polytope, bounds)


def _prove_lone(
    run: _PairRun, polytope: Polytope, joint: Joint, bounds: tuple[Known, Known], budget: Budget
) -> tuple[Known, Known]:
    """Bounds with the signs that are proved of units without partner."""
    found = list(bounds)
    for place, alone in enumerate(joint.unpaired):
        seconds = _SHARE * budget.left
        if not alone.size or seconds <= 0:
            continue
        options = run.options
        found[place], solver = sharpen(
            run.networks[place], bounds[place], alone, polytope, seconds, options.seed, options.believed
        )
        if solver:
            run.trusted.add("scip")
            run.solver = solver
    return found[0], found[1]


def _split(run: _PairRun, budget: Budget) -> None:
    """Input splitting; parts share the time."""
    parts = run.open_parts
    for number, part in enumerate(parts):
        run.progress("splitting", number, len(parts))
        part.splitter.run(budget=budget.share(len(parts) - number))
        if run.search.found is not None:
            return


def _milp(run: _PairRun, budget: Budget) -> None:
    """The product MILP for every open disjunct; they share the time."""
    from eqverify.equivalence.product_milp import ProductMilp

    parts = [part for part in run.open_parts if part.units <= MILP_UNITS]
    for number, part in enumerate(parts):
        milp = ProductMilp(part.joint, run.goals, part.polytope, seed=run.options.seed)
        disjuncts = np.flatnonzero(part.splitter.open).tolist()
        for place, disjunct in enumerate(disjuncts):
            run.progress("milp", place, len(disjuncts))
            left = len(disjuncts) - place + sum(int(p.splitter.open.sum()) for p in parts[number + 1 :])
            start = time.monotonic()
            answer = milp.ask(disjunct, budget.share(left).left)
            if answer.verdict.value == "never":
                run.solver = milp.description
                _claimed(run, part, disjunct, "scip", time.monotonic() - start)
            if answer.point is not None and run.search.near(answer.point, part.polytope):
                return


def _claimed(run: _PairRun, part: _PartWork, disjunct: int, who: str, seconds: float) -> None:
    """What follows from a solver's claim that no input of a part satisfies a disjunct, which took so many seconds.

    It is taken where the solver is trusted; else a proof is looked for.
    """
    if who in run.options.believed:
        run.trusted.add(who)
        part.splitter.close(disjunct)
    elif not _prove(run, part, disjunct, run.budget.part(1.0, max(seconds, PROOF_SECONDS))):
        part.claims.add((disjunct, who))


def _small(run: _PairRun) -> bool:
    """Whether exact rows of both networks are within reach."""
    f, g = run.networks
    return f.relu_count + g.relu_count <= EXACT_LIMITS[0] and f.products + g.products <= EXACT_LIMITS[1]


def _branching(run: _PairRun, budget: Budget) -> None:
    """Branching on signs with exact rows, for small networks: every open disjunct; they share the time."""
    if not _small(run):
        return
    questions = [(part, k) for part in run.open_parts for k in np.flatnonzero(part.splitter.open).tolist()]
    for number, (part, disjunct) in enumerate(questions):
        run.progress("branching", number, len(questions))
        _prove(run, part, disjunct, budget.share(len(questions) - number))
        if run.search.found is not None:
            return


def _prove(run: _PairRun, part: _PartWork, disjunct: int, budget: Budget) -> bool:
    """Branch on signs until a disjunct is proved to hold nowhere on a part, a difference is found, or time is over."""

    def tick() -> None:
        run.budget.tick()
        if budget.exhausted():
            raise _EnoughError

    search, polytope = run.search, part.polytope
    proved = False
    with suppress(_EnoughError, OverflowError):
        if not _small(run):
            proved = _prove_row(run, part, disjunct, budget)
        else:
            if part.signs is None:
                floats, exact = (lambda x: search.attempt(x, polytope)), (lambda x: search.take_exact(x, polytope))
                part.signs = SignSearch(run.networks, polytope, floats, exact, tick)
            proved = part.signs.refute(run.goals.exact[disjunct], tick)
    if proved:
        part.splitter.close(disjunct)
    return proved


class _EnoughError(Exception):
    """The time of one question is over."""


def _prove_row(run: _PairRun, part: _PartWork, disjunct: int, budget: Budget) -> bool:
    """Whether branching on signs of both networks, side by side, shows that one row of a disjunct is never met."""
    rows = np.flatnonzero((run.goals.disjunct == disjunct) & ~run.goals.rounded).tolist()
    network, box = run.search.network, part.polytope.box
    known = {f"{side}:{name}": z for side, told in zip("fg", part.bounds, strict=True) for name, z in told.items()}
    bounds = crown_bounds(
        network, box.lower[None], box.upper[None], {n: known[n] for n in network.by_name if n in known}
    )
    for number, row in enumerate(rows):
        run.budget.tick()
        limit = 0.0 if run.goals.strict[row] else _BELOW_ZERO
        own = budget.share(len(rows) - number)
        (found,) = prove_signs(network, bounds, [SignQuery(ROWS, row, 1, limit)], budget=own, max_nodes=_MAX_NODES)
        if found.proved:
            return True
        if found.point is not None and run.search.near(found.point, part.polytope):
            return False
    return False


def _z3(run: _PairRun, budget: Budget) -> None:
    """Z3 over the rationals, for questions about epsilon on small networks."""
    epsilon, (f, g) = run.goals.epsilon, run.networks
    if epsilon is None or not _small(run):
        return
    from eqverify.equivalence.exact import cross_check

    for number, part in enumerate(run.open_parts):
        run.progress("z3", number, len(run.open_parts))
        if (seconds := budget.left) <= 0:
            return
        answer = cross_check(f, g, Domain((part.polytope,)), epsilon, timeout=seconds)
        if answer.verdict == "equivalent":
            for disjunct in np.flatnonzero(part.splitter.open).tolist():
                if answer.claimed:
                    _claimed(run, part, disjunct, "z3", answer.seconds)
                else:
                    part.splitter.close(disjunct)
        if answer.witness is not None and run.search.take_exact(answer.witness, part.polytope):
            return


_METHODS = {"splitting": _split, "branching": _branching, "milp": _milp, "z3": _z3}


def _decision(run: _PairRun) -> Decision:
    search, splitters = run.search, [part.splitter for part in run.parts]
    whole = len(run.parts) == len(search.domain.polytopes)
    refuted = whole and not run.open_parts
    verdict: Verdict = "different" if search.found is not None else "equivalent" if refuted else "unknown"
    claims = {(id(part), k, who) for part in run.open_parts for k, who in part.claims if part.splitter.open[k]}
    claims = claims if verdict == "unknown" else set()
    claimed, claimants = len({question[:2] for question in claims}), tuple(sorted({who for *_, who in claims}))
    reason = ""
    if verdict == "unknown":
        reason = (
            f"no answer within {run.options.timeout:g} seconds"
            if run.budget.exhausted()
            else "every method has given up"
        )
        if claims:
            reason += f"; without a proof, {' and '.join(claimants)} claims that {claimed} questions have no solution"
        if search.replay_failures:
            reason += "; a difference was proved, but onnxruntime's rounding hides it"
    return Decision(
        verdict,
        search.found,
        max(splitter.reach for splitter in splitters) if whole else float("inf"),
        search.best,
        tuple(sorted(run.trusted)),
        claimed,
        claimants,
        run.solver if run.trusted or claims else "",
        sum(splitter.boxes for splitter in splitters),
        sum(len(splitter.left) for splitter in splitters),
        sum(splitter.done for splitter in splitters) / len(search.domain.polytopes),
        reason,
        run.clock.seconds,
    )
