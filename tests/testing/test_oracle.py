"""The exact oracles against an independent enumeration of activation patterns, and against samples."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.errors import InputError, LimitError, UsageError
from eqverify.network import Network, evaluate_exact
from eqverify.problem import Problem
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.oracle import Range, deviations_exact, polytope_vertices, stable_sets_exact
from eqverify.testing.strategies import any_networks, domains, networks, polytopes, problems

HALF = settings(max_examples=max(1, settings().max_examples // 2))


def brute_force_vertices(part: Polytope) -> set[tuple[Fraction, ...]]:
    """Every feasible intersection of n constraint hyperplanes, by Cramer's rule."""
    n = part.box.size
    rows = [[Fraction(c) for c in row] for row in part.matrix.tolist()]
    limits = [Fraction(b) for b in part.bound.tolist()]
    for i in range(n):
        unit = [Fraction(int(i == j)) for j in range(n)]
        rows += [unit, [-v for v in unit]]
        limits += [Fraction(part.box.upper[i].item()), -Fraction(part.box.lower[i].item())]
    found = set()
    for chosen in combinations(range(len(rows)), n):
        matrix, right = [rows[k] for k in chosen], [limits[k] for k in chosen]
        if not (scale := determinant(matrix)):
            continue
        x = tuple(determinant(with_column(matrix, right, j)) / scale for j in range(n))
        if all(sum(c * v for c, v in zip(r, x, strict=True)) <= b for r, b in zip(rows, limits, strict=True)):
            found.add(x)
    return found


def with_column(matrix: list[list[Fraction]], column: list[Fraction], index: int) -> list[list[Fraction]]:
    return [[*row[:index], value, *row[index + 1 :]] for row, value in zip(matrix, column, strict=True)]


def determinant(matrix: list[list[Fraction]]) -> Fraction:
    if not matrix:
        return Fraction(1)
    minors = [[[*row[:j], *row[j + 1 :]] for row in matrix[1:]] for j in range(len(matrix))]
    return sum(((-1) ** j * matrix[0][j] * determinant(minors[j]) for j in range(len(matrix))), Fraction(0))


@HALF
@given(st.integers(1, 3).flatmap(lambda size: polytopes(size, rows=3)))
def test_vertices_are_those_of_brute_force(part: Polytope) -> None:
    assert set(polytope_vertices(part)) == brute_force_vertices(part)


def test_an_empty_polytope_has_no_vertices() -> None:
    box = Box(np.zeros(2), np.ones(2))
    assert polytope_vertices(Polytope(box, np.array([[1.0, 1.0]]), np.array([-1.0]))) == []
    assert polytope_vertices(Polytope(box, np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([0.25, -0.5]))) == []


def test_a_constraint_without_coefficients_keeps_all_or_nothing() -> None:
    box = Box(np.zeros(1), np.ones(1))
    assert len(polytope_vertices(Polytope(box, np.zeros((1, 1)), np.zeros(1)))) == 2
    assert polytope_vertices(Polytope(box, np.zeros((1, 1)), -np.ones(1))) == []


@given(problems())
def test_ranges_are_taken_inside_the_domain_and_bound_all_vertices(problem: Problem) -> None:
    network, domain = problem.network, problem.domain
    answer = stable_sets_exact(network, domain)
    corners = [x for part in domain.polytopes for x in polytope_vertices(part)]
    for relu in network.relus:
        for unit, bounds in enumerate(answer.layers[relu.name]):
            assert_range(network, domain, relu.source, unit, bounds, corners)


def assert_range(
    network: Network, domain: Domain, source: str, unit: int, bounds: Range, points: list[tuple[Fraction, ...]]
) -> None:
    for value, x in ((bounds.lower, bounds.lower_at), (bounds.upper, bounds.upper_at)):
        assert evaluate_exact(network, x)[source][unit] == value
        assert any(in_part(part, x) for part in domain.polytopes)
    assert all(bounds.lower <= evaluate_exact(network, x)[source][unit] <= bounds.upper for x in points)


def in_part(part: Polytope, x: tuple[Fraction, ...]) -> bool:
    ends = zip(part.box.lower.tolist(), x, part.box.upper.tolist(), strict=True)
    rows = zip(part.matrix.tolist(), part.bound.tolist(), strict=True)
    return all(Fraction(low) <= v <= Fraction(high) for low, v, high in ends) and all(
        sum(Fraction(c) * v for c, v in zip(row, x, strict=True)) <= Fraction(bound) for row, bound in rows
    )


@given(problems(linear=False), st.integers(0, 2**16))
def test_no_sample_lies_outside_the_ranges(problem: Problem, seed: int) -> None:
    answer = stable_sets_exact(problem.network, problem.domain)
    random = np.random.default_rng(seed)
    for part in problem.domain.polytopes:
        point = np.clip(random.uniform(part.box.lower, part.box.upper), part.box.lower, part.box.upper)
        values = evaluate_exact(problem.network, [Fraction(v) for v in point.tolist()])
        for relu in problem.network.relus:
            for value, bounds in zip(values[relu.source], answer.layers[relu.name], strict=True):
                assert bounds.lower <= value <= bounds.upper


def pattern_maximum(layers: list[tuple[np.ndarray, np.ndarray]], unit: int) -> float:
    """max z of a second-layer unit on [-1, 1]^n by one floating-point LP per pattern of the first layer."""
    (first, shift), (second, offset) = layers[:2]
    best = -np.inf
    for pattern in np.ndindex(*(2,) * len(shift)):
        signs = 2.0 * np.array(pattern) - 1.0
        row = second[unit] * pattern
        cost = row @ first
        answer = linprog(-cost, A_ub=-signs[:, None] * first, b_ub=signs * shift, bounds=[(-1, 1)] * first.shape[1])
        if answer.status == 0:
            best = max(best, cost @ answer.x + row @ shift + offset[unit])
    return float(best)


@pytest.mark.parametrize("seed", range(4))
def test_ranges_are_those_of_linear_programs_over_all_patterns(seed: int) -> None:
    random = np.random.default_rng(seed)
    shapes = ((4, 3), (2, 4), (1, 2))
    layers = [(random.integers(-8, 9, s) / 4.0, random.integers(-8, 9, s[0]) / 4.0) for s in shapes]
    answer = stable_sets_exact(chain_network(layers), box_domain(-np.ones(3), np.ones(3)))
    for unit in range(2):
        assert float(answer.layers["relu1"][unit].upper) == pytest.approx(pattern_maximum(layers, unit), abs=1e-7)


def same_arity(network: Network) -> st.SearchStrategy[Network]:
    return networks(sizes=Sizes((network.input_size,) * 2, (network.output_size,) * 2, (0, 2), (1, 3)))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Network, Network, Domain]:
    """Two networks of one arity and a domain."""
    f = draw(any_networks(sizes=Sizes(depth=(0, 2), width=(1, 3))))
    return f, draw(same_arity(f)), draw(domains(f.input_size, parts=2))


@HALF
@given(pairs())
def test_deviations_are_attained_symmetric_and_zero_on_itself(pair: tuple[Network, Network, Domain]) -> None:
    f, g, domain = pair
    found = deviations_exact(f, g, domain)
    assert [d.value for d in found] == [d.value for d in deviations_exact(g, f, domain)]
    assert all(any(in_part(part, d.at) for part in domain.polytopes) for d in found)
    assert all(d.value == 0 for d in deviations_exact(f, f, domain))
    ranges = zip(stable_sets_exact(f, domain).outputs, stable_sets_exact(g, domain).outputs, found, strict=True)
    for one, other, deviation in ranges:
        assert deviation.value <= max(one.upper - other.lower, other.upper - one.lower)
        assert deviation.value >= max(abs(one.upper - other.upper), abs(one.lower - other.lower))


def test_limits_and_arity_have_their_codes() -> None:
    f = chain_network([(np.ones((3, 1)), np.array([0.5, 0.0, -0.5])), (np.ones((1, 3)), np.zeros(1))])
    domain = box_domain(-np.ones(1), np.ones(1))
    with pytest.raises(LimitError) as limit:
        stable_sets_exact(f, domain, max_regions=3)
    assert limit.value.code == "testing/too-large"
    with pytest.raises(LimitError):
        polytope_vertices(Polytope(Box(np.zeros(9), np.ones(9))))
    with pytest.raises(UsageError):
        deviations_exact(f, chain_network([(np.ones((2, 1)), np.zeros(2))]), domain)
    with pytest.raises(InputError) as empty:
        stable_sets_exact(f, Domain((Polytope(domain.polytopes[0].box, np.ones((1, 1)), np.array([-2.0])),)))
    assert empty.value.code == "domain/empty"


def test_regions_of_the_line_are_counted() -> None:
    f = chain_network([(np.ones((3, 1)), np.array([0.5, 0.0, -0.5])), (np.ones((1, 3)), np.zeros(1))])
    assert stable_sets_exact(f, box_domain(-np.ones(1), np.ones(1))).regions == 4


def test_oracle_and_handmade_need_neither_hypothesis_nor_z3() -> None:
    program = (
        "import sys, eqverify.equivalence\n"
        "from eqverify.testing import features, handmade, oracle\n"
        "sys.exit(bool({'hypothesis', 'z3'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
