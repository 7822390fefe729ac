"""Proofs that can be checked of signs that only a solver showed: trees of sign splits, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from eqverify.arrays import BoolArray
from eqverify.bounds import Bounds, Interval, interval_bounds
from eqverify.budget import Budget
from eqverify.network import Affine
from eqverify.problem import Problem
from eqverify.search.sign_branching import prove_signs
from eqverify.search.sign_tree import SignQuery
from eqverify.stability.facts import Facts, LayerFacts, Status
from eqverify.stability.proofs import BranchProof, DerivedProof, Proof

_NODES = 20_000
"""Tree nodes per sign."""


def checkable_proofs(
    problem: Problem, known: Callable[[], Bounds], facts: Facts, found: Facts, seconds: float
) -> Iterator[list[Proof]]:
    """Search for trees layer by layer.

    Args:
        problem: network and domain.
        known: gives, by pre-activation node, intervals (parts, n) that hold; asked before each layer, so that what came
            of the proofs yielded before is in it.
        facts: the signs to show.
        found: those that are shown already.
        seconds: in all.

    Yields:
        For each layer that gained, its proofs and a last one that derives what follows.
    """
    budget = Budget(seconds)
    todo = [pair for pair in zip(facts.layers, found.layers, strict=True) if _missing(*pair).any()]
    for number, (layer, shown) in enumerate(todo):
        if not isinstance(problem.network.by_name.get(layer.source), Affine):
            continue
        missing = np.flatnonzero(_missing(layer, shown))
        proofs: list[Proof] = []
        share = budget.share(len(todo) - number)
        for part in range(len(problem.domain.polytopes)):
            bounds = _bounds_of(problem, known(), part)
            z, questions = bounds[layer.source], []
            for unit in missing:
                sign = 1 if layer.status[unit] == Status.INACTIVE else -1
                if (z.upper[0, unit] > 0) if sign > 0 else (z.lower[0, unit] < 0):
                    questions.append(SignQuery(layer.source, int(unit), sign))
            given = problem.given(part)
            results = prove_signs(problem.network, bounds, questions, assumed=given, max_nodes=_NODES, budget=share)
            proofs += [BranchProof(bounds, part, result) for result in results if result.proved]
        if proofs:
            yield [*proofs, DerivedProof("crown", {})]


def _missing(layer: LayerFacts, shown: LayerFacts) -> BoolArray:
    return layer.mask(Status.INACTIVE, Status.ACTIVE) & ~shown.mask(Status.INACTIVE, Status.ACTIVE)


def _bounds_of(problem: Problem, known: Bounds, part: int) -> Bounds:
    domain, own = problem.domain, slice(part, part + 1)
    known_bounds = {name: Interval(i.lower[own], i.upper[own]) for name, i in known.items()}
    return interval_bounds(problem.network, domain.lower[own], domain.upper[own], known_bounds)
