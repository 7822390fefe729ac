"""Hypothesis strategies for typed queries of both versions."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

from hypothesis import strategies as st

from eqverify.frontend.vnnlib import (
    And,
    Comparison,
    Difference,
    Formula,
    Literal,
    Network,
    Or,
    Product,
    Query,
    Sum,
    Tensor,
    Term,
    Variable,
)

FLOAT_TYPES = ("real", "float32", "bfloat16", "float8e5m2fnuz")


def decimals(digits: int = 3) -> st.SearchStrategy[Fraction]:
    """Rationals with a short finite decimal expansion."""
    return st.builds(lambda n, k: Fraction(n, 10**k), st.integers(-2000, 2000), st.integers(0, digits))


def dyadics() -> st.SearchStrategy[Fraction]:
    """Rationals that float64 holds exactly."""
    return st.builds(lambda n, k: Fraction(n, 2**k), st.integers(-20, 20), st.integers(0, 3))


def literals(element: str) -> st.SearchStrategy[Literal]:
    """Numbers that belong to an element type."""
    if element in ("Real", *FLOAT_TYPES):
        return st.builds(Literal, dyadics() | dyadics() | dyadics() | decimals())
    smallest = 0 if element.startswith("u") else -100
    return st.builds(lambda n: Literal(Fraction(n), False), st.integers(smallest, 100))


def terms(variables: list[Variable], element: str, linear: bool) -> st.SearchStrategy[Term]:
    """Terms over variables of one element type."""
    constants = literals(element)
    leaves = st.one_of(constants, st.sampled_from(variables))

    def grow(children: st.SearchStrategy[Term]) -> st.SearchStrategy[Term]:
        several = st.lists(children, min_size=1, max_size=3).map(tuple)
        products: st.SearchStrategy[Term] = several.map(Product)
        if linear:
            products = st.tuples(constants, children).map(Product) | st.tuples(children, constants).map(Product)
        return several.map(Sum) | several.map(Difference) | products

    return st.recursive(leaves, grow, max_leaves=5)


@st.composite
def formulas(
    draw: st.DrawFn, groups: dict[str, list[Variable]], relations: list[str], linear: bool, smallest: int
) -> Formula:
    """And/or trees over comparisons, each of which stays within one element type."""

    def comparisons() -> st.SearchStrategy[Formula]:
        def one(element: str) -> st.SearchStrategy[Formula]:
            term = terms(groups[element], element, linear)
            return st.builds(Comparison, st.sampled_from(relations), term, term)

        return st.sampled_from(sorted(groups)).flatmap(one)

    def grow(children: st.SearchStrategy[Formula]) -> st.SearchStrategy[Formula]:
        parts = st.lists(children, min_size=smallest, max_size=3).map(tuple)
        return parts.map(And) | parts.map(Or)

    return draw(st.recursive(comparisons(), grow, max_leaves=6))


@st.composite
def queries1(draw: st.DrawFn, linear: bool = True) -> Query:
    """Queries of version 1.0."""
    sizes = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    tensors = Tensor("X", "Real", (sizes[0],)), Tensor("Y", "Real", (sizes[1],))
    variables = [v for tensor in tensors for v in elements(tensor)]
    formula = formulas({"Real": variables}, ["<=", "<", ">=", ">", "=="], linear, 0)
    statements = draw(st.lists(formula, max_size=4))
    return Query("1.0", (Network("N", tensors[:1], tensors[1:]),), tuple(statements))


def elements(tensor: Tensor) -> list[Variable]:
    """The elements of a tensor."""
    return [Variable(tensor.name, indices) for indices in product(*map(range, tensor.shape))]


@st.composite
def queries2(draw: st.DrawFn, linear: bool = True) -> Query:
    """Queries of version 2.0 with up to two networks."""
    names = iter("ABCDEFGHIJKLMNOPQ")
    shapes = st.lists(st.integers(1, 3), max_size=2).map(tuple)
    types = st.sampled_from([*FLOAT_TYPES, "int8", "uint16"])

    def tensors(most: int, least: int, node: bool = False) -> tuple[Tensor, ...]:
        return tuple(
            Tensor(next(names), draw(types), draw(shapes), f"node{i}" if node else None)
            for i in range(draw(st.integers(least, most)))
        )

    first = Network("f", tensors(2, 1), tensors(2, 1), tensors(1, 0, node=True))
    networks = [first]
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["equal_to", "isomorphic_to", None]))
        if kind is None:
            networks.append(Network("g", tensors(2, 1), tensors(1, 1)))
        else:
            copies = [
                tuple(Tensor(next(names), t.element, t.shape) for t in group) for group in (first.inputs, first.outputs)
            ]
            networks.append(Network("g", *copies, **{kind: "f"}))
    groups: dict[str, list[Variable]] = {}
    for tensor in (t for network in networks for t in network.tensors):
        groups.setdefault(tensor.element, []).extend(elements(tensor))
    formula = formulas(groups, ["<=", "<", ">=", ">", "==", "!="], linear, 1)
    return Query("2.0", tuple(networks), tuple(draw(st.lists(formula, min_size=1, max_size=4))))
