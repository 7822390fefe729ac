"""From text to the typed query: the two lark grammars and what they build.

lark is imported, and a grammar compiled, on first use only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from eqverify.errors import InputError
from eqverify.frontend.vnnlib.collecting import uncollected
from eqverify.frontend.vnnlib.diagnostics import FaultError, syntax_error
from eqverify.frontend.vnnlib.resolve import (
    BoundRun,
    Declared,
    DeclaredRun,
    number,
    resolve_version1,
    resolve_version2,
)
from eqverify.frontend.vnnlib.scope import check
from eqverify.frontend.vnnlib.smtlib import Chosen, Definition, Let, Named, Not, Quotient, Raw, chain, note, noting
from eqverify.frontend.vnnlib.syntax import (
    And,
    Comparison,
    Difference,
    Formula,
    Network,
    Or,
    Position,
    Product,
    Query,
    Sum,
    Tensor,
    Term,
    Variable,
)

if TYPE_CHECKING:
    from lark import Lark, Token

_ATOM = re.compile(r"\(\s*+([<>=!]+)\s++(\S++)\s++([^\s()]++)")
_VERSION2 = re.compile(r"(?:\s++|;[^\n]*+)*+\(\s*+vnnlib-version\b")


@uncollected()
def parse_query(text: str, source: str | None = None) -> Query:
    """Read a property.

    Version 2 is recognised by ``(vnnlib-version <...>)`` at the beginning; anything else is read as version 1.0.

    Args:
        text: the property, as text.
        source: file name for messages.

    Returns:
        The query, checked for scope and types; its numbers are exact.

    Raises:
        InputError: ``vnnlib/...``, with the place, for whatever is not a well-formed query (`specs/vnnlib.md`).
    """
    from lark.exceptions import LarkError, UnexpectedInput

    second = _VERSION2.match(text) is not None
    try:
        with noting() as notes:
            items: Any = _grammar(2 if second else 1).parse(text)
        query = (resolve_version2 if second else resolve_version1)(items, text, source, notes)
    except FaultError as fault:
        raise fault.error(text, source) from None
    except UnexpectedInput as error:
        raise syntax_error(error, text, source) from None
    except LarkError as error:
        raise InputError("vnnlib/syntax", f"the text is not VNN-LIB: {error}") from None
    check(query)
    return query


@cache
def _grammar(version: int) -> Lark:
    """The LALR parser of one version, compiled once per process."""
    from lark import Lark

    grammar = (files("eqverify.frontend.vnnlib") / f"version{version}.lark").read_text("utf-8")
    builder = _Builder1() if version == 1 else _Builder2()
    return Lark(grammar, parser="lalr", lexer="basic", transformer=builder, maybe_placeholders=False)


def _position(token: Token) -> Position:
    return (token.line or 0, token.column or 0)


class _Builder:
    """Callbacks of the rules that both grammars share; stateless, since the parser is kept."""

    def start(self, children: list[Any]) -> list[Any]:
        return children

    def bounds(self, children: list[Token]) -> BoundRun:
        return BoundRun(str(children[0]), children[0].start_pos or 0)

    def assertion(self, children: list[Formula]) -> Formula:
        return children[0] if children else And(())

    def conjunction(self, children: list[Formula]) -> Formula:
        return And(tuple(children))

    def disjunction(self, children: list[Formula]) -> Formula:
        return Or(tuple(children))

    def comparison(self, children: list[Any]) -> Formula:
        relation, *terms = children
        return chain(_RELATION.get(relation, str(relation)), terms, _position(relation))

    def negation(self, children: list[Raw]) -> Raw:
        note("not")
        return Not(children[0])

    def implication(self, children: list[Raw]) -> Raw:
        note("=>")
        *premises, conclusion = children
        return Or((*map(Not, premises), conclusion))  # type: ignore[arg-type]

    def choice(self, children: list[Any]) -> Raw:
        note("ite")
        word, condition, then, otherwise = children
        return Chosen(condition, then, otherwise, _position(word))

    def binding(self, children: list[Any]) -> tuple[str, Raw]:
        name, value = children
        return str(name), value

    def binding_in(self, children: list[Any]) -> Raw:
        note("let")
        return Let(tuple(children[:-1]), children[-1])

    def named(self, children: list[Token]) -> Raw:
        note(str(children[0]) if children[0] in ("true", "false") else "the name of a formula")
        return Named(str(children[0]), _position(children[0]))

    def quotient(self, children: list[Any]) -> Raw:
        note("/")
        word, *terms = children
        return Quotient(tuple(terms), _position(word))

    def number(self, children: list[Token]) -> Term:
        return number(str(children[0]), _position(children[0]))

    def sum(self, children: list[Term]) -> Term:
        return Sum(tuple(children))

    def difference(self, children: list[Term]) -> Term:
        return Difference(tuple(children))

    def product(self, children: list[Term]) -> Term:
        return Product(tuple(children))

    def atom(self, children: list[Token]) -> Formula:
        return self._atoms(children[0])[0]

    def clause(self, children: list[Token]) -> Formula:
        return And(tuple(self._atoms(children[0])))

    def _atoms(self, token: Token) -> list[Comparison]:
        """The comparisons in a fused terminal."""
        line, column = _position(token)
        made, start, end = [], -column, token.find("\n")
        for found in _ATOM.finditer(token):
            while 0 <= end < found.start():
                line, start, end = line + 1, end, token.find("\n", end + 1)
            place = line, found.start() - start
            relation, left, right = found.groups()
            before, after = place, place
            if not 0 <= end < found.end():  # of what stands in several lines, the first
                before, after = (line, found.start(2) - start), (line, found.start(3) - start)
            second = self.name(right, after) if right[0].isalpha() else number(right, after)
            made.append(Comparison(_RELATION.get(relation, relation), self.name(left, before), second, place))
        return made

    def name(self, text: str, position: Position) -> Variable:
        raise NotImplementedError


_RELATION = {"=": "=="}


class _Builder1(_Builder):
    """What the rules of version 1.0 build."""

    def declarations(self, children: list[Token]) -> DeclaredRun:
        return DeclaredRun(str(children[0]), children[0].start_pos or 0)

    def declaration(self, children: list[Token]) -> Declared:
        return Declared(str(children[0]), str(children[1]), _position(children[0]))

    def function(self, children: list[Token]) -> Declared:
        note("declare-fun")
        return self.declaration(children)

    def definition(self, children: list[Any]) -> Definition:
        note("define-fun")
        name, element, value = children
        if element not in ("Real", "Bool"):
            hint = "write Real or Bool"
            raise FaultError("vnnlib/element-type", "a definition is of another type", _position(name), element, hint)
        return Definition(str(name), value)

    def command(self, children: list[Token]) -> None:
        note(children[0].strip("( ").split()[0].rstrip(")"))

    def variable(self, children: list[Token]) -> Variable:
        return self.name(str(children[0]), _position(children[0]))

    def name(self, text: str, position: Position) -> Variable:
        letter, _, index = text.partition("_")
        if letter in ("X", "Y") and index.isdigit() and len(index) < 10 and str(int(index)) == index:
            return Variable(letter, (int(index),), position)
        return Variable(text, (), position)


class _Builder2(_Builder):
    """What the rules of version 2 build."""

    def variable(self, children: list[Token]) -> Variable:
        name, *indices = children
        return Variable(str(name), _extents(indices), _position(name))

    def name(self, text: str, position: Position) -> Variable:
        name, bracket, indices = text.partition("[")
        if not bracket:
            return Variable(name, (), position)
        return Variable(name, tuple(_extent(index, position) for index in indices[:-1].split(",")), position)

    def shape(self, children: list[Token]) -> tuple[int, ...]:
        return _extents(children)

    def input(self, children: list[Any]) -> tuple[str, Tensor]:
        name, element, shape = children
        return "input", Tensor(str(name), str(element), shape, None, _position(name))

    def output(self, children: list[Any]) -> tuple[str, Tensor]:
        return "output", self.input(children)[1]

    def hidden(self, children: list[Any]) -> tuple[str, Tensor]:
        name, element, shape, node = children
        return "hidden", Tensor(str(name), str(element), shape, str(node[1:-1]), _position(name))

    def equal_to(self, children: list[Token]) -> tuple[str, Token]:
        return "equal", children[0]

    def isomorphic_to(self, children: list[Token]) -> tuple[str, Token]:
        return "isomorphic", children[0]

    def network(self, children: list[Any]) -> Network:
        name, *parts = children
        relatives = [(kind, part) for kind, part in parts if kind in ("equal", "isomorphic")]
        if len(relatives) > 1:
            raise FaultError(
                "vnnlib/equivalence-twice",
                f"network {name} has more than one equal-to or isomorphic-to",
                _position(relatives[1][1]),
                str(relatives[1][1]),
                "keep one of them",
            )
        kind, other = relatives[0] if relatives else ("", "")
        return Network(
            str(name),
            _tensors(parts, "input"),
            _tensors(parts, "output"),
            _tensors(parts, "hidden"),
            equal_to=str(other) if kind == "equal" else None,
            isomorphic_to=str(other) if kind == "isomorphic" else None,
            position=_position(name),
        )


def _tensors(parts: Iterable[tuple[str, Any]], kind: str) -> tuple[Tensor, ...]:
    return tuple(tensor for word, tensor in parts if word == kind)


def _extents(tokens: list[Token]) -> tuple[int, ...]:
    return tuple(_extent(token, _position(token)) for token in tokens)


def _extent(text: str, position: Position) -> int:
    if text.isdigit() and len(text) <= 12:
        return int(text)
    raise FaultError(
        "vnnlib/index",
        "an extent or index must be a natural number",
        position,
        text,
        "write natural numbers without sign, point or exponent",
    )
