"""Chooses and runs the ways of rewriting, writes the result as a network and proves its eps."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.errors import ContradictionError, UsageError
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.stability.facts import Facts, LayerFacts, Status
from eqverify.transform import leo
from eqverify.transform.base import REGISTRY, Declined, Fate, Rewritten
from eqverify.transform.carriers import sequential_chain
from eqverify.transform.chain import Chain, chain_of, is_chain
from eqverify.transform.deviation import is_single, prove_deviation
from eqverify.transform.normal_form import normal_form
from eqverify.transform.realise import Element, realise
from eqverify.transform.reduced_form import ReducedForm, reduced_form
from eqverify.transform.simplify import drop_dead, simplify
from eqverify.transform.tiers import merge_tiers
from eqverify.transform.unit_map import Group, Meaning, Relation

LEO: tuple[str, ...] = tuple(
    rewrite.name
    for rewrite in (leo.CollapseConstant, leo.RemoveInactive, leo.MergeDependent, leo.FoldStable, leo.DropDead)
)
"""The order in which the driver applies LEO's passes in each round."""

_LEO_ENTRIES = 2_000_000
"""LEO's passes are tried by ``auto`` where all layers together have at most so many weights as dense matrices, or
twenty times as many where carriers would bring eps above the limit."""

TOLERANCES: dict[Element, tuple[float, ...]] = {"float32": (2.0**-33, 2.0**-20), "float64": (2.0**-44,)}
"""Residuals up to this share of a row's reach count as zero in simplifications, smallest first.  The larger one of
float32 finds what was exact before weights were rounded to that type; it is used where eps stays within its limit."""

Rewriting = Literal["auto", "carriers", "leo"]
Maker = Literal["carriers", "leo", "unchanged"]


@dataclass(frozen=True, slots=True)
class TransformOptions:
    """Options of the rewriting.

    Attributes:
        rewriting: ``carriers`` realises the normal form as a chain with carriers, ``leo`` applies LEO's passes,
            ``auto`` tries both where that is cheap, and the network as it is, and takes the one with fewest ReLUs, then
            with the smallest eps.
        passes: for ``leo``, names of registered passes, applied in this order until none changes anything.
        dtype: type of the written weights.
        max_epsilon: results with a larger proved deviation are avoided: ``auto`` then prefers ``leo``, where passes
            that compute new weights leave layers alone, from the first on, until the deviation is at most this.
    """

    rewriting: Rewriting = "auto"
    passes: tuple[str, ...] = LEO
    dtype: Element = "float32"
    max_epsilon: float = 1e-4

    def __post_init__(self) -> None:
        if self.rewriting not in ("auto", "carriers", "leo"):
            raise UsageError(
                "usage/rewriting", "unknown way of rewriting", value=self.rewriting, hint="use auto, carriers or leo"
            )
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
        meanings: by its ReLU nodes, what their units stand for.
        relations: what units without a counterpart equal, as far as the proof needs it.
        epsilon: (output_size,) proved bounds on |original - reduced| over the domain.
        rewriting: how it was made; ``unchanged`` where no rewriting gained anything.
        choice: why that way and not the other, in one clause.
        fates: units that went though the facts leave them open (for ``leo``: all that went), and what happened to each.
        declined: why others stayed, by pass.
        seconds: measured wall time.
    """

    network: Network
    meanings: Mapping[str, Meaning]
    epsilon: FloatArray
    rewriting: Maker
    choice: str = ""
    relations: tuple[Relation, ...] = ()
    fates: tuple[Fate, ...] = ()
    declined: tuple[Declined, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def worst(self) -> float:
        """The largest deviation."""
        return float(self.epsilon.max(initial=0.0))


def transform(problem: Problem, facts: Facts, options: TransformOptions | None = None) -> Transformed:
    """Rewrite the network of a problem by what is known about its units.

    Args:
        problem: network and domain.
        facts: proved for just this problem.
        options: way of rewriting and element type.

    Returns:
        The reduced network, equivalent on the domain up to `epsilon` if the facts hold.

    Raises:
        UsageError: the facts are about another problem.
        InputError: the network is no chain (``leo`` only), or a weight overflows.
        ContradictionError: a pass broke an invariant.
    """
    options = options or TransformOptions()
    facts.require(problem)
    start = time.perf_counter()
    candidates = []
    if options.rewriting == "auto" and (options.dtype == "float64" or is_single(problem.network)):
        candidates.append(_unchanged(problem))  # first, so that it wins where all are equal
    if options.rewriting != "leo":
        candidates.append(_by_carriers(problem, facts, options))
    exceeds = bool(candidates) and candidates[-1].worst > options.max_epsilon
    if options.rewriting == "leo" or (options.rewriting == "auto" and _leo_is_cheap(problem.network, exceeds)):
        candidates.append(_by_leo(problem, facts, options))
    best = min(candidates, key=lambda c: (c.worst > options.max_epsilon, c.network.relu_count, c.worst))
    return replace(
        best, choice=_reason(best, candidates, options.max_epsilon), seconds={"transform": time.perf_counter() - start}
    )


def _reason(best: Transformed, candidates: Sequence[Transformed], limit: float) -> str:
    listed = [best, *(c for c in candidates if c is not best)]
    reason = "; ".join(f"{c.rewriting}: {c.network.relu_count} ReLUs, eps {c.worst:.1e}" for c in listed)
    if min(c.network.relu_count for c in candidates) < best.network.relu_count:
        reason += f"; fewer ReLUs would bring eps above {limit:.0e}: float64 weights keep it small"
    return reason


def _unchanged(problem: Problem) -> Transformed:
    """The network itself: equal everywhere."""
    network = problem.network
    meanings = {node.name: Meaning((Group(node.name, np.arange(network.sizes[node.name])),)) for node in network.relus}
    return Transformed(network, meanings, np.zeros(network.output_size), "unchanged")


def _leo_is_cheap(network: Network, needed: bool) -> bool:
    """Whether the network is a chain whose layers are small enough as dense matrices; `needed` allows for more."""
    sizes = [network.input_size, *(network.sizes[node.name] for node in network.relus), network.output_size]
    return is_chain(network) and sum(a * b for a, b in pairwise(sizes)) <= _LEO_ENTRIES * (20 if needed else 1)


def _by_carriers(problem: Problem, facts: Facts, options: TransformOptions) -> Transformed:
    form = reduced_form(normal_form(problem, facts))
    *loose, exact = _simplified(form, options.dtype)
    for simple in loose:
        result = _carried(problem, facts, simple, options)
        if result.worst <= options.max_epsilon:
            return result
    return _carried(problem, facts, exact, options)


def _simplified(form: ReducedForm, element: Element) -> list[ReducedForm]:
    """The form simplified with residuals as large as the type's rounding, smaller, and without any; fewest units first.

    Forms with as many units as a later one are left out.
    """
    forms = [drop_dead(form, 0.0)]
    for tolerance in TOLERANCES[element]:
        simple = simplify(form, tolerance)
        if simple.units < forms[0].units:
            forms.insert(0, simple)
    return forms


def _carried(problem: Problem, facts: Facts, form: ReducedForm, options: TransformOptions) -> Transformed:
    chain = sequential_chain(merge_tiers(form, options.dtype), options.dtype)
    result = _finish("carriers", problem, facts, chain, options, form.relations)
    return replace(result, fates=form.fates, declined=form.declined)


def _finish(
    rewriting: Maker,
    problem: Problem,
    facts: Facts,
    chain: Chain,
    options: TransformOptions,
    relations: tuple[Relation, ...] = (),
) -> Transformed:
    """Write a chain in the wanted type and prove its eps."""
    network, meanings = realise(chain, problem.network, options.dtype)
    epsilon = prove_deviation(problem, facts, network, meanings, relations)
    return Transformed(network, meanings, epsilon, rewriting, relations=relations)


def _by_leo(problem: Problem, facts: Facts, options: TransformOptions) -> Transformed:
    chain = chain_of(problem.network)
    exact: list[str] = []
    refused: list[Declined] = []
    while True:
        rewritten, fates, declined = _fixpoint(chain, options.passes, facts.by_name(), exact)
        result = _finish("leo", problem, facts, rewritten, options)
        rounding = _rounding_layers(fates, facts, exact)
        if result.worst <= options.max_epsilon or not rounding:
            return replace(result, fates=fates, declined=(*refused, *declined))
        name, units = rounding[0]
        reason = f"new weights would bring eps to {result.worst:.1e}, above {options.max_epsilon:.1e}"
        refused.append(Declined("rounding", name, units, reason))
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
