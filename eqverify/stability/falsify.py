"""Witnesses: inputs that show which signs a pre-activation takes.

A sign counts only when the float64 value exceeds its own rigorous rounding error, so a witness is a proof.
Sources of points: random samples and corners, points that a solver proposes, and gradient steps on the pre-activation
itself, all missing signs of a layer at once.

The search sees only the part of the network that the layer reads, without error bounds; only points that seem to show a
missing sign are then evaluated with them.  It stops for a layer where starts show no new sign.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.attack.gradient import COARSE, NEAR, Heading, climb
from eqverify.attack.points import Sampler
from eqverify.domain import Domain
from eqverify.network import Network, evaluate_nodes, evaluation_error
from eqverify.network.rounding import settled
from eqverify.stability.facts import FactTable

_RESTARTS = 6
_STARTS = 128
"""Starts of a search after the first, where fewer signs than that are missing."""

Stop = Callable[[], bool]
"""Whether to end early."""

_BATCH, _LEAST = 512, 8
"""Points evaluated together, at most and at least."""

_PRODUCTS = 1 << 27
"""Products of one batch."""

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
        random = np.random.default_rng(seed)
        self.samplers = [Sampler(part, random) for part in domain.polytopes]
        """Make points of each part."""
        self._prefixes: dict[str, Network] = {}
        self.listener: Callable[[FloatArray], None] | None = None
        """Told of inputs (k, input_size) that showed a sign first."""
        self._kept: list[FloatArray] = []
        self._pools = [np.empty((0, domain.size)) for _ in domain.polytopes]

    @property
    def witnesses(self) -> FloatArray:
        """(k, input_size) the inputs that showed a sign first."""
        return np.concatenate(self._kept) if self._kept else np.empty((0, self.network.input_size))

    def sample(self, count: int = 256, stop: Stop = lambda: False) -> None:
        """The centre, random points and random corners of every part; `stop` is asked between batches."""
        for sampler in self.samplers if self.network.relus else ():
            points = sampler.sample(max(5, count // len(self.samplers)))
            for chunk in self._chunks(len(points)):
                if stop():
                    return
                self.try_points(points[chunk])

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
        start = self.samplers[part].pull(point[None])
        self.try_points(start)
        units, signs = _wanted(up[~self.table.above[name][up]], down[~self.table.below[name][down]])
        if units.size:
            self._climb(name, part, units, signs, np.repeat(start, units.size, axis=0), NEAR)

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
        for chunk in self._chunks(len(points)):
            shown = settled(self.network, points[chunk])  # at an input of the model, with what it rounds there
            if not shown.certain.any():
                continue
            batch, moved = shown.points[shown.certain], shown.errors[shown.certain]
            values = evaluate_nodes(network, batch)
            errors = evaluation_error(network, values, moved)
            useful = np.zeros(len(batch), dtype=bool)
            for name in self.table.bounds.keys() & values.keys():
                self._record(name, values[name], errors[name], useful)
            if useful.any():
                self._kept.append(batch[useful])
                if self.listener is not None:
                    self.listener(self._kept[-1])

    def _record(self, name: str, z: FloatArray, error: FloatArray, useful: BoolArray) -> None:
        above, below = z > error, z < -error
        for shown, known in ((above, self.table.above[name]), (below, self.table.below[name])):
            new = shown[:, np.flatnonzero(shown.any(axis=0) & ~known)]
            useful[np.argmax(new, axis=0)] = True
        self.table.witness(name, np.asarray(above.any(axis=0)), np.asarray(below.any(axis=0)))

    def climb(self, stop: Stop = lambda: False) -> None:
        """Gradient search for the missing signs of every undecided unit, layer by layer, part by part.

        Args:
            stop: asked between steps; True ends the search early.
        """
        for node in self.network.relus:
            for part in range(len(self.domain.polytopes)):
                self._climb_layer(node.source, part, stop)

    def _climb_layer(self, name: str, part: int, stop: Stop) -> None:
        for restart in range(_RESTARTS):
            units, signs = self._missing(name)
            missing = units.size
            if restart and missing:
                copies = max(1, _STARTS // missing)
                units, signs = np.repeat(units, copies), np.repeat(signs, copies)
            for chunk in self._chunks(units.size):
                if stop():
                    return
                begin = self._starts(part, name, units[chunk], signs[chunk], restart)
                self._climb(name, part, units[chunk], signs[chunk], begin, COARSE, stop)
            if self._missing(name)[0].size == missing:
                return

    def climb_from(self, name: str, part: int, units: IntArray, signs: FloatArray, points: FloatArray) -> None:
        """Gradient search for signs of units, (k,) each, from points (k, input_size) of a part."""
        points = self.samplers[part].pull(points)
        for chunk in self._chunks(units.size):
            self._climb(name, part, units[chunk], signs[chunk], points[chunk], COARSE)

    def _climb(
        self,
        name: str,
        part: int,
        units: IntArray,
        signs: FloatArray,
        points: FloatArray,
        steps: tuple[float, ...],
        stop: Stop = lambda: False,
    ) -> None:
        """Each of `units` climbs `signs` times its pre-activation from its own point until that is known to occur."""

        def look(x: FloatArray, z: FloatArray) -> Heading | None:
            nonlocal units, signs
            reached = z[np.arange(units.size), units] * signs > 0
            if reached.any():
                self._confirm(name, part, x[reached])
            kept = ~np.where(signs > 0, self.table.above[name][units], self.table.below[name][units])
            units, signs = units[kept], signs[kept]
            return (kept, units, signs) if units.size else None

        climb(self.prefix(name), self.samplers[part], points, look, steps, stop)

    def _missing(self, name: str) -> tuple[IntArray, FloatArray]:
        """Undecided units with the sign each lacks; a unit that lacks both stands twice."""
        undecided = self.table.open(name)
        up, down = undecided & ~self.table.above[name], undecided & ~self.table.below[name]
        return _wanted(np.flatnonzero(up), np.flatnonzero(down))

    def prefix(self, name: str) -> Network:
        """The network that ends at node `name`: only what that reads."""
        if name not in self._prefixes:
            self._prefixes[name] = self.network.until(name)
        return self._prefixes[name]

    def _starts(self, part: int, name: str, units: IntArray, signs: FloatArray, restart: int) -> FloatArray:
        """Where a search begins: the best of the pool for each unit, then random points and corners."""
        pool = self._pools[part]
        if restart == 0 and len(pool):
            z = evaluate_nodes(self.prefix(name), pool)[name]
            return np.asarray(pool[np.argmax(z[:, units] * signs, axis=0)])
        return self.samplers[part].draw(units.size)

    def reached(self, name: str, part: int) -> tuple[FloatArray, FloatArray]:
        """The least and the largest value of each component of a node at the points kept of a part, (n,) each."""
        z = evaluate_nodes(self.prefix(name), self._pools[part])[name]
        return np.asarray(z.min(axis=0, initial=np.inf)), np.asarray(z.max(axis=0, initial=-np.inf))

    def _chunks(self, size: int) -> Iterator[slice]:
        """Batches of which a large network is not evaluated for long."""
        step = max(_LEAST, min(_BATCH, _PRODUCTS // max(1, self.network.products)))
        return (slice(start, start + step) for start in range(0, size, step))

    def _confirm(self, name: str, part: int, points: FloatArray) -> None:
        """Evaluate points that seem to show a sign in layer `name`, with error bounds; keep them as starts."""
        points = points[self.domain.polytopes[part].contains(points)]
        self._judge(points, self.prefix(name))
        self._pools[part] = np.concatenate([self._pools[part], points])[-_POOL:]


def _wanted(up: IntArray, down: IntArray) -> tuple[IntArray, FloatArray]:
    """Units that lack a sign, and which: (k,) each."""
    return np.concatenate([up, down]), np.concatenate([np.ones(up.size), -np.ones(down.size)])
