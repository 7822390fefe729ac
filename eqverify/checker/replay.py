"""The steps of a proof, repeated in order: each bound is computed anew from those established before it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.checker.numbers import Floats
from eqverify.checker.reader import Reader, reject
from eqverify.checker.region import Interval, Pull, Region
from eqverify.domain import Assumption, Domain
from eqverify.errors import EmptySetError, Place, RejectedError
from eqverify.network import Network, Node, split_inputs

DERIVED, DUAL, TREE, SOLVER = 1, 2, 3, 4
"""Kinds of evidence; what is established after a weaker step may rest on it."""

_TREE_BYTES = 1 << 28
ALL = slice(None)


class Boxes(NamedTuple):
    """The nodes of a tree of boxes, parents first: distance from the root, part of the domain, bounds."""

    parent: IntArray
    part: IntArray
    depth: IntArray
    leaf: BoolArray
    lower: FloatArray
    upper: FloatArray

    def levels(self) -> list[IntArray]:
        """The nodes by their distance from the root, from the top."""
        order = np.argsort(self.depth, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(self.depth[order])) + 1)


class Replay:
    """Repeats steps.

    Attributes:
        network, domain, numbers: what the proof is about, and the arithmetic.
        constraints: by part of the domain, what holds for the inputs in question.
        directed: whether constraints on outputs are among them: then there is one part.
        region: the parts of the domain with the bounds established so far.
        evidence: by pre-activation node, (n,) the kind of step after which the unit's sign was known, 0 for none.
        words: units about which a solver was believed.
        believes: whether a solver is believed at all.

    Args:
        known: bounds of nodes that are established already; by default of none.
    """

    def __init__(
        self, network: Network, domain: Domain, numbers: Floats, known: Mapping[str, Interval] | None = None
    ) -> None:
        self.network, self.domain, self.numbers = network, domain, numbers
        no_outputs = [np.zeros((part.bound.size, network.output_size)) for part in domain.polytopes]
        self.constraints = [
            Assumption(zeros, part.matrix, part.bound) for zeros, part in zip(no_outputs, domain.polytopes, strict=True)
        ]
        self.directed, self.believes = False, True
        self.region = Region(network, numbers, {**input_bounds(network, domain.lower, domain.upper), **(known or {})})
        self.columns: dict[str, slice] = {}  # by pre-activation node, its units among those of all layers
        start = 0
        for relu in network.relus:
            self.columns.setdefault(relu.source, slice(start, start := start + network.sizes[relu.name]))
        self.evidence = {name: np.zeros(network.sizes[name], dtype=np.int64) for name in self.columns}
        self.words: set[tuple[str, int]] = set()
        self._index = {node.name: index for index, node in enumerate(network.nodes)}
        self._kind = DERIVED
        self._stale = 0  # the first node before which something changed
        for name, bounds in dict(self.region.bounds).items():  # a ReLU may read an input: its units may have signs
            self._set(name, bounds)
        for node in network.nodes:
            if node.name not in self.region.bounds:
                self._refresh(node)

    def run(self, reader: Reader, entry: object = None) -> None:
        """All steps of a certificate, or of an entry in it.

        Raises:
            RejectedError: `check/...` where a step does not show what it should; `certificate/...`.
            EmptySetError: no input is in question; a `RejectedError` as well.
        """
        kinds: dict[object, tuple[int, Callable[[Reader, object], None]]] = {
            "pass": (DERIVED, self._pass), "box-tree": (TREE, self._box_tree), "sign-tree": (TREE, self._sign_tree),
            "solver": (SOLVER, self._believe),
        }  # fmt: skip
        if self.directed:
            kinds |= {"zero": (DUAL, self._zero), "cover": (TREE, self._cover), "cuts": (TREE, self._cover)}
        if not self.believes:
            del kinds["solver"]
        for step in reader.items(reader.head if entry is None else entry, "steps"):
            kind = reader.field(step, "kind")
            if not isinstance(kind, str) or kind not in kinds:
                reject("step", "an unknown kind of step", str(kind)[:40])
            weakest_evidence, repeat = kinds[kind]
            self._kind = max(self._kind, weakest_evidence)
            repeat(reader, step)

    @property
    def trusted(self) -> int:
        """How many units' signs rest on a solver's word."""
        after = {(name, int(u)) for name, kinds in self.evidence.items() for u in np.flatnonzero(kinds == SOLVER)}
        return len(after | self.words)

    @property
    def bounds(self) -> dict[str, Interval]:
        """By pre-activation node, what is established so far, (parts, n)."""
        return {name: self.region.bounds[name] for name in self.columns}

    def assume(self, given: Assumption) -> None:
        """From here on only the inputs that satisfy these constraints are in question (B-9)."""
        self.constraints, self.directed = [given], True

    def assuming(self, given: Assumption, name: str, rows: BoolArray) -> Replay:
        """A copy where only the inputs that satisfy these constraints are in question.

        Args:
            given: all constraints.
            name: an affine node.
            rows: (n,) the units of it that are then at most 0.

        Raises:
            EmptySetError: no input is in question.
        """
        other = copy.copy(self)
        other.region = Region(self.network, self.numbers, dict(self.region.bounds))
        other.evidence, other.words = dict(self.evidence), set(self.words)
        other.assume(given)
        units = np.flatnonzero(rows)
        other._learn(name, units, np.ones(units.size), np.zeros((1, units.size)))
        return other

    def _set(self, name: str, new: Interval, void: BoolArray | bool = False) -> None:
        """Take bounds of a node on all parts, which are no wider than the old ones."""
        if np.any(void):
            place = Place(node=name)
            raise EmptySetError("check/contradiction", "two bounds of a unit exclude each other", place=place)
        old = self.region.bounds[name]
        if (new.lower > old.lower).any() or (new.upper < old.upper).any():
            self._stale = min(self._stale, self._index.get(name, -1) + 1)
        self.region.bounds[name] = new
        if name in self.evidence:
            signed = (new.upper <= 0).all(axis=0) | (new.lower >= 0).all(axis=0)
            self.evidence[name] = np.where(signed & (self.evidence[name] == 0), self._kind, self.evidence[name])

    def _learn(self, name: str, units: IntArray, signs: FloatArray, most: FloatArray, parts: slice = ALL) -> None:
        """Take that signs * z_units <= most, (boxes, m), on some parts."""
        lower, upper = (bound.copy() for bound in self.region.bounds[name])
        for unit, sign, bound in zip(units, signs, most.T, strict=True):
            if sign > 0:
                upper[parts, unit] = np.minimum(upper[parts, unit], bound)
            else:
                lower[parts, unit] = np.maximum(lower[parts, unit], -bound)
        self._set(name, Interval(lower, upper), bool((lower > upper).any()))

    def _refresh(self, node: Node) -> None:
        """Intervals, signs and CROWN bounds from what stands before a node."""
        old = self.region.bounds.get(node.name)
        void = self.region.bound(node, old)
        new = self.region.bounds[node.name]
        self.region.bounds[node.name] = new if old is None else old
        self._set(node.name, new, void)
        self._stale = self._index[node.name] + 1

    def _pass(self, reader: Reader, step: object) -> None:
        """K-1: all nodes in order, where something before them changed, then rows (K-2)."""
        entries = [(reader.target(entry), entry) for entry in reader.items(step, "rows")]
        self._kind = max(self._kind, DUAL if entries else DERIVED)
        for name, entry in entries:
            if name not in self._index:
                self._rows(reader, entry, name)
        for index, node in enumerate(self.network.nodes):
            if index >= self._stale:
                self._refresh(node)
            for name, entry in entries:
                if name == node.name:
                    self._rows(reader, entry, name)

    def _rows(self, reader: Reader, entry: object, name: str) -> None:
        part = reader.integer(entry, "part", 0, len(self.constraints) - 1)
        count = reader.integer(entry, "count", 1, len(self.constraints) - part)
        units = reader.integers(entry, "units", None, 0, self.network.sizes[name] - 1)
        signs = reader.signs(entry, "signs", units.size)
        parts, constraints = slice(part, part + count), self.constraints[part]
        hints = reader.hints(entry, (count, units.size), 0 if count > 1 else len(constraints))
        region = self.region.take(parts)
        region.constraints = None if count > 1 else constraints
        self._learn(name, units, signs, region.maxima(name, units[None], signs, hints), parts)

    def _zero(self, reader: Reader, step: object) -> None:
        """K-10."""
        hints = reader.hints(step, (1, 1), len(self.constraints[0]))
        region = self.region.take(slice(0, 1))
        region.constraints = self.constraints[0]
        if not float(Pull(region, hints).run()[0, 0]) < 0:
            raise RejectedError("check/zero", "the multipliers do not show that no input is in question")
        raise EmptySetError("check/contradiction", "the constraints exclude each other")

    def _word(self, reader: Reader, step: object) -> tuple[str, IntArray, FloatArray, slice]:
        """What a step is about: node, (1,) unit and sign, and part."""
        name = reader.target(step)
        unit, sign = reader.integer(step, "unit", 0, self.network.sizes[name] - 1), reader.integer(step, "sign", -1, 1)
        if not sign:
            reject("sign", "a sign is 1 or -1")
        part = reader.integer(step, "part", 0, len(self.constraints) - 1)
        return name, np.array([unit]), np.array([float(sign)]), slice(part, part + 1)

    def _believe(self, reader: Reader, step: object) -> None:
        """K-5."""
        name, units, signs, part = self._word(reader, step)
        self.words.add((name, int(units[0])))
        self._learn(name, units, signs, np.zeros((1, 1)), part)

    def _sign_tree(self, reader: Reader, step: object) -> None:
        """K-4: bounds at the leaves, where the signs on the way are given; the sides of each split cover its parent."""
        name, units, signs, part = self._word(reader, step)
        relus = self.network.relus
        parent, side, relu = reader.tree(step, "relu", len(relus) - 1)
        split = reader.units(step, "split", relu)
        if (parent < 0).sum() != 1:
            reject("tree", "not one root")
        self._require_size(parent.size)
        sides = {int(i): np.zeros((parent.size, self.network.sizes[relus[i].name]), np.int8) for i in set(relu) - {-1}}
        for node in range(1, parent.size):
            for given in sides.values():
                given[node] = given[parent[node]]
            sides[int(relu[parent[node]])][node, split[parent[node]]] = 2 * side[node] - 1
        leaves, worst = np.flatnonzero(relu < 0), np.full((1, 1), -np.inf)
        hints = reader.hints(step, (leaves.size, 1), len(self.constraints[part.start]))
        for some in self._batches(np.arange(leaves.size)):
            region, void = self.region.take(np.full(some.size, part.start)), np.zeros(some.size, dtype=bool)
            region.constraints = self.constraints[part.start]
            for index, given in sides.items():
                z, empty = region.bounds[relus[index].source].meet(_ranges(given[leaves[some]]))
                region.bounds[relus[index].source], void = z, void | empty
            for one in relus:
                region.bound(one)
            found = region.maxima(name, units[None], signs, hints.take(some, ALL))
            worst = np.maximum(worst, found[~void].max(axis=0, initial=-np.inf))
        self._learn(name, units, signs, worst, part)

    def _halvings(self, reader: Reader, step: object) -> Boxes:
        """Halvings of the boxes of the domain, with one root for each."""
        parent, side, dimension = reader.tree(step, "dimension", self.domain.size - 1)
        part = reader.integers(step, "part", parent.size, 0, len(self.constraints) - 1)
        at, depth = reader.floats(step, "at", (parent.size,)), np.zeros(parent.size, dtype=np.int64)
        self._require_size(parent.size)
        if sorted(part[parent < 0].tolist()) != list(range(len(self.constraints))):
            raise RejectedError("check/tree-roots", "a tree needs one root for each part of the domain")
        lower, upper = self.domain.lower[part], self.domain.upper[part]
        for node in np.flatnonzero(parent >= 0):
            up, cut = parent[node], dimension[parent[node]]
            lower[node], upper[node], part[node], depth[node] = lower[up], upper[up], part[up], depth[up] + 1
            if not lower[up, cut] <= at[up] <= upper[up, cut]:
                raise RejectedError("check/tree-split", "a box is split outside of itself")
            (upper if side[node] == 0 else lower)[node, cut] = at[up]
        return Boxes(parent, part, depth, dimension < 0, lower, upper)

    def _require_size(self, count: int) -> None:
        """A byte is held for each unit and node of a tree, and two floats for each input."""
        if count * (16 * self.domain.size + self.network.relu_count) > _TREE_BYTES:
            reject("tree", "a tree of more nodes than are looked at", count)

    def _box_tree(self, reader: Reader, step: object) -> None:
        """K-3: walk down from the roots; a goal is open on a box until its sign is found there, or around it (B-5)."""
        tree, units = self._halvings(reader, step), self.network.relu_count
        goals = np.isin(np.arange(units), reader.integers(step, "goals", None, 0, units - 1))
        known_signs, void = np.zeros((tree.part.size, units), dtype=np.int8), np.zeros(tree.part.size, dtype=bool)
        for level in tree.levels():
            if tree.depth[level[0]]:
                known_signs[level], void[level] = known_signs[tree.parent[level]], void[tree.parent[level]]
            for some in self._batches(level[~void[level] & (goals & (known_signs[level] == 0)).any(axis=1)]):
                void[some] = self._find_signs(tree, some, known_signs, goals & (known_signs[some] == 0))
        left = tree.leaf & ~void
        if (goals & (known_signs[left] == 0)).any():
            raise RejectedError("check/tree-open", "a sign is open at a leaf")
        for part in range(len(self.constraints)):
            signs = known_signs[left & (tree.part == part)]
            for name, own in self.columns.items():
                for sign in (-1, 1):
                    shown = np.flatnonzero((sign * signs[:, own] > 0).all(axis=0))
                    nothing = np.zeros((1, shown.size))
                    self._learn(name, shown, np.full(shown.size, -float(sign)), nothing, slice(part, part + 1))

    def _find_signs(self, tree: Boxes, some: IntArray, known_signs: ByteArray, asked: BoolArray) -> BoolArray:
        """Note in `known_signs` what holds on boxes, as far as those asked for need; which boxes miss the domain."""
        region, part, void = self._region(tree, some), tree.part[some], np.zeros(some.size, dtype=bool)
        for number in np.unique(part):
            region.constraints, own = self.constraints[number], part == number
            rows = np.eye(len(region.constraints))[~region.constraints.outputs.any(axis=1)]
            if len(rows):
                void[own] = region.take(own).excluded(np.repeat(rows[None], int(own.sum()), axis=0))
        for name, own in self.columns.items():
            if name not in self._index:
                _note(known_signs, some, own, region.bounds[name])
        last = max(self._index.get(name, 0) for name, own in self.columns.items() if asked[:, own].any())
        for index, node in enumerate(self.network.nodes[: last + 1]):
            known, own = self.region.bounds[node.name].take(part), self.columns.get(node.name)
            if own is None:
                void |= region.bound(node, known)
                continue
            known, empty = known.meet(_ranges(known_signs[some, own]))
            void |= empty | region.bound(node, known, asked[:, own] if index == last else None)
            _note(known_signs, some, own, region.bounds[node.name])
        return void

    def _cover(self, reader: Reader, step: object) -> None:
        """K-11 and K-22: the hull of what holds on the leaves that do not miss the set in question (B-11, B-12).

        A box has the signs that hold on the box around it, or with cuts all bounds.
        """
        cuts, inputs = reader.field(step, "kind") == "cuts", self.domain.size
        parent, side, split = reader.tree(step, "dimension", inputs - 1 + cuts * self.network.relu_count)
        if (parent < 0).sum() != 1:
            raise RejectedError("check/tree-roots", "a tree needs one root for each part of the domain")
        at, leaf = reader.floats(step, "at", (parent.size,)), split < 0
        mu = self._combinations(reader, step, leaf, cuts)
        child = np.zeros((parent.size, 2), dtype=np.int64)
        child[parent[1:], side[1:]] = np.arange(1, parent.size)
        box = input_bounds(self.network, self.domain.lower, self.domain.upper)
        whole = self.region.take(slice(0, 1)) if cuts else Region(self.network, self.numbers, box)
        whole.constraints, hulls = self.constraints[0], list[Region]()
        todo = [(np.zeros(1, dtype=np.int64), whole)]
        while todo:
            nodes, region = todo.pop()
            void = self._bounded(region, mu[nodes], cuts)
            stays, going = leaf[nodes] & ~void, np.flatnonzero(~leaf[nodes] & ~void)
            if stays.any():
                hulls.append(region.take(stays).hull())
            for some in self._batches(np.arange(2 * going.size)):
                which, up = np.tile(going, 2)[some], np.repeat([0, 1], going.size)[some]
                part, own = region.take(which), nodes[which]
                kept = ~self._halve(part, split[own], at[own], up)
                if kept.any():
                    todo.append((child[own, up][kept], part.take(kept)))
            if sum(own.size for own, _ in todo) * 16 * sum(self.network.sizes.values()) > _TREE_BYTES:
                reject("tree", "a tree of more boxes than are looked at", parent.size)
        if not hulls:
            raise EmptySetError("check/contradiction", "no box is left")
        for name, known in self.region.bounds.items():
            lower, upper = (np.vstack([one.bounds[name][side] for one in hulls]) for side in (0, 1))
            self._set(name, *known.meet(Interval(lower, upper).hull()))

    def _combinations(self, reader: Reader, step: object, leaf: BoolArray, cuts: bool) -> FloatArray:
        """(nodes, rounds, constraints) multipliers; of a tree without cuts leaves alone have some."""
        rows = len(self.constraints[0])
        if cuts:
            return reader.multipliers(step, "mu", (leaf.size, None, rows))
        mu = np.zeros((leaf.size, 1, rows))
        mu[leaf, 0] = reader.multipliers(step, "mu", (int(leaf.sum()), rows))
        return mu

    def _bounded(self, region: Region, mu: FloatArray, cuts: bool) -> BoolArray:
        """Bound boxes in rounds, each with the cut of the one before; which of them miss the set in question."""
        void = np.zeros(region.boxes, dtype=bool)
        for combination in mu.transpose(1, 0, 2):
            for node in self.network.nodes:
                around = region.bounds.get(node.name) if cuts or node.name in self.columns else None
                void |= region.bound(node, around if cuts or around is None else around.signs())
            if combination.any():
                void |= region.clip(combination)
        for name, known in self.region.bounds.items():
            void |= region.bounds[name].meet(known)[1]
        return void

    def _halve(self, region: Region, split: IntArray, at: FloatArray, side: IntArray) -> BoolArray:
        """Leave of each box a side, 0 for what is not above and 1 for what is not below; where nothing is left.

        Inputs are numbered first, then units.
        """
        ports, start = self.network.inputs, self.domain.size
        ends = np.cumsum([0, *(port.size for port in ports)])
        places = [(port.name, first) for port, first in zip(ports, ends[:-1].tolist(), strict=True)]
        places += [(name, start + own.start) for name, own in self.columns.items()]
        void = np.zeros(split.size, dtype=bool)
        for name, first in places:
            own = np.flatnonzero((split >= first) & (split < first + self.network.sizes[name]))
            if own.size:
                told = Interval(*np.full((2, split.size, self.network.sizes[name]), [[[-np.inf]], [[np.inf]]]))
                for k in own:
                    told[1 - side[k]][k, split[k] - first] = at[k]
                region.bounds[name], more = region.bounds[name].meet(told)
                void |= more
        return void

    def _region(self, tree: Boxes, some: IntArray) -> Region:
        return Region(self.network, self.numbers, input_bounds(self.network, tree.lower[some], tree.upper[some]))

    def _batches(self, index: IntArray) -> list[IntArray]:
        width = max((self.network.sizes[relu.name] for relu in self.network.relus), default=1)
        size = max(1, min(256, self.numbers.chunk // (2 * width * width)))
        return [index[start : start + size] for start in range(0, index.size, size)]


def input_bounds(network: Network, lower: FloatArray, upper: FloatArray) -> dict[str, Interval]:
    """The boxes (boxes, input_size) as intervals of the inputs."""
    lowers, uppers = split_inputs(network, lower), split_inputs(network, upper)
    return {name: Interval(lowers[name], uppers[name]) for name in lowers}


def _note(known_signs: ByteArray, boxes: IntArray, units: slice, bounds: Interval) -> None:
    """Enter in `known_signs` the signs of units that bounds on boxes show."""
    known_signs[boxes, units] = np.where(
        bounds.upper <= 0, -1, np.where(bounds.lower >= 0, 1, known_signs[boxes, units])
    )


def _ranges(sides: ByteArray) -> Interval:
    """What signs that are given say: 1 for z >= 0, -1 for z <= 0."""
    return Interval(np.where(sides > 0, 0.0, -np.inf), np.where(sides < 0, 0.0, np.inf))
