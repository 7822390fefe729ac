"""Chooses the shape in which a network is written.

``sequential``, the default, is the chain with fewest ReLUs among the normal form with carriers, LEO's passes and the
original's own graph without channels and units that show nothing.  Where a chain of dense layers would have more than
`EXPLODED` weights, and more than the network, that graph is written instead.

``auto`` takes, among all shapes whose eps is within its limit, the one with the least cost: the products of an
evaluation plus `RELU_PRODUCTS` per ReLU.  A verifier's bounds cost products (of a convolution many more than it has
weights) and an undecided ReLU costs it a case split; the exchange rate is a convention, not a measurement.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eqverify.errors import InputError
from eqverify.numerals import at_most
from eqverify.problem import Problem
from eqverify.stability.facts import Facts
from eqverify.transform.passes import ROUNDING
from eqverify.transform.result import Transformed, TransformOptions
from eqverify.transform.shapes import REALISATIONS, Work, unchanged

FLOAT64_HINT = "float64 weights (--dtype float64) keep it small"
"""What to do about an eps above its limit."""

_NEW_WEIGHTS = ("sequential", "residual", "leo")
"""Shapes that compute weights."""

EXPLODED = 1 << 24
"""Weights of a chain (64 MB as float32) above which the original's graph is preferred."""

_IMPOSSIBLE = ("transform/overflow", "transform/too-large", "network/too-large")
"""Errors of a shape that say only that it is none for this network."""

RELU_PRODUCTS = 4096
"""How many products a ReLU counts for in the cost of ``auto``."""


@np.errstate(over="ignore", invalid="ignore", divide="ignore")  # nothing that a rewrite computes is trusted
def transform(problem: Problem, facts: Facts, options: TransformOptions | None = None) -> Transformed:
    """Rewrite the network of a problem by what is known about its units.

    Args:
        problem: network and domain.
        facts: proved for just this problem.
        options: shape and element type.

    Returns:
        The reduced network, equivalent on the domain up to `epsilon` if the facts hold.

    Raises:
        UsageError: the facts are about another problem.
        InputError: the network is no chain (``leo`` only); `transform/overflow`, `transform/too-large`,
            `network/too-large` where no shape can be made and the network cannot be written as it is.
        ContradictionError: a pass broke an invariant.
    """
    options = options or TransformOptions()
    facts.require(problem)
    start = time.perf_counter()
    work = Work(problem, facts, options)
    candidates = _candidates(work)
    best = _chosen(candidates, work)
    return replace(best, seconds={"transform": time.perf_counter() - start})


def _candidates(work: Work) -> list[Transformed]:
    """What the shape asked for allows; the network's own graph first, so that it wins where all are equal."""
    shape = work.options.shape
    if shape == "structured":
        return [REALISATIONS[shape](work)]
    if work.problem.network.smooth:  # other shapes know nothing of what smooth nodes read
        return [REALISATIONS["structured"](work)] if work.keeps_weights else [unchanged(work.problem)]
    candidates = [REALISATIONS["structured"](work)] if work.keeps_weights and shape != "leo" else []
    if candidates and shape != "auto" and candidates[0].network.relu_count == 0 and not candidates[0].epsilon.any():
        return candidates  # nothing is better
    refused: list[InputError | TimeoutError] = []

    def attempt(name: str) -> None:
        try:
            candidates.append(REALISATIONS[name](work))
        except (InputError, TimeoutError) as error:
            if isinstance(error, InputError) and error.code not in _IMPOSSIBLE:
                raise
            refused.append(error)
            work.refused.append(f"no {name}: {error.message if isinstance(error, InputError) else 'time limit'}")

    if shape in ("sequential", "auto"):
        attempt("sequential")
    if shape == "leo" or (shape != "residual" and _wants_leo(work, candidates, bool(refused))):
        attempt("leo")
    if shape in ("residual", "auto"):
        attempt("residual")
    if not candidates and not work.keeps_weights:
        raise refused[0]
    return candidates or [unchanged(work.problem)]


def _wants_leo(work: Work, candidates: Sequence[Transformed], refused: bool) -> bool:
    """Whether LEO's passes are worth a try; more so where there is no good chain."""
    return work.leo_is_cheap(refused or candidates[-1].worst > work.options.max_epsilon)


def _chosen(candidates: Sequence[Transformed], work: Work) -> Transformed:
    """The best candidate, with why it is the best and whether float64 weights would make a better one."""
    limit = work.options.max_epsilon

    def order(candidate: Transformed) -> tuple[bool, int, float]:
        relus, products = candidate.network.relu_count, candidate.network.products
        cost = products + RELU_PRODUCTS * relus if work.options.shape == "auto" else relus
        return candidate.worst > limit, cost, candidate.worst

    own = candidates[0]
    room = work.options.density * work.problem.network.products
    sparse = [c for c in candidates if c.network.products <= room]
    best = min(sparse if work.keeps_weights and sparse else candidates, key=order)
    note = "" if len(sparse) == len(candidates) else f"; left out: over {work.options.density:g} times the products"
    most = max(EXPLODED, work.problem.network.parameter_count)
    if work.options.shape == "sequential" and best.network.parameter_count > most and work.keeps_weights:
        note = f"; a chain would have {best.network.parameter_count} weights"
        best = own
    others = "; ".join([*(_described(c) for c in candidates if c is not best), *work.refused])
    reason = best.shape + (f", rather than {others}" if others else "") + note
    avoided = [c for c in candidates if c.worst > limit and c.network.relu_count < best.network.relu_count]
    exempted = any(place.rewrite == ROUNDING for place in best.declined)
    if best.worst > limit:
        reason += f"; eps is above {limit:.0e}"
    elif avoided or exempted:
        reason += f"; fewer ReLUs would bring eps above {limit:.0e}"
    # the network's own graph has the weights that it had: other ones do not come into it
    limited = (best.worst > limit and best.shape in _NEW_WEIGHTS) or bool(avoided) or exempted
    wants = limited and work.options.dtype == "float32"
    return replace(best, choice=reason + (f": {FLOAT64_HINT}" if wants else ""), wants_float64=wants)


def _described(candidate: Transformed) -> str:
    network, eps = candidate.network, at_most(candidate.worst, 2)
    counts = f"{network.relu_count} ReLUs, {network.parameter_count} weights, {network.products} products"
    return f"{candidate.shape}: {counts}, eps {eps}"
