"""A network and a property as the integers that the proved checker reads (specs/coq/README.md).

Weights, biases and boxes are floats, times a power of two; rows of conditions are multiplied by what makes their
coefficients integers, and their bounds are rounded up to the problem's scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, lcm

from eqverify.domain import Case, HalfSpace, Polytope, Specification
from eqverify.errors import LimitError, Place
from eqverify.network import Affine, Network, Relu

SCALE = 60
"""Binary places of bounds, at least."""

_MOST_SCALE = 1100
_MOST_WEIGHTS = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """z = (weights h + bias) / 2^shift, with h behind a ReLU or not.

    Attributes:
        name: of the affine node.
        weights: (out, in) integers.
        bias: (out,) integers.
    """

    name: str
    weights: Sequence[Sequence[int]]
    bias: Sequence[int]
    shift: int
    behind_relu: bool


@dataclass(frozen=True, slots=True)
class Row:
    """outputs y + inputs x <= limit / 2^scale, a positive multiple `factor` of a row of the property."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...]
    limit: int
    factor: int


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A case: its box, rows on inputs alone, and disjuncts."""

    box: Sequence[tuple[int, int]]
    common: Sequence[Row]
    disjuncts: Sequence[Sequence[Row]]


@dataclass(frozen=True, slots=True, eq=False)
class Integers:
    """A problem.

    Attributes:
        scale: binary places of boxes and of the bounds of rows.
        layers: the first one first.
    """

    scale: int
    layers: Sequence[Layer]
    parts: Sequence[Part]

    def numbers(self) -> Iterator[int]:
        """In the order of the file: the last layer first."""
        yield self.scale
        yield len(self.layers)
        for layer in reversed(self.layers):
            yield layer.shift
            yield len(layer.weights)
            for row in layer.weights:
                yield from listed(row)
            yield from listed(layer.bias)
            yield int(layer.behind_relu)
        yield len(self.parts)
        for part in self.parts:
            yield len(part.box)
            for pair in part.box:
                yield from pair
            yield from _rows(part.common)
            yield len(part.disjuncts)
            for rows in part.disjuncts:
                yield from _rows(rows)


def integers(network: Network, specification: Specification) -> Integers:
    """The problem of a property of one network.

    Raises:
        LimitError: `check/kernel-scope` where the network is no chain, or has quotients.
    """
    layers = [_layer(*link) for link in chain(network)]
    polytopes = [case.polytope for case in specification.cases]
    places = (_places(v) for p in polytopes for bound in (p.box.lower, p.box.upper) for v in bound.tolist())
    scale = max(SCALE, *places)
    if scale > _MOST_SCALE:
        raise refused("numbers of more binary places than are written", scale)
    parts = [_part(case, network, scale) for case in specification.cases]
    return Integers(scale, layers, parts)


def refused(why: str, value: object = None, node: str | None = None) -> LimitError:
    """What the theorem does not cover, or what is not written for it."""
    return LimitError(
        "check/kernel-scope", "the checker that is proved in Coq does not cover it", place=Place(node=node),
        value=why if value is None else f"{why}: {value}", hint="use --arithmetic exact without --kernel",
    )  # fmt: skip


def chain(network: Network) -> list[tuple[Affine, bool]]:
    """The affine nodes from the input to the outputs, and whether each reads a ReLU."""
    if len(network.inputs) != 1 or len(network.outputs) != 1:
        raise refused("the network has several inputs or outputs")
    if network.smooth:
        raise refused("the network has smooth nodes", node=network.smooth[0].name)
    links: list[tuple[Affine, bool]] = []
    last, active = network.inputs[0].name, False
    for node in network.plain_nodes:
        if list(node.sources) != [last]:
            raise refused("the network is no chain", node=node.name)
        if isinstance(node, Relu):
            active = True
        else:
            links.append((node, active))
            active = False
        last = node.name
    if active or not links or network.outputs[0].source != last:
        raise refused("the last node is not affine, or no output", node=last)
    if sum(node.size * node.terms[0].map.shape[1] for node, _ in links) > _MOST_WEIGHTS:
        raise refused("the network has more weights than are written")
    return links


def _layer(node: Affine, active: bool) -> Layer:
    linear = node.terms[0].map
    if linear.entry_error:
        raise refused("weights that are quotients", node=node.name)
    matrix = linear.dense()
    shift = max(_places(v) for v in (*matrix.ravel().tolist(), *node.bias.tolist()))
    weights = [[_scaled(v, shift) for v in row] for row in matrix.tolist()]
    return Layer(node.name, weights, [_scaled(v, shift) for v in node.bias.tolist()], shift, active)


def _part(case: Case, network: Network, scale: int) -> Part:
    box = case.polytope.box
    ends = [
        (_scaled(low, scale), _scaled(high, scale))
        for low, high in zip(box.lower.tolist(), box.upper.tolist(), strict=True)
    ]
    sizes = network.output_size, network.input_size
    disjuncts = [[_row(row, *sizes, scale) for row in rows] for rows in case.unsafe]
    return Part(ends, [_row(row, *sizes, scale) for row in polytope_rows(case.polytope)], disjuncts)


def polytope_rows(polytope: Polytope) -> list[HalfSpace]:
    """A x <= b."""
    return [
        HalfSpace({i: Fraction(a) for i, a in enumerate(row) if a}, {}, Fraction(bound))
        for row, bound in zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True)
    ]


def _row(row: HalfSpace, outputs: int, inputs: int, scale: int) -> Row:
    factor = lcm(*(c.denominator for one in (row.inputs, row.outputs) for c in one.values()))
    on_outputs, on_inputs = (
        tuple(int(one.get(k, 0) * factor) for k in range(size))
        for one, size in ((row.outputs, outputs), (row.inputs, inputs))
    )
    return Row(on_outputs, on_inputs, ceil(row.bound * factor * (1 << scale)), factor)


def _places(value: float) -> int:
    return value.as_integer_ratio()[1].bit_length() - 1


def _scaled(value: float, places: int) -> int:
    numerator, denominator = value.as_integer_ratio()
    return (numerator << places) // denominator


def _rows(rows: Sequence[Row]) -> Iterator[int]:
    yield len(rows)
    for row in rows:
        yield from (*listed(row.outputs), *listed(row.inputs), row.limit)


def listed(values: Iterable[int]) -> Iterator[int]:
    """A list as it is written: how many, and each."""
    some = list(values)
    yield len(some)
    yield from some
