"""Forms of SMT-LIB beyond VNN-LIB: read as an evaluator of the text, which shares nothing with the reader, says."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest

from eqverify.errors import InputError
from eqverify.frontend.vnnlib import lower, parse_query

HEAD = "(set-logic QF_LRA)\n(declare-fun X_0 () Real)\n(declare-const X_1 Real)\n(declare-fun Y_0 () Real)\n"
BOX = "(assert (<= -2 X_0 2))\n(assert (<= -2 X_1 2))\n"
CHAINS = {
    "<=": Fraction.__le__,
    "<": Fraction.__lt__,
    ">=": Fraction.__ge__,
    ">": Fraction.__gt__,
    "=": Fraction.__eq__,
}


class Writer:
    """Random text, with what it means: a function of the values of names, made beside the text."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.fresh = 0

    def number(self):
        value = Fraction(self.random.randint(-4, 4), 2)
        return str(float(value)), lambda env: value

    def term(self, depth: int, names: dict[str, str]):
        kind = self.random.choice(["number", "name", "name", *(["+", "-", "*", "/", "let", "ite"] if depth else [])])
        if kind == "number":
            return self.number()
        if kind == "name":
            name = self.random.choice([name for name, sort in names.items() if sort == "Real"])
            return name, lambda env: env[name]
        if kind in ("*", "/"):
            text, value = self.term(depth - 1, names)
            factor = Fraction(self.random.choice([-4, -2, 1, 2, 3]), 2)
            if kind == "*":
                return f"(* {float(factor)} {text})", lambda env: factor * value(env)
            return f"(/ {text} {float(factor)})", lambda env: value(env) / factor
        if kind == "let":
            return self.let(depth, names, self.term)
        if kind == "ite":
            (a, left), (b, right) = self.number(), self.number()
            (c, then), (d, other) = self.term(depth - 1, names), self.term(depth - 1, names)
            return f"(ite (< {a} {b}) {c} {d})", lambda env: then(env) if left(env) < right(env) else other(env)
        (a, left), (b, right) = self.term(depth - 1, names), self.term(depth - 1, names)
        if kind == "+":
            return f"(+ {a} {b})", lambda env: left(env) + right(env)
        return f"(- {a} {b})", lambda env: left(env) - right(env)

    def let(self, depth: int, names: dict[str, str], body):
        sort = self.random.choice(["Real", "Bool"])
        text, value = (self.term if sort == "Real" else self.formula)(depth - 1, names)
        self.fresh += 1
        bound = self.random.choice([f"n{self.fresh}", "X_0" if sort == "Real" else f"n{self.fresh}"])
        inner, meaning = body(depth - 1, {**names, bound: sort})
        return f"(let (({bound} {text})) {inner})", lambda env: meaning({**env, bound: value(env)})

    def formula(self, depth: int, names: dict[str, str]):
        forms = ["chain", "named", *(["not", "=>", "ite", "let", "and", "or"] if depth else [])]
        kind = self.random.choice(forms)
        if kind == "chain" or (kind == "named" and "Bool" not in names.values()):
            relation = self.random.choice(list(CHAINS))
            parts = [self.term(max(depth - 1, 0), names) for _ in range(self.random.choice([2, 2, 3, 4]))]
            texts, values = zip(*parts, strict=True)

            def chain(env, values=values, holds=CHAINS[relation]):
                found = [value(env) for value in values]
                return all(holds(a, b) for a, b in pairwise(found))

            return f"({relation} {' '.join(texts)})", chain
        if kind == "named":
            name = self.random.choice([*(n for n, sort in names.items() if sort == "Bool"), "true", "false"])
            return name, lambda env: env.get(name, name == "true")
        if kind == "let":
            return self.let(depth, names, self.formula)
        parts = [self.formula(depth - 1, names) for _ in range({"not": 1, "ite": 3}.get(kind, 2))]
        texts, values = zip(*parts, strict=True)
        meaning = {
            "not": lambda env: not values[0](env),
            "=>": lambda env: not values[0](env) or values[1](env),
            "ite": lambda env: values[1](env) if values[0](env) else values[2](env),
            "and": lambda env: all(value(env) for value in values),
            "or": lambda env: any(value(env) for value in values),
        }[kind]
        return f"({kind} {' '.join(texts)})", meaning


@pytest.mark.parametrize("seed", range(120))
def test_random_text_means_what_it_says(seed: int) -> None:
    writer = Writer(seed)
    names = {"X_0": "Real", "X_1": "Real", "Y_0": "Real"}
    defined, definition = writer.term(2, names)
    text, meaning = writer.formula(3, {**names, "d": "Real"})
    whole = f"{HEAD}{BOX}(define-fun d () Real {defined})\n(assert {text})\n(check-sat)\n(exit)\n"
    query = parse_query(whole)
    assert {"declare-fun", "define-fun", "(<= a b c)", "set-logic", "check-sat", "exit"} <= set(query.notes)
    grid = [Fraction(n, 2) for n in range(-5, 6)]
    points = [(writer.random.choice(grid), writer.random.choice(grid), writer.random.choice(grid)) for _ in range(60)]
    for x0, x1, y in points:
        env = {"X_0": x0, "X_1": x1, "Y_0": y}
        env["d"] = definition(env)
        expected = meaning(env) and abs(x0) <= 2 and abs(x1) <= 2
        assert holds(query, env) == expected
    try:
        cases = lower(query).cases
    except InputError as error:  # bounds that exclude each other
        assert error.code == "domain/empty"
        return
    for case in cases:
        assert (abs(case.polytope.box.magnitude) <= 2).all()


def holds(query, env) -> bool:
    """The typed query at a point."""
    from .test_meaning import holds as meaning

    values = {("X", (0,)): env["X_0"], ("X", (1,)): env["X_1"], ("Y", (0,)): env["Y_0"]}
    return all(meaning(part, values) for part in query.assertions)


def test_plain_text_has_no_notes() -> None:
    text = "(declare-const X_0 Real) (assert (<= X_0 1)) (assert (>= X_0 0)) (assert)"
    assert not parse_query(text).notes


@pytest.mark.parametrize(
    ("formula", "same"),
    [
        ("(not (<= Y[0] 1.0))", "(> Y[0] 1.0)"),
        ("(not (== Y[0] 1.0))", "(!= Y[0] 1.0)"),
        ("(=> (>= X[0] 0.5) (< Y[0] 1.0))", "(or (< X[0] 0.5) (< Y[0] 1.0))"),
        ("(< 0.0 Y[0] 1.0)", "(and (< 0.0 Y[0]) (< Y[0] 1.0))"),
        ("(let ((a Y[0]) (b X)) (<= a 1.0))", "(<= Y[0] 1.0)"),
    ],
)
def test_version_2_reads_them_too(formula: str, same: str) -> None:
    head = "(vnnlib-version <2.0>)\n(declare-network f (declare-input X real [1]) (declare-output Y real [1]))\n"
    box = "(assert (<= X[0] 1.0))\n(assert (>= X[0] 0.0))\n"
    read, plain = (parse_query(f"{head}{box}(assert {one})\n") for one in (formula, same))
    assert read == plain
    assert read.notes
    assert not plain.notes
