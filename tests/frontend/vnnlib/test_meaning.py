"""The meaning of queries, against exact evaluation of the formula and against the official parser."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from fractions import Fraction

import pytest
import vnnlib
from hypothesis import assume, example, given, reject, settings
from hypothesis import strategies as st

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope, Specification
from eqverify.errors import InputError, LimitError
from eqverify.export.vnnlib import decimal_text, format_specification, write_query
from eqverify.frontend.vnnlib import (
    And,
    Comparison,
    Difference,
    Formula,
    Literal,
    Or,
    Product,
    Query,
    Sum,
    Term,
    Variable,
    lower,
    parse_query,
)
from eqverify.numerals import round_down, round_up

from .vnnlib_queries import decimals, elements, queries1, queries2

Values = dict[tuple[str, tuple[int, ...]], Fraction]


def value(term: Term, values: Values) -> Fraction:
    match term:
        case Literal():
            return term.value
        case Variable():
            return values[term.name, term.indices]
        case Sum():
            return sum((value(part, values) for part in term.terms), Fraction(0))
        case Difference():
            first, *rest = (value(part, values) for part in term.terms)
            return first - sum(rest) if rest else -first
        case Product():
            return math.prod((value(part, values) for part in term.terms), start=Fraction(1))


def mentioned(comparison: Comparison, values: Values) -> set[str]:
    """The tensors whose elements do not cancel out of a linear comparison."""

    def difference(at: Values) -> Fraction:
        return value(comparison.left, at) - value(comparison.right, at)

    origin = dict.fromkeys(values, Fraction(0))
    constant = difference(origin)
    return {key[0] for key in values if difference({**origin, key: Fraction(1)}) != constant}


def holds(formula: Formula, values: Values, closed: set[str] | None = None) -> bool:
    """The truth of a formula; comparisons over nothing but tensors of `closed` are read without strictness."""
    match formula:
        case And():
            return all(holds(part, values, closed) for part in formula.parts)
        case Or():
            return any(holds(part, values, closed) for part in formula.parts)
    difference = value(formula.left, values) - value(formula.right, values)
    relation = formula.relation
    if closed is not None and (names := mentioned(formula, values)) and names <= closed:
        relation = {"<": "<=", ">": ">=", "!=": "any"}.get(relation, relation)
    return {
        "<=": difference <= 0,
        "<": difference < 0,
        ">=": difference >= 0,
        ">": difference > 0,
        "==": difference == 0,
        "!=": difference != 0,
        "any": True,
    }[relation]


def inside(specification: Specification, x: list[Fraction], y: list[Fraction]) -> bool:
    """Exact membership in some case."""
    for case in specification.cases:
        box = case.polytope.box
        in_box = all(
            Fraction(low) <= v <= Fraction(high)
            for low, v, high in zip(box.lower.tolist(), x, box.upper.tolist(), strict=True)
        )
        in_rows = all(
            sum((Fraction(a) * v for a, v in zip(row, x, strict=True)), Fraction(0)) <= Fraction(bound)
            for row, bound in zip(case.polytope.matrix.tolist(), case.polytope.bound.tolist(), strict=True)
        )
        if in_box and in_rows and any(all(h.holds(x, y) for h in conjunction) for conjunction in case.unsafe):
            return True
    return False


def with_box(query: Query) -> Query:
    """The query with every input confined to [-3, 3]."""
    box = []
    for network in query.networks:
        for tensor in network.inputs:
            for variable in query.input_variables():
                if variable.name == tensor.name:
                    decimal = tensor.element[:3] in ("Rea", "rea", "flo", "bfl")
                    for relation, bound in ((">=", 0 if tensor.element.startswith("u") else -3), ("<=", 3)):
                        box.append(Comparison(relation, variable, Literal(Fraction(bound), decimal)))
    return Query(query.version, query.networks, (*box, *query.statements))


@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(queries1() | queries2(), st.data())
def test_lowering_agrees_with_exact_evaluation(query: Query, data: st.DataObject) -> None:
    hidden = {tensor.name for network in query.networks for tensor in network.hidden}
    query = with_box(query)
    try:
        specification = lower(query)
    except InputError as error:
        if hidden and error.code == "vnnlib/hidden-unsupported":
            reject()
        if error.code != "domain/empty":
            raise
        specification = None
    except LimitError:
        assume(False)
    inputs = query.input_variables()
    names = {variable.name for variable in inputs}
    outputs = [v for n in query.networks for t in n.outputs for v in elements(t)]
    point = st.integers(-4, 4).map(Fraction) | decimals()
    for _ in range(6):
        x = data.draw(st.lists(point, min_size=len(inputs), max_size=len(inputs)))
        y = data.draw(st.lists(point, min_size=len(outputs), max_size=len(outputs)))
        values = {(v.name, v.indices): n for v, n in zip([*inputs, *outputs], [*x, *y], strict=True)}
        expected = all(holds(formula, values) for formula in query.assertions)
        closed = all(holds(formula, values, names) for formula in query.assertions)
        found = specification is not None and inside(specification, x, y)
        assert found or not expected
        if specification is None or not rounded(specification):
            assert found == closed


def rounded(specification: Specification) -> bool:
    """Whether float64 rounding may have enlarged the domain."""
    return any(
        float(b) != int(float(b) * 1024) / 1024
        for case in specification.cases
        for array in (case.polytope.box.lower, case.polytope.box.upper, case.polytope.matrix, case.polytope.bound)
        for b in array.ravel()
    )


@pytest.mark.slow
@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(queries1(linear=False) | queries2(linear=False))
def test_parse_of_print_is_the_query(query: Query) -> None:
    text = write_query(query)
    again = parse_query(text)
    assert again == query
    assert write_query(again) == text


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(queries1() | queries2())
@example(parse_query("(declare-const X_0 Real)(declare-const Y_0 Real)(assert (or (<= (* -1 X_0) 0) (< 0 X_0)))"))
def test_formatted_specification_has_the_same_meaning(query: Query) -> None:
    assume(not any(network.hidden for network in query.networks))
    assume(all(t.element[:3] in ("Rea", "rea", "flo", "bfl") for n in query.networks for t in n.tensors))
    try:
        specification = lower(with_box(query))
    except (InputError, LimitError):
        assume(False)
    again = lower(parse_query(format_specification(specification)))
    parts, others = specification.domain.polytopes, again.domain.polytopes
    assert [tuple(a.tobytes() for a in arrays(p)) for p in parts] == [
        tuple(a.tobytes() for a in arrays(p)) for p in others
    ]
    assert disjuncts_by_part(specification) == disjuncts_by_part(again)


def disjuncts_by_part(specification: Specification) -> dict[tuple[bytes, ...], int]:
    """How many different disjuncts each polytope has: cases that differ in strict signs are written as one."""
    found: dict[tuple[bytes, ...], set[object]] = defaultdict(set)
    for case in specification.cases:
        for rows in case.unsafe:
            terms = ((frozenset(r.inputs.items()), frozenset(r.outputs.items()), r.bound, r.strict) for r in rows)
            found[tuple(a.tobytes() for a in arrays(case.polytope))].add(frozenset(terms))
    return {part: len(disjuncts) for part, disjuncts in found.items()}


def arrays(polytope: Polytope) -> tuple[FloatArray, ...]:
    return tuple(a + 0.0 for a in (polytope.box.lower, polytope.box.upper, polytope.matrix, polytope.bound))


def official(text: str) -> list[str] | None:
    """The assertions as the official parser prints them; None where it rejects the text."""
    try:
        return [re.sub(r"\s+", "", str(a)) for a in vnnlib.parse_query_string(text).assertions]
    except (vnnlib.VNNLibException, ValueError):
        return None


@pytest.mark.slow
@settings(max_examples=3 * settings().max_examples, deadline=None)
@given(queries2(linear=False), st.data())
def test_acceptance_agrees_with_the_official_parser(query: Query, data: st.DataObject) -> None:
    """Generated queries, and the same ones with one token damaged."""
    tokens = re.findall(
        r"\(assert|\(declare-[a-z]+|\([a-z]+-[a-z]+|<2\.0>|\"\w+\"|[()\[\],]|[^\s()\[\],]+", write_query(query)
    )
    if data.draw(st.booleans()):
        at = data.draw(st.integers(2, len(tokens) - 1))
        replacement = data.draw(
            st.sampled_from(["(", ")", "1", "1.5", "-1", "A", "B", "Q", "f", "g", "and", "<=", "[", "int8", ""])
        )
        tokens[at] = replacement
    text = " ".join(tokens)
    try:
        ours: Query | None = parse_query(text)
    except InputError as error:
        ours = None
        if error.code in STRICTER:
            reject()
    theirs = official(text)
    if ours is not None and (not ours.statements):
        reject()
    assert (ours is not None) == (theirs is not None), text
    if ours is not None:
        printed = [re.sub(r"\s+", "", f"(assert{line})") for line in _assertions(ours)]
        assert printed == theirs


def _assertions(query: Query) -> list[str]:
    lines = write_query(Query(query.version, query.networks, tuple(query.assertions))).splitlines()
    return [line.removeprefix("(assert ")[:-1] for line in lines if line.startswith("(assert")]


# Where we follow the standard and the official parser does not look.
STRICTER = {"vnnlib/element-type", "vnnlib/duplicate-network", "vnnlib/equivalence-twice", "vnnlib/index"}

F = "(declare-network f (declare-input X real [2]) (declare-output Y real []))"
DEVIATIONS = {
    "exponent": (f"{F}(assert (<= Y 1.5e3))", True, False),
    "white space after (": (f"{F}( assert (<= Y 1.5))", True, False),
    "no assertion": (F, True, False),
    "isomorphic-to with other types": (
        f"{F}(declare-network g (isomorphic-to f) (declare-input A float32 [2]) (declare-output B float32 []))"
        "(assert (<= Y 1.0))",
        True,
        False,
    ),
    "unknown element type": (F.replace("real []", "real32 []") + "(assert (<= X[0] 1.0))", False, True),
    "two networks of one name": (
        F + F.replace("X", "A").replace("Y", "B") + "(assert (<= Y 1.0))",
        False,
        True,
    ),
    "two equivalences": (
        f"{F}(declare-network g (equal-to f) (equal-to f) (declare-input A real [2]) (declare-output B real []))"
        "(assert (<= Y 1.0))",
        False,
        True,
    ),
    "index with a point": (f"{F}(assert (<= X[1.0] 1.0))", False, True),
    "negative index": (f"{F}(assert (<= X[-1] 1.0))", False, True),
}


@pytest.mark.parametrize("name", DEVIATIONS)
def test_known_deviations_from_the_official_parser(name: str) -> None:
    body, accepted, officially = DEVIATIONS[name]
    text = "(vnnlib-version <2.0>)" + body
    try:
        parse_query(text)
        ours = True
    except InputError:
        ours = False
    assert (ours, official(text) is not None) == (accepted, officially)


@given(st.fractions() | st.floats(allow_nan=False, allow_infinity=False).map(Fraction) | decimals(30))
@example(Fraction(1, 10))
@example(Fraction(1, 10**400))
@example(-Fraction(1, 10**400))
@example(Fraction(10**308) * 17)
@example(Fraction(2) ** 1100)
def test_rounding_is_outward_and_tight(exact: Fraction) -> None:
    low, high = round_down(exact), round_up(exact)
    assert low <= exact <= high
    assert math.nextafter(low, math.inf) > exact
    assert math.nextafter(high, -math.inf) < exact
    assert (low == high) == (math.isfinite(low) and math.isfinite(high) and Fraction(low) == exact)


@given(st.floats(allow_nan=False, allow_infinity=False))
@example(5e-324)
@example(2.2250738585072014e-308)
@example(1.7976931348623157e308)
def test_floats_are_written_exactly(number: float) -> None:
    assert parse_query(f"(declare-const X_0 Real)(assert (= X_0 {decimal_text(Fraction(number))}))") is not None
    text = decimal_text(Fraction(number))
    assert Fraction(text) == Fraction(number)


@given(st.lists(decimals(20), min_size=2, max_size=2), decimals(25))
def test_rows_contain_the_written_half_space(box: list[Fraction], coefficient: Fraction) -> None:
    """The corner of the box that is just inside the exact row is inside the rounded one."""
    low, high = sorted(box)
    assume(coefficient)
    assume(low < high)
    bound = coefficient * high + 3 * low
    text = "".join(
        f"(declare-const X_{i} Real)(assert (>= X_{i} {decimal_text(low)}))(assert (<= X_{i} {decimal_text(high)}))"
        for i in range(2)
    )
    text += f"(assert (<= (+ (* {decimal_text(coefficient)} X_0) (* 3 X_1)) {decimal_text(bound)}))"
    specification = lower(parse_query(text))
    assert inside(specification, [high, low], [])


def test_equalities_carry_bounds_exactly() -> None:
    text = "".join(f"(declare-const X_{i} Real)" for i in range(5))
    text += "(assert (>= X_0 0.1)) (assert (<= X_0 0.7)) (assert (= (* 3 X_1) (+ X_0 1))) (assert (= X_2 (- X_1)))"
    text += "(assert (<= X_3 X_2)) (assert (<= X_1 (+ X_3 2))) (assert (= X_4 0.25))"
    specification = lower(parse_query(text))
    box = specification.cases[0].polytope.box
    exact = [
        (Fraction(1, 10), Fraction(7, 10)),
        (Fraction(11, 30), Fraction(17, 30)),
        (Fraction(-17, 30), Fraction(-11, 30)),
        (Fraction(11, 30) - 2, Fraction(-11, 30)),
        (Fraction(1, 4), Fraction(1, 4)),
    ]
    assert box.lower.tolist() == [round_down(low) for low, _ in exact]
    assert box.upper.tolist() == [round_up(high) for _, high in exact]


def test_cases_keep_pairs_and_share_polytopes() -> None:
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 0))(assert (<= X_0 2))"
    text += "(assert (or (and (<= X_0 1) (> Y_0 1)) (and (>= X_0 1) (< Y_0 0)) (and (<= X_0 1) (< Y_0 -1)) (>= X_0 3)))"
    specification = lower(parse_query(text))
    assert [case.polytope.box.upper.tolist() for case in specification.cases] == [[1.0], [2.0]]
    assert [len(case.unsafe) for case in specification.cases] == [2, 1]
    assert all(row.strict for case in specification.cases for c in case.unsafe for row in c)
    assert len(specification.domain.polytopes) == 2


def test_constants_are_decided() -> None:
    text = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (= X_0 1))"
    assert lower(parse_query(text)).cases[0].unsafe == ((),)
    assert lower(parse_query(text + "(assert (or (<= 1 2) (<= Y_0 0)))")).cases[0].unsafe == ((),)
    assert lower(parse_query(text + "(assert (or))")).cases[0].unsafe == ()
    assert lower(parse_query(text + "(assert (< (* 0 Y_0) 0))")).cases[0].unsafe == ()


def test_reports_of_the_official_parser_are_json() -> None:
    """The oracle rejects for the reason that we believe, not for a broken installation."""
    with pytest.raises(vnnlib.VNNLibException) as caught:
        vnnlib.parse_query_string("(vnnlib-version <2.0>)" + F + "(assert (<= Z 1.0))")
    assert json.loads(str(caught.value))["errors"][0]["errorCode"] == "UndeclaredVariable"


@pytest.mark.parametrize("factor", [Fraction(2), Fraction(-2)])
@pytest.mark.parametrize("known", [0, 1, 2])
def test_equalities_carry_bounds_from_any_member(factor: Fraction, known: int) -> None:
    """x_1 = factor x_0 + 1 and x_2 = x_1 + 3, with one of the three bounded."""
    text = "".join(f"(declare-const X_{i} Real)" for i in range(3))
    text += f"(assert (= X_1 (+ (* {factor} X_0) 1))) (assert (= X_2 (+ X_1 3)))"
    ends = [[x, factor * x + 1, factor * x + 4] for x in (Fraction(1, 2), Fraction(5))]
    bounds = [sorted(pair) for pair in zip(*ends, strict=True)]
    low, high = bounds[known]
    text += f"(assert (>= X_{known} {decimal_text(low)})) (assert (<= X_{known} {decimal_text(high)}))"
    box = lower(parse_query(text)).cases[0].polytope.box
    assert [list(pair) for pair in zip(box.lower.tolist(), box.upper.tolist(), strict=True)] == bounds


def test_a_constraint_that_fails_wherever_the_bounds_hold_leaves_its_disjunct_out() -> None:
    """By any margin, exactly; a part without points would make proofs about it contradict each other."""
    head = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    one = "(and (<= 1e-20 X_0) (<= X_0 1) (<= 0 X_1) (<= X_1 1) (<= (+ X_0 (* 2.5 X_1)) 0))"
    other = "(and (<= 0 X_0) (<= X_0 1) (<= 0 X_1) (<= X_1 1) (<= (+ X_0 (* 2.5 X_1)) 0))"
    assert len(lower(parse_query(f"{head}(assert (or {one} {other}))")).cases) == 1
    with pytest.raises(InputError) as caught:
        lower(parse_query(f"{head}(assert {one})"))
    assert caught.value.code == "domain/empty"


@given(st.lists(st.tuples(*[st.integers(-4, 4)] * 3), min_size=2, max_size=4))
@example([(1, -1, -3), (1, 1, -3)])
def test_rows_that_exclude_each_other_leave_nothing(rows: list[tuple[int, int, int]]) -> None:
    """a x + b y <= c for x in [-1, 1], y in [-2, 2]: there is a point just where a corner of two lines is one."""
    text = "".join(f"(assert (<= (+ (* {a} X_0) (* {b} X_1)) {c}))" for a, b, c in rows if a and b)
    assume(text)
    box = [(1, 0, 1), (-1, 0, 1), (0, 1, 2), (0, -1, 2)]
    lines = [*box, *(row for row in rows if row[0] and row[1])]
    corners = []
    for a, b, c in lines:
        for d, e, f in lines:
            if size := a * e - b * d:
                corners.append((Fraction(c * e - b * f, size), Fraction(a * f - c * d, size)))
    inhabited = any(all(a * x + b * y <= c for a, b, c in lines) for x, y in corners)
    head = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
    bounds = "(assert (>= X_0 -1))(assert (<= X_0 1))(assert (>= X_1 -2))(assert (<= X_1 2))(assert (<= Y_0 0))"
    query = parse_query(f"{head}{bounds}{text}")
    if inhabited:
        assert len(lower(query).cases) == 1
        return
    with pytest.raises(InputError) as caught:
        lower(query)
    assert caught.value.code == "domain/empty"
