"""The property that is written for a reduced network is checked: it must say no more than the original's, relaxed."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import pytest

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.checker.relaxed import require_relaxed
from eqverify.cli.main import run
from eqverify.domain import HalfSpace
from eqverify.errors import RejectedError
from eqverify.frontend.vnnlib import lower, parse_query

from .certificate_cases import box, cut_box, random_network
from .proof_cases import conditions, two_boxes
from .refutation_cases import save

DOMAINS = {"box": lambda: box(2), "boxes": two_boxes, "cut": lambda: cut_box(2)}


@cache
def written(name):
    """Network, property, reduced network, certificate and the property written for that, as bytes."""
    network, domain = random_network(3, (2, 6, 6, 2), 2.0), DOMAINS[name]()
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, conditions(network, domain, -0.2))
        result = eq.reduce(eq.load_problem(model, query), certificate=True, time_limit=20, shape="sequential")
        out, relaxed, certificate = (Path(folder, own) for own in ("out.onnx", "out.vnnlib", "certificate"))
        result.save(out, property=relaxed, certificate=certificate)
        return tuple(path.read_bytes() for path in (model, query, out, certificate, relaxed))


def check(name, change=lambda text: text):
    *files, relaxed = written(name)
    return check_bytes(*files, "float", change(relaxed.decode()).encode())


@pytest.mark.parametrize("name", DOMAINS)
def test_what_is_written_follows(name):
    verdict = check(name)
    assert verdict.relaxed, verdict
    assert str(verdict).endswith("; the property of the reduced network follows")
    assert not check_bytes(*written(name)[:4]).relaxed


def test_a_bound_that_is_tighter_by_one_digit_is_seen():
    """The original's rows relaxed by exactly eps pass; with the last digit of one bound against it they do not."""
    specification = lower(parse_query(written("box")[1].decode()))
    relaxed = lower(parse_query(written("box")[4].decode()))
    epsilons = check("box").epsilons
    require_relaxed(specification.cases, relaxed, epsilons)
    for number, (case, other) in enumerate(zip(specification.cases, relaxed.cases, strict=True)):
        for index, rows in enumerate(case.unsafe):
            for k, row in enumerate(rows):
                exact = row.bound + sum(abs(c) * Fraction(epsilons[j]) for j, c in row.outputs.items())
                for bound, passes in ((exact, True), (exact - Fraction(1, 10**40), False)):
                    new = _with_row(relaxed, number, index, k, HalfSpace(row.inputs, row.outputs, bound))
                    assert _passes(specification, new, epsilons) is passes
                strict = HalfSpace(row.inputs, row.outputs, exact, True)
                assert not _passes(specification, _with_row(relaxed, number, index, k, strict), epsilons)
                assert other.unsafe[index]


def _with_row(specification, case, index, k, row):
    cases = list(specification.cases)
    unsafe = [list(rows) for rows in cases[case].unsafe]
    unsafe[index][k] = row
    cases[case] = replace(cases[case], unsafe=tuple(map(tuple, unsafe)))
    return replace(specification, cases=tuple(cases))


def _passes(before, after, epsilons):
    try:
        require_relaxed(before.cases, after, epsilons)
    except RejectedError as error:
        assert error.code == "check/property"
        return False
    return True


def original(text):
    """The property as it was: not relaxed."""
    return written("box")[1].decode()


def narrower(text):
    return re.sub(r"\(<= X_0 1(\.0)?\)", "(<= X_0 0.9999999999999999999999)", text)


def open_ended(text):
    return re.sub(r"\(<= X_0 1(\.0)?\)", "(< X_0 1.0)", text)


def another_constraint(text):
    return text + "\n(assert (<= Y_0 1000000.0))\n"


def another_cut(text):
    return text + "\n(assert (<= (+ X_0 X_1) 1.0))\n"


@pytest.mark.parametrize("change", [original, narrower, open_ended, another_constraint, another_cut])
def test_a_property_that_says_more_is_rejected(change):
    _, _, _, _, relaxed = written("box")
    assert change(relaxed.decode()) != relaxed.decode()
    verdict = check("box", change)
    assert (verdict.verified, verdict.code) == (False, "check/property")


def test_a_part_of_the_inputs_that_is_left_out_is_seen():
    verdict = check_bytes(*written("boxes")[:4], "float", written("box")[4])
    assert verdict.relaxed, "one box contains both"
    _, query, *_ = written("boxes")
    assert not _passes(lower(parse_query(written("box")[1].decode())), lower(parse_query(query.decode())), (0.0, 0.0))


def test_the_command_checks_it(tmp_path, capsys):
    paths = [tmp_path / name for name in ("net.onnx", "prop.vnnlib", "out.onnx", "certificate", "out.vnnlib")]
    for path, data in zip(paths, written("box"), strict=True):
        path.write_bytes(data)
    *files, relaxed = map(str, paths)
    assert run(["check", *files, "--relaxed", relaxed]) == 0
    assert "follows" in capsys.readouterr().out
    assert run(["check", *files, "--relaxed", files[1]]) == 1
    assert "check/property" in capsys.readouterr().out
