"""Assumed constraints on outputs and inputs in pulled-back bounds (specs/bounds.md, B-9).

Where  C y + B x <= d  holds, nu (d - C y - B x) is not negative for any multipliers nu >= 0; so an upper bound of
R z + nu (d - C y - B x) over the box is one of R z on the inputs that satisfy the constraints (Kotha et al. 2023, arXiv
2302.01404).  The outputs stand behind z, so that every layer gains, the first included.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.pullback import Pullback, Row, ancestors
from eqverify.domain import Assumption
from eqverify.network import Affine, Dense, Network, Term, gamma


def assumed_parts(network: Network, assumed: Assumption) -> Iterator[tuple[str, FloatArray]]:
    """The constraints by input or node: (name, (k, size) coefficients) for all that occur; names may repeat."""
    for ports, matrix in ((network.outputs, assumed.outputs), (network.inputs, assumed.inputs)):
        start = 0
        for port in ports:
            part = matrix[:, start : start + port.size]
            start += port.size
            if part.any():
                yield port.source, part


def assumed_node(network: Network, assumed: Assumption) -> Affine:
    """C y + B x - d  as an affine node behind the network: (k,), none of it positive where the constraints hold."""
    terms = tuple(Term(name, Dense(part)) for name, part in assumed_parts(network, assumed))
    return Affine(max(network.sizes, key=len) + "_", terms, -assumed.bound)


def assumed_nodes(network: Network, assumed: Assumption) -> set[str]:
    """The nodes that the constraints read, directly or through others."""
    names = {name for name, _ in assumed_parts(network, assumed) if name in network.by_name}
    return names.union(*(ancestors(network, name) for name in names))


def add_assumed(pullback: Pullback, assumed: Assumption, nu: FloatArray) -> None:
    """Add  nu (d - C y - B x).

    Args:
        pullback: the rows so far; its ground knows bounds of all nodes that the constraints read.
        assumed: the constraints.
        nu: (boxes, m, k) multipliers, finite and not negative.
    """
    rounding = gamma(len(assumed) + 4)
    pullback.constant = pullback.constant + nu @ assumed.bound
    pullback.error = pullback.error + rounding * (nu @ np.abs(assumed.bound) + np.abs(pullback.constant))
    for name, part in assumed_parts(pullback.ground.network, assumed):
        reach = np.matmul(nu @ np.abs(part), pullback.ground.bounds[name].magnitude[:, :, None])[:, :, 0]
        pullback.error = pullback.error + rounding * reach + pullback.ground.lost(name)
        pullback.add(name, Row(-(nu @ part)))


def assumed_slack(network: Network, assumed: Assumption, values: dict[str, FloatArray]) -> FloatArray:
    """d - C y - B x, (..., k), at values (..., size) of inputs and nodes; for heuristics, not rounded outwards."""
    shape = values[network.inputs[0].name].shape[:-1]
    slack: FloatArray = np.broadcast_to(assumed.bound, (*shape, len(assumed)))
    for name, part in assumed_parts(network, assumed):
        slack = slack - values[name] @ part.T
    return slack
