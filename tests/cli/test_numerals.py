"""What is printed of a proved bound is proved: it is rounded outwards, whatever the number."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.numerals import at_least, at_most

FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(FINITE, st.integers(1, 6))
def test_bounds_are_rounded_outwards_and_not_far(value, digits):
    above, below = Decimal(at_most(value, digits)), Decimal(at_least(value, digits))
    assert below <= Decimal(value) <= above
    assert above - below <= abs(Decimal(value)) * Decimal(10) ** (1 - digits)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8.64e-7, "8.65e-07"),
        (6.422340263475496e-10, "6.43e-10"),
        (0.0, "0"),
        (2.0, "2"),
        (220060.3, "2.21e+05"),
        (5e-324, "4.95e-324"),
        (float("inf"), "inf"),
    ],
)
def test_texts(value, text):
    assert at_most(value) == text
