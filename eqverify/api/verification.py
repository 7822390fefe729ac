"""Deciding a property: reduce, ask a backend, replay what it finds on the original."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from eqverify.api.loading import PathOrNetwork, load_query
from eqverify.api.properties import fold_case
from eqverify.arrays import BoolArray
from eqverify.bounds import Interval
from eqverify.deciding.attack import attack
from eqverify.deciding.backends import make_backend
from eqverify.deciding.presolve import output_bounds, positive_rows
from eqverify.deciding.question import Backend, Disjunction, Known, Question, Replay, Reply, Verdict
from eqverify.deciding.replay import Replayer, Witness
from eqverify.deciding.shared import SharedProof, prove_rows
from eqverify.deciding.splitting import SPLIT_INPUTS, split_question
from eqverify.domain import Case
from eqverify.errors import EqverifyError, InputError, LimitError, Place, UsageError
from eqverify.network import Network, evaluate
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.report.layers import LayerRow, layer_rows
from eqverify.stability.budget import Budget
from eqverify.stability.facts import Evidence, Facts
from eqverify.stability.options import StabilityOptions

if TYPE_CHECKING:
    from eqverify.api.reduction import Reduction
    from eqverify.export.folding import Folded
    from eqverify.frontend.vnnlib import Query
    from eqverify.stability.directed import Directed

_ATTACK_SHARE = 0.02
"""The backend's own search comes later; this one finds what is easy, before anything is proved."""

_SPLIT_SHARE = 0.1
_SHARED_SHARE = 0.7
_REDUCTION_SHARE = 0.3
_STARTS, _TOGETHER_SHARE = 20.0, 0.7
"""Seconds for each disjunct below which they are asked about together, and the share of time for that: a tool takes up
to 7 s to start, for each question."""

_LEAST = 5.0
"""Seconds that a backend gets for a question, if there are so many: some take a while to start."""


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """The answer about a property.

    Attributes:
        verdict: `sat`, `unsat`, `unknown` or `timed-out`.
        backend: who gave the answer: ``attack`` for an input found by gradient steps, ``reduction`` where the proofs
            that come before a backend left nothing to ask.
        witness: for `sat`, the input and onnxruntime's outputs.
        evidence: for `unsat`, what the parts rest on: ``bounds`` is arithmetic only.
        reason: for `unknown`.
        relus_before: of the original network; 0 where several are asked about, or none had been read at the limit.
        relus_after: of the largest network that a backend was asked about; None if none was.
        layers: its table of layers, empty where nothing was reduced.
        seconds: wall time by stage.
    """

    verdict: Verdict
    backend: str
    witness: Witness | None
    evidence: tuple[str, ...]
    reason: str
    relus_before: int
    relus_after: int | None
    layers: tuple[LayerRow, ...]
    seconds: Mapping[str, float]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "backend": self.backend,
            "evidence": list(self.evidence),
            "reason": self.reason,
            "relus_before": self.relus_before,
            "relus_after": self.relus_after,
            "layers": [row.as_dict() for row in self.layers],
            "witness": None if self.witness is None else {"x": self.witness.x.tolist(), "y": self.witness.y.tolist()},
            "seconds": dict(self.seconds),
        }


def timed_out(seconds: float, relus: int) -> Verification:
    """The answer of a run on a network of so many ReLUs that was ended at its limit."""
    return Verification("timed-out", "", None, (), "ended at the limit", relus, None, (), {"decide": seconds})


def verify(
    query: str | Path | Query,
    networks: PathOrNetwork | Mapping[str, PathOrNetwork],
    *,
    backend: str | Backend = "scip",
    timeout: float = 60.0,
    reduction: bool = True,
    seed: int = 0,
    workers: int = 1,
    progress: Progress = silent,
    counted: Callable[[int], object] | None = None,
) -> Verification:
    """Decide whether an input satisfies a property (for a counterexample query: whether there is a counterexample).

    Gradient steps look for such an input first; then bounds, and a reduction directed by each disjunct of the output
    condition (`reduce_for_property`), decide what they can; the backend is asked about one disjunct that is left after
    the other, on its own reduced network, with output constraints relaxed by the proved eps.  Whatever a backend finds
    is replayed on the original network; where it does not hold there, the backend is asked about the original network
    itself.  A query about several networks goes to `decide_pair_query` instead.

    Args:
        query: path or query, version 1.0 or 2.x.
        networks: the network, or networks by the names that the query declares; version 1.0 takes any name, and an
            empty name stands for the only one declared.
        backend: ``scip``, ``scip:milp``, ``marabou``, ``portfolio``, ``command:SCRIPT``, one of another package, or
            an object.
        timeout: seconds in all.
        reduction: whether backends see the reduced network instead of the original.
        seed: of the random points.
        workers: processes for the proof that serves all disjuncts; they start afresh, so that a script that asks for
            several needs the usual ``if __name__ == "__main__":``.
        progress: called with stage, done, total.
        counted: called with the number of the network's ReLUs once it is read, for who has to tell of a run that ends
            without an answer.

    Returns:
        The answer. `unsat` is proved, up to what `evidence` names; `sat` holds for the network over the reals, and for
        onnxruntime within the competition's tolerance. Trusted: float64 arithmetic, and the solvers of `evidence`.

    Raises:
        UsageError: `usage/networks` where networks and declarations do not match, `usage/backend`, `usage/limit`.
        InputError: as `load_problem`.
    """
    if not timeout > 0:
        raise UsageError("usage/limit", "timeout must be a positive number of seconds", value=timeout)
    decider = make_backend(backend) if isinstance(backend, str) else backend
    run = _Run(Budget(timeout), decider, reduction, seed, workers, progress)
    parsed = load_query(query) if isinstance(query, str | Path) else query
    if len(parsed.networks) > 1:
        return _decide_pair(parsed, networks, timeout, seed, progress)
    problem, data = _load(parsed, networks)
    if counted is not None:
        counted(problem.network.relu_count)
    return run.decide(problem, data)


def _decide_pair(
    query: Query,
    networks: PathOrNetwork | Mapping[str, PathOrNetwork],
    timeout: float,
    seed: int,
    progress: Progress,
) -> Verification:
    """The answer about several networks: by `decide_pair_query`, whatever the backend."""
    from eqverify.api.equivalence import decide_pair_query

    found = decide_pair_query(query, _named(query, networks), timeout, seed=seed, progress=progress)
    late = found.answer == "unknown" and found.seconds >= timeout
    witness = None
    if found.answer == "sat":
        names = [network.name for network in query.networks]
        x, y = ([float(v) for name in names for v in values[name]] for values in (found.inputs, found.outputs))
        witness = Witness(np.array(x), np.array(y))
    evidence = (found.evidence,) if found.answer == "unsat" else ()
    verdict: Verdict = "timed-out" if late else found.answer
    reason = found.reason if verdict == "unknown" else ""
    return Verification(verdict, "equivalence", witness, evidence, reason, 0, None, (), {"decide": found.seconds})


def _load(query: Query, networks: PathOrNetwork | Mapping[str, PathOrNetwork]) -> tuple[Problem, bytes]:
    """The problem, and the bytes of the original model for onnxruntime."""
    from eqverify.export.onnx import write_network
    from eqverify.frontend.onnx import read_bytes, read_front
    from eqverify.frontend.vnnlib import lower

    chosen = _chosen(query, networks)
    specification = lower(query)
    if isinstance(chosen, Network):
        return Problem(chosen, specification), write_network(chosen, metadata={}, producer="eqverify", dtype="float64")
    front = read_front(chosen)
    _check_elements(query, front.network)
    return Problem(front.network, specification, front.tail), read_bytes(chosen)


def _chosen(query: Query, networks: PathOrNetwork | Mapping[str, PathOrNetwork]) -> PathOrNetwork:
    """The one network of the query."""
    (declared,) = query.networks
    return _named(query, networks)[declared.name]


def _named(query: Query, networks: PathOrNetwork | Mapping[str, PathOrNetwork]) -> dict[str, PathOrNetwork]:
    """The networks by declared name."""
    declared = [network.name for network in query.networks]
    given = dict(networks) if isinstance(networks, Mapping) else {"": networks}
    wanted = [network.name for network in query.networks if network.equal_to is None]
    if len(declared) == len(given) == 1 and (query.version == "1.0" or "" in given):
        return {declared[0]: next(iter(given.values()))}
    if sorted(given) != sorted(wanted):
        raise UsageError(
            "usage/networks",
            "the networks given are not those that the property declares",
            place=Place(file=query.source),
            value=f"{', '.join(sorted(given)) or 'none'} given, {', '.join(wanted)} declared",
            hint="give --network NAME=FILE once for each declared network that is not equal-to another",
        )
    return given


def _check_elements(query: Query, network: Network) -> None:
    """Declared element types must be those of the model; ``real`` fits any."""
    if query.version == "1.0":
        return
    pairs = [*zip(query.networks[0].inputs, network.inputs, strict=False)]
    pairs += [*zip(query.networks[0].outputs, network.outputs, strict=False)]
    for tensor, port in pairs:
        if tensor.element not in ("real", port.element):
            raise InputError(
                "verify/element-type",
                "the model has another element type than the property declares",
                place=query.place(tensor.position),
                value=f"{tensor.name} is {tensor.element}, {port.name} is {port.element}",
                hint="declare the type of the model, or real",
            )


class _Side:
    """One case of the property on the original network.

    Attributes:
        network: the original.
        case: inputs and condition.
        folded: the original with all rows of the condition as outputs.
        members: (disjuncts, rows) bool: which rows each disjunct needs.
        replayer: takes candidates.
        exactly: (output_size,) the eps of the original: zero.
        facts: what is proved about the network on the case's inputs, once it is.
        free_inputs: how many inputs have a range.
    """

    def __init__(self, problem: Problem, case: Case, data: bytes) -> None:
        from eqverify.export.runtime import run_model

        self.network, self.case = problem.network, case
        self.exactly = [Fraction(0)] * problem.network.output_size
        self.folded = fold_case(problem.network, case, self.exactly, "float64")
        self.members = _members(self.folded)[: len(case.unsafe)]
        self.facts: Facts | None = None
        self.replayer = Replayer(problem.network, case, lambda points: run_model(data, points))
        box = case.polytope.box
        self.free_inputs = int((box.upper > box.lower).sum())


@dataclass(slots=True)
class _Part:
    """One disjunct of one case, still open.

    Attributes:
        side: the case.
        number: of the disjunct.
        question: what a backend is asked; None until the network is reduced.
        original: whether that is about the original network, and nothing else.
        basis: the solver that the reduction, or what is known, rests on, if it does.
        proof: what was proved of the disjunct, for the reduction.
    """

    side: _Side
    number: int
    question: Question | None
    original: bool
    basis: str = ""
    proof: Directed | None = None


class _Run:
    """One call of `verify`."""

    def __init__(
        self, budget: Budget, backend: Backend, reduction: bool, seed: int, workers: int, progress: Progress
    ) -> None:
        self.budget, self.backend, self.reduction = budget, backend, reduction
        self.seed, self.workers, self.progress = seed, workers, progress
        self.seconds: dict[str, float] = {}
        self.evidence: dict[str, None] = {}
        self.largest: int | None = None
        self.layers: tuple[LayerRow, ...] = ()
        self.reasons: list[str] = []
        self._last = time.perf_counter()

    def decide(self, problem: Problem, data: bytes) -> Verification:
        """All stages."""
        self._lap("read")
        if problem.tail is not None:
            operators = ", ".join(dict.fromkeys(problem.tail.operators))
            self.reasons.append(f"the network has operators that are not piecewise linear: {operators}")
            return self._answer(problem, "unknown", "", None)
        sides = [_Side(problem, case, data) for case in problem.cases]
        chosen = [(side, number) for side in sides for number in self._open(side)]
        self._lap("presolve")
        for side in sides:
            if self._attack(side, [number for other, number in chosen if other is side], len(sides)):
                return self._answer(problem, "sat", "attack", side.replayer.witness)
        self._lap("attack")
        parts = self._parts(problem, chosen)
        self._lap("reduce")
        for side in sides:
            if side.replayer.witness is not None:
                return self._answer(problem, "sat", "reduction", side.replayer.witness)
        return self._ask(problem, parts)

    def _open(self, side: _Side) -> list[int]:
        """The disjuncts of a case that bounds leave open; all, where the backend is to see the original."""
        if not self.reduction or not len(side.members):
            return list(range(len(side.members)))
        self.progress("presolve", 0, 1)
        network = side.folded.network
        positive = positive_rows(network, output_bounds(network, side.case.polytope.box))
        numbers = np.flatnonzero(~(side.members & positive).any(axis=1)).tolist()
        if len(numbers) < len(side.members):
            self.evidence["bounds"] = None
        return numbers

    def _attack(self, side: _Side, numbers: list[int], cases: int) -> bool:
        """Gradient steps towards all disjuncts of a case that are open, at once."""
        self.progress("attack", 0, 1)
        share = Budget(self.budget.left * _ATTACK_SHARE / cases)
        box = side.case.polytope.box
        return bool(numbers) and attack(
            side.folded.network, box, side.members[numbers], side.replayer, budget=share, seed=self.seed
        )

    def _parts(self, problem: Problem, chosen: list[tuple[_Side, int]]) -> list[_Part]:
        """The questions, about reduced networks where these can be had."""
        if not self.reduction:
            return [self._original(side, number) for side, number in chosen]
        left = [(side, number) for side, number in chosen if not self._split(side, number)]
        return self._reduced(problem, left)

    @staticmethod
    def _original(side: _Side, number: int) -> _Part:
        """A part about the original network."""
        return _Part(side, number, _question(side.network, side.case, number, side.exactly), True)

    def _split(self, side: _Side, number: int) -> bool:
        """Whether a short splitting of few free inputs refutes a disjunct; it may meet a witness too."""
        if side.free_inputs > SPLIT_INPUTS or side.replayer.witness is not None:
            return False
        question = _question(side.network, side.case, number, side.exactly)
        proved = split_question(question, side.replayer, Budget(self.budget.left * _SPLIT_SHARE)).proved
        if proved:
            self.evidence["bounds"] = None
        return proved

    def _reduced(self, problem: Problem, chosen: list[tuple[_Side, int]]) -> list[_Part]:
        """Parts about networks that are reduced for their own disjunct, without those that are decided on the way."""
        sides, parts = list(dict.fromkeys(side for side, _ in chosen)), []
        for place, side in enumerate(sides):
            if side.replayer.witness is not None:
                break
            own = [number for other, number in chosen if other is side]
            parts += self._reduced_side(problem, side, own, self.budget.share(len(sides) - place))
        return parts

    def _reduced_side(self, problem: Problem, side: _Side, numbers: list[int], budget: Budget) -> list[_Part]:
        """The disjuncts of one case: first one proof for all, then one for each."""
        facts = None
        if self._search(_narrowed(problem, side, numbers), side, budget):
            return []
        if side.free_inputs > SPLIT_INPUTS:
            shared = self._shared(_narrowed(problem, side, numbers), side, numbers, budget.left * _SHARED_SHARE)
            if side.replayer.witness is not None:
                return []
            numbers = [number for number, closed in zip(numbers, shared.closed, strict=True) if not closed]
            facts = side.facts = shared.facts
        if not numbers:
            return []
        from eqverify.stability.directed import prove_directed

        options = StabilityOptions(
            time_limit=max(1.0, budget.left * _REDUCTION_SHARE), unit_time_limit=1.0, seed=self.seed
        )
        narrowed, parts = _narrowed(problem, side, numbers), []
        for proof in prove_directed(narrowed, options, facts=facts, progress=self.progress):
            number = numbers[proof.index]
            if proof.point is not None and side.replayer(proof.point[None]):
                break
            if proof.status == "unsat":
                self.evidence["bounds" if proof.evidence != Evidence.SOLVER else f"solver ({proof.how})"] = None
            elif proof.facts is None:
                parts.append(self._original(side, number))
            else:
                parts.append(self._proved(side, number, proof, proof.facts))
        return parts

    def _proved(self, side: _Side, number: int, proof: Directed, facts: Facts) -> _Part:
        """A part of which something is proved: about that, or about a network that is still to be reduced."""
        basis = facts.solver or "solver" if facts.evidence_counts()["solver"] else ""
        if side.free_inputs <= SPLIT_INPUTS or not getattr(self.backend, "uses_ranges", False):
            return _Part(side, number, None, False, basis, proof)
        self._show(layer_rows(facts))
        question = _question(side.network, side.case, number, side.exactly)
        return _Part(side, number, replace(question, known=_known(question.network, facts)), False, basis)

    def _search(self, problem: Problem, side: _Side, budget: Budget) -> bool:
        """A short search for an input of each disjunct, with gradient steps of another kind than the attack's."""
        from eqverify.stability.counterexample import search_disjuncts

        points = search_disjuncts(problem, self.seed, budget.exhausted)
        return any(side.replayer(point[None]) for point in points)

    def _shared(self, problem: Problem, side: _Side, numbers: list[int], seconds: float) -> SharedProof:
        """One proof for all disjuncts of a case; its points are candidates."""
        members = side.members[numbers]
        share = Budget(seconds)
        prove = partial(prove_rows, problem, side.folded.network, members, seed=self.seed, progress=self.progress)
        try:
            found = prove(seconds, workers=self.workers)
        except LimitError:  # a worker process died: one that does without is slower, but lives
            found = prove(max(share.left, 1.0), workers=1)
        if found.closed.any():
            self.evidence["bounds"] = None
        if found.points.size:
            values = evaluate(side.folded.network, found.points)
            met = np.any([(values[:, rows] <= 0).all(axis=1) for rows in members], axis=0)
            side.replayer(found.points[met])
        return found

    def _question(self, part: _Part) -> Question:
        """What a backend is asked; the network is reduced now if it is to be."""
        from eqverify.api.reduction import reduce

        if part.question is not None:
            return part.question
        assert part.proof is not None
        try:
            reduction = reduce(part.proof.problem, facts=part.proof.facts, progress=self.progress)
        except InputError as error:
            self.reasons.append(f"not reduced: {error.code}")
            part.original = True
            part.question = _question(part.side.network, part.side.case, part.number, part.side.exactly)
        else:
            self._show(reduction.layers)
            part.question = _reduced_question(part.side, part.number, reduction)
        return part.question

    def _show(self, layers: tuple[LayerRow, ...]) -> None:
        """Keep the table of the largest network."""
        if sum(_left(row) for row in layers) >= sum(_left(row) for row in self.layers):
            self.layers = layers

    def _ask_together(self, problem: Problem, parts: list[_Part]) -> list[_Part]:
        """Ask about all disjuncts of a case at once, where a backend can and starting it often would take the time.

        The network is then one that is reduced for the whole case.  What is not decided like that is asked singly.
        """
        decide_any: Callable[[Disjunction, Replay, Budget], Reply] | None = getattr(self.backend, "decide_any", None)
        for side in dict.fromkeys(part.side for part in parts):
            own = [part for part in parts if part.side is side]
            together = len(own) > 1 and self.budget.left < _STARTS * len(own)
            if decide_any is None or side.facts is None or not together:
                continue
            question = self._disjunction(problem, side, [part.number for part in own])
            if question is None or self.budget.exhausted():
                continue
            self.largest = max(self.largest or 0, question.network.relu_count)
            reply = decide_any(question, side.replayer, Budget(self.budget.left * _TOGETHER_SHARE))
            if side.replayer.witness is not None:
                return parts
            if reply.verdict == "unsat":
                self.evidence[reply.evidence] = None
                parts = [part for part in parts if part.side is not side]
        return parts

    def _disjunction(self, problem: Problem, side: _Side, numbers: list[int]) -> Disjunction | None:
        """Several disjuncts about one network, reduced on the inputs of their case."""
        from eqverify.api.reduction import reduce

        narrowed = _narrowed(problem, side, numbers)
        try:
            reduction = reduce(narrowed, facts=side.facts, progress=self.progress)
        except InputError as error:
            self.reasons.append(f"not reduced: {error.code}")
            return None
        self._show(reduction.layers)
        epsilons = [Fraction(value) for value in reduction.epsilons.tolist()]
        dtype = _dtype(side.network)
        folded = fold_case(reduction.network, narrowed.cases[0], epsilons, dtype)
        return Disjunction(folded.network, side.case.polytope.box, dtype, _members(folded))

    def _ask(self, problem: Problem, parts: list[_Part]) -> Verification:
        """Ask in rounds: what timed out is asked again while there is time."""
        total, backend, stuck = len(parts), self.backend.name if parts else "reduction", 0
        parts = self._ask_together(problem, parts)
        for side in {part.side for part in parts}:
            if side.replayer.witness is not None:
                self._lap("decide")
                return self._answer(problem, "sat", backend, side.replayer.witness)
        while parts and not self.budget.exhausted():
            again: list[_Part] = []
            for number, part in enumerate(parts):
                if self.budget.exhausted():
                    again += parts[number:]
                    break
                self.progress("decide", total - len(parts) + number - len(again), total)
                share = max(self.budget.share(len(parts) - number).left, _LEAST)
                reply = self._decide(part, Budget(min(share, self.budget.left)))
                if part.side.replayer.witness is not None:
                    self._lap("decide")
                    return self._answer(problem, "sat", reply.backend, part.side.replayer.witness)
                if reply.verdict == "unsat":
                    self.evidence.update(dict.fromkeys(filter(None, (reply.evidence, part.basis))))
                    backend = reply.backend
                elif reply.verdict == "timed-out":
                    again.append(part)
                elif not part.original:
                    again.append(self._original(part.side, part.number))
                else:
                    stuck += 1
                    self.reasons.append(reply.reason)
            parts = again
        self._lap("decide")
        verdict: Verdict = "timed-out" if parts else "unknown" if stuck else "unsat"
        return self._answer(problem, verdict, backend, None)

    def _decide(self, part: _Part, budget: Budget) -> Reply:
        """Ask the backend; a claim of `sat` without a witness, or an error, is `unknown`."""
        question = self._question(part)
        self.largest = max(self.largest or 0, _open_count(question))
        try:
            reply = self.backend.decide(question, part.side.replayer, budget)
        except EqverifyError as error:
            return Reply("unknown", self.backend.name, reason=f"{error.code}: {error.message}")
        if reply.verdict == "sat" and part.side.replayer.witness is None:
            return Reply("unknown", reply.backend, reason="the backend's input does not hold on the original network")
        return reply

    def _answer(self, problem: Problem, verdict: Verdict, backend: str, witness: Witness | None) -> Verification:
        reason = "; ".join(dict.fromkeys(self.reasons)) if verdict == "unknown" else ""
        evidence = tuple(self.evidence) if verdict == "unsat" else ()
        before = problem.network.relu_count
        return Verification(
            verdict, backend, witness, evidence, reason, before, self.largest, self.layers, self.seconds
        )

    def _lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


def _dtype(network: Network) -> Literal["float32", "float64"]:
    return "float64" if network.inputs[0].element == "float64" else "float32"


def _members(folded: Folded) -> BoolArray:
    """(disjuncts, rows) which rows each disjunct of a folded case needs."""
    unsafe = folded.specification.cases[0].unsafe
    members = np.zeros((len(unsafe), folded.network.output_size), dtype=bool)
    for number, rows in enumerate(unsafe):
        members[number, [next(iter(row.outputs)) for row in rows]] = True
    return members


def _narrowed(problem: Problem, side: _Side, numbers: list[int]) -> Problem:
    """The problem of some disjuncts of one case."""
    case = Case(side.case.polytope, tuple(side.case.unsafe[number] for number in numbers))
    return replace(problem, specification=replace(problem.specification, cases=(case,)))


def _reduced_question(side: _Side, number: int, reduction: Reduction) -> Question:
    """One disjunct of a case, folded into a network that is reduced for it."""
    epsilons = [Fraction(value) for value in reduction.epsilons.tolist()]
    original = _question(side.network, side.case, number, side.exactly).network
    return replace(_question(reduction.network, side.case, number, epsilons), known=_known(original, reduction.facts))


def _known(network: Network, facts: Facts) -> Known:
    return Known(network, {f.source: Interval(f.lower[None], f.upper[None]) for f in facts.layers})


def _open_count(question: Question) -> int:
    """How many ReLUs a backend has to do with."""
    if question.known is None or question.known.network is not question.network:
        return question.network.relu_count
    return sum(int(((z.lower < 0) & (z.upper > 0)).sum()) for z in question.known.bounds.values())


def _left(row: LayerRow) -> int:
    return row.unstable + row.undecided if row.kept is None else row.kept


def _question(network: Network, case: Case, number: int, epsilons: list[Fraction]) -> Question:
    """One disjunct of a case, folded."""
    dtype = _dtype(network)
    folded = fold_case(network, Case(case.polytope, (case.unsafe[number],)), epsilons, dtype)
    return Question(folded.network, case.polytope.box, dtype)
