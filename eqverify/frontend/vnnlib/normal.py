"""Formulas as and/or trees of exact half-spaces, and their disjunctive normal forms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TypeAlias

from eqverify.domain import Conjunction, HalfSpace
from eqverify.errors import InputError, LimitError, Place
from eqverify.frontend.vnnlib.syntax import (
    And,
    Comparison,
    Difference,
    Formula,
    Literal,
    Product,
    Query,
    Sum,
    Tensor,
    Term,
    Variable,
    spell,
)

MAX_DISJUNCTS = 500_000
"""Most conjunctions that a disjunctive normal form may have."""
MAX_ATOMS = 10_000_000
"""Most comparisons, counted with repetition, that it may have."""
MAX_BITS = 20_000
"""Longest numerator or denominator that a product may have."""


@dataclass(frozen=True, slots=True)
class All:
    """All parts hold; ``All(())`` is true."""

    parts: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Some part holds; ``Any(())`` is false."""

    parts: tuple[Tree, ...]


Tree: TypeAlias = HalfSpace | All | Any
TRUE, FALSE = All(()), Any(())

Affine: TypeAlias = tuple[dict[int, Fraction], Fraction]
"""Coefficients and constant.  Input i has the key i, output j the key -1 - j; no zeros."""

_ONE = Fraction(1)
_ZERO = Fraction(0)
_MINUS_ONE = Fraction(-1)


class Compiler:
    """Turns formulas of one query into trees of half-spaces.

    Args:
        query: checked for scope; its positions serve messages.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._offsets: dict[str, tuple[int, int, Tensor]] = {}
        inputs = outputs = 0
        for network in query.networks:
            for tensor in network.inputs:
                self._offsets[tensor.name] = (inputs, 1, tensor)
                inputs += tensor.size
            for tensor in network.outputs:
                self._offsets[tensor.name] = (-1 - outputs, -1, tensor)
                outputs += tensor.size

    def compile(self, formula: Formula) -> Tree:
        """The tree of a formula; comparisons of constants are decided.

        Raises:
            InputError: ``vnnlib/nonlinear``, ``vnnlib/hidden-unsupported`` or ``vnnlib/element-unsupported``.
        """
        if isinstance(formula, Comparison):
            return self._comparison(formula)
        parts = [self.compile(part) for part in formula.parts]
        return conjunction(parts) if isinstance(formula, And) else disjunction(parts)

    def _comparison(self, comparison: Comparison) -> Tree:
        if isinstance(comparison.left, Variable) and isinstance(comparison.right, Literal):
            return self._bound(comparison.relation, self._key(comparison.left), comparison.right.value)
        left, right = self.affine(comparison.left), self.affine(comparison.right)
        difference = _add(left, right, _MINUS_ONE)
        opposite = _scale(difference, _MINUS_ONE)
        match comparison.relation:
            case "<=" | "<" as relation:
                return _half_space(difference, relation == "<")
            case ">=" | ">" as relation:
                return _half_space(opposite, relation == ">")
            case "==":
                return conjunction([_half_space(difference, False), _half_space(opposite, False)])
            case _:
                return disjunction([_half_space(difference, True), _half_space(opposite, True)])

    @staticmethod
    def _bound(relation: str, key: int, value: Fraction) -> Tree:
        """The frequent case of a variable against a number, without making affine functions."""
        if relation in ("==", "!="):
            strict = relation == "!="
            both = (_single(key, _ONE, value, strict), _single(key, _MINUS_ONE, -value, strict))
            return Any(both) if strict else All(both)
        if relation[0] == "<":
            return _single(key, _ONE, value, relation == "<")
        return _single(key, _MINUS_ONE, -value, relation == ">")

    def affine(self, term: Term) -> Affine:
        """The term as an affine function.

        Raises:
            InputError: as `compile`.
        """
        match term:
            case Literal():
                return {}, term.value
            case Variable():
                return {self._key(term): _ONE}, _ZERO
            case Sum():
                return self._total(term.terms, _ONE)
            case Difference():
                if len(term.terms) == 1:
                    return _scale(self.affine(term.terms[0]), _MINUS_ONE)
                return self._total(term.terms, _MINUS_ONE)
            case Product():
                return self._product(term)

    def _total(self, terms: tuple[Term, ...], factor: Fraction) -> Affine:
        coefficients, constant = self.affine(terms[0])
        total = dict(coefficients)
        for term in terms[1:]:
            more, number = self.affine(term)
            constant += factor * number
            for key, value in more.items():
                total[key] = total.get(key, _ZERO) + factor * value
        return {key: value for key, value in total.items() if value}, constant

    def _product(self, term: Product) -> Affine:
        result: Affine = ({}, _ONE)
        for part in term.terms:
            factor = self.affine(part)
            if result[0] and factor[0]:
                variable = next(leaf for leaf in _leaves(part) if isinstance(leaf, Variable))
                raise InputError(
                    "vnnlib/nonlinear",
                    "a product of variables is not linear",
                    place=self._query.place(variable.position),
                    value=self._query.spelling(variable),
                    hint="at most one factor of a product may contain variables",
                )
            result = _scale(result, factor[1]) if not factor[0] else _scale(factor, result[1])
            if any(_bits(number) > MAX_BITS for number in (*result[0].values(), result[1])):
                raise InputError(
                    "vnnlib/number-range",
                    "the numbers of a product multiply to an enormous one",
                    place=self._query.place(next(_leaves(part)).position),
                    hint=f"numerators and denominators may have {MAX_BITS} bits",
                )
        return result

    def _key(self, variable: Variable) -> int:
        found = self._offsets.get(variable.name)
        if found is None:
            raise InputError(
                "vnnlib/hidden-unsupported",
                "a constraint on a hidden node is not supported",
                place=self._query.place(variable.position),
                value=spell(variable),
                hint="state the property on inputs and outputs, or cut the network at that node",
            )
        offset, sign, tensor = found
        index = 0
        for i, extent in zip(variable.indices, tensor.shape, strict=True):
            index = index * extent + i
        return offset + sign * index


def _leaves(term: Term) -> Iterator[Variable | Literal]:
    if isinstance(term, Variable | Literal):
        yield term
    else:
        for part in term.terms:
            yield from _leaves(part)


def _bits(number: Fraction) -> int:
    return max(number.numerator.bit_length(), number.denominator.bit_length())


def _single(key: int, coefficient: Fraction, bound: Fraction, strict: bool) -> HalfSpace:
    if key >= 0:
        return HalfSpace({key: coefficient}, {}, bound, strict)
    return HalfSpace({}, {-1 - key: coefficient}, bound, strict)


def _scale(affine: Affine, factor: Fraction) -> Affine:
    if not factor:
        return {}, _ZERO
    return {key: value * factor for key, value in affine[0].items()}, affine[1] * factor


def _add(a: Affine, b: Affine, factor: Fraction) -> Affine:
    total = dict(a[0])
    for key, value in b[0].items():
        total[key] = total.get(key, _ZERO) + factor * value
    return {key: value for key, value in total.items() if value}, a[1] + factor * b[1]


def _half_space(affine: Affine, strict: bool) -> Tree:
    """The half-space affine <= 0 (< 0 where `strict`); decided where nothing varies."""
    coefficients, constant = affine
    if not coefficients:
        return TRUE if constant < 0 or (constant == 0 and not strict) else FALSE
    inputs = {key: value for key, value in coefficients.items() if key >= 0}
    outputs = {-1 - key: value for key, value in coefficients.items() if key < 0}
    return HalfSpace(inputs, outputs, -constant, strict)


def conjunction(parts: Iterable[Tree]) -> Tree:
    """The conjunction, flattened; false where a part is."""
    flat: list[Tree] = []
    for part in parts:
        if part == FALSE:
            return FALSE
        flat += part.parts if isinstance(part, All) else (part,)
    return flat[0] if len(flat) == 1 else All(tuple(flat))


def disjunction(parts: Iterable[Tree]) -> Tree:
    """The disjunction, flattened; true where a part is."""
    flat: list[Tree] = []
    for part in parts:
        if part == TRUE:
            return TRUE
        flat += part.parts if isinstance(part, Any) else (part,)
    return flat[0] if len(flat) == 1 else Any(tuple(flat))


def atoms(tree: Tree) -> Iterator[HalfSpace]:
    """The half-spaces of a tree, in order."""
    if isinstance(tree, HalfSpace):
        yield tree
        return
    for part in tree.parts:
        yield from atoms(part)


def size(tree: Tree) -> tuple[int, int]:
    """Number of conjunctions of the disjunctive normal form and of the atoms in them, without making it."""
    if isinstance(tree, HalfSpace):
        return 1, 1
    conjunctions, total = (1, 0) if isinstance(tree, All) else (0, 0)
    for part in tree.parts:
        more, length = size(part)
        if isinstance(tree, All):
            conjunctions, total = conjunctions * more, total * more + length * conjunctions
        else:
            conjunctions, total = conjunctions + more, total + length
    return conjunctions, total


def normal_form(tree: Tree) -> list[Conjunction]:
    """The disjunctive normal form; its `size` is the caller's concern."""
    if isinstance(tree, HalfSpace):
        return [(tree,)]
    forms = [normal_form(part) for part in tree.parts]
    if isinstance(tree, Any):
        return [one for form in forms for one in form]
    return [tuple(atom for one in choice for atom in one) for choice in product(*forms)]


def require_countable(conjunctions: int, length: int, what: str, source: str | None) -> None:
    """Refuse disjunctive normal forms that would not fit.

    Raises:
        LimitError: ``vnnlib/too-many-disjuncts``.
    """
    if conjunctions <= MAX_DISJUNCTS and length <= MAX_ATOMS:
        return
    raise LimitError(
        "vnnlib/too-many-disjuncts",
        f"{what} multiply out to more than {MAX_DISJUNCTS} disjuncts or {MAX_ATOMS} comparisons",
        place=Place(file=source),
        value=conjunctions if conjunctions < 10**12 else "more than 10^12 disjuncts",
        hint="split the property into several files, or state each assertion as one disjunction",
    )
