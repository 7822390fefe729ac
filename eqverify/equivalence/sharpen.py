"""Bounds of one network that rest on more than CROWN, for networks whose units do not correspond one to one.

What a reduction removed because it was proved stable is a unit of f without partner unless it is proved stable here
too.  The proof is that of `reduce`, of what these units need only: the network ends behind the last of them, and the
proof once all of them are stable.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import IntArray
from eqverify.bounds import Interval
from eqverify.bounds.pullback import ancestors
from eqverify.domain import Domain, Polytope
from eqverify.network import Affine, Network, Port, Relu, Selection, Term
from eqverify.problem import domain_problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability


def sharpen(
    network: Network, bounds: dict[str, Interval], units: IntArray, part: Polytope, seconds: float, seed: int
) -> tuple[dict[str, Interval], str]:
    """Bounds with what the portfolio of stability proves about pre-activations on the box of a part.

    Other units keep their bounds: were one found stable and its partner not, neither would have a partner any more.

    Args:
        network: the network.
        bounds: proved intervals of all nodes on the part's box, (1, n) each.
        units: (k, 2) the units in question, at least one: number of the ReLU layer and number there.
        part: the part; its linear constraints are not used, so that the result holds on its whole box.
        seconds: time limit.
        seed: of random points and solver.

    Returns:
        The intervals, and the solver's description where its word was taken, else empty.
    """
    asked = {network.relus[k]: units[units[:, 0] == k, 1] for k in np.unique(units[:, 0]).tolist()}
    head = _head(network, asked)
    last, end = list(asked)[-1], head.relus[-1].source
    # Where the questions stand in the head: (pre-activation node there, units there) by ReLU node of the network.
    places = {relu: (relu.source, own) for relu, own in asked.items()} | {last: (end, np.arange(asked[last].size))}

    def enough(known: Mapping[str, Interval]) -> bool:
        return all(
            bool(((known[node].lower >= 0) | (known[node].upper <= 0))[:, own].all()) for node, own in places.values()
        )

    options = StabilityOptions(time_limit=seconds, unit_time_limit=min(2.0, seconds), seed=seed)
    problem = domain_problem(head, Domain((Polytope(part.box),)))
    facts = prove_stability(problem, options, enough=enough)
    proved = {layer.source: layer for layer in facts.layers}
    sharper = dict(bounds)
    for relu, (node, there) in places.items():
        size = network.sizes[relu.name]
        lower, upper = np.full((1, size), -np.inf), np.full((1, size), np.inf)
        lower[0, asked[relu]], upper[0, asked[relu]] = proved[node].lower[there], proved[node].upper[there]
        sharper[relu.source] = sharper[relu.source].intersect(Interval(lower, upper), relu.source)
    for relu in network.relus:
        sharper[relu.name] = sharper[relu.source].relu()
    return sharper, facts.solver if facts.evidence_counts()["solver"] else ""


def _head(network: Network, asked: Mapping[Relu, IntArray]) -> Network:
    """What the units in question depend on, and they; of the last layer with any, these alone, behind nodes of its own.

    Args:
        network: the network.
        asked: by ReLU node, in topological order, the units in question.
    """
    last, own = list(asked.items())[-1]
    wanted = {last.source}.union(*({relu.name, relu.source} for relu in asked if relu is not last))
    wanted = wanted.union(*(ancestors(network, name) for name in wanted if name in network.by_name))
    nodes = [node for node in network.nodes if node.name in wanted]
    chosen, end = (_fresh(network, name) for name in ("asked", "end"))
    selection = Selection(own, network.sizes[last.source])
    nodes += [Affine(chosen, (Term(last.source, selection),), np.zeros(own.size)), Relu(end, chosen)]
    return Network(network.inputs, tuple(nodes), (Port(end, (own.size,), "float64", end),))


def _fresh(network: Network, name: str) -> str:
    """A name that no node or input has."""
    while name in network.sizes:
        name += "_"
    return name
