"""Proofs of how many linear regions there are: verified, true, and rejected where anything is left out or wrong."""

from __future__ import annotations

import hashlib
import tempfile
from fractions import Fraction
from functools import cache

import numpy as np
import pytest

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.cli.main import run
from eqverify.domain import Box, Domain, HalfSpace, Polytope
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import _Evaluator, _regions

from ..reject.test_mutations import mutant
from .certificate_cases import box, cut_box, pack, random_network, unpack
from .refutation_cases import save
from .test_schema import SCHEMA


def zeros():
    """A unit that is 0 everywhere, one that is 0 where another is inactive, and a copy."""
    first = np.array([[1.0, 0.5], [0.0, 0.0], [1.0, 0.5]])
    last = np.array([[1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])
    return chain_network([(first, np.zeros(3)), (last, np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])


def flat_input():
    (whole,) = box(3).polytopes
    lower, upper = whole.box.lower.copy(), whole.box.upper.copy()
    lower[1] = upper[1] = 0.25
    return Domain((Polytope(Box(lower, upper)),))


RECIPES = {
    "boxes": (lambda: random_network(3, (2, 6, 5, 2)), lambda: box(2)),
    "parts": (lambda: random_network(4, (2, 5, 1)), lambda: box(2, 0.5, parts=2)),
    "cut": (lambda: random_network(5, (3, 5, 4, 1)), lambda: cut_box(3)),
    "flat": (lambda: random_network(6, (3, 6, 4, 1)), flat_input),
    "zeros": (zeros, lambda: box(2)),
}


@cache
def counted(name):
    """Network and property files, the proof of a count, and the number that was found."""
    network, domain = (make() for make in RECIPES[name])
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))
        report = eq.find_regions(eq.load_problem(model, query, as_stored=True), proof=True)
        assert report.found.complete
        return model.read_bytes(), query.read_bytes(), report.proof, len(report.found.regions)


def told(name, head, arrays):
    """The proof with other contents, and the digests of its files."""
    model, query, *_ = counted(name)
    digests = {"network": model, "property": query}
    head = {**head, "digests": {key: hashlib.sha256(data).hexdigest() for key, data in digests.items()}}
    return check_bytes(model, query, None, pack(head, arrays))


@pytest.mark.parametrize("name", RECIPES)
def test_the_number_is_proved_and_is_that_of_an_exact_enumeration(name):
    model, query, proof, number = counted(name)
    SCHEMA.validate(unpack(proof)[0])
    true = len(patterns(*(make() for make in RECIPES[name])))
    assert str(check_bytes(model, query, None, proof, "exact")) == f"verified regions {true}"
    assert true == number


def patterns(network, domain):
    """By an oracle that cuts the domain by all units: parts with one pattern inside are one region."""
    found = set()
    for part in _regions(domain, [_Evaluator(network)], 10_000):
        x = [sum(column) / len(part) for column in zip(*part, strict=True)]
        values = _Evaluator(network)(tuple(x))
        found.add(tuple(z > 0 for relu in network.relus for z in values[relu.source]))
    return found


def a_point_less(head, arrays):
    points = head["parts"][0]["points"]
    arrays[points] = arrays[points][1:]


def a_point_outside(head, arrays):
    arrays[head["parts"][0]["points"]][0, 0] = 3.0


def a_point_on_the_border(head, arrays):
    arrays[head["parts"][0]["points"]][0, 0] = 1.0


def a_fact_less(head, arrays):
    del head["parts"][0]["tree"]["facts"][0]


def no_reason(head, arrays):
    fact = next(fact for fact in head["parts"][0]["tree"]["facts"] if fact[3])
    fact[3:] = [[], []]


def the_other_sign(head, arrays):
    fact = head["parts"][0]["tree"]["facts"][0]
    fact[2] = -fact[2]


def a_negative_reason(head, arrays):
    fact = next(fact for fact in head["parts"][0]["tree"]["facts"] if fact[3])
    fact[4][0] = f"-{fact[4][0]}"


def half_a_tree(head, arrays):
    for key in ("parent", "side", "unit"):
        arrays[head["parts"][0]["tree"][key]] = arrays[head["parts"][0]["tree"][key]][:-1]


def two_roots(head, arrays):
    tree = head["parts"][0]["tree"]
    for key, last in (("parent", -1), ("side", 0), ("unit", -1)):
        arrays[tree[key]] = np.append(arrays[tree[key]], np.array([last], dtype=np.int32))


def no_part(head, arrays):
    head["parts"] = []


def another_unit_first(head, arrays):
    """The first cut is by a unit of the second layer, which is not affine on the whole box."""
    arrays[head["parts"][0]["tree"]["unit"]][0] = 10


WRONG = [
    (a_point_less, "check/regions"),
    (a_point_outside, "check/regions"),
    (a_point_on_the_border, "check/regions"),
    (a_fact_less, "check/regions"),
    (no_reason, "check/regions"),
    (the_other_sign, "check/regions"),
    (a_negative_reason, "certificate/negative"),
    (half_a_tree, "certificate/tree"),
    (two_roots, "certificate/tree"),
    (no_part, "certificate/cases"),
    (another_unit_first, "check/regions"),
]


@pytest.mark.parametrize(("change", "code"), WRONG)
def test_what_is_left_out_or_wrong_is_rejected(change, code):
    head, arrays = unpack(counted("boxes")[2])
    change(head, arrays)
    assert told("boxes", head, arrays).code == code


def test_a_point_where_a_unit_changes_sign_shows_no_region():
    head, arrays = unpack(counted("zeros")[2])
    arrays[head["parts"][0]["points"]][0] = [0.25, -0.5]
    assert told("zeros", head, arrays).code == "check/regions"


def test_points_alone_show_how_many_there_are_at_least():
    _, _, proof, number = counted("boxes")
    head, arrays = unpack(proof)
    head["parts"][0]["tree"] = None
    arrays[head["parts"][0]["points"]] = arrays[head["parts"][0]["points"]][:-2]
    assert str(told("boxes", head, arrays)) == f"verified regions at least {number - 2}"
    assert told("boxes", head, arrays).as_dict()["asked"] == f"at least {number - 2}"


@pytest.mark.slow
def test_no_mutant_shows_another_number():
    model, query, proof, number = counted("boxes")
    random, right = np.random.default_rng(3), f"verified regions {number}"
    for _ in range(120):
        changed = mutant(random, proof)
        if changed is None:
            continue
        verdict = check_bytes(model, query, None, changed)
        found = str(verdict)
        least = int(found.rsplit(" ", 1)[1]) if found.startswith("verified regions at least") else 0
        assert not verdict.verified or found == right or 0 < least <= number


def test_the_command_writes_what_check_verifies(tmp_path, capsys):
    model, query, _, number = counted("parts")
    paths = tmp_path / "net.onnx", tmp_path / "prop.vnnlib", tmp_path / "proof"
    paths[0].write_bytes(model)
    paths[1].write_bytes(query)
    assert run(["regions", str(paths[0]), str(paths[1]), "--proof", str(paths[2])]) == 0
    assert f"{number}, as the checker says" in capsys.readouterr().out
    assert run(["check", *map(str, paths)]) == 0
    assert capsys.readouterr().out == f"verified regions {number}\n"
