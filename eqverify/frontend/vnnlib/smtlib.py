"""Forms of SMT-LIB that VNN-LIB leaves out and people write: rewritten into what it has, each with a note.

`not`, `=>` and `ite` become and/or over negated comparisons, so that strictness is kept exactly; names that `let` and
`define-fun` bind are replaced by what they stand for; `/` by a constant is a product.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NoReturn, TypeAlias

from eqverify.frontend.vnnlib.diagnostics import FaultError
from eqverify.frontend.vnnlib.scope import MAX_DEPTH
from eqverify.frontend.vnnlib.syntax import (
    And,
    Comparison,
    Difference,
    Formula,
    Literal,
    Or,
    Position,
    Product,
    Sum,
    Term,
    Variable,
)

MAX_SIZE = 10_000_000
"""Most comparisons, numbers and variables that bound names may be replaced by, all together."""

_NEGATED = {"<=": ">", "<": ">=", ">=": "<", ">": "<=", "==": "!=", "!=": "=="}
_HOLDS = {
    "<=": Fraction.__le__,
    "<": Fraction.__lt__,
    ">=": Fraction.__ge__,
    ">": Fraction.__gt__,
    "==": Fraction.__eq__,
    "!=": Fraction.__ne__,
}


@dataclass(frozen=True, slots=True)
class Named:
    """A name where a formula is expected: ``true``, ``false`` or a bound one."""

    name: str
    position: Position


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Raw


@dataclass(frozen=True, slots=True)
class Chosen:
    """``ite``: the second part where the first holds, else the third."""

    condition: Raw
    then: Raw
    otherwise: Raw
    position: Position


@dataclass(frozen=True, slots=True)
class Let:
    """A part in which names stand for terms or formulas; these mean what they meant around it."""

    bound: tuple[tuple[str, Raw], ...]
    part: Raw


@dataclass(frozen=True, slots=True)
class Quotient:
    """The first term divided by the others, which are constant."""

    terms: tuple[Raw, ...]
    position: Position


@dataclass(frozen=True, slots=True)
class Definition:
    """``define-fun`` without arguments: a name for all that follows."""

    name: str
    value: Raw


Raw: TypeAlias = "Formula | Term | Named | Not | Chosen | Let | Quotient"

_noted: ContextVar[dict[str, int] | None] = ContextVar("noted", default=None)


@contextmanager
def noting() -> Iterator[dict[str, int]]:
    """Collect in the result, by form, how often `note` is called."""
    found: dict[str, int] = {}
    token = _noted.set(found)
    try:
        yield found
    finally:
        _noted.reset(token)


def note(form: str) -> None:
    """A form was met that VNN-LIB does not have."""
    found = _noted.get()
    if found is not None:
        found[form] = found.get(form, 0) + 1


def chain(relation: str, terms: list[Term], position: Position) -> Formula:
    """All neighbours in this relation.

    Raises:
        FaultError: ``vnnlib/syntax`` for ``!=`` of more than two, which is no chain.
    """
    parts = tuple(Comparison(relation, left, right, position) for left, right in pairwise(terms))
    if len(parts) == 1:
        return parts[0]
    if relation == "!=":
        hint = "write (and (!= a b) (!= b c)), and (!= a c) if that is meant"
        raise FaultError("vnnlib/syntax", "!= has two sides", position, "!=", hint)
    note(f"({'=' if relation == '==' else relation} a b c)")
    return And(parts)


@dataclass(slots=True)
class Rewriting:
    """Rewrites statements in order.

    Attributes:
        flat: whether elements are spelled ``X_0`` as in version 1.0, where such a name can be bound, too.
        defined: what ``define-fun`` has bound so far.
        size: leaves that names were replaced by.
    """

    flat: bool
    defined: dict[str, Formula | Term] = field(default_factory=dict)
    size: int = 0

    def define(self, definition: Definition) -> None:
        """Bind a name from now on."""
        self.defined[definition.name] = self._either(definition.value, self.defined, 1)

    def formula(self, raw: Raw, bound: Mapping[str, Formula | Term] | None = None, depth: int = 1) -> Formula:
        """What a formula means.

        Raises:
            FaultError: ``vnnlib/too-deep``, ``vnnlib/too-large``, ``vnnlib/undeclared`` or ``vnnlib/constant``.
        """
        names, deeper = self.defined if bound is None else bound, depth + 1
        _require_shallow(depth)
        match raw:
            case Comparison():
                left, right = self.term(raw.left, names, deeper), self.term(raw.right, names, deeper)
                return Comparison(raw.relation, left, right, raw.position)
            case And() | Or():
                return type(raw)(tuple(self.formula(part, names, deeper) for part in raw.parts))
            case Named():
                return self._named(raw, names)
            case Not():
                return negated(self.formula(raw.part, names, deeper))
            case Chosen():
                holds, *rest = (self.formula(p, names, deeper) for p in (raw.condition, raw.then, raw.otherwise))
                return Or((And((holds, rest[0])), And((negated(holds), rest[1]))))
            case Let():
                return self.formula(raw.part, self._within(raw, names, deeper), deeper)
            case _:
                return _mistaken(raw, "a number or variable where a formula is expected")

    def term(self, raw: Raw, bound: Mapping[str, Formula | Term], depth: int) -> Term:
        """What a term means.

        Raises:
            FaultError: as `formula`.
        """
        deeper = depth + 1
        _require_shallow(depth)
        match raw:
            case Literal():
                return raw
            case Variable():
                value = bound.get(self._spelled(raw))
                return raw if value is None else self._counted_term(value, raw)
            case Sum() | Difference() | Product():
                return type(raw)(tuple(self.term(part, bound, deeper) for part in raw.terms))
            case Quotient():
                return _divided([self.term(part, bound, deeper) for part in raw.terms], raw.position)
            case Chosen():
                holds = _decided(self.formula(raw.condition, bound, deeper))
                if holds is None:
                    raise _not_constant("the condition of an ite of numbers", raw.position)
                return self.term(raw.then if holds else raw.otherwise, bound, deeper)
            case Let():
                return self.term(raw.part, self._within(raw, bound, deeper), deeper)
            case _:
                return _mistaken(raw, "a formula where a number or variable is expected")

    def _either(self, raw: Raw, bound: Mapping[str, Formula | Term], depth: int) -> Formula | Term:
        """A term or a formula: a name alone is what it is bound to."""
        if isinstance(raw, Variable):
            name = self._spelled(raw)
            if name not in bound and name in ("true", "false"):
                return self._named(Named(name, raw.position), bound)
            return bound.get(name, raw)
        if isinstance(raw, Let):
            return self._either(raw.part, self._within(raw, bound, depth + 1), depth + 1)
        if isinstance(raw, Chosen):
            then = self._either(raw.then, bound, depth + 1)
            return self.formula(raw, bound, depth) if _is_formula(then) else self.term(raw, bound, depth)
        return self.formula(raw, bound, depth) if _is_formula(raw) else self.term(raw, bound, depth)

    def _spelled(self, variable: Variable) -> str:
        """The name as it can be bound; empty for what cannot."""
        if not variable.indices:
            return variable.name
        return f"{variable.name}_{variable.indices[0]}" if self.flat else ""

    def _within(self, raw: Let, bound: Mapping[str, Formula | Term], depth: int) -> dict[str, Formula | Term]:
        _require_shallow(depth)
        return {**bound, **{name: self._either(value, bound, depth) for name, value in raw.bound}}

    def _named(self, raw: Named, bound: Mapping[str, Formula | Term]) -> Formula:
        value = bound.get(raw.name)
        if value is None and raw.name in ("true", "false"):
            return And(()) if raw.name == "true" else Or(())
        if value is None or not _is_formula(value):
            hint = "only true, false and names that let or define-fun bind to formulas may stand here"
            raise FaultError("vnnlib/undeclared", f"{raw.name} is no formula", raw.position, raw.name, hint)
        self._count(value, raw.position)
        assert isinstance(value, Comparison | And | Or)
        return value

    def _counted_term(self, value: Formula | Term, raw: Variable) -> Term:
        if isinstance(value, Comparison | And | Or):
            return _mistaken(raw, "the name of a formula where a number or variable is expected")
        self._count(value, raw.position)
        return value

    def _count(self, value: Formula | Term, position: Position) -> None:
        self.size += _leaves(value)
        if self.size > MAX_SIZE:
            hint = "replace the names in the text, or split it into several files"
            message = f"bound names stand for more than {MAX_SIZE} numbers and variables"
            raise FaultError("vnnlib/too-large", message, position, "", hint)


def negated(formula: Formula) -> Formula:
    """The formula that holds where this does not."""
    if isinstance(formula, Comparison):
        return Comparison(_NEGATED[formula.relation], formula.left, formula.right, formula.position)
    parts = tuple(map(negated, formula.parts))
    return Or(parts) if isinstance(formula, And) else And(parts)


def _is_formula(value: Raw) -> bool:
    return isinstance(value, Comparison | And | Or | Named | Not)


def _leaves(value: Formula | Term, memo: dict[int, int] | None = None) -> int:
    """Numbers and variables in a value, counted as often as they occur; parts that occur twice are walked once."""
    memo = {} if memo is None else memo
    if isinstance(value, Literal | Variable):
        return 1
    if id(value) not in memo:
        parts: tuple[Formula | Term, ...]
        if isinstance(value, Comparison):
            parts = (value.left, value.right)
        else:
            parts = value.parts if isinstance(value, And | Or) else value.terms
        memo[id(value)] = sum(_leaves(part, memo) for part in parts)
    return memo[id(value)]


def _decided(formula: Formula) -> bool | None:
    """Whether a formula without variables holds; None for others."""
    if isinstance(formula, Comparison):
        left, right = _constant(formula.left), _constant(formula.right)
        return None if left is None or right is None else bool(_HOLDS[formula.relation](left, right))
    parts = [_decided(part) for part in formula.parts]
    if None in parts:
        return None
    return all(parts) if isinstance(formula, And) else any(parts)


def _constant(term: Term) -> Fraction | None:
    """The value of a term without variables; None for others."""
    if isinstance(term, Literal | Variable):
        return term.value if isinstance(term, Literal) else None
    values = [value for value in map(_constant, term.terms) if value is not None]
    if len(values) < len(term.terms):
        return None
    first, *rest = values
    if isinstance(term, Product):
        for value in rest:
            first *= value
        return first
    return first + sum(rest) if isinstance(term, Sum) else first - sum(rest) if rest else -first


def _divided(terms: list[Term], position: Position) -> Term:
    first, *rest = terms
    factor = Fraction(1)
    for term in rest:
        value = _constant(term)
        if not value:
            raise _not_constant("a divisor that is 0" if value == 0 else "a divisor", position)
        factor /= value
    return Product((first, Literal(factor, True, position)))


def _not_constant(what: str, position: Position) -> FaultError:
    hint = "only numbers other than 0, and conditions without variables, may stand there"
    return FaultError("vnnlib/constant", f"{what} is not a constant that can be used", position, "", hint)


def _mistaken(raw: object, message: str) -> NoReturn:
    position = getattr(raw, "position", (0, 0))
    hint = "comparisons, and, or, not, => make formulas of terms"
    raise FaultError("vnnlib/syntax", f"{message} was found", position, getattr(raw, "name", ""), hint)


def _require_shallow(depth: int) -> None:
    if depth > MAX_DEPTH:
        hint = "and, or, + and * take any number of arguments: flatten the nesting"
        message = f"formulas or terms are nested more than {MAX_DEPTH} deep"
        raise FaultError("vnnlib/too-deep", message, (0, 0), "", hint)
