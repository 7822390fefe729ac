"""Proofs of what is said about two networks on the inputs of a property (specs/verification.md, V-9)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from eqverify.bounds import Interval, crown_bounds
from eqverify.budget import Budget
from eqverify.certificate import Compared
from eqverify.deciding.proving import recorded
from eqverify.domain import Case, Domain
from eqverify.equivalence.answer import Equivalence, EquivalenceKeywords, pair_goals
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.joint import make_joint
from eqverify.equivalence.product import product_network
from eqverify.errors import EqverifyError
from eqverify.network import Network
from eqverify.numerals import round_up
from eqverify.problem import Problem, domain_problem
from eqverify.stability.facts import Facts
from eqverify.stability.options import Engine, StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.transform.unit_map import Shown

_UNITS_SHARE, _LEAST = 0.4, 0.01
"""Of the time, for which units of the first network are stable; and seconds for that, at least."""

_ENGINES: tuple[Engine, ...] = ("crown", "portfolio")
"""Bounds are quick, and often enough."""


def with_pair_proof(
    answer: Equivalence,
    networks: tuple[Network, Network],
    problem: Problem,
    files: Mapping[str, str],
    other: tuple[Network, bytes],
    options: EquivalenceKeywords,
    budget: Budget,
) -> Equivalence:
    """The answer with a proof; one that has none is unknown, or says so where somebody is trusted.

    Args:
        answer: what was found without one.
        networks: f and g, as their files say them where it is about runs.
        problem: f, normalised, and the property whose inputs count.
        files: the digests of ``network``, ``property`` and ``reduced``.
        other: g as its file says it, and that file.
        options: the question.
        budget: for a proof that they do not differ, where no difference was found: as one of a reduction, then by a
            search whose steps are recorded.
    """
    from eqverify.reduction.certifying import certify_pair

    specification, runs = problem.specification, options.semantics != "real"
    start, goals = time.monotonic(), pair_goals(networks, specification.domain, options.epsilon, options.top1)
    same = networks[0].digest == networks[1].digest and not runs
    exact = None if goals.epsilon is None else [one * (not same) for one in goals.epsilon]
    about = networks, specification, files, Compared(exact)
    proof, epsilons = None, None if exact is None else tuple(map(round_up, exact))
    if answer.witness is not None:
        x = answer.witness.exact
        told = specification if runs else None
        proofs = (certify_pair(*about, (k, x), told) for k in range(len(specification.cases)))
        proof = next((one for one in proofs if one is not None), None)
    elif same:
        proof = certify_pair(*about, [])
    elif goals.epsilon is not None:
        found = _by_units(problem, other, goals.epsilon, options, budget.part(_UNITS_SHARE))
        proof, epsilons = found or (None, epsilons)
    if answer.witness is None and proof is None:
        whole = product_network(*networks)
        cases = [replace(case, unsafe=goals.exact) for case in specification.cases]
        told = None
        if runs:
            cases = _relaxed(whole, cases)
            told = replace(specification, cases=tuple(cases))
        steps = recorded(whole, cases, budget, options.seed, options.progress)
        proof = None if steps is None else certify_pair(*about, steps, told)
    seconds = answer.seconds + time.monotonic() - start
    return replace(_judged(answer, proof, epsilons, options), proof=proof, seconds=seconds)


def _judged(
    answer: Equivalence, proof: bytes | None, proved: tuple[float, ...] | None, options: EquivalenceKeywords
) -> Equivalence:
    """The answer that there is, given a proof, and which eps it proves."""
    decision = answer.decision
    if proof is None and answer.verdict != "unknown" and not options.believed:
        reason = f"{answer.verdict}, but no proof was found that the checker verifies"
        return replace(answer, verdict="unknown", witness=None, decision=replace(decision, reason=reason))
    if proof is None or answer.verdict == "different":
        return answer
    sure = replace(decision, verdict="equivalent", reason="", trusted=(), claimed=0, left=0, done=1.0)
    return replace(answer, verdict="equivalent", epsilons=proved, decision=sure)


def _relaxed(network: Network, cases: Sequence[Case]) -> list[Case]:
    """Cases about runs as cases about the network."""
    from eqverify.reduction.certifying import relaxed_by_checked_runs

    problem = domain_problem(network, Domain(tuple(case.polytope for case in cases)))
    return [relaxed_by_checked_runs(problem, case)[0] for case in cases]


def _by_units(
    problem: Problem,
    other: tuple[Network, bytes],
    epsilons: Sequence[Fraction],
    options: EquivalenceKeywords,
    budget: Budget,
) -> tuple[bytes, tuple[float, ...]] | None:
    """A certificate that g is f within some eps, whose units stand for units of f (K-7), and these eps.

    Args:
        problem: f, and the property whose inputs count.
        other: g as its file says it, and that file.
        epsilons: what is allowed, for each output.
        options: of the comparison.
        budget: for a proof of which units of f are stable.

    Returns:
        None where the eps that the checker proves are larger.
    """
    from eqverify.reduction.certifying import certify, recheck

    networks = problem.network, other[0]
    for engine in _ENGINES:
        limits = StabilityOptions(engine, max(budget.left, _LEAST), 1.0, options.seed)
        try:
            facts = prove_stability(problem, limits, progress=options.progress)
            checked = recheck(problem, facts, certified_only=True, seconds=0.0)
            found = certify(problem, checked, other[1], other[0], _shown(networks, problem, checked.facts), ())
        except EqverifyError:  # bounds leave the range of floats, or rounding decides
            return None
        proved = found.verdict.epsilons if options.semantics == "real" else found.verdict.epsilons_float32
        if proved and all(Fraction(own) <= most for own, most in zip(proved, epsilons, strict=True)):
            return found.data, proved
    return None


def _shown(networks: tuple[Network, Network], problem: Problem, facts: Facts) -> Sequence[Shown]:
    """Which units of f those of g are most like; the others are carriers.  Nothing rests on it."""
    f, g = networks
    hull = problem.domain.hull
    ends = hull.lower[None], hull.upper[None]
    known = {layer.source: Interval(layer.lower[None], layer.upper[None]) for layer in facts.layers}
    bounds = crown_bounds(f, *ends, known), crown_bounds(g, *ends)
    sizes = [[network.sizes[relu.name] for relu in network.relus] for network in networks]
    if sizes[0] == sizes[1]:
        return [[(relu.name, unit) for unit in range(f.sizes[relu.name])] for relu in f.relus]
    joint = make_joint(networks, bounds, epsilon_goals(f.input_size, f.output_size, 0))
    shown: list[list[tuple[str, int] | None]] = [[None] * size for size in sizes[1]]
    for unit, other in enumerate(joint.paired.tolist()):
        if other >= 0:
            (layer, own), (place, number) = joint.f.origin[unit].tolist(), joint.g.origin[other].tolist()
            shown[place][number] = f.relus[layer].name, own
    return shown
