"""The comparison of two networks in a certificate (specs/certificate.md, K-7) as that of the proved checker.

Nothing here is trusted: what is translated wrongly is rejected.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from eqverify.checker.reader import Reader, reject
from eqverify.network import Affine, Network
from eqverify.proved.problem import Integers
from eqverify.proved.steps import SLOPE_BITS, Numbers, Translation, widths

_KEPT, _ACTIVE, _USUAL = (1, 0, 0, 0), (1, 1 << SLOPE_BITS, 1 << SLOPE_BITS, 0), (0,)
"""What is said about a unit of the original: only its range is known; it is linear; its range shows what it is."""

_SIGN, _EQUAL = 0, 1


def comparison_proof(original: Network, reduced: Network, problem: Integers, reader: Reader) -> Iterator[int]:
    """All numbers of the file of a proof that a reduced network is near (K-6, K-7, K-12).

    Raises:
        RejectedError: `certificate/...`, where the file cannot be read.
        LimitError: `check/kernel-scope`, for steps that have no counterpart.
    """
    assert problem.reduced is not None
    yield from widths(problem.layers, 48)
    shifts = [layer.shift for layer in (*problem.layers, *problem.reduced)]
    bits = sum(shifts) + len(shifts) if not any(problem.epsilon) else 2 * max(shifts) + 64
    yield from widths(problem.layers, bits + 40)
    yield from widths(problem.reduced, bits + 40)
    yield len(problem.parts)
    comparison = _Comparison(original, reduced, problem, reader)
    steps = reader.items(reader.head, "steps")
    for number in range(len(problem.parts)):
        yield from Translation(original, problem, number, reader, several=True).shared(steps)
        yield from comparison.facts
        yield from comparison.lines
        yield from comparison.maps
        yield bits


def claimed_signs(original: Network, reader: Reader) -> list[list[int]]:
    """What a certificate claims of the signs of units (K-6), layers counted from the outputs.

    Raises:
        RejectedError: `certificate/...`.
    """
    depth = len(original.plain_nodes) - len(original.relus)
    found: list[list[int]] = [[] for _ in range(depth + 1)]
    for level, status in zip(_levels(original), _statuses(original, reader), strict=True):
        found[level] = [(0, -1, 1)[one] for one in status]
    return found


def _levels(original: Network) -> list[int]:
    """Of the layer that each ReLU reads, counted from the outputs, in a chain."""
    names = [original.inputs[0].name, *(n.name for n in original.plain_nodes if isinstance(n, Affine))]
    return [len(names) - 1 - names.index(relu.source) for relu in original.relus]


def _statuses(original: Network, reader: Reader) -> list[list[int]]:
    layers = reader.items(reader.head, "layers")
    if len(layers) != len(original.relus):
        reject("layers", "not one entry per ReLU node", len(layers))
    return [
        reader.integers(entry, "status", original.sizes[relu.name], 0, 2).tolist()
        for relu, entry in zip(original.relus, layers, strict=True)
    ]


class _Comparison:
    """What all parts share.

    Attributes:
        facts: signs of units and what units equal, in an order in which each may rest on those before.
        lines: which lines are taken at each unit of the original, from the last hidden layer on.
        maps: what the units of the reduced network stand for, from the last hidden layer on.
    """

    def __init__(self, original: Network, reduced: Network, problem: Integers, reader: Reader) -> None:
        assert problem.reduced is not None
        depth = len(problem.layers)
        self.reader, self.original = reader, original
        self.level = _levels(original)
        self.units: dict[int, list[tuple[int, ...]]] = {
            level: [_USUAL if one == 2 else _KEPT for one in status]
            for level, status in zip(self.level, _statuses(original, reader), strict=True)
        }
        self.facts = self._facts()
        self.lines = [depth]
        for level in range(1, depth + 1):
            units = self.units.get(level, [])
            self.lines += [len(units), *(n for one in units for n in one)]
        self.maps = self._maps(reduced)

    def _facts(self) -> Numbers:
        """The relations, earlier units first; lines for units that are linear as one of them says."""
        reader, last = self.reader, len(self.original.relus) - 1
        entry = reader.field(reader.head, "relations")
        kind = reader.integers(entry, "kind", None, 0, 3)
        layer = reader.integers(entry, "layer", kind.size, 0, last)
        other = np.where(kind >= 2, reader.integers(entry, "other_layer", kind.size, -1, last), -1)
        unit, onto = reader.units(entry, "unit", layer), reader.units(entry, "other_unit", other)
        factor = reader.floats(entry, "factor", (kind.size,))
        before = (other >= 0) & ((other < layer) | ((other == layer) & (onto < unit)))
        if ((kind >= 2) & ~(before & (factor > 0))).any():
            reject("relation", "a relation to a later unit, or with a factor that is not positive")
        facts = [kind.size]
        for k in np.lexsort((unit, layer)).tolist():
            level, u = self.level[layer[k]], int(unit[k])
            if kind[k] < 2:
                self.units[level][u] = _ACTIVE if kind[k] else _KEPT
                facts += [_SIGN, level, u, -1 if kind[k] else 1]
                continue
            numerator, denominator = float(factor[k]).as_integer_ratio()
            back, places, flipped = self.level[other[k]] - level, denominator.bit_length() - 1, int(kind[k] == 3)
            facts += [_EQUAL, level, u, back, int(onto[k]), numerator, places, flipped]
        return facts

    def _maps(self, reduced: Network) -> Numbers:
        entries, reader = self.reader.items(self.reader.head, "map"), self.reader
        if len(entries) != len(reduced.relus):
            reject("layers", "not one entry per ReLU node of the reduced network", len(entries))
        shown = {relu.name: entry for relu, entry in zip(reduced.relus, entries, strict=True)}
        by_layer: list[Numbers] = []
        links = [node for node in reduced.plain_nodes if node.name not in shown]
        for node in links:
            entry = shown.get(node.sources[0])
            by_layer.append([0] if entry is None else self._targets(reader, entry, reduced.sizes[node.sources[0]]))
        return [len(by_layer), *(n for one in reversed(by_layer) for n in one)]

    def _targets(self, reader: Reader, entry: object, size: int) -> Numbers:
        layers = reader.integers(entry, "layers", size, -1, len(self.original.relus) - 1)
        units: Sequence[int] = reader.units(entry, "units", layers).tolist()
        pairs = zip(layers.tolist(), units, strict=True)
        return [size, *(n for k, u in pairs for n in ((0,) if k < 0 else (1, self.level[k], u)))]
