"""Inputs at which two networks differ: found by search, believed only after rigorous evaluation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.attack.replay import Replay
from eqverify.attack.replay import Witness as Proved
from eqverify.attack.search import RowSearch
from eqverify.domain import Case, Domain, Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.product import product_network, with_rows
from eqverify.network import Network

_COUNT, _STARTS = 1024, 8
"""Points drawn at once, and how many of them go on for each disjunct."""

Confirm = Callable[[FloatArray], bool]
"""Runs both files at an input (input_size,); whether they show a difference too."""


@dataclass(frozen=True, slots=True, eq=False)
class Witness:
    """A proved difference.

    Attributes:
        point: (input_size,) the input; it lies in the domain, unless `exact` is another number.
        exact: the input as rationals: those of `point`, or some near it that Z3 found; it lies in the domain.
        disjunct: number of the disjunct of the goals that holds there.
        f: outputs of f there, in float64.
        g: outputs of g there.
        confirmed: ``rounding``: float64 values beyond their proved errors; ``exact``: rational evaluation.
    """

    point: FloatArray
    exact: tuple[Fraction, ...]
    disjunct: int
    f: FloatArray
    g: FloatArray
    confirmed: Literal["rounding", "exact"]


class WitnessSearch:
    """Collects candidates, and keeps the first that is a proved difference and replays.

    Args:
        f: one network.
        g: another of the same input size.
        goals: the question.
        domain: where inputs lie.
        replay: a further test that a witness must pass; None for none.
        seed: of random points.

    Attributes:
        found: the witness, once there is one.
        best: per disjunct, the largest least row seen at a point of the domain: how close the search came.
    """

    def __init__(
        self, f: Network, g: Network, goals: PairGoals, domain: Domain, *, replay: Confirm | None = None, seed: int = 0
    ) -> None:
        self.f, self.g, self.goals, self.domain = f, g, goals, domain
        self.replay = replay
        self.random = np.random.default_rng(seed)
        self.found: Witness | None = None
        self.best = np.full(len(goals), -np.inf)
        self._written = dict(zip(domain.polytopes, domain.written or [(None,)] * len(domain.polytopes), strict=True))
        self._searches: dict[Polytope, tuple[RowSearch, list[Replay]]] = {}

    @cached_property
    def _pair(self) -> Network:
        """Both networks as one, f's outputs first."""
        return product_network(self.f, self.g)

    @cached_property
    def network(self) -> Network:
        """The rows of the goals as a network."""
        return with_rows(self._pair, self.goals)

    @property
    def replay_failures(self) -> int:
        """Candidates that were proved but did not replay."""
        return sum(replay.failures for _, replays in self._searches.values() for replay in replays)

    def _on(self, part: Polytope) -> tuple[RowSearch, list[Replay]]:
        """The search on one part of the domain, and its replays, one for each text that the part stands for."""
        if part not in self._searches:

            def note(disjuncts: IntArray, points: FloatArray, gap: FloatArray) -> None:
                inside = part.contains(points)
                np.fmax.at(self.best, disjuncts[inside], -gap[inside])

            written = self._written.get(part, (None,))
            replays = [Replay(self._pair, Case(part, self.goals.exact, text), self._confirm) for text in written]

            def replay(points: FloatArray) -> bool:
                return any(one(points) for one in replays)

            members = self.goals.disjunct == np.arange(len(self.goals))[:, None]
            search = RowSearch(self.network, part, replay, members, sense=-1.0, note=note, random=self.random)
            self._searches[part] = search, replays
        return self._searches[part]

    def _confirm(self, proved: Proved) -> Proved | None:
        if self.replay is not None and not (proved.as_floats and self.replay(proved.x)):
            return None
        f, g = np.split(proved.y, [self.f.output_size])
        self.found = Witness(proved.x, proved.inputs, proved.disjunct, f, g, proved.confirmed)
        return proved

    def attempt(self, points: FloatArray, part: Polytope) -> bool:
        """Try points (k, input_size) of a part; True once a witness is found.  What lies outside is ignored."""
        return self.found is not None or self._on(part)[0].attempt(points[part.contains(points)])

    def near(self, point: FloatArray, part: Polytope) -> bool:
        """Try a solver's candidate (input_size,), and small steps from it; True once a witness is found."""
        return self.found is not None or self._on(part)[0].near(point)

    def take_exact(self, x: tuple[Fraction, ...], part: Polytope) -> bool:
        """Take an input that was proved to be a difference in rationals, or one near it that floats can hold."""
        return self.near(np.array([float(value) for value in x]), part) or any(
            replay.take(x) for replay in self._on(part)[1]
        )

    def quick_sample(self, count: int = 64) -> bool:
        """Some random points and corners of every part: what differs plainly is found at once."""
        searches = [self._on(part)[0] for part in self.domain.polytopes]
        return any(search.attempt(search.sampler.sample(count)) for search in searches)

    def search(self, deadline: float, rounds: int) -> bool:
        """Random points and corners of every part, and gradient steps from the best of them, again and again."""

        def stop() -> bool:
            return time.monotonic() > deadline

        for _ in range(rounds):
            for part in self.domain.polytopes:
                if stop() or self._on(part)[0].search(stop, 1, _COUNT, _STARTS):
                    return self.found is not None
        return False
