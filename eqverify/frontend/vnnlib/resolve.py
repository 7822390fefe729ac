"""From the parsed items to a query: declarations become networks, runs of bounds become columns."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from eqverify.frontend.vnnlib.diagnostics import FaultError
from eqverify.frontend.vnnlib.smtlib import Definition, Rewriting
from eqverify.frontend.vnnlib.syntax import (
    BoundList,
    Comparison,
    Formula,
    Literal,
    Network,
    Position,
    Query,
    Tensor,
    Variable,
    literal,
)

MAX_DIGITS = 1200
"""Longest number, in characters."""
MAX_EXPONENT = 1000
"""Largest absolute value of a decimal exponent."""
MAX_VARIABLES = 10_000_000
"""Most elements that a query may declare."""


class BoundRun(NamedTuple):
    """The text of a run of bound assertions, before its variables are resolved."""

    text: str
    offset: int


class Declared(NamedTuple):
    """One declaration of version 1.0."""

    name: str
    element: str
    position: Position


class DeclaredRun(NamedTuple):
    """The text of a run of declarations of version 1.0."""

    text: str
    offset: int


_NUMBER = r"[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?"
# A comment is an alternative of its own, so that what is commented out is skipped.
_DECLARATION = re.compile(r";[^\n]*|declare-const\s+([XY])_([0-9]+)")
_BOUND1 = re.compile(rf";[^\n]*|([<>])=\s+X_([0-9]+)\s+({_NUMBER})")
_BOUND2 = re.compile(rf";[^\n]*|([<>])=\s+([A-Za-z0-9_]+(?:\[[0-9,]+\])?)\s+({_NUMBER})")


def number(text: str, position: Position) -> Literal:
    """The exact number that decimal text denotes.

    Raises:
        FaultError: ``vnnlib/number-range``.
    """
    if not _in_range(text):
        raise FaultError(
            "vnnlib/number-range",
            "the number is too long or its exponent too large",
            position,
            text,
            f"at most {MAX_DIGITS} characters and exponents up to {MAX_EXPONENT} are read",
        )
    return literal(text, position)


def _suspicious(text: str) -> bool:
    """A cheap test that all numbers outside the range pass."""
    return len(text) > 25 or "e" in text or "E" in text


def _in_range(text: str) -> bool:
    if len(text) > MAX_DIGITS:
        return False
    exponent = text.lower().partition("e")[2]
    return not exponent or (len(exponent) < 20 and abs(int(exponent)) <= MAX_EXPONENT)


def resolve_version1(items: list[Any], text: str, source: str | None, notes: Mapping[str, int]) -> Query:
    """The query of version 1.0 that `items` make up.

    Args:
        items: `Declared`, `DeclaredRun`, `BoundRun`, `Definition` and formulas, in order; None says nothing.
        text: the whole text.
        source: file name for messages.
        notes: the forms of `smtlib` in the formulas; where there is none, they are left as they are.

    Raises:
        FaultError: ``vnnlib/name``, ``vnnlib/element-type``, ``vnnlib/duplicate``, ``vnnlib/index-gap``,
            ``vnnlib/undeclared`` or ``vnnlib/number-range``.
    """
    network = Network("N", (_vector("X", items, text),), (_vector("Y", items, text),))
    size = network.inputs[0].size
    statements: list[Formula | BoundList] = []
    rewriting = Rewriting(flat=True)
    for item in items:
        if isinstance(item, BoundRun):
            statements.append(_bound_list(item, text, size))
        elif isinstance(item, Definition):
            rewriting.define(item)
        elif item is not None and not isinstance(item, Declared | DeclaredRun):
            statements.append(rewriting.formula(item) if notes else item)
    return Query("1.0", (network,), tuple(statements), source, text, dict(notes))


def _vector(letter: str, items: list[Any], text: str) -> Tensor:
    """The vector that all declarations of one letter make up; their order does not matter."""
    indices: list[int] = []
    for item in items:
        if isinstance(item, DeclaredRun):
            indices += [_index(i) for kind, i in _DECLARATION.findall(item.text) if kind == letter]
        elif isinstance(item, Declared) and _declared_letter(item) == letter:
            indices.append(_index(item.name[2:]))
    if len(set(indices)) != len(indices):
        index = _first_repeated(indices)
        raise FaultError(
            "vnnlib/duplicate",
            f"{letter}_{index} is declared twice",
            _declaration_position(text, letter, index, second=True),
            f"{letter}_{index}",
            "declare every variable once",
        )
    if indices and max(indices) != len(indices) - 1:
        missing = next(i for i, found in enumerate([*sorted(indices), -1]) if i != found)
        raise FaultError(
            "vnnlib/index-gap",
            f"{letter}_{max(indices)} is declared, but {letter}_{missing} is not",
            _declaration_position(text, letter, max(indices)),
            f"{letter}_{missing}",
            "the indices must be 0, 1, 2, ... without gaps",
        )
    return Tensor(letter, "Real", (len(indices),))


def _declared_letter(item: Declared) -> str:
    """The letter of a declaration that was not fused, with its name and type checked."""
    if not re.fullmatch(r"[XY]_(?:0|[1-9][0-9]{0,8})", item.name):
        raise FaultError(
            "vnnlib/name",
            "a variable of version 1.0 must be called X_i (input) or Y_j (output)",
            item.position,
            item.name,
            "number inputs X_0, X_1, ... and outputs Y_0, Y_1, ...",
        )
    if item.element != "Real":
        raise FaultError(
            "vnnlib/element-type",
            "variables of version 1.0 are of type Real",
            item.position,
            item.element,
            f"write (declare-const {item.name} Real)",
        )
    return item.name[0]


def _index(text: str) -> int:
    return int(text[:12])


def _first_repeated(indices: Iterable[int]) -> int:
    seen: set[int] = set()
    return next(i for i in indices if i in seen or seen.add(i))  # type: ignore[func-returns-value]


def _declaration_position(text: str, letter: str, index: int, second: bool = False) -> Position:
    found = [m for m in _DECLARATION.finditer(text) if m[1] == letter and _index(m[2]) == index]
    if not found:
        return (0, 0)
    return Lines(text).position(found[min(int(second), len(found) - 1)].start(1))


class Lines:
    """Line and column of offsets into a text; the line starts are found on first use."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends: list[int] = []

    def position(self, offset: int) -> Position:
        """Line and column of an offset."""
        if not self._ends:
            self._ends = [-1, *(m.start() for m in re.finditer("\n", self._text))]
        line = bisect_left(self._ends, offset)
        return line, offset - self._ends[line - 1]


def _bound_list(run: BoundRun, text: str, size: int) -> BoundList:
    found = [entry for entry in _BOUND1.findall(run.text) if entry[0]]
    relations, indices, numbers = zip(*found, strict=True)
    inputs = tuple(map(_index, indices))
    if max(inputs) >= size:
        at = next(k for k, i in enumerate(inputs) if i >= size)
        raise undeclared(f"X_{indices[at]}", _bound_position(run, text, at, 2))
    for at, written in enumerate(numbers):
        if _suspicious(written) and not _in_range(written):
            number(written, _bound_position(run, text, at, 3))
    return BoundList("".join(relations), inputs, numbers)


def undeclared(name: str, position: Position) -> FaultError:
    """The ``vnnlib/undeclared`` mistake."""
    return FaultError(
        "vnnlib/undeclared",
        f"{name} is not declared",
        position,
        name,
        "declare every variable, before the assertions",
    )


def _bound_position(run: BoundRun, text: str, at: int, group: int) -> Position:
    matches = [m for m in _BOUND1.finditer(run.text) if m[1]]
    return Lines(text).position(run.offset + matches[at].start(group))


def resolve_version2(items: list[Any], text: str, source: str | None, notes: Mapping[str, int]) -> Query:
    """The query of version 2 that `items` make up.

    Args:
        items: the version token, networks, then `BoundRun` and formulas, in order.
        text: the whole text.
        source: file name for messages.
        notes: as for version 1.0.

    Raises:
        FaultError: ``vnnlib/version``, ``vnnlib/too-large`` or ``vnnlib/number-range``.
    """
    version = items[0]
    if not version.startswith("<2."):
        raise FaultError(
            "vnnlib/version",
            "this version of VNN-LIB is not supported",
            (version.line, version.column),
            str(version),
            "versions 1.0 (no version line) and 2.x are read",
        )
    networks = tuple(item for item in items[1:] if isinstance(item, Network))
    for network in networks:
        for tensor in network.tensors:
            if tensor.size > MAX_VARIABLES:
                raise FaultError(
                    "vnnlib/too-large",
                    f"{tensor.name} has more than {MAX_VARIABLES} elements",
                    tensor.position,
                    str(tensor.size),
                    "declare the shape of the network's tensor",
                )
    flat = _input_index(networks)
    lines = Lines(text)
    statements: list[Formula | BoundList] = []
    for item in items[1:]:
        if isinstance(item, BoundRun):
            statements += _split_run(item, lines, flat)
        elif not isinstance(item, Network):
            statements.append(Rewriting(flat=False).formula(item) if notes else item)
    return Query(version[1:-1], networks, tuple(statements), source, text, dict(notes))


def _input_index(networks: tuple[Network, ...]) -> Callable[[str], int | None]:
    """The function from the spelling of an input element to its flat index; None for whatever is not one."""
    offsets: dict[str, tuple[int, tuple[int, ...]]] = {}
    offset = 0
    for network in networks:
        for tensor in network.inputs:
            offsets.setdefault(tensor.name, (offset, tensor.shape))
            offset += tensor.size

    def flat(spelling: str) -> int | None:
        name, _, rest = spelling.partition("[")
        if name not in offsets:
            return None
        start, shape = offsets[name]
        indices = [_index(i) for i in rest[:-1].split(",")] if rest else []
        if len(indices) != len(shape):
            return None
        index = 0
        for i, extent in zip(indices, shape, strict=True):
            if i >= extent:
                return None
            index = index * extent + i
        return start + index

    return flat


def _split_run(run: BoundRun, lines: Lines, flat: Callable[[str], int | None]) -> list[Formula | BoundList]:
    """Bounds on inputs as `BoundList`; everything else, mistakes included, as comparisons."""
    statements: list[Formula | BoundList] = []
    relations: list[str] = []
    inputs: list[int] = []
    numbers: list[str] = []

    def flush() -> None:
        if inputs:
            statements.append(BoundList("".join(relations), tuple(inputs), tuple(numbers)))
            for column in (relations, inputs, numbers):
                column.clear()

    for match in _BOUND2.finditer(run.text):
        relation, spelling, written = match.groups()
        if relation is None:
            continue
        if _suspicious(written) and not _in_range(written):
            number(written, lines.position(run.offset + match.start(3)))
        index = flat(spelling)
        if index is not None:
            relations.append(relation)
            inputs.append(index)
            numbers.append(written)
            continue
        flush()
        position = lines.position(run.offset + match.start(2))
        name, _, rest = spelling.partition("[")
        indices = tuple(_index(i) for i in rest[:-1].split(",")) if rest else ()
        variable = Variable(name, indices, position)
        statements.append(Comparison(relation + "=", variable, literal(written, position), position))
    flush()
    return statements
