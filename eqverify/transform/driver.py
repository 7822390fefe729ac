"""Runs passes to a fixpoint, checks what they did, writes the result as a network and proves its eps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import ContradictionError, UsageError
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, LayerFacts, Status
from eqverify.transform import leo
from eqverify.transform.base import REGISTRY, Declined, Fate, Rewritten
from eqverify.transform.chain import Chain, Meaning, chain_of
from eqverify.transform.deviation import prove_deviation
from eqverify.transform.realise import Element, realise

LEO: tuple[str, ...] = tuple(
    rewrite.name
    for rewrite in (leo.CollapseConstant, leo.RemoveInactive, leo.MergeDependent, leo.FoldStable, leo.DropDead)
)
"""The order in which the driver applies LEO's passes in each round."""


@dataclass(frozen=True, slots=True)
class TransformOptions:
    """Options of the rewriting.

    Attributes:
        passes: names of registered passes, applied in this order until none changes anything.
        dtype: type of the written weights.
        max_epsilon: passes that compute new weights leave layers alone, from the first on, until the proved deviation
            is at most this; infinity never does that.
    """

    passes: tuple[str, ...] = LEO
    dtype: Element = "float32"
    max_epsilon: float = 1e-4

    def __post_init__(self) -> None:
        for name in self.passes:
            if name not in REGISTRY:
                raise UsageError("usage/pass", "unknown pass", value=name, hint=f"known: {', '.join(REGISTRY)}")
        if self.dtype not in ("float32", "float64"):
            raise UsageError("usage/dtype", "unknown element type", value=self.dtype, hint="use float32 or float64")


@dataclass(frozen=True, slots=True, eq=False)
class Transformed:
    """A reduced network with the proof of what it changes.

    Attributes:
        network: the reduced network, its weights already numbers of the wanted type.
        meanings: by its ReLU nodes, the original units they stand for.
        epsilon: (output_size,) proved bounds on |original - reduced| over the domain.
        fates: units that went, with what happened to each.
        declined: why others stayed, by pass.
        seconds: measured wall time.
    """

    network: Network
    meanings: Mapping[str, Meaning]
    epsilon: FloatArray
    fates: tuple[Fate, ...]
    declined: tuple[Declined, ...]
    seconds: Mapping[str, float] = field(default_factory=dict)


def transform(problem: Problem, facts: Facts, options: TransformOptions | None = None) -> Transformed:
    """Rewrite the network of a problem by what is known about its units.

    Args:
        problem: network and domain.
        facts: proved for just this problem.
        options: passes and element type.

    Returns:
        The reduced network, equivalent on the domain up to `epsilon` if the facts hold.

    Raises:
        UsageError: the facts are about another problem.
        InputError: the network is no chain, or a weight overflows.
        ContradictionError: a pass broke an invariant.
    """
    options = options or TransformOptions()
    facts.require(problem)
    start = time.perf_counter()
    chain = chain_of(problem.network)
    exact: list[str] = []
    refused: list[Declined] = []
    while True:
        result = _attempt(problem, facts, chain, options, exact)
        worst = float(result.epsilon.max(initial=0.0))
        rounding = _rounding_layers(result, facts, exact)
        if worst <= options.max_epsilon or not rounding:
            seconds = {"transform": time.perf_counter() - start}
            return replace(result, declined=(*refused, *result.declined), seconds=seconds)
        name, units = rounding[0]
        reason = f"new weights would bring eps to {worst:.1e}, above {options.max_epsilon:.1e}"
        refused.append(Declined("rounding", name, units, reason))
        exact.append(name)


def _attempt(
    problem: Problem, facts: Facts, chain: Chain, options: TransformOptions, exact: Sequence[str]
) -> Transformed:
    """One way through: rewrite, with no new weights for the layers in `exact`, write, prove eps."""
    chain, fates, declined = _fixpoint(chain, options.passes, facts.by_name(), exact)
    network, meanings = realise(chain, problem.network, options.dtype)
    return Transformed(network, meanings, prove_deviation(problem, facts, network, meanings), fates, declined)


def _rounding_layers(result: Transformed, facts: Facts, exact: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Layers whose units were rewritten into others, in topological order, with those units."""
    units: dict[str, list[int]] = {layer.name: [] for layer in facts.layers if layer.name not in exact}
    for fate in result.fates:
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
    """Post-conditions of every pass: shapes fit, numbers are finite, and just the units with a fate went."""
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
    if gone != len(result.fates) or not all(shapes) or not finite or (result.chain is before) != (gone == 0):
        raise ContradictionError(
            "transform/postcondition",
            f"the pass {name} broke an invariant of the chain",
            value=f"{gone} units went, {len(result.fates)} reported; shapes {all(shapes)}, finite {finite}",
            hint="this is a defect of eqverify; please report it with the files",
        )
