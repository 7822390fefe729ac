"""A network and a property as the integers that the proved checker reads (specs/coq/README.md).

Weights, biases and boxes are floats, times a power of two; rows of conditions are multiplied by what makes their
coefficients integers, and their bounds are rounded up to the problem's scale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor, lcm

from eqverify.domain import HalfSpace
from eqverify.network import Affine, Network
from eqverify.proved.questions import Question, chain, refused

SCALE = 60
"""Binary places of bounds, at least."""

_MOST_SCALE = 1100


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
        parts: one for each question.
        reduced: the layers of a second network, where two are compared.
        epsilon: how far its outputs are at most, times 2^scale.
        signs: what is claimed of units of the first, layers counted from the outputs: 1, -1, or 0 for nothing.
    """

    scale: int
    layers: Sequence[Layer]
    parts: Sequence[Part]
    reduced: Sequence[Layer] | None = None
    epsilon: Sequence[int] = ()
    signs: Sequence[Sequence[int]] = ()

    def numbers(self) -> Iterator[int]:
        """In the order of the file: the last layer first."""
        yield self.scale
        yield from _network(self.layers)
        yield len(self.parts)
        for part in self.parts:
            yield len(part.box)
            for pair in part.box:
                yield from pair
            yield from _rows(part.common)
            yield len(part.disjuncts)
            for rows in part.disjuncts:
                yield from _rows(rows)
        if self.reduced is not None:
            yield from _network(self.reduced)
            yield from listed(self.epsilon)
            yield len(self.signs)
            for units in self.signs:
                yield from listed(units)


def integers(
    network: Network, questions: Sequence[Question], reduced: Network | None = None, epsilon: Sequence[float] = (),
    signs: Sequence[Sequence[int]] = (),
) -> Integers:  # fmt: skip
    """The problem of questions about one network, or about how far another is from it.

    Raises:
        LimitError: `check/kernel-scope` where a network is no chain, or has quotients.
    """
    layers = [_layer(*link) for link in chain(network)]
    other = None if reduced is None else [_layer(*link) for link in chain(reduced)]
    boxes = [question.box for question in questions]
    places = (_places(v) for box in boxes for bound in (box.lower, box.upper) for v in bound.tolist())
    scale = max(SCALE, *places)
    if scale > _MOST_SCALE:
        raise refused("numbers of more binary places than are written", scale)
    parts = [_part(question, network, scale) for question in questions]
    return Integers(scale, layers, parts, other, [floor(Fraction(e) * (1 << scale)) for e in epsilon], signs)


def point_numbers(network: Network, rows: Sequence[HalfSpace]) -> Iterator[int]:
    """The problem of one input that satisfies rows as they are written, each multiplied until it is of integers."""
    yield from _network([_layer(*link) for link in chain(network)])
    yield len(rows)
    for row in rows:
        written = _row(row, network.output_size, network.input_size, 0, row.bound.denominator)
        yield int(row.strict)
        yield from _row_numbers(written)


def _network(layers: Sequence[Layer]) -> Iterator[int]:
    yield len(layers)
    for layer in reversed(layers):
        yield layer.shift
        yield len(layer.weights)
        for row in layer.weights:
            yield from listed(row)
        yield from listed(layer.bias)
        yield int(layer.behind_relu)


def _layer(node: Affine, active: bool) -> Layer:
    linear = node.terms[0].map
    if linear.entry_error:
        raise refused("weights that are quotients", node=node.name)
    matrix = linear.dense()
    shift = max(_places(v) for v in (*matrix.ravel().tolist(), *node.bias.tolist()))
    weights = [[_scaled(v, shift) for v in row] for row in matrix.tolist()]
    return Layer(node.name, weights, [_scaled(v, shift) for v in node.bias.tolist()], shift, active)


def _part(question: Question, network: Network, scale: int) -> Part:
    box = question.box
    ends = [
        (_scaled(low, scale), _scaled(high, scale))
        for low, high in zip(box.lower.tolist(), box.upper.tolist(), strict=True)
    ]
    sizes = network.output_size, network.input_size
    disjuncts = [[_row(row, *sizes, scale) for row in rows] for rows in question.disjuncts]
    return Part(ends, [_row(row, *sizes, scale) for row in question.common], disjuncts)


def _row(row: HalfSpace, outputs: int, inputs: int, scale: int, multiple: int = 1) -> Row:
    factor = lcm(multiple, *(c.denominator for one in (row.inputs, row.outputs) for c in one.values()))
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
        yield from _row_numbers(row)


def _row_numbers(row: Row) -> Iterator[int]:
    yield from (*listed(row.outputs), *listed(row.inputs), row.limit)


def listed(values: Iterable[int]) -> Iterator[int]:
    """A list as it is written: how many, and each."""
    some = list(values)
    yield len(some)
    yield from some
