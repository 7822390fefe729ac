"""Half spaces by exact arithmetic, specifications and problems by arity."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.domain import Case, Declaration, HalfSpace, NetworkSignature, Polytope, Specification, box_domain
from eqverify.errors import InputError
from eqverify.problem import Problem, box_problem, domain_problem
from eqverify.testing.handmade import one_of_each
from eqverify.testing.strategies import half_spaces, problems

RATIONALS = st.fractions(min_value=-4, max_value=4, max_denominator=10)


def test_strictness_decides_on_the_boundary() -> None:
    third = Fraction(1, 3)
    row = HalfSpace({0: third}, {1: -third}, Fraction(0))
    x, y = [Fraction(1)], [Fraction(9), Fraction(1)]
    assert row.holds(x, y)
    assert not replace(row, strict=True).holds(x, y)
    assert replace(row, strict=True).holds(x, [Fraction(0), Fraction(1) + Fraction(1, 10**40)])


@given(half_spaces(2, 2), st.lists(RATIONALS, min_size=4, max_size=4))
def test_strict_and_reversed_rows_are_complementary(row: HalfSpace, values: list[Fraction]) -> None:
    x, y = values[:2], values[2:]
    negated = HalfSpace(
        {i: -c for i, c in row.inputs.items()}, {j: -c for j, c in row.outputs.items()}, -row.bound, not row.strict
    )
    assert row.holds(x, y) != negated.holds(x, y)
    assert row.holds(dict(enumerate(x)), dict(enumerate(y))) == row.holds(x, y)


def test_sizes_of_declarations() -> None:
    assert Declaration("X", "Real", ()).size == 1
    assert Declaration("X", "Real", (2, 3)).size == 6


def test_a_part_used_by_two_cases_is_listed_once() -> None:
    part = box_domain(np.zeros(1), np.ones(1)).polytopes[0]
    signature = NetworkSignature("N", (Declaration("X", "Real", (1,)),), (Declaration("Y", "Real", (1,)),))
    specification = Specification((signature,), (Case(part, ()), Case(part, ((),))))
    assert specification.domain.polytopes == (part,)


@given(problems())
def test_drawn_problems_fit_together(problem: Problem) -> None:
    assert problem.domain.size == problem.network.input_size
    assert len(problem.cases) == len(problem.domain.polytopes)
    for case in problem.cases:
        for row in (row for conjunction in case.unsafe for row in conjunction):
            assert set(row.outputs) <= set(range(problem.network.output_size))
            assert set(row.inputs) <= set(range(problem.network.input_size))
            assert all((*row.outputs.values(), *row.inputs.values()))


def test_a_problem_of_a_domain_has_no_condition() -> None:
    network = one_of_each().network
    problem = box_problem(network, np.zeros(1), np.ones(1))
    assert [case.unsafe for case in problem.cases] == [()]


@pytest.mark.parametrize("size", [0, 2])
def test_wrong_arity_is_rejected(size: int) -> None:
    network = one_of_each().network
    specification = domain_problem(network, box_domain(np.zeros(1), np.ones(1))).specification
    signature = specification.networks[0]
    other = Declaration("X", "Real", (size,))
    for wrong in (replace(signature, inputs=(other,)), replace(signature, outputs=(other,))):
        with pytest.raises(InputError) as caught:
            Problem(network, Specification((wrong,), specification.cases, source="p.vnnlib"))
        assert caught.value.code == "problem/arity"
        assert caught.value.place.file == "p.vnnlib"


def test_a_property_of_two_networks_is_rejected() -> None:
    network = one_of_each().network
    specification = domain_problem(network, box_domain(np.zeros(1), np.ones(1))).specification
    with pytest.raises(InputError) as caught:
        Problem(network, Specification(specification.networks * 2, specification.cases))
    assert caught.value.code == "problem/networks"


def test_a_case_of_another_dimension_is_rejected() -> None:
    network = one_of_each().network
    specification = domain_problem(network, box_domain(np.zeros(1), np.ones(1))).specification
    wide = Polytope(box_domain(np.zeros(2), np.ones(2)).polytopes[0].box)
    with pytest.raises(InputError):
        Problem(network, Specification(specification.networks, (Case(wide, ()),)))
