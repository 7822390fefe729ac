"""CROWN: every pre-activation that intervals leave open, by linear bounds pulled back to the inputs.

Zhang et al. 2018 (arXiv 1811.00866), with the chord above and the adaptive slope below; see `eqverify.bounds.pullback`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.clipping import Forms, bounds_where, forms_of, input_box, input_slopes
from eqverify.bounds.interval import Bounds, Interval, input_intervals, interval_affine, interval_step
from eqverify.bounds.pullback import PullbackContext, Relaxation, relaxation
from eqverify.network import Affine, Dense, Network, Product

CHUNK_NUMBERS = 1 << 22
"""Coefficients held at a time on the widest node (32 MB; a pullback makes a few such arrays)."""


def open_units(z: Interval) -> BoolArray:
    """(boxes, n) bool: both signs possible as far as the interval says."""
    return np.asarray((z.lower < 0) & (z.upper > 0))


def target_units(node: Affine, wanted: BoolArray) -> IntArray:
    """Components to bound as (boxes or 1, m): at least those `wanted` (boxes, n), m as small as that allows.

    Where all maps are dense each box gets its own list, filled up with components that nobody asked for; elsewhere one
    list serves all boxes, since a row of a convolution is no cheaper than a sum of them.
    """
    if len(wanted) == 1 or not all(isinstance(term.map, Dense) for term in node.terms):
        return np.flatnonzero(wanted.any(axis=0))[None]
    most = int(wanted.sum(axis=1).max(initial=0))
    return np.argsort(~wanted, axis=1, kind="stable")[:, :most]


def widest(network: Network) -> int:
    """The most components that rows have on any node before padding of convolutions."""
    return max(network.sizes.values())


def chunks(count: int, boxes: int, width: int) -> Iterator[slice]:
    """Ranges of target units whose coefficients, two rows each, fit the limit."""
    step = max(1, CHUNK_NUMBERS // (2 * boxes * width))
    return (slice(start, start + step) for start in range(0, count, step))


def most_boxes(network: Network) -> int:
    """As many boxes as have room for two rows per unit of the widest ReLU layer."""
    width = max((network.sizes[relu.name] for relu in network.relus), default=1)
    return max(1, CHUNK_NUMBERS // (2 * width * width))


def never() -> bool:
    """Not to stop."""
    return False


def tighten(
    ground: PullbackContext, node: str, units: IntArray, stop: Callable[[], bool] = never, cut: Forms | None = None
) -> Interval:
    """Bounds of some components of an affine node.

    Args:
        ground: network, bounds and relaxations of what stands before the node.
        node: name of the node.
        units: (boxes or 1, m) components.
        stop: whether those that are left shall have none.
        cut: as in `crown_bounds`.

    Returns:
        An interval of shape (boxes, m).
    """
    parts = [
        unbounded(units[:, part]) if stop() else two_sided(ground, node, units[:, part], cut)
        for part in chunks(units.shape[1], len(units), widest(ground.network))
    ]
    return Interval(np.concatenate([p.lower for p in parts], axis=1), np.concatenate([p.upper for p in parts], axis=1))


def unbounded(units: IntArray) -> Interval:
    """No bounds."""
    return Interval(np.full(units.shape, -np.inf), np.full(units.shape, np.inf))


def two_sided(ground: PullbackContext, node: str, units: IntArray, cut: Forms | None = None) -> Interval:
    """`tighten` without a limit on memory: upper bounds of z_units, and of -z_units."""
    count = units.shape[1]
    signs = np.concatenate([np.ones(count), -np.ones(count)])
    found = ground.unit_rows(node, np.concatenate([units, units], axis=1), signs[None]).run()
    upper = found.upper
    if cut is not None:
        box = input_box(ground)
        forms = forms_of(upper, input_slopes(ground, found), box)
        upper = np.minimum(upper, bounds_where(forms, cut, box))
    return Interval(-upper[:, count:], upper[:, :count])


def crown_bounds(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    known: Bounds | None = None,
    outputs: bool = False,
    alone: bool = False,
    stop: Callable[[], bool] = never,
    *,
    until: tuple[str, BoolArray] | None = None,
    void: BoolArray | None = None,
    cut: Forms | None = None,
) -> dict[str, Interval]:
    """Bounds of all nodes over boxes; pre-activations that intervals leave open, and what smooth nodes read,
    by CROWN.

    Args:
        network: the network.
        lower: (boxes, input_size).
        upper: (boxes, input_size).
        known: proved intervals of some nodes, (boxes or 1, n), used wherever they are tighter.
        outputs: whether the output nodes get CROWN bounds too.
        alone: whether the bounds of a box must not depend on the boxes beside it: lists of open units are filled up.
        stop: whether intervals shall do for what is left.
        until: the last node to bound, and (boxes, n) which of its units need more than an interval.
        void: (boxes,) where given, set for boxes on which `known` and a bound found here exclude each other: no point
            of a box is in question if `known` need hold for the points in question only.
        cut: (boxes, 1) where given, linear functions that are not negative at the points in question (B-12).

    Returns:
        An interval per input and node.  Trusted: float64 arithmetic, and `known`.

    Raises:
        ContradictionError: `known` and a bound found here exclude each other, and there is no `void`.
    """
    bounds = input_intervals(network, lower, upper)
    relaxations: dict[str, Relaxation] = {}
    ground = PullbackContext(network, bounds, relaxations)
    targets = {node.source for node in network.relus}
    wanted = {port.source for port in network.outputs} if outputs else set()
    wanted |= {source for node in network.smooth for source in node.sources}
    for node in network.nodes:
        if not isinstance(node, Affine):
            if not isinstance(node, Product):
                relaxations[node.name] = relaxation(node, bounds)
            bounds[node.name] = interval_step(node, bounds)
            continue
        z = interval_affine(node, bounds)
        if known is not None and node.name in known:
            z = meet(z, known[node.name], node.name, void)
        last = until is not None and node.name == until[0]
        if (relaxations or cut is not None) and (node.name in targets or node.name in wanted):
            mask = np.ones_like(z.lower, dtype=bool) if node.name in wanted else open_units(z)
            if until is not None and last:
                mask = mask & until[1]
            units = target_units(node, mask)
            if units.size:
                tight = tighten(ground, node.name, units, stop, cut)
                if alone:
                    asked = np.take_along_axis(mask, np.broadcast_to(units, tight.lower.shape), 1)
                    tight = Interval(np.where(asked, tight.lower, -np.inf), np.where(asked, tight.upper, np.inf))
                z = replace_units(z, units, tight, node.name, void)
        bounds[node.name] = z
        if last:
            break
    return bounds


def meet(one: Interval, other: Interval, node: str, void: BoolArray | None) -> Interval:
    """What both say; boxes where they exclude each other are entered in `void`, or are an error without it."""
    if void is None:
        return one.intersect(other, node)
    lower, upper = np.maximum(one.lower, other.lower), np.minimum(one.upper, other.upper)
    void |= (lower > upper).any(axis=1)
    return Interval(np.minimum(lower, upper), np.maximum(lower, upper))


def replace_units(z: Interval, units: IntArray, tight: Interval, node: str, void: BoolArray | None = None) -> Interval:
    """z with some components, (boxes or 1, m), intersected with what is known of them, (boxes, m)."""
    units = np.broadcast_to(units, tight.lower.shape)
    old = Interval(np.take_along_axis(z.lower, units, 1), np.take_along_axis(z.upper, units, 1))
    old = meet(old, tight, node, void)
    lower, upper = z.lower.copy(), z.upper.copy()
    np.put_along_axis(lower, units, old.lower, 1)
    np.put_along_axis(upper, units, old.upper, 1)
    return Interval(lower, upper)
