"""How many linear regions there are (specs/certificate.md, K-19): patterns that have an interior, and no others.

All of it is rational arithmetic.  Affine functions of an input are rows: a coefficient for each input, then a constant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from eqverify.arrays import ExactArray
from eqverify.checker.reader import Reader, reject
from eqverify.checker.whole import require_work
from eqverify.domain import Polytope, Specification
from eqverify.errors import RejectedError
from eqverify.network import Affine, Network, evaluate_exact, split_inputs

Pattern = tuple[bool, ...]
"""Of all units, layer after layer: z > 0 inside."""
Signs = dict[int, int]
"""By unit, counted over all layers, 1 for z >= 0 and -1 for z <= 0 on a cell."""


def count_regions(network: Network, specification: Specification, reader: Reader) -> str:
    """The number of linear regions on a property's inputs: `12`, or `at least 12`.

    Args:
        network: unit by unit as its file says it.
        specification: whose inputs count.
        reader: the proof.

    Raises:
        RejectedError: `certificate/...`; `check/regions`.
        LimitError: `check/exact-too-large`.
    """
    parts = specification.domain.polytopes
    entries = reader.items(reader.head, "parts")
    if len(entries) != len(parts):
        reject("cases", "not one entry per part of the property's inputs", len(entries))
    found: set[Pattern] = set()
    for part, entry in zip(parts, entries, strict=True):
        points = reader.floats(entry, "points", (None, network.input_size))
        require_work(network, len(points))
        found |= {_pattern(network, part, [Fraction(v) for v in point]) for point in points.tolist()}
    if all(reader.field(entry, "tree") is not None for entry in entries):
        for part, entry in zip(parts, entries, strict=True):
            _no_others(_Rows(network, part), reader, reader.field(entry, "tree"), found)
        return f"{len(found)}"
    return f"at least {len(found)}"


def _pattern(network: Network, part: Polytope, x: list[Fraction]) -> Pattern:
    """The pattern around a point inside a part: no unit is 0 there but those that are 0 all around."""
    rows = _Rows(network, part)
    ends = zip(part.box.lower.tolist(), x, part.box.upper.tolist(), strict=True)
    inside = all(low < value < high or low == value == high for low, value, high in ends)
    if not inside or not all(_at(row, x) > 0 for row in rows.part_rows()):
        raise RejectedError("check/regions", "a point is not inside the property's inputs")
    values = evaluate_exact(network, x)
    z = [value for relu in network.relus for value in values[relu.source]]
    signs: Signs = {unit: 1 if value > 0 else -1 for unit, value in enumerate(z)}
    if any(value == 0 and any(rows.of(unit, signs)) for unit, value in enumerate(z)):
        raise RejectedError("check/regions", "a unit is 0 at a point, and not all around it")
    return tuple(value > 0 for value in z)


def _at(row: ExactArray, x: list[Fraction]) -> Fraction:
    return sum((c * v for c, v in zip(row[:-1], x, strict=True)), Fraction(row[-1]))


@dataclass(slots=True)
class _Rows:
    """Pre-activations of units as rows, where the signs of all units of earlier layers are given."""

    network: Network
    part: Polytope
    known: dict[tuple[int, ...], dict[str, ExactArray]] = field(default_factory=dict)

    def part_rows(self) -> list[ExactArray]:
        """What is >= 0 on the part beside its box, but rows without free inputs that always are."""
        found = []
        for row, bound in zip(self.part.matrix.tolist(), self.part.bound.tolist(), strict=True):
            exact = self.fixed(np.array([*(-Fraction(v) for v in row), Fraction(bound)], dtype=object)[:, None])[:, 0]
            if any(exact[:-1]) or exact[-1] < 0:
                found.append(exact)
        return found

    def fixed(self, rows: ExactArray) -> ExactArray:
        """Rows (inputs + 1, k) with the inputs that have one value put into the constants."""
        box, rows = self.part.box, rows.copy()
        for k in np.flatnonzero(box.lower == box.upper).tolist():
            rows[-1] = rows[-1] + rows[k] * Fraction(float(box.lower[k]))
            rows[k] = rows[k] * 0
        return rows

    def of(self, unit: int, signs: Signs) -> ExactArray:
        """(inputs + 1,) the row of a unit.

        Raises:
            RejectedError: `check/regions` where the sign of a unit of an earlier layer is not known.
        """
        start = 0
        for relu in self.network.relus:
            size = self.network.sizes[relu.name]
            if unit < start + size:
                break
            start += size
        if any(earlier not in signs for earlier in range(start)):
            raise RejectedError("check/regions", "a unit is no affine function yet: earlier ones have no signs")
        key = tuple(signs[earlier] for earlier in range(start))
        if key not in self.known:
            self.known[key] = self._compute(key)
        return np.asarray(self.known[key][relu.source][:, unit - start])

    def _compute(self, signs: tuple[int, ...]) -> dict[str, ExactArray]:
        """Rows (inputs + 1, size) of the inputs and all nodes that these signs make affine."""
        count, start = self.network.input_size, 0
        one = np.array([[Fraction(int(i == k)) for i in range(count)] for k in range(count + 1)], dtype=object)
        pieces = [split_inputs(self.network, row) for row in self.fixed(one.reshape(count + 1, count))]
        rows = {name: np.stack([piece[name] for piece in pieces]) for name in pieces[0]}
        for node in self.network.plain_nodes:
            if isinstance(node, Affine):
                if any(term.source not in rows for term in node.terms):
                    continue
                total = np.full((count + 1, node.size), Fraction(0), dtype=object)
                total[-1] = [Fraction(value) for value in node.bias.tolist()]
                for term in node.terms:
                    total = total + np.stack([term.map.forward_exact(row) for row in rows[term.source]])
                rows[node.name] = total
            elif start < len(signs):
                size = self.network.sizes[node.name]
                on = np.array([int(sign > 0) for sign in signs[start : start + size]], dtype=object)
                rows[node.name] = rows[node.source] * on
                start += size
        return rows


def _no_others(rows: _Rows, reader: Reader, tree: object, found: set[Pattern]) -> None:
    """Every pattern that has an interior on a part is one of those found: the leaves of a tree of signs have no others.

    Raises:
        RejectedError: `certificate/...`; `check/regions`.
    """
    network, part = rows.network, rows.part
    units = sum(network.sizes[relu.name] for relu in network.relus)
    parent, side, split = reader.tree(tree, "unit", units - 1)
    require_work(network, parent.size * (part.box.size + 1))
    facts: dict[int, list[object]] = {}
    for fact in reader.items(tree, "facts"):
        facts.setdefault(reader.integer(fact, 0, 0, parent.size - 1), []).append(fact)
    cells: list[tuple[list[ExactArray], Signs]] = []
    for node in range(parent.size):
        if parent[node] < 0:
            if node:
                reject("tree", "more than one root")
            known, signs = rows.part_rows(), Signs()
        else:
            above, given = cells[parent[node]]
            unit, sign = int(split[parent[node]]), 1 if side[node] else -1
            known, signs = [*above, sign * rows.of(unit, given)], {**given, unit: sign}
        for fact in facts.get(node, []):
            unit, sign = reader.integer(fact, 1, 0, units - 1), reader.integer(fact, 2, -1, 1)
            if not sign or not _shows(part, known, -sign * rows.of(unit, signs), reader, fact):
                raise RejectedError("check/regions", "the multipliers do not show the sign of a unit", value=unit)
            signs[unit] = sign
        cells.append((known, signs))
        if split[node] < 0:
            if len(signs) < units:
                raise RejectedError("check/regions", "a leaf where the sign of a unit is open", value=node)
            pattern = tuple(signs[unit] > 0 and any(rows.of(unit, signs)) for unit in range(units))
            if pattern not in found:
                raise RejectedError("check/regions", "a leaf with a pattern of which no point is given", value=node)


def _shows(part: Polytope, known: list[ExactArray], row: ExactArray, reader: Reader, fact: object) -> bool:
    """Whether a row is at most 0 on a cell, by multipliers of what is >= 0 there (N-2 b)."""
    chosen = reader.items(fact, 3)
    values = reader.rationals(fact, 4, len(chosen))
    for k, value in enumerate(values):
        if value < 0:
            reject("negative", "a multiplier is negative")
        row = row + value * known[reader.integer(chosen, k, 0, len(known) - 1)]
    ends = zip(row[:-1], part.box.lower.tolist(), part.box.upper.tolist(), strict=True)
    return bool(sum((max(c * Fraction(low), c * Fraction(high)) for c, low, high in ends), Fraction(row[-1])) <= 0)
