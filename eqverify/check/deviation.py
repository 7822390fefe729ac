"""The proof of eps (specs/rewrites.md, D-1): rows of the reduced network against rows of the original, pulled back.

The difference between the pre-activation of a reduced unit and that of the unit i it stands for is a row R on values of the
original.  Pulled back through the original, where a stable unit is linear and any other only known by its range, it is
bounded on the domain: |R| <= d.  Then the unit shows h_i + R / 2 + e with |e| <= d / 2, since the ReLU is monotone and
1-Lipschitz; e is a symbol.  A carrier shows its own pre-activation z + e, with 0 <= e <= max(0, -min z).  Rows that agree
cancel before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.check.certificate import Layer, Meaning
from eqverify.check.numbers import SLACK, TINY, Floats, Numbers
from eqverify.check.region import ALL, Interval, Lines, Pull, Region
from eqverify.network import Affine, Network, Relu


SYMBOLS = "\0symbols"
"""Where rows have coefficients on deviations of which only a range is known; no node can have this name."""

_CHUNK = 1 << 22
"""Coefficients held at a time on the widest node."""


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A node of the reduced network: rows on nodes of the original, a constant, and a deviation from that.

    Attributes:
        rows: by input or ReLU node of the original, (n, size).
        constant: (n,).
        error: (n,) float64: the node's value is within this of rows and constant.
    """

    rows: dict[str, Numbers]
    constant: Numbers
    error: FloatArray


def deviations(
    region: Region, reduced: Network, layers: tuple[Layer, ...], meanings: tuple[Meaning, ...]
) -> FloatArray:
    """Bounds on |original - reduced|, (output_size,).

    Args:
        region: the original on one box around the domain, with bounds of all nodes.
        reduced: the reduced network.
        layers: which units of the original are inactive (1) and active (2); shown before.
        meanings: by ReLU node of `reduced`.
    """
    return _Comparison(region, layers).run(reduced, meanings)


class _Comparison:
    def __init__(self, region: Region, layers: tuple[Layer, ...]) -> None:
        numbers, network = region.numbers, region.network
        self.numbers, self.original = numbers, network
        exact_lines = {}
        for relu, layer in zip(network.relus, layers, strict=True):
            passes = (layer.status == 2).astype(np.float64)[None]
            top = np.where(layer.status == 0, np.maximum(region.bounds[relu.source].upper, 0.0), 0.0)
            exact_lines[relu.name] = Lines(numbers.of(passes), numbers.of(passes), numbers.of(top), ALL)
        self.region = Region(network, numbers, dict(region.bounds), exact_lines, cancels=True)
        self.inactive = {relu.name: one.status == 1 for relu, one in zip(network.relus, layers, strict=True)}
        self.used = 0

    def run(self, reduced: Network, meanings: tuple[Meaning, ...]) -> FloatArray:
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
                meaning = by_node[node.name]
                values[node.name] = self._unit(values[node.source], meaning.units, meaning.source)
            else:
                values[node.name] = self._affine(node, values)
        found = []
        for new, old in zip(reduced.outputs, self.original.outputs, strict=True):
            chosen = np.arange(old.size)
            found.append(self._magnitude(self._gap(values[new.source], chosen, old.source, chosen)))
        return np.concatenate(found)

    def _affine(self, node: Affine, values: dict[str, Value]) -> Value:
        """W over the rows of the sources; only what is rounded adds to the error."""
        numbers = self.numbers
        gamma = numbers.gamma(sum(term.map.fan_in + 4 for term in node.terms) + 4)
        rows: dict[str, Numbers] = {}
        constant, error = numbers.of(node.bias), np.zeros(node.size)
        for term in node.terms:
            source = values[term.source]
            weights = source.error
            if not numbers.exact:
                reach = np.abs(source.constant)
                for name, own in source.rows.items():
                    reach = reach + self._rounded(own, name, term.map.entry_error == 0)
                weights = weights + gamma * reach
            error = _plus(error, self._carried(numbers.forward(term.map, numbers.of(weights)[None], absolute=True)[0]))
            for name, own in source.rows.items():
                product = numbers.forward(term.map, own.T).T
                rows[name], lost = self._sum(rows.get(name), product, self.region.bounds[name].magnitude[0])
                error = _plus(error, lost)
            moved = numbers.forward(term.map, source.constant[None])[0]
            constant, lost = self._sum(constant[:, None], moved[:, None], np.ones(1))
            constant, error = constant[:, 0], _plus(error, lost)
        return Value(rows, constant, error)

    def _rounded(self, rows: Numbers, name: str, exact_entries: bool) -> FloatArray:
        """(n,) reach of the columns that a product rounds: those with a single entry of 1 are only copied."""
        single = ((rows != 0).sum(axis=0) <= 1) & ((rows == 0) | (rows == 1)).all(axis=0)
        columns = ~single if exact_entries else np.full(single.shape, True)
        return np.asarray(np.abs(rows[:, columns]) @ self.region.bounds[name].magnitude[0][columns]) * SLACK

    def _carried(self, spread: Numbers) -> FloatArray:
        """A sum of products of numbers >= 0, rounded up; 0 where all were."""
        if self.numbers.exact:
            return self.numbers.up(spread)
        return np.where(spread == 0, 0.0, spread * SLACK + TINY)

    def _sum(self, left: Numbers | None, right: Numbers, magnitude: FloatArray) -> tuple[Numbers, FloatArray]:
        """left + right, (n, k), and what rounding loses as a value: nothing where a summand is 0."""
        if left is None or self.numbers.exact:
            return (right if left is None else left + right), np.zeros(len(right))
        total = left + right
        rounded = np.where((left != 0) & (right != 0), np.abs(total), 0.0)
        lost = self.numbers.unit * (rounded @ magnitude) * SLACK
        return total, np.where(rounded.any(axis=1), lost + TINY, 0.0)

    def _unit(self, z: Value, meaning: IntArray, source: str) -> Value:
        """Outputs of a layer: those of the original's units with half the difference, or z itself for carriers.

        What is left, the other half and what the ReLU cuts off from a carrier, becomes a symbol of a bounded range.
        """
        numbers, relu = self.numbers, self.original.by_name[source]
        shown, carriers = np.flatnonzero(meaning >= 0), np.flatnonzero(meaning < 0)
        gap = self._gap(z, shown, relu.sources[0], meaning[shown])
        radius = np.zeros(meaning.size)
        radius[shown] = _up(self._magnitude(gap) / 2)
        carried = self._gap(z, carriers, None, meaning)
        radius[carriers] = np.maximum(0.0, _plus(self._maximum(_negated(carried)), carried.error))
        names = {source, *gap.rows, *carried.rows}
        sizes = {name: self.region.bounds[name].lower.shape[1] for name in names | {SYMBOLS}}
        rows = {name: numbers.zeros((meaning.size, size)) for name, size in sizes.items()}
        constant, error = numbers.zeros((meaning.size,)), np.zeros(meaning.size)
        for value, chosen, share in ((gap, shown, 2), (carried, carriers, 1)):
            for name, own in value.rows.items():
                rows[name][chosen] = own / share
            constant[chosen], error[chosen] = value.constant / share, value.error / share
        units = numbers.zeros((shown.size, sizes[source]))
        units[np.arange(shown.size), meaning[shown]] = numbers.of(np.ones(shown.size))
        rows[source][shown], lost = self._sum(rows[source][shown], units, self.region.bounds[source].magnitude[0])
        error[shown] = _plus(error[shown], lost)
        symbols = self.used + np.arange(meaning.size)
        self.used += meaning.size
        self.region.bounds[SYMBOLS].lower[0, symbols] = -radius
        self.region.bounds[SYMBOLS].upper[0, symbols] = radius
        rows[SYMBOLS][np.arange(meaning.size), symbols] = numbers.of((radius > 0).astype(np.float64))
        return Value(rows, constant, error)

    def _gap(self, value: Value, chosen: IntArray, target: str | None, units: IntArray) -> Value:
        """Some components of a value minus components `units` of a node of the original."""
        pull = Pull(self.region)
        if target is not None:
            pull.start(target, units[None], np.full(units.size, -1.0))
        with np.errstate(invalid="ignore", over="ignore"):
            for name, rows in value.rows.items():
                pull.add(name, rows[chosen][None], ALL)
            pull.shift(value.constant[chosen][None])
        lost = np.broadcast_to(pull.error[0], chosen.shape)
        error = np.zeros(chosen.size) if self.numbers.exact else np.where(lost == 0, 0.0, lost * SLACK + TINY)
        rows = {name: pull.full(name)[0] for name in pull.rows}
        for name in rows.keys() & self.inactive.keys():  # these outputs are 0
            rows[name] = np.where(self.inactive[name], self.numbers.zeros((1,)), rows[name])
        return Value(rows, np.broadcast_to(pull.constant[0], chosen.shape), _plus(value.error[chosen], error))

    def _magnitude(self, value: Value) -> FloatArray:
        """Bounds on the absolute value, exactly 0 where there is nothing."""
        return _plus(np.maximum(0.0, np.maximum(self._maximum(value), self._maximum(_negated(value)))), value.error)

    def _maximum(self, value: Value) -> FloatArray:
        """Upper bounds of rows and constant, pulled back through the original."""
        result = np.zeros(value.error.size)
        nothing = value.constant == 0
        for rows in value.rows.values():
            nothing = nothing & ~(rows != 0).any(axis=1)
        chosen = np.flatnonzero(~nothing)
        step = max(1, _CHUNK // max(self.original.sizes.values()))
        for start in range(0, chosen.size, step):
            some = chosen[start : start + step]
            pull = Pull(self.region)
            for name, rows in value.rows.items():
                pull.add(name, rows[some][None], ALL)
            pull.shift(value.constant[some][None])
            result[some] = pull.run()[0]
        return result


def _up(values: FloatArray) -> FloatArray:
    return np.where(values > 0, np.nextafter(values, np.inf), values)


def _negated(value: Value) -> Value:
    return Value({name: -rows for name, rows in value.rows.items()}, -value.constant, value.error)


def _plus(left: FloatArray, right: FloatArray) -> FloatArray:
    """Sums rounded up; exact where a summand is 0."""
    total = left + right
    return np.where((left == 0) | (right == 0), total, np.nextafter(total, np.inf))
