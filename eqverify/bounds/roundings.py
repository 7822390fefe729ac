"""Between what the inputs lie that stand for roundings of a network (Q-3 in specs/quantised.md)."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.crown import crown_bounds
from eqverify.domain import Box
from eqverify.errors import InputError, Place
from eqverify.network import Network

_ABOVE = 1.0 + 2.0**-50
_STEPS = 2.0**-12
"""What a run may be off in a quotient of up to 255 steps before it rounds it."""


def rounding_radii(network: Network, box: Box) -> FloatArray:
    """By how much what is rounded is off at most, where the model's inputs lie in a box.

    Args:
        network: as read.
        box: of its `own_size` inputs.

    Returns:
        (input_size - own_size,), rounded upwards.

    Raises:
        InputError: `read/beyond-type` where a number may be beyond those of the type it is rounded to.
    """
    own, more = network.own_size, np.zeros(network.input_size)
    for rounding in network.roundings:
        place = slice(rounding.start, rounding.start + network.sizes[rounding.source])
        more[place] = rounding.least
        if rounding.element in ("integer", "up", "down"):
            continue
        lower, upper = (np.concatenate([end, sign * more[own:]]) for end, sign in ((box.lower, -1), (box.upper, 1)))
        found = crown_bounds(network.until(rounding.source), lower[None], upper[None])[rounding.source]
        if rounding.element == "steps":
            reach = max(float(found.upper.max()), 0.0) - min(float(found.lower.min()), 0.0)
            more[place] = (0.5 + _STEPS) * reach / 255 * _ABOVE
            continue
        type_, size = np.finfo(rounding.element), found.magnitude[0]
        if not (size <= float(type_.max)).all():
            raise InputError(
                "read/beyond-type",
                f"a number may be beyond those of {rounding.element}, to which it is rounded",
                place=Place(node=rounding.source, unit=int(np.argmax(~(size <= float(type_.max))))),
                value=float(size.max()),
                hint="give smaller inputs",
            )
        more[place] += float(type_.eps) / 2 * size * _ABOVE
    return more[own:] * _ABOVE
