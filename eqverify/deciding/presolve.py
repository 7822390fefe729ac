"""Which rows of a condition are positive on a whole box, by bounds alone: disjuncts with such a row are unsat."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import BoolArray
from eqverify.bounds import Bounds, Interval, crown_bounds, optimise_slopes
from eqverify.domain import Box
from eqverify.network import Network, join_outputs


def output_bounds(network: Network, box: Box, known: Bounds | None = None) -> dict[str, Interval]:
    """CROWN's bounds of all nodes, (1, n), and those of outputs with optimised slopes where CROWN leaves all rows open.

    Args:
        network: its outputs are rows of a condition.
        box: the inputs.
        known: proved intervals of some nodes, (1, n).

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    lower, upper = box.lower[None], box.upper[None]
    bounds = crown_bounds(network, lower, upper, known, outputs=True)
    if positive_rows(network, bounds).all():
        return bounds
    targets = {port.source: bounds[port.source].lower[0] <= 0 for port in network.outputs}
    return dict(optimise_slopes(network, lower, upper, bounds, targets).bounds)


def positive_rows(network: Network, bounds: dict[str, Interval]) -> BoolArray:
    """(output_size,) which outputs are positive on the whole box."""
    lower = join_outputs(network, {port.source: bounds[port.source].lower for port in network.outputs})
    return np.asarray(lower[0] > 0)
