"""Witnesses: inputs that show which signs a pre-activation takes.

A sign counts only when the float64 value exceeds its own rigorous rounding error, so a witness is a proof.
Sources of points: random samples, corners, and sign-gradient steps on the pre-activation itself (PGD, Madry et al.
2018).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.domain import Domain, Polytope
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error
from eqverify.stability.facts import FactTable, Status

_STEPS = (1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.06, 0.03)
"""Step lengths as fractions of the box; 1.0 jumps to the corner that the gradient names."""

_BATCH = 512


class Falsifier:
    """Finds witnesses and records them in a table.

    Args:
        network: the network.
        domain: where the inputs lie.
        table: takes the signs.
        seed: of the random points; equal seeds give equal witnesses.
    """

    def __init__(self, network: Network, domain: Domain, table: FactTable, seed: int = 0) -> None:
        self.network = network
        self.domain = domain
        self.table = table
        self.random = np.random.default_rng(seed)
        self._kept: list[FloatArray] = []

    @property
    def witnesses(self) -> FloatArray:
        """(k, input_size) the inputs that showed a sign first."""
        return np.concatenate(self._kept) if self._kept else np.empty((0, self.network.input_size))

    def sample(self, count: int = 256) -> None:
        """Random points and random corners of every part, and its centre."""
        share = max(2, count // (2 * len(self.domain.polytopes)))
        for part in self.domain.polytopes:
            lower, upper = part.box.lower, part.box.upper
            inner = lower + (upper - lower) * self.random.random((share, part.box.size))
            corners = np.where(self.random.random((share, part.box.size)) < 0.5, lower, upper)
            self.try_points(np.concatenate([part.box.centre[None], np.clip(inner, lower, upper), corners]))

    def try_points(self, points: FloatArray) -> None:
        """Record the signs that points (batch, input_size) show; points not certainly in the domain are dropped."""
        points = points[self.domain.contains(points)]
        for start in range(0, len(points), _BATCH):
            batch = points[start : start + _BATCH]
            values = evaluate_nodes(self.network, batch)
            errors = evaluation_error(self.network, values)
            useful = np.zeros(len(batch), dtype=bool)
            for node in self.network.relus:
                self._record(node.source, values[node.source], errors[node.source], useful)
            if useful.any():
                self._kept.append(batch[useful])

    def _record(self, name: str, z: FloatArray, error: FloatArray, useful: BoolArray) -> None:
        above, below = z > error, z < -error
        for shown, known in ((above, self.table.above[name]), (below, self.table.below[name])):
            new = shown[:, np.flatnonzero(shown.any(axis=0) & ~known)]
            useful[np.argmax(new, axis=0)] = True
        self.table.witness(name, np.asarray(above.any(axis=0)), np.asarray(below.any(axis=0)))

    def climb(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Gradient search for the missing signs of every undecided unit, layer by layer, part by part.

        Args:
            stop: asked between batches; True ends the search early.
        """
        for node in self.network.relus:
            for part in self.domain.polytopes:
                for start in range(0, self.network.sizes[node.source], _BATCH):
                    if stop():
                        return
                    units, signs = self._missing(node.source)
                    inside = (units >= start) & (units < start + _BATCH)
                    if inside.any():
                        self._climb_batch(node.source, part, units[inside], signs[inside])

    def _missing(self, name: str) -> tuple[IntArray, FloatArray]:
        """Undecided units with the sign each lacks; a unit that lacks both stands twice."""
        undecided = self.table.status(name) == Status.UNDECIDED
        up = np.flatnonzero(undecided & ~self.table.above[name])
        down = np.flatnonzero(undecided & ~self.table.below[name])
        return np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])

    def _climb_batch(self, name: str, part: Polytope, units: IntArray, signs: FloatArray) -> None:
        lower, upper = part.box.lower, part.box.upper
        x = np.tile(part.box.centre, (units.size, 1))
        for step in _STEPS:
            gradient = preactivation_gradient(self.network, name, units, x) * signs[:, None]
            x = np.clip(x + step * (upper - lower) * np.sign(gradient), lower, upper)
            self.try_points(x)


def preactivation_gradient(network: Network, name: str, units: IntArray, x: FloatArray) -> FloatArray:
    """Gradients of z_units[k] of node `name` with respect to the input, at x[k]: (k, input_size)."""
    values = evaluate_nodes(network, x)
    rows = {name: np.zeros((units.size, network.sizes[name]))}
    rows[name][np.arange(units.size), units] = 1.0
    for node in reversed(network.nodes):
        row = rows.pop(node.name, None)
        if row is None:
            continue
        if isinstance(node, Affine):
            for term in node.terms:
                rows[term.source] = rows.get(term.source, 0.0) + term.map.backward(row)
        else:
            rows[node.source] = rows.get(node.source, 0.0) + row * (values[node.source] > 0)
    zero = np.zeros((units.size, 1))
    return np.concatenate([rows.get(port.name, zero * np.ones(port.size)) for port in network.inputs], axis=1)
