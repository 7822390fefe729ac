"""What pairs say about each other's bounds: a unit of one network lies within the difference of its partner's range.

Bounds of two networks that compute the same need not be the same: a reduced network has other rows, and CROWN loses
other things in them.  What only one of them shows, such as that a carrier is never negative, then holds for both.
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.bounds import Interval
from eqverify.equivalence.joint import Joint
from eqverify.equivalence.zonotope import Pusher
from eqverify.network import Network
from eqverify.normal_form.form import NormalForm


def exchange(
    joint: Joint,
    networks: tuple[Network, Network],
    bounds: tuple[dict[str, Interval], dict[str, Interval]],
    lower: FloatArray,
    upper: FloatArray,
) -> tuple[dict[str, Interval], dict[str, Interval]]:
    """Bounds of both networks, tightened by what the joint system says about kept units on its box.

    Args:
        joint: the system of both networks on the box.
        networks: f and g.
        bounds: proved intervals of all nodes of each on the box, (1, n) each.
        lower: (input_size,) the box.
        upper: (input_size,)
    """
    levels = Pusher(joint).level_bounds(lower[None], upper[None])
    f, g = dict(bounds[0]), dict(bounds[1])
    for (own, pairs, lone), found in zip(joint.units, levels, strict=True):
        _enter(g, networks[1], joint.g, own, found.g)
        _enter(f, networks[0], joint.f, pairs, found.f)
        _enter(f, networks[0], joint.f, lone, found.lone)
    return _with_outputs(f, networks[0]), _with_outputs(g, networks[1])


def _enter(bounds: dict[str, Interval], network: Network, form: NormalForm, units: IntArray, found: Interval) -> None:
    """Intersect bounds with intervals (1, k) of kept units, k numbers in the normal form."""
    layers, places = form.origin[units].T
    for layer in np.unique(layers).tolist():
        name, own = network.relus[layer].source, layers == layer
        lower, upper = (np.full(bounds[name].lower.shape, end) for end in (-np.inf, np.inf))
        lower[0, places[own]], upper[0, places[own]] = found.lower[0, own], found.upper[0, own]
        bounds[name] = bounds[name].intersect(Interval(lower, upper), name)


def _with_outputs(bounds: dict[str, Interval], network: Network) -> dict[str, Interval]:
    """With the ReLU nodes' bounds as those of their sources say."""
    return bounds | {node.name: bounds[node.source].relu() for node in network.relus}
