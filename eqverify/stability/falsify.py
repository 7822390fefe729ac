"""Witnesses: inputs that show which signs a pre-activation takes.

A sign counts only when the float64 value exceeds its own rigorous rounding error, so a witness is a proof.
Sources of points: random samples and corners, points that a solver proposes, and sign-gradient steps on the
pre-activation itself (PGD, Madry et al. 2018, arXiv 1706.06083), all missing signs of a layer at once.

The search sees only the part of the network that the layer reads, without error bounds; only points that seem to show a
missing sign are then evaluated with them.  It stops for a layer after `PATIENCE` starts in a row without a new sign.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.domain import Domain, Polytope
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error
from eqverify.stability.facts import FactTable
from eqverify.stability.interior import Interior

_STEPS = (1.0, 1.0, 0.5, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02)
"""Step lengths as fractions of the box; 1.0 jumps to the corner that the gradient names."""

_NEAR = (0.01, 0.003, 0.001, 1e-4, 1e-5, 1e-6)
"""Step lengths around a solver's candidate."""

_RESTARTS = 6
_STARTS = 128
"""Starts of a search after the first, where fewer signs than that are missing."""

PATIENCE = 1
_BATCH = 512
_POOL = 1024
"""Points kept as possible starts."""


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
        self._interiors = [Interior(part) for part in domain.polytopes]
        self._prefixes: dict[str, Network] = {}
        self.listener: Callable[[FloatArray], None] | None = None
        """Told of inputs (k, input_size) that showed a sign first."""
        self._kept: list[FloatArray] = []
        self._pools = [np.empty((0, domain.size)) for _ in domain.polytopes]

    @property
    def witnesses(self) -> FloatArray:
        """(k, input_size) the inputs that showed a sign first."""
        return np.concatenate(self._kept) if self._kept else np.empty((0, self.network.input_size))

    def sample(self, count: int = 256) -> None:
        """Random points and random corners of every part, and its centre."""
        share = max(2, count // (2 * len(self.domain.polytopes)))
        for index, part in enumerate(self.domain.polytopes):
            points = [part.box.centre[None], self._random_points(part, share), self._random_corners(part, share)]
            self.try_points(self._interiors[index].pull(np.concatenate(points)))

    def propose(self, part: int, point: FloatArray, name: str, up: IntArray, down: IntArray) -> None:
        """Take a solver's candidate for signs of units, and search next to it for those that it does not show.

        Solvers stop next to zero, on either side of it; a few small gradient steps then find a clear sign.

        Args:
            part: where the candidate lies.
            point: (input_size,); ignored if it is anything else than that many numbers.
            name: a pre-activation node.
            up: units said to be positive there.
            down: units said to be negative there.
        """
        if point.shape != (self.domain.size,) or not np.isfinite(point).all():
            return
        start = self._interiors[part].pull(point[None])
        self.try_points(start)
        up, down = up[~self.table.above[name][up]], down[~self.table.below[name][down]]
        units, signs = np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])
        if units.size:
            _Climb(self, name, part, units, signs).run(np.repeat(start, units.size, axis=0), _NEAR)

    def try_points(self, points: FloatArray) -> None:
        """Record the signs that points (batch, input_size) show; points not certainly in the domain are dropped."""
        points = points[self.domain.contains(points)]
        self._remember(points)
        self._judge(points, self.network)

    def _remember(self, points: FloatArray) -> None:
        for index, part in enumerate(self.domain.polytopes):
            inside = points if len(self._pools) == 1 else points[part.contains(points)]
            self._pools[index] = np.concatenate([self._pools[index], inside])[-_POOL:]

    def _judge(self, points: FloatArray, network: Network) -> None:
        """Record signs at points of the domain in those layers that `network`, the whole or a prefix, has."""
        for start in range(0, len(points), _BATCH):
            batch = points[start : start + _BATCH]
            values = evaluate_nodes(network, batch)
            errors = evaluation_error(network, values)
            useful = np.zeros(len(batch), dtype=bool)
            for name in self.table.bounds.keys() & values.keys():
                self._record(name, values[name], errors[name], useful)
            if useful.any():
                self._kept.append(batch[useful])
                if self.listener is not None:
                    self.listener(batch[useful])

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
            for part in range(len(self.domain.polytopes)):
                self._climb_layer(node.source, part, stop)

    def _climb_layer(self, name: str, part: int, stop: Callable[[], bool]) -> None:
        idle = 0
        for restart in range(_RESTARTS):
            units, signs = self._missing(name)
            missing = units.size
            if restart and missing:
                copies = max(1, _STARTS // missing)
                units, signs = np.repeat(units, copies), np.repeat(signs, copies)
            for start in range(0, units.size, _BATCH):
                if stop():
                    return
                chunk = slice(start, start + _BATCH)
                begin = self._starts(part, name, units[chunk], signs[chunk], restart)
                _Climb(self, name, part, units[chunk], signs[chunk]).run(begin, _STEPS)
            idle = idle + 1 if self._missing(name)[0].size == missing else 0
            if idle == PATIENCE:
                return

    def climb_from(self, name: str, part: int, units: IntArray, signs: FloatArray, points: FloatArray) -> None:
        """Gradient search for signs of units, (k,) each, from points (k, input_size) of a part."""
        points = self._interiors[part].pull(points)
        for start in range(0, units.size, _BATCH):
            chunk = slice(start, start + _BATCH)
            _Climb(self, name, part, units[chunk], signs[chunk]).run(points[chunk], _STEPS)

    def _missing(self, name: str) -> tuple[IntArray, FloatArray]:
        """Undecided units with the sign each lacks; a unit that lacks both stands twice."""
        undecided = self.table.open(name)
        up = np.flatnonzero(undecided & ~self.table.above[name])
        down = np.flatnonzero(undecided & ~self.table.below[name])
        return np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])

    def prefix(self, name: str) -> Network:
        """The network that ends at node `name`: only what that reads."""
        if name not in self._prefixes:
            self._prefixes[name] = self.network.until(name)
        return self._prefixes[name]

    def _starts(self, part: int, name: str, units: IntArray, signs: FloatArray, restart: int) -> FloatArray:
        """Where a search begins: the best of the pool for each unit, then random points and corners by turns."""
        polytope, pool = self.domain.polytopes[part], self._pools[part]
        if restart == 0 and len(pool):
            z = evaluate_nodes(self.prefix(name), pool)[name]
            return np.asarray(pool[np.argmax(z[:, units] * signs, axis=0)])
        draw = self._random_points if restart % 2 == 0 else self._random_corners
        return self._interiors[part].pull(draw(polytope, units.size))

    def reached(self, name: str, part: int) -> tuple[FloatArray, FloatArray]:
        """The least and the largest value of each component of a node at the points kept of a part, (n,) each."""
        z = evaluate_nodes(self.prefix(name), self._pools[part])[name]
        return np.asarray(z.min(axis=0, initial=np.inf)), np.asarray(z.max(axis=0, initial=-np.inf))

    def corners(self, part: int, count: int) -> FloatArray:
        """Random corners, (count, input_size), moved into the part where rows cut them off."""
        return self._interiors[part].pull(self._random_corners(self.domain.polytopes[part], count))

    def pull(self, part: int, points: FloatArray) -> FloatArray:
        """Points moved into the part."""
        return self._interiors[part].pull(points)

    def confirm(self, name: str, part: int, points: FloatArray) -> None:
        """Evaluate points that seem to show a sign in layer `name`, with error bounds; keep them as starts."""
        points = points[self.domain.polytopes[part].contains(points)]
        self._judge(points, self.prefix(name))
        self._pools[part] = np.concatenate([self._pools[part], points])[-_POOL:]

    def _random_points(self, part: Polytope, count: int) -> FloatArray:
        lower, upper = part.box.lower, part.box.upper
        inner = lower + (upper - lower) * self.random.random((count, part.box.size))
        return np.asarray(np.clip(inner, lower, upper))

    def _random_corners(self, part: Polytope, count: int) -> FloatArray:
        return np.where(self.random.random((count, part.box.size)) < 0.5, part.box.lower, part.box.upper)


class _Climb:
    """One search: each of `units` climbs `signs` times its pre-activation until that is positive."""

    def __init__(self, falsifier: Falsifier, name: str, part: int, units: IntArray, signs: FloatArray) -> None:
        self.falsifier, self.name, self.part = falsifier, name, part
        self.units, self.signs = units, signs

    def run(self, x: FloatArray, steps: tuple[float, ...]) -> None:
        """Search from points (units, input_size) by steps that are fractions of the box."""
        falsifier, box = self.falsifier, self.falsifier.domain.polytopes[self.part].box
        for step in steps:
            x, gradient = self._drop_found(x)
            if not self.units.size:
                return
            dead = ~gradient.any(axis=1)
            moved = np.clip(x + step * (box.upper - box.lower) * np.sign(gradient), box.lower, box.upper)
            moved[dead] = falsifier.corners(self.part, int(dead.sum()))
            x = falsifier.pull(self.part, moved)
        self._drop_found(x)

    def _drop_found(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Confirm the points that reached the sign; those units leave.  The other points and their gradients."""
        falsifier, table = self.falsifier, self.falsifier.table
        prefix = falsifier.prefix(self.name)
        values = evaluate_nodes(prefix, x)
        reached = values[self.name][np.arange(self.units.size), self.units] * self.signs > 0
        if reached.any():
            falsifier.confirm(self.name, self.part, x[reached])
            known = np.where(self.signs > 0, table.above[self.name][self.units], table.below[self.name][self.units])
            self.units, self.signs, x = self.units[~known], self.signs[~known], x[~known]
            values = {name: value[~known] for name, value in values.items()}
        gradient = _gradient(prefix, self.name, self.units, values) * self.signs[:, None]
        return x, gradient


def preactivation_gradient(network: Network, name: str, units: IntArray, x: FloatArray) -> FloatArray:
    """Gradients of z_units[k] of node `name` with respect to the input, at x[k]: (k, input_size)."""
    return _gradient(network, name, units, evaluate_nodes(network, x))


def _gradient(network: Network, name: str, units: IntArray, values: dict[str, FloatArray]) -> FloatArray:
    rows = np.zeros((units.size, network.sizes[name]))
    rows[np.arange(units.size), units] = 1.0
    return pull_rows(network, {name: rows}, values)


def pull_rows(network: Network, rows: dict[str, FloatArray], values: dict[str, FloatArray]) -> FloatArray:
    """Gradients with respect to the input, (batch, input_size), of rows on nodes where these have `values`.

    Args:
        network: the network.
        rows: by input or node, (batch, size) coefficients; used up.
        values: by input and node, (batch, size).
    """
    count = len(next(iter(rows.values())))
    for node in reversed(network.nodes):
        row = rows.pop(node.name, None)
        if row is None:
            continue
        if isinstance(node, Affine):
            for term in node.terms:
                rows[term.source] = rows.get(term.source, 0.0) + term.map.backward(row)
        else:
            rows[node.source] = rows.get(node.source, 0.0) + row * (values[node.source] > 0)
    return np.concatenate([rows.get(port.name, np.zeros((count, port.size))) for port in network.inputs], axis=1)
