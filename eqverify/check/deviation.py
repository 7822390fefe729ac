"""The proof of eps (specs/rewrites.md, D-1): rows of the reduced network against rows of the original, pulled back.

A unit of the reduced network shows max(0, z_i) of the unit it stands for up to a deviation.  The difference between its
pre-activation and z_i is a row on values of the original.  Pulled back through the original, where a stable unit is linear
and any other is only known by its range, it is bounded on the domain; rows that agree cancel before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.check.certificate import Layer, Meaning
from eqverify.check.numbers import SLACK, TINY, Floats, Numbers
from eqverify.check.region import ALL, Lines, Pull, Region
from eqverify.network import Affine, Network, Relu


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
        self.region = Region(network, numbers, region.bounds, exact_lines)
        self.kept = [np.flatnonzero(layer.status == 0) for layer in layers]

    def run(self, reduced: Network, meanings: tuple[Meaning, ...]) -> FloatArray:
        """All nodes of the reduced network in order."""
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
            found.append(self._distance(values[new.source], old.source, np.arange(old.size)))
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

    def _unit(self, z: Value, meaning: Meaning) -> Value:
        """What a layer of the reduced network shows, as rows on the original, with the deviation from them."""
        relu, count = self.original.relus[meaning.source], meaning.units.size
        size, inputs = len(z.error), self.original.input_size
        error = np.zeros(size)
        error[:count] = self._distance(z, relu.source, meaning.units, np.arange(count))
        rows: dict[str, FloatArray] = {relu.name: np.zeros((size, self.original.sizes[relu.name]))}
        rows[relu.name][np.arange(count), meaning.units] = 1.0
        constant = np.zeros(size)
        if count < size:
            constant[count:] = meaning.carriers[:, inputs]
            column = 0
            for port in self.original.inputs:
                rows[port.name] = np.zeros((size, port.size))
                rows[port.name][count:] = meaning.carriers[:, column : column + port.size]
                column += port.size
            column = inputs + 1
            for other, kept in zip(self.original.relus, self.kept, strict=True):
                own = meaning.carriers[:, column : column + kept.size]
                column += kept.size
                if own.any():
                    rows.setdefault(other.name, np.zeros((size, self.original.sizes[other.name])))
                    rows[other.name][np.arange(count, size)[:, None], kept] = own
        shown = Value({k: self.numbers.of(v) for k, v in rows.items()}, self.numbers.of(constant), np.zeros(size))
        if count < size:
            # max(0, v') is within |v' - v| of max(0, v), and that within max(0, -v) of v
            chosen = np.arange(count, size)
            below = self._bound(_negated(shown), chosen, None, chosen)
            error[count:] = _plus(self._distance(z, shown, None, chosen), np.maximum(0.0, below))
        return Value(shown.rows, shown.constant, error)

    def _distance(self, value: Value, target: str | Value, units: IntArray | None, chosen: IntArray) -> FloatArray:
        """Bounds on |value - target| for chosen components; of a node target, the components `units`."""
        sides = [self._bound(value, chosen, target, units), self._bound(_negated(value), chosen, target, units, -1.0)]
        return _plus(np.maximum(0.0, np.maximum(*sides)), value.error[chosen])

    def _bound(
        self, value: Value, chosen: IntArray, target: str | Value | None, units: IntArray | None, sign: float = 1.0
    ) -> FloatArray:
        """Upper bounds of rows and constant of `value` minus sign * target; exactly 0 where all cancels at once."""
        result = np.empty(chosen.size)
        step = max(1, _CHUNK // max(self.original.sizes.values()))
        for start in range(0, chosen.size, step):
            part = slice(start, start + step)
            pull, some = Pull(self.region), chosen[part]
            if isinstance(target, str) and units is not None:
                pull.start(target, units[part][None], np.full(some.size, -sign))
            elif isinstance(target, Value):
                other = target if sign < 0 else _negated(target)
                self._put(pull, other, some)
            self._put(pull, value, some)
            result[part] = _exactly(pull)
        return result

    def _put(self, pull: Pull, value: Value, chosen: IntArray) -> None:
        with np.errstate(invalid="ignore", over="ignore"):
            for name, rows in value.rows.items():
                pull.add(name, rows[chosen][None], ALL)
            pull.shift(value.constant[chosen][None])


def _exactly(pull: Pull) -> FloatArray:
    """What a pull gives; 0 where it has nothing to pull."""
    idle = (pull.constant == 0) & (pull.error == 0)
    for rows, _ in pull.rows.values():
        idle = idle & ~(rows != 0).any(axis=2)
    found = pull.run()
    return np.where(idle, 0.0, found)[0]


def _negated(value: Value) -> Value:
    return Value({name: -rows for name, rows in value.rows.items()}, -value.constant, value.error)


def _plus(left: FloatArray, right: FloatArray) -> FloatArray:
    """Sums rounded up; exact where a summand is 0."""
    total = left + right
    return np.where((left == 0) | (right == 0), total, np.nextafter(total, np.inf))
