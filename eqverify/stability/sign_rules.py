"""Units whose sign follows from the signs of all summands: no rounding, so that ties at zero are decided too.

A unit of an L1-regularised network often reads nothing, or one earlier unit with a negative weight: its pre-activation then
is 0 at most, and reaches 0.  Bounds that are rounded outwards, and solvers with tolerances, cannot say so.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Interval
from eqverify.network import Affine, Dense, Network
from eqverify.stability.facts import FactTable


def sign_bounds(network: Network, table: FactTable, lower: FloatArray, upper: FloatArray) -> Mapping[str, Interval]:
    """Bounds at zero of pre-activations whose summands all have one sign.

    Args:
        network: the network; dense layers are looked at.
        table: bounds of the earlier pre-activations.
        lower: (parts, input_size) of the inputs.
        upper: (parts, input_size).

    Returns:
        By pre-activation node, (parts, n): 0 where a sign follows, infinite elsewhere.  Trusted: comparisons only, and
        the bounds of `table`.
    """
    ranges: dict[str, tuple[FloatArray, FloatArray]] = {}
    start = 0
    for port in network.inputs:
        ranges[port.name] = lower[:, start : start + port.size], upper[:, start : start + port.size]
        start += port.size
    for relu in network.relus:
        known = table.bounds[relu.source].relu()
        ranges[relu.name] = known.lower, known.upper
    found = {}
    for relu in network.relus:
        node = network.by_name.get(relu.source)
        if isinstance(node, Affine) and all(isinstance(t.map, Dense) and t.source in ranges for t in node.terms):
            found[node.name] = _signs(node, ranges, lower.shape[0])
    return found


def _signs(node: Affine, ranges: Mapping[str, tuple[FloatArray, FloatArray]], parts: int) -> Interval:
    """A summand w x can be positive where w > 0 and x can be, or w < 0 and x can be negative; counts are exact."""
    positive = np.broadcast_to(node.bias > 0, (parts, node.size)).astype(np.float64)
    negative = np.broadcast_to(node.bias < 0, (parts, node.size)).astype(np.float64)
    for term in node.terms:
        weight = term.map.dense()
        plus, minus = (weight > 0).astype(np.float64).T, (weight < 0).astype(np.float64).T
        low, high = ranges[term.source]
        above, below = (high > 0).astype(np.float64), (low < 0).astype(np.float64)
        positive = positive + above @ plus + below @ minus
        negative = negative + above @ minus + below @ plus
    return Interval(np.where(negative == 0, 0.0, -np.inf), np.where(positive == 0, 0.0, np.inf))
