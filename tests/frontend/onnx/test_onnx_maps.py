"""The linear maps that ONNX operators need: forward, transpose, absolute value, dense and exact forms agree."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.errors import EqverifyError
from eqverify.frontend.onnx.operators.normalisation import nearest_root
from eqverify.network import LinearMap
from eqverify.network.convolution import Convolution, TransposedConvolution
from eqverify.network.gathering import ScaledSelection


@st.composite
def convolutions(draw) -> Convolution:
    axes, groups = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def per_axis(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    window, dilations = per_axis(1, 3), per_axis(1, 3)
    extents = tuple((w - 1) * d + 1 + draw(st.integers(0, 2)) for w, d in zip(window, dilations, strict=True))
    kernel = rng.integers(-4, 5, (groups * draw(st.integers(1, 2)), draw(st.integers(1, 2)), *window))
    return Convolution(kernel / 4, extents, per_axis(1, 3), dilations, per_axis(0, 2), per_axis(0, 2), groups)


@st.composite
def selections(draw) -> ScaledSelection:
    size = draw(st.integers(1, 5))
    indices = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=8))
    scale = [draw(st.sampled_from([0.0, 1.0, -1.0, 2.5])) for _ in indices]
    return ScaledSelection(np.array(indices), np.array(scale), size)


@settings(deadline=None, max_examples=4 * settings().max_examples)
@given(st.one_of(convolutions(), convolutions().map(TransposedConvolution), selections()), st.integers(0, 2**32))
def test_all_forms_agree(linear: LinearMap, seed: int):
    rows, columns = linear.shape
    dense = linear.dense()
    assert dense.shape == (rows, columns)
    rng = np.random.default_rng(seed)
    # Small multiples of powers of two: every product and sum is exact, so the comparisons are equalities.
    x, y = rng.integers(-8, 9, (2, 3, columns)) / 2, rng.integers(-8, 9, (2, 3, rows)) / 2
    np.testing.assert_array_equal(linear.forward(x), x @ dense.T)
    np.testing.assert_array_equal(linear.backward(y), y @ dense)
    np.testing.assert_array_equal(linear.forward(x[0, 0]), dense @ x[0, 0])
    np.testing.assert_array_equal(linear.absolute().dense(), np.abs(dense))
    exact = linear.forward_exact(np.array([Fraction(v) for v in x[0, 0]], dtype=object))
    assert exact.tolist() == [Fraction(v) for v in dense @ x[0, 0]]
    assert np.count_nonzero(dense, axis=1).max() <= linear.fan_in
    assert np.count_nonzero(dense, axis=0).max() <= linear.fan_out
    assert linear.entry_error == 0.0


def test_large_batches_are_taken_in_chunks(monkeypatch):
    linear = Convolution(np.arange(9.0).reshape(1, 1, 3, 3), (8, 8), (1, 1), (1, 1), (1, 1), (1, 1))
    x = np.arange(640.0).reshape(10, 64)
    forward, backward = linear.forward(x), linear.backward(x)
    monkeypatch.setattr("eqverify.kernels.windows_numpy._CHUNK_NUMBERS", 1500)
    np.testing.assert_array_equal(linear.forward(x), forward)
    np.testing.assert_array_equal(linear.backward(x), backward)


def geometry(**changes):
    values = {
        "extents": (4,),
        "strides": (1,),
        "dilations": (1,),
        "before": (0,),
        "after": (0,),
        "groups": 1,
        **changes,
    }
    return Convolution(np.ones((2, 1, 2)), **values)


@pytest.mark.parametrize(
    "changes",
    [
        {"groups": 3},
        {"groups": 0},
        {"strides": (0,)},
        {"dilations": (0,)},
        {"before": (-1,)},
        {"extents": (4, 4)},
        {"extents": (1,)},
        {"dilations": (9,)},
    ],
)
def test_geometry_is_checked(changes):
    assert geometry().shape == (6, 4)
    with pytest.raises(EqverifyError, match="network/shape"):
        geometry(**changes)


@pytest.mark.parametrize(("indices", "scale"), [([0, 3], [1, 1]), ([-1], [1]), ([0], [1, 1])])
def test_selections_are_checked(indices, scale):
    with pytest.raises(EqverifyError, match="network/"):
        ScaledSelection(np.array(indices), np.array(scale), 3)


@settings(deadline=None)
@given(st.fractions(min_value=Fraction(1, 10**30), max_value=10**30))
def test_the_root_is_the_nearest_float(square: Fraction):
    root = nearest_root(square)
    below, above = (Fraction(np.nextafter(root, end)) for end in (0.0, np.inf))
    assert ((below + Fraction(root)) / 2) ** 2 <= square <= ((above + Fraction(root)) / 2) ** 2


@pytest.mark.parametrize("square", [1.0, 4.0, 0.25, 2.0**-200, 2.0**400, 0.0625])
def test_roots_of_powers_of_four_are_exact(square):
    assert Fraction(nearest_root(Fraction(square))) ** 2 == Fraction(square)
