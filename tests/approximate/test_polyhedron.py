"""Maxima over polyhedra: above the true maximum whatever the solver says, and near it where it speaks the truth."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds.farkas import never_positive
from eqverify.bounds.polyhedron import Polyhedron
from eqverify.domain import Box, Polytope
from eqverify.domain.simplex import Simplex
from eqverify.testing.oracle import polytope_vertices

NUMBERS = st.integers(-8, 8).map(lambda k: k / 4)


class LyingSolver:
    """Looks like HiGHS and answers with whatever numbers a seed gives."""

    inf = float("inf")

    def __init__(self, seed):
        self._random, self._rows, self._columns = np.random.default_rng(seed), 0, 0

    def addVar(self, *_):
        self._columns += 1

    def addRow(self, *_):
        self._rows += 1

    def deleteRows(self, count, _):
        self._rows -= count

    def setOptionValue(self, *_):
        pass

    changeColsCost = changeColBounds = run = getModelStatus = setOptionValue

    def modelStatusToString(self, _):
        return "Optimal"

    def getDualRay(self):
        return None, True, self.getSolution().row_dual

    def getSolution(self):
        special = (0.0, 1.0, -1.0, 0.5, 1e-12, 1e9, 1e308, -1e308, np.inf, -np.inf, np.nan)
        tame = self._random.random() < 0.7

        def draw(size):
            odd = self._random.choice(special, size=size)
            return np.where(tame | (self._random.random(size) < 0.5), self._random.random(size), odd).tolist()

        columns = draw(0 if self._random.random() < 0.1 else self._columns)
        return SimpleNamespace(row_dual=draw(self._rows), col_value=columns, col_dual=draw(self._columns))


def draw_set(data):
    """A polyhedron and the polytope it is."""
    n = data.draw(st.integers(1, 3))
    box = Box(np.full(n, -1.0), np.array([data.draw(st.sampled_from((0.5, 1.0, 4.0))) for _ in range(n)]))
    rows = [[data.draw(NUMBERS) for _ in range(n)] for _ in range(data.draw(st.integers(0, 4)))]
    bound = [data.draw(NUMBERS) for _ in rows]
    return box, np.array(rows).reshape(-1, n), np.array(bound)


def check(polyhedron, box, rows, bound, row, *, tight):
    vertices = polytope_vertices(Polytope(box, rows, bound))
    found = polyhedron.maximum(row)
    values = [sum(Fraction(float(c)) * v for c, v in zip(row, x, strict=True)) for x in vertices]
    if values:
        assert found.value >= max(values)
    if values and tight:
        assert found.value <= float(max(values)) + 1e-6 * (1 + np.abs(row).sum())


@given(st.data())
def test_maxima_are_sound_and_tight(data):
    box, rows, bound = draw_set(data)
    polyhedron = Polyhedron(box.lower, box.upper)
    for row, limit in zip(rows, bound, strict=True):
        polyhedron.push(row, float(limit))
    target = np.array([data.draw(NUMBERS) for _ in range(box.size)])
    check(polyhedron, box, rows, bound, target, tight=True)
    if len(rows):
        polyhedron.pop()
        check(polyhedron, box, rows[:-1], bound[:-1], target, tight=True)


@given(st.data())
def test_a_lying_solver_cannot_lower_a_maximum(data):
    box, rows, bound = draw_set(data)
    polyhedron = Polyhedron(box.lower, box.upper)
    polyhedron._solver = LyingSolver(data.draw(st.integers(0, 10**6)))
    polyhedron._solver._columns, polyhedron._solver._rows = box.size + 1, 2 * box.size
    for row, limit in zip(rows, bound, strict=True):
        polyhedron.push(row, float(limit))
    target = np.array([data.draw(NUMBERS) for _ in range(box.size)])
    check(polyhedron, box, rows, bound, target, tight=False)
    if data.draw(st.booleans()):
        polyhedron._solver.modelStatusToString = lambda _: "Infeasible"
    check(polyhedron, box, rows, bound, target, tight=False)


def test_an_empty_set_has_no_maximum():
    polyhedron = Polyhedron(-np.ones(2), np.ones(2))
    for row, limit in (([1.0, 1.0], -0.5), ([-1.0, -1.0], 0.25)):
        polyhedron.push(np.array(row), limit)
    assert polyhedron.maximum(np.array([1.0, 0.0])).value == -np.inf
    polyhedron.pop()
    assert polyhedron.maximum(np.array([1.0, 0.0])).value >= 0.5


def test_the_centre_is_that_of_the_largest_ball():
    polyhedron = Polyhedron(np.array([-1.0, -2.0]), np.array([1.0, 2.0]))
    point, radius = polyhedron.centre()
    assert abs(radius - 1.0) < 1e-9
    assert abs(point[0]) < 1e-9
    polyhedron.push(np.array([3.0, 4.0]), -5.0)
    assert polyhedron.centre()[1] < 1.0


def rational(*rows):
    return [[Fraction(v) for v in row] for row in rows]


def test_rational_proofs_are_checked():
    x, y, far = rational([1, 0, 0], [0, 1, 0], [-1, -1, 1])
    assert never_positive([Fraction(-2), Fraction(0), Fraction(0)], [x])  # -2x <= 0 where x >= 0
    assert not never_positive([Fraction(2), Fraction(0), Fraction(0)], [x])
    assert never_positive([Fraction(-1), Fraction(-3), Fraction(0)], [x, y])
    assert not never_positive([Fraction(1), Fraction(1), Fraction(0)], [far])  # x + y <= 1 is not <= 0
    assert never_positive([Fraction(1), Fraction(1), Fraction(-1)], [far])
    assert not never_positive([Fraction(1), Fraction(0), Fraction(-1)], [])
    assert never_positive([Fraction(0), Fraction(0), Fraction(0)], [])


@given(st.data())
def test_the_exact_simplex_finds_a_point_just_where_there_is_one(data):
    box, rows, bound = draw_set(data)
    simplex = Simplex(box.size, lambda: False)
    for k, (low, high) in enumerate(zip(box.lower.tolist(), box.upper.tolist(), strict=True)):
        simplex.at_least(k, Fraction(low))
        simplex.at_most(k, Fraction(high))
    for row, limit in zip(rows.tolist(), bound.tolist(), strict=True):
        simplex.at_most(simplex.add_row({k: Fraction(c) for k, c in enumerate(row)}), Fraction(limit))
    feasible = simplex.feasible()
    assert feasible == bool(polytope_vertices(Polytope(box, rows, bound)))
    if feasible:
        x = simplex.point(box.size)
        assert all(low <= v <= high for low, v, high in zip(box.lower.tolist(), x, box.upper.tolist(), strict=True))
        sums = [sum(Fraction(c) * v for c, v in zip(row, x, strict=True)) for row in rows.tolist()]
        assert all(total <= limit for total, limit in zip(sums, bound.tolist(), strict=True))
