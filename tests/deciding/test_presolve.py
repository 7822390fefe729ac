"""Cases that bounds decide, many boxes at a time: what is left out holds nowhere, and nothing else is kept."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.deciding import run
from eqverify.deciding.presolve import left_open
from eqverify.deciding.run import VerifyKeywords, VerifyRun
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.export.onnx import write_network
from eqverify.problem import Problem, box_problem

from .deciding_helpers import absolute, chain


def interval(left, width=0.125):
    return Polytope(Box(np.array([left]), np.array([left + width])))


def below(bound, sign=1, inputs=None, strict=False):
    """sign y + inputs <= bound."""
    return HalfSpace(inputs or {}, {0: Fraction(sign)}, Fraction(bound), strict)


IDENTITY = chain(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, -1.0]], [0.0]), element="float64")
"""relu(x) - relu(-x) = x: on a box of one sign CROWN is exact."""


@given(st.lists(st.tuples(st.integers(-8, 7), st.integers(-9, 9), st.sampled_from([1, -1])), min_size=16, max_size=24))
def test_just_what_bounds_refute_goes(drawn):
    """y = x on [k, k + 1] / 8 with a row  +-x <= b / 8  or, as a second disjunct,  +-2 x <= 2 b / 8  over the input."""
    cases = []
    for k, b, sign in drawn:
        bound = Fraction(b, 8)
        mixed = HalfSpace({0: Fraction(sign)}, {0: Fraction(sign)}, 2 * bound)
        cases.append(Case(interval(k / 8), ((below(bound, sign),), (mixed, below(100)))))
    least = [k if sign > 0 else -k - 1 for k, _, sign in drawn]
    reached = [case for case, low, (_, b, _) in zip(cases, least, drawn, strict=True) if low <= b]
    kept = left_open(IDENTITY, cases, lambda: False)
    assert set(map(id, reached)) <= set(map(id, kept))
    certain = [case for case, low, (_, b, _) in zip(cases, least, drawn, strict=True) if low > b]
    assert not set(map(id, certain)) & set(map(id, kept))
    assert [case for case in cases if case in kept] == kept


def test_few_cases_and_stopped_ones_are_left_as_they_are():
    cases = [Case(interval(k), ((below(-100),),)) for k in range(20)]
    assert left_open(IDENTITY, cases, lambda: False) == []
    assert left_open(IDENTITY, cases, lambda: True) == cases
    assert left_open(IDENTITY, cases[:3], lambda: False) == cases[:3]


@pytest.mark.parametrize("unsafe", [((),), ((), (below(-100),))])
def test_a_disjunct_without_rows_holds_everywhere(unsafe):
    cases = [Case(interval(k), ((below(-100),),)) for k in range(20)] + [Case(interval(20), unsafe)]
    assert left_open(IDENTITY, cases, lambda: False) == cases[20:]


def decided(bounds, **options):
    network = absolute(1.0)
    boxes = [Polytope(Box(np.array([k / 40, 0.5]), np.array([(k + 1) / 40, 0.75]))) for k in range(len(bounds))]
    specification = box_problem(network, np.zeros(2), np.ones(2)).specification
    cases = tuple(Case(box, ((below(bound),), (below(-9, -1),))) for box, bound in zip(boxes, bounds, strict=True))
    problem = Problem(network, replace(specification, cases=cases))
    data = write_network(network, metadata={}, producer="test", dtype="float32")
    return VerifyRun(VerifyKeywords(timeout=20, **options)).decide(problem, data)


def test_no_case_that_bounds_refute_is_looked_at_by_itself(monkeypatch):
    def refuse(*_):
        raise AssertionError("a case was looked at")

    monkeypatch.setattr(run, "CaseContext", refuse)
    found = decided([1.25] * 30)
    assert found.verdict == "unsat"
    assert found.evidence == ("bounds",)


def test_an_input_in_one_of_many_boxes_is_found():
    found = decided([1.25] * 29 + [2.5])
    assert found.verdict == "sat"
    assert found.witness.x[0] >= 29 / 40
