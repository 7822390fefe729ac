"""Search for inputs that meet a condition: signed gradient steps on its worst row (PGD, arXiv 1706.06083)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.deciding.question import Replay
from eqverify.domain import Box
from eqverify.network import Network, evaluate
from eqverify.stability.budget import Budget
from eqverify.stability.falsify import preactivation_gradient

_STEPS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.05, 0.03, 0.03, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005, 0.002)
"""Step lengths as fractions of the box."""

_NEAR = (0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
"""Step lengths around a candidate that a solver named."""


def attack(
    network: Network,
    box: Box,
    members: BoolArray,
    replay: Replay,
    *,
    budget: Budget,
    rounds: int = 4,
    starts: int = 32,
    seed: int = 0,
) -> bool:
    """Try to meet any of several conjunctions of rows.

    Args:
        network: its outputs are the rows; a row is met where it is at most 0.
        box: the inputs.
        members: (conjunctions, rows) bool: which rows each conjunction needs.
        replay: is given points that meet a conjunction in float64.
        budget: seconds.
        rounds: restarts, from random points and random corners by turns; the centre is tried first.
        starts: points per conjunction and round.
        seed: of the random points.

    Returns:
        Whether a replay succeeded.
    """
    random = np.random.default_rng(seed)
    chosen = np.repeat(np.arange(len(members)), starts)
    for number in range(rounds):
        if budget.exhausted():
            return False
        share = random.random((chosen.size, box.size))
        if number % 2:
            share = np.round(share)
        elif number == 0:
            share[::starts] = 0.5
        points = np.clip(box.lower + (box.upper - box.lower) * share, box.lower, box.upper)
        if descend(network, box, members[chosen], points, replay, budget.exhausted):
            return True
    return False


def attack_near(
    network: Network, box: Box, point: FloatArray, replay: Replay, members: BoolArray | None = None
) -> bool:
    """Try a solver's candidate (input_size,), and small steps from it, for all rows or any of `members` as `attack`."""
    if point.shape != box.lower.shape or not np.isfinite(point).all():
        return False
    start = np.clip(point, box.lower, box.upper)
    wanted = np.ones((1, network.output_size), dtype=bool) if members is None else members
    starts = np.repeat(start[None], len(wanted), axis=0)
    return replay(start[None]) or descend(network, box, wanted, starts, replay, lambda: False, _NEAR)


def descend(
    network: Network,
    box: Box,
    members: BoolArray,
    points: FloatArray,
    replay: Replay,
    stop: Callable[[], bool],
    steps: tuple[float, ...] = _STEPS,
) -> bool:
    """Steps from points (k, input_size), each towards the conjunction of its own row of `members` (k, rows)."""
    width = box.upper - box.lower
    nodes = [(port.source, unit) for port in network.outputs for unit in range(port.size)]
    for step in (*steps, 0.0):
        values = np.where(members, evaluate(network, points), -np.inf)
        worst = np.argmax(values, axis=1)
        level = values[np.arange(len(points)), worst]
        met = np.flatnonzero(level <= 0)
        if met.size and replay(points[met[np.argsort(level[met])][:8]]):
            return True
        if step == 0.0 or stop():
            return False
        gradient = np.zeros_like(points)
        for source in {source for source, _ in nodes}:
            own = np.flatnonzero([nodes[row][0] == source for row in worst])
            units = np.array([nodes[row][1] for row in worst[own]], dtype=np.int64)
            gradient[own] = preactivation_gradient(network, source, units, points[own])
        points = np.clip(points - step * width * np.sign(gradient), box.lower, box.upper)
    return False
