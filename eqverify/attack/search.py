"""Search for inputs at which all rows of a conjunction are met, of any of several conjunctions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.attack.gradient import JUMPS, NEAR, SHORT, Heading, climb
from eqverify.attack.points import Sampler
from eqverify.domain import Polytope
from eqverify.network import Network, evaluate
from eqverify.network.rounding import settled

_REPLAYED = 8
"""Points of one batch that are replayed, the clearest first."""

Note = Callable[[IntArray, FloatArray, FloatArray], None]
"""Is told numbers of conjunctions (k,), a point for each (k, n), and how far it is from being met there (k,)."""


class RowSearch:
    """Looks for inputs at which a conjunction of rows is met.

    Args:
        network: its outputs are the rows.
        part: the inputs.
        replay: is given points (k, input_size) at which a conjunction is met in float64; True ends the search.
        members: (conjunctions, rows) bool: which rows each conjunction needs; None for one that needs all.
        sense: a row is met where `sense` times its value is at most 0.
        note: is told how near points came, measured by the largest such value: the conjunction's *gap*.
        random: where random points come from.
    """

    def __init__(
        self,
        network: Network,
        part: Polytope,
        replay: Callable[[FloatArray], bool],
        members: BoolArray | None = None,
        *,
        sense: float = 1.0,
        note: Note | None = None,
        random: np.random.Generator | None = None,
    ) -> None:
        self.network, self.replay = network, replay
        self.members = np.ones((1, network.output_size), dtype=bool) if members is None else members
        self.sense, self.note = sense, note
        self.sampler = Sampler(part, np.random.default_rng(0) if random is None else random)

    def search(self, stop: Callable[[], bool], rounds: int = 4, count: int = 64, starts: int = 32) -> bool:
        """Draw points, and take gradient steps towards each conjunction from those nearest to it; again and again.

        Args:
            stop: asked before each round and step.
            rounds: how often; steps jump to corners by turns.
            count: points drawn.
            starts: points per conjunction that go on.

        Returns:
            Whether a replay succeeded.
        """
        for number in range(rounds):
            if stop():
                return False
            points = self.sampler.sample(count) if number == 0 else self.sampler.draw(count)
            gap = self._gaps(points)
            nearest = np.argsort(gap, axis=0, kind="stable")[:starts].T
            chosen = np.repeat(np.arange(len(gap.T)), nearest.shape[1])
            if self.climb(points[nearest.ravel()], chosen, SHORT if number % 2 else JUMPS, stop):
                return True
        return False

    def attempt(self, points: FloatArray) -> bool:
        """Whether one of the points (k, n) is shown by a replay to meet a conjunction."""
        return bool(len(points)) and self._replayed(points, self._gaps(points).min(axis=1, initial=np.inf))

    def near(self, point: FloatArray) -> bool:
        """Try a solver's candidate (n,), whatever it is, and small steps from it towards each conjunction."""
        if point.shape != self.sampler.box.lower.shape or not np.isfinite(point).all():
            return False
        start, count = self.sampler.pull(point[None]), len(self.members)
        return self.replay(start) or self.climb(np.repeat(start, count, axis=0), np.arange(count), NEAR)

    def climb(
        self,
        points: FloatArray,
        chosen: IntArray,
        steps: tuple[float, ...],
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Steps from points (k, n), each towards the conjunction number `chosen` (k,); whether a replay succeeded."""
        members, found = self.members[chosen], False

        def look(x: FloatArray, outputs: FloatArray) -> Heading | None:
            nonlocal found
            values = np.where(members, self.sense * outputs, -np.inf)
            worst = np.argmax(values, axis=1)
            gap = values[np.arange(len(x)), worst]
            if self.note is not None and not self.network.roundings:  # else these are no points of the model
                self.note(chosen, x, gap)
            found = self._replayed(x, gap)
            return None if found else (np.ones(len(x), dtype=bool), worst, np.full(len(x), -self.sense))

        climb(self.network, self.sampler, points, look, steps, stop)
        return found

    def _gaps(self, points: FloatArray) -> FloatArray:
        """(k, conjunctions) the largest row that each conjunction needs, at points (k, n); infinite for nan."""
        points = settled(self.network, points).points
        values = self.sense * evaluate(self.network, points)
        gaps = np.array([values[:, own].max(axis=1, initial=-np.inf) for own in self.members])
        gaps = np.where(np.isnan(gaps), np.inf, gaps).reshape(len(self.members), len(points)).T
        if self.note is not None:
            self.note(np.arange(len(self.members)), points[np.argmin(gaps, axis=0)], gaps.min(axis=0))
        return gaps

    def _replayed(self, points: FloatArray, gap: FloatArray) -> bool:
        met = np.flatnonzero(gap <= 0)
        return bool(met.size) and self.replay(points[met[np.argsort(gap[met])][:_REPLAYED]])
