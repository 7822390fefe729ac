"""alpha-CROWN: lower slopes of their own for every bound, by projected gradient steps (specs/bounds.md, B-4).

Xu et al. 2021 (arXiv 2011.13824).  The steps are in `eqverify.bounds.slope_optimisation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.crown import chunks, open_units, replace_units, target_units, tighten, widest
from eqverify.bounds.interval import Bounds, Interval, input_intervals, interval_affine, interval_bounds, interval_step
from eqverify.bounds.pullback import PullbackContext, Relaxation, relaxation, relaxations_of
from eqverify.bounds.slope_optimisation import Ascent, Slopes
from eqverify.domain import Assumption
from eqverify.network import Affine, Network, Product


@dataclass(frozen=True, slots=True, eq=False)
class AlphaBounds:
    """What optimised slopes gave.

    Attributes:
        bounds: an interval, (boxes, n), per input and node.
        slopes: by target node, a list of chunks of rows.
    """

    bounds: Mapping[str, Interval]
    slopes: Mapping[str, tuple[Slopes, ...]]


def _ignore(*found: object) -> None:
    """The listener that keeps nothing."""


def optimise_slopes(
    network: Network,
    lower: FloatArray,
    upper: FloatArray,
    bounds: Bounds,
    targets: Mapping[str, BoolArray],
    *,
    above: Mapping[str, BoolArray] | None = None,
    below: Mapping[str, BoolArray] | None = None,
    assumed: Assumption | None = None,
    iterations: int = 20,
    stop: Callable[[], bool] = lambda: False,
    listen: Callable[[str, Bounds, Slopes], None] = _ignore,
) -> AlphaBounds:
    """Tighten the bounds of chosen units by optimised slopes; later nodes use what earlier ones gained.

    Args:
        network: the network.
        lower: (boxes, input_size).
        upper: (boxes, input_size).
        bounds: proved intervals of nodes, (boxes or 1, n), as from `crown_bounds`.
        targets: by pre-activation node, (n,) bool: the units to work on.  Those that are decided are left alone.
        above: by pre-activation node, (n,) bool: z > 0 is witnessed, so upper bounds are not worked on.
        below: likewise for z < 0 and lower bounds.
        assumed: constraints on inputs and outputs that hold where `bounds` do: bounds of all layers, the first too,
            have multipliers on them (B-9).
        iterations: gradient steps per bound, at most.
        stop: asked before each batch of units; those that are left keep their bounds.
        listen: told of each batch of slopes, before it is used, with its node and the bounds that it started from.

    Returns:
        Intervals of all nodes, not wider than `bounds`, and the slopes.  Trusted: float64 arithmetic, and `bounds`.

    Raises:
        ContradictionError: `bounds` and a bound found here exclude each other.
    """
    found, relaxations = input_intervals(network, lower, upper), dict[str, Relaxation]()
    if assumed is not None:  # bounds of what stands behind a target are needed too
        found = interval_bounds(network, lower, upper, bounds)
        relaxations = relaxations_of(network, found)
    ground = PullbackContext(network, found, relaxations)
    slopes: dict[str, tuple[Slopes, ...]] = {}
    sources, curved = ({s for n in kind for s in n.sources} for kind in (network.relus, network.smooth))
    for node in network.nodes:
        if not isinstance(node, Affine):
            if not isinstance(node, Product):
                relaxations[node.name] = relaxation(node, found)
            found[node.name] = interval_step(node, found)
            continue
        z = interval_affine(node, found)
        if node.name in bounds:
            z = z.intersect(bounds[node.name], node.name)
        if (slopes and node.name in sources) or (relaxations and node.name in curved):
            units = target_units(node, open_units(z) | (node.name in curved))
            z = replace_units(z, units, tighten(ground, node.name, units), node.name) if units.size else z
        if relaxations and node.name in targets:
            rows = _rows(z, targets[node.name], (above or {}).get(node.name), (below or {}).get(node.name))
            slopes[node.name] = _optimise_node(ground, node, *rows, assumed, iterations, stop)
            known = {**found, node.name: z}
            for part in slopes[node.name]:
                listen(node.name, known, part)
                z = _take(z, part, node.name)
        found[node.name] = z
    return AlphaBounds(found, slopes)


def _rows(
    z: Interval, wanted: BoolArray, above: BoolArray | None, below: BoolArray | None
) -> tuple[IntArray, FloatArray]:
    """The bounds that are worth work, as units and signs: those of undecided units whose sign is not witnessed."""
    nothing = np.zeros(wanted.size, dtype=bool)
    undecided = wanted & (z.upper > 0).any(axis=0) & (z.lower < 0).any(axis=0)
    up = np.flatnonzero(undecided & ~(nothing if above is None else above))
    down = np.flatnonzero(undecided & ~(nothing if below is None else below))
    return np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])


def _take(z: Interval, part: Slopes, node: str) -> Interval:
    for sign in (1.0, -1.0):
        own = np.flatnonzero(part.signs == sign)
        if not own.size:
            continue
        infinite = np.full((len(z.lower), own.size), np.inf)
        one = Interval(-infinite, part.upper[:, own]) if sign > 0 else Interval(-part.upper[:, own], infinite)
        z = replace_units(z, part.units[own][None], one, node)
    return z


def _optimise_node(
    ground: PullbackContext,
    node: Affine,
    units: IntArray,
    signs: FloatArray,
    assumed: Assumption | None,
    iterations: int,
    stop: Callable[[], bool],
) -> tuple[Slopes, ...]:
    parts = chunks(2 * units.size, ground.boxes, widest(ground.network))
    pieces = (slice(part.start // 2, part.stop // 2) for part in parts)
    return tuple(
        Ascent(ground, node, units[p], signs[p], assumed=assumed).run(iterations)
        for p in pieces
        if units[p].size and not stop()
    )
