"""Hypothesis strategies for networks, domains, properties and whole problems.

Most weights are small dyadic rationals, so that ties at zero and exact linear dependencies do occur; ordinary float32
and float64 numbers and extreme scales are mixed in.  `eqverify.testing.features` names what a drawn object contains.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from eqverify.arrays import FloatArray
from eqverify.domain import (
    Box,
    Case,
    Conjunction,
    Declaration,
    Domain,
    HalfSpace,
    NetworkSignature,
    Polytope,
    Specification,
)
from eqverify.network import Network
from eqverify.numerals import round_up
from eqverify.problem import Problem
from eqverify.testing.drawing import (
    DEFAULT_SIZES,
    ELEMENTS,
    STRUCTURES,
    WEIGHT_KINDS,
    Sizes,
    draw_chain,
    draw_residual,
    dyadics,
)

__all__ = [
    "ELEMENTS",
    "STRUCTURES",
    "WEIGHT_KINDS",
    "Sizes",
    "any_networks",
    "boxes",
    "domains",
    "networks",
    "polytopes",
    "problems",
    "residual_networks",
    "specifications",
]

WIDTHS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)


@st.composite
def networks(
    draw: st.DrawFn,
    *,
    sizes: Sizes = DEFAULT_SIZES,
    element: str | None = None,
    kinds: tuple[str, ...] = WEIGHT_KINDS,
    structures: tuple[str, ...] = STRUCTURES,
) -> Network:
    """Fully connected ReLU chains, possibly with special structure.

    Args:
        draw: given by hypothesis.
        sizes: ranges of the sizes; the default has at most 4 inputs, 3 outputs and 3 x 4 ReLUs
            (a planted copy may add a unit to a layer, so 15).
        element: ``float32`` (every weight is one), ``float64``, or None for either.
        kinds: kinds of weights to choose from, of `WEIGHT_KINDS`.
        structures: structures that may be planted (up to three of them), of `STRUCTURES`.

    Returns:
        Nodes ``affine0, relu0, affine1, ...``, the last one affine.
    """
    return draw_chain(draw, sizes, element or draw(st.sampled_from(ELEMENTS)), kinds, structures)


@st.composite
def residual_networks(
    draw: st.DrawFn,
    *,
    sizes: Sizes = DEFAULT_SIZES,
    element: str | None = None,
    kinds: tuple[str, ...] = WEIGHT_KINDS,
) -> Network:
    """DAGs: affine nodes with zero to three terms of any linear map, skips, several inputs and outputs.

    Args:
        draw: given by hypothesis.
        sizes: as for `networks`; at most ``sizes.depth[1]`` ReLU nodes; they have at most ``sizes.width[1]`` units
            unless they read an input.
        element: as for `networks`.
        kinds: as for `networks`.
    """
    return draw_residual(draw, sizes, element or draw(st.sampled_from(ELEMENTS)), kinds)


def any_networks(*, sizes: Sizes = DEFAULT_SIZES, element: str | None = None) -> st.SearchStrategy[Network]:
    """Chains or DAGs; arguments as for `networks`."""
    return networks(sizes=sizes, element=element) | residual_networks(sizes=sizes, element=element)


@st.composite
def boxes(draw: st.DrawFn, size: int) -> Box:
    """Boxes of `size` inputs: unit boxes, points, partly or wholly of zero width, wide ones, arbitrary floats."""
    shape = draw(st.sampled_from(("symmetric", "unit", "mixed", "mixed", "point", "floats", "wide")))
    if shape == "symmetric":
        return Box(np.full(size, -1.0), np.full(size, 1.0))
    if shape == "unit":
        return Box(np.zeros(size), np.ones(size))
    lower = np.array([draw(dyadics()) for _ in range(size)])
    if shape == "point":
        return Box(lower, lower)
    if shape == "mixed":
        return Box(lower, lower + [draw(st.sampled_from(WIDTHS)) for _ in range(size)])
    if shape == "wide":
        return Box(lower - 2.0**12, lower + [draw(st.sampled_from((1.0, 2.0**12))) for _ in range(size)])
    ends = np.array([[draw(st.floats(-4, 4, width=32, allow_subnormal=False)) for _ in range(size)] for _ in range(2)])
    return Box(ends.min(axis=0), ends.max(axis=0))


@st.composite
def polytopes(draw: st.DrawFn, size: int, *, rows: int = 2) -> Polytope:
    """Boxes cut by one to `rows` linear constraints; never empty, for a point of the box is drawn and kept.

    Lower-dimensional sets occur: two opposite rows without slack make an equation.
    """
    box = draw(boxes(size))
    inside = np.where([draw(st.booleans()) for _ in range(size)], box.lower, box.upper)
    inside = box.centre if draw(st.booleans()) else inside
    matrix = [np.array([draw(dyadics(2)) for _ in range(size)]) for _ in range(draw(st.integers(1, rows)))]
    if len(matrix) > 1 and draw(st.booleans()):
        matrix[1] = -matrix[0]
    slacks = [draw(st.sampled_from((0.0, 0.0, 0.25, 1.0))) for _ in matrix]
    bounds = [_reach(row, inside, slack) for row, slack in zip(matrix, slacks, strict=True)]
    return Polytope(box, np.array(matrix), np.array(bounds))


def _reach(row: FloatArray, point: FloatArray, slack: float) -> float:
    """row . point + slack, rounded upwards, so that `point` satisfies the constraint exactly."""
    exact = sum((Fraction(r) * Fraction(p) for r, p in zip(row.tolist(), point.tolist(), strict=True)), Fraction(slack))
    return round_up(exact)


@st.composite
def domains(draw: st.DrawFn, size: int, *, parts: int = 3, linear: bool = True) -> Domain:
    """Unions of one to `parts` boxes or (with `linear`) polytopes of `size` inputs; mostly one box, never empty."""
    count = draw(st.sampled_from((1, 1, *range(1, parts + 1))))
    cut = linear and draw(st.integers(0, 2)) == 0
    return Domain(tuple(draw(polytopes(size)) if cut else Polytope(draw(boxes(size))) for _ in range(count)))


@st.composite
def half_spaces(draw: st.DrawFn, inputs: int, outputs: int) -> HalfSpace:
    """Linear constraints on outputs, sometimes on inputs too, with small rational coefficients."""
    numbers = st.builds(Fraction, st.integers(-3, 3).filter(bool), st.sampled_from((1, 2, 3, 10)))
    over_inputs = draw(st.dictionaries(st.integers(0, inputs - 1), numbers, max_size=2)) if draw(st.booleans()) else {}
    over_outputs = draw(st.dictionaries(st.integers(0, outputs - 1), numbers, min_size=1, max_size=3))
    return HalfSpace(over_inputs, over_outputs, Fraction(draw(st.integers(-8, 8)), 4), draw(st.booleans()))


def conditions(inputs: int, outputs: int) -> st.SearchStrategy[tuple[Conjunction, ...]]:
    """Output conditions in disjunctive normal form, the impossible ``()`` and the trivial ``((),)`` included."""
    conjunctions = st.lists(half_spaces(inputs, outputs), max_size=3).map(tuple)
    return st.lists(conjunctions, max_size=3).map(tuple)


@st.composite
def specifications(draw: st.DrawFn, domain: Domain, outputs: int) -> Specification:
    """Properties on `domain` for one network with `outputs` outputs, one case per part of the domain."""
    signature = NetworkSignature(
        "N", (Declaration("X", "Real", (domain.size,)),), (Declaration("Y", "Real", (outputs,)),)
    )
    cases = tuple(Case(part, draw(conditions(domain.size, outputs))) for part in domain.polytopes)
    return Specification((signature,), cases)


@st.composite
def problems(
    draw: st.DrawFn,
    *,
    networks: st.SearchStrategy[Network] | None = None,
    parts: int = 3,
    linear: bool = True,
) -> Problem:
    """A network, a domain of its arity and a property.

    Args:
        draw: given by hypothesis.
        networks: where the network comes from; None for `any_networks()`.
        parts: at most so many parts of the domain.
        linear: whether linear constraints may cut the parts.
    """
    network = draw(any_networks() if networks is None else networks)
    domain = draw(domains(network.input_size, parts=parts, linear=linear))
    return Problem(network, draw(specifications(domain, network.output_size)))
