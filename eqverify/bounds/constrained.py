"""Boxes where assumed constraints on outputs and inputs hold: emptiness, linear programs (specs/bounds.md, B-9, B-10).

The set may be empty.  Then proofs may exclude each other, and that they do is what proves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.interval import Bounds
from eqverify.bounds.lp import HintSource, LpLayer, lp_of
from eqverify.bounds.pullback import PullbackContext, relaxations_of
from eqverify.bounds.slope_optimisation import Ascent, Slopes
from eqverify.domain import Assumption
from eqverify.network import Network
from eqverify.relaxation.model import RestrictedModel, open_model


@dataclass(frozen=True, slots=True, eq=False)
class ConstrainedSet:
    """The inputs of a box that satisfy assumed constraints.

    Attributes:
        network: the network.
        lower: (input_size,) the box.
        upper: (input_size,).
        assumed: the constraints.
    """

    network: Network
    lower: FloatArray
    upper: FloatArray
    assumed: Assumption


def emptiness(inputs: ConstrainedSet, bounds: Bounds, iterations: int) -> Slopes | None:
    """Optimised slopes and multipliers that show that the set is empty: a negative bound of the zero row (B-9).

    Args:
        inputs: the set.
        bounds: intervals (1, n) of all nodes on it, as from `interval_bounds`.
        iterations: gradient steps, at most.

    Returns:
        None where nothing is shown.  Trusted: float64 arithmetic, and `bounds`.
    """
    if not len(inputs.assumed):
        return None
    ground = PullbackContext(inputs.network, bounds, relaxations_of(inputs.network, bounds))
    found = Ascent(ground, None, np.zeros(1, dtype=np.int64), np.ones(1), assumed=inputs.assumed).run(iterations)
    return found if (found.upper < 0).any() else None


@dataclass(frozen=True, slots=True, eq=False)
class ConstrainedLp:
    """The linear program of the whole network with the assumed constraints.

    Attributes:
        layer: the program.
        model: the rows of all nodes over its columns, which are the units whose interval is open.
    """

    layer: LpLayer
    model: RestrictedModel


def constrained_lp(inputs: ConstrainedSet, bounds: Bounds, hints: HintSource | None = None) -> ConstrainedLp:
    """The program on a set; `bounds` (1, n) by pre-activation node hold on it."""
    model = open_model(inputs.network, (inputs.lower, inputs.upper), bounds)
    return ConstrainedLp(lp_of(model, assumed=inputs.assumed, hints=hints), model)
