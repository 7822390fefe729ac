"""All linear regions on one part of the domain, depth first (specs/regions.md, N-1 to N-3).

The ReLU nodes are taken in topological order.  On a cell where all earlier ReLUs are fixed, the pre-activations of the
next node are affine; which of them change sign is found for all at once from interior points and boxes, and by linear
programs for those that this leaves open.  A unit that keeps its sign on a cell is settled for all cells inside it.  The
cell is then cut by one that changes sign, and so on; the smallest cells of the node are where the next node begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from math import comb, prod

import numpy as np

from eqverify.approximate.cells import Function, Geometry, Side
from eqverify.approximate.forms import (
    ExactRows,
    Form,
    Frame,
    affine_form,
    input_forms,
    level,
    make_frame,
    reach,
    relu_form,
)
from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds.crown import crown_bounds
from eqverify.bounds.farkas import Row, value_at
from eqverify.bounds.pullback import ancestors
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.network import Affine, Network, gamma

_CHUNK = 64
"""Cells whose next node is computed together."""

_SAMPLES = 512
"""Random points to begin with."""

_MOST_POINTS = 64
"""Points that a cell takes to the next node."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A full-dimensional linear region.

    Attributes:
        pattern: (ReLU units,) bool in topological order: z > 0 inside; the others have z <= 0.
        point: (inputs,) inside.
        radius: of a ball around it that is proved to be inside; 0 where only the point is.
        cuts: (k,) units whose signs make the region, with the constraints of the domain; the other signs follow.
    """

    pattern: BoolArray
    point: FloatArray
    radius: float
    cuts: IntArray


@dataclass(slots=True)
class CellTree:
    """The cells that were looked at, for a proof that there are no others: a tree of signs of units.

    Attributes:
        parent: of each cell, the one it is inside; -1 for the part itself.
        side: which side of its parent it is: 1 where the unit is >= 0, 0 where it is <= 0.
        unit: whose sign cuts a cell in two, counted through the network; -1 for none.
        facts: signs of units that hold on a cell: cell, unit, sign and multipliers of the functions that show it.
        whole: whether every sign that was settled has multipliers.
    """

    parent: list[int] = field(default_factory=list)
    side: list[int] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)
    facts: list[tuple[int, int, int, dict[int, Fraction]]] = field(default_factory=list)
    whole: bool = True

    def add(self, parent: int, side: int) -> int:
        """A cell inside another; its number."""
        self.parent.append(parent)
        self.side.append(side)
        self.unit.append(-1)
        return len(self.parent) - 1


@dataclass(slots=True)
class PartCount:
    """What is known about one part of the domain.

    Attributes:
        regions: those found; each is proved.
        flat: the part is proved to have no interior.
        undecided: cells that are neither proved empty nor full; not looked into.
        unexplored: bound on the number of regions in those and in what the time limit cut off.
        exhausted: a solver claims that there are no others; True where none was asked.
        questions: linear programs.
        exact: questions that rational arithmetic answered.
        tree: how they were found, where that is recorded and all of it has reasons.
    """

    regions: list[Region] = field(default_factory=list)
    flat: bool = False
    undecided: int = 0
    unexplored: int = 0
    exhausted: bool = True
    questions: int = 0
    exact: int = 0
    tree: CellTree | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Cell:
    """A cell that all ReLU nodes before some node are linear on.

    Attributes:
        functions: the cell is where they are >= 0.
        pattern: by node so far, (size,) bool.
        points: (k, n) inside.
        lower: (n,) sound bounds of the cell.
        upper: (n,).
        number: in the tree.
    """

    functions: tuple[Function, ...]
    pattern: tuple[BoolArray, ...]
    points: FloatArray
    lower: FloatArray
    upper: FloatArray
    number: int


_Batch = tuple[list[_Cell], Mapping[str, Form]]
"""Cells before one ReLU node, and forms of what it and later ones read, a row per cell."""


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """A cell within one ReLU node: signs (size,) of its units so far, which points (indices) are inside, its number."""

    functions: tuple[Function, ...]
    signs: ByteArray
    inside: IntArray
    number: int


@dataclass(slots=True)
class _Units:
    """The pre-activations of a ReLU node on a cell: their form, and their values at points inside.

    Unit k of the node is unit `first` + k of the network.
    """

    form: Form
    first: int
    exact: ExactRows
    points: FloatArray
    values: FloatArray = field(init=False)
    errors: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.values, self.errors = level(self.form, self.points)

    def add(self, point: FloatArray) -> int:
        """Remember a point; its index."""
        values, errors = level(self.form, point[None])
        self.points = np.vstack([self.points, point])
        self.values, self.errors = np.vstack([self.values, values]), np.vstack([self.errors, errors])
        return len(self.points) - 1

    def function(self, unit: int, sign: int) -> Function:
        """sign * z of a unit."""
        column = self.form.coefficients[0, :, unit]
        error = float(self.form.error[0, unit])
        made = Function(column[:-1], float(column[-1]), error, lambda: self.exact(self.first + unit), self.first + unit)
        return made if sign > 0 else made.negated()

    def exactly(self, inside: IntArray, function: Function) -> IntArray:
        """One of some points where a function is positive, though rounding hides it; those found last come first."""
        row = function.exact()
        found = (k for k in inside[::-1].tolist() if value_at(row, self.points[k].tolist()) > 0)
        return np.array([*islice(found, 1)], dtype=np.int64)

    def positive(self, node: _Node) -> BoolArray:
        """(size,) which units have z > 0 inside a cell: z >= 0 is proved, but z may be zero on all of it."""
        active = node.signs > 0
        shown = (self.values[node.inside] > self.errors[node.inside]).any(axis=0)
        for unit in np.flatnonzero(active & ~shown).tolist():
            active[unit] = any(self.exact(self.first + unit))
        return active


class PartSearch:
    """The search on one polytope with at least one free input.

    Args:
        network: the network.
        polytope: the inputs.
        seed: of random points.
        budget: seconds.
        record: whether the tree is kept, with a reason for each sign: bounds of units are not used then.
    """

    def __init__(
        self, network: Network, polytope: Polytope, seed: int, budget: Budget, *, record: bool = False
    ) -> None:
        self.network, self.polytope, self.budget, self.record = network, polytope, budget, record
        self.tree = CellTree()
        self.frame = make_frame(polytope.box)
        self.count = PartCount()
        self.geometry = Geometry(self.frame)
        self._relus, self._plan = network.relus, _plan(network)
        self._seed = seed
        box = polytope.box
        bounds = crown_bounds(network, box.lower[None], box.upper[None])
        signs = (_stable(bounds[r.source].lower[0], bounds[r.source].upper[0]) for r in self._relus)
        self._known = tuple(one * np.int8(not record) for one in signs)
        self._limits = [_cells(int((signs == 0).sum()), self.frame.free.size) for signs in self._known]

    @property
    def bound(self) -> int:
        """How many regions there can be: per node as many as hyperplanes can make of one cell."""
        return prod(self._limits)

    def run(self) -> PartCount:
        """Search; what time cuts off is counted in `unexplored`."""
        root = self._root()
        if root is not None:
            first: _Batch = ([root], input_forms(self.network, self.frame))
            stack = [iter([first])]
            while stack:
                batch = next(stack[-1], None)
                if batch is None:
                    stack.pop()
                elif len(stack) > len(self._relus):
                    self._collect(batch[0])
                else:
                    stack.append(self._advance(len(stack) - 1, *batch))
        self.count.questions, self.count.exact = self.geometry.questions, self.geometry.exact
        if self.record and self.tree.whole and not (self.count.unexplored or self.count.flat):
            self.count.tree = self.tree
        return self.count

    # The part itself

    def _root(self) -> _Cell | None:
        """The part as a cell; None where it has no interior or nobody knows."""
        frame = self.frame
        random = np.random.default_rng(self._seed).random((_SAMPLES, frame.free.size))
        functions = domain_functions(self.polytope, frame)
        side, points = self.geometry.inside(functions, frame.lower + (frame.upper - frame.lower) * random)
        if side is Side.FULL:
            return _Cell(functions, (), points, frame.lower, frame.upper, self.tree.add(-1, 0))
        self.count.flat = side is Side.EMPTY
        if side is Side.UNDECIDED:
            self._give_up(self.bound)
        return None

    def _give_up(self, share: int) -> None:
        """Leave a cell that is neither proved empty nor full; it has at most `share` regions."""
        self.count.undecided += 1
        self.count.unexplored += share

    def _share(self, depth: int, open_units: int) -> int:
        """The most regions of a cell of a ReLU node on which so many of its units may change sign."""
        return _cells(open_units, self.frame.free.size) * prod(self._limits[depth + 1 :])

    # One ReLU node

    def _advance(self, depth: int, cells: list[_Cell], forms: Mapping[str, Form]) -> Iterator[_Batch]:
        """The cells of the next node with their forms up to it, some at a time, so that regions come early."""
        relu = self._relus[depth]
        grown = dict(forms)
        for node in self._plan[depth].affine:
            grown[node.name] = affine_form(node, grown, self.frame, len(cells))
        z = grown[relu.source]
        lower, upper = np.stack([c.lower for c in cells]), np.stack([c.upper for c in cells])
        low, high = reach(z, lower, upper)
        following: list[_Cell] = []
        parents: list[int] = []
        for index, cell in enumerate(cells):
            signs = np.where(self._known[depth] == 0, _stable(low[index], high[index]), self._known[depth])
            signs = self._known[depth] if self.record else signs
            for child in self._split(depth, cell, z.take(np.array([index])), signs.astype(np.int8)):
                following.append(child)
                parents.append(index)
                if len(following) == _CHUNK:
                    yield self._batch(depth, following, parents, grown)
                    following, parents = [], []
        if following:
            yield self._batch(depth, following, parents, grown)

    def _batch(self, depth: int, cells: list[_Cell], parents: list[int], grown: Mapping[str, Form]) -> _Batch:
        relu, index = self._relus[depth], np.array(parents)
        active = np.stack([cell.pattern[-1] for cell in cells])
        kept = {name: grown[name].take(index) for name in self._plan[depth].kept if name != relu.name}
        if relu.name in self._plan[depth].kept:
            kept[relu.name] = relu_form(grown[relu.source].take(index), active)
        return cells, kept

    def _split(self, depth: int, cell: _Cell, form: Form, signs: ByteArray) -> Iterator[_Cell]:
        """The smallest cells of a ReLU node inside a cell; others may be visited between two of them."""
        if self.budget.exhausted():
            self.count.exhausted = False
            self.count.unexplored += self._share(depth, int((signs == 0).sum()))
            return
        self.geometry.visit(cell.functions)
        first = sum(on.size for on in cell.pattern)
        pattern = {relu.name: on for relu, on in zip(self._relus, cell.pattern, strict=False)}
        units = _Units(form, first, ExactRows(self.network, self.frame, pattern), cell.points)
        lower, upper = cell.lower, cell.upper
        if (signs == 0).sum() > 2 * len(lower) and not self.record:
            lower, upper, corners = self.geometry.extent()
            middle = cell.points.mean(axis=0)
            corners = corners + 0.02 * (middle - corners)
            units = _Units(
                form, first, units.exact, np.vstack([cell.points, corners[self.geometry.depth(corners) > 0]])
            )
            low, high = reach(form, lower[None], upper[None])
            signs = np.where(signs == 0, _stable(low[0], high[0]), signs).astype(np.int8)
        stack = [_Node(cell.functions, signs, np.arange(len(units.points)), cell.number)]
        while stack:
            node = stack.pop()
            if self.budget.exhausted():
                self.count.exhausted = False
                self.count.unexplored += self._share(depth, int((node.signs == 0).sum()))
                continue
            crossing = np.flatnonzero(node.signs == 0)
            if node.inside.size:
                node, crossing = self._settle(depth, node, units)
            if not node.inside.size:
                self._give_up(self._share(depth, crossing.size))
                continue
            if crossing.size:
                stack += self._cut(node, crossing, units)
                continue
            points = units.points[node.inside[:_MOST_POINTS]]
            yield _Cell(node.functions, (*cell.pattern, units.positive(node)), points, lower, upper, node.number)

    def _settle(self, depth: int, node: _Node, units: _Units) -> tuple[_Node, IntArray]:
        """The node with the signs of units that keep one, and the units that change theirs."""
        self.geometry.visit(node.functions)
        signs, inside, functions = node.signs.copy(), list(node.inside), list(node.functions)
        values, errors = units.values[node.inside], units.errors[node.inside]
        seen = {1: np.asarray((values > errors).any(axis=0)), -1: np.asarray((values < -errors).any(axis=0))}
        crossing = []
        base = units.points[node.inside].mean(axis=0)
        if not float(self.geometry.depth(base[None])[0]) > 0:
            base = units.points[node.inside[0]]
        for unit in np.flatnonzero(signs == 0).tolist():
            settled = 0
            for side in (1, -1):
                if seen[side][unit] or settled:
                    continue
                answer, point = self.geometry.positive(units.function(unit, side), base)
                if answer is Side.EMPTY:
                    settled = -side
                    self._note(node.number, units, unit, settled)
                elif point is not None:
                    fresh = units.add(point)
                    inside.append(fresh)
                    for sign in (1, -1):
                        seen[sign] = seen[sign] | (sign * units.values[fresh] > units.errors[fresh])
                    seen[side][unit] = True
                else:
                    settled = -side
                    self._give_up(self._share(depth, int((signs == 0).sum()) - 1))
                    functions.append(units.function(unit, -side))
                    self.geometry.visit(functions)
            if settled:
                signs[unit] = settled
            else:
                crossing.append(unit)
        kept = np.array(inside)
        if len(functions) > len(node.functions):
            kept = kept[self.geometry.depth(units.points[kept]) > 0]
        return _Node(tuple(functions), signs, kept, node.number), np.array(crossing, dtype=np.int64)

    def _note(self, number: int, units: _Units, unit: int, sign: int) -> None:
        """Record why a unit has a sign on a cell."""
        if self.record:
            reason = self.geometry.reason(units.function(unit, -sign))
            self.tree.whole &= reason is not None
            self.tree.facts.append((number, units.first + unit, sign, reason or {}))

    def _cut(self, node: _Node, crossing: IntArray, units: _Units) -> list[_Node]:
        """Both sides of the unit that halves the points best."""
        values, errors = units.values[node.inside][:, crossing], units.errors[node.inside][:, crossing]
        above, below = values > errors, values < -errors
        unit = int(np.argmax(np.minimum(above.sum(axis=0), below.sum(axis=0))))
        children = []
        self.tree.unit[node.number] = units.first + int(crossing[unit])
        for sign, side in ((-1, below), (1, above)):
            signs = node.signs.copy()
            signs[crossing[unit]] = sign
            function = units.function(int(crossing[unit]), sign)
            inside = node.inside[side[:, unit]]
            if not inside.size:
                inside = units.exactly(node.inside, function)
            number = self.tree.add(node.number, int(sign > 0))
            children.append(_Node((*node.functions, function), signs, inside, number))
        return children

    def _collect(self, cells: list[_Cell]) -> None:
        """Regions of the smallest cells of the last node."""
        for cell in cells:
            self.geometry.visit(cell.functions)
            point, radius = self.geometry.centre() or (cell.points[0], 0.0)
            if not radius > 0:
                depths = self.geometry.depth(cell.points)
                best = int(np.argmax(depths))
                point, radius = cell.points[best], max(0.0, float(depths[best]))
            pattern = np.concatenate([np.zeros(0, dtype=bool), *cell.pattern])
            cuts = np.array([f.unit for f in cell.functions if f.unit >= 0], dtype=np.int64)
            self.count.regions.append(Region(pattern, self.frame.whole(point[None])[0], radius, cuts))


def domain_functions(polytope: Polytope, frame: Frame) -> tuple[Function, ...]:
    """bound - row . x of the linear constraints of a part of the domain."""
    box, free = polytope.box, frame.free
    fixed = np.setdiff1d(np.arange(box.size), free)
    found = []
    for row, bound in zip(polytope.matrix, polytope.bound.tolist(), strict=True):
        constant = bound - float(row[fixed] @ box.lower[fixed])
        size = abs(bound) + float(np.abs(row[fixed]) @ np.abs(box.lower[fixed]))
        rest = sum((Fraction(float(row[k])) * Fraction(float(box.lower[k])) for k in fixed), Fraction(0))
        exact = (*(-Fraction(v) for v in row[free].tolist()), Fraction(bound) - rest)
        if not any(exact[:-1]) and exact[-1] >= 0:
            continue  # it says nothing
        found.append(Function(-row[free], constant, gamma(fixed.size + 4) * size, constantly(exact)))
    return tuple(found)


def constantly(row: Row) -> Callable[[], Row]:
    """A row that is there already, as `Function.exact`."""
    return lambda: row


def _stable(lower: FloatArray, upper: FloatArray) -> ByteArray:
    """-1 where z <= 0 is proved, 1 where z >= 0 is, 0 elsewhere."""
    return np.where(upper <= 0, -1, np.where(lower >= 0, 1, 0)).astype(np.int8)


def _cells(hyperplanes: int, dimension: int) -> int:
    """The most cells that so many hyperplanes make (Zaslavsky 1975)."""
    return sum(comb(hyperplanes, k) for k in range(dimension + 1))


@dataclass(frozen=True, slots=True)
class _Step:
    """What is done for one ReLU node: affine nodes to compute before it, values that later steps read."""

    affine: tuple[Affine, ...]
    kept: tuple[str, ...]


def _plan(network: Network) -> list[_Step]:
    """The steps, in topological order."""
    computed = {port.name for port in network.inputs}
    after: list[set[str]] = []
    todo: list[tuple[Affine, ...]] = []
    for relu in network.relus:
        before = ancestors(network, relu.name)
        nodes = (node for node in network.nodes if node.name in before and node.name not in computed)
        todo.append(tuple(node for node in nodes if isinstance(node, Affine)))
        computed = computed | {node.name for node in todo[-1]} | {relu.name}
        after.append(computed)
    steps: list[_Step] = []
    read: set[str] = set()
    for relu, affine, known in reversed(list(zip(network.relus, todo, after, strict=True))):
        steps.append(_Step(affine, tuple(sorted(known & read))))
        read |= {relu.source}.union(*(node.sources for node in affine))
    return steps[::-1]
