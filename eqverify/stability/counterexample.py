"""Inputs of a property that satisfy a disjunct of its output condition, found by gradients and checked exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds.assumed import assumed_parts, assumed_slack
from eqverify.domain import Assumption, Case, Conjunction
from eqverify.network import Network, evaluate_nodes, evaluation_error, outputs_exact
from eqverify.network.evaluate import join_outputs
from eqverify.problem import Problem
from eqverify.stability.assumed import directed_problem, start_from
from eqverify.stability.falsify import pull_rows
from eqverify.stability.interior import Interior

_STEPS = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)
"""Step lengths as fractions of the box."""

_STARTS = 32
_CHECKED = 3
"""Candidates of one batch that are checked exactly; the others are less promising."""


class CounterexampleSearch:
    """Looks for inputs that satisfy the constraints of one disjunct.

    Args:
        network: the network.
        case: the inputs.
        rows: the exact constraints.
        assumed: the same in float64, for guidance.
        seed: of random starts.
    """

    def __init__(self, network: Network, case: Case, rows: Conjunction, assumed: Assumption, seed: int = 0) -> None:
        self.network = network
        self.polytope = polytope = case.polytope
        self.written = case.written
        self.rows = rows
        self.assumed = assumed
        self.random = np.random.default_rng(seed)
        self.found: FloatArray | None = None
        """(input_size,) the first input that was shown to satisfy the disjunct."""
        self._interior = Interior(polytope)
        box = polytope.box
        # bounds were rounded outwards by less than one unit: one unit inside lies what was written
        self._lower = np.where(box.lower < box.upper, np.nextafter(box.lower, np.inf), box.lower)
        self._upper = np.where(box.lower < box.upper, np.nextafter(box.upper, -np.inf), box.upper)

    def search(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Gradient steps on the constraint that is violated most, from random points and corners."""
        box = self.polytope.box
        draws = self.random.random((_STARTS, box.size))
        corners = np.where(self.random.random((_STARTS, box.size)) < 0.5, box.lower, box.upper)
        x = self._interior.pull(
            np.concatenate([box.centre[None], box.lower + draws * (box.upper - box.lower), corners])
        )
        for step in _STEPS:
            self.try_points(x)
            if self.found is not None or not len(self.assumed) or stop():
                return
            moved = x + step * (box.upper - box.lower) * np.sign(self._ascent(x))
            x = self._interior.pull(np.clip(moved, box.lower, box.upper))
        self.try_points(x)

    def _ascent(self, x: FloatArray) -> FloatArray:
        """(batch, input_size) gradients of each point's least slack."""
        values = evaluate_nodes(self.network, x)
        worst = np.argmin(assumed_slack(self.network, self.assumed, values), axis=1)
        rows: dict[str, FloatArray] = {}
        for name, part in assumed_parts(self.network, self.assumed):
            rows[name] = rows.get(name, 0.0) - part[worst]
        return pull_rows(self.network, rows, values) if rows else np.zeros_like(x)

    def try_points(self, points: FloatArray) -> None:
        """Check the most promising of the points (batch, input_size), whatever they are."""
        points = points[np.isfinite(points).all(axis=1)]
        if self.found is not None or not len(points) or (self._lower > self._upper).any():
            return
        points = np.clip(points, self._lower, self._upper)
        slack = assumed_slack(self.network, self.assumed, evaluate_nodes(self.network, points))
        least = slack.min(axis=1, initial=np.inf)
        for index in np.argsort(-least)[:_CHECKED]:
            if least[index] >= 0 and self.holds(points[index]):
                self.found = points[index]
                return

    def holds(self, x: FloatArray) -> bool:
        """Whether an input of the shrunk box certainly lies in the written polytope and satisfies all rows there.

        By float64 with its error bound, whose ends are compared exactly; where that does not tell, by rationals.
        """
        exact = [Fraction(v) for v in x.tolist()]
        if not self._inside(exact):
            return False
        values = evaluate_nodes(self.network, x[None])
        y, error = (join_outputs(self.network, v)[0] for v in (values, evaluation_error(self.network, values)))
        if np.isfinite(y).all() and np.isfinite(error).all():
            ends = [(Fraction(a), Fraction(e)) for a, e in zip(y.tolist(), error.tolist(), strict=True)]
            if self._all_hold(exact, ends):
                return True
        return self._all_hold(exact, [(v, Fraction(0)) for v in outputs_exact(self.network, exact)])

    def _all_hold(self, x: list[Fraction], y: list[tuple[Fraction, Fraction]]) -> bool:
        """Whether the rows hold at all outputs in centre +- radius."""
        for row in self.rows:
            worst = [v + (r if row.outputs.get(j, 0) > 0 else -r) for j, (v, r) in enumerate(y)]
            if not row.holds(x, worst):
                return False
        return True

    def _inside(self, x: list[Fraction]) -> bool:
        """Whether an input belongs to the case as it is written.

        Where that is not known, all rows of the polytope hold with a margin above what rounding them outwards moved.
        A coefficient was rounded to nearest, off by at most 2^-53 of itself, and so was the bound.
        """
        if self.written is not None:
            return self.written.holds(x)
        for row, bound in zip(self.polytope.matrix.tolist(), self.polytope.bound.tolist(), strict=True):
            terms = [Fraction(c) * v for c, v in zip(row, x, strict=True) if c]
            reach = zip(row, self.polytope.box.magnitude.tolist(), strict=True)
            margin = sum((abs(Fraction(c)) * Fraction(m) for c, m in reach), abs(Fraction(bound))) * Fraction(1, 2**50)
            if sum(terms, Fraction(0)) + margin > Fraction(bound):
                return False
        return True


def search_disjuncts(problem: Problem, seed: int, stop: Callable[[], bool]) -> Iterator[FloatArray]:
    """Inputs (input_size,) that satisfy a disjunct, checked exactly: what a short search for each of them finds.

    Args:
        problem: network and property.
        seed: of random points.
        stop: asked before each disjunct, and while one is searched for.
    """
    for number, case in enumerate(problem.cases):
        start = start_from(problem, case.polytope)
        for index, rows in enumerate(case.unsafe):
            if stop():
                return
            assumed = directed_problem(problem, number, index, start.outputs).assumed
            assert assumed is not None
            search = CounterexampleSearch(problem.network, case, rows, assumed, seed)
            search.search(stop)
            if search.found is not None:
                yield search.found
