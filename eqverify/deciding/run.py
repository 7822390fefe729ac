"""One call of `verify`: proofs, reductions, and what a backend is asked, within one time limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from eqverify.attack.replay import Witness
from eqverify.attack.search import RowSearch
from eqverify.budget import Budget, Clock
from eqverify.deciding.answer import Verification
from eqverify.deciding.backends import make_backend
from eqverify.deciding.claims import ARITHMETIC, ask, claim_of, claimant, rederive, seconds_for, trusted
from eqverify.deciding.context import CaseContext, Near, OpenDisjunct, members_of, open_count, reduced_question
from eqverify.deciding.exactly import tiny
from eqverify.deciding.findings import BOUNDS, BRANCHING, SPLITTING, Findings
from eqverify.deciding.nearness import Reached
from eqverify.deciding.options import VerifyOptions
from eqverify.deciding.presolve import left_open, output_bounds, positive_rows
from eqverify.deciding.question import Backend, Disjunction, Question, Reply, Verdict
from eqverify.deciding.runs import relaxed_by_runs, relaxed_problem, why_no_runs
from eqverify.deciding.settling import REASONS, settle, settle_end
from eqverify.deciding.signs import branch_question
from eqverify.deciding.splitting import SPLIT_INPUTS, can_split, is_narrow, split_question
from eqverify.domain import Polytope, Specification
from eqverify.errors import ContradictionError, InputError
from eqverify.network import Network
from eqverify.numerals import at_most
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.reduction.certifying import relaxed_by_checked_runs, require_files
from eqverify.reduction.folding import element_of, fold_case
from eqverify.report.layers import layer_rows
from eqverify.search.sign_tree import Guide
from eqverify.stability.facts import Evidence, Facts
from eqverify.stability.options import StabilityOptions

if TYPE_CHECKING:
    from eqverify.stability.disjuncts import Directed

_SCIP = "scip"

_ATTACK_SHARE = 0.02
"""The backend's own search comes later; this one finds what is easy, before anything is proved."""

_EXACT_SHARE, _EXACT_SECONDS = 0.2, 10.0
"""For deciding a disjunct in rationals that a search came near to meeting."""

_PROOF_SHARE = 0.8
"""For a search whose steps are recorded; what is left may still find an input."""

_SPLIT_SHARE, _SIGN_SHARE = 0.1, 0.3
"""For boxes that are split at inputs, and at signs, which is done for small networks alone."""

_RUN_SHARE = 0.6
"""The same for runs and smooth nodes, whose errors and lines are closer on smaller boxes; later stages ask of all."""

_BETWEEN_SHARE = 0.1  # where runs cannot be shown to miss a condition, but may yet meet it farther inside
_REDUCTION_SHARE = 0.3
_BRANCH_SHARE = 0.3
"""Of what is left after the proofs, for branching within the ranges that they proved."""

_STARTS, _TOGETHER_SHARE = 20.0, 0.7
"""Seconds for each disjunct below which they are asked about together (a tool takes 7 s to start), and their share."""

_LEAST_PROOF, _LEAST_REDUCTION = 0.01, 1e-3
"""Seconds for a proof of stability, and a reduction, where none are left: they end at once, with what they have."""

_LEAST = 5.0
"""Seconds that a backend gets for a question, if there are so many: some take a while to start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyKeywords(VerifyOptions):
    """Keywords of `verify`.

    Attributes:
        backend: ``scip``, ``scip:milp``, ``marabou``, ``portfolio``, ``command:SCRIPT``, one of another package, or an
            object.
        progress: called with stage, done, total.
        counted: called with the number of the network's ReLUs once it is read, for who has to tell of a run that ends
            without an answer.
        claimed: likewise with the number of disjuncts that are claimed to be unsat and are not re-derived.
        exactly: whether an input counts only where onnxruntime, as it runs by default, shows it without tolerance, with
            numbers of the file's types: what the competition takes for a counterexample.
        proof: whether the verdict is to have a proof: one that has none is `unknown`, unless somebody is trusted.
    """

    backend: str | Backend = "scip"
    progress: Progress = silent
    counted: Callable[[int], object] = lambda _: None
    claimed: Callable[[int], object] = lambda _: None
    exactly: bool = False
    proof: bool = False


class VerifyRun:
    """One call of `verify`; time counts from when it is made.

    Raises:
        UsageError: `usage/backend`.
    """

    def __init__(self, options: VerifyKeywords) -> None:
        self.budget, self.clock, self.options = Budget(options.timeout), Clock(), options
        self.runs = options.semantics == "float32"
        self.relaxed_by = (relaxed_by_checked_runs if options.proof else relaxed_by_runs) if self.runs else None
        self.reduction, self.trust, self.progress = options.reduction, options.believed, options.progress
        backend = options.backend
        self.backend = make_backend(backend, self.trust) if isinstance(backend, str) else backend
        self.found = Findings(self.trust, options.claimed)
        self.due = 0.0
        self.sides: list[CaseContext] = []

    def decide(self, problem: Problem, data: bytes) -> Verification:
        """All stages.

        Args:
            problem: network and property.
            data: the network's file, for onnxruntime.
        """
        self.problem = problem
        if self.options.proof:
            require_files(problem)
        self.clock.lap("read")
        if why := self._refused(data):
            self.found.reasons.append(why)
            return self._answer("unknown", "")
        chosen = [(side, number) for side in self.sides for number in self._open(side)]
        self.clock.lap("presolve")
        for side in self.sides:
            if self._attack(side, [number for other, number in chosen if other is side]):
                break
        if self._met("attack"):
            return self._answer("sat", "attack")
        if self.reduction:
            chosen = [(side, number) for side, number in chosen if not self._settled(side, number)]
        if self._met("exact"):
            return self._answer("sat", "exact")
        if any(side.between(number) for side, number in chosen):
            self.found.between, self.budget = True, self.budget.part(_BETWEEN_SHARE)
        proved = self.options.proof and self._proved_all()
        if self._met("prove") or proved:
            return self._answer("unsat" if proved else "sat", "proof")
        parts = self._parts(chosen) if self.reduction else [self._original(*one) for one in chosen]
        if self._met("reduce"):
            return self._answer("sat", "reduction")
        return self._ask(parts)

    def _refused(self, data: bytes) -> str:
        """Take up the cases that have inputs, or say why nothing can be decided."""
        problem = self.problem
        if problem.tail is not None:
            operators = ", ".join(problem.tail.operators)
            return (
                f"the network has operators that are not piecewise linear: {operators}; "
                "behind them only comparisons of two outputs of one last Softmax are decided"
            )
        if self.options.proof and problem.network.roundings:
            return "the network rounds, and there are no proofs about that yet"
        if self.runs and (why := why_no_runs(problem)):
            return why
        stop = self.budget.exhausted
        cases = [case for case in problem.cases if case.written is None or not case.written.is_empty(stop)]
        # what the network refutes, a run may meet; and a proof is about every case
        if self.reduction and not (self.runs or self.options.proof):
            cases = left_open(problem.network, cases, stop)
        if len(cases) < len(problem.cases):
            self.found.closed(BOUNDS)
        try:
            self.sides = [CaseContext(problem, case, data, self.relaxed_by, self.options.exactly) for case in cases]
        except InputError as error:  # numbers beyond the range of floats
            return f"{error.code}: {error.message}"
        return "" if np.isfinite(self.run_error or 0.0) else "numbers of a run may leave the range of float32"

    def _met(self, stage: str) -> bool:
        """Whether an input was found, at the end of a stage."""
        self.clock.lap(stage)
        return self._witness is not None

    def _proved_all(self) -> bool:
        """Whether a recorded search shows that no input satisfies the property, and the checker agrees."""
        from eqverify.deciding.proving import Search, means_of
        from eqverify.reduction.certifying import certify_no_input

        sides = {k: side for side in self.sides for k, case in enumerate(self.problem.cases) if case is side.asked}
        replays = {k: side.replayer for k, side in sides.items()}
        problem = relaxed_problem(self.problem, self.relaxed_by, {k: side.case for k, side in sides.items()})
        budget = self.budget.part(_PROOF_SHARE)
        options = StabilityOptions(unit_time_limit=1.0, seed=self.options.seed, workers=self.options.workers or 1)
        found = Search(problem, replays, options, self.progress).cases(budget)
        relaxed = problem.specification if self.runs else None
        self.found.proof = None if found is None else certify_no_input(*self._about, found, relaxed)
        if found is not None and self.found.proof is not None:
            self.found.evidence, self.found.means = {}, {}
            for how in means_of(found) or [BOUNDS]:
                self.found.closed(how)
        return self.found.proof is not None

    @property
    def _about(self) -> tuple[Network, Specification, Mapping[str, str]]:
        """What a proof is about."""
        return self.problem.network, self.problem.specification, self.problem.files

    @property
    def run_error(self) -> float | None:
        """By how much runs relax a row at most, where the question is about them."""
        return max((side.relaxed for side in self.sides), default=0.0) if self.runs else None

    @property
    def _witness(self) -> Witness | None:
        """The input that was found, if one was."""
        return next((side.replayer.witness for side in self.sides if side.replayer.witness is not None), None)

    def _open(self, side: CaseContext) -> list[int]:
        """The disjuncts of a case that bounds leave open; all, where the backend is to see the original."""
        if not self.reduction or not len(side.members):
            return list(range(len(side.members)))
        self.progress("presolve", 0, 1)
        network = side.folded.network
        positive = positive_rows(network, output_bounds(network, side.case.polytope.box))
        numbers = np.flatnonzero(~(side.members & positive).any(axis=1)).tolist()
        if len(numbers) < len(side.members):
            self.found.closed(BOUNDS)
        return numbers

    def _attack(self, side: CaseContext, numbers: list[int]) -> bool:
        """Gradient steps towards all disjuncts of a case that are open, at once."""
        self.progress("attack", 0, 1)
        share = self.budget.part(_ATTACK_SHARE / len(self.sides))
        part, members = side.case.polytope, side.aims[numbers]
        reached, random = Reached(len(numbers), part.box.size), np.random.default_rng(self.options.seed)
        # points kept inside linear constraints, which are among the rows too, never lie on them
        for own in (part,) if part.is_box else (Polytope(part.box), part):
            search = RowSearch(side.aimed.network, own, side.replayer, members, note=reached.note, random=random)
            if numbers and search.search(share.exhausted):
                return True
        for k in np.flatnonzero(reached.near).tolist():
            side.near[numbers[k]] = Near(reached.points[k], float(reached.least[k]), reached.margin(k))
        return False

    def _settled(self, side: CaseContext, number: int) -> bool:
        """Whether exact arithmetic leaves nothing to ask about a disjunct; it may find a witness."""
        if side.replayer.witness is not None:
            return True
        # exact points and ends of ranges are no inputs of a run, nor are numbers for what a model rounds
        inexact = self.runs or self.problem.network.roundings or self.problem.network.smooth
        if number not in side.near or inexact:
            return False
        found = settle(side, number, self.budget.part(_EXACT_SHARE, _EXACT_SECONDS))
        if found == "open" and side.near[number].margin:
            found = settle_end(side, number, self.budget.part(_EXACT_SHARE))
        if found == "unsat":
            self.found.closed("exact arithmetic")
        elif found in REASONS:
            self.found.reasons.append(REASONS[found])
            self.found.unsettled = True
        return found != "open"

    def _parts(self, chosen: list[tuple[CaseContext, int]]) -> list[OpenDisjunct]:
        """The questions, about reduced networks where these can be had."""
        left = [(side, number) for side, number in chosen if not self._split(side, number)]
        return self._reduced(left)

    @staticmethod
    def _original(side: CaseContext, number: int) -> OpenDisjunct:
        """A part about the original network."""
        return OpenDisjunct(side, number, side.question(number), True)

    def _split(self, side: CaseContext, number: int) -> bool:
        """Whether a short splitting of boxes refutes a disjunct; it may meet a witness too."""
        box = side.case.polytope.box
        narrow = is_narrow(box)
        able = narrow if self.runs else can_split(side.network, box)
        if not able or side.replayer.witness is not None:
            return False
        question, slack = side.run_question(number) if self.runs else (side.question(number), None)
        share = _RUN_SHARE if self.runs or side.network.smooth else _SPLIT_SHARE if narrow else _SIGN_SHARE
        proved = split_question(question, side.replayer, self.budget.part(share), slack=slack).proved
        if proved:
            self.found.closed(SPLITTING if narrow else BRANCHING)
        return proved

    def _reduced(self, chosen: list[tuple[CaseContext, int]]) -> list[OpenDisjunct]:
        """Parts about networks that are reduced for their own disjunct, without those that are decided on the way."""
        sides, parts = list(dict.fromkeys(side for side, _ in chosen)), []
        for place, side in enumerate(sides):
            if side.replayer.witness is not None:
                break
            own = [number for other, number in chosen if other is side]
            parts += self._reduced_side(side, own, self.budget.share(len(sides) - place))
        return parts

    def _reduced_side(self, side: CaseContext, numbers: list[int], budget: Budget) -> list[OpenDisjunct]:
        """The disjuncts of one case: first one proof for all, then one for each."""
        if not numbers:
            return []
        from eqverify.stability.disjuncts import prove_directed

        options = StabilityOptions(
            time_limit=max(budget.left, _LEAST_PROOF),
            unit_time_limit=1.0,
            seed=self.options.seed,
            workers=self.options.workers or 1,
            branch_nodes=0,
            facts=self.options.facts,
            trust=self.trust,
        )
        parts: list[OpenDisjunct] = []
        own, believes = side.problem_of(numbers), _SCIP in self.trust
        for proof in prove_directed(
            own,
            options,
            certified_only=not believes,
            progress=self.progress,
            share=_REDUCTION_SHARE,
            searched=True,
        ):
            number, side.facts = numbers[proof.index], proof.shared or side.facts
            if proof.point is not None and side.replayer(proof.point[None]):
                break
            if proof.status == "unsat" and proof.evidence != Evidence.SOLVER:
                self.found.closed(BRANCHING if proof.evidence == Evidence.TREE else BOUNDS)
            elif proof.status == "unsat" and believes:
                self.found.accept(_SCIP, 1)
            elif proof.facts is None:
                parts.append(self._original(side, number))
            else:
                parts.append(self._proved(side, number, proof, proof.facts))
        return self._branched(side, parts)

    def _proved(self, side: CaseContext, number: int, proof: Directed, facts: Facts) -> OpenDisjunct:
        """A part of which something is proved: about that, or about a network that is still to be reduced."""
        basis = claim_of(_SCIP) if facts.trusts else ""
        if basis and _SCIP not in self.trust:
            return self._original(side, number)
        if side.free_inputs <= SPLIT_INPUTS or not getattr(self.backend, "uses_ranges", False):
            return OpenDisjunct(side, number, None, False, basis, proof)
        self.found.show(layer_rows(facts))
        return OpenDisjunct(side, number, side.ranged(number, facts), False, basis)

    def _told(self, part: OpenDisjunct) -> Question:
        """A part about the original network, with the ranges that are known."""
        facts = None if part.proof is None else part.proof.facts
        if facts is not None:
            return part.side.ranged(part.number, facts)
        original = part.side.question(part.number)
        return original if part.question is None else replace(original, known=part.question.known)

    def _branched(self, side: CaseContext, parts: list[OpenDisjunct]) -> list[OpenDisjunct]:
        """The parts that branching within proved ranges leaves: one run of it, whatever the backend does."""
        left, budget = [], self.budget.part(_BRANCH_SHARE)
        for place, part in enumerate(parts):
            self.progress("branch", place, len(parts))
            share = budget.share(len(parts) - place)
            over = budget.exhausted() or side.replayer.witness is not None
            if over or not self._refuted(part, share):
                left.append(part)
        return left

    def _refuted(self, part: OpenDisjunct, budget: Budget) -> bool:
        """Whether branching refutes a part of which ranges are proved; it may meet a witness too."""
        question = self._told(part)
        if part.side.free_inputs <= SPLIT_INPUTS or question.known is None:
            return False
        try:
            bounds = output_bounds(question.network, question.box, question.known.bounds)
        except ContradictionError:  # one of two proofs is wrong, perhaps the solver's
            return False
        if positive_rows(question.network, bounds).any():
            self.found.closed(BOUNDS, part.basis)
            return True
        proved = branch_question(question, bounds, part.side.replayer, budget).proved
        if proved:
            self.found.closed(BRANCHING, part.basis)
        return proved

    def _question(self, part: OpenDisjunct) -> Question:
        """What a backend is asked; the network is reduced now if it is to be."""
        from eqverify.reduction.pipeline import reduce

        if part.question is not None:
            return part.question
        assert part.proof is not None
        try:
            reduction = reduce(
                part.proof.problem,
                facts=part.proof.facts,
                progress=self.progress,
                time_limit=max(self.budget.left, _LEAST_REDUCTION),
                for_=getattr(self.backend, "tool", None),
            )
        except InputError as error:
            self.found.reasons.append(f"not reduced: {error.code}")
            part.original = True
            part.question = part.side.question(part.number)
        else:
            self.found.show(reduction.layers)
            part.question = reduced_question(part.side, part.number, reduction)
        return part.question

    def _ask_together(self, parts: list[OpenDisjunct]) -> list[OpenDisjunct]:
        """Ask about all disjuncts of a case at once, where a backend can and starting it often would take the time.

        The network is then one that is reduced for the whole case.  What is not decided like that is asked singly.
        """
        able = hasattr(self.backend, "decide_any")
        for side in dict.fromkeys(part.side for part in parts):
            own = [part for part in parts if part.side is side]
            together = len(own) > 1 and self.budget.left < _STARTS * len(own)
            if not able or side.facts is None or not together:
                continue
            question = self._disjunction(side, [part.number for part in own])
            if question is None or self.budget.exhausted():
                continue
            self.found.asked(question.network.relu_count)
            start, budget = self.budget.left, self.budget.part(_TOGETHER_SHARE)
            reply = ask(self.backend, question, side.replayer, budget)
            if side.replayer.witness is not None:
                return parts
            if reply.verdict == "unsat":
                self._take_together(own, reply, start - self.budget.left)
                parts = [part for part in parts if part.side is not side]
        return parts

    def _take_together(self, parts: list[OpenDisjunct], reply: Reply, seconds: float) -> None:
        """Take `unsat` about all disjuncts of a case at once, which took some seconds."""
        if reply.derived:
            self.found.closed(BRANCHING)
            return
        if trusted(reply, self.trust):
            self.found.accept(claimant(reply), len(parts))
            return
        for part in parts:
            self._doubt(part, reply, seconds / len(parts), alone=False)

    def _disjunction(self, side: CaseContext, numbers: list[int]) -> Disjunction | None:
        """Several disjuncts about one network, reduced on the inputs of their case."""
        from eqverify.reduction.pipeline import reduce

        own = side.problem_of(numbers)
        try:
            reduction = reduce(own, facts=side.facts, progress=self.progress)
        except InputError as error:
            self.found.reasons.append(f"not reduced: {error.code}")
            return None
        self.found.show(reduction.layers)
        dtype = element_of(side.network)
        folded = fold_case(reduction.network, own.cases[0], reduction.exact_epsilons, dtype)
        return Disjunction(folded.network, side.case.polytope.box, dtype, members_of(folded))

    def _ask(self, parts: list[OpenDisjunct]) -> Verification:
        """Ask in rounds: what timed out is asked again while there is time, which then goes to what is claimed."""
        total, self.found.backend = len(parts), self.backend.name if parts else "reduction"
        parts, stuck = self._ask_together(parts), 0
        while parts and not self.budget.exhausted() and self._witness is None:
            again: list[OpenDisjunct] = []
            for number, part in enumerate(parts):
                if self.budget.exhausted() or self._witness is not None:
                    again += parts[number:]
                    break
                self.progress("decide", total - len(parts) + number - len(again), total)
                late = not self.reduction and tiny(part.side.network)
                share = max(self.budget.share(len(parts) - number + bool(self.due) + late).left, _LEAST)
                reply = self._decide(part, min(share, self.budget.left), alone=len(parts) - number + len(again) == 1)
                if reply.verdict == "unsat" or (late and self._settled(part.side, part.number)):
                    continue
                if reply.verdict == "timed-out":
                    again.append(part)
                elif not part.original:
                    again.append(self._original(part.side, part.number))
                else:
                    stuck += 1
                    self.found.reasons.append(reply.reason)
            parts = again
            if self.due:
                left, due, self.due = self.budget.left, self.due, 0.0
                self._look_again(Budget(seconds_for(due, left) if parts else left))
        self._look_again(self.budget)
        if self._met("decide"):
            return self._answer("sat", self.found.backend)
        claimed = self.found.claimed
        self.found.reasons += [f"{name} says unsat; not re-derived" for part in claimed for name in part.claims]
        verdict: Verdict = "timed-out" if parts else "unknown" if stuck or claimed else "unsat"
        return self._answer(verdict, self.found.backend)

    def _decide(self, part: OpenDisjunct, seconds: float, *, alone: bool) -> Reply:
        """Ask the backend, and take what it says; a claim of `sat` without a witness is `unknown`.

        Args:
            part: what is asked about.
            seconds: for the backend.
            alone: whether no other part is open, so that re-deriving a claim may take all of the time.
        """
        question = self._question(part)
        self.found.asked(open_count(question))
        start = self.budget.left
        reply = ask(self.backend, question, part.side.replayer, Budget(seconds))
        met = part.side.replayer.witness is not None
        if met or reply.verdict == "unsat":
            self.found.backend = reply.backend
        if reply.verdict == "sat" and not met:
            return replace(reply, verdict="unknown", reason="the backend's input does not hold on the original network")
        if reply.verdict != "unsat" or met:
            return reply
        if reply.derived:
            self.found.closed(BRANCHING, part.basis)
        elif trusted(reply, self.trust):
            self.found.accept(claimant(reply), 1, part.basis)
        else:
            self._doubt(part, reply, start - self.budget.left, alone=alone)
        return reply

    def _doubt(self, part: OpenDisjunct, reply: Reply, seconds: float, *, alone: bool) -> None:
        """Keep a claim, which took some seconds, and look for a proof: now, or after the round by all our proofs."""
        self.found.doubt(part, claimant(reply))
        if self.reduction:
            left = self.budget.left
            budget = Budget(left if alone else seconds_for(seconds, left))
            self._rederive(part, self._question(part), budget, reply.guide)
        else:
            self.due += max(seconds, 1.0)

    def _rederive(self, part: OpenDisjunct, question: Question, budget: Budget, guide: Guide | None = None) -> None:
        """Close a part that is claimed to be unsat if arithmetic shows that; an input may be met too."""
        self.progress("re-derive", 0, 1)
        reply = rederive(question, part.side.replayer, budget, guide)
        if reply.verdict in ("sat", "unsat"):
            self.found.backend = reply.backend
        if reply.derived:
            self.found.derived(part)

    def _look_again(self, budget: Budget) -> None:
        """Spend time on claims: on all our proofs, if they did not come first, then on each."""
        if not self.reduction and self.found.claimed and budget.left > _LEAST and self._witness is None:
            self._prove_claimed(budget)
        claimed = list(self.found.claimed)
        for place, part in enumerate(claimed):
            if budget.exhausted() or self._witness is not None:
                return
            self._rederive(part, self._told(part), budget.share(len(claimed) - place))

    def _prove_claimed(self, budget: Budget) -> None:
        """What `reduction` would have done before a backend is asked."""
        claims = {(part.side, part.number): part.claims for part in self.found.claimed}
        whole, self.budget = self.budget, budget
        self.found.claimed = self._parts([one for one in claims if not self._settled(*one)])
        self.budget = whole
        for part in self.found.claimed:
            part.claims = claims[part.side, part.number]
        if len(self.found.claimed) < len(claims):
            self.found.backend = ARITHMETIC
            self.found.count()

    def _answer(self, said: Verdict, backend: str) -> Verification:
        found, off = self.found, self.run_error
        verdict = found.verdict(said)
        verdict = self._with_proof(verdict) if self.options.proof else verdict
        if verdict == "unknown" and off:
            missed = f"the condition is met or missed by less than {at_most(off)}, which runs may be off by"
            found.reasons.append(missed)
        unsat = verdict == "unsat"
        return Verification(
            verdict,
            backend,
            self._witness,
            evidence=tuple(found.evidence) if unsat else (),
            reason="; ".join(dict.fromkeys(found.reasons)) if verdict == "unknown" else "",
            relus_before=self.problem.relu_count,
            relus_after=found.largest,
            layers=found.layers,
            seconds=self.clock.seconds,
            readings=(self.problem.reading,),
            claimed=0 if verdict == "sat" else found.claims,
            semantics=self.options.semantics,
            run_error=off,
            proof=found.proof,
            means=tuple(found.means) if unsat else (),
        )

    def _with_proof(self, verdict: Verdict) -> Verdict:
        """The verdict, where it has a proof; without one `unknown`, or evidence that says so where one is trusted."""
        from eqverify.reduction.certifying import certify_input

        for side in self.sides if verdict == "sat" and self.options.proof else ():
            if side.replayer.witness is not None:
                number = self.problem.cases.index(side.asked)
                self.found.proof = certify_input(*self._about, number, side.replayer.witness.inputs, self.runs)
        if verdict in ("sat", "unsat") and self.found.proof is None:
            if self.trust:
                self.found.evidence["no proof"] = None
            else:
                self.found.reasons.append(f"{verdict}, but no proof was found that the checker verifies")
                verdict = "unknown"
        return verdict
