"""Are all float32 runs of two networks within epsilon of each other?  (specs/runtime.md, F-5)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from eqverify.domain import Domain
from eqverify.equivalence.answer import Equivalence, EquivalenceKeywords, answer_pair, pair_goals
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.witness import Confirm, Witness
from eqverify.network import Network, evaluate_nodes, evaluation_error, join_outputs
from eqverify.numerals import at_most, round_up
from eqverify.reading import Reading
from eqverify.runtime_error import domain_errors, point_errors

_LEAST = 0.01
"""Seconds for looking for a difference of all runs, where none are left."""


def answer_pair_runs(
    networks: tuple[Network, Network],
    domain: Domain,
    options: EquivalenceKeywords,
    replay: Callable[[PairGoals], Confirm] | None,
    readings: tuple[Reading, ...],
) -> Equivalence:
    """As `answer_pair`, of runs: equivalent if all runs are within epsilon, different if none are at some input.

    Raises:
        UsageError: as `answer_pair`.
    """
    start, real = time.monotonic(), replace(options, semantics="real")
    asked = pair_goals(networks, domain, options.epsilon, options.top1).epsilon
    boxes = [part.box for part in domain.polytopes]
    why = why_no_pair_runs(networks, readings) if asked else "which output of a run is largest is not decided"
    errors = np.zeros(networks[0].output_size)
    if not why:
        errors = sum((domain_errors(network, boxes) for network in networks), errors) * (1 + 2.0**-50)
        why = "" if np.isfinite(errors).all() else "numbers of a run may leave the range of float32"
    if why or asked is None:
        silent = replace(answer_pair(networks, domain, replace(real, timeout=_LEAST), None, readings), epsilons=None)
        return _unknown(silent, why)
    off = list(map(Fraction, errors.tolist()))
    less = [max(Fraction(0), e - by) for e, by in zip(asked, off, strict=True)]
    found = answer_pair(networks, domain, replace(real, epsilon=less), replay, readings)
    mine = _of_runs(found, found.epsilons, off, options)
    if found.verdict == "equivalent" and all(by <= e for e, by in zip(asked, off, strict=True)):
        return mine
    if found.verdict == "different":
        left = max(options.timeout - (time.monotonic() - start), _LEAST)
        more = replace(real, epsilon=[e + by for e, by in zip(asked, off, strict=True)], timeout=left)
        other = answer_pair(networks, domain, more, replay, readings)
        if other.witness is not None and _of_every_run(networks, other.witness, asked):
            return _of_runs(other, found.epsilons, off, options)
    reason = f"runs of both may be off by {at_most(errors.max(initial=0.0))} together: epsilon is met or missed by less"
    return _unknown(mine, found.reason if found.verdict == "unknown" else reason)


def _of_runs(
    answer: Equivalence, epsilons: tuple[float, ...] | None, off: list[Fraction], options: EquivalenceKeywords
) -> Equivalence:
    """An answer told of runs: proved deviations of the networks, and what runs may be off beside them."""
    if epsilons is not None:
        pairs = zip(epsilons, off, strict=True)
        epsilons = tuple(round_up(Fraction(e) + by) if np.isfinite(e) else e for e, by in pairs)
    most = round_up(max(off, default=Fraction(0)))
    return replace(answer, epsilons=epsilons, asked=options.epsilon, semantics="float32", run_error=most)


def why_no_pair_runs(networks: tuple[Network, Network], readings: tuple[Reading, ...]) -> str:
    """Why nothing can be said about float32 runs of two networks; empty where something can."""
    if {network.element for network in networks} != {"float32"}:
        return "the networks do not both run in float32"
    unmodelled = dict.fromkeys(name for reading in readings for name in reading.unmodelled)
    return f"how these are rounded is not known: {', '.join(unmodelled)}" if unmodelled else ""


def _of_every_run(networks: tuple[Network, Network], witness: Witness, asked: tuple[Fraction, ...]) -> bool:
    """Whether all runs of one network differ from all of the other by more than epsilon, in the witness's output."""
    x, k = witness.point, witness.disjunct // 2
    if not np.array_equal(x, x.astype(np.float32)) or witness.exact != tuple(map(Fraction, x.tolist())):
        return False
    values, spread = [], []
    for network in networks:
        nodes = evaluate_nodes(network, x[None])
        values.append(float(join_outputs(network, nodes)[0, k]))
        own = join_outputs(network, evaluation_error(network, nodes))[0, k]
        spread += [float(own), float(point_errors(network, x)[k])]
    if not np.isfinite([*values, *spread]).all():
        return False
    return abs(Fraction(values[0]) - Fraction(values[1])) > asked[k] + sum(map(Fraction, spread))


def _unknown(answer: Equivalence, reason: str) -> Equivalence:
    decision = replace(answer.decision, verdict="unknown", witness=None, reason=reason)
    return replace(answer, verdict="unknown", witness=None, replayed=None, decision=decision, semantics="float32")
