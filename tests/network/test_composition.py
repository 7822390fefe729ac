"""Rows, columns and products of linear maps against dense matrices and exact arithmetic."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.errors import EqverifyError
from eqverify.network import Dense, Diagonal, Identity, LinearMap, Selection
from eqverify.network.composition import as_sparse, compose, select_columns, select_rows
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.gathering import ScaledSelection
from eqverify.network.sparse import Sparse


def fractions(linear: LinearMap) -> np.ndarray:
    """The matrix in exact arithmetic."""
    rows, columns = linear.shape
    result = np.empty((rows, columns), dtype=object)
    for column in range(columns):
        unit = np.array([Fraction(int(k == column)) for k in range(columns)], dtype=object)
        result[:, column] = linear.forward_exact(unit)
    return result


@st.composite
def maps(draw, columns: int, *, whole: bool) -> LinearMap:
    """A map from R^columns (even); with whole or with arbitrary weights."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def weights(*shape):
        return rng.integers(-4, 5, shape) / 4 if whole else rng.normal(size=shape)

    kind = draw(
        st.sampled_from(["identity", "diagonal", "selection", "scaled", "dense", "sparse", "convolution", "transposed"])
    )
    rows = 2 * draw(st.integers(1, 3))
    if kind == "identity":
        return Identity(columns)
    if kind == "diagonal":
        divisor = np.full(columns, 2.0) if whole else rng.uniform(0.5, 3, columns)
        return Diagonal(weights(columns), divisor)
    if kind == "selection":
        permuted = draw(st.booleans())
        return Selection(rng.permutation(columns) if permuted else rng.integers(0, columns, rows), columns)
    if kind == "scaled":
        return ScaledSelection(rng.integers(0, columns, rows), weights(rows), columns)
    matrix = np.where(rng.random((rows, columns)) < 0.5, weights(rows, columns), 0.0)
    if kind in ("dense", "sparse"):
        return Dense(matrix) if kind == "dense" else as_sparse(Dense(matrix))
    groups = draw(st.sampled_from([1, 2]))
    if kind == "convolution":
        kernel = weights(2 * groups, 2 // groups, 2)
        return Convolution(kernel, (columns // 2,), (1,), (1,), (1,), (draw(st.integers(0, 1)),), groups)
    # From [2, columns / 2] to [2, columns / 2 + 1].
    kernel = weights(2, 2 // groups, 2)
    return TransposedConvolution(Convolution(kernel, (columns // 2 + 1,), (1,), (1,), (0,), (0,), groups))


@settings(deadline=None)
@given(st.data(), st.booleans())
def test_rows_and_columns_are_those_of_the_matrix(data, whole):
    linear = data.draw(maps(2 * data.draw(st.integers(1, 3)), whole=whole))
    exact, (count, size) = fractions(linear), linear.shape
    rows = np.array(data.draw(st.lists(st.integers(0, count - 1), max_size=6)), dtype=np.int64)
    columns = np.array(data.draw(st.lists(st.integers(0, size - 1), unique=True, min_size=1)), dtype=np.int64)
    for choose, indices, expected in ((select_rows, rows, exact[rows]), (select_columns, columns, exact[:, columns])):
        try:
            chosen = choose(linear, indices)
        except EqverifyError as error:
            assert error.code == "network/inexact"
            assert linear.entry_error > 0
            continue
        assert chosen.shape == expected.shape
        assert (fractions(chosen) == expected).all()


@settings(deadline=None)
@given(st.data(), st.booleans(), st.integers(0, 2**32))
def test_products_are_within_their_bound(data, whole, seed):
    inner = data.draw(maps(2 * data.draw(st.integers(1, 3)), whole=whole))
    outer = data.draw(maps(inner.shape[0], whole=whole)) if inner.shape[0] % 2 == 0 else Identity(inner.shape[0])
    composition = compose(outer, inner)
    product = fractions(outer) @ fractions(inner) if inner.shape[0] else None
    off = np.abs(fractions(composition.map) - product)
    if whole:
        assert composition.exact
    if composition.exact:
        assert not off.any()
    magnitude = np.random.default_rng(seed).uniform(0, 3, inner.shape[1])
    reached = off @ np.array([Fraction(m) for m in magnitude], dtype=object)
    bound = composition.deviation(magnitude)
    assert all(r <= Fraction(b) for r, b in zip(reached, bound.tolist(), strict=True))
    assert bound.max(initial=0.0) <= 1e-12


def image(groups: int = 1) -> Convolution:
    return Convolution(np.arange(16.0).reshape(4, 2 // groups, 2 * groups), (5,), (1,), (1,), (0,), (0,), groups)


def test_whole_channels_stay_a_convolution():
    linear = image()
    positions = linear.shape[0] // 4
    rows = np.concatenate([np.arange(positions) + positions * channel for channel in (3, 1)])
    chosen = select_rows(linear, rows)
    assert isinstance(chosen, Convolution)
    assert chosen.kernel.tolist() == linear.kernel[[3, 1]].tolist()
    chosen = select_columns(linear, np.arange(5, 10))
    assert isinstance(chosen, Convolution)
    assert chosen.kernel.tolist() == linear.kernel[:, 1:].tolist()
    assert isinstance(select_rows(linear, rows[1:]), Sparse)
    assert isinstance(select_rows(image(2), np.arange(4)), Sparse)
    assert isinstance(compose(Selection(rows, linear.shape[0]), linear).map, Convolution)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3)])
def test_sparse_forms_agree(shape):
    rng = np.random.default_rng(0)
    matrix = rng.integers(-2, 3, shape).astype(float)
    linear = as_sparse(Dense(matrix))
    x, y = rng.integers(-8, 9, (4, 2, 3)) / 2, rng.integers(-8, 9, (4, 2, shape[0])) / 2
    np.testing.assert_array_equal(linear.dense(), matrix)
    np.testing.assert_array_equal(linear.forward(x), x @ matrix.T)
    np.testing.assert_array_equal(linear.backward(y), y @ matrix)
    np.testing.assert_array_equal(linear.forward(x[:0]), np.zeros((0, 2, shape[0])))
    np.testing.assert_array_equal(linear.absolute().dense(), np.abs(matrix))
    assert linear.fan_in >= np.count_nonzero(matrix, axis=1).max(initial=0)
    assert linear.fan_out >= np.count_nonzero(matrix, axis=0).max(initial=0)


@pytest.mark.parametrize(
    ("data", "indices", "starts"),
    [
        ([1.0], [3], [0, 1]),
        ([1.0], [-1], [0, 1]),
        ([1.0, 1.0], [1, 1], [0, 2]),
        ([1.0, 1.0], [1, 0], [0, 2]),
        ([1.0], [0], [0, 2]),
        ([1.0], [0, 1], [0, 1]),
        ([1.0, 1.0], [0, 1], [0, 2, 1, 2]),
    ],
)
def test_malformed_sparse_maps_are_refused(data, indices, starts):
    with pytest.raises(EqverifyError, match="network/"):
        Sparse(np.array(data), np.array(indices), np.array(starts), 3)


def test_what_does_not_fit_is_refused(monkeypatch):
    with pytest.raises(EqverifyError, match="network/shape"):
        compose(Dense(np.ones((2, 3))), Dense(np.ones((2, 3))))
    for choose in (select_rows, select_columns):
        with pytest.raises(EqverifyError, match="network/index"):
            choose(Dense(np.ones((2, 2))), np.array([2]))
    with pytest.raises(EqverifyError, match="network/index"):
        select_columns(Dense(np.ones((2, 2))), np.array([1, 1]))
    with pytest.raises(EqverifyError, match="network/inexact"):
        select_rows(Diagonal(np.ones(2), np.array([3.0, 1.0])), np.array([0]))
    monkeypatch.setattr("eqverify.network.composition.MAX_ENTRIES", 3)
    for outer in (Dense(np.ones((2, 2))), ScaledSelection(np.zeros(2, dtype=int), np.full(2, 2.0), 2), image()):
        with pytest.raises(EqverifyError, match="network/too-large"):
            compose(outer, Dense(np.ones((outer.shape[1], 2))) if isinstance(outer, Dense) else as_big(outer.shape[1]))


def as_big(size: int) -> Sparse:
    rows, columns = np.divmod(np.arange(2 * size), 2)
    return Sparse.from_entries(rows, columns, np.full(2 * size, 0.3), (size, 2))
