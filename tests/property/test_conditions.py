"""Conditions as written: strict signs, decimals and thresholds at exact extremes, against an exact oracle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.budget import Budget
from eqverify.cli.assignments import lines
from eqverify.deciding.settling import REASONS, settle_case
from eqverify.domain import HalfSpace, box_domain
from eqverify.errors import LimitError
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.network import Network, outputs_exact
from eqverify.testing.oracle import directed_sets_exact, satisfying_exact
from eqverify.testing.strategies import networks, residual_networks

ENDS = tuple(map(Fraction, ("-1", "-0.5", "-0.1", "0", "0.1", "0.3", "0.5", "0.7", "1")))
NUDGES = tuple(map(Fraction, ("0", "0", "0", "1e-6", "-1e-6", "1e-13", "-1e-13", "1e-17", "-1e-17")))
REGIONS = 300


@dataclass(frozen=True)
class Asked:
    """A network, constraints on inputs, and one disjunct: what the text says."""

    network: Network
    inputs: tuple[HalfSpace, ...]
    rows: tuple[HalfSpace, ...]

    @property
    def domain(self):
        size = self.network.input_size
        return box_domain(np.full(size, -2.0), np.full(size, 2.0))

    @property
    def text(self):
        declared = [f"(declare-const X_{i} Real)" for i in range(self.network.input_size)]
        declared += [f"(declare-const Y_{j} Real)" for j in range(self.network.output_size)]
        return "\n".join([*declared, *(f"(assert {spelled(row)})" for row in (*self.inputs, *self.rows))])

    def truth(self):
        return satisfying_exact(self.network, self.domain, (*self.inputs, *self.rows), max_regions=REGIONS)


def spelled(row):
    """A constraint with whole numbers, so that nothing is rounded when it is written."""
    names = {**{f"X_{i}": c for i, c in row.inputs.items()}, **{f"Y_{j}": c for j, c in row.outputs.items()}}
    scale = 1
    for number in (row.bound, *names.values()):
        scale *= number.denominator
    terms = [f"(* {c * scale} {name})" for name, c in names.items()]
    total = terms[0] if len(terms) == 1 else f"(+ {' '.join(terms)})"
    return f"({'<' if row.strict else '<='} {total} {row.bound * scale})"


@st.composite
def asked(draw):
    """Small networks; strict and other bounds; rows between inputs; thresholds at, and next to, exact extremes."""
    element = draw(st.sampled_from(("float32", "float64")))
    network = draw(networks(element=element) | residual_networks(element=element))
    size = network.input_size
    inputs = []
    for i in range(size):
        low, high = sorted((draw(st.sampled_from(ENDS)), draw(st.sampled_from(ENDS))))
        inputs.append(HalfSpace({i: Fraction(-1)}, {}, -low, draw(st.integers(0, 3)) == 0))
        inputs.append(HalfSpace({i: Fraction(1)}, {}, high, draw(st.integers(0, 3)) == 0))
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        numbers = st.sampled_from((Fraction(1), Fraction(-1), Fraction(2), Fraction(1, 3)))
        chosen = draw(st.dictionaries(st.integers(0, size - 1), numbers, min_size=1, max_size=2))
        inputs.append(HalfSpace(chosen, {}, draw(st.sampled_from(ENDS)), draw(st.booleans())))
        if draw(st.integers(0, 3)) == 0:
            row = inputs[-1]
            inputs.append(HalfSpace({i: -c for i, c in chosen.items()}, {}, -row.bound, row.strict))
    return Asked(network, tuple(inputs), tuple(draw(conditions(network, tuple(inputs)))))


@st.composite
def conditions(draw, network, inputs):
    """Rows on single outputs at the ends of their exact ranges, equations within them, and others."""
    size = network.input_size
    domain = box_domain(np.full(size, -2.0), np.full(size, 2.0))
    try:
        found = directed_sets_exact(network, domain, inputs, max_regions=REGIONS)
    except LimitError:
        found = None
    rows = []
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        j = draw(st.integers(0, network.output_size - 1))
        sign = draw(st.sampled_from((Fraction(1), Fraction(-1))))
        if found is None:
            bound = draw(st.sampled_from(ENDS))
        else:
            ends = found.outputs[j].lower, found.outputs[j].upper
            share = draw(st.sampled_from((Fraction(0), Fraction(1), Fraction(1, 3))))
            bound = ends[0] + share * (ends[1] - ends[0]) + draw(st.sampled_from(NUDGES))
        kind = draw(st.sampled_from(("end", "end", "equation")))
        strict = kind == "end" and draw(st.booleans())
        rows.append(HalfSpace({}, {j: sign}, sign * bound, strict))
        if kind == "equation":
            rows.append(HalfSpace({}, {j: -sign}, -sign * bound))
    return rows


def truth_of(question):
    """Whether the text can be satisfied; None where the oracle has to give up."""
    try:
        return question.truth() is not None
    except LimitError:
        return None


@pytest.mark.slow
@given(asked())
def test_exact_decisions_are_true_and_are_made(question):
    specification = lower_or_none(question)
    truth = truth_of(question)
    if specification is None:
        assert truth is not True
        return
    for case in specification.cases:
        found = settle_case(question.network, case, Budget(20.0))
        if truth is None:
            continue
        assert (found.verdict == "sat") == truth, (found, question.text)
        assert found.verdict != "unknown"
        if truth:
            satisfies(question, list(found.x), outputs_exact(question.network, found.x))


@settings(max_examples=max(min(10, settings().max_examples), settings().max_examples // 2))
@given(asked())
def test_verify_decides_conditions_as_they_are_written(question):
    query = parse_query(question.text)
    truth = truth_of(question)
    answer = eq.verify(query, question.network, timeout=20.0)
    if answer.verdict == "timed-out":  # on a busy machine; nothing is said then
        reject()
    if answer.verdict == "unknown":
        assert truth is not False
        assert answer.reason == REASONS["unshown"]
        return
    assert answer.verdict in ("sat", "unsat"), question.text
    assert truth is None or (answer.verdict == "sat") == truth, question.text
    if answer.verdict == "sat":
        x, y = printed(query, answer)
        assert x == list(answer.witness.inputs)
        satisfies(question, x, y)
        satisfies(question, x, outputs_exact(question.network, x))


def lower_or_none(question):
    try:
        return lower(parse_query(question.text))
    except eq.EqverifyError as error:
        assert error.code == "domain/empty", error
        return None


def printed(query, answer):
    """The values that the command line prints, read exactly."""
    values = {"X": [], "Y": []}
    for line in lines(query, answer.witness):
        if named := re.match(r"([XY]) Real", line):
            current = values[named.group(1)]
        else:
            current.append(Fraction(line))
    return values["X"], values["Y"]


def satisfies(question, x, y):
    assert all(row.holds(x, y) for row in (*question.inputs, *question.rows)), (question.text, x, y)


@pytest.mark.slow
def test_both_answers_and_ends_of_ranges_occur():
    """The strategy reaches what it is for: both truths, and conditions that are false only for a strict sign."""
    seen = set()

    @settings(max_examples=150, database=None, derandomize=True)
    @given(asked())
    def look(question):
        truth = truth_of(question)
        closed = [HalfSpace(row.inputs, row.outputs, row.bound) for row in (*question.inputs, *question.rows)]
        if truth is False and satisfying_exact(question.network, question.domain, closed, max_regions=REGIONS):
            seen.add("strict")
        seen.add(truth)

    look()
    assert {True, False, "strict"} <= seen
