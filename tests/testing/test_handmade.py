"""The hand-solved answers are right, by the exact oracle."""

from __future__ import annotations

from fractions import Fraction

import pytest

from eqverify.equivalence.exact import cross_check
from eqverify.testing.handmade import Handmade, all_handmade
from eqverify.testing.oracle import Range, deviations_exact, stable_sets_exact


def ends(ranges: tuple[Range, ...]) -> tuple[tuple[float, float], ...]:
    """The ends as floats, which must hold them exactly."""
    assert all(Fraction(float(value)) == value for r in ranges for value in (r.lower, r.upper))
    return tuple((float(r.lower), float(r.upper)) for r in ranges)


PROBLEMS = pytest.mark.parametrize("problem", all_handmade(), ids=lambda problem: problem.name)


@PROBLEMS
def test_ranges_are_those_of_the_oracle(problem: Handmade) -> None:
    answer = stable_sets_exact(problem.network, problem.domain)
    assert {name: ends(ranges) for name, ranges in answer.layers.items()} == problem.ranges
    assert ends(answer.outputs) == problem.outputs
    for stability in ("inactive", "active", "unstable"):
        assert answer.units(stability) == problem.units(stability)


@PROBLEMS
def test_the_reduced_network_is_equal_on_the_domain(problem: Handmade) -> None:
    assert all(d.value == 0 for d in deviations_exact(problem.network, problem.reduced, problem.domain))
    zeros = [0.0] * problem.network.output_size
    assert cross_check(problem.network, problem.reduced, problem.domain, zeros, timeout=10).verdict == "equivalent"
    assert problem.reduced.relu_count == problem.fewest_relus


def test_names_are_unique_and_reasons_are_sentences() -> None:
    problems = all_handmade()
    assert len({problem.name for problem in problems}) == len(problems) >= 8
    assert all(problem.why.endswith(".") for problem in problems)
