"""Are two networks equivalent on a domain?  And: the answer to a query about several networks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from eqverify.api.loading import PathOrNetwork, load_compared, load_query
from eqverify.arrays import IEEE, FloatArray
from eqverify.attack.replay import holding
from eqverify.domain import Box, Case, Declaration, Domain, NetworkSignature, Polytope, Specification
from eqverify.equivalence.goals import PairGoals, epsilon_goals, top1_goals
from eqverify.equivalence.portfolio import METHODS, DecideOptions, Decision, Method, Verdict, decide, plain_decision
from eqverify.equivalence.shared import SharedCase, shared_cases
from eqverify.equivalence.witness import Confirm, Witness, WitnessSearch
from eqverify.errors import ContradictionError, InputError, Place, UsageError
from eqverify.network import Network, Port, outputs_exact
from eqverify.progress import Progress, silent
from eqverify.reading import Reading
from eqverify.trust import NOBODY, trusting

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query

_EXACT_SECONDS, _EXACT_SHARE = 5.0, 0.1
"""At most so many seconds, and such a share of them all, go to deciding a query in rationals."""

Epsilon = float | Fraction | Sequence[float | Fraction]
"""An allowed deviation: one number for all outputs, or one for each.  A float is the rational that it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Equivalence:
    """The answer of `equivalent`.

    Attributes:
        verdict: ``equivalent``, ``different`` or ``unknown``.
        epsilons: per output, a proved bound on |f - g| over the domain; None where none is known, or for top-1.
        asked: the epsilon that was asked about, one number or one per output; None for top-1.
        witness: an input where they differ, with the outputs there; None unless ``different``.
        deviation: the largest |f - g| seen at an input of the domain (in float64); None for top-1.
        replayed: whether onnxruntime ran both files at the witness and showed the difference too; None where networks
            were given without files, or nothing was found.
        decision: how the portfolio got there.
        seconds: wall time.
        readings: how far each network was compared with onnxruntime.
    """

    verdict: Verdict
    epsilons: tuple[float, ...] | None
    asked: Epsilon | None
    witness: Witness | None
    deviation: float | None
    replayed: bool | None
    decision: Decision
    seconds: float
    readings: tuple[Reading, Reading]

    @property
    def epsilon(self) -> float | None:
        """The largest of `epsilons`."""
        return None if self.epsilons is None else max(self.epsilons, default=0.0)

    @property
    def reason(self) -> str:
        """Why the answer is unknown; empty otherwise."""
        return self.decision.reason

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        decision = self.decision
        return {
            "verdict": self.verdict,
            "epsilon": self.epsilon,
            "epsilons": None if self.epsilons is None else list(self.epsilons),
            "asked": _plain(self.asked),
            "deviation": self.deviation,
            "witness": None if self.witness is None else witness_dict(self.witness),
            "replayed": self.replayed,
            "evidence": decision.evidence,
            "trusted": list(decision.trusted),
            "claimed": decision.claimed,
            "claimants": list(decision.claimants),
            "solver": decision.solver or None,
            "boxes": decision.boxes,
            "open_boxes": decision.left,
            "share_done": decision.done,
            "reason": decision.reason or None,
            "stages": dict(decision.seconds),
            "readings": [reading.as_dict() for reading in self.readings],
            "seconds": self.seconds,
        }


def _plain(asked: Epsilon | None) -> float | list[float] | None:
    """Numbers for JSON: those whose shortest decimals are the ones that were asked, up to 15 digits."""
    if asked is None or isinstance(asked, int | float | Fraction):
        return None if asked is None else float(asked)
    return [float(value) for value in asked]


def witness_dict(witness: Witness) -> dict[str, object]:
    """A witness for JSON."""
    return {
        "input": witness.point.tolist(),
        "f": witness.f.tolist(),
        "g": witness.g.tolist(),
        "confirmed": witness.confirmed,
    }


@IEEE
def equivalent(
    f: PathOrNetwork,
    g: PathOrNetwork,
    domain: str | Path | Query | Specification | Domain,
    *,
    epsilon: Epsilon | None = None,
    top1: bool = False,
    timeout: float = 60.0,
    split_inputs: int = 12,
    methods: tuple[Method, ...] = METHODS,
    seed: int = 0,
    trust: str | Iterable[str] = NOBODY,
    progress: Progress = silent,
) -> Equivalence:
    """Decide whether two networks are equivalent on a domain: |f_i - g_i| <= epsilon_i for all outputs, or equal top-1.

    Args:
        f: path or network.
        g: path or network with as many inputs and outputs.
        domain: a property, whose output conditions are ignored, or a domain.  A property of two networks must
            equate their inputs.
        epsilon: the allowed deviation, finite and not negative, one number or one per output; not with `top1`.
        top1: whether to ask for an equal largest output instead: the networks differ where one output is largest for f,
            another for g, and each is strictly ahead of the other there.
        timeout: seconds in all.
        split_inputs: the input box is split first where at most so many inputs are free.
        methods: which of the dear stages may be used.
        seed: of random points and solver.
        trust: solvers whose claims are used without a proof, ``scip`` or ``z3``; by default none.
        progress: called with stage, done, total.

    Returns:
        The answer.  Trusted for ``equivalent``: float64 and rational arithmetic, and those in `decision.trusted`.
        For ``different``: nothing but the evaluation of the witness, by rounding bounds or in rationals, and a run of
        onnxruntime where files were given.

    Raises:
        UsageError: `equivalence/goal` unless exactly one of epsilon and top1 is given, `equivalence/epsilon`,
            `equivalence/timeout`; `equivalence/arity` where networks and domain do not fit.
        InputError: a file is malformed; `equivalence/inputs` as `load_domain`.
    """
    start = time.monotonic()
    _require_timeout(timeout)
    (first, second), where, goals, readings = _question(f, g, domain, epsilon, top1)
    replay = _replay((f, g), goals)
    search = WitnessSearch(first, second, goals, where, replay=replay, seed=seed)
    options = DecideOptions(timeout, split_inputs, methods, seed, trusting(trust))
    if first.digest == second.digest:
        decision = _same(goals)
    else:
        decision = decide(first, second, goals, search, options, progress)
    witness = decision.witness
    if witness is not None:
        for reading in readings:
            reading.compare(witness.point[None])
    return Equivalence(
        decision.verdict,
        _proved(goals, decision),
        epsilon,
        witness,
        _deviation(goals, decision),
        None if witness is None or replay is None else True,
        decision,
        time.monotonic() - start,
        readings,
    )


def _question(
    f: PathOrNetwork,
    g: PathOrNetwork,
    domain: str | Path | Query | Specification | Domain,
    epsilon: Epsilon | None,
    top1: bool,
) -> tuple[tuple[Network, Network], Domain, PairGoals, tuple[Reading, Reading]]:
    """Both networks, the domain and the goals, all fitting each other; and how far both were compared."""
    if (epsilon is None) == (not top1):
        raise UsageError("equivalence/goal", "either an epsilon or top-1 must be asked for, and not both")
    where = load_domain(domain)
    (first, one), (second, other) = load_compared(f, where), load_compared(g, where)
    _require_arity(first, second, where)
    sizes = first.input_size, first.output_size
    if epsilon is not None:
        _require_epsilon(epsilon, first.output_size)
    goals = top1_goals(*sizes) if epsilon is None else epsilon_goals(*sizes, epsilon)
    return (first, second), where, goals, (one, other)


def _require_epsilon(epsilon: Epsilon, outputs: int) -> None:
    each = (epsilon,) * outputs if isinstance(epsilon, int | float | Fraction) else tuple(epsilon)
    if len(each) != outputs:
        message = "an epsilon is one number, or one for each output"
        raise UsageError("equivalence/epsilon", message, value=f"{len(each)} for {outputs} outputs")
    for value in each:
        if not 0 <= value <= sys.float_info.max:
            raise UsageError("equivalence/epsilon", "an epsilon must be finite and not negative", value=value)


def _proved(goals: PairGoals, decision: Decision) -> tuple[float, ...] | None:
    """The deviations that are proved, rounded upwards; None for none."""
    reach = min(decision.reach, 0.0) if decision.verdict == "equivalent" else decision.reach  # a solver closes boxes
    if goals.epsilon is None or reach == np.inf:
        return None
    return tuple(_sum_above(e, reach) for e in goals.epsilon)


def _sum_above(epsilon: Fraction, reach: float) -> float:
    """The least float that is neither negative nor below epsilon + reach."""
    total = max(Fraction(0), epsilon + Fraction(reach)) if reach > -np.inf else Fraction(0)
    if total > sys.float_info.max:
        return float("inf")
    nearest = float(total)
    return nearest if Fraction(nearest) >= total else float(np.nextafter(nearest, np.inf))


def _deviation(goals: PairGoals, decision: Decision) -> float | None:
    """The largest |f - g| that was seen; None where nothing was looked at."""
    if goals.epsilon is None or not np.isfinite(decision.closest).any():
        return None
    return max(0.0, float((decision.closest + _twice(goals)).max()))


def _twice(goals: PairGoals) -> FloatArray:
    """(disjuncts,) the epsilon of each disjunct, in float64."""
    return np.repeat(np.array(goals.epsilon or (), dtype=np.float64), 2)


def _same(goals: PairGoals) -> Decision:
    """One and the same network."""
    return plain_decision("equivalent", -np.inf, -_twice(goals))


def load_domain(domain: str | Path | Query | Specification | Domain) -> Domain:
    """The inputs that a property describes; its output conditions are ignored.

    Raises:
        InputError: `equivalence/inputs` for a property of two networks that does not equate their inputs, or of
            more.
    """
    from eqverify.frontend.vnnlib import lower

    if isinstance(domain, Domain):
        return domain
    if isinstance(domain, str | Path):
        domain = load_query(domain)
    specification = domain if isinstance(domain, Specification) else lower(domain)
    if len(specification.networks) == 1:
        return specification.domain
    cases = shared_cases(specification)
    if not all(case.equated and not case.loose for case in cases):
        raise InputError(
            "equivalence/inputs",
            "the property does not say that both networks read the same inputs, or not in numbers that floats can hold",
            place=Place(file=specification.source),
            hint="assert (== X_f[i] X_g[i]) for every input, or answer the query with eqverify verify",
        )
    return Domain(tuple(case.part for case in cases))


def _require_timeout(timeout: float) -> None:
    if not timeout > 0:
        raise UsageError("equivalence/timeout", "the timeout must be positive", value=timeout)


def _require_arity(f: Network, g: Network, domain: Domain) -> None:
    pairs = [
        ("the networks differ in their number of inputs", f.input_size, g.input_size),
        ("the networks differ in their number of outputs", f.output_size, g.output_size),
        ("the domain has another number of inputs than the networks", domain.size, f.input_size),
    ]
    for message, one, other in pairs:
        if one != other:
            raise UsageError("equivalence/arity", message, value=f"{one} and {other}")


def _replay(networks: tuple[PathOrNetwork, PathOrNetwork], goals: PairGoals) -> Confirm | None:
    """Both files by onnxruntime at an input; None where one of them is no file."""
    from eqverify.export.runtime import run_model
    from eqverify.frontend.onnx import read_bytes

    if any(isinstance(network, Network) for network in networks):
        return None
    data = [read_bytes(network) for network in networks if not isinstance(network, Network)]

    def show(point: FloatArray) -> bool:
        outputs = [value for model in data for value in run_model(model, point[None])[0].tolist()]
        return holding(goals.exact, list(map(Fraction, point.tolist())), outputs, [0.0] * len(outputs))[0] is not None

    return show


@dataclass(frozen=True, slots=True, eq=False)
class PairAnswer:
    """The answer to a query about two networks or more.

    Attributes:
        answer: ``sat``, ``unsat`` or ``unknown``.
        inputs: by network, the exact flat input of a satisfying assignment; empty unless sat.
        outputs: by network, the exact flat output there.
        evidence: what ``unsat`` rests on: ``bounds``, or the solvers that were trusted.
        reason: why it is unknown.
        seconds: wall time.
        readings: how far each network that was given was compared with onnxruntime.
        claimed: parts of the question that a solver claims to be unsat, without a proof.
    """

    answer: Literal["sat", "unsat", "unknown"]
    inputs: Mapping[str, tuple[Fraction, ...]]
    outputs: Mapping[str, tuple[Fraction, ...]]
    evidence: str
    reason: str
    seconds: float
    readings: tuple[Reading, ...] = ()
    claimed: int = 0


@IEEE
def decide_pair_query(
    query: str | Path | Query,
    networks: Mapping[str, PathOrNetwork],
    timeout: float = 60.0,
    *,
    seed: int = 0,
    trust: str | Iterable[str] = NOBODY,
    progress: Progress = silent,
) -> PairAnswer:
    """Answer a VNN-LIB 2 query about two networks or more.

    Args:
        query: path or query.
        networks: by declared name; a network declared ``equal-to`` another may be left out.
        timeout: seconds in all.
        seed: of random points and solver.
        trust: solvers whose claims are used without a proof, as in `equivalent`.
        progress: called with stage, done, total.

    Returns:
        The answer.  A ``sat`` assignment is proved exactly, against the query as written.
        Trusted for ``unsat``: as `equivalent`.

    Raises:
        UsageError: `equivalence/timeout`, `equivalence/arity`; `equivalence/no-network` where a network is missing.
        InputError: `equivalence/networks`, or a file is malformed.
    """
    from eqverify.equivalence.query import QueryCheck
    from eqverify.frontend.vnnlib import lower

    _require_timeout(timeout)
    start = time.monotonic()
    query = load_query(query) if isinstance(query, str | Path) else query
    specification, believed = lower(query), trusting(trust)
    chosen, readings = _named(specification, networks)
    if len(chosen) < 2:
        shared_cases(specification)  # says so
    specification, found = _settled(specification, chosen, timeout)
    if found is not None:
        return replace(found, seconds=time.monotonic() - start, readings=tuple(readings.values()))
    cases = shared_cases(specification)
    reasons: list[str] = []
    evidence, claimed = "bounds", 0
    for number, case in enumerate(cases):
        check = QueryCheck(chosen, case)
        left = max(timeout - (time.monotonic() - start), 1e-3) / (len(cases) - number)
        decision = _decide_case(case, chosen, check.confirm, DecideOptions(left, seed=seed, trust=believed), progress)
        if decision.verdict == "different":
            found = _assignment(specification, chosen, check.inputs)
            for name, reading in readings.items():
                reading.compare(np.array([found.inputs[name]], dtype=np.float64))
            return replace(found, seconds=time.monotonic() - start, readings=tuple(readings.values()))
        if decision.verdict == "unknown":
            reasons.append(decision.reason)
            claimed += decision.claimed
        evidence = decision.evidence if decision.evidence != "bounds" else evidence
    answer: Literal["unsat", "unknown"] = "unknown" if reasons else "unsat"
    reason = "; ".join(dict.fromkeys(reasons))
    seconds = time.monotonic() - start
    return PairAnswer(answer, {}, {}, evidence, reason, seconds, tuple(readings.values()), claimed)


def _settled(
    specification: Specification, networks: list[Network], timeout: float
) -> tuple[Specification, PairAnswer | None]:
    """The specification without the cases that exact arithmetic refutes, and the answer if it gives one."""
    from eqverify.api.exactness import settle_case
    from eqverify.equivalence.product import side_by_side

    whole, left = side_by_side(networks), []
    for number, case in enumerate(specification.cases):
        seconds = min(_EXACT_SECONDS, timeout * _EXACT_SHARE) / (len(specification.cases) - number)
        found = settle_case(whole, case, seconds)
        if found.verdict == "sat":
            return specification, _assignment(specification, networks, found.x)
        if found.verdict == "unknown":
            left.append(case)
    answer = None if left else PairAnswer("unsat", {}, {}, "bounds", "", 0.0)
    return replace(specification, cases=tuple(left)), answer


def _assignment(specification: Specification, networks: list[Network], x: Sequence[Fraction]) -> PairAnswer:
    """The answer that an exact input of all networks is one."""
    inputs, outputs, start = {}, {}, 0
    for signature, network in zip(specification.networks, networks, strict=True):
        own = tuple(x[start : start + network.input_size])
        start += network.input_size
        inputs[signature.name], outputs[signature.name] = own, tuple(outputs_exact(network, own))
    return PairAnswer("sat", inputs, outputs, "", "", 0.0)


def _decide_case(
    case: SharedCase, networks: list[Network], confirm: Confirm, options: DecideOptions, progress: Progress
) -> Decision:
    """The portfolio on one case, over the shared inputs."""
    from eqverify.equivalence.product import on_shared_inputs, side_by_side

    size, pair = case.part.box.size, (networks[0], side_by_side(networks[1:]))
    f, g = (on_shared_inputs(n, where, size) for n, where in zip(pair, (case.first, case.second), strict=True))
    domain = Domain((case.part,))
    search = WitnessSearch(f, g, case.goals, domain, replay=confirm, seed=options.seed)
    return decide(f, g, case.goals, search, options, progress)


def _named(
    specification: Specification, networks: Mapping[str, PathOrNetwork]
) -> tuple[list[Network], dict[str, Reading]]:
    """The networks in order of declaration, with the sizes that are declared; and how far those given were compared."""
    known: dict[str, Network] = {}
    readings: dict[str, Reading] = {}
    inputs, start = specification.domain, 0
    for signature in specification.networks:
        name = signature.name
        if name not in networks and signature.equal_to not in known:
            raise UsageError(
                "equivalence/no-network",
                "the query declares a network that was not given",
                place=Place(file=specification.source),
                value=name,
                hint=f"name it: --network {name}=FILE.onnx",
            )
        own = sum(d.size for d in signature.inputs)
        where = Domain(tuple(Polytope(Box(low, high)) for low, high in _columns(inputs, start, own)))
        start += own
        if name in networks:
            known[name], readings[name] = load_compared(networks[name], where)
        else:
            known[name] = known[str(signature.equal_to)]
        sizes = [
            ("inputs", own, known[name].input_size),
            ("outputs", sum(d.size for d in signature.outputs), known[name].output_size),
        ]
        for kind, declared, actual in sizes:
            if declared != actual:
                raise UsageError(
                    "equivalence/arity",
                    f"the query declares another number of {kind} for {name} than the network has",
                    place=Place(file=specification.source),
                    value=f"{declared} declared, {actual} in the network",
                )
    return list(known.values()), readings


def _columns(domain: Domain, start: int, count: int) -> list[tuple[FloatArray, FloatArray]]:
    """The boxes of a domain, for some of its inputs."""
    part = slice(start, start + count)
    return [(low[part], high[part]) for low, high in zip(domain.lower, domain.upper, strict=True)]


@IEEE
def pair_query(
    f: PathOrNetwork,
    g: PathOrNetwork,
    domain: str | Path | Query | Specification | Domain,
    *,
    epsilon: Epsilon | None = None,
    top1: bool = False,
) -> str:
    """The question of `equivalent` as a VNN-LIB 2 query about networks f and g: unsat means equivalent.

    Two plain declarations, since f and g need not have one architecture; inputs are equated by assertions.

    Args:
        f: path or network.
        g: path or network.
        domain: as in `equivalent`.
        epsilon: as in `equivalent`.
        top1: as in `equivalent`.

    Returns:
        The text.  It was read back, and says the same.

    Raises:
        UsageError, InputError: as `equivalent`.
        ContradictionError: `equivalence/query` where reading it back gives another question.
    """
    from eqverify.export.vnnlib import query_of, write_query
    from eqverify.frontend.vnnlib import lower, parse_query
    from eqverify.frontend.vnnlib.syntax import Comparison, elements
    from eqverify.frontend.vnnlib.syntax import Query as Parsed

    (first, second), where, goals, _ = _question(f, g, domain, epsilon, top1)
    signatures = (_signature("f", first), _signature("g", second))
    inputs = query_of(Specification(signatures[:1], tuple(Case(p, ((),)) for p in where.polytopes)), "2.0")
    point = Polytope(Box(np.zeros(2 * where.size), np.zeros(2 * where.size)))
    condition = query_of(Specification(signatures, (Case(point, goals.exact),)), "2.0")
    pairs = [[v for tensor in network.inputs for v in elements(tensor)] for network in condition.networks]
    equations = [Comparison("==", *pair) for pair in zip(*pairs, strict=True)]
    statements = (*inputs.statements, *equations, *condition.statements[4 * where.size :])
    text = write_query(Parsed("2.0", condition.networks, statements))
    cases = shared_cases(lower(parse_query(text)))
    same = all(case.equated and case.goals.exact == goals.exact for case in cases)
    if not same or Domain(tuple(case.part for case in cases)).digest != where.digest:
        raise ContradictionError("equivalence/query", "the query written says something else when it is read back")
    return text


def _signature(name: str, network: Network) -> NetworkSignature:
    def declared(kind: str, ports: tuple[Port, ...]) -> tuple[Declaration, ...]:
        names = [f"{kind}_{name}"] if len(ports) == 1 else [f"{kind}_{name}{k}" for k in range(len(ports))]
        shapes = [tuple(extent if isinstance(extent, int) else 1 for extent in port.shape) for port in ports]
        return tuple(Declaration(n, "Real", shape) for n, shape in zip(names, shapes, strict=True))

    return NetworkSignature(name, declared("X", network.inputs), declared("Y", network.outputs))
