"""Bounds of one network that rest on more than CROWN, for networks whose units do not correspond one to one.

What a reduction removed because it was proved stable is a unit of f without partner unless it is proved stable here
too.
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import IntArray
from eqverify.bounds import Interval
from eqverify.domain import Domain, Polytope
from eqverify.network import Network
from eqverify.problem import domain_problem
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.trust import NOBODY, Trust


def sharpen(
    network: Network,
    bounds: dict[str, Interval],
    units: IntArray,
    part: Polytope,
    seconds: float,
    seed: int,
    trust: Trust = NOBODY,
) -> tuple[dict[str, Interval], str]:
    """Bounds with what the portfolio of stability proves about pre-activations on the box of a part.

    Other units keep their bounds: were one found stable and its partner not, neither would have a partner any more.

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the part's box, (1, n) each.
        units: (k, 2) the units in question: number of the ReLU layer and number there.
        part: the part; its linear constraints are not used, so that the result holds on its whole box.
        seconds: time limit.
        seed: of random points and solver.
        trust: whose claims are taken for facts.

    Returns:
        The intervals, and the solver's description where its word was taken, else empty.
    """
    options = StabilityOptions(time_limit=seconds, seed=seed, trust=trust)
    layers = {network.relus[number]: units[units[:, 0] == number, 1] for number in np.unique(units[:, 0]).tolist()}
    asked = {node.source: np.isin(np.arange(network.sizes[node.name]), own) for node, own in layers.items()}
    prefix = network.until(*(node.name for node in layers))
    facts = prove_stability(domain_problem(prefix, Domain((Polytope(part.box),))), options, asked=asked)
    sharper = dict(bounds)
    for layer in facts.layers:
        if layer.source not in asked:
            continue
        lower = np.where(layer.mask(Status.ACTIVE), np.maximum(layer.lower, 0.0), layer.lower)
        upper = np.where(layer.mask(Status.INACTIVE), np.minimum(layer.upper, 0.0), layer.upper)
        own = asked[layer.source]
        known = Interval(np.where(own, lower, -np.inf)[None], np.where(own, upper, np.inf)[None])
        sharper[layer.source] = sharper[layer.source].intersect(known, layer.source)
    for node in network.relus:
        sharper[node.name] = sharper[node.source].relu()
    return sharper, facts.solver if facts.trusts else ""
