"""Search for inputs that meet a condition: signed gradient steps on its worst row (PGD, arXiv 1706.06083)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.deciding.question import Replay
from eqverify.domain import Box
from eqverify.network import Network, evaluate
from eqverify.stability.budget import Budget
from eqverify.stability.falsify import preactivation_gradient

_STEPS = (0.5, 0.3, 0.2, 0.15, 0.1, 0.1, 0.07, 0.05, 0.05, 0.03, 0.03, 0.02, 0.02, 0.01, 0.01, 0.005, 0.005, 0.002)
"""Step lengths as fractions of the box."""

_NEAR_SHARE, _NEAR_ZERO = 0.05, 1e-6
_END_SHARE, _END_ZERO = 1e-9, 1e-12

_NEAR = (0.01, 0.005, 0.003, 0.001, 3e-4, 1e-4, 3e-5, 1e-5, 1e-6)
"""Step lengths around a candidate that a solver named."""


class Reached:
    """How near a search came to meeting conjunctions of rows.

    Args:
        count: number of conjunctions.

    Attributes:
        least: (count,) the smallest value seen of a conjunction's largest row: it is met where that is at most 0.
        most: (count,) the largest.
        points: (count, input_size) where the smallest was seen.
    """

    def __init__(self, count: int, inputs: int) -> None:
        self.least, self.most = np.full(count, np.inf), np.full(count, -np.inf)
        self.points = np.zeros((count, inputs))

    def note(self, chosen: IntArray, points: FloatArray, level: FloatArray) -> None:
        """Take in points (k, input_size) and the largest rows (k,) there of conjunctions number `chosen` (k,)."""
        np.fmax.at(self.most, chosen, level)
        for k in np.flatnonzero(level < self.least[chosen]).tolist():
            if level[k] < self.least[chosen[k]]:
                self.least[chosen[k]], self.points[chosen[k]] = level[k], points[k]

    @property
    def near(self) -> BoolArray:
        """(count,) bool: so near, compared with the values seen, that the answer may lie at the end of a range.

        Which conjunctions are looked at exactly depends on this, never an answer.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(self.least <= _NEAR_SHARE * (self.most - self.least) + _NEAR_ZERO)

    def margin(self, k: int) -> float:
        """A small part of the values seen of conjunction k, where it was missed or met by no more than that; else 0."""
        margin = float(_END_SHARE * (self.most[k] - self.least[k]) + _END_ZERO)
        return margin if abs(self.least[k]) <= margin else 0.0


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
    reached: Reached | None = None,
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
        reached: is told how near the search came.

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
        note = partial(reached.note, chosen) if reached is not None else None
        if descend(network, box, members[chosen], points, replay, budget.exhausted, note=note):
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
    *,
    note: Callable[[FloatArray, FloatArray], None] | None = None,
) -> bool:
    """Steps from points (k, input_size), each towards the conjunction of its own row of `members` (k, rows).

    `note` is told the points and the largest row (k,) of each conjunction after each step.
    """
    width = box.upper - box.lower
    nodes = [(port.source, unit) for port in network.outputs for unit in range(port.size)]
    for step in (*steps, 0.0):
        values = np.where(members, evaluate(network, points), -np.inf)
        worst = np.argmax(values, axis=1)
        level = values[np.arange(len(points)), worst]
        if note is not None:
            note(points, level)
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
