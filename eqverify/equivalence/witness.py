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
from eqverify.domain import Domain, Polytope
from eqverify.equivalence.goals import PairGoals
from eqverify.equivalence.product import ROWS, product_network
from eqverify.network import UNIT_ROUNDOFF, Affine, Network, evaluate, evaluate_nodes, evaluation_error
from eqverify.network.evaluate import UNDERFLOW
from eqverify.stability.falsify import preactivation_gradient
from eqverify.stability.interior import Interior

_STEPS = (1.0, 1.0, 0.5, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01, 0.005)
"""Step lengths as fractions of the box; 1.0 jumps to the corner that the gradient names."""

_JUDGED = 4
"""Candidates of one batch that are judged, the clearest first."""

_EXACT_PRODUCTS = 2_000_000
"""Networks with more products than this are not evaluated in rationals, which takes a microsecond per product."""

_EXACT_SECONDS = 2.0
"""When so much time has gone into evaluations in rationals, only what floats show counts.  Where two networks agree up
to rounding, every point looks as if it might show a difference."""

Replay = Callable[[FloatArray], bool]
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
        single: whether to prefer inputs that are float32 numbers.
        seed: of random points.

    Attributes:
        found: the witness, once there is one.
        best: per disjunct, the largest least row seen at a point of the domain: how close the search came.
        unplayed: candidates that were proved but did not replay.
    """

    def __init__(
        self,
        f: Network,
        g: Network,
        goals: PairGoals,
        domain: Domain,
        *,
        replay: Replay | None = None,
        single: bool = False,
        seed: int = 0,
    ) -> None:
        self.f, self.g, self.goals, self.domain = f, g, goals, domain
        self.replay, self.single = replay, single
        self.random = np.random.default_rng(seed)
        self.found: Witness | None = None
        self.best = np.full(len(goals), -np.inf)
        self.unplayed = 0
        self._exact_seconds = 0.0
        self._interiors = {part: Interior(part) for part in domain.polytopes}

    @cached_property
    def network(self) -> Network:
        """The rows of the goals as a network."""
        return product_network(self.f, self.g, self.goals)

    def attempt(self, points: FloatArray, part: Polytope) -> bool:
        """Try points (k, input_size) of a part; True once a witness is found.  What lies outside is ignored."""
        if self.found is not None:
            return True
        points = _on_single_grid(points, part) if self.single else points
        points = points[part.contains(points)]
        if not len(points):
            return False
        least = self.goals.least(evaluate(self.network, points))
        least = np.where(np.isnan(least), -np.inf, least)
        self.best = np.maximum(self.best, least.max(axis=0))
        clearest = least.max(axis=1)
        for k in np.argsort(-clearest)[:_JUDGED].tolist():
            if clearest[k] < 0:
                break
            witness = self._judge(points[k])
            if witness is not None and (self.replay is None or self.replay(points[k])):
                self.found = witness
                return True
            self.unplayed += witness is not None
        return False

    def _judge(self, point: FloatArray) -> Witness | None:
        """Whether a disjunct certainly holds at a point: by rounding bounds, else in rationals."""
        values = evaluate_nodes(self.network, point[None])
        error = evaluation_error(self.network, values)[ROWS][0]
        exact = tuple(Fraction(v) for v in point.tolist())
        at_f, at_g = (evaluate(network, point[None])[0] for network in (self.f, self.g))
        size = np.abs(self.goals.rows) @ np.abs(np.concatenate([point, at_f, at_g])) + np.abs(self.goals.constant)
        tiny = UNDERFLOW * (1 + np.abs(point).sum() + np.abs(at_f).sum() + np.abs(at_g).sum())
        certain = values[ROWS][0] - error - 4 * UNIT_ROUNDOFF * size - tiny
        clear = self.goals.least(certain[None])[0]
        if (clear > 0).any():
            return Witness(point, exact, int(np.argmax(clear)), at_f, at_g, "rounding")
        if max(products(self.f), products(self.g)) > _EXACT_PRODUCTS or self._exact_seconds > _EXACT_SECONDS:
            return None
        start = time.monotonic()
        k = self.goals.holds_exactly(self.f, self.g, exact)
        self._exact_seconds += time.monotonic() - start
        return None if k is None else Witness(point, exact, k, at_f, at_g, "exact")

    def take_exact(self, x: tuple[Fraction, ...], part: Polytope) -> bool:
        """Take an input that was proved to be a difference in rationals, or one near it that floats can hold."""
        point = np.array([float(value) for value in x])
        near = np.clip(point, part.box.lower, part.box.upper)[None]
        if self.attempt(near, part) or self.climb(near, part):
            return True
        disjunct = self.goals.holds_exactly(self.f, self.g, x)
        if disjunct is None:
            return False
        if self.replay is not None:
            self.unplayed += 1
            return False
        at_f, at_g = (evaluate(network, point[None])[0] for network in (self.f, self.g))
        self.found = Witness(point, x, disjunct, at_f, at_g, "exact")
        return True

    def sample(self, count: int = 1024, deadline: float = np.inf) -> bool:
        """Random points and corners of every part, and gradient steps from the best of them."""
        for part in self.domain.polytopes:
            if time.monotonic() > deadline:
                return False
            points = self._interiors[part].pull(self._draw(part, count))
            if self.attempt(points, part) or self.climb(self._starts(points), part, deadline):
                return True
        return False

    def glance(self, count: int = 64) -> bool:
        """Some random points and corners of every part: what differs plainly is found at once."""
        return any(self.attempt(self._interiors[p].pull(self._draw(p, count)), p) for p in self.domain.polytopes)

    def search(self, deadline: float, rounds: int) -> bool:
        """`sample` again and again."""
        for _ in range(rounds):
            if time.monotonic() > deadline or self.sample(deadline=deadline):
                break
        return self.found is not None

    def _draw(self, part: Polytope, count: int) -> FloatArray:
        share = self.random.random((count, part.box.size))
        share[::2] = np.round(share[::2])
        share[0] = 0.5
        return np.clip(part.box.lower + share * (part.box.upper - part.box.lower), part.box.lower, part.box.upper)

    def _starts(self, points: FloatArray) -> FloatArray:
        """For each disjunct the eight points that come closest."""
        least = self.goals.least(evaluate(self.network, points))
        chosen = np.argsort(-np.nan_to_num(least, nan=-np.inf), axis=0, kind="stable")[:8]
        return points[np.unique(chosen)]

    def climb(self, x: FloatArray, part: Polytope, deadline: float = np.inf) -> bool:
        """Sign-gradient steps on the least row of the disjunct closest to holding at each point (k, input_size)."""
        box = part.box
        for step in _STEPS:
            if time.monotonic() > deadline:
                return False
            values = evaluate(self.network, x)
            disjunct = np.argmax(np.nan_to_num(self.goals.least(values), nan=-np.inf), axis=1)
            own = self.goals.disjunct[None] == disjunct[:, None]
            rows: IntArray = np.argmin(np.where(own, values, np.inf), axis=1)
            gradient = preactivation_gradient(self.network, ROWS, rows, x)
            moved = np.clip(x + step * (box.upper - box.lower) * np.sign(gradient), box.lower, box.upper)
            moved = self._interiors[part].pull(moved)
            if self.attempt(moved, part):
                return True
            better = self.goals.least(evaluate(self.network, moved)).max(axis=1) >= self.goals.least(values).max(axis=1)
            x = np.where(better[:, None], moved, x)
        return False


def products(network: Network) -> int:
    """Number of products that an exact evaluation takes."""
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    return sum(term.map.fan_in * node.size for node in affine for term in node.terms)


def _on_single_grid(points: FloatArray, part: Polytope) -> FloatArray:
    """The nearest float32 numbers inside the box, component by component; unchanged where there is none."""
    lower, upper = part.box.lower, part.box.upper
    nearest = points.astype(np.float32)
    up, down = np.nextafter(nearest, np.float32(np.inf)), np.nextafter(nearest, np.float32(-np.inf))
    result = nearest.astype(np.float64)
    result = np.where(result < lower, up.astype(np.float64), np.where(result > upper, down.astype(np.float64), result))
    return np.where((result >= lower) & (result <= upper), result, points)
