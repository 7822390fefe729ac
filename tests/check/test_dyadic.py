"""The checker's dyadic numbers against rationals: subnormals, huge numbers, cancellation, exponents far apart."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.checker.dyadic import Dyadics
from eqverify.checker.numbers import Exact
from eqverify.errors import LimitError
from eqverify.network import Convolution, Dense, Diagonal, Identity, Selection

EDGES = [0.0, -0.0, 5e-324, -5e-324, 2.0**-1022, 1e-300, -1e300, np.finfo(float).max, 1.0, 65535.0, 65536.0, -65536.0]
floats = st.one_of(
    st.sampled_from(EDGES),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-1, 1, width=32),
    st.integers(-(2**53), 2**53).map(float),
)


def arrays(shape):
    """Floats in an array of that shape."""
    size = math.prod(shape)
    return st.lists(floats, min_size=size, max_size=size).map(lambda values: np.array(values).reshape(shape))


def exact(numbers):
    """Fractions, from what an array of numbers is defined to hold."""
    result = np.empty(numbers.shape, dtype=object)
    for index in np.ndindex(*numbers.shape):
        value = sum(int(limb[index]) << 16 * k for k, limb in enumerate(numbers.limbs))
        result[index] = value * Fraction(2) ** (16 * numbers.place) / numbers.divisor
    return result


def fractions(values):
    """Fractions, from floats."""
    return np.array([Fraction(v) for v in values.ravel().tolist()], dtype=object).reshape(values.shape)


def normal(numbers):
    """Whether limbs have the sizes that products and signs rely on."""
    low, top = numbers.limbs[:-1], numbers.limbs[-1]
    return bool((low >= 0).all() and (low < 65536).all() and (top >= -65536).all() and (top < 65536).all())


@settings(deadline=None, max_examples=20)
@given(arrays((3, 4)), arrays((3, 4)), arrays((4,)))
def test_sums_products_and_comparisons_are_those_of_rationals(a, b, c):
    x, y, z = map(Dyadics.of, (a, b, c))
    p, q, r = map(fractions, (a, b, c))
    pairs = [
        (x, p), (x + y, p + q), (x - y, p - q), (x * y, p * q), (x * z, p * r), (-x, -p), (abs(x), abs(p)),
        (x * y + y * z - x, p * q + q * r - p), ((x + y) - y, p), (x - x, p - p), (0 * x, 0 * p), (1 - x, 1 - p),
        (np.maximum(x, y), np.maximum(p, q)), (np.minimum(x, z), np.minimum(p, r)), (x.sum(0), p.sum(axis=0)),
        (np.where(a > b, x * x, y), np.where(p > q, p * p, q)), (np.maximum(x, 0), np.maximum(p, 0)),
        (x[1:, [0, 2]], p[1:, [0, 2]]),
    ]  # fmt: skip
    for found, truth in pairs:
        assert (exact(found) == truth).all()
        assert normal(found)
    for found, truth in (
        (x > 0, p > 0), (x * y < x, p * q < p), (x == y, p == q), (x != 0, p != 0), (x - y > 0, p > q),
        (x * x > z, p * p > r),
    ):  # fmt: skip
        assert (found == truth).all()
    assert x.any() == bool((p != 0).any())


@settings(deadline=None, max_examples=20)
@given(arrays((2, 3, 4)), arrays((2, 3, 2)), arrays((3,)))
def test_assignment_keeps_numbers_of_any_size(a, b, c):
    numbers, truth = Dyadics.of(a) * Dyadics.of(a), fractions(a) * fractions(a)
    numbers[:, :, [0, 2]], truth[:, :, [0, 2]] = Dyadics.of(b), fractions(b)
    numbers[:, :, 1], truth[:, :, 1] = Dyadics.of(c), fractions(c)
    assert (exact(numbers) == truth).all()
    assert normal(numbers)
    numbers[:, :, 3], truth[:, :, 3] = 0, 0
    assert (exact(numbers) == truth).all()


@settings(deadline=None, max_examples=20)
@given(arrays((2, 3, 4)), arrays((4, 5)), arrays((2, 1, 4)), arrays((2, 3, 4)))
def test_matrix_products_are_those_of_rationals(rows, matrix, few, many):
    numbers, truth = Exact(), fractions(rows)
    x = numbers.of(rows)
    assert (exact(numbers.product(x, numbers.of(matrix))) == truth @ fractions(matrix)).all()
    assert (exact(numbers.dot(x, numbers.of(few))) == (truth * fractions(few)).sum(axis=2)).all()
    assert (exact(numbers.dot(x, numbers.of(many))) == (truth * fractions(many)).sum(axis=2)).all()


@settings(deadline=None, max_examples=20)
@given(arrays((5,)), arrays((5,)), st.sampled_from([1, 3, 10, 2**60 + 1]))
def test_ceilings_are_the_smallest_floats_that_are_not_below(a, b, divisor):
    numbers = Dyadics.of(a) * Dyadics.of(b) * Dyadics.integers([1], divisor)
    for found, truth in zip(numbers.ceilings(), fractions(a) * fractions(b) / divisor, strict=True):
        with np.errstate(over="ignore"):
            below = np.nextafter(found, -np.inf)
        assert found == np.inf or Fraction(found) >= truth
        assert below == -np.inf or Fraction(below) < truth


@settings(deadline=None, max_examples=20)
@given(arrays((6,)), arrays((6,)), st.integers(1, 9))
def test_what_is_cut_off_is_not_negative_and_less_than_the_unit(a, b, count):
    numbers = Dyadics.of(a) * Dyadics.of(b)
    shorter, unit = numbers.cut(count)
    lost = exact(numbers) - exact(shorter)
    assert (lost >= 0).all()
    assert (lost <= exact(unit)).all()
    assert len(shorter.limbs) <= count + 1


MAPS = {
    "dense": Dense(np.array([[1e300, -1e-300, 0.1], [5e-324, 3.0, -7.25]])),
    "convolution": Convolution(np.linspace(-1, 1, 12).reshape(2, 1, 3, 2) / 3, (4, 3), (1, 1), (1, 1), (1, 0), (1, 1)),
    "selection": Selection(np.array([2, 0, 0, 1]), 3),
    "identity": Identity(3),
    "quotients": Diagonal(np.array([1.0, -0.1, 3.0]), np.array([3.0, 0.2023, -10.0])),
}


@pytest.mark.parametrize("name", MAPS)
@settings(deadline=None, max_examples=20)
@given(st.data())
def test_maps_are_applied_exactly(name, data):
    linear = MAPS[name]
    outputs, inputs = linear.shape
    x = data.draw(arrays((2, inputs)))
    y = data.draw(arrays((1, 2, outputs)))
    numbers, matrix = Exact(), np.zeros((outputs, inputs), dtype=object)
    for k in range(inputs):
        matrix[:, k] = linear.forward_exact(np.array([Fraction(int(k == j)) for j in range(inputs)], dtype=object))
    assert (exact(numbers.forward(linear, numbers.of(x))) == fractions(x) @ matrix.T).all()
    assert (exact(numbers.forward(linear, numbers.of(x), absolute=True)) == fractions(x) @ abs(matrix).T).all()
    used, wanted = np.arange(0, outputs, 2), np.arange(inputs)[::-1]
    found = numbers.backward(linear, numbers.of(y[:, :, used]), used, wanted)
    assert (exact(found) == fractions(y)[:, :, used] @ matrix[used][:, wanted]).all()


def test_floats_are_taken_only_where_they_are_known_to_be_finite():
    with pytest.raises(TypeError):
        Dyadics.of(np.ones(2)) * 0.5
    with pytest.raises(LimitError, match="check/exact-infinite"):
        Exact().of(np.array([np.inf]))


def test_sums_that_float64_might_not_hold_are_refused(monkeypatch):
    monkeypatch.setattr("eqverify.checker.dyadic.MOST_TERMS", 3)
    with pytest.raises(LimitError, match="check/exact-too-large"):
        Exact().product(Dyadics.of(np.ones((1, 4))), Dyadics.of(np.ones((4, 1))))


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 3), (2, 3, 0), (0, 0, 0)])
def test_products_of_nothing(shape):
    rows, terms, columns = shape
    found = Exact().product(Dyadics.of(np.ones((rows, terms))), Dyadics.of(np.ones((terms, columns))))
    assert exact(found).tolist() == [[terms] * columns] * rows


def test_the_largest_sums_of_limbs_are_exact():
    """As many terms as are allowed, of the largest limbs."""
    terms = 1 << 20
    numbers = Dyadics.of(np.full((1, terms), 65535.0))
    assert exact(Exact().product(numbers, Dyadics.of(np.full((terms, 1), -65535.0))))[0, 0] == -terms * 65535**2


def test_the_memory_of_numbers_far_apart_is_bounded():
    """All floats lie between 2^-1074 and 2^1024: 132 limbs at the most, and rows on their way are cut."""
    far = Dyadics.of(np.array([5e-324, np.finfo(float).max, -1.0]))
    assert len(far.limbs) <= 132
    assert len((far * far).limbs) <= 264
    assert len((far * far).cut(8)[0].limbs) <= 9


@pytest.mark.parametrize("far", [0, 150, 250])
def test_rows_that_are_shortened_keep_the_digits_of_their_small_numbers(far):
    """Rows were cut to 113 bits of their largest number: one 2^250 times smaller lost all of its own (hunt)."""
    long = Dyadics.of(np.array([1 / 3, 1 / 7]))
    for _ in range(4):
        long = long * long
    rows = (long * Dyadics.of(np.array([2.0**far, 1.0]))).reshape(1, 1, 2)
    shorter, lost = Exact().cut(rows, np.ones(2))
    whole, kept = (exact(one).reshape(-1).tolist() for one in (rows, shorter))
    assert all(0 <= a - b <= a * Fraction(1, 2**60) for a, b in zip(whole, kept, strict=True))
    assert all(a - b <= exact(lost).reshape(-1)[0] for a, b in zip(whole, kept, strict=True))
