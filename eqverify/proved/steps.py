"""The steps of a proof (specs/certificate.md, K-13) as those of the proved checker (specs/coq/README.md).

Nothing here is trusted: a proof that is translated wrongly is rejected.  Layers are counted from the outputs, which are
number 0; the inputs come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np

from eqverify.arrays import IntArray
from eqverify.checker.reader import Reader, reject
from eqverify.checker.region import Hints
from eqverify.checker.whole import with_rows
from eqverify.domain import Case, condition_rows
from eqverify.domain.assumption import row_numbers
from eqverify.network import Network
from eqverify.proved.problem import Integers, Layer, Row, listed
from eqverify.proved.questions import refused

ROW_BITS, SLOPE_BITS = 48, 60
"""As in Check.v and Bound.v."""

_MOST = 1e200
"""Of multipliers: larger ones say nothing."""

_NOTHING, _BOTH, _ROWS, _PASS, _SPLIT, _WHILE_OPEN = range(6)
_DEFAULT, _SLOPES = 0, 1

Numbers = list[int]
"""A proof as it is written."""


def property_proof(network: Network, cases: Sequence[Case], problem: Integers, reader: Reader) -> Iterator[int]:
    """All numbers of the file of a proof that no input satisfies a property (K-13).

    Raises:
        RejectedError: `certificate/...`, where the file cannot be read.
        LimitError: `check/kernel-scope`, for steps that have no counterpart.
    """
    yield from widths(problem.layers, ROW_BITS)
    entries = reader.items(reader.head, "cases")
    _require_count(entries, problem.parts)
    yield len(entries)
    for number, (case, entry) in enumerate(zip(cases, entries, strict=True)):
        rows, _ = condition_rows(case.unsafe, case.polytope.box.magnitude, np.zeros(network.output_size))
        translation = Translation(with_rows(network, rows), problem, number, reader)
        yield from translation.whole_case(entry, row_numbers(case.unsafe))


def disjunct_proof(network: Network, problem: Integers, reader: Reader) -> Iterator[int]:
    """All numbers of the file of a proof that no input of a case satisfies a disjunct (K-8); raises the same."""
    yield from widths(problem.layers, ROW_BITS)
    yield 1
    translation = Translation(network, problem, 0, reader)
    yield from translation.shared([])
    yield 1
    yield from translation.excluded(reader.items(reader.head, "steps"))


def _require_count(entries: Sequence[object], parts: Sequence[object]) -> None:
    if len(entries) != len(parts):
        reject("cases", "not one entry per case and disjunct of the property", len(entries))


def widths(layers: Sequence[Layer], bits: int) -> Iterator[int]:
    """Bits of a digit, the last layer first: of sums of products of rows by weights, with room for rows that grow."""
    yield len(layers)
    for layer in reversed(layers):
        most = max((abs(w) for row in layer.weights for w in row), default=0).bit_length()
        yield (most + bits + len(layer.weights).bit_length() + 24 + 63) // 64 * 64


class Translation:
    """Of the proof about one part of a problem.

    Attributes:
        places: by affine node or input, its number.
        rows: the constraints that multipliers are of: those of the disjunct in question, and of the part.
        own: of the disjunct, the place of each of its rows by number in the condition; None in shared steps.
        later: steps about rows of the condition that disjuncts share.
        padding: constraints before the first that a step's multipliers are of.
        stale: layers with smaller numbers may have better bounds than are known.

    Args:
        whole: the network, and for a whole property the rows of its condition.
        number: of the part.
        several: whether steps say which part they are about.
    """

    def __init__(
        self, whole: Network, problem: Integers, number: int, reader: Reader, *, several: bool = False
    ) -> None:
        self.whole, self.reader, self.scale = whole, reader.about(whole), problem.scale
        self.part = problem.parts[number]
        self.number, self.parts = (number, len(problem.parts)) if several else (0, 1)
        depth = len(problem.layers)
        self.places = {layer.name: depth - 1 - k for k, layer in enumerate(problem.layers)}
        self.places[whole.inputs[0].name] = depth
        self.hidden = list(range(depth - 1, 0, -1))
        self.rows: Sequence[Row] = self.part.common
        self.own: dict[int, int] | None = None
        self.later: list[object] = []
        self.padding = self.stale = 0

    def whole_case(self, entry: object, numbers_of_rows: Sequence[Sequence[int]]) -> Iterator[int]:
        """What the disjuncts share, then each; by disjunct, the numbers of its rows in the condition."""
        yield from self.shared(self.reader.items(entry, "steps"))
        disjuncts = self.reader.items(entry, "disjuncts")
        _require_count(disjuncts, self.part.disjuncts)
        yield len(disjuncts)
        stale = self.stale
        for own, numbers, steps in zip(self.part.disjuncts, numbers_of_rows, disjuncts, strict=True):
            self.rows, self.own = [*own, *self.part.common], {number: k for k, number in enumerate(numbers)}
            self.stale, self.padding = stale, len(own)
            start = self._steps(self._violated(range(len(own))), self.later)
            self.padding = 0
            yield from self._steps(start, self.reader.items(steps, "steps"))

    def shared(self, steps: Sequence[object]) -> Numbers:
        """A pass, and steps about the inputs of the part."""
        return self._steps(_refreshed(self.hidden), steps)

    def excluded(self, steps: Sequence[object]) -> Numbers:
        """That the only disjunct is violated, after `shared`."""
        (own,) = self.part.disjuncts
        self.rows, self.own = [*own, *self.part.common], {}
        return self._steps(self._violated(range(len(own))), steps)

    def _steps(self, start: Numbers, steps: Iterable[object]) -> Numbers:
        kinds: dict[object, Callable[[object], Numbers]] = {
            "pass": self._pass, "zero": self._zero, "sign-tree": self._sign_tree, "box-tree": self._boxes,
            "cover": self._boxes,
        }  # fmt: skip
        for step in steps:
            kind = self.reader.field(step, "kind")
            if not isinstance(kind, str) or kind not in kinds:
                raise refused("a step that has no counterpart", str(kind)[:40])
            start = _both(start, kinds[kind](step))
        return start

    def _violated(self, constraints: Iterable[int]) -> Numbers:
        """That a constraint is violated wherever the rest holds, with the usual slopes."""
        return _rows([self._row(None, 0, 0, [float(k == j) for k in range(j + 1)]) for j in constraints])

    def _about(self, name: str, unit: int, sign: int, hints: Hints, index: tuple[int, int]) -> list[Numbers]:
        """A row on a unit; none where it is about a row of the condition that says nothing here."""
        mu = [] if hints.mu is None else [0.0] * self.padding + hints.mu[index].tolist()
        if name in self.places:
            return [self._row(self.places[name], unit, sign, mu, hints, index)]
        if sign > 0 or self.own is None or unit not in self.own:
            return []
        mu += [0.0] * (len(self.rows) - len(mu))
        mu[self.own[unit]] += 1.0  # - r is the row, multiplied by 1
        return [self._row(None, 0, 0, mu, hints, index, scaled=False)]

    def _row(
        self, place: int | None, unit: int, sign: int, mu: Sequence[float], hints: Hints | None = None,
        index: tuple[int, int] = (0, 0), *, scaled: bool = True,
    ) -> Numbers:  # fmt: skip
        """A row on a unit, or on nothing; that one may be scaled at will."""
        scale = 1.0 / max(mu) if place is None and scaled and max(mu, default=0.0) > 0 else 1.0
        weights = [round(Fraction(m) * Fraction(scale) / row.factor * 2**ROW_BITS) for m, row in zip(mu, self.rows)]  # noqa: B905
        slopes = [] if hints is None else self._slopes(hints, index, scale)
        target = [0, 0, 0] if place is None else [place, unit, sign]
        return [*target, *listed(weights), len(slopes), *(n for one in slopes for n in one)]

    def _slopes(self, hints: Hints, index: tuple[int, int], scale: float) -> list[Numbers]:
        """What is said about the units of each layer, from the last hidden one on."""
        found: dict[int, dict[int, list[int]]] = {}
        for kind, slopes in enumerate((hints.alpha, hints.lam, hints.tau)):
            for name, (columns, values) in slopes.items():
                source = name if kind == 2 else self.whole.by_name[name].sources[0]
                own = found.setdefault(self.places.get(source, 0), {})  # 0: a row of the condition, left out below
                bits, most, factor = (ROW_BITS, _MOST, scale) if kind == 2 else (SLOPE_BITS, 1.0, 1.0)
                numbers = np.clip(values[index] * factor, -most, most) * 2.0**bits
                for column, number in zip(columns.tolist(), numbers.tolist(), strict=True):
                    own.setdefault(column, [-1, -1, 0])[kind] = round(number)
        return [_hints(found.get(k, {})) for k in range(1, max(found, default=0) + 1)]

    def _pass(self, step: object) -> Numbers:
        """K-1: layers in order, as far as something before them changed, each with its rows."""
        rows: dict[int, list[Numbers]] = {}
        for entry in self.reader.items(step, "rows"):
            name = self.reader.target(entry)
            first = self.reader.integer(entry, "part", 0, self.parts - 1)
            count = self.reader.integer(entry, "count", 1, self.parts - first)
            if not first <= self.number < first + count:
                continue
            units = self.reader.integers(entry, "units", None, 0, self.whole.sizes[name] - 1)
            signs = self.reader.signs(entry, "signs", units.size)
            hints = self.reader.hints(entry, (count, units.size), 0 if count > 1 else len(self.rows) - self.padding)
            if self.own is None and name not in self.places:
                self.later.append({"kind": "pass", "rows": [entry]})
            own = rows.setdefault(self.places.get(name, 0), [])
            for k, (unit, sign) in enumerate(zip(units.tolist(), signs.tolist(), strict=True)):
                own += self._about(name, unit, int(sign), hints, (self.number - first, k))
        total = [_NOTHING]
        for place in self.hidden:
            if place < self.stale:
                total = _both(total, _refreshed([place]))
            if rows.get(place):
                total, self.stale = _both(total, _rows(rows[place])), max(self.stale, place)
        self.stale = 0
        return _both(total, _rows(rows.get(0, [])))

    def _zero(self, step: object) -> Numbers:
        """K-10."""
        hints = self.reader.hints(step, (1, 1), len(self.rows) - self.padding)
        mu = [] if hints.mu is None else hints.mu[0, 0].tolist()
        return _rows([self._row(None, 0, 0, mu, hints)])

    def _sign_tree(self, step: object) -> Numbers:
        """K-4: the signs of units are split; a row at each leaf."""
        reader, name, relus = self.reader, self.reader.target(step), self.whole.relus
        if self.own is None and name not in self.places:
            self.later.append(step)
            return [_NOTHING]
        if reader.integer(step, "part", 0, self.parts - 1) != self.number:
            return [_NOTHING]
        unit, sign = reader.integer(step, "unit", 0, self.whole.sizes[name] - 1), reader.integer(step, "sign", -1, 1)
        parent, side, relu = reader.tree(step, "relu", len(relus) - 1)
        split, leaves = reader.units(step, "split", relu), np.flatnonzero(relu < 0)
        hints = reader.hints(step, (leaves.size, 1), len(self.rows) - self.padding)
        own = {int(leaf): _rows(self._about(name, unit, sign, hints, (k, 0))) for k, leaf in enumerate(leaves)}
        if any(relus[k].source not in self.places for k in set(relu.tolist()) - {-1}):
            raise refused("a tree that splits rows of the condition")
        cuts = [(self.places.get(relus[k].source, 0), int(u), 0) for k, u in zip(relu.tolist(), split, strict=True)]
        self.stale = max(self.stale, self.places.get(name, 0))
        return _tree(parent, side, cuts, [own.get(k, [_NOTHING]) for k in range(parent.size)])

    def _boxes(self, step: object) -> Numbers:
        """K-3 and K-11: boxes are halved; on each all layers are bounded anew, and constraints are tried at leaves."""
        reader, inputs, padding = self.reader, len(self.hidden) + 1, [0.0] * self.padding
        parent, side, dimension = reader.tree(step, "dimension", len(self.part.box) - 1)
        at, cover = reader.floats(step, "at", (parent.size,)), reader.field(step, "kind") == "cover"
        part = reader.integers(step, "part", parent.size, 0, self.parts - 1)
        kept, parent = _of_part(parent, part, self.number)
        side, dimension, at = side[kept], dimension[kept], at[kept]
        leaves = np.flatnonzero(dimension < 0)
        cuts = [(inputs, int(d), int(Fraction(v) * 2**self.scale)) for d, v in zip(dimension, at.tolist(), strict=True)]
        boxes = _halvings(self.part.box, parent, side, cuts)
        asked = [] if cover or self.own is not None else self._while_open(step)
        passed = [*asked, *_both(self._violated(self._common()), _refreshed(self.hidden))]
        steps = [passed if parent[k] >= 0 or self.stale else [_NOTHING] for k in range(parent.size)]
        mu = np.zeros((leaves.size, 0))
        if cover:
            mu = reader.multipliers(step, "mu", (leaves.size, len(self.rows) - self.padding))
        each = self._violated(range(len(self.rows) - len(self.part.common)))
        own = [
            _rows([self._row(None, 0, 0, padding + weights)]) if any(weights) else [_NOTHING] for weights in mu.tolist()
        ]
        for k, row in zip(leaves.tolist(), own, strict=True):
            tried = _both(each, row)
            again, (leaf, path) = _both(passed, tried), boxes[k]
            halved = _refined(asked, passed, inputs, leaf, path[:2] * 2) if asked else _halved(again, inputs, boxes[k])
            steps[k] = _both(_both(steps[k], tried), halved)
        self.stale = inputs
        return _tree(parent, side, cuts, steps)

    def _while_open(self, step: object) -> Numbers:
        """The beginning of a step that is made only where a goal of a tree is open; nothing where one has no place."""
        units = [
            (self.places.get(relu.source), u) for relu in self.whole.relus for u in range(self.whole.sizes[relu.name])
        ]
        goals = [units[k] for k in self.reader.integers(step, "goals", None, 0, len(units) - 1).tolist()]
        found = [n for place, u in goals if place is not None for n in (place, u)]
        return [_WHILE_OPEN, len(goals), *found] if len(found) == 2 * len(goals) else []

    def _common(self) -> range:
        return range(len(self.rows) - len(self.part.common), len(self.rows))


def _of_part(parent: IntArray, part: IntArray, number: int) -> tuple[IntArray, IntArray]:
    """The nodes of a tree that belong to a part, and their parents among them; the part is that of the root."""
    part = part.copy()
    for node in np.flatnonzero(parent >= 0):
        part[node] = part[parent[node]]
    kept = np.flatnonzero(part == number)
    if not kept.size:
        reject("tree", "a tree needs one root for each part")
    place = np.full(parent.size + 1, -1)
    place[kept] = np.arange(kept.size)
    return kept, place[parent[kept]]


def _halvings(
    root: Sequence[tuple[int, int]], parent: IntArray, side: IntArray, cuts: Sequence[tuple[int, int, int]]
) -> list[tuple[Sequence[tuple[int, int]], list[int]]]:
    """The box of each node, and the inputs that were split on the way to it, the last one first."""
    found: list[tuple[Sequence[tuple[int, int]], list[int]]] = []
    for above, half in zip(parent.tolist(), side.tolist(), strict=True):
        if above < 0:
            found.append((root, []))
            continue
        box, path = list(found[above][0]), found[above][1]
        _, dimension, at = cuts[above]
        low, high = box[dimension]
        box[dimension] = (at, high) if half else (low, at)
        found.append((box, [dimension, *(d for d in path if d != dimension)]))
    return found


def _halved(steps: Numbers, inputs: int, leaf: tuple[Sequence[tuple[int, int]], list[int]]) -> Numbers:
    """For a leaf where other rounding, or other slopes, leave a box open: steps on quarters of it.

    Where the box is closed before, the program does not come here.
    """
    box, path = leaf
    for dimension in path[:2]:
        steps = [_SPLIT, inputs, dimension, sum(box[dimension]) // 2, *steps, *steps]
    return steps if path else [_NOTHING]


def _refined(
    asked: Numbers, passed: Numbers, inputs: int, box: Sequence[tuple[int, int]], dimensions: Sequence[int]
) -> Numbers:
    """For a leaf where a goal is open: halves of the box, and of those as long as it is open there."""
    if not dimensions:
        return [_NOTHING]
    cut, (low, high) = dimensions[0], box[dimensions[0]]
    at = (low + high) // 2
    halves = []
    for ends in ((low, at), (at, high)):
        half = [*box[:cut], ends, *box[cut + 1 :]]
        halves.append(_both(passed, _refined(asked, passed, inputs, half, dimensions[1:])))
    return [*asked, _SPLIT, inputs, cut, at, *halves[0], *halves[1]]


def _tree(parent: IntArray, side: IntArray, cuts: Sequence[tuple[int, int, int]], steps: list[Numbers]) -> Numbers:
    """The steps at each node, and splits; parents come first."""
    halves: dict[tuple[int, int], Numbers] = {}
    for k in range(parent.size - 1, -1, -1):
        if (k, 0) in halves:
            steps[k] = _both(steps[k], [_SPLIT, *cuts[k], *halves.pop((k, 0)), *halves.pop((k, 1))])
        halves[int(parent[k]), int(side[k])] = steps[k]
    return steps[0]


def _refreshed(layers: Sequence[int]) -> Numbers:
    return [_PASS, *listed(layers)] if layers else [_NOTHING]


def _rows(rows: Sequence[Numbers]) -> Numbers:
    return [_ROWS, len(rows), *(number for row in rows for number in row)] if rows else [_NOTHING]


def _both(first: Numbers, second: Numbers) -> Numbers:
    if first == [_NOTHING]:
        return second
    return first if second == [_NOTHING] else [_BOTH, *first, *second]


def _hints(units: dict[int, list[int]]) -> Numbers:
    """Of one layer."""
    count = max(units, default=-1) + 1
    return [count, *(n for k in range(count) for n in ([_SLOPES, *units[k]] if k in units else [_DEFAULT]))]
