"""The proof of eps (specs/rewrites.md, D-1 and D-2): rows of the reduced network against rows of the original.

The difference between the pre-activation of a reduced unit and that of the unit i it stands for is a row R on values
of the original.  Pulled back through the original, where a stable unit is linear and any other only known by its range,
it is bounded on the domain: |R| <= d.  Then the unit shows h_i + R / 2 + e with |e| <= d / 2, since the ReLU is
monotone and 1-Lipschitz; e is a symbol.  A carrier shows its own pre-activation z + e, with 0 <= e <= max(0, -min z).
Rows that agree cancel before anything is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.checker.certificate import Layer, Meaning, Relations
from eqverify.checker.numbers import SLACK, TINY, Numbers
from eqverify.checker.region import ALL, Columns, Interval, Lines, Pull, Region
from eqverify.network import Affine, Network, Relu

SYMBOLS = "\0symbols"
"""Where rows have coefficients on deviations of which only a range is known; no node can have this name."""

_CHUNK = 1 << 22
"""Coefficients held at a time on the widest node."""


def deviations(
    region: Region,
    reduced: Network,
    layers: Sequence[Layer],
    relations: Relations,
    meanings: Sequence[Meaning],
) -> FloatArray:
    """Bounds on |original - reduced|, (output_size,).

    Args:
        region: the original on one box around the domain, with bounds of all nodes.
        reduced: the reduced network.
        layers: which units of the original are inactive (1) and active (2); shown before.
        relations: what others equal, up to deviations that are bounded here.
        meanings: by ReLU node of `reduced`, in order.
    """
    return _Comparison(region, layers, relations).run(reduced, meanings)


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A node of the reduced network: rows on nodes of the original, a constant, and a deviation from that.

    Attributes:
        rows: by input or node of the original, (n, size).
        constant: (n,).
        error: (n,) float64: the node's value is within this of rows and constant.
    """

    rows: dict[str, Numbers]
    constant: Numbers
    error: FloatArray

    def take(self, chosen: IntArray) -> Value:
        """Some components."""
        rows = {name: own[chosen] for name, own in self.rows.items()}
        return Value(rows, self.constant[chosen], self.error[chosen])

    def negated(self) -> Value:
        """The negative."""
        return Value({name: -own for name, own in self.rows.items()}, -self.constant, self.error)


class _Relation(NamedTuple):
    """What one unit equals, and by how much at most it does not: `off`."""

    kind: int
    unit: int
    other: Relu
    other_unit: int
    factor: float
    off: float


@dataclass(slots=True, eq=False)
class _Related(Region):
    """A region with relations, by ReLU node, those about later units first."""

    related: dict[str, list[_Relation]] = field(default_factory=dict)


class _Pull(Pull):
    """A pull that writes what units equal in their place (D-2), later units first."""

    def relu(self, node: Relu, values: Numbers, columns: Columns) -> None:
        """Through a ReLU."""
        region, numbers = self.region, self.region.numbers
        assert isinstance(region, _Related)
        self.rows[node.name] = values, columns
        for relation in region.related.get(node.name, ()):
            values = self.full(node.name)
            coefficient = values[:, :, relation.unit]
            if not coefficient.any():
                continue
            off, factor = numbers.of(np.array([relation.off, relation.factor]))
            self.shift(np.abs(coefficient) * off)
            self.lose(numbers.unit * np.abs(coefficient) * off)
            if relation.kind < 2:
                continue
            values = values.copy()
            values[:, :, relation.unit] = numbers.zeros((1,))
            self.rows[node.name] = values, ALL
            self._move(relation.other.name, relation, coefficient * factor)
            if relation.kind == 3:
                self._move(relation.other.source, relation, -coefficient * factor)
        super().relu(node, *self.rows.pop(node.name))

    def _move(self, name: str, relation: _Relation, moved: Numbers) -> None:
        region, numbers = self.region, self.region.numbers
        if relation.factor != 1 and not numbers.exact:
            self.lose(numbers.unit * np.abs(moved) * region.bounds[name].magnitude[:, [relation.other_unit]] + TINY)
        row = numbers.zeros((*moved.shape, region.network.sizes[name]))
        row[:, :, relation.other_unit] = moved
        self.add(name, row, ALL)


class _Comparison:
    def __init__(self, region: Region, layers: Sequence[Layer], relations: Relations) -> None:
        numbers, network = region.numbers, region.network
        self.numbers, self.original = numbers, network
        lines = {}
        for index, (relu, layer) in enumerate(zip(network.relus, layers, strict=True)):
            status, own = layer.status.copy(), (relations.layer == index) & (relations.kind < 2)
            units = relations.unit[own]
            status[units] = np.where(status[units] == 0, relations.kind[own] + 1, status[units])
            passes = (status == 2).astype(np.float64)[None]
            top = np.where(status == 0, np.maximum(region.bounds[relu.source].upper, 0.0), 0.0)
            lines[relu.name] = Lines(numbers.of(passes), numbers.of(passes), numbers.of(top), ALL)
        self.region = _Related(network, numbers, dict(region.bounds), lines, cancels=True)
        self.inactive = {relu.name: one.status == 1 for relu, one in zip(network.relus, layers, strict=True)}
        self.used = 0
        for index, relu in enumerate(network.relus):  # relations about a layer may rest on those about layers before
            own = np.flatnonzero(relations.layer == index)
            chosen = own[np.argsort(-relations.unit[own])]
            self.region.related[relu.name] = [self._relation(relations, int(number)) for number in chosen]

    def _relation(self, relations: Relations, number: int) -> _Relation:
        """One relation, with what its premise is off by (S-1 to S-3)."""
        columns = (relations.kind, relations.layer, relations.unit, relations.other_layer, relations.other_unit)
        kind, layer, unit, other_layer, other_unit = (int(column[number]) for column in columns)
        factor, other = float(relations.factor[number]), self.original.relus[other_layer]
        z = self._row(self.original.relus[layer].source, np.array([unit]), 1.0)
        if kind >= 2:
            z = self._sum(z, self._row(other.source, np.array([other_unit]), -factor if kind == 2 else factor))
        above, below = (_plus(self._maximum(one), one.error)[0] for one in (z, z.negated()))
        off = (above, below, max(above, below), max(above, below))[kind]
        return _Relation(kind, unit, other, other_unit, factor, max(0.0, float(off)))

    def run(self, reduced: Network, meanings: Sequence[Meaning]) -> FloatArray:
        """All nodes of the reduced network in order."""
        symbols = np.zeros((1, reduced.relu_count))
        self.region.bounds[SYMBOLS] = Interval(symbols, symbols.copy())
        values: dict[str, Value] = {}
        for new, old in zip(reduced.inputs, self.original.inputs, strict=True):
            eye = self.numbers.of(np.eye(old.size))
            values[new.name] = Value({old.name: eye}, self.numbers.zeros((old.size,)), np.zeros(old.size))
        by_node = dict(zip((relu.name for relu in reduced.relus), meanings, strict=True))
        for node in reduced.nodes:
            if isinstance(node, Relu):
                values[node.name] = self._unit(values[node.source], by_node[node.name])
            else:
                values[node.name] = self._affine(node, values)
        found = []
        for new, old in zip(reduced.outputs, self.original.outputs, strict=True):
            row = self._row(old.source, np.arange(old.size), -1.0)
            found.append(self._magnitude(self._sum(values[new.source], row)))
        return np.concatenate(found)

    def _affine(self, node: Affine, values: dict[str, Value]) -> Value:
        """W over the rows of the sources; only what is rounded adds to the error."""
        numbers = self.numbers
        gamma = numbers.gamma(sum(term.map.fan_in + 4 for term in node.terms) + 4)
        total = Value({}, numbers.of(node.bias), np.zeros(node.size))
        for term in node.terms:
            source = values[term.source]
            weights = source.error
            if not numbers.exact:
                reach = np.abs(source.constant)
                for name, own in source.rows.items():
                    reach = reach + self._rounded(own, name, term.map.entry_error == 0)
                weights = weights + gamma * reach
            spread = numbers.forward(term.map, numbers.of(weights)[None], absolute=True)[0]
            error = numbers.up(spread) if numbers.exact else np.where(spread == 0, 0.0, spread * SLACK + TINY)
            rows = {name: numbers.forward(term.map, own.T).T for name, own in source.rows.items()}
            constant = numbers.forward(term.map, source.constant[None])[0]
            total = self._sum(total, Value(rows, constant, error))
        return total

    def _rounded(self, rows: Numbers, name: str, exact_entries: bool) -> FloatArray:
        """(n,) reach of the columns that a product rounds: those with a single entry of 1 are only copied."""
        single = ((rows != 0).sum(axis=0) <= 1) & ((rows == 0) | (rows == 1)).all(axis=0)
        columns = ~single if exact_entries else np.full(single.shape, True)
        return np.asarray(np.abs(rows[:, columns]) @ self.region.bounds[name].magnitude[0][columns]) * SLACK

    def _unit(self, z: Value, meaning: Meaning) -> Value:
        """Outputs of a layer: those of the original's units with half the difference, or z itself for carriers.

        What is left, the other half and what the ReLU cuts off from a carrier, becomes a symbol of a bounded range.
        """
        numbers, count = self.numbers, meaning.units.size
        radius, parts = np.zeros(count), []
        for layer in np.unique(meaning.layers):
            chosen = np.flatnonzero(meaning.layers == layer)
            own = z.take(chosen)
            if layer < 0:
                radius[chosen] = np.maximum(0.0, _plus(self._maximum(own.negated()), own.error))
                parts.append((own, chosen))
                continue
            relu, units = self.original.relus[layer], meaning.units[chosen]
            gap = self._sum(own, self._row(relu.source, units, -1.0))
            radius[chosen] = _up(self._magnitude(gap) / 2)
            half = Value({name: rows / 2 for name, rows in gap.rows.items()}, gap.constant / 2, gap.error / 2)
            unit = numbers.of(np.eye(self.original.sizes[relu.name])[units])
            parts.append((self._sum(half, Value({relu.name: unit}, numbers.zeros((1,)), np.zeros(1))), chosen))
        symbols = numbers.zeros((count, self.region.bounds[SYMBOLS].lower.shape[1]))
        where = self.used + np.arange(count)
        self.used += count
        self.region.bounds[SYMBOLS].lower[0, where], self.region.bounds[SYMBOLS].upper[0, where] = -radius, radius
        symbols[np.arange(count), where] = numbers.of((radius > 0).astype(np.float64))
        shown = Value({}, numbers.zeros((count,)), np.zeros(count))
        for part, chosen in parts:
            for name, rows in part.rows.items():
                shown.rows.setdefault(name, numbers.zeros((count, rows.shape[1])))[chosen] = rows
            shown.constant[chosen], shown.error[chosen] = part.constant, part.error
        return self._sum(shown, Value({SYMBOLS: symbols}, numbers.zeros((1,)), np.zeros(1)))

    def _row(self, source: str, units: IntArray, factor: float) -> Value:
        """factor * components `units` of a node of the original, one step back where that is exact."""
        numbers, pull = self.numbers, _Pull(self.region)
        pull.start(source, units[None], np.full(units.size, np.sign(factor)))
        rows, constant, error = {name: pull.full(name)[0] for name in pull.rows}, pull.constant[0], np.zeros(units.size)
        if abs(factor) != 1:
            size = numbers.of(np.array([abs(factor)]))[0]
            rows, constant = {name: own * size for name, own in rows.items()}, constant * size
            if not numbers.exact:
                reach = np.abs(constant) + sum(
                    np.abs(own) @ self.region.bounds[n].magnitude[0] for n, own in rows.items()
                )
                error = numbers.unit * reach * SLACK + TINY
        return Value(rows, np.broadcast_to(constant, error.shape), error)

    def _sum(self, left: Value, right: Value) -> Value:
        """left + right; what is rounded adds to the error, nothing where a summand is 0."""
        pull = _Pull(self.region)
        with np.errstate(invalid="ignore", over="ignore"):
            for value in (left, right):
                for name, own in value.rows.items():
                    pull.add(name, own[None], ALL)
                pull.shift(value.constant[None])
        error = _plus(left.error, right.error)
        if not self.numbers.exact:
            error = _plus(error, np.where(pull.error[0] == 0, 0.0, pull.error[0] * SLACK + TINY))
        rows = {name: pull.full(name)[0] for name in pull.rows}
        for name in rows.keys() & self.inactive.keys():  # these outputs are 0
            rows[name] = np.where(self.inactive[name], self.numbers.zeros((1,)), rows[name])
        return Value(rows, np.broadcast_to(pull.constant[0], error.shape).copy(), error)

    def _magnitude(self, value: Value) -> FloatArray:
        """Bounds on the absolute value, exactly 0 where there is nothing."""
        sides = self._maximum(value), self._maximum(value.negated())
        return _plus(np.maximum(0.0, np.maximum(*sides)), value.error)

    def _maximum(self, value: Value) -> FloatArray:
        """Upper bounds of rows and constant, pulled back through the original."""
        result = np.zeros(value.error.size)
        nothing = value.constant == 0
        for rows in value.rows.values():
            nothing = nothing & ~(rows != 0).any(axis=1)
        chosen = np.flatnonzero(~nothing)
        step = max(1, _CHUNK // max(self.original.sizes.values()))
        for start in range(0, chosen.size, step):
            pull, some = _Pull(self.region), value.take(chosen[start : start + step])
            for name, rows in some.rows.items():
                pull.add(name, rows[None], ALL)
            pull.shift(some.constant[None])
            result[chosen[start : start + step]] = pull.run()[0]
        return result


def _up(values: FloatArray) -> FloatArray:
    return np.where(values > 0, np.nextafter(values, np.inf), values)


def _plus(left: FloatArray, right: FloatArray) -> FloatArray:
    """Sums rounded up; exact where a summand is 0."""
    total = left + right
    return np.where((left == 0) | (right == 0), total, np.nextafter(total, np.inf))
