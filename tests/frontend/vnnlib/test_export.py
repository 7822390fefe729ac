"""What the writer refuses, and the forms it chooses."""

from __future__ import annotations

from fractions import Fraction

import pytest

from eqverify.domain import Box, Case, Declaration, HalfSpace, NetworkSignature, Polytope, Specification
from eqverify.errors import InputError
from eqverify.export.vnnlib import decimal_text, format_specification, write_query
from eqverify.frontend.vnnlib import And, Comparison, Literal, Network, Query, Tensor, Variable, lower, parse_query

ONE = Fraction(1)


def specification(*unsafe: tuple[HalfSpace, ...], networks: int = 1) -> Specification:
    vector = (Declaration("X", "Real", (2,)),), (Declaration("Y", "Real", (2,)),)
    box = Box([0.0] * 2 * networks, [0.5] * 2 * networks)
    signatures = tuple(NetworkSignature(f"N{i}", *vector) for i in range(networks))
    return Specification(signatures, (Case(Polytope(box), unsafe),))


def test_forms_that_other_readers_know() -> None:
    text = format_specification(
        specification(
            (HalfSpace({}, {0: ONE, 1: -ONE}, Fraction(0)), HalfSpace({}, {1: Fraction(-2)}, ONE, strict=True)),
            (HalfSpace({0: Fraction(1, 3)}, {1: ONE}, Fraction(1, 2)),),
        )
    )
    assert text.splitlines()[-1] == (
        "(assert (or (and (<= Y_0 Y_1) (> Y_1 -0.5)) (and (<= (+ (* 2.0 X_0) (* 6.0 Y_1)) 3.0))))"
    )
    assert "(assert (<= X_1 0.5))" in text.splitlines()


def test_version_2_of_a_version_1_property() -> None:
    text = format_specification(specification((HalfSpace({}, {0: ONE}, ONE),)), "2.0")
    assert "(declare-input X real [2])" in text
    assert lower(parse_query(text)).cases[0].unsafe[0][0].outputs == {0: ONE}


def test_third_is_not_decimal() -> None:
    assert decimal_text(Fraction(-7, 40)) == "-0.175"
    assert decimal_text(Fraction(3), decimal=False) == "3"
    for value, decimal in ((Fraction(1, 3), True), (Fraction(1, 2), False), (Fraction(10**5000), True)):
        with pytest.raises(InputError) as caught:
            decimal_text(value, decimal)
        assert caught.value.code == "export/not-decimal"


def test_what_a_version_cannot_say() -> None:
    unequal = Comparison("!=", Variable("X", (0,)), Literal(ONE))
    version1 = Query("1.0", (Network("N", (Tensor("X", "Real", (1,)),), (Tensor("Y", "Real", (1,)),)),), (unequal,))
    version2 = Query("2.0", version1.networks, (And(()),))
    for refuse in (
        lambda: write_query(version1),
        lambda: write_query(version2),
        lambda: format_specification(specification((), networks=2), "1.0"),
    ):
        with pytest.raises(InputError) as caught:
            refuse()
        assert caught.value.code == "export/not-expressible"
