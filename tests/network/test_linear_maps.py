"""Every linear map: forward, backward, absolute value, dense and exact form tell of one matrix."""

from __future__ import annotations

from fractions import Fraction
from itertools import product as product_of

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.equivalence.rational import exact_rows
from eqverify.errors import InputError
from eqverify.network import UNIT_ROUNDOFF, Dense, Diagonal, Identity, LinearMap, Selection, gamma

SINGLE = 2.0**-24
# No number that leaves the range of float64 when it is divided by 10.
SMALL = st.sampled_from((0.0, 1.0, -1.0, 0.5, -2.0, 3.0)) | st.floats(-8, 8).filter(lambda x: x == 0 or abs(x) > 1e-300)


@st.composite
def linear_maps(draw: st.DrawFn) -> LinearMap:
    """Maps of every representation, sizes 0 to 5."""
    kind = draw(st.sampled_from(("dense", "diagonal", "identity", "selection")))
    columns = draw(st.integers(1 if kind == "selection" else 0, 5))
    if kind == "identity":
        return Identity(columns)
    if kind == "diagonal":
        divisors = st.sampled_from((1.0, 2.0, -4.0, 3.0, 10.0))
        return Diagonal(
            np.array([draw(SMALL) for _ in range(columns)]), np.array([draw(divisors) for _ in range(columns)])
        )
    rows = draw(st.integers(0, 5))
    if kind == "selection":
        return Selection(np.array([draw(st.integers(0, columns - 1)) for _ in range(rows)], dtype=np.int64), columns)
    return Dense(np.array([[draw(SMALL) for _ in range(columns)] for _ in range(rows)]).reshape(rows, columns))


def exact_matrix(linear: LinearMap) -> list[list[Fraction]]:
    return [[row.get(j, Fraction(0)) for j in range(linear.shape[1])] for row in exact_rows(linear)]


def exact_vector(values: np.ndarray) -> list[Fraction]:
    return [Fraction(v) for v in values.tolist()]


def product(matrix: list[list[Fraction]], x: list[Fraction]) -> list[Fraction]:
    return [sum((a * b for a, b in zip(row, x, strict=True)), Fraction(0)) for row in matrix]


def transpose(matrix: list[list[Fraction]], columns: int) -> list[list[Fraction]]:
    return [[row[j] for row in matrix] for j in range(columns)]


def vectors(data: st.DataObject, size: int) -> np.ndarray:
    return np.array([data.draw(SMALL) for _ in range(size)], dtype=np.float64)


def assert_near(computed: np.ndarray, matrix: list[list[Fraction]], x: np.ndarray, terms: int) -> None:
    """The rounding contract: error at most gamma_terms |W| |x|, exactly compared."""
    exact = product(matrix, exact_vector(x))
    size = product([[abs(v) for v in row] for row in matrix], [abs(v) for v in exact_vector(x)])
    for value, want, magnitude in zip(exact_vector(computed), exact, size, strict=True):
        assert abs(value - want) <= Fraction(gamma(terms)) * magnitude + Fraction(1e-300)


@given(st.data())
def test_forward_and_backward_keep_the_rounding_contract(data: st.DataObject) -> None:
    linear = data.draw(linear_maps())
    matrix, (rows, columns) = exact_matrix(linear), linear.shape
    x, y = vectors(data, columns), vectors(data, rows)
    assert_near(linear.forward(x), matrix, x, linear.fan_in + 2)
    assert_near(linear.backward(y), transpose(matrix, columns), y, linear.fan_out + 2)


@given(st.data())
def test_backward_is_the_transpose_of_forward_on_unit_vectors(data: st.DataObject) -> None:
    linear = data.draw(linear_maps())
    rows, columns = linear.shape
    forward, backward = linear.forward(np.eye(columns)), linear.backward(np.eye(rows))
    assert forward.shape == (columns, rows)
    assert backward.shape == (rows, columns)
    np.testing.assert_array_equal(forward.T, backward)


@given(st.data())
def test_batches_of_any_rank_agree_with_single_vectors(data: st.DataObject) -> None:
    linear = data.draw(linear_maps())
    rows, columns = linear.shape
    x = np.arange(6.0 * columns).reshape(2, 3, columns)
    y = np.arange(6.0 * rows).reshape(2, 3, rows)
    assert linear.forward(x).shape == (2, 3, rows)
    assert linear.backward(y).shape == (2, 3, columns)
    for i, j in np.ndindex(2, 3):
        np.testing.assert_allclose(linear.forward(x)[i, j], linear.forward(x[i, j]), rtol=1e-14, atol=1e-12)
        np.testing.assert_allclose(linear.backward(y)[i, j], linear.backward(y[i, j]), rtol=1e-14, atol=1e-12)


@given(linear_maps())
def test_dense_is_within_the_entry_error(linear: LinearMap) -> None:
    for row, exact in zip(linear.dense().tolist(), exact_matrix(linear), strict=True):
        for value, want in zip(row, exact, strict=True):
            assert abs(Fraction(value) - want) <= Fraction(linear.entry_error) * abs(want)


@given(linear_maps())
def test_absolute_is_the_entrywise_absolute_value(linear: LinearMap) -> None:
    assert exact_matrix(linear.absolute()) == [[abs(v) for v in row] for row in exact_matrix(linear)]


@given(linear_maps())
def test_fans_count_the_summands(linear: LinearMap) -> None:
    matrix = exact_matrix(linear)
    assert all(sum(v != 0 for v in row) <= linear.fan_in for row in matrix)
    assert all(sum(v != 0 for v in column) <= linear.fan_out for column in transpose(matrix, linear.shape[1]))


def test_a_division_by_a_power_of_two_is_exact() -> None:
    assert Diagonal(np.array([3.0, 1.0]), np.array([4.0, -0.5])).entry_error == 0.0
    assert Diagonal(np.array([3.0, 1.0]), np.array([4.0, 3.0])).entry_error == UNIT_ROUNDOFF


def test_arrays_are_copied_and_read_only() -> None:
    given_matrix = np.eye(2)
    linear = Dense(given_matrix)
    given_matrix[0, 0] = 7.0
    assert linear.matrix[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        linear.matrix[0, 0] = 2.0


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda: Dense(np.ones(3)), "network/shape"),
        (lambda: Diagonal(np.ones(2), np.array([1.0, 0.0])), "network/division-by-zero"),
        (lambda: Selection(np.array([0, 3]), 3), "network/index"),
        (lambda: Selection(np.array([-1, 0]), 3), "network/index"),
    ],
)
def test_bad_maps_are_rejected_with_their_code(make: object, code: str) -> None:
    with pytest.raises(InputError) as caught:
        make()  # type: ignore[operator]
    assert caught.value.code == code


def test_gamma_rounds_up_and_refuses_what_it_cannot_bound() -> None:
    for terms, unit in product_of((1, 100, 10**5), (UNIT_ROUNDOFF, SINGLE)):
        exact = terms * Fraction(unit) / (1 - terms * Fraction(unit))
        assert exact <= Fraction(gamma(terms, unit)) <= exact * (1 + Fraction(1, 2**48))
    with pytest.raises(InputError) as caught:
        gamma(2**23, SINGLE)
    assert caught.value.code == "network/too-wide"
