"""Boxes, polytopes and unions: what is rejected, what counts as inside, what the digest sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.errors import InputError
from eqverify.testing.strategies import boxes, domains, polytopes

SIZES = st.integers(1, 4)


def inside_exactly(part: Polytope, x: np.ndarray) -> bool:
    point = [Fraction(v) for v in x.tolist()]
    ends = zip(part.box.lower.tolist(), point, part.box.upper.tolist(), strict=True)
    if not all(Fraction(low) <= value <= Fraction(high) for low, value, high in ends):
        return False
    for row, bound in zip(part.matrix.tolist(), part.bound.tolist(), strict=True):
        if sum(Fraction(c) * v for c, v in zip(row, point, strict=True)) > Fraction(bound):
            return False
    return True


@st.composite
def points_near(draw: st.DrawFn, box: Box) -> np.ndarray:
    """Corners, centres, neighbours of bounds and arbitrary numbers, component by component."""
    columns = []
    for low, high, middle in zip(box.lower, box.upper, box.centre, strict=True):
        ends = (low, high, middle, np.nextafter(low, -np.inf), np.nextafter(high, np.inf), np.nextafter(middle, 9.0))
        columns.append(draw(st.sampled_from(ends) | st.floats(-5, 5)))
    return np.array(columns)


@given(st.data())
def test_contains_never_says_true_outside(data: st.DataObject) -> None:
    part = data.draw(SIZES.flatmap(polytopes))
    points = np.array([data.draw(points_near(part.box)) for _ in range(4)])
    for x, claimed in zip(points, part.contains(points), strict=True):
        assert not claimed or inside_exactly(part, x)


@given(st.data())
def test_contains_of_a_box_is_exact(data: st.DataObject) -> None:
    box = data.draw(SIZES.flatmap(boxes))
    points = np.array([data.draw(points_near(box)) for _ in range(4)])
    part = Polytope(box)
    assert part.contains(points).tolist() == [inside_exactly(part, x) for x in points]


@given(SIZES.flatmap(polytopes), st.integers(0, 2**16))
def test_contains_says_true_well_inside(part: Polytope, seed: int) -> None:
    loose = Polytope(part.box, part.matrix, part.bound + 1.0)
    points = np.random.default_rng(seed).uniform(part.box.lower, part.box.upper, (4, part.box.size))
    for x, claimed in zip(points, loose.contains(points), strict=True):
        assert claimed or not inside_exactly(part, x)


@given(st.data())
def test_contains_of_a_union_is_that_of_some_part(data: st.DataObject) -> None:
    domain = data.draw(SIZES.flatmap(domains))
    points = np.array([data.draw(points_near(domain.hull)) for _ in range(4)])
    parts = np.array([part.contains(points) for part in domain.polytopes])
    assert domain.contains(points).tolist() == parts.any(axis=0).tolist()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_contains_survives_nan_and_overflow() -> None:
    part = Polytope(Box(np.full(2, -1e308), np.full(2, 1e308)), np.array([[1e308, -1e308]]), np.array([0.0]))
    assert part.contains(np.array([[np.nan, 0.0], [1e308, -1e308], [1e308, 1e308]])).tolist() == [False] * 3


@given(SIZES.flatmap(boxes))
def test_centre_lies_inside_and_magnitude_bounds(box: Box) -> None:
    assert (box.lower <= box.centre).all()
    assert (box.centre <= box.upper).all()
    assert (np.maximum(-box.lower, box.upper) <= box.magnitude).all()


@given(SIZES.flatmap(domains))
def test_hull_is_the_smallest_box_around_the_parts(domain: Domain) -> None:
    assert domain.hull.lower.tolist() == [min(p.box.lower[i] for p in domain.polytopes) for i in range(domain.size)]
    assert domain.hull.upper.tolist() == [max(p.box.upper[i] for p in domain.polytopes) for i in range(domain.size)]


UNIT = Box(np.zeros(2), np.ones(2))

REJECTED: dict[str, tuple[Callable[[], object], str, int | None]] = {
    "lower above upper": (lambda: Box(np.array([0.0, 1.0]), np.array([1.0, 0.5])), "domain/empty", 1),
    "an infinite bound": (lambda: Box(np.array([-np.inf]), np.array([1.0])), "domain/not-finite", 0),
    "a NaN bound": (lambda: Box(np.array([0.0, 0.0]), np.array([1.0, np.nan])), "domain/not-finite", 1),
    "two lengths": (lambda: Box(np.zeros(2), np.ones(3)), "domain/shape", None),
    "a matrix as bounds": (lambda: Box(np.zeros((1, 2)), np.ones((1, 2))), "domain/shape", None),
    "too few bounds": (lambda: Polytope(UNIT, np.ones((2, 2)), np.ones(1)), "domain/shape", None),
    "a NaN coefficient": (lambda: Polytope(UNIT, np.full((1, 2), np.nan), np.ones(1)), "domain/not-finite", None),
    "an infinite row bound": (lambda: Polytope(UNIT, np.ones((1, 2)), np.array([np.inf])), "domain/not-finite", None),
    "no part": (lambda: Domain(()), "domain/empty", None),
    "parts of two dimensions": (
        lambda: Domain((Polytope(UNIT), Polytope(Box(np.zeros(1), np.ones(1))))),
        "domain/shape",
        None,
    ),
}


@pytest.mark.parametrize("case", REJECTED)
def test_malformed_domains_are_rejected_with_their_code(case: str) -> None:
    make, code, component = REJECTED[case]
    with pytest.raises(InputError) as caught:
        make()
    assert caught.value.code == code
    assert caught.value.place.unit == component


def test_rows_of_the_wrong_length_are_rejected() -> None:
    with pytest.raises(InputError):
        Polytope(UNIT, np.ones((2, 3)), np.ones(3))


def test_a_box_keeps_its_bounds_when_the_callers_arrays_change() -> None:
    lower = np.zeros(2)
    box = Box(lower, np.ones(2))
    lower[0] = 5.0
    assert box.lower.tolist() == [0.0, 0.0]


def test_a_box_keeps_its_bounds_when_the_array_below_a_view_changes() -> None:
    lower = np.zeros(2)
    view = lower.view()
    view.flags.writeable = False
    box = Box(view, np.ones(2))
    lower[0] = 5.0
    assert box.lower.tolist() == [0.0, 0.0]


@given(SIZES.flatmap(domains), st.integers(0, 3), st.integers(0, 3))
def test_digest_sees_the_last_bit_of_every_bound(domain: Domain, part: int, component: int) -> None:
    part, component = part % len(domain.polytopes), component % domain.size
    changed = domain.polytopes[part]
    upper = changed.box.upper.copy()
    upper[component] = np.nextafter(upper[component], np.inf)
    parts = list(domain.polytopes)
    parts[part] = Polytope(Box(changed.box.lower, upper), changed.matrix, changed.bound)
    assert Domain(tuple(parts)).digest != domain.digest
    assert Domain(domain.polytopes).digest == domain.digest


def test_digest_sees_rows_parts_and_their_order() -> None:
    one, other = Polytope(UNIT), Polytope(UNIT, np.ones((1, 2)), np.ones(1))
    families = [
        (one,),
        (one, one),
        (one, other),
        (other, one),
        (replace(other, bound=np.array([2.0])),),
        (replace(other, matrix=np.array([[1.0, 2.0]])),),
        (Polytope(Box(np.zeros(1), np.ones(1))),),
    ]
    assert len({Domain(family).digest for family in families}) == len(families)
    assert box_domain(np.array([-0.0, 0.0]), np.ones(2)).digest == Domain((one,)).digest
