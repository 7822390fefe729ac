"""The answer to a query about several networks: by exact arithmetic if they are small, or as pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.budget import Budget
from eqverify.certificate import CaseProof
from eqverify.deciding.proving import no_steps, recorded
from eqverify.deciding.settling import settle_case
from eqverify.domain import Box, Case, Domain, Polytope, Specification
from eqverify.equivalence.options import EquivalenceOptions
from eqverify.equivalence.portfolio import DecideOptions, Decision, decide
from eqverify.equivalence.product import on_shared_inputs, product_network, side_by_side
from eqverify.equivalence.query import QueryCheck
from eqverify.equivalence.shared import SharedCase, shared_cases
from eqverify.equivalence.witness import Confirm, WitnessSearch
from eqverify.errors import Place, UsageError
from eqverify.network import Network, outputs_exact
from eqverify.options import keywords_of
from eqverify.progress import Progress
from eqverify.reading import Reading

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query

_EXACT_SECONDS, _EXACT_SHARE = 5.0, 0.1
"""At most so many seconds, and such a share of them all, go to deciding a query in rationals."""

Loader = Callable[[Domain], tuple[Network, Reading]]
"""A network, and how far its file was compared with it on the inputs that the query gives it."""


@dataclass(frozen=True, slots=True, eq=False)
class PairAnswer:
    """The answer to a query about two networks or more.

    >>> import numpy as np
    >>> import eqverify as eq
    >>> from eqverify.testing.chains import chain_network
    >>> network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    >>> from eqverify.frontend.vnnlib import parse_query
    >>> query = parse_query(eq.pair_query(network, network, eq.ball([0, 0], 1), epsilon=0.5))
    >>> answer = eq.decide_pair_query(query, {"f": network, "g": network})
    >>> answer.answer, answer.inputs
    ('unsat', {})

    Attributes:
        answer: ``sat``, ``unsat`` or ``unknown``.
        inputs: by network, the exact flat input of a satisfying assignment; empty unless sat.
        outputs: by network, the exact flat output there.
        evidence: what ``unsat`` rests on: ``bounds``, or the solvers that were trusted.
        reason: why it is unknown.
        seconds: wall time.
        readings: how far each network that was given was compared with onnxruntime.
        claimed: parts of the question that a solver claims to be unsat, without a proof.
        proof: of the answer, where one was asked for and found: the bytes of a file.
    """

    answer: Literal["sat", "unsat", "unknown"]
    inputs: Mapping[str, tuple[Fraction, ...]]
    outputs: Mapping[str, tuple[Fraction, ...]]
    evidence: str = ""
    reason: str = ""
    seconds: float = 0.0
    readings: tuple[Reading, ...] = ()
    claimed: int = 0
    proof: bytes | None = None

    def __repr__(self) -> str:
        return f"<PairAnswer: {self.answer}>"


def answer_query(
    query: Query,
    networks: Mapping[str, Loader],
    options: EquivalenceOptions,
    progress: Progress,
    files: Mapping[str, str] | None = None,
) -> PairAnswer:
    """Answer a query about two networks or more.

    Args:
        query: with its declarations.
        networks: those given, by declared name.
        options: limits.
        progress: called with stage, done, total.
        files: the digests of the files, where the answer is to have a proof.

    Raises:
        UsageError, InputError: as `eqverify.decide_pair_query`.
    """
    from eqverify.frontend.vnnlib import lower

    budget, start, specification = Budget(options.timeout), time.monotonic(), lower(query)
    chosen, readings = _named(specification, networks)
    if len(chosen) < 2:
        shared_cases(specification)  # says so
    left, found = _settled(specification, chosen, budget)
    if found is None:
        found = _decided(left, chosen, options, budget if files is None else budget.share(2), progress)
    if files is not None:
        found = _with_proof(found, specification, chosen, files, budget, options, progress)
    if found.answer == "sat":
        for name, reading in readings.items():
            reading.compare(np.array([found.inputs[name]], dtype=np.float64))
    return replace(found, seconds=time.monotonic() - start, readings=tuple(readings.values()))


def _decided(
    specification: Specification,
    networks: list[Network],
    options: EquivalenceOptions,
    budget: Budget,
    progress: Progress,
) -> PairAnswer:
    """The answer of the portfolio of pairs, case by case."""
    cases, reasons = shared_cases(specification), list[str]()
    evidence, claimed = "bounds", 0
    for number, case in enumerate(cases):
        check = QueryCheck(networks, case)
        left = max(budget.share(len(cases) - number).left, 1e-3)
        own = DecideOptions(**{**keywords_of(options, EquivalenceOptions), "timeout": left})
        decision = _decide_case(case, networks, check.confirm, own, progress)
        if decision.verdict == "different":
            return _assignment(specification, networks, check.inputs)
        if decision.verdict == "unknown":
            reasons.append(decision.reason)
            claimed += decision.claimed
        evidence = decision.evidence if decision.evidence != "bounds" else evidence
    reason = "; ".join(dict.fromkeys(reasons))
    return PairAnswer("unknown" if reasons else "unsat", {}, {}, evidence, reason, claimed=claimed)


def _with_proof(
    found: PairAnswer,
    specification: Specification,
    networks: list[Network],
    files: Mapping[str, str],
    budget: Budget,
    options: EquivalenceOptions,
    progress: Progress,
) -> PairAnswer:
    """The answer with a proof; one that has none is unknown, or says so where somebody is trusted."""
    from eqverify.reduction.certifying import certify_input, certify_no_input

    whole, proof = (side_by_side(networks), specification, files), None
    if found.answer == "sat":
        x = [value for signature in specification.networks for value in found.inputs[signature.name]]
        proofs = (certify_input(*whole, number, x) for number in range(len(specification.cases)))
        proof = next((one for one in proofs if one is not None), None)
    else:
        cases = _recorded(specification, networks, budget, options, progress)
        proof = None if cases is None else certify_no_input(*whole, cases)
        found = found if proof is None else PairAnswer("unsat", {}, {}, "bounds")
    if proof is None and found.answer != "unknown":
        if options.believed:
            return replace(found, evidence=f"{found.evidence}, no proof")
        return PairAnswer("unknown", {}, {}, reason=f"{found.answer}, but no proof was found that the checker verifies")
    return replace(found, proof=proof)


def _recorded(
    specification: Specification,
    networks: list[Network],
    budget: Budget,
    options: EquivalenceOptions,
    progress: Progress,
) -> list[CaseProof] | None:
    """The steps for each case, about one network that reads the shared inputs (K-16); None where one is open."""
    proofs: list[CaseProof] = []
    for number, case in enumerate(specification.cases):
        for told in shared_cases(replace(specification, cases=(case,))):
            asked = Case(told.part, told.goals.exact)
            share = budget.share(len(specification.cases) - number)
            found = recorded(product_network(*_over_shared(told, networks)), (asked,), share, options.seed, progress)
            if found is None:
                return None
            proofs += found
        if len(proofs) == number:  # its equations have no solution
            proofs.append(no_steps(case))
    return proofs


def _settled(
    specification: Specification, networks: list[Network], budget: Budget
) -> tuple[Specification, PairAnswer | None]:
    """The specification without the cases that exact arithmetic refutes, and the answer if it gives one."""
    whole, left = side_by_side(networks), []
    for number, case in enumerate(specification.cases):
        share = budget.part(_EXACT_SHARE, _EXACT_SECONDS).share(len(specification.cases) - number)
        found = settle_case(whole, case, share)
        if found.verdict == "sat":
            return specification, _assignment(specification, networks, found.x)
        if found.verdict == "unknown":
            left.append(case)
    answer = None if left else PairAnswer("unsat", {}, {}, "bounds")
    return replace(specification, cases=tuple(left)), answer


def _assignment(specification: Specification, networks: list[Network], x: Sequence[Fraction]) -> PairAnswer:
    """The answer that an exact input of all networks is one."""
    inputs, outputs, start = {}, {}, 0
    for signature, network in zip(specification.networks, networks, strict=True):
        own = tuple(x[start : start + network.input_size])
        start += network.input_size
        inputs[signature.name], outputs[signature.name] = own, tuple(outputs_exact(network, own))
    return PairAnswer("sat", inputs, outputs)


def _decide_case(
    case: SharedCase, networks: list[Network], confirm: Confirm, options: DecideOptions, progress: Progress
) -> Decision:
    """The portfolio on one case, over the shared inputs."""
    f, g = _over_shared(case, networks)
    domain = Domain((case.part,))
    search = WitnessSearch(f, g, case.goals, domain, replay=confirm, seed=options.seed)
    return decide(f, g, case.goals, search, options, progress)


def _over_shared(case: SharedCase, networks: list[Network]) -> tuple[Network, Network]:
    """The first network, and all others side by side, over the shared inputs."""
    size, pair = case.part.box.size, (networks[0], side_by_side(networks[1:]))
    f, g = (on_shared_inputs(n, where, size) for n, where in zip(pair, (case.first, case.second), strict=True))
    return f, g


def _named(specification: Specification, networks: Mapping[str, Loader]) -> tuple[list[Network], dict[str, Reading]]:
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
            known[name], readings[name] = networks[name](where)
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
