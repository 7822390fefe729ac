"""Exact decisions: strict signs, ends of ranges, ties, linked inputs; and what they leave open."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify as eq
from eqverify.bounds import crown_bounds
from eqverify.deciding import exactly
from eqverify.deciding.exactly import decide_around, decide_exactly, inputs_of
from eqverify.deciding.settling import REASONS
from eqverify.domain import HalfSpace, box_domain
from eqverify.domain.simplex import Simplex
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.network import outputs_exact
from eqverify.testing.oracle import satisfying_exact

from .deciding_helpers import chain

IDENTITY = chain(([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0]))
NEEDLE = chain(([[1.0, -1.0], [-1.0, 1.0]], [0.0, 0.0]), ([[-1000.0, -1000.0]], [1.0]))
"""1 - 1000 |x_0 - x_1|."""

CLIPPED = chain(([[0.7, -0.3], [0.2, 0.9]], [0.1, 0.2]), ([[1.0, -1.0]], [0.0]), ([[-1.0]], [1.0]), ([[-1.0]], [1.0]))
"""min(1, relu(...)), as a Clip is read."""


def never():
    return False


def text(inputs, outputs, *lines):
    declared = [f"(declare-const X_{i} Real)" for i in range(inputs)]
    declared += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    return "\n".join([*declared, *(f"(assert {line})" for line in lines)])


def within(low, high, size=2):
    return [line for i in range(size) for line in (f"(>= X_{i} {low})", f"(<= X_{i} {high})")]


def verify(network, *lines, timeout=20.0, **options):
    query = text(network.input_size, network.output_size, *lines)
    return eq.verify(parse_query(query), network, timeout=timeout, **options)


ROWS = st.tuples(
    st.dictionaries(st.integers(0, 1), st.integers(-2, 2).filter(bool).map(Fraction), min_size=1),
    st.sampled_from([Fraction(k, 2) for k in range(-3, 4)]),
    st.booleans(),
)


@given(st.lists(ROWS, max_size=6))
def test_the_simplex_finds_points_of_all_that_can_be_met(rows):
    simplex = Simplex(2, never)
    for k in range(2):
        simplex.at_least(k, Fraction(-1))
        simplex.at_most(k, Fraction(1))
    half_spaces = tuple(HalfSpace(form, {}, bound, strict) for form, bound, strict in rows)
    for row in half_spaces:
        simplex.at_most(simplex.add_row(row.inputs), row.bound, row.strict)
    domain = box_domain(np.full(2, -1.0), np.full(2, 1.0))
    truth = satisfying_exact(IDENTITY, domain, half_spaces)
    assert simplex.feasible() is (truth is not None)
    if truth is not None:
        point = simplex.point(2)
        assert all(abs(v) <= 1 for v in point)
        assert all(row.holds(point, {}) for row in half_spaces)


@given(st.lists(st.tuples(ROWS, ROWS), max_size=4))
def test_bounds_of_a_simplex_can_be_taken_back(pairs):
    """What was decided under tighter bounds does not change what is decided without them."""
    simplex, half_spaces = Simplex(2, never), []
    for k in range(2):
        simplex.at_least(k, Fraction(-1))
        simplex.at_most(k, Fraction(1))
    for (form, bound, strict), (other, limit, also) in pairs:
        simplex.at_most(simplex.add_row(form), bound, strict)
        half_spaces.append(HalfSpace(form, {}, bound, strict))
        number, saved = simplex.add_row(other), simplex.bounds()
        simplex.at_least(number, limit, also)
        simplex.at_most(number, limit - 1, also)
        assert simplex.feasible() is False
        simplex.restore(saved)
    domain = box_domain(np.full(2, -1.0), np.full(2, 1.0))
    truth = satisfying_exact(IDENTITY, domain, tuple(half_spaces))
    assert simplex.feasible() is (truth is not None)


@pytest.mark.parametrize(
    ("lines", "empty"),
    [
        (("(> X_0 0.0)", "(< X_0 0.0)"), True),
        (("(>= X_0 0.1)", "(< X_0 0.1)"), True),
        (("(>= X_0 0.1)", "(<= X_0 0.1)"), False),
        (("(< X_0 X_1)", "(< X_1 X_0)"), True),
        (("(< X_0 X_1)", "(<= X_1 X_0)"), True),
        (("(<= X_0 X_1)", "(<= X_1 X_0)"), False),
        (("(> (+ X_0 X_1) 2.0)",), True),
        (("(>= (+ X_0 X_1) 2.0)",), False),
        (("(< X_0 X_1)", "(< X_1 (* 2 X_0))", "(< X_1 0.0)"), True),
    ],
)
def test_strict_sets_of_inputs_that_are_empty(lines, empty):
    everything = text(2, 1, *within("-1", "1"), *lines)
    assert [case.written.is_empty(never) for case in lower(parse_query(everything)).cases] == [empty]
    answer = verify(NEEDLE, *within("-1", "1"), *lines, "(>= Y_0 -5000.0)")
    assert answer.verdict == ("unsat" if empty else "sat")


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize(("sign", "verdict"), [("<", "unsat"), ("<=", "sat")])
def test_only_an_excluded_end_satisfies_the_rest(version, sign, verdict):
    lines = ["(>= X_0 -1.0)", f"({sign} X_0 0.5)", "(>= Y_0 0.5)"]
    network = chain(([[1.0]], [0.0]), ([[1.0]], [0.0]))
    query = text(1, 1, *lines)
    if version == "2.0":
        head = "(vnnlib-version <2.0>)\n(declare-network N (declare-input X real [1]) (declare-output Y real [1]))\n"
        query = head + "\n".join(f"(assert {line})" for line in lines).replace("X_0", "X[0]").replace("Y_0", "Y[0]")
    answer = eq.verify(parse_query(query), network, timeout=20.0)
    assert answer.verdict == verdict


@pytest.mark.parametrize(
    ("lines", "verdict"),
    [
        (("(> X_0 0.0)", "(< X_0 1.0)", "(> X_1 -1.0)", "(<= X_1 0.0)", "(>= Y_0 1.0)"), "unsat"),
        (("(>= X_0 0.0)", "(< X_0 1.0)", "(> X_1 -1.0)", "(<= X_1 0.0)", "(>= Y_0 1.0)"), "sat"),
        (("(!= X_0 X_1)", "(>= Y_0 1.0)", *within("-1.0", "1.0")), "unsat"),
        (("(= X_0 X_1)", "(>= Y_0 1.0)", *within("-1.0", "1.0")), "sat"),
        (("(or (< X_0 X_1) (> X_0 X_1))", "(= Y_0 1.0)", *within("-1.0", "1.0")), "unsat"),
        (("(= (* 3 X_0) 1.0)", "(= Y_0 1.0)", *within("-1.0", "1.0")), "sat"),
        (("(= (+ X_0 (* 2 X_1)) 1.0)", "(= Y_0 0.3)", *within("-1.0", "1.0")), "sat"),
        (("(< (- X_0 X_1) Y_0)", "(<= Y_0 (- X_0 X_1))", *within("-1.0", "1.0")), "unsat"),
    ],
)
def test_linked_inputs_and_mixed_conditions(lines, verdict):
    if any("!=" in line for line in lines):
        head = "(vnnlib-version <2.0>)\n(declare-network N (declare-input X real [2]) (declare-output Y real [1]))\n"
        body = "\n".join(f"(assert {line})" for line in lines)
        for name in ("X_0", "X_1", "Y_0"):
            body = body.replace(name, f"{name[0]}[{name[2]}]")
        answer = eq.verify(parse_query(head + body), NEEDLE, timeout=20.0)
    else:
        answer = verify(NEEDLE, *lines)
    assert answer.verdict == verdict
    if verdict == "sat":
        assert list(outputs_exact(NEEDLE, answer.witness.inputs)) == [Fraction("0.3") if "0.3" in str(lines) else 1]


@pytest.mark.parametrize(
    ("line", "verdict"), [("(> Y_0 1.0)", "unsat"), ("(>= Y_0 1.0)", "sat"), ("(< Y_0 0.0)", "unsat")]
)
def test_ends_of_a_clip(line, verdict):
    assert verify(CLIPPED, *within("-1.0", "3.0"), line).verdict == verdict


def test_the_last_layers_are_enough_for_a_clip_behind_a_large_network():
    random = np.random.default_rng(0)
    inner = [(random.normal(size=(80, n)).astype(np.float32).astype(float), np.zeros(80)) for n in (40, 80)]
    last = (random.normal(size=(1, 80)).astype(np.float32).astype(float), np.zeros(1))
    network = chain(*inner, last, ([[-1.0]], [1.0]), ([[-1.0]], [1.0]))
    case = lower(parse_query(text(40, 1, *within("-1", "1", 40), "(> Y_0 1.0)"))).cases[0]
    ranges = crown_bounds(network, np.full((1, 40), -1.0), np.full((1, 40), 1.0))
    assert decide_exactly(network, inputs_of(case), case.unsafe[0], never, ranges, 1).verdict == "unsat"


@pytest.mark.parametrize("share", ["0", "0.2", "0.5"])
def test_output_equations_are_met_by_exact_inputs(share):
    network = chain(([[1.0], [-1.0]], [0.0, 0.0]), ([[1.0, 0.5]], [0.1]))
    bound = Fraction(share) + Fraction("0.25")
    answer = verify(network, "(>= X_0 -1.0)", "(<= X_0 1.0)", f"(= Y_0 {float(bound)})")
    assert answer.verdict == "sat"
    assert outputs_exact(network, answer.witness.inputs) == [bound]


def test_a_region_around_a_point_is_searched_exactly():
    case = lower(parse_query(text(2, 1, *within("-1.0", "1.0"), "(= (* 3 Y_0) 1.0)"))).cases[0]
    point = [Fraction(1, 2), Fraction(1, 2) + Fraction(1, 10**4)]
    found = decide_around(NEEDLE, inputs_of(case), case.unsafe[0], point, [0], never)
    assert found.verdict == "sat"
    assert found.x[1] == point[1]
    assert outputs_exact(NEEDLE, found.x) == [Fraction(1, 3)]


@pytest.mark.slow
def test_what_holds_at_most_at_the_end_is_unknown_at_once_where_arithmetic_cannot_tell(monkeypatch):
    """As for a network that is too large for rationals."""
    monkeypatch.setattr(exactly, "MAX_PRODUCTS", 0)
    size = 14
    network = chain(
        (np.eye(size), np.zeros(size)), (np.full((1, size), 0.1), [0.0]), ([[-1.0]], [1.0]), ([[-1.0]], [1.0])
    )
    answer = verify(network, *within("-1.0", "3.0", size), "(> Y_0 1.0)", timeout=600.0)
    assert (answer.verdict, answer.reason) == ("unknown", REASONS["end"])


def test_giving_up_says_nothing():
    case = lower(parse_query(text(2, 1, *within("-1.0", "1.0"), "(>= Y_0 1.0)"))).cases[0]
    assert decide_exactly(NEEDLE, inputs_of(case), case.unsafe[0], lambda: True).verdict == "unknown"


def test_a_solution_that_no_run_shows_is_unknown(monkeypatch):
    monkeypatch.setattr("eqverify.deciding.context.shown_by", lambda *_: lambda _: None)
    answer = verify(NEEDLE, *within("-1.0", "1.0"), "(= Y_0 0.3)")
    assert answer.verdict == "unknown"
    assert answer.reason == REASONS["unshown"]


@pytest.mark.parametrize("backend", [pytest.param("scip", marks=pytest.mark.slow), "scip:milp"])
@pytest.mark.parametrize("network", [NEEDLE, CLIPPED], ids=["needle", "clipped"])
def test_ends_are_decided_without_a_reduction_too(network, backend):
    """Behind the backend, which may search to its limit there: half of the time is kept for exact arithmetic."""
    answer = verify(network, *within("-1.0", "3.0"), "(> Y_0 1.0)", timeout=6.0, backend=backend, reduction=False)
    assert answer.verdict == "unsat"


def test_ranges_beyond_floats_say_nothing_of_the_last_layers():
    """The first layer's values may leave float64, and numbers of such a size are no fractions."""
    network = chain(([[1e200], [-1e200]], [0.0, 0.0]), ([[1e200, 0.0]], [0.0]), ([[1e-300]], [0.5]))
    case = lower(parse_query(text(1, 1, "(>= X_0 -1.0)", "(<= X_0 1.0)", "(<= Y_0 0.5)"))).cases[0]
    ranges = crown_bounds(network, np.full((1, 1), -1.0), np.full((1, 1), 1.0))
    assert not np.isfinite(ranges[network.relus[1].source].upper).all()
    for late in (0, 1):
        assert decide_exactly(network, inputs_of(case), case.unsafe[0], never, ranges, late).verdict != "unsat"
    assert decide_exactly(network, inputs_of(case), case.unsafe[0], never, ranges).verdict == "sat"
