"""Passes on a chain, applied until none changes anything, and checked by the driver of passes, not by their authors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eqverify.errors import ContradictionError
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, LayerFacts, Status
from eqverify.transform.base import REGISTRY, Declined, Fate, Rewritten
from eqverify.transform.chain import Chain, chain_of
from eqverify.transform.deviation import prove_deviation
from eqverify.transform.realise import realise, require_finite
from eqverify.transform.result import Transformed, TransformOptions

_LARGE = 1e50

ROUNDING = "rounding"
"""What layers are said to be declined by that keep their weights for the sake of eps."""


def by_passes(problem: Problem, facts: Facts, options: TransformOptions) -> Transformed:
    """The network after passes to a fixpoint, in float64, then written and compared.

    Where eps exceeds its limit, layers are exempted from passes that compute new weights, first ones first.

    Raises:
        InputError: the network is no chain, or a weight overflows.
        ContradictionError: `transform/postcondition` where a pass broke an invariant.
    """
    chain = chain_of(problem.network)
    exact: list[str] = []
    refused: list[Declined] = []
    while True:
        rewritten, fates, declined = _fixpoint(chain, options.passes, facts.by_name(), exact)
        network, meanings = realise(rewritten, problem.network, options.dtype)
        result = Transformed(network, meanings, prove_deviation(problem, facts, network, meanings), "leo")
        rounding = _rounding_layers(fates, facts, exact)
        if result.worst <= options.max_epsilon or not rounding:
            return replace(result, fates=fates, declined=(*refused, *declined))
        name, units = rounding[0]
        reason = f"new weights would bring eps to {result.worst:.1e}, above {options.max_epsilon:.1e}"
        refused.append(Declined(ROUNDING, name, units, reason))
        exact.append(name)


def _rounding_layers(fates: Sequence[Fate], facts: Facts, exact: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Layers whose units were rewritten into others, in topological order, with those units."""
    units: dict[str, list[int]] = {layer.name: [] for layer in facts.layers if layer.name not in exact}
    for fate in fates:
        if fate.what in ("merged", "folded") and fate.layer in units:
            units[fate.layer].append(fate.unit)
    return [(name, tuple(chosen)) for name, chosen in units.items() if chosen]


def _hide_active(layer: LayerFacts) -> LayerFacts:
    """The layer as seen by a pass that must not compute new weights for it."""
    return replace(layer, status=np.where(layer.status == Status.ACTIVE, Status.UNDECIDED, layer.status))


def _fixpoint(
    chain: Chain, passes: Sequence[str], facts: Mapping[str, LayerFacts], exact: Sequence[str]
) -> tuple[Chain, tuple[Fate, ...], tuple[Declined, ...]]:
    guarded = {name: _hide_active(layer) if name in exact else layer for name, layer in facts.items()}
    fates: list[Fate] = []
    declined: tuple[Declined, ...] = ()
    while True:
        before = chain
        declined = ()
        for name in passes:
            rewrite = REGISTRY[name]()
            result = rewrite(chain, guarded if rewrite.rounds else facts)
            _check(name, chain, result)
            chain = result.chain
            fates += result.fates
            declined += result.declined
        if chain is before:
            return chain, tuple(fates), declined


def _check(name: str, before: Chain, result: Rewritten) -> None:
    """Post-conditions of every pass: shapes fit, numbers are finite, and just the units with a fate went.

    Raises:
        InputError: `transform/overflow` where numbers that were extreme before are not finite any more.
        ContradictionError: `transform/postcondition`.
    """
    after = result.chain
    gone = before.relu_count - after.relu_count
    width = before.layers[0].weight.shape[1] if before.layers else before.weight.shape[1]
    sizes = [width, *(layer.size for layer in after.layers), before.bias.size]
    weights = [*(layer.weight for layer in after.layers), after.weight]
    biases = [*(layer.bias for layer in after.layers), after.bias]
    shapes = [
        w.shape == (n, m) and b.shape == (n,) for w, b, m, n in zip(weights, biases, sizes[:-1], sizes[1:], strict=True)
    ]
    finite = all(np.isfinite(array).all() for array in (*weights, *biases))
    if not finite and _is_extreme(before):
        for array in (*weights, *biases):
            require_finite(array, "float64")
    if gone != len(result.fates) or not all(shapes) or not finite or (result.chain is before) != (gone == 0):
        raise ContradictionError(
            "transform/postcondition",
            f"the pass {name} broke an invariant of the chain",
            value=f"{gone} units went, {len(result.fates)} reported; shapes {all(shapes)}, finite {finite}",
            hint="this is a defect of eqverify; please report it with the files",
        )


def _is_extreme(chain: Chain) -> bool:
    """Whether products or quotients of weights can leave the range of float64, a few in a row."""
    arrays = [chain.weight, chain.bias, *(a for layer in chain.layers for a in (layer.weight, layer.bias))]
    sizes = np.abs(np.concatenate([array.reshape(-1) for array in arrays]))
    return bool((sizes > _LARGE).any() or ((sizes > 0) & (sizes < 1 / _LARGE)).any())
