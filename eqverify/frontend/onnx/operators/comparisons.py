"""Comparisons of computed values, and choices by them where what they choose between agrees at the change.

`eqverify.frontend.onnx.choices` has the functions of one guard that they are made of.
Values are followed back through maps with one entry a row, to what the guards are about, in up to three readings: one
ends at tensors that are compared, one goes on to where several components are summed, and one takes a ReLU for a
function with two pieces besides.  The first that is continuous is written.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.frontend.onnx.builder import Builder
from eqverify.frontend.onnx.call import Call
from eqverify.frontend.onnx.choices import (
    ONE,
    Key,
    Pieces,
    Row,
    UnevenError,
    added,
    bends,
    combined,
    multiplied,
    plain,
    sign_of,
)
from eqverify.frontend.onnx.operators.indexing import where_stored
from eqverify.frontend.onnx.table import on_choices, operator
from eqverify.frontend.onnx.tensors import element_name
from eqverify.frontend.onnx.values import ELEMENTS, Choice, Constant, Tensor, Value
from eqverify.network import Affine, Diagonal, Identity, LinearMap, Relu, ScaledSelection, Selection, Term

_MOST = 1 << 14
"""Components of one choice: some seconds."""
_DEEPEST = 12
_READINGS = 3
_ONE = Fraction(1)
_MEETING = "values that jump where the condition changes; several numbers in one condition or choice"


class _Reading:
    """What components are, followed back to numbers that are not taken apart further.

    Args:
        builder: with the nodes so far.
        level: 0 to end at tensors that are compared, 1 to go on to sums, 2 to go through ReLUs.
    """

    def __init__(self, builder: Builder, level: int) -> None:
        self.nodes, self.through = {node.name: node for node in builder.nodes}, level > 1
        self.sizes = builder.sizes
        self.ends = set() if level else builder.compared

    def pieces(self, key: Key, depth: int = 0) -> Pieces:
        """A component of a node or input."""
        node = None if key[0] in self.ends else self.nodes.get(key[0])
        try:
            if depth < _DEEPEST and isinstance(node, Affine) and len(node.terms) <= 4:
                return self._affine(node, key[1], depth)
            if depth < _DEEPEST and isinstance(node, Relu) and self.through:
                self.sizes[node.source] = self.sizes[key[0]]
                inside = self.pieces((node.source, key[1]), depth + 1)
                return combined(lambda row, sign: row if sign > 0 else {}, inside, sign_of(inside))
        except UnevenError:
            pass
        return plain({key: _ONE})

    def _affine(self, node: Affine, index: int, depth: int) -> Pieces:
        total = plain(_constant(node.bias[index]))
        for term in node.terms:
            place, factor = _entry(term.map, index)
            self.sizes[term.source] = term.map.shape[1]
            if factor:
                part = self.pieces((term.source, place), depth + 1)
                total = combined(lambda first, second, by=factor: added(first, second, by), total, part)
        return total


def _entry(linear: LinearMap, index: int) -> tuple[int, Fraction]:
    """The column and the number of the only entry of a row.

    Raises:
        UnevenError: the map may have more.
    """
    if isinstance(linear, Identity):
        return index, _ONE
    if isinstance(linear, Selection):
        return int(linear.indices[index]), _ONE
    if isinstance(linear, ScaledSelection):
        return int(linear.indices[index]), Fraction(float(linear.scale[index]))
    if isinstance(linear, Diagonal):
        return index, Fraction(float(linear.scale[index])) / Fraction(float(linear.divisor[index]))
    raise UnevenError


def _constant(number: Any) -> Row:
    return {ONE: Fraction(float(number))} if number else {}


def _parts(call: Call, index: int) -> tuple[tuple[int, ...], Callable[[int], Any]]:
    """The shape of input `index`, and it in a reading, component by component; None where that does not go."""
    value = call.inputs[index] if index < len(call.inputs) else None
    if isinstance(value, Choice):
        return value.shape, value.reading
    value = call.value(index)
    if np.prod(value.shape) > _MOST:
        raise call.error("unsupported-form", f"choices between more than {_MOST} components are not read")
    if isinstance(value, Constant):
        truth = value.array.dtype == np.bool_
        numbers = value.array if truth else call.weights(value, value.element)
        stored = [plain(bool(n) if truth else _constant(n)) for n in numbers.reshape(-1).tolist()]
        return value.shape, lambda _: _array(stored, value.shape)
    call.builder.sizes[value.source] = value.size

    def read(level: int) -> Any:
        reading = _Reading(call.builder, level)
        return _array([reading.pieces((value.source, k)) for k in range(value.size)], value.shape)

    return value.shape, read


def _array(pieces: list[Pieces], shape: tuple[int, ...]) -> Any:
    made = np.empty(len(pieces), dtype=object)
    made[:] = pieces
    return made.reshape(shape)


def _result(call: Call, function: Callable[..., Any], indices: Iterable[int], element: str) -> Value | Choice:
    """A function of pieces, component by component: a tensor where it is continuous."""
    inputs = [_parts(call, index) for index in indices]
    shape = call.broadcast(*(own for own, _ in inputs))

    @functools.cache
    def reading(level: int) -> Any:
        parts = [part(level) for _, part in inputs]
        if any(part is None for part in parts):
            return None
        try:
            made = np.frompyfunc(function, len(parts), 1)(*parts)
        except UnevenError:
            return None
        return made if shape else _array([made], ())

    for level in range(_READINGS) if element in ELEMENTS else ():
        written = None if reading(level) is None else _written(call, reading(level), element)
        if written is not None:
            call.builder.unmodelled.append(f"{call.operator} by a computed condition")
            return written
    if all(reading(level) is None for level in range(_READINGS)):
        raise call.error("nonlinear", "the values that are compared or chosen depend on several numbers at once")
    return Choice(call.name, shape, reading, element)


def _written(call: Call, parts: Any, element: str) -> Value | None:
    """The value of functions with pieces: first piece + slopes * relu(guard - cut); None where one jumps."""
    flat = parts.reshape(-1).tolist()
    bent = [bends(part) for part in flat]
    if any(found is None for found in bent):
        return None
    rows: list[Row] = [part.cells[0] for part in flat]
    if not any(bent) and all(row.keys() <= {ONE} for row in rows):
        numbers = np.array([_float(call, row.get(ONE, Fraction(0))) for row in rows])
        return Constant(call.name, numbers.reshape(parts.shape), element)
    for number in range(max((len(found or ()) for found in bent), default=0)):
        guards, slopes = [], []
        for part, found in zip(flat, bent, strict=True):
            cut, slope = (found or ())[number] if number < len(found or ()) else (Fraction(0), Fraction(0))
            guards.append(added(part.guard, {ONE: _ONE}, -cut) if slope else {})
            slopes.append(slope)
        name = call.builder.helper_name
        guard = _rows(call, name(call.name, "guard"), guards, (len(flat),), element)
        source = call.builder.relu(name(call.name, "excess"), guard).source
        call.builder.sizes[source] = len(flat)
        rows = [added(row, {(source, k): _ONE}, slope) for k, (row, slope) in enumerate(zip(rows, slopes, strict=True))]
    return _rows(call, call.name, rows, parts.shape, element)


def _rows(call: Call, name: str, rows: list[Row], shape: tuple[int, ...], element: str) -> Tensor:
    """An affine node of rows; factors that are no float64 are sums of two."""
    terms: dict[tuple[str, int], tuple[IntArray, FloatArray]] = {}
    bias = np.array([_float(call, row.get(ONE, Fraction(0))) for row in rows])
    for k, row in enumerate(rows):
        used: Counter[str] = Counter()
        for (source, place), factor in row.items():
            first = float(factor)
            numbers = [first, _float(call, factor - Fraction(first))] if source else []
            for number in filter(None, numbers):
                places, scale = terms.setdefault((source, used[source]), _nowhere(len(rows)))
                places[k], scale[k] = place, number
                used[source] += 1
    sizes = call.builder.sizes
    made = [Term(source, _gathered(*pair, sizes[source])) for (source, _), pair in terms.items()]
    return call.builder.affine(name, tuple(made), bias, call.checked(shape), element)


def _nowhere(count: int) -> tuple[IntArray, FloatArray]:
    return np.zeros(count, dtype=np.int64), np.zeros(count)


def _gathered(places: IntArray, scale: FloatArray, size: int) -> LinearMap:
    if (scale == 1).all():
        same = places.size == size and np.array_equal(places, np.arange(size))
        return Identity(size) if same else Selection(places, size)
    return ScaledSelection(places, scale, size)


def _float(call: Call, number: Fraction) -> float:
    """A number that float64 must hold."""
    try:
        if Fraction(float(number)) == number:
            return float(number)
    except OverflowError:
        pass
    raise call.error("unsupported-form", "no float64 holds a number of this choice", value=str(number)[:100])


_TESTS: dict[str, Callable[[int], bool]] = {
    "Equal": lambda sign: sign == 0,
    "Greater": lambda sign: sign > 0,
    "Less": lambda sign: sign < 0,
    "GreaterOrEqual": lambda sign: sign >= 0,
    "LessOrEqual": lambda sign: sign <= 0,
}
_LOGIC: dict[str, Callable[..., bool]] = {
    "And": lambda first, second: first and second,
    "Or": lambda first, second: first or second,
    "Xor": lambda first, second: first != second,
    "Not": lambda first: not first,
}


@operator("Equal", since=11, refused=_MEETING)
@operator("Greater", refused=_MEETING)
@operator("Less", refused=_MEETING)
@operator("GreaterOrEqual", since=12, refused=_MEETING)
@operator("LessOrEqual", since=12, refused=_MEETING)
def compared(call: Call) -> Value | Choice:
    """Pieces with truth values, for Where, Cast and logic."""
    test = _TESTS[call.operator]
    call.builder.compared.update(value.source for value in call.inputs if isinstance(value, Tensor))

    def compare(first: Pieces, second: Pieces) -> Pieces:
        return combined(test, sign_of(combined(_difference, first, second)))

    return _result(call, compare, (0, 1), "bool")


@operator("And", refused=_MEETING)
@operator("Or", refused=_MEETING)
@operator("Xor", refused=_MEETING)
@operator("Not", refused=_MEETING)
def logic(call: Call) -> Value | Choice:
    """Pieces with truth values, for Where, Cast and logic."""
    function = _LOGIC[call.operator]
    return _result(call, lambda *parts: combined(function, *parts), range(len(call.inputs)), "bool")


@operator("Where", since=9, refused=_MEETING)
def where(call: Call) -> Value | Choice:
    """A placing map per branch, constants as bias; one ReLU node per change of a computed condition."""
    if not any(isinstance(value, Choice) for value in call.inputs):
        return where_stored(call)
    if not isinstance(call.inputs[0], Choice):
        raise call.error("unsupported-form", "of values that jump, none is chosen by a stored condition")
    element = _common_element(call, (1, 2))

    def choose(truth: Pieces, first: Pieces, second: Pieces) -> Pieces:
        return combined(lambda chosen, one, other: one if chosen else other, truth, first, second)

    return _result(call, choose, (0, 1, 2), element)


def _difference(first: Row, second: Row) -> Row:
    return added(first, second, -_ONE)


def _common_element(call: Call, indices: Iterable[int]) -> str:
    found = {value.element for index in indices if (value := call.inputs[index]) is not None}
    if len(found) != 1:
        raise call.error("element-type", "the inputs have different element types", value=sorted(found))
    return found.pop()


@operator("Sign", refused=_MEETING)
def sign(call: Call) -> Value | Choice:
    """Pieces with the numbers -1, 0 and 1, which may be added to and multiplied by others until nothing jumps."""

    def function(part: Pieces) -> Pieces:
        return combined(lambda number: {ONE: Fraction(number)} if number else {}, sign_of(part))

    call.builder.compared.update(value.source for value in call.inputs if isinstance(value, Tensor))
    return _result(call, function, (0,), _common_element(call, (0,)))


@on_choices("Add")
@on_choices("Sub")
@on_choices("Mul")
def arithmetic(call: Call) -> Value | Choice:
    """The same for each piece; of a product one factor is a number in each."""
    function = {"Add": added, "Sub": _difference, "Mul": multiplied}[call.operator]
    return _result(call, lambda *parts: combined(function, *parts), (0, 1), _common_element(call, (0, 1)))


@on_choices("Neg")
def negated(call: Call) -> Value | Choice:
    """The negative of each piece."""
    function = functools.partial(added, {}, factor=-_ONE)
    return _result(call, lambda part: combined(function, part), (0,), _common_element(call, (0,)))


@on_choices("Cast")
def cast(call: Call) -> Value | Choice:
    """Numbers 1 and 0 for truth values; nothing where the type stays."""
    wanted, choice = element_name(call.integer("to", 0)), call.inputs[0]
    assert isinstance(choice, Choice)
    if wanted == choice.element:
        return choice
    if choice.element != "bool" or wanted not in ELEMENTS:
        raise call.error("unsupported-form", "values that jump are cast from truth values to floats only", value=wanted)
    return _result(call, lambda part: combined(lambda truth: {ONE: _ONE} if truth else {}, part), (0,), wanted)


@on_choices("Identity")
def same(call: Call) -> Value | Choice:
    """Nothing: its input."""
    choice = call.inputs[0]
    assert isinstance(choice, Choice)
    return choice
