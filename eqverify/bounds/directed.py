"""Bounds on the inputs that satisfy assumed constraints on outputs (specs/bounds.md, B-9 to B-11).

All layers gain, the first included, so bounds are found in rounds: each starts from the bounds of all nodes that the
one before left.  The set may be empty; then proofs may exclude each other, and that they do is what proves it.  So
functions here return None for "empty" where others would raise `ContradictionError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.ascent import Ascent, Slopes
from eqverify.bounds.crown import chunks, open_units, widest
from eqverify.bounds.interval import Bounds, Interval, input_intervals, interval_affine
from eqverify.bounds.lp import HintSource, LpBound, LpLayer, lp_of
from eqverify.bounds.pullback import Ground, relax
from eqverify.domain import Assumption
from eqverify.network import Affine, Network, Relu
from eqverify.network.expression import Expression
from eqverify.relaxation.model import open_model


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """What bounds are wanted of: the inputs of a box that satisfy assumed constraints.

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


def _ignore(*found: object) -> None:
    """The listener that keeps nothing."""


def meet(one: Interval, other: Interval) -> Interval | None:
    """What both say; None where they exclude each other."""
    lower, upper = np.maximum(one.lower, other.lower), np.minimum(one.upper, other.upper)
    return None if (lower > upper).any() else Interval(lower, upper)


def feed_forward(question: Question, known: Bounds) -> dict[str, Interval] | None:
    """Intervals (1, n) of all inputs and nodes from what is known of some; None where the set is empty.

    Trusted: float64 arithmetic, and `known`, which need hold on the set only.
    """
    network = question.network
    bounds = input_intervals(network, question.lower[None], question.upper[None])
    for node in network.nodes:
        z: Interval | None
        z = bounds[node.source].relu() if isinstance(node, Relu) else interval_affine(node, bounds)
        if node.name in known:
            z = meet(z, known[node.name])
        if z is None:
            return None
        bounds[node.name] = z
    return bounds


def emptiness(question: Question, bounds: Bounds, iterations: int) -> Slopes | None:
    """Optimised slopes and multipliers that show that the set is empty: a negative bound of the zero row (B-9).

    Args:
        question: the set.
        bounds: intervals of all nodes on it, as from `feed_forward`.
        iterations: gradient steps, at most.

    Returns:
        None where nothing is shown.
    """
    if not len(question.assumed):
        return None
    ascent = Ascent(_ground(question, bounds), None, np.zeros(1, dtype=np.int64), np.ones(1), assumed=question.assumed)
    found = ascent.run(iterations)
    return found if (found.upper < 0).any() else None


def _ground(question: Question, bounds: Bounds) -> Ground:
    network = question.network
    return Ground(network, bounds, {relu.name: relax(bounds[relu.source]) for relu in network.relus})


def directed_slopes(
    question: Question,
    bounds: Bounds,
    wanted: Mapping[str, BoolArray],
    iterations: int,
    stop: Callable[[], bool] = lambda: False,
    listen: Callable[[str, Bounds, Slopes], None] = _ignore,
) -> dict[str, Interval] | None:
    """One round of optimised slopes and multipliers over all layers; later layers use what earlier ones gained.

    Args:
        question: the set.
        bounds: intervals of all nodes on it, as from `feed_forward`.
        wanted: by pre-activation node, (n,) bool: the units to work on, if they are open.
        iterations: gradient steps per bound, at most.
        stop: asked before each layer, and between the batches of its units.
        listen: told of each layer's slopes, and of the bounds of all nodes known before.

    Returns:
        Intervals of all nodes, not wider than `bounds`; None where the set is empty.
    """
    found: dict[str, Interval] | None = dict(bounds)
    for node in question.network.nodes:
        if found is None or stop():
            return found
        if not isinstance(node, Affine) or node.name not in wanted:
            continue
        units = np.flatnonzero(wanted[node.name] & open_units(found[node.name])[0])
        if units.size:
            slopes = _optimised(question, found, node, units, iterations, stop)
            for one in slopes:
                listen(node.name, found, one)
            z = meet(found[node.name], _said(slopes, node.size))
            found = None if z is None else feed_forward(question, {**found, node.name: z})
    return found


def _optimised(
    question: Question, bounds: Bounds, node: Affine, units: IntArray, iterations: int, stop: Callable[[], bool]
) -> list[Slopes]:
    """Optimised slopes for both bounds of some units; of fewer where time is over."""
    ground, result = _ground(question, bounds), []
    rows, signs = np.concatenate([units, units]), np.concatenate([np.ones(units.size), -np.ones(units.size)])
    for part in chunks(units.size, 1, widest(question.network)):
        if stop():
            break
        both = slice(2 * part.start, 2 * part.stop)
        result.append(Ascent(ground, node, rows[both], signs[both], assumed=question.assumed).run(iterations))
    return result


def _said(slopes: Sequence[Slopes], size: int) -> Interval:
    """(1, n) what slopes say of their units; infinite for others."""
    lower, upper = np.full((1, size), -np.inf), np.full((1, size), np.inf)
    for found in slopes:
        above = found.signs > 0
        upper[0, found.units[above]] = found.upper[0, above]
        lower[0, found.units[~above]] = -found.upper[0, ~above]
    return Interval(lower, upper)


@dataclass(frozen=True, slots=True, eq=False)
class DirectedLp:
    """The linear program of the whole network with the assumed constraints.

    Attributes:
        layer: the program.
        values: all nodes as expressions over its columns.
        kept: by ReLU node, (n,) bool: the units that are columns.
        active: likewise: the stably active ones that are not.
    """

    layer: LpLayer
    values: Mapping[str, Expression]
    kept: Mapping[str, BoolArray]
    active: Mapping[str, BoolArray]


def directed_lp(question: Question, bounds: Bounds, hints: HintSource | None = None) -> DirectedLp:
    """Units whose interval is open become columns; `bounds` hold on the set."""
    model = open_model(question.network, (question.lower, question.upper), bounds)
    layer = lp_of(model, assumed=question.assumed, hints=hints)
    return DirectedLp(layer, model.values, model.kept, model.active)


def lp_bounds(
    program: DirectedLp,
    bounds: Bounds,
    name: str,
    units: IntArray,
    seconds: Callable[[], float],
    propose: Callable[[FloatArray], None],
    listen: Callable[[int, int, LpBound], None] = _ignore,
) -> Interval:
    """(1, n) what the linear program says of some units of a pre-activation node; infinite for others.

    Args:
        program: the program.
        bounds: what is known.
        name: the node.
        units: the units.
        seconds: the time left, asked before each question; no more questions at 0.
        propose: told of inputs (input_size,) that the solver takes for extreme ones.
        listen: told of each bound: unit, 1 for one from above and -1 for one from below, and the bound.
    """
    size = bounds[name].lower.shape[1]
    lower, upper = np.full((1, size), -np.inf), np.full((1, size), np.inf)
    z = program.values[name]
    for unit in units.tolist():
        nearer_above = bounds[name].upper[0, unit] <= -bounds[name].lower[0, unit]
        for sense in (1, -1) if nearer_above else (-1, 1):
            left = seconds()
            if left <= 0:
                return Interval(lower, upper)
            found = program.layer.bound(z.rows[unit], sense, seconds=left)
            listen(unit, sense, found)
            if found.point is not None:
                propose(found.point)
            reached = float(np.nextafter(found.value + sense * z.error[unit], sense * np.inf))
            (upper if sense > 0 else lower)[0, unit] = reached
            if sense * reached <= 0:
                break
    return Interval(lower, upper)
