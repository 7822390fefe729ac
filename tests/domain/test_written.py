"""Inputs as they are written: exact ends, strict ones, and the floats within them."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from eqverify.domain import Bounds, HalfSpace, Written

NUMBERS = st.one_of(
    st.fractions(-2, 2, max_denominator=10),
    st.decimals(-2, 2, places=3),
    st.floats(-2, 2).map(Fraction),
    st.sampled_from((Decimal("1e-400"), Decimal("-1e400"), Fraction(10) ** 400, Decimal("0.1"), Fraction(0))),
)
ENDS = st.lists(st.tuples(st.sampled_from("<>"), NUMBERS, st.booleans()), max_size=5)


def bounds_of(ends, base=None):
    bounds = Bounds(base=base)
    for side, value, strict in ends:
        (bounds.reduce_upper if side == "<" else bounds.raise_lower)(0, value, strict)
    return bounds


def allowed(x, ends):
    pairs = [(x, Fraction(value)) if side == "<" else (Fraction(value), x) for side, value, _ in ends]
    return all(a < b if strict else a <= b for (a, b), (_, _, strict) in zip(pairs, ends, strict=True))


@given(ENDS, ENDS, st.fractions(-3, 3, max_denominator=20))
def test_the_tightest_end_counts_and_a_strict_one_before_another_of_its_number(below, above, x):
    written = Written(1, bounds_of(above, bounds_of(below)))
    for value in (x, *(Fraction(number) for _, number, _ in (*below, *above))):
        assert written.holds([value]) == allowed(value, (*below, *above))


@given(ENDS, ENDS)
def test_inner_ends_are_the_least_and_the_largest_float(below, above):
    written = Written(1, bounds_of(above, bounds_of(below)))
    ((low,), (high,)) = written.inner()
    lower = [end for end in (*below, *above) if end[0] == ">"]
    upper = [end for end in (*below, *above) if end[0] == "<"]
    for end, outwards, ends in ((low, -math.inf, lower), (high, math.inf, upper)):
        if math.isfinite(end):
            assert allowed(Fraction(float(end)), ends)
            beyond = math.nextafter(end, outwards)
            assert not math.isfinite(beyond) or not allowed(Fraction(beyond), ends)


def test_strict_ends_and_rows_are_told():
    closed, strict = bounds_of([(">", Fraction(0), False)]), bounds_of([(">", Fraction(0), True)])
    row = HalfSpace({0: Fraction(1), 1: Fraction(1)}, {}, Fraction(1), True)
    assert not Written(2, closed).strict
    assert Written(2, strict).strict
    assert Written(2, closed, (row,)).strict
    assert not Written(2, bounds_of([(">", Fraction(1), False)], strict)).strict
    assert not Written(2, closed, (row,)).holds([Fraction(1, 2), Fraction(1, 2)])
