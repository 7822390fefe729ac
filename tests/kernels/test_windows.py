"""Convolutions: the compiled form against numpy's, within what the rounding contract allows, and against matrices."""

import numpy as np
import pytest

from eqverify.kernels import windows_numpy
from eqverify.kernels.windows_numpy import Window
from eqverify.network import gamma

# extents, reached, strides, dilations, before, after, groups, channels out, channels in per group, kernel extents
GEOMETRIES = {
    "plain": (Window((6, 5), (4, 3), (1, 1), (1, 1), (0, 0), (0, 0), 1), 3, 2, (3, 3)),
    "padded": (Window((8, 8), (4, 4), (2, 2), (1, 1), (1, 1), (1, 1), 1), 8, 3, (4, 4)),
    "uneven": (Window((7, 5), (3, 5), (2, 1), (1, 2), (0, 2), (1, 0), 1), 5, 1, (4, 2)),
    "groups": (Window((5, 5), (5, 5), (1, 1), (1, 1), (1, 1), (1, 1), 2), 6, 2, (3, 3)),
    "depthwise": (Window((4, 4), (4, 4), (1, 1), (1, 1), (1, 1), (1, 1), 3), 3, 1, (3, 3)),
    "one axis": (Window((9,), (4,), (2,), (1,), (0,), (1,), 1), 4, 3, (3,)),
}


def drawn(name, dtype, count):
    window, outs, ins, extents = GEOMETRIES[name]
    random = np.random.default_rng(len(name) + count)
    kernel = random.normal(size=(outs, ins, *extents)).astype(dtype)
    ahead = random.normal(size=(count, ins * window.groups * window.inputs)).astype(dtype)
    back = random.normal(size=(count, outs * window.outputs)).astype(dtype)
    return window, kernel, {"forward": thinned(random, ahead), "backward": thinned(random, back)}


def thinned(random, rows):
    """Rows of which some are 0 in most places, and of which all are 0 for some units."""
    share = random.choice([0.05, 1.0], size=(len(rows), 1))
    share[0] = 1.0
    kept = random.uniform(size=rows.shape[1]) < 0.7
    return rows * (random.uniform(size=rows.shape) < share) * kept


@pytest.mark.slow
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 20, 64, 150])
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_both_forms_keep_the_rounding_contract(both, name, dtype, count, way):
    window, kernel, rows = drawn(name, dtype, count)
    plain, compiled = (getattr(form.windows, way)(rows[way], kernel, window) for form in both)
    assert plain.dtype == compiled.dtype == dtype
    double = getattr(windows_numpy, way)(np.abs(rows[way]).astype(float), np.abs(kernel).astype(float), window)
    allowed = 2.1 * gamma(kernel[0].size * len(kernel) + 2, float(np.finfo(dtype).eps) / 2) * double
    assert (np.abs(plain.astype(float) - compiled) <= allowed).all()
    assert double.max() > 0


@pytest.mark.parametrize("name", GEOMETRIES)
def test_backward_is_the_transpose_of_forward(form, name):
    window, kernel, rows = drawn(name, np.float64, 3)
    inputs, outputs = (rows[way].shape[1] for way in ("forward", "backward"))
    matrix = form.windows.forward(np.eye(inputs), kernel, window)
    assert matrix.shape == (inputs, outputs)
    assert np.array_equal(matrix, form.windows.backward(np.eye(outputs), kernel, window).T)
    assert np.array_equal(matrix, windows_numpy.forward(np.eye(inputs), kernel, window))


@pytest.mark.slow
@pytest.mark.parametrize("way", ["forward", "backward"])
def test_what_is_not_finite_stays_so(both, way):
    window, kernel, rows = drawn("padded", np.float64, 70)
    rows[way][3, 40], rows[way][69, 7] = np.nan, np.inf
    with np.errstate(invalid="ignore"):
        plain, compiled = (getattr(form.windows, way)(rows[way], kernel, window) for form in both)
    assert not np.isfinite(plain).all()
    assert np.array_equal(np.isfinite(plain), np.isfinite(compiled))
