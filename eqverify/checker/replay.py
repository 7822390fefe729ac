"""The steps of a proof, repeated in order: each bound is computed anew from those established before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.checker.certificate import BoxTree, Cover, Pass, Rows, SignTree, Solver, Step, Zero
from eqverify.checker.numbers import SLACK, TINY, Floats
from eqverify.checker.region import Hints, Interval, Region, lines
from eqverify.domain import Assumption, Domain
from eqverify.errors import EmptySetError, Place, RejectedError
from eqverify.network import Affine, Dense, Network, Relu, gamma, split_inputs

DERIVED, DUAL, TREE, SOLVER = 1, 2, 3, 4
"""Kinds of evidence; what is established after a dearer step may rest on it."""

_BATCH = 1 << 22


@dataclass(frozen=True, slots=True, eq=False)
class Established:
    """What the steps showed.

    Attributes:
        bounds: by pre-activation node, intervals (parts, n).
        evidence: by pre-activation node, (n,) the kind of step after which the unit's sign was known, 0 for none.
        trusted: units, as (node, unit), whose sign rests on a solver's word.
    """

    bounds: dict[str, Interval]
    evidence: dict[str, IntArray]
    trusted: int

    def hull(self, node: str) -> Interval:
        """(1, n) over all parts."""
        lower, upper = self.bounds[node]
        return Interval(lower.min(axis=0, keepdims=True), upper.max(axis=0, keepdims=True))


def input_bounds(network: Network, lower: FloatArray, upper: FloatArray) -> dict[str, Interval]:
    """The boxes (boxes, input_size) as intervals of the inputs."""
    lowers, uppers = split_inputs(network, lower), split_inputs(network, upper)
    return {name: Interval(lowers[name], uppers[name]) for name in lowers}


@dataclass(slots=True)
class Replay:
    """Repeats steps.

    Attributes:
        network, domain, numbers: what the proof is about, and the arithmetic.
        region: the parts of the domain with the bounds established so far.
        evidence, words: as in `Established`; the units about which a solver was believed.
    """

    network: Network
    domain: Domain
    numbers: Floats
    region: Region = field(init=False)
    evidence: dict[str, IntArray] = field(default_factory=dict)
    words: set[tuple[str, int]] = field(default_factory=set)
    _kind: int = DERIVED
    _stale: set[str] = field(default_factory=set)
    _targets: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        bounds = input_bounds(self.network, self.domain.lower, self.domain.upper)
        self.region = Region(self.network, self.numbers, bounds)
        self._stale = {node.name for node in self.network.nodes}
        self._targets = tuple(dict.fromkeys(relu.source for relu in self.network.relus))
        self.evidence = {name: np.zeros(self.network.sizes[name], dtype=np.int64) for name in self._targets}
        self._pass(())

    def run(self, steps: Sequence[Step]) -> Established:
        """All steps.

        Raises:
            RejectedError: `check/...` where a step does not show what it should.
            EmptySetError: no input is in question; a `RejectedError` as well.
        """
        for step in steps:
            if isinstance(step, Pass):
                self._kind = max(self._kind, DUAL if step.rows else DERIVED)
                self._pass(step.rows)
            elif isinstance(step, BoxTree):
                self._kind = max(self._kind, TREE)
                self._box_tree(step)
            elif isinstance(step, SignTree):
                self._kind = max(self._kind, TREE)
                self._sign_tree(step)
            elif isinstance(step, Zero):
                self._zero(step)
            elif isinstance(step, Cover):
                self._kind = max(self._kind, TREE)
                self._cover(step)
            else:
                self._kind = SOLVER
                self._believe(step)
        return self.established()

    def established(self) -> Established:
        """What was shown so far."""
        trusted = {
            (name, int(unit)) for name, kinds in self.evidence.items() for unit in np.flatnonzero(kinds == SOLVER)
        }
        return Established(self.bounds, self.evidence, len(trusted | self.words))

    @property
    def bounds(self) -> dict[str, Interval]:
        """By pre-activation node, what is established so far, (parts, n)."""
        return {name: self.region.bounds[name] for name in self._targets}

    def _learn(self, name: str, found: Interval) -> None:
        """Take bounds of a node on all parts."""
        old = self.region.bounds[name]
        new, empty = old.meet(found)
        if empty.any():
            place = Place(node=name)
            raise EmptySetError("check/contradiction", "two bounds of a unit exclude each other", place=place)
        if (new.lower > old.lower).any() or (new.upper < old.upper).any():
            order = [node.name for node in self.network.nodes]
            self._stale.update(order[order.index(name) + 1 :] if name in order else order)
        self.region.bounds[name] = new
        if name in self.evidence:
            signed = (new.upper <= 0).all(axis=0) | (new.lower >= 0).all(axis=0)
            self.evidence[name] = np.where(signed & (self.evidence[name] == 0), self._kind, self.evidence[name])

    def _pass(self, rows: Sequence[Rows]) -> None:
        """Intervals, signs and CROWN bounds of all nodes in order, where something before them changed, then rows."""
        region = self.region
        for node in self.network.nodes:
            if node.name in self._stale:
                self._stale.remove(node.name)
                region.losses.pop(node.name, None)
                self._refresh(node)
            for one in rows:
                if one.node == node.name:
                    self._rows(one)

    def _refresh(self, node: Affine | Relu) -> None:
        region, name = self.region, node.name
        if isinstance(node, Relu):
            z = region.bounds[node.source]
            region.lines[name] = lines(self.numbers, z)
            self._set(name, Interval(np.maximum(z.lower, 0.0), np.maximum(z.upper, 0.0)))
            return
        self._set(name, region.interval(node))
        if name not in self.evidence:
            return
        signs = _signs(node, region)
        if signs is not None:
            self._learn(name, signs)
        units = np.flatnonzero(region.bounds[name].open().any(axis=0))[None]
        if region.lines and units.size:
            self._learn(name, _scattered(region.two_sided(name, units), units, region.bounds[name]))

    def _set(self, name: str, found: Interval) -> None:
        if name not in self.region.bounds:
            nothing = np.full(found.lower.shape, np.inf)
            self.region.bounds[name] = Interval(-nothing, nothing)
        self._learn(name, found)

    def _rows(self, rows: Rows) -> None:
        """Rows with slopes and multipliers of their own, for some parts."""
        parts = slice(rows.part, rows.part + rows.count)
        region = self.region.take(parts) if self.region.boxes > 1 else self.region
        if rows.hints.mu is not None:
            part = self.domain.polytopes[rows.part]
            region.constraints = part.matrix, part.bound
        found = region.maxima(rows.node, rows.units[None], rows.signs, rows.hints)
        region.constraints = None
        lower, upper = (bound.copy() for bound in self.region.bounds[rows.node])
        for row, (unit, sign) in enumerate(zip(rows.units, rows.signs, strict=True)):
            if sign > 0:
                upper[parts, unit] = np.minimum(upper[parts, unit], found[:, row])
            else:
                lower[parts, unit] = np.maximum(lower[parts, unit], -found[:, row])
        self._learn(rows.node, Interval(lower, upper))

    def assume(self, assumed: Assumption) -> None:
        """From here on only the inputs whose outputs satisfy these constraints are in question (B-9)."""
        self.region.assumed = assumed

    def _zero(self, step: Zero) -> None:
        if not float(self._bounded(step.hints)[0, 0]) < 0:
            raise RejectedError("check/zero", "the multipliers do not show that no input is in question")
        raise EmptySetError("check/contradiction", "the constraints exclude each other")

    def _bounded(self, hints: Hints) -> FloatArray:
        """The zero row on the one part that there is."""
        self.region.constraints = self.domain.polytopes[0].matrix, self.domain.polytopes[0].bound
        found = self.region.zero(hints)
        self.region.constraints = None
        return found

    def _cover(self, step: Cover) -> None:
        """Take the hull of what holds on the boxes that do not miss the set in question (B-11)."""
        known, assumed = self.region.bounds, self.region.assumed
        assert assumed is not None
        width = max(self.network.sizes.values())
        size = 1 if self.numbers.exact else max(1, min(256, _BATCH // (2 * width * width)))
        nu = np.concatenate([np.eye(len(assumed)), np.ones((1, len(assumed)))])[None]
        hull: dict[str, Interval] = {}
        for start in range(0, len(step.lower), size):
            some = slice(start, start + size)
            region = Region(self.network, self.numbers, {}, assumed=assumed)
            missing = fill(region, step.lower[some], step.upper[some])
            for name, z in known.items():
                missing |= z.meet(region.bounds[name])[1]
            missing |= (region.zero(Hints(nu=nu)) < 0).any(axis=1)
            for name in {port.name for port in self.network.inputs} | set(self._targets):
                lower, upper = (bound[~missing] for bound in region.bounds[name])
                if len(lower):
                    low, high = lower.min(axis=0, keepdims=True), upper.max(axis=0, keepdims=True)
                    old = hull.get(name, Interval(low, high))
                    hull[name] = Interval(np.minimum(old.lower, low), np.maximum(old.upper, high))
        if not hull:
            raise EmptySetError("check/contradiction", "no box is left")
        for name, interval in hull.items():
            self._learn(name, interval)

    def _believe(self, step: Solver) -> None:
        self.words.add((step.node, step.unit))
        self._limit(step.node, step.part, step.unit, step.sign, 0.0)

    def _box_tree(self, step: BoxTree) -> None:
        """Walk down from the roots; a goal is open on a box until it holds there; none may be open at a leaf."""
        _Walk(self, step).run()
        for name in set(step.nodes):
            lower, upper = (bound.copy() for bound in self.region.bounds[name])
            own = np.array([node == name for node in step.nodes])
            above, below = (step.units[own & (step.signs == sign)] for sign in (1, -1))
            upper[:, above], lower[:, below] = np.minimum(upper[:, above], 0.0), np.maximum(lower[:, below], 0.0)
            self._learn(name, Interval(lower, upper))

    def _sign_tree(self, step: SignTree) -> None:
        """Bounds at the leaves, where the signs on the way are given; the sides of each split cover its parent."""
        base = self.region.take(slice(step.part, step.part + 1))
        chosen = step.leaves
        count = len(chosen)
        bounds = {
            name: Interval(np.repeat(z.lower, count, axis=0), np.repeat(z.upper, count, axis=0))
            for name, z in base.bounds.items()
        }
        vacuous = np.zeros(count, dtype=bool)
        sides = {name: side[chosen].astype(np.float64) for name, side in step.sides(self.network).items()}
        error = {node.name: base.error(node) for node in self.network.nodes if isinstance(node, Affine)}
        region = Region(self.network, self.numbers, bounds, losses=error)
        part = self.domain.polytopes[step.part]
        region.constraints = part.matrix, part.bound
        for node in self.network.nodes:
            if isinstance(node, Relu):
                z = bounds[node.source]
                if node.source in sides:
                    z, empty = z.meet(_told(sides[node.source]))
                    bounds[node.source], vacuous = z, vacuous | empty
                region.lines[node.name] = lines(self.numbers, z)
                bounds[node.name] = Interval(np.maximum(z.lower, 0.0), np.maximum(z.upper, 0.0))
        units = np.array([[step.unit]])
        found = region.maxima(step.node, units, np.array([float(step.sign)]), step.hints)[:, 0]
        self._limit(step.node, step.part, step.unit, step.sign, float(np.where(vacuous, -np.inf, found).max()))

    def _limit(self, node: str, part: int, unit: int, sign: int, most: float) -> None:
        """Take that sign * z_unit <= most on one part; -inf where it has no points."""
        lower, upper = (bound.copy() for bound in self.region.bounds[node])
        if sign > 0:
            upper[part, unit] = min(upper[part, unit], most if most > -np.inf else lower[part, unit])
        else:
            lower[part, unit] = max(lower[part, unit], -most if most > -np.inf else upper[part, unit])
        self._learn(node, Interval(lower, upper))


def fill(region: Region, lower: FloatArray, upper: FloatArray) -> BoolArray:
    """Bounds of all nodes on boxes from the boxes alone, by intervals and CROWN; (boxes,) bool where they are void.

    Args:
        region: without bounds.
        lower, upper: (boxes, input_size).
    """
    network, void = region.network, np.zeros(len(lower), dtype=bool)
    region.bounds.update(input_bounds(network, lower, upper))
    targets = {relu.source for relu in network.relus}
    for node in network.nodes:
        if isinstance(node, Relu):
            z = region.bounds[node.source]
            region.lines[node.name] = lines(region.numbers, z)
            region.bounds[node.name] = Interval(np.maximum(z.lower, 0.0), np.maximum(z.upper, 0.0))
            continue
        region.bounds[node.name] = z = region.interval(node)
        mask = z.open()
        if node.name in targets and region.lines and mask.any():
            units = _target_units(node, mask)
            found = _scattered(region.two_sided(node.name, units), units, z)
            found = Interval(np.where(mask, found.lower, -np.inf), np.where(mask, found.upper, np.inf))
            region.bounds[node.name], empty = z.meet(found)
            void |= empty
    return void


def _told(sides: FloatArray | ByteArray) -> Interval:
    """What signs that are given say: 1 for z >= 0, -1 for z <= 0."""
    return Interval(np.where(sides > 0, 0.0, -np.inf), np.where(sides < 0, 0.0, np.inf))


def _scattered(found: Interval, units: IntArray, like: Interval) -> Interval:
    """Bounds (boxes, m) of some units as bounds of all, infinite elsewhere."""
    units = np.broadcast_to(units, found.lower.shape)
    lower, upper = np.full(like.lower.shape, -np.inf), np.full(like.upper.shape, np.inf)
    np.put_along_axis(lower, units, found.lower, 1)
    np.put_along_axis(upper, units, found.upper, 1)
    return Interval(lower, upper)


def _signs(node: Affine, region: Region) -> Interval | None:
    """Bounds at 0 where all summands have one sign (comparisons only); for dense maps."""
    if not all(isinstance(term.map, Dense) for term in node.terms):
        return None
    positive, negative = ((side * node.bias > 0).astype(np.float64)[None] for side in (1.0, -1.0))
    for term in node.terms:
        weight, (lower, upper) = term.map.dense(), region.bounds[term.source]
        plus, minus = (weight > 0).astype(np.float64).T, (weight < 0).astype(np.float64).T
        above, below = (upper > 0).astype(np.float64), (lower < 0).astype(np.float64)
        positive = positive + above @ plus + below @ minus
        negative = negative + above @ minus + below @ plus
    positive, negative = (np.broadcast_to(one, (region.boxes, node.size)) for one in (positive, negative))
    return Interval(np.where(negative == 0, 0.0, -np.inf), np.where(positive == 0, 0.0, np.inf))


class _Walk:
    """The walk through one tree of boxes, level by level.

    What is known on a box: the bounds of its part of the domain, and the signs found on its parents.
    """

    def __init__(self, replay: Replay, step: BoxTree) -> None:
        self.replay, self.step = replay, step
        self.network, self.numbers = replay.network, replay.numbers
        self.goals = len(step.units)
        self.offsets, start = {}, 0
        for name in replay._targets:
            self.offsets[name], start = start, start + self.network.sizes[name]
        self.signs = start
        names = [node.name for node in self.network.nodes]
        self.order = np.array([names.index(name) for name in step.nodes])
        self.rows = [np.flatnonzero([node == name for node in step.nodes]) for name in names]

    def run(self) -> None:
        domain, tree = self.replay.domain, self.step
        index = np.flatnonzero(tree.parent < 0)
        part = tree.part[index]
        if sorted(part.tolist()) != list(range(len(domain.polytopes))):
            raise RejectedError("check/tree-roots", "a tree needs one root for each part of the domain")
        lower, upper = domain.lower[part], domain.upper[part]
        open_goals = np.ones((len(index), self.goals), dtype=bool)
        signs = np.zeros((len(index), self.signs), dtype=np.int8)
        width = max((self.network.sizes[relu.name] for relu in self.network.relus), default=1)
        size = 1 if self.numbers.exact else max(1, min(256, _BATCH // (2 * width * width)))
        while len(index):
            for start in range(0, len(index), size):
                some = slice(start, start + size)
                open_goals[some], signs[some] = self._bound(
                    part[some], lower[some], upper[some], open_goals[some], signs[some]
                )
            going = np.flatnonzero(open_goals.any(axis=1))
            dimension, at = tree.dimension[index[going]], tree.at[index[going]]
            if (dimension < 0).any():
                goal = int(np.argmax(open_goals[going[np.argmin(dimension)]]))
                raise RejectedError(
                    "check/tree-open", "a sign is open at a leaf",
                    place=Place(node=tree.nodes[goal], unit=int(tree.units[goal])),
                )  # fmt: skip
            if not ((at >= lower[going, dimension]) & (at <= upper[going, dimension])).all():
                raise RejectedError("check/tree-split", "a box is split outside of itself")
            low, high = lower[going], upper[going]
            middle_low, middle_high = low.copy(), high.copy()
            middle_high[np.arange(len(going)), dimension] = at
            middle_low[np.arange(len(going)), dimension] = at
            index = np.concatenate([tree.children[index[going], 0], tree.children[index[going], 1]])
            lower, upper = np.concatenate([low, middle_low]), np.concatenate([middle_high, high])
            part, open_goals, signs = (np.concatenate([a[going], a[going]]) for a in (part, open_goals, signs))

    def _bound(
        self, part: IntArray, lower: FloatArray, upper: FloatArray, wanted: BoolArray, signs: ByteArray
    ) -> tuple[BoolArray, ByteArray]:
        """The goals that stay open, and the signs known, on a batch of boxes."""
        outside = np.zeros(len(part), dtype=bool)
        for number in np.unique(part):
            polytope = self.replay.domain.polytopes[int(number)]
            own = part == number
            if not polytope.is_box:
                outside[own] = _outside(polytope.matrix, polytope.bound, lower[own], upper[own])
        last = int(self.order[wanted.any(axis=0)].max())
        region = Region(self.network, self.numbers, input_bounds(self.network, lower, upper))
        signs, vacuous = signs.copy(), outside
        for number, node in enumerate(self.network.nodes[: last + 1]):
            if isinstance(node, Relu):
                z = region.bounds[node.source]
                region.lines[node.name] = lines(self.numbers, z)
                region.bounds[node.name] = Interval(np.maximum(z.lower, 0.0), np.maximum(z.upper, 0.0))
                continue
            z, empty = region.interval(node).meet(self.replay.region.bounds[node.name].take(part))
            vacuous = vacuous | empty
            if node.name in self.offsets:
                z, empty = self._units(region, node, z, signs, wanted, number == last)
                vacuous = vacuous | empty
            region.bounds[node.name] = z
        worst = self._worst(region, wanted)
        worst[vacuous] = -np.inf
        closed = wanted & (worst <= 0)
        return wanted & ~closed, signs

    def _units(
        self, region: Region, node: Affine, z: Interval, signs: ByteArray, wanted: BoolArray, last: bool
    ) -> tuple[Interval, BoolArray]:
        """CROWN for the units that later nodes or goals need; notes the signs."""
        own = slice(self.offsets[node.name], self.offsets[node.name] + node.size)
        z, empty = z.meet(_told(signs[:, own]))
        mask = z.open()
        if last:
            asked = np.zeros_like(mask)
            for goal in self.rows[self.network.nodes.index(node)]:
                asked[:, self.step.units[goal]] |= wanted[:, goal]
            mask &= asked
        if region.lines and mask.any():
            region.bounds[node.name] = z
            units = _target_units(node, mask)
            found = _scattered(region.two_sided(node.name, units), units, z)
            # Lists are filled up with units that nobody asked for: what is said of them would depend on the batch.
            found = Interval(np.where(mask, found.lower, -np.inf), np.where(mask, found.upper, np.inf))
            z, contradictory = z.meet(found)
            empty = empty | contradictory
        signs[:, own] = np.where(z.upper <= 0, -1, np.where(z.lower >= 0, 1, signs[:, own]))
        return z, empty

    def _worst(self, region: Region, wanted: BoolArray) -> FloatArray:
        worst = np.full(wanted.shape, np.inf)
        for name in set(self.step.nodes) & region.bounds.keys():
            goals = self.rows[self.network.nodes.index(self.network.by_name[name])]
            units, z = self.step.units[goals], region.bounds[name]
            worst[:, goals] = np.where(self.step.signs[goals] > 0, z.upper[:, units], -z.lower[:, units])
        return worst


def _target_units(node: Affine, wanted: BoolArray) -> IntArray:
    """(boxes or 1, m) components with at least those wanted; lists per box where maps are dense."""
    if len(wanted) == 1 or not all(isinstance(term.map, Dense) for term in node.terms):
        return np.flatnonzero(wanted.any(axis=0))[None]
    most = int(wanted.sum(axis=1).max(initial=0))
    return np.argsort(~wanted, axis=1, kind="stable")[:, :most]


def _outside(matrix: FloatArray, bound: FloatArray, lower: FloatArray, upper: FloatArray) -> BoolArray:
    """(boxes,) bool: no point of the box satisfies  matrix x <= bound, beyond rounding."""
    least = lower @ np.maximum(matrix, 0.0).T + upper @ np.minimum(matrix, 0.0).T
    size = np.maximum(np.abs(lower), np.abs(upper)) @ np.abs(matrix).T
    slack = gamma(2 * matrix.shape[1] + 4) * size * SLACK + TINY
    return np.asarray((np.nextafter(least - slack, -np.inf) > bound).any(axis=1))
