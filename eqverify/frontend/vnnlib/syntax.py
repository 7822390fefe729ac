"""The typed query: one syntax tree for VNN-LIB 1.0 and 2.x.

Version 1.0 reads as one network ``N`` with an input ``X`` and an output ``Y``, so that ``X_3`` is ``X[3]``.  Numbers
are exact.  Positions never take part in comparisons: two queries are equal where they say the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from eqverify.domain import Declaration
from eqverify.errors import Place

Position: TypeAlias = tuple[int, int]
"""1-based line and column; (0, 0) for objects made in memory."""


@dataclass(frozen=True, slots=True)
class Literal:
    """An exact number.

    Attributes:
        value: the number.
        decimal: whether it is written with a point or exponent: version 2 types ``1`` and ``1.0`` differently.
        position: where it stands.
    """

    value: Fraction
    decimal: bool = True
    position: Position = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Variable:
    """One element of a declared tensor; `indices` is empty for a scalar.  ``X_3`` of version 1.0 is ``X[3]``."""

    name: str
    indices: tuple[int, ...] = ()
    position: Position = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of at least one term."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """The first term minus all others; the negation of the term where there is only one."""

    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """The product of at least one term."""

    terms: tuple[Term, ...]


Term: TypeAlias = Literal | Variable | Sum | Difference | Product


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left` `relation` `right`: ``<=``, ``<``, ``>=``, ``>``, ``==`` or ``!=``.

    Version 1.0 writes ``==`` as ``=`` and has no ``!=``.
    """

    relation: str
    left: Term
    right: Term
    position: Position = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold; the empty conjunction is true."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Some part holds; the empty disjunction is false."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = Comparison | And | Or


@dataclass(frozen=True, slots=True)
class BoundList:
    """A run of assertions ``(<= input number)`` or ``(>= input number)``, kept as columns to save time and memory.

    Attributes:
        relations: one character per assertion, ``<`` for ``<=`` and ``>`` for ``>=``.
        inputs: flat input index per assertion, numbered as in `eqverify.domain.Specification`.
        numbers: decimal text per assertion, exact.
    """

    relations: str
    inputs: tuple[int, ...]
    numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tensor(Declaration):
    """A declared input, hidden node or output, of element ``Real`` in version 1.0, ``real`` or ONNX's in version 2.

    Attributes:
        node: name of the ONNX node output that a hidden tensor stands for; None otherwise.
        position: where it is declared.
    """

    node: str | None = None
    position: Position = field(default=(0, 0), compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Network:
    """The declaration of one network: its tensors, and the network it is equal or isomorphic to."""

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    hidden: tuple[Tensor, ...] = ()
    equal_to: str | None = None
    isomorphic_to: str | None = None
    position: Position = field(default=(0, 0), compare=False, repr=False)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Inputs, hidden nodes and outputs, in the order of the file."""
        return self.inputs + self.hidden + self.outputs


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A property file as written, checked for scope and types.

    Attributes:
        version: ``1.0``, or the 2.x that the file names.
        networks: at least one.
        statements: the assertions in order; all must hold.  Runs of bounds are kept as `BoundList`.
        source: file name for messages, or None.
        text: the text it was read from, for the source lines of messages; empty for queries made in memory.
        notes: forms that VNN-LIB does not have and that were rewritten into what it has, with how often.
    """

    version: str
    networks: tuple[Network, ...]
    statements: tuple[Formula | BoundList, ...]
    source: str | None = None
    text: str = field(default="", repr=False)
    notes: Mapping[str, int] = field(default_factory=dict)

    @property
    def assertions(self) -> Iterator[Formula]:
        """The assertions in order, runs of bounds spelled out."""
        names: list[Variable] | None = None
        for statement in self.statements:
            if not isinstance(statement, BoundList):
                yield statement
                continue
            names = names or self.input_variables()
            for sign, flat, text in zip(statement.relations, statement.inputs, statement.numbers, strict=True):
                yield Comparison(sign + "=", names[flat], literal(text))

    def input_variables(self) -> list[Variable]:
        """The input elements in flat order: networks, their inputs, each row-major."""
        return [v for network in self.networks for tensor in network.inputs for v in elements(tensor)]

    def place(self, position: Position = (0, 0)) -> Place:
        """The place of a position, with its source line; the file alone for (0, 0)."""
        return place_of(self.text, self.source, position)

    def spelling(self, variable: Variable) -> str:
        """The variable as this version writes it."""
        if self.version == "1.0":
            return f"{variable.name}_{variable.indices[0]}"
        return spell(variable)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Query):
            return NotImplemented
        if (self.version, self.networks) != (other.version, other.networks):
            return False
        return tuple(self.assertions) == tuple(other.assertions)

    def __hash__(self) -> int:
        return hash((self.version, self.networks))


def spell(variable: Variable) -> str:
    """The variable in the notation of version 2: ``X[0,1]``, or ``Y`` for a scalar."""
    if not variable.indices:
        return variable.name
    return f"{variable.name}[{','.join(map(str, variable.indices))}]"


def elements(tensor: Tensor) -> Iterator[Variable]:
    """The elements of a tensor in row-major order."""
    for indices in product(*map(range, tensor.shape)):
        yield Variable(tensor.name, indices)


def literal(text: str, position: Position = (0, 0)) -> Literal:
    """The exact number that decimal text denotes; the text is trusted to be within the limits of `check_number`."""
    return Literal(Fraction(Decimal(text)), not text.lstrip("+-").isdigit(), position)


def place_of(text: str, source: str | None, position: Position) -> Place:
    """The place (file, line, column, source line) of a position in a text."""
    line, column = position
    if line < 1:
        return Place(file=source)
    start = 0
    for _ in range(line - 1):
        start = text.find("\n", start) + 1
        if start == 0:
            return Place(source, line, column)
    end = text.find("\n", start)
    return Place(source, line, column, text[start : end if end >= 0 else len(text)].rstrip("\r"))
