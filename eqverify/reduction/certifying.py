"""Certificates of what was made or proved, each seen to convince the checker."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds, Interval
from eqverify.certificate import (
    CaseProof,
    Claim,
    Compared,
    Refutation,
    RunSlacks,
    build_certificate,
    build_regions,
    build_sat,
    build_unsat,
    checkable_proofs,
)
from eqverify.domain import Case, Domain, Specification
from eqverify.errors import (
    ContradictionError,
    EmptySetError,
    EqverifyError,
    InputError,
    Place,
    RejectedError,
    UsageError,
)
from eqverify.files import version
from eqverify.network import Network
from eqverify.normal_form.relation import Relation
from eqverify.numerals import round_up
from eqverify.problem import Problem
from eqverify.reading import SIMPLIFIED
from eqverify.stability.disjuncts import Directed
from eqverify.stability.facts import Evidence, Facts, LayerFacts, Status
from eqverify.stability.proofs import DerivedProof, Proof, SolverClaim
from eqverify.transform.unit_map import Shown

if TYPE_CHECKING:
    from eqverify.approximate.search import CellTree
    from eqverify.checker import Verdict
    from eqverify.checker.numbers import Floats
    from eqverify.checker.reader import Reader
    from eqverify.checker.replay import Replay
    from eqverify.frontend.onnx import Front

_KINDS = (Evidence.NONE, Evidence.DERIVED, Evidence.DUAL, Evidence.TREE, Evidence.SOLVER)
"""Evidence by the numbers that certificates use."""

_WIDER = 1e-6
"""Claimed bounds are wider by this share than what was computed, so that another order of summation shows them too."""

_LARGER = 1 + 2.0**-20
"""The same for eps, and for what runs are off."""

_HALVED_INPUTS, _HALVINGS, _HALVED_WORK = 12, 6, 1 << 32
"""Boxes are halved for what runs are off where at most so many inputs are free, so often, for so many products."""


@dataclass(frozen=True, slots=True, eq=False)
class Rechecked:
    """Facts as far as the checker establishes them too.

    Attributes:
        facts: status and bounds that the checker confirms, with the proofs it was given; other units are undecided.
        replay: its state, for the claim that follows.
        lost: units that were stable before.
        unconfirmed: those of them for which no solver was asked: not 0 where rounding decides.
    """

    facts: Facts
    replay: Replay
    lost: int
    unconfirmed: int


def recheck(problem: Problem, facts: Facts, *, certified_only: bool, seconds: float) -> Rechecked:
    """Run the steps of a proof through the checker.

    Args:
        problem: what the facts are about.
        facts: with their steps.
        certified_only: whether the words of solvers are left out.
        seconds: for finding checkable proofs of what only a solver showed.

    Raises:
        InputError: `certificate/empty-domain` where the checker finds that no input satisfies the property.
        EmptySetError: the checker finds that no input satisfies the disjunct that the problem assumes.
    """
    facts.require(problem)
    repeated = _Repeated(problem)

    def found() -> Facts:
        return replace(facts, layers=tuple(_confirmed(layer, repeated.replay) for layer in facts.layers))

    def known() -> Bounds:
        return {name: Interval(z.lower, z.upper) for name, z in repeated.replay.bounds.items()}

    repeated.add([proof for proof in facts.proofs if not isinstance(proof, SolverClaim)])
    if _lost(facts, found()) and seconds > 0:
        for more in checkable_proofs(problem, known, facts, found(), seconds):
            repeated.add(more)
    words = [proof for proof in facts.proofs if isinstance(proof, SolverClaim) and _is_open(proof, found())]
    if words and not certified_only:
        repeated.add([*words, DerivedProof("crown", {})])
    solver = facts.evidence_counts()["solver"]
    lost = _lost(facts, found())
    return Rechecked(replace(found(), proofs=tuple(repeated.proofs)), repeated.replay, lost, max(0, lost - solver))


class _Repeated:
    """Proofs that the checker confirms; those that it does not, since it rounds otherwise, are left out.

    Attributes:
        replay: its state after them.
        proofs: in order.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.replay = self._fresh()
        self.proofs: list[Proof] = []

    def _fresh(self) -> Replay:
        from eqverify.checker.numbers import Floats
        from eqverify.checker.replay import Replay
        from eqverify.checker.verdict import directed_replay

        problem = self._problem
        if problem.assumed is None:
            return Replay(problem.network, problem.domain, Floats())
        (case,) = problem.cases
        return directed_replay(problem.network, case, 0, Floats())

    def add(self, proofs: Sequence[Proof]) -> None:
        """Have further proofs repeated: all at once, or where that fails one by one, then those that hold afresh."""
        if self._run(self.replay, proofs):
            self.proofs += proofs
            return
        trial = self._fresh()
        held = [proof for proof in (*self.proofs, *proofs) if self._run(trial, [proof])]
        self.replay = self._fresh()
        self.proofs = held if self._run(self.replay, held) else []
        if not self.proofs:
            self.replay = self._fresh()

    def _run(self, replay: Replay, proofs: Sequence[Proof]) -> bool:
        from eqverify.checker.reader import Reader

        try:
            replay.run(Reader(build_certificate(self._problem, proofs, None), self._problem.network))
        except EmptySetError as error:
            if self._problem.assumed is not None:
                raise
            raise InputError(
                "certificate/empty-domain",
                "no input satisfies the property's constraints on inputs",
                place=error.place,
                hint="the property is unsatisfiable, whatever the network computes: there is nothing to reduce",
            ) from error
        except RejectedError:
            return False
        return True


def _lost(facts: Facts, found: Facts) -> int:
    """How many stable units of `facts` are not stable in `found`."""
    stable = (Status.INACTIVE, Status.ACTIVE)
    pairs = zip(facts.layers, found.layers, strict=True)
    return sum(int((a.mask(*stable) & ~b.mask(*stable)).sum()) for a, b in pairs)


def _is_open(word: SolverClaim, facts: Facts) -> bool:
    layer = next(layer for layer in facts.layers if layer.source == word.node)
    return int(layer.status[word.unit]) not in (Status.INACTIVE, Status.ACTIVE)


def _confirmed(layer: LayerFacts, replay: Replay) -> LayerFacts:
    (lower,), (upper,) = replay.bounds[layer.source].hull()
    shown = np.where(upper <= 0, Status.INACTIVE, np.where(lower >= 0, Status.ACTIVE, Status.UNDECIDED))
    stable = layer.mask(Status.INACTIVE, Status.ACTIVE)
    status = np.where(stable & (shown != layer.status), Status.UNDECIDED, layer.status)
    kinds = np.array(_KINDS)[replay.evidence[layer.source]]
    unstable = np.where(status == Status.UNSTABLE, Evidence.WITNESS, Evidence.NONE)
    evidence = np.where(np.isin(status, (Status.INACTIVE, Status.ACTIVE)), kinds, unstable)
    return LayerFacts(layer.name, layer.source, lower, upper, status, evidence)


def require_files(problem: Problem) -> None:
    """Raise unless a certificate can be written for this problem.

    Raises:
        UsageError: `certificate/no-files`.
        InputError: `certificate/opaque`.
    """
    if problem.tail is not None:
        raise InputError(
            "certificate/opaque",
            "no certificates are written for networks with operators that are not piecewise linear",
            value=", ".join(problem.tail.operators),
        )
    if problem.files.keys() != {"network", "property"}:
        raise UsageError(
            "certificate/no-files",
            "a certificate is about files, and the problem was not read from two",
            hint="give both as files, and inputs by the property alone",
        )


@dataclass(frozen=True, slots=True, eq=False)
class Certified:
    """A certificate, and the checker's verdict on it.

    Attributes:
        data: the bytes of the file.
        verdict: verified, with eps.
        lost: stable units that the checker could not confirm, and which were kept.
        unconfirmed: those of them for which no solver was asked.
    """

    data: bytes
    verdict: Verdict
    lost: int
    unconfirmed: int

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {
            "bytes": len(self.data),
            "epsilon": self.verdict.epsilon,
            "epsilon_float32": max(self.verdict.epsilons_float32, default=None),
            "solver_trusted": self.verdict.solver_trusted,
            "lost": self.lost,
            "unconfirmed": self.unconfirmed,
        }


def certify(
    problem: Problem,
    checked: Rechecked,
    data: bytes,
    network: Network,
    shown: Sequence[Shown],
    relations: Sequence[Relation],
) -> Certified:
    """The certificate of a reduction, checked.

    Args:
        problem: the original.
        checked: its facts.
        data, network: the reduced file and what it holds.
        shown: by ReLU node of `network`, what its units show.
        relations: about units of the original that went.

    Returns:
        The bytes, and the checker's verdict on them.

    Raises:
        InputError: `certificate/no-bound`.
        ContradictionError: `certificate/self-check` where the checker does not verify it.
    """
    from eqverify.checker.deviation import deviations
    from eqverify.checker.reader import Reader
    from eqverify.checker.verdict import conclude, with_runs
    from eqverify.frontend.onnx import Front, parse_front

    layers = [_claimed(layer) for layer in checked.facts.layers]
    stable = [layer.mask(Status.INACTIVE, Status.ACTIVE) for layer in layers]
    replay = checked.replay
    evidence = [np.where(mask, replay.evidence[layer.source], 0) for layer, mask in zip(layers, stable, strict=True)]
    statuses = [np.where(mask, layer.status, 0) for layer, mask in zip(layers, stable, strict=True)]
    digests = {**problem.files, "reduced": hashlib.sha256(data).hexdigest()}
    about = {"eqverify": version(), "solver": checked.facts.solver}
    nothing = np.zeros(problem.network.output_size)
    claim = Claim(digests, layers, evidence, shown, relations, nothing, about, problem.disjunct)

    try:
        draft = Reader(build_certificate(problem, (), claim), problem.network)
        epsilon = deviations(replay.region.hull(), network, draft, statuses) * _LARGER
        if not np.isfinite(epsilon).all():
            raise InputError(
                "certificate/no-bound",
                "the checker proves no finite deviation: its bounds leave the range of float64",
                place=Place(node=problem.network.outputs[0].name, unit=int(np.argmin(np.isfinite(epsilon)))),
                value=float(epsilon.max()),
                hint="reduce without --certificate; the weights or the input bounds are extremely large",
            )
        own = Front(problem.network, None, None, stored=problem.stored, unmodelled=problem.reading.unmodelled)
        fronts = own, parse_front(data)
        claim = replace(claim, epsilon=epsilon, runs=_runs(problem, replay, fronts, epsilon))
        made = build_certificate(problem, checked.facts.proofs, claim)
        reader = Reader(made, problem.network)
        verdict = conclude(replay, reader, network)
        if claim.runs is not None:
            verdict = with_runs(verdict, replay, reader, fronts)
        return Certified(made, verdict, checked.lost, checked.unconfirmed)
    except InputError:
        raise
    except EqverifyError as error:
        raise ContradictionError(
            "certificate/self-check",
            "the checker does not verify the certificate",
            value=f"{error.code} {error.place}",
            hint="this is a defect of eqverify; please report it with the files",
        ) from error


def _runs(
    problem: Problem, replay: Replay, fronts: tuple[Front, Front], epsilons: FloatArray
) -> tuple[int, FloatArray] | None:
    """How often boxes are halved, and how far runs are then from each other; None where nothing is known of runs."""
    from eqverify.checker.runs import run_errors

    if problem.assumed is not None or (problem.stored is None and SIMPLIFIED in problem.reading.unmodelled):
        return None
    halvings = _halvings(problem.network, problem.domain)
    try:
        off = run_errors(replay, fronts, halvings)
    except RejectedError:
        return None
    found = [round_up((Fraction(e) + by) * Fraction(_LARGER)) for e, by in zip(epsilons.tolist(), off, strict=True)]
    return (halvings, np.array(found)) if np.isfinite(found).all() else None


def _halvings(network: Network, domain: Domain) -> int:
    """How often boxes are halved for what runs are off."""
    hull, most = domain.hull, _HALVED_WORK // max(1, network.products * sum(network.sizes.values()))
    few = int((hull.upper > hull.lower).sum()) <= _HALVED_INPUTS
    return max(0, min(_HALVINGS, most.bit_length() - 1)) if few else 0


def relaxed_by_checked_runs(problem: Problem, case: Case) -> tuple[Case, float]:
    """As `relaxed_by_runs`, by what the checker finds that runs are off."""
    from eqverify.checker.numbers import Floats
    from eqverify.checker.runs import halved, relaxed, row_errors

    rows, halvings = [row for disjunct in case.unsafe for row in disjunct], _halvings(problem.network, problem.domain)
    try:
        off = row_errors(halved(problem.network, Domain((case.polytope,)), Floats(), halvings), rows)
    except RejectedError:
        return case, float("inf")
    slack = [round_up(by * Fraction(_LARGER)) for by in off]
    if not np.isfinite(slack).all():
        return case, float("inf")
    return relaxed(case, list(map(Fraction, slack))), max(slack, default=0.0)


def _claimed(layer: LayerFacts) -> LayerFacts:
    wider = _WIDER * (layer.upper - layer.lower)
    lower, upper = layer.lower - wider, layer.upper + wider
    lower = np.where(layer.lower >= 0, np.maximum(lower, 0.0), lower)
    upper = np.where(layer.upper <= 0, np.minimum(upper, 0.0), upper)
    return replace(layer, lower=lower, upper=upper)


@dataclass(frozen=True, slots=True, eq=False)
class Refuted:
    """A certificate, and the checker's verdict on it.

    Attributes:
        data: the bytes of the file.
        verdict: verified.
    """

    data: bytes
    verdict: Verdict

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {"bytes": len(self.data), "solver_trusted": self.verdict.solver_trusted}


def certify_unsat(problem: Problem, proof: Directed) -> Refuted | None:
    """The certificate of a disjunct that is proved ``unsat``, checked.

    Args:
        problem: network and property, read from files.
        proof: with its recorded steps.

    Returns:
        None where the steps do not show it to the checker: where it is a solver's word, or rounding decides.
    """
    from eqverify.checker.numbers import Floats
    from eqverify.checker.reader import Reader
    from eqverify.checker.verdict import refuted

    claim = Refutation(problem.files, (proof.case + 1, proof.index + 1), {"eqverify": version()})
    data = build_certificate(proof.problem, proof.proofs, claim)
    try:
        return Refuted(data, refuted(problem.network, problem.specification, Floats(), Reader(data, problem.network)))
    except EqverifyError:
        return None


def certify_no_input(
    network: Network,
    specification: Specification,
    files: Mapping[str, str],
    cases: Sequence[CaseProof],
    relaxed: Specification | None = None,
) -> bytes | None:
    """The proof that no input satisfies a property, checked.

    Args:
        network, specification: what it is about; several networks side by side.
        files: the digests of their files.
        cases: the steps for each case.
        relaxed: where it is about all float32 runs, what the steps are about: the property with its rows relaxed by
            `relaxed_by_checked_runs`.

    Returns:
        None where the steps do not show it to the checker, since rounding decides.
    """
    from eqverify.checker.runs import no_run
    from eqverify.checker.whole import no_input

    about = {"eqverify": version()}
    if relaxed is None:
        return _seen(network, specification, build_unsat(files, about, cases), no_input)
    runs = _slacks(network, specification, relaxed)
    return _seen(network, specification, build_unsat(files, about, cases, runs=runs), no_run)


def _slacks(network: Network, asked: Specification, relaxed: Specification) -> RunSlacks:
    """By how much the rows of all disjuncts, in order, are relaxed in each case."""
    slacks = []
    for pair in zip(relaxed.cases, asked.cases, strict=True):
        bounds = [[row.bound for rows in case.unsafe for row in rows] for case in pair]
        slacks.append(np.array([float(new - old) for new, old in zip(*bounds, strict=True)]))
    return RunSlacks(_halvings(network, asked.domain), slacks)


def certify_empty(files: Mapping[str, str]) -> bytes:
    """The proof that no input satisfies a property of which the reader says that it allows no input at all."""
    return build_unsat(files, {"eqverify": version()}, ())


def certify_input(
    network: Network,
    specification: Specification,
    files: Mapping[str, str],
    case: int,
    inputs: Sequence[Fraction],
    runs: bool = False,
) -> bytes | None:
    """The proof that an input of a case, from 0, satisfies a property (in all float32 runs), checked.

    Arguments are as for `certify_no_input`.

    Returns:
        None where the checker does not see it: the network is too large for exact arithmetic.
    """
    from eqverify.checker.runs import every_run
    from eqverify.checker.whole import one_input

    data = build_sat(files, {"eqverify": version()}, case + 1, inputs, runs=runs)
    return _seen(network, specification, data, every_run if runs else one_input)


def certify_pair(
    networks: tuple[Network, Network],
    specification: Specification,
    files: Mapping[str, str],
    pair: Compared,
    found: list[CaseProof] | tuple[int, Sequence[Fraction]],
    runs: Specification | None = None,
) -> bytes | None:
    """The proof that two networks do not differ on a property's inputs, or that they do, checked.

    Args:
        networks: f and g.
        specification: whose inputs count.
        files: the digests of ``network``, ``property`` and ``reduced``: f, the property and g.
        pair: what a difference is.
        found: the steps for each case, none where f and g are one network; or a case, from 0, and an input of it where
            they differ.
        runs: where it is about all float32 runs of both, whose conditions the steps are about, relaxed by
            `relaxed_by_checked_runs`.

    Returns:
        None where the checker does not see it.
    """
    from eqverify.checker.joint import compared
    from eqverify.checker.runs import every_run, no_run
    from eqverify.checker.whole import no_input, one_input

    about, whole = {"eqverify": version()}, compared(*networks, specification, pair.epsilons)
    if isinstance(found, tuple):
        case, inputs = found
        data = build_sat(files, about, case + 1, inputs, pair, runs is not None)
        return _seen(*whole, data, one_input if runs is None else every_run)
    if runs is not None:
        return _seen(*whole, build_unsat(files, about, found, pair, _slacks(*whole, runs)), no_run)
    data = build_unsat(files, about, found, pair)
    return data if networks[0].digest == networks[1].digest else _seen(*whole, data, no_input)


def certify_regions(problem: Problem, parts: Sequence[tuple[FloatArray, CellTree | None]]) -> tuple[bytes, str] | None:
    """The proof of how many linear regions a network has, checked, and what the checker says: `12`, `at least 12`.

    Args:
        problem: read from files, its network unit by unit as it is stored.
        parts: for each part of the property's inputs points in regions, and why there are no others.

    Returns:
        None where the checker does not see it: a point lies on a side of its region, or the network is too large.

    Raises:
        UsageError, InputError: as `require_files`.
    """
    from eqverify.checker.reader import Reader
    from eqverify.checker.regions import count_regions

    require_files(problem)
    data = build_regions(problem.files, {"eqverify": version()}, parts)
    try:
        return data, count_regions(problem.network, problem.specification, Reader(data, problem.network))
    except EqverifyError:
        return None


def _seen(
    network: Network,
    specification: Specification,
    data: bytes,
    claim: Callable[[Network, Specification, Floats, Reader], None],
) -> bytes | None:
    """A proof, if the checker verifies it."""
    from eqverify.checker.numbers import Floats
    from eqverify.checker.reader import Reader

    try:
        claim(network, specification, Floats(), Reader(data, network))
    except EqverifyError:
        return None
    return data
