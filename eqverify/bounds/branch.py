"""Branching on unit signs for one question "sign * z_i <= 0 on the box?" (specs/bounds.md, B-7).

Depth first, batches of open leaves at a time; a leaf is bounded with slopes and split multipliers from gradient steps
(beta-CROWN, Wang et al. 2021, arXiv 2103.06624).  The unit to split is the one whose relaxation costs the bound most.
Where all signs are fixed and the bound is still positive, an LP settles it: by its multipliers, or by its vertex.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.ascent import Ascent
from eqverify.bounds.crown import open_units
from eqverify.bounds.goals import make_goals
from eqverify.bounds.interval import Bounds, Interval, centred
from eqverify.bounds.lp import lp_for_node
from eqverify.bounds.pullback import Ground, LinearBound, ancestors, relax
from eqverify.errors import UsageError
from eqverify.network import Affine, Network, Relu


@dataclass(frozen=True, slots=True)
class Question:
    """Is sign * z_unit of a pre-activation node at most 0 on the box?

    Attributes:
        node: the pre-activation node, affine.
        unit: the component.
        sign: 1 or -1.
    """

    node: str
    unit: int
    sign: int


@dataclass(frozen=True, slots=True, eq=False)
class SignTree:
    """The leaves and inner nodes that were bounded, parents first.

    Attributes:
        parent: (k,) index of the parent, -1 for the root.
        side: (k,) -1 if the unit that the parent splits has z <= 0 here, 1 if z >= 0, 0 for the root.
        relu: (k,) index into the network's ReLU nodes of the unit split here, -1 for a leaf.
        unit: (k,) its component.
        upper: (k,) proved upper bound of sign * z.
    """

    parent: IntArray
    side: ByteArray
    relu: IntArray
    unit: IntArray
    upper: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class BranchResult:
    """The end of a search.

    Attributes:
        proved: whether sign * z <= 0 on the box.
        point: (input_size,) an input with sign * z > 0 beyond rounding, if one was met.
        tree: what was bounded.
        seconds: wall time.
    """

    proved: bool
    point: FloatArray | None
    tree: SignTree
    seconds: float


def prove_sign(
    network: Network,
    bounds: Bounds,
    question: Question,
    *,
    max_nodes: int = 1000,
    seconds: float = float("inf"),
    iterations: int = 10,
    batch: int = 32,
) -> BranchResult:
    """Search for a proof that sign * z_unit <= 0 on one box.

    Args:
        network: the network.
        bounds: proved intervals, (1, n), of the inputs and all nodes before the question's, as from `crown_bounds`.
        question: what is to be proved.
        max_nodes: tree nodes bounded at most; with this limit alone the result is the same every time.
        seconds: wall time after which no batch is begun.
        iterations: gradient steps per batch.
        batch: tree nodes bounded together.

    Returns:
        The answer and the tree.  Trusted: float64 arithmetic, and `bounds`.

    Raises:
        UsageError: `usage/question` for a node that is not affine.
    """
    if not isinstance(network.by_name.get(question.node), Affine):
        raise UsageError("usage/question", "signs are proved of affine nodes only", value=question.node)
    return _Search(network, bounds, question).run(max_nodes, seconds, iterations, batch)


@dataclass(slots=True)
class _Open:
    """Tree nodes to do: by pre-activation node the signs fixed, (k, n); their parents and sides."""

    fixed: dict[str, ByteArray]
    parent: IntArray
    side: ByteArray

    def take(self, index: IntArray | BoolArray | slice) -> _Open:
        return _Open({name: f[index] for name, f in self.fixed.items()}, self.parent[index], self.side[index])

    def join(self, other: _Open) -> _Open:
        fixed = {name: np.concatenate([f, other.fixed[name]]) for name, f in self.fixed.items()}
        return _Open(fixed, np.concatenate([self.parent, other.parent]), np.concatenate([self.side, other.side]))


@dataclass(slots=True)
class _Search:
    network: Network
    bounds: Bounds
    question: Question
    count: int = 0
    stuck: bool = False
    point: FloatArray | None = None
    records: list[tuple[IntArray, ByteArray, IntArray, IntArray, FloatArray]] = field(default_factory=list)

    def run(self, max_nodes: int, seconds: float, iterations: int, batch: int) -> BranchResult:
        start = time.monotonic()
        fixed = {r.source: np.zeros((1, self.network.sizes[r.source]), dtype=np.int8) for r in self._relus()}
        todo = _Open(fixed, np.full(1, -1), np.zeros(1, dtype=np.int8))
        while len(todo.parent) and self.point is None and not self.stuck:
            size = min(batch, max_nodes - self.count)
            if size <= 0 or time.monotonic() - start >= seconds:
                break
            todo = todo.take(slice(0, -size)).join(self._expand(todo.take(slice(-size, None)), iterations))
        proved = not len(todo.parent) and self.point is None and not self.stuck
        return BranchResult(proved, self.point, self._tree(), time.monotonic() - start)

    def _relus(self) -> list[Relu]:
        before = ancestors(self.network, self.question.node)
        return [relu for relu in self.network.relus if relu.name in before]

    def _expand(self, some: _Open, iterations: int) -> _Open:
        """Bound some tree nodes; the children of those that stay open."""
        ground = self._ground(some)
        node = self.network.by_name[self.question.node]
        assert isinstance(node, Affine)
        ascent = Ascent(ground, node, np.array([self.question.unit]), np.array([float(self.question.sign)]), some.fixed)
        upper = ascent.run(iterations).upper[:, 0]
        going = np.flatnonzero(~(upper <= 0))
        relu, unit = np.full(len(upper), -1), np.zeros(len(upper), dtype=np.int64)
        found = ascent.last
        if going.size and found is not None:
            self._try_corners(ground, found)
            relu[going], unit[going] = self._choose(ground, found, going)
            for row in going[relu[going] < 0]:
                upper[row] = min(upper[row], self._ask_lp(ground, int(row)))
            self.stuck |= bool((upper[going] > 0)[relu[going] < 0].any())
        names = self.count + np.arange(len(upper))
        self.records.append((some.parent, some.side, relu, unit, upper))
        self.count += len(upper)
        return self._children(some, names, relu, unit)

    def _ground(self, some: _Open) -> Ground:
        """Bounds and relaxations with the signs fixed on each tree node."""
        count = len(some.parent)
        bounds = {
            name: Interval(np.repeat(i.lower[:1], count, axis=0), np.repeat(i.upper[:1], count, axis=0))
            for name, i in self.bounds.items()
        }
        relaxations = {}
        for relu in self._relus():
            z, side = bounds[relu.source], some.fixed[relu.source]
            lower = np.where(side > 0, np.maximum(z.lower, 0.0), z.lower)
            upper = np.where(side < 0, np.minimum(z.upper, 0.0), z.upper)
            bounds[relu.source] = Interval(lower, upper)
            bounds[relu.name] = bounds[relu.source].relu()
            relaxations[relu.name] = relax(bounds[relu.source])
        return Ground(self.network, bounds, relaxations)

    def _ask_lp(self, ground: Ground, row: int) -> float:
        """An upper bound on a tree node where all signs are fixed; there the LP is exact up to rounding."""
        units = {name: Interval(i.lower[row : row + 1], i.upper[row : row + 1]) for name, i in ground.bounds.items()}
        kept, active = {}, {}
        for relu in self._relus():
            z = self.bounds[relu.source]
            kept[relu.name] = open_units(z)[0]
            active[relu.name] = (z.lower[0] >= 0) & (z.upper[0] > 0)
        lower = np.concatenate([units[port.name].lower[0] for port in self.network.inputs])
        upper = np.concatenate([units[port.name].upper[0] for port in self.network.inputs])
        layer, found = lp_for_node(self.network, self.question.node, kept, active, (lower, upper), units)
        answer = layer.bound(self.question.sign * found.rows[self.question.unit])
        if answer.point is not None:
            self._try_points(answer.point[None])
        return float(np.nextafter(answer.value + found.error[self.question.unit], np.inf))

    def _choose(self, ground: Ground, found: LinearBound, going: IntArray) -> tuple[IntArray, IntArray]:
        """The unit whose relaxation costs the bound most, per tree node; -1 where none is open."""
        scores, relus, units = [], [], []
        for index, relu in enumerate(self.network.relus):
            if relu.name not in found.entering:
                continue
            row = np.broadcast_to(found.entering[relu.name], (ground.boxes, 1, ground.network.sizes[relu.name]))[:, 0]
            cost = np.where(row > 0, row, -0.5 * row) * ground.relaxations[relu.name].offset
            scores.append(np.where(open_units(ground.bounds[relu.source]), np.nan_to_num(cost), -1.0)[going])
            relus.append(np.full(row.shape[1], index))
            units.append(np.arange(row.shape[1]))
        if not scores:
            return np.full(going.size, -1), np.zeros(going.size, dtype=np.int64)
        score = np.concatenate(scores, axis=1)
        best = np.argmax(score, axis=1)
        possible = score[np.arange(going.size), best] >= 0
        return np.where(possible, np.concatenate(relus)[best], -1), np.concatenate(units)[best]

    def _children(self, some: _Open, names: IntArray, relu: IntArray, unit: IntArray) -> _Open:
        split = np.flatnonzero(relu >= 0)
        result = some.take(slice(0, 0))
        for side in (-1, 1):
            child = some.take(split)
            for row, index in enumerate(split):
                child.fixed[self.network.relus[relu[index]].source][row, unit[index]] = side
            child.parent, child.side = names[split], np.full(split.size, side, dtype=np.int8)
            result = result.join(child)
        return result

    def _try_corners(self, ground: Ground, found: LinearBound) -> None:
        """Evaluate the corners that the linear bounds point to; one that refutes the claim ends the search."""
        parts = []
        for port in self.network.inputs:
            centre, radius = centred(ground.bounds[port.name])
            slopes = found.inputs.get(port.name, np.zeros((1, 1, port.size)))[:, 0]
            corner = centre + np.sign(slopes) * radius
            parts.append(np.clip(corner, ground.bounds[port.name].lower, ground.bounds[port.name].upper))
        self._try_points(np.concatenate(parts, axis=1))

    def _try_points(self, points: FloatArray) -> None:
        """Keep a point that refutes the claim."""
        mask = np.zeros(self.network.sizes[self.question.node], dtype=bool)
        mask[self.question.unit] = True
        goals = make_goals(self.network, {self.question.node: mask})
        shown, useful = goals.refuted(self.network, points)
        if shown[goals.sign == self.question.sign].any():
            for point in points[useful]:
                if goals.refuted(self.network, point[None])[0][goals.sign == self.question.sign].any():
                    self.point = point

    def _tree(self) -> SignTree:
        if not self.records:
            none = np.empty(0, dtype=np.int64)
            return SignTree(none, none.astype(np.int8), none, none, np.empty(0))
        parent, side, relu, unit, upper = (np.concatenate(column) for column in zip(*self.records, strict=True))
        return SignTree(parent, side, relu, unit, upper)
