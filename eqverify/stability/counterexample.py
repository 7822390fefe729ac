"""Inputs of a property that satisfy a disjunct of its output condition, found by gradients and checked exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.replay import Replay
from eqverify.attack.search import RowSearch
from eqverify.bounds.assumed import assumed_node
from eqverify.domain import Assumption, Case, Conjunction
from eqverify.network import Network, Port
from eqverify.problem import Problem
from eqverify.stability.assumed import directed_problem

_ROUNDS, _STARTS = 2, 64


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
        case = replace(case, unsafe=(rows,))
        self._replay = Replay(network, case, lambda witness: witness if witness.as_floats else None)
        guide, random = _constraints(network, assumed), np.random.default_rng(seed)
        self._search = RowSearch(guide, case.polytope, self.holds, random=random)

    @property
    def found(self) -> FloatArray | None:
        """(input_size,) the first input that was shown to satisfy the disjunct."""
        return None if self._replay.witness is None else self._replay.witness.x

    def search(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Gradient steps on the constraint that is violated most, from random points and corners."""
        self._search.search(stop, _ROUNDS, _STARTS, _STARTS)

    def try_points(self, points: FloatArray) -> None:
        """Check the most promising of the points (batch, input_size), whatever they are."""
        if self.found is None:
            self._search.attempt(self._search.sampler.pull(points[np.isfinite(points).all(axis=1)]))

    def holds(self, points: FloatArray) -> bool:
        """Whether one of the points (k, input_size) certainly satisfies the disjunct, or did before."""
        return self._replay(points)


def find_counterexample(problem: Problem, seed: int, stop: Callable[[], bool]) -> FloatArray | None:
    """A short search for an input that satisfies the output condition, shown to by exact replay.

    Args:
        problem: network and property.
        seed: of random starts.
        stop: asked between steps; True ends the search.

    Returns:
        (input_size,); None where none was found, or the outputs of the property are not those of the network.
    """
    if problem.tail is not None or problem.assumed is not None:
        return None
    for number, case in enumerate(problem.cases):
        for index in range(len(case.unsafe)):
            own = directed_problem(problem, number, index)
            assert own.assumed is not None
            search = CounterexampleSearch(own.network, own.cases[0], case.unsafe[index], own.assumed, seed)
            search.search(stop)
            if search.found is not None or stop():
                return search.found
    return None


def _constraints(network: Network, assumed: Assumption) -> Network:
    """The network with  C y + B x - d  as its output, for constraints  C y + B x <= d; 0 for no constraint."""
    rows = assumed_node(network, assumed)
    rows = rows if len(assumed) else replace(rows, bias=np.zeros(1))
    return Network(network.inputs, (*network.nodes, rows), (Port(rows.name, (rows.size,), "float64", rows.name),))
