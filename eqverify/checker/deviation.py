"""The proof of eps (specs/rewrites.md, D-1 and D-2): rows of the reduced network against rows of the original.

Both are put into one network, and rows on differences are pulled back through the reduced part first.  The unit that a
reduced unit with pre-activation z' stands for has z; with |z' - z| <= d on the domain, shown before in the same way,
it shows h + (z' - z) / 2 + e with |e| <= d / 2, since the ReLU is monotone and 1-Lipschitz.  A carrier shows its own
z' + e with 0 <= e <= max(0, -min z').  In the original a stable unit is linear, any other only known by its range.
Rows that agree cancel before anything is rounded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.checker.numbers import Numbers
from eqverify.checker.reader import Reader, reject
from eqverify.checker.region import Interval, Lines, Pull, Region
from eqverify.network import Affine, Network, Relu, Term

PREFIX = "\0"
"""Of names of the reduced network's nodes; no node of a file can begin with it."""


class Meaning(NamedTuple):
    """What the units of a reduced ReLU node show: units of the original's ReLU nodes `layers`, carriers where -1.

    Their values are within `radius` of their rows; above them for carriers.
    """

    layers: IntArray
    units: IntArray
    radius: FloatArray


class Relation(NamedTuple):
    """What one unit equals, up to `off`: 0 for kind 0, z for 1, factor h' for 2, factor (h' - z') for 3."""

    kind: int
    unit: int
    other: Relu
    other_unit: int
    factor: float
    off: float


@dataclass(slots=True, eq=False)
class Comparison(Region):
    """One box around the domain, for the nodes of both networks.

    Attributes:
        status: by ReLU node of the original, 0 kept, 1 inactive, 2 active.
        relations: by ReLU node of the original, those about later units first.
        meanings: by ReLU node of the reduced network.
    """

    status: dict[str, IntArray] = field(default_factory=dict)
    relations: dict[str, list[Relation]] = field(default_factory=dict)
    meanings: dict[str, Meaning] = field(default_factory=dict)

    def maximum(self, *rows: tuple[str, IntArray, float]) -> FloatArray:
        """Upper bounds (m,) of sums of rows, each a node, components (m,) and a factor; 0 where they cancel."""
        result = np.empty(rows[0][1].size)
        step = max(1, self.numbers.chunk // max(self.network.sizes.values()))
        for start in range(0, result.size, step):
            pull = ComparisonPull(self, cancels=True)
            for name, units, factor in rows:
                some = units[start : start + step]
                pull.start(name, some[None], np.full(some.size, factor))
            result[start : start + step] = pull.run()[0]
        return result

    def magnitude(self, first: tuple[str, IntArray, float], second: tuple[str, IntArray, float]) -> FloatArray:
        """Bounds (m,) of the absolute value of a sum of two rows."""
        negative = ((name, units, -factor) for name, units, factor in (first, second))
        return np.maximum(0.0, np.maximum(self.maximum(first, second), self.maximum(*negative)))


class ComparisonPull(Pull):
    """A pull that knows what reduced units show (D-1) and what units equal (D-2)."""

    def relu(self, node: Relu, values: Numbers, columns: IntArray) -> None:
        """Through a ReLU."""
        region = self.region
        assert isinstance(region, Comparison)
        if node.name in region.meanings:
            self._shown(region, node, self.full(node.name, values, columns), region.meanings[node.name])
            return
        self.rows[node.name] = values, columns
        for relation in region.relations.get(node.name, ()):
            self._equal(region, node, relation)
        super().relu(node, *self.rows.pop(node.name))

    def lines(self, node: Relu, rows: int) -> Lines:
        """Equations for stable units, ranges for others."""
        region, numbers = self.region, self.region.numbers
        assert isinstance(region, Comparison)
        status, upper = region.status[node.name], region.bounds[node.source].upper
        slope = numbers.of((status == 2).astype(np.float64))[None, None]
        return slope, slope, numbers.of(np.where(status == 0, np.maximum(upper, 0.0), 0.0))[:, None]

    def _shown(self, region: Comparison, node: Relu, values: Numbers, meaning: Meaning) -> None:
        numbers, radius, carrier = region.numbers, region.numbers.of(meaning.radius), meaning.layers < 0
        reach = numbers.dot(np.where(carrier, np.maximum(values, 0), np.abs(values)), radius[None, None])
        self.shift(reach)
        self.error = self.error + numbers.gamma(radius.size + 2) * reach
        self.touch((values != 0) & (radius != 0))
        half = values * numbers.of(np.where(carrier, 1.0, np.where(meaning.radius > 0, 0.5, 0.0)))
        self.add(node.source, half, np.arange(radius.size))
        for layer in np.unique(meaning.layers[~carrier]):
            relu, own = region.network.relus[layer], meaning.layers == layer
            self.add(relu.name, values[:, :, own], meaning.units[own])
            self.add(relu.source, -half[:, :, own], meaning.units[own])

    def _equal(self, region: Comparison, node: Relu, relation: Relation) -> None:
        numbers, values = region.numbers, self.full(node.name, *self.rows[node.name])
        coefficient = values[:, :, [relation.unit]]
        if not coefficient.any():
            return
        off, factor = numbers.of(np.array([relation.off, relation.factor]))
        reach = np.abs(coefficient[:, :, 0]) * off
        self.shift(reach)
        self.error = self.error + numbers.unit * reach
        self.touch(coefficient * (off != 0))
        if relation.kind < 2:
            return
        values[:, :, relation.unit] = 0
        self.rows[node.name] = values, np.arange(values.shape[2])
        moved, other = coefficient * factor, np.array([relation.other_unit])
        for name, part in ((relation.other.name, moved), (relation.other.source, -moved))[: relation.kind - 1]:
            if relation.factor != 1 and numbers.unit:
                self.error = self.error + numbers.unit * (np.abs(moved) @ region.reach(name)[other])
            self.add(name, part, other)


def deviations(original: Region, reduced: Network, reader: Reader, statuses: list[IntArray]) -> FloatArray:
    """Bounds on |original - reduced|, (output_size,), by the unit map and the relations of a certificate.

    Args:
        original: one box around the domain, with bounds of all nodes.
        reduced: the reduced network.
        reader: the certificate.
        statuses: by ReLU node of the original, what was shown to be inactive (1) and active (2).

    Raises:
        RejectedError: `certificate/...`.
    """
    network, inputs = (
        original.network,
        dict(zip((p.name for p in reduced.inputs), original.network.inputs, strict=True)),
    )
    names = {name: port.name for name, port in inputs.items()} | {
        node.name: PREFIX + node.name for node in reduced.nodes
    }
    nodes = [_renamed(node, names) for node in reduced.plain_nodes]
    both = Network(network.inputs, (*network.nodes, *nodes), network.outputs)
    relus = [relu.name for relu in network.relus]
    region = Comparison(
        both, original.numbers, dict(original.bounds), status=dict(zip(relus, map(np.array, statuses), strict=True))
    )
    _relate(region, network, reader)
    entries = reader.items(reader.head, "map")
    if len(entries) != len(reduced.relus):
        reject("layers", "not one entry per ReLU node of the reduced network", len(entries))
    meanings = iter(entries)
    for node in nodes:
        if isinstance(node, Affine):
            region.bounds[node.name] = region.interval(node)
        else:
            region.bound(node)
            region.meanings[node.name] = _meaning(region, network, node, reader, next(meanings))
    found = []
    for new, old in zip(reduced.outputs, network.outputs, strict=True):
        every = np.arange(old.size)
        found.append(region.magnitude((names[new.source], every, 1.0), (old.source, every, -1.0)))
    return np.concatenate(found)


def _renamed(node: Affine | Relu, names: dict[str, str]) -> Affine | Relu:
    if isinstance(node, Relu):
        return Relu(names[node.name], names[node.source])
    return Affine(names[node.name], tuple(Term(names[term.source], term.map) for term in node.terms), node.bias)


def _meaning(region: Comparison, network: Network, node: Relu, reader: Reader, entry: object) -> Meaning:
    """What the units of a reduced node show, with how far they are from that; and its bounds."""
    size = region.network.sizes[node.name]
    layers = reader.integers(entry, "layers", size, -1, len(network.relus) - 1)
    units, radius = reader.units(entry, "units", layers), np.zeros(size)
    lower, upper = (bound.copy() for bound in region.bounds[node.name])
    for layer in np.unique(layers):
        own = np.flatnonzero(layers == layer)
        if layer < 0:
            radius[own] = np.maximum(0.0, region.maximum((node.source, own, -1.0)))
            continue
        relu, shown = network.relus[layer], units[own]
        if np.unique(shown).size != shown.size:
            reject("duplicate", "two units of one node show the same", node=relu.name)
        gap = region.magnitude((node.source, own, 1.0), (relu.source, shown, -1.0))
        radius[own] = np.where(gap > 0, np.nextafter(gap / 2, np.inf), 0.0)
        z = region.bounds[relu.name]
        lower[0, own] = np.maximum(lower[0, own], np.nextafter(z.lower[0, shown] - gap, -np.inf))
        upper[0, own] = np.minimum(upper[0, own], np.nextafter(z.upper[0, shown] + gap, np.inf))
    region.bounds[node.name] = Interval(lower, upper)
    return Meaning(layers, units, radius)


def _relate(region: Comparison, network: Network, reader: Reader) -> None:
    """The relations, with what their premises are off by (M-1 to M-3); those about a layer may rest on earlier ones."""
    entry = reader.field(reader.head, "relations")
    kind = reader.integers(entry, "kind", None, 0, 3)
    last, far = len(network.relus) - 1, kind >= 2
    layer = reader.integers(entry, "layer", kind.size, 0, last)
    other = np.where(far, reader.integers(entry, "other_layer", kind.size, -1, last), -1)
    unit, other_unit = reader.units(entry, "unit", layer), reader.units(entry, "other_unit", other)
    factor = reader.floats(entry, "factor", (kind.size,))
    before = (other >= 0) & ((other < layer) | ((other == layer) & (other_unit < unit)))
    if (far & ~(before & (factor > 0))).any():
        reject("relation", "a relation to a later unit, or with a factor that is not positive")
    if len({*zip(layer.tolist(), unit.tolist(), strict=True)}) != kind.size:
        reject("duplicate", "two relations about one unit")
    for number in np.flatnonzero(~far):
        status = region.status[network.relus[layer[number]].name]
        status[unit[number]] = status[unit[number]] or kind[number] + 1
    for number in np.lexsort((-unit, layer)):
        relu, k = network.relus[layer[number]], int(kind[number])
        z = relu.source, unit[[number]], 1.0
        if k < 2:
            off = region.maximum((z[0], z[1], 1.0 if k == 0 else -1.0))
        else:
            sign = -1.0 if k == 2 else 1.0
            off = region.magnitude(
                z, (network.relus[other[number]].source, other_unit[[number]], sign * factor[number])
            )
        relation = Relation(
            k, int(unit[number]), network.relus[other[number]], int(other_unit[number]), float(factor[number]),
            max(0.0, float(off[0])),
        )  # fmt: skip
        region.relations.setdefault(relu.name, []).append(relation)
