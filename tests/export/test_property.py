"""Relaxed and folded properties (specs/rewrites.md, P-1 and P-2): exactly, by rational arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.errors import InputError
from eqverify.export.onnx import write_network
from eqverify.export.property import relax, relax_specification, round_up_decimal
from eqverify.export.rounding import round_to
from eqverify.export.runtime import compare_with_runtime
from eqverify.export.vnnlib import format_specification
from eqverify.frontend.onnx import parse_network
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.network import outputs_exact
from eqverify.reduction.folding import fold_case
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import half_spaces, networks, problems

EPSILONS = st.lists(st.fractions(0, 1, max_denominator=2**40), min_size=8, max_size=8)
SHARES = st.lists(st.fractions(-1, 1, max_denominator=16), min_size=8, max_size=8)


def chain(*layers):
    arrays = [(np.array(matrix), np.array(bias)) for matrix, bias in layers]
    return chain_network(arrays, "float32", ("N",))


def corner(draw, polytope):
    return [
        Fraction(draw(st.sampled_from(pair)))
        for pair in zip(polytope.box.lower.tolist(), polytope.box.upper.tolist(), strict=True)
    ]


def holds(unsafe, x, y):
    return any(all(row.holds(x, y) for row in rows) for rows in unsafe)


@given(half_spaces(3, 3), EPSILONS, SHARES, st.lists(st.fractions(-4, 4), min_size=3, max_size=3))
def test_a_relaxed_row_holds_wherever_the_row_does_near_by(row, epsilons, shares, x):
    y = [Fraction(k, 3) for k in range(3)]
    moved = [value + share * epsilon for value, share, epsilon in zip(y, shares, epsilons, strict=False)]
    relaxed = relax(row, epsilons)
    if row.holds(x, y):
        assert relaxed.holds(x, moved)
    assert not relaxed.strict


@given(half_spaces(3, 3), EPSILONS)
def test_a_row_is_relaxed_by_no_more_than_it_must(row, epsilons):
    """The worst deviation of a point on the boundary reaches the boundary of the relaxed row."""
    j, c = next(iter(row.outputs.items()))
    y = {k: Fraction(0) for k in range(3)} | {j: row.bound / c}
    worst = {k: y[k] + epsilons[k] * (1 if row.outputs.get(k, 0) > 0 else -1) for k in y}
    bare = replace(row, inputs={})
    beyond = {**worst, j: worst[j] + Fraction(1, 10**9) * (1 if c > 0 else -1)}
    assert relax(bare, epsilons).holds({}, worst)
    assert not relax(bare, epsilons).holds({}, beyond)


@given(st.fractions(), st.fractions(Fraction(1, 10**30), 10**6))
def test_decimal_bounds_are_rounded_outwards_by_little(value, scale):
    rounded = round_up_decimal(value, scale)
    assert value <= rounded < value + scale / 10**5
    assert rounded.denominator == 1 or set(factors(rounded.denominator)) <= {2, 5}


def factors(number):
    for prime in (2, 5):
        while number % prime == 0:
            number //= prime
            yield prime
    if number > 1:
        yield number


@given(problems(), EPSILONS, st.data())
def test_a_written_relaxed_property_holds_near_every_point_that_satisfied_the_property(problem, epsilons, data):
    """Read back by our own parser; the input set is the same bit for bit."""
    specification = problem.specification
    epsilons = epsilons[: specification.output_size]
    assume(len(epsilons) == specification.output_size)
    version = data.draw(st.sampled_from(["1.0", "2.0"]))
    try:
        read = lower(parse_query(format_specification(relax_specification(specification, epsilons), version)))
    except InputError as error:
        assert error.code in {"domain/empty", "domain/unbounded", "vnnlib/no-input"}, error
        reject()
    case = data.draw(st.sampled_from(specification.cases))
    x = corner(data.draw, case.polytope)
    y = outputs_exact(problem.network, x)
    shares = data.draw(SHARES)
    moved = [value + share * e for value, share, e in zip(y, shares, epsilons, strict=False)]
    if holds(case.unsafe, x, y) and inside(case.polytope, x):
        assert any(inside(other.polytope, x) and holds(other.unsafe, x, moved) for other in read.cases)


def inside(polytope, x):
    bounds = zip(polytope.box.lower.tolist(), x, polytope.box.upper.tolist(), strict=True)
    rows = zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True)
    return all(low <= value <= high for low, value, high in bounds) and all(
        sum(Fraction(a) * v for a, v in zip(row, x, strict=True)) <= Fraction(bound) for row, bound in rows
    )


@given(problems(networks=networks(element="float32")), EPSILONS, st.sampled_from(["float32", "float64"]), st.data())
def test_folded_outputs_are_at_most_zero_wherever_the_original_satisfies_the_condition(problem, epsilons, dtype, data):
    case = data.draw(st.sampled_from(problem.cases))
    epsilons = (epsilons * 4)[: problem.network.output_size]
    try:
        network = round_to(problem.network, dtype)
        folded = fold_case(network, case, epsilons, dtype)
    except InputError as error:
        assert error.code in {"export/overflow", "reduce/no-bound"}
        reject()
    x = corner(data.draw, case.polytope)
    y = outputs_exact(network, x)
    original = [
        value + share * e for value, share, e in zip(y, data.draw(SHARES) * 4, epsilons, strict=False)
    ]  # what the original may give there
    written = parse_network(write_network(folded.network, metadata={}, producer="test", dtype=dtype))
    outputs = outputs_exact(written, x)
    (left,) = lower(parse_query(format_specification(folded.specification))).cases or (None,)
    assert np.array_equal(left.polytope.box.lower, case.polytope.box.lower)
    assert np.array_equal(left.polytope.box.upper, case.polytope.box.upper)
    if inside(case.polytope, x) and holds(case.unsafe, x, original):
        assert holds(left.unsafe, x, outputs)


@given(problems(networks=networks(element="float32")))
def test_folded_properties_are_plain(problem):
    """What regular expressions read: two tokens per comparison, plain asserts or one `or` of `and`s."""
    for case in problem.cases:
        try:
            folded = fold_case(problem.network, case, [Fraction(0)] * problem.network.output_size, "float64")
        except InputError as error:
            assert error.code == "reduce/no-bound"
            continue
        lines = format_specification(folded.specification).splitlines()
        asserts = [line for line in lines if line.startswith("(assert")]
        ors = [line for line in asserts if "(or" in line]
        assert len(ors) <= 1
        for line in ors:
            assert line.startswith("(assert (or (and (<= Y_")
        for line in asserts:
            assert not set("+*") & set(line.replace("e+", "e"))
            for comparison in line.replace("(assert ", "").replace("(or ", "").replace("(and ", "").split("("):
                assert len(comparison.strip().rstrip(")").split()) in (0, 3)


def test_a_folded_network_agrees_with_onnxruntime():
    network = chain(([[1.0, -1.0], [0.5, 2.0]], [0.0, 0.25]), ([[1.0, 3.0]], [0.125]))
    case = Case(
        Polytope(Box(np.zeros(2), np.ones(2))),
        (
            (HalfSpace({}, {0: Fraction(1, 3)}, Fraction(1, 10)),),
            (HalfSpace({0: Fraction(1, 7)}, {0: Fraction(-1)}, Fraction(-2)),),
        ),
    )
    folded = fold_case(network, case, [Fraction(1, 1000)], "float32")
    data = write_network(folded.network, metadata={}, producer="test")
    points = np.random.default_rng(1).random((50, 2))
    assert compare_with_runtime(data, folded.network, points).agrees
    assert folded.network.outputs[0].shape == ("N", 2)


def test_a_row_with_numbers_beyond_the_type_is_divided():
    network = chain(([[1.0]], [0.0]))
    case = Case(
        Polytope(Box(-np.ones(1), np.ones(1))), ((HalfSpace({}, {0: Fraction(10) ** 400}, Fraction(10) ** 399),),)
    )
    for dtype in ("float32", "float64"):
        folded = fold_case(network, case, [Fraction(0)], dtype).network
        values = [outputs_exact(folded, [Fraction(k, 20)])[0] for k in range(-20, 21)]
        assert [value <= 0 for value in values] == [k <= 2 for k in range(-20, 21)]


def test_a_constant_beyond_float32_is_an_error_with_a_hint():
    """A third is no float: what it is multiplied with reaches 1e68, and so does what the row is relaxed by."""
    network = chain(([[1e38]], [0.0]))
    box = Box(np.zeros(1), np.full(1, 1e30))
    case = Case(Polytope(box), ((HalfSpace({}, {0: Fraction(1, 3)}, Fraction(0)),),))
    with pytest.raises(InputError, match="export/overflow"):
        fold_case(network, case, [Fraction(0)], "float32")


def test_a_domain_that_never_or_always_satisfies_keeps_that():
    network = chain(([[1.0]], [0.0]))
    part = Polytope(Box(np.zeros(1), np.ones(1)))
    for unsafe, value in (((), 1), (((),), -1)):
        folded = fold_case(network, Case(part, unsafe), [Fraction(0)], "float32")
        assert outputs_exact(folded.network, [Fraction(0)]) == [value]
