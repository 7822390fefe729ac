"""The loops over rows: both forms compute the same, and what they say they compute."""

from fractions import Fraction

import numpy as np
import pytest

from eqverify.network import gamma

SHAPES = pytest.mark.parametrize(("boxes", "rows", "width"), [(1, 5, 7), (2, 3, 40), (3, 1, 1), (2, 2, 0)])


def numbers(random, *shape):
    """Values with zeros of both signs among them."""
    return random.normal(size=shape) * random.integers(0, 2, size=shape)


@SHAPES
@pytest.mark.parametrize("own", [(False, False, False), (True, True, True), (True, False, True)], ids=str)
def test_rows_through_lines_are_what_rationals_say(form, boxes, rows, width, own):
    random = np.random.default_rng(boxes + rows + width)
    row = numbers(random, boxes if own[2] else 1, rows, width)
    alpha, lam = (random.uniform(size=(boxes, rows if flag else 1, width)) for flag in own[:2])
    offset, reach = np.abs(numbers(random, *lam.shape)), np.abs(numbers(random, boxes, 1, width))
    pulled, lift, size = form.rows.through(row, alpha, lam, offset, reach)
    shape = boxes, rows, width
    row, alpha, lam, offset, reach = (np.broadcast_to(a, shape) for a in (row, alpha, lam, offset, reach))
    pulled = np.broadcast_to(pulled, shape)
    assert np.array_equal(pulled, np.where(row > 0, row * lam, row * alpha))
    close = Fraction(gamma(width + 2))
    for found, left, right in ((lift, np.maximum(row, 0.0), offset), (size, np.abs(pulled), reach)):
        for place in np.ndindex(boxes, rows):
            true = sum((Fraction(a) * Fraction(b) for a, b in zip(left[place], right[place], strict=True)), Fraction(0))
            assert abs(Fraction(np.broadcast_to(found, shape[:2])[place]) - true) <= close * true


@SHAPES
@pytest.mark.parametrize("shared", [False, True])
def test_measures_of_rows_are_what_rationals_say(form, boxes, rows, width, shared):
    random = np.random.default_rng(boxes + rows + width)
    row = numbers(random, 1 if shared else boxes, rows, width)
    vector, weight = numbers(random, 1, 1, width), np.abs(numbers(random, boxes, 1, width))
    sums, sizes = form.rows.measured(row, vector, weight)
    close = Fraction(gamma(width + 2))
    for b, r in np.ndindex(boxes, rows):
        own = [Fraction(v) for v in row[b % len(row), r]]
        terms = [a * Fraction(v) for a, v in zip(own, vector[0, 0], strict=True)]
        most = sum((abs(a) * Fraction(v) for a, v in zip(own, weight[b, 0], strict=True)), Fraction(0))
        found, size = np.broadcast_to(sums, (boxes, rows))[b, r], np.broadcast_to(sizes, (boxes, rows))[b, r]
        assert abs(Fraction(found) - sum(terms, Fraction(0))) <= close * sum(map(abs, terms), Fraction(0))
        assert abs(Fraction(size) - most) <= close * most


def test_what_overflows_is_not_finite(form):
    row = np.array([[[1e308, np.nan, 1.0]]])
    ones = np.ones((1, 1, 3))
    with np.errstate(over="ignore", invalid="ignore"):
        pulled, _, _ = form.rows.through(row, ones, ones, 1e300 * ones, ones)
        sums, sizes = form.rows.measured(row, 1e300 * ones, ones)
    assert np.isnan(pulled[0, 0, 1])
    assert not np.isfinite(sums).any()
    assert not np.isfinite(sizes).any()


def drawn(dtype, boxes, per_box, width, fixed):
    """Arguments of the loops of gradient steps."""
    random = np.random.default_rng(width)
    rows = boxes * per_box
    values = {
        "row": numbers(random, rows, width),
        "z": numbers(random, rows, width),
        "numbers": random.uniform(size=(rows, width)),
        "lam": random.uniform(size=(boxes, width)),
        "offset": random.uniform(size=(boxes, width)),
        "gradient": numbers(random, rows, width),
        "first": numbers(random, rows, width) / 10,
        "second": random.uniform(size=(rows, width)) / 10,
        "length": random.uniform(size=rows),
    }
    result = {name: value.astype(dtype) for name, value in values.items()}
    result["side"] = random.integers(-1, 2, size=(rows if fixed else 0, width)).astype(np.int8)
    result["free"] = random.uniform(size=(boxes, width)) < 0.7
    return result


STEPS = [
    pytest.mark.parametrize("dtype", [np.float32, np.float64]),
    pytest.mark.parametrize(("boxes", "per_box", "width"), [(1, 5, 33), (2, 3, 8), (3, 1, 1)]),
    pytest.mark.parametrize("fixed", [False, True]),
]


def for_steps(test):
    for mark in STEPS:
        test = mark(test)
    return test


@pytest.mark.slow
@for_steps
def test_both_forms_pull_push_and_find_corners_alike(both, dtype, boxes, per_box, width, fixed):
    given = drawn(dtype, boxes, per_box, width, fixed)
    close = 64 * np.finfo(dtype).eps
    calls = {
        "pull": ("row", "numbers", "side", "lam", "offset"),
        "push": ("z", "row", "numbers", "side", "lam", "offset"),
        "corners": ("row", "lam", "offset"),
    }
    for name, names in calls.items():
        plain, compiled = (getattr(form.rows, name)(*(given[n] for n in names)) for form in both)
        for one, other in zip(plain, compiled, strict=True):
            assert one.dtype == other.dtype == dtype
            assert one.shape == other.shape
            assert np.allclose(one, other, rtol=close, atol=close * (1 + width)), name


@pytest.mark.slow
@for_steps
def test_both_forms_step_alike(both, dtype, boxes, per_box, width, fixed):
    given = drawn(dtype, boxes, per_box, width, fixed)
    given["gradient"][0, 0] = np.inf
    given["gradient"][-1, -1] = np.nan
    ends = []
    for form in both:
        own = {name: value.copy() for name, value in given.items()}
        order = ("numbers", "gradient", "first", "second", "side", "free")
        form.rows.descend(*(own[name] for name in order), 3, 0.25, own["length"])
        ends.append([own[name] for name in ("numbers", "first", "second")])
    for one, other in zip(*ends, strict=True):
        assert np.allclose(one, other, rtol=0, atol=256 * np.finfo(dtype).eps)
    assert not np.array_equal(ends[0][0], given["numbers"])
    slopes = ends[1][0] if not fixed else ends[1][0][given["side"] == 0]
    assert ((slopes >= 0) & (slopes <= 1)).all()


def test_pulling_and_pushing_agree(form):
    """What pulled rows say of values before is what rows say of values behind: both use the same lines."""
    for fixed in (False, True):
        given = drawn(np.float64, 2, 4, 30, fixed)
        names = ("row", "numbers", "side", "lam", "offset")
        pulled, lift = form.rows.pull(*(given[name] for name in names))
        value, _ = form.rows.push(given["z"], *(given[name] for name in names))
        beta = np.where(given["side"] != 0, given["side"] * given["numbers"], 0) * given["z"] if fixed else 0
        behind = (given["row"] * value + beta).sum(axis=1)
        assert np.allclose((pulled * given["z"]).sum(axis=1) + lift, behind)
