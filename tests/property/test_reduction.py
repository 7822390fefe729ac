"""The whole way on random problems: prove, reduce, write, read back, and compare exactly.

`tox -e deep` runs this with 10,000 examples.
"""

from fractions import Fraction

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from eqverify.equivalence.exact import cross_check
from eqverify.errors import EqverifyError
from eqverify.network import outputs_exact
from eqverify.reduction.pipeline import reduce
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import networks, problems

EXPECTED = {"transform/overflow", "reduce/no-bound"}
"""The only errors a random problem may end in: weights or bounds beyond the range of the numbers."""

EXAMPLES = settings().max_examples


def reduced(problem, **options):
    try:
        return reduce(problem, time_limit=5.0, **options)
    except EqverifyError as error:
        assert error.code in EXPECTED, error
        return None


def sampled(data, problem):
    """A rational point of a random part's box: corners and inner points."""
    part = data.draw(st.sampled_from(problem.domain.polytopes))
    share = st.one_of(st.sampled_from([Fraction(0), Fraction(1)]), st.fractions(0, 1, max_denominator=64))
    return [
        Fraction(low) + data.draw(share) * (Fraction(high) - Fraction(low))
        for low, high in zip(part.box.lower.tolist(), part.box.upper.tolist(), strict=True)
    ]


def in_domain(problem, x):
    return any(in_polytope(part, x) for part in problem.domain.polytopes)


def in_polytope(part, x):
    bounds = zip(part.box.lower.tolist(), x, part.box.upper.tolist(), strict=True)
    if not all(Fraction(low) <= value <= Fraction(high) for low, value, high in bounds):
        return False
    rows = zip(part.matrix.tolist(), part.bound.tolist(), strict=True)
    return all(sum(Fraction(c) * v for c, v in zip(row, x, strict=True)) <= Fraction(b) for row, b in rows)


@settings(max_examples=EXAMPLES)
@given(st.data())
def test_no_deviation_exceeds_the_proved_epsilon(data):
    problem = data.draw(problems(networks=networks(), parts=2))
    dtype = data.draw(st.sampled_from([None, "float32", "float64"]))
    result = reduced(problem, dtype=dtype)
    if result is None:
        reject()
    allowed = [Fraction(eps) for eps in result.epsilons.tolist()]
    for _ in range(3):
        x = sampled(data, problem)
        if in_domain(problem, x):
            pairs = zip(outputs_exact(problem.network, x), outputs_exact(result.network, x), allowed, strict=True)
            assert all(abs(old - new) <= eps for old, new, eps in pairs)
    try:
        exact = deviations_exact(problem.network, result.network, problem.domain, max_regions=200)
    except EqverifyError:
        return
    assert all(found.value <= eps for found, eps in zip(exact, allowed, strict=True))


@pytest.mark.slow
@settings(max_examples=max(min(10, EXAMPLES), EXAMPLES // 5))
@given(problems(networks=networks(), parts=2))
def test_z3_finds_no_deviation_above_epsilon(problem):
    result = reduced(problem)
    if result is None:
        reject()
    answer = cross_check(problem.network, result.network, problem.domain, result.epsilons, timeout=5.0)
    assert answer.verdict != "different"
