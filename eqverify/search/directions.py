"""Where rows of a network's values point on a box: slopes of their linear bounds, and bounds on their derivatives.

Both only choose what is halved and tried next; nothing is proved with them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Bounds
from eqverify.bounds.pullback import PullbackContext, relaxations_of
from eqverify.network import Network, Product, Relu, Smooth

_UNITS = 0.5
"""Weight of the derivatives beside the linear bounds: splitting by these alone stalls on large boxes, by the
derivatives alone on small ones."""

_MUCH, _ELSEWHERE = 0.03, 1e-6
"""A unit whose line costs less than that share of the most expensive one's, at the corner of the bound, comes last."""

Rows = Mapping[str, FloatArray]
"""By input or node, (boxes or 1, m, size) coefficients on its components."""


def ground_of(network: Network, bounds: Bounds) -> PullbackContext:
    """What pullbacks over boxes share, with default slopes, as far as there are bounds."""
    return PullbackContext(network, bounds, relaxations_of(network, bounds))


def blamed(slopes: FloatArray, sizes: FloatArray, width: FloatArray) -> FloatArray:
    """How much each input matters for rows, (..., n).

    Args:
        slopes: (..., n) of the rows' linear bounds.
        sizes: (..., n) bounds on their derivatives.
        width: of the boxes, likewise.
    """
    return _share(np.abs(slopes) * width) + _UNITS * _share(sizes * width)


def _share(size: FloatArray) -> FloatArray:
    """Sizes (..., n) as shares of their sum."""
    return np.asarray(size / np.maximum(size.sum(axis=-1, keepdims=True), 1e-300))


def steepness(ground: PullbackContext, rows: Rows, count: int = 1) -> FloatArray:
    """(boxes, count, input_size) bounds on the derivatives of sums of rows on each box, up to rounding.

    Not those of the linear bounds: these may be flat in an input that only decides signs of units, or where rows pull
    in opposite directions, and it is just there that halving helps (Wang et al. 2018, ReluVal, arXiv 1804.10829).
    """
    lowest, highest = dict(rows), dict(rows)
    for node in reversed(ground.network.nodes):
        if node.name not in lowest:
            continue
        low, high = lowest.pop(node.name), highest.pop(node.name)
        if isinstance(node, Relu):
            z = ground.bounds[node.source]
            active, inactive = (z.lower >= 0)[:, None], (z.upper <= 0)[:, None]
            low, high = (np.where(active, a, b) for a, b in ((low, np.minimum(low, 0)), (high, np.maximum(high, 0))))
            pairs = [(node.source, np.where(inactive, 0, low), np.where(inactive, 0, high))]
        elif isinstance(node, Smooth):
            z = ground.bounds[node.argument]
            ends = [e[:, None] for e in node.function.slope_range(z.lower, z.upper)]
            with np.errstate(invalid="ignore"):
                corners = np.stack([row * end for row in (low, high) for end in ends])
            pairs = [(node.argument, corners.min(axis=0), corners.max(axis=0))]
        elif isinstance(node, Product):
            pairs = []
            for source, factor in ((node.left, node.right), (node.right, node.left)):
                z = ground.bounds[factor]
                corners = np.stack([row * end[:, None] for row in (low, high) for end in (z.lower, z.upper)])
                pairs.append((source, corners.min(axis=0), corners.max(axis=0)))
        else:
            pairs = []
            for term in node.terms:
                middle, spread = term.map.backward((low + high) / 2), term.map.absolute().backward((high - low) / 2)
                pairs.append((term.source, middle - spread, middle + spread))
        for name, a, b in pairs:
            lowest[name], highest[name] = lowest.get(name, 0.0) + a, highest.get(name, 0.0) + b
    sizes = []
    for port in ground.network.inputs:
        size = np.maximum(np.abs(lowest.get(port.name, 0.0)), np.abs(highest.get(port.name, 0.0)))
        sizes.append(np.broadcast_to(size, (ground.boxes, count, port.size)))
    return np.asarray(np.nan_to_num(np.concatenate(sizes, axis=2)))


def split_worth(here: FloatArray, most: FloatArray) -> FloatArray:
    """How much splits of units are worth, (rows, units): what their lines cost at most, of those that cost much `here`.

    Args:
        here: (rows, units) what lines cost at the corner that a bound is from.
        most: (rows, units) what they cost at most.
    """
    return np.where(here > _MUCH * here.max(axis=1, initial=0.0, keepdims=True), most, _ELSEWHERE * most)
