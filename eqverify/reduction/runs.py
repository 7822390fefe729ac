"""How far runs of the reduced network can be from runs of the original: eps, and what either rounds."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Interval
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.reading import SIMPLIFIED
from eqverify.runtime_error import domain_errors
from eqverify.stability.facts import Facts

_ABOVE = 1 + 2.0**-50


def run_epsilons(
    problem: Problem, facts: Facts, network: Network, epsilons: FloatArray, late: bool = False
) -> tuple[FloatArray | None, str]:
    """Bounds on |run of the original - run of the reduced network| on the domain's inputs that float32 holds (F-3).

    Args:
        problem: the original on its domain.
        facts: about its units; believed, as they are for eps.
        network: the reduced network, as it was read back.
        epsilons: (output_size,) the proved eps.
        late: whether there is no time for it.

    Returns:
        (output_size,) bounds for all float32 runs of the runtime model (specs/runtime.md), or None; and why there are
        none.
    """
    original = problem.stored or problem.network
    unmodelled = [name for name in problem.reading.unmodelled if problem.stored is None or name != SIMPLIFIED]
    if problem.assumed is not None:
        return None, "the networks are compared on a disjunct only"
    if {original.element, network.element} != {"float32"}:
        return None, "the networks do not both run in float32"
    if unmodelled:
        return None, f"how these are rounded is not known: {', '.join(unmodelled)}"
    if late:
        return None, "no time was left for it"
    boxes = [part.box for part in problem.domain.polytopes]
    known = {layer.source: Interval(layer.lower[None], layer.upper[None]) for layer in facts.layers}
    known = known if original is problem.network else {}
    found = (epsilons + domain_errors(original, boxes, known) + domain_errors(network, boxes)) * _ABOVE
    return (found, "") if np.isfinite(found).all() else (None, "numbers may leave the range of float32")
