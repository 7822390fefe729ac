"""Search for inputs that meet the condition of a question, and how near it came."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.attack.search import RowSearch
from eqverify.deciding.question import Replay
from eqverify.domain import Box, Polytope
from eqverify.network import Network
from eqverify.stability.budget import Budget

_NEAR_SHARE, _NEAR_ZERO = 0.05, 1e-6
_END_SHARE, _END_ZERO = 1e-9, 1e-12


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
    part: Polytope,
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
        part: the inputs.
        members: (conjunctions, rows) bool: which rows each conjunction needs.
        replay: is given points that meet a conjunction in float64.
        budget: seconds.
        rounds: restarts; the centre is tried first.
        starts: points per conjunction and round.
        seed: of the random points.
        reached: is told how near the search came.

    Returns:
        Whether a replay succeeded.
    """
    note, random = None if reached is None else reached.note, np.random.default_rng(seed)
    search = RowSearch(network, part, members, replay, note=note, random=random)
    return search.search(rounds, 2 * starts, starts, budget.exhausted)


def attack_near(
    network: Network, box: Box, point: FloatArray, replay: Replay, members: BoolArray | None = None
) -> bool:
    """Try a solver's candidate (input_size,), and small steps from it, for all rows or any of `members` as `attack`."""
    wanted = np.ones((1, network.output_size), dtype=bool) if members is None else members
    return RowSearch(network, Polytope(box), wanted, replay).near(point)
