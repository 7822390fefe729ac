"""Certificates of reductions and of disjuncts, and inputs, for the checker proved in Coq (K-6 to K-8, K-12, K-14).

Truth is judged by enumeration of linear regions; the tests of the program are skipped where it is not on PATH.
"""

import random
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import settings

import eqverify as eq
from eqverify.checker.reader import Reader
from eqverify.frontend.onnx import parse_network
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.frontend.vnnlib.reader import decode
from eqverify.network import outputs_exact
from eqverify.network.normalise import normalised
from eqverify.proved import check_proved
from eqverify.proved.comparison import claimed_signs, comparison_proof
from eqverify.proved.problem import integers, point_numbers
from eqverify.proved.questions import of_inputs, rows_of_point
from eqverify.proved.reading_back import require_same, require_same_point
from eqverify.testing.oracle import deviations_exact

from ..check import certificate_cases, directed_cases, refutation_cases
from ..check.certificate_cases import pack, unpack
from ..check.proof_cases import case as proved_case
from ..check.proof_cases import satisfied
from ..reject.test_mutations import Truth, mutate_array
from ..reject.test_reject import WRONG
from .test_kernel import accepts, program

IN_REACH = ["boxes", "two-parts", "constraints", "float64"]
"""Certificates of reductions whose networks are chains, without a solver's word."""

VERIFIED = {
    "enlarged-domain", "narrow-bound", "status-without-bounds", "cheaper-evidence", "crossed-bounds",
    "tree-goal-of-both-signs", "smaller-eps",
}  # fmt: skip
"""What the other checker rejects.

The fault is in what this one does not read (ranges, evidence, boxes for people, goals of trees); or it shows a smaller
eps, since ranges that have become one-sided are lines to it.
"""


@cache
def deviations(recipe):
    """How far the reduced network is from the original, by enumeration."""
    one = certificate_cases.case(recipe)
    return [d.value for d in deviations_exact(one.original, parse_network(one.reduced), one.domain)]


def judged(one, certificate=None):
    proof = one.certificate if certificate is None else certificate
    return check_proved(one.network, one.query, proof, getattr(one, "reduced", None))


def written(one):
    """The networks, what is asked and claimed, and the numbers of both files."""
    original, reduced = normalised(parse_network(one.network)), parse_network(one.reduced)
    questions, reader = of_inputs(lower(parse_query(decode(one.query))).domain), Reader(one.certificate, original)
    epsilon = reader.floats(reader.head, "epsilon", (original.output_size,)).tolist()
    about = original, questions, reduced, epsilon, claimed_signs(original, reader)
    problem = integers(*about)
    return about, list(problem.numbers()), list(comparison_proof(original, reduced, problem, reader))


@program
@pytest.mark.parametrize("name", IN_REACH)
def test_certificates_of_reductions_verify(name, tmp_path):
    one = certificate_cases.case(name)
    files = [tmp_path / end for end in ("net.onnx", "prop.vnnlib", "small.onnx", "cert")]
    for file, data in zip(files, (one.network, one.query, one.reduced, one.certificate), strict=True):
        file.write_bytes(data)
    verdict = eq.check(*files, kernel="coq")
    assert (verdict.verified, verdict.claim, verdict.kernel) == (True, "equivalent", "coq"), verdict
    assert str(verdict).endswith("(equivalent) solver-trusted units: 0 by the coq kernel")
    assert verdict.epsilons == one.check().epsilons


@program
@pytest.mark.parametrize("name", ["rows", "cover", "constraints"])
def test_certificates_of_networks_for_a_disjunct_verify(name):
    one = directed_cases.case(name)
    verdict = judged(one)
    assert (verdict.verified, verdict.claim) == (True, "equisatisfiable"), verdict
    assert (verdict.case, verdict.disjunct) == (1, 1)


@program
@pytest.mark.parametrize("name", ["slopes", "cover", "constraints"])
def test_certificates_that_a_disjunct_is_unsat_verify(name):
    one = refutation_cases.case(name)
    verdict = judged(one)
    assert (verdict.verified, verdict.claim, verdict.case, verdict.disjunct) == (True, "unsat", 1, 1), verdict
    head, arrays = unpack(one.certificate)
    assert judged(one, pack({**head, "disjunct": 3}, arrays)).code == "check/kernel"  # some inputs satisfy it


@program
@pytest.mark.parametrize("name", [name for name, (recipe, _, _) in WRONG.items() if recipe in IN_REACH])
def test_wrong_certificates_are_rejected(name):
    recipe, change, _ = WRONG[name]
    one = certificate_cases.case(recipe)
    head, arrays = unpack(one.certificate)
    change(head, arrays)
    found = judged(one, pack(head, arrays))
    assert found.verified == (name in VERIFIED)
    assert name not in VERIFIED or all(
        d <= Fraction(e) for d, e in zip(deviations(recipe), found.epsilons, strict=True)
    )


@program
@pytest.mark.slow
def test_what_is_verified_of_mutants_is_true():
    """By an oracle that enumerates linear regions: deviations and signs."""
    one, generator = certificate_cases.case("boxes"), np.random.default_rng(5)
    reduced, verified = parse_network(one.reduced), 0
    truth = Truth(one.original, reduced, one.domain)
    for number in range(2 * settings().max_examples + 1):
        head, arrays = unpack(one.certificate)
        if number:
            mutate_array(generator, arrays)
        for entry in head["layers"]:  # ranges are not claims that the proved checker reads
            for key, end in (("lower", -np.inf), ("upper", np.inf)):
                arrays[entry[key]] = np.full(np.shape(arrays[entry["status"]]), end)
        found = judged(one, certificate := pack(head, arrays))
        verified += found.verified
        assert not found.verified or truth.allows(found, certificate)
    assert verified


@program
def test_no_steps_show_the_program_a_smaller_deviation_than_there_is(tmp_path):
    one = certificate_cases.case("boxes")
    (original, questions, reduced, _, signs), problem, proof = written(one)
    assert accepts(tmp_path, problem, proof, claim="near")
    least = [float(d) for d in deviations("boxes")]
    assert max(least) > 0
    wrong = list(integers(original, questions, reduced, [d / 2 for d in least], signs).numbers())
    assert not accepts(tmp_path, wrong, proof, claim="near")
    generator = random.Random(4)
    for _ in range(4 * settings().max_examples):
        changed = list(proof)
        for _ in range(generator.choice([1, 1, 2, 5])):
            place = generator.randrange(len(changed))
            changed[place] = generator.choice([0, 1, -1, 2, 3, changed[place] * 2, -changed[place], 1 << 80])
        assert not accepts(tmp_path, wrong, changed, claim="near")


def test_each_number_of_a_comparison_is_compared_with_the_files():
    about, numbers, _ = written(certificate_cases.case("two-parts"))
    require_same(" ".join(map(str, numbers)), *about)
    generator = random.Random(6)
    places = {0, 1, 2, *generator.sample(range(len(numbers)), 15), *range(len(numbers) - 40, len(numbers))}
    for place in places:
        changed = [v + (k == place) for k, v in enumerate(numbers)]
        with pytest.raises((eq.EqverifyError, IndexError, ValueError)):
            require_same(" ".join(map(str, changed)), *about)


def point_of(one):
    """The network, the case and the input of a proof of `sat`, and the disjunct that it satisfies, from 0."""
    network, (case, *_) = normalised(parse_network(one.network)), lower(parse_query(decode(one.query))).cases
    head, _ = one.parts
    assert head["case"] == 1
    x = [Fraction(text) for text in head["input"]]
    y = outputs_exact(network, x)
    number = next(k for k, rows in enumerate(case.unsafe) if all(row.holds(x, y) for row in rows))
    return network, rows_of_point(case, number), x


def test_each_number_of_a_point_s_problem_is_compared_with_the_files():
    network, rows, _ = point_of(satisfied())
    numbers = list(point_numbers(network, rows))
    require_same_point(" ".join(map(str, numbers)), network, rows)
    for place in range(len(numbers)):
        changed = [-v - 1 if k == place else v for k, v in enumerate(numbers)]
        with pytest.raises((eq.EqverifyError, IndexError, ValueError)):
            require_same_point(" ".join(map(str, changed)), network, rows)


@program
def test_an_input_that_satisfies_a_property_verifies_and_others_do_not(tmp_path):
    one = satisfied()
    verdict = check_proved(one.network, one.query, one.proof)
    assert str(verdict) == "verified sat by the coq kernel"
    head, arrays = one.parts
    outside = one.about({**head, "input": ["1000", *head["input"][1:]]}, arrays)
    assert not check_proved(one.network, one.query, outside).verified
    other = proved_case("cover")  # of which no input satisfies the condition
    assert check_proved(other.network, other.query, other.about(head, arrays)).code == "check/not-satisfied"
    network, rows, x = point_of(one)
    problem, point = list(point_numbers(network, rows)), [1 << 60, len(x), *(int(v * (1 << 60)) for v in x)]
    exact = [Fraction(v, 1 << 60) for v in point[2:]]
    assert accepts(tmp_path, problem, point, claim="sat") == (exact == x)
    assert not accepts(tmp_path, problem, [*point[:2], point[2] + (1000 << 60), *point[3:]], claim="sat")
    assert not accepts(tmp_path, problem, [0, *point[1:]], claim="sat")
    assert not accepts(tmp_path, problem, [-(1 << 60), len(x), *(-v for v in point[2:])], claim="sat")


def test_rows_of_a_point_are_those_that_are_written():
    """Strict ends and rows stay strict, and an end that no float holds stays where it is."""
    variables = "(declare-const X_0 Real)(declare-const Y_0 Real)"
    text = f"{variables}(assert (< X_0 0.1))(assert (>= X_0 -0.3))(assert (> Y_0 0.7))"
    (case,) = lower(parse_query(text)).cases
    rows = rows_of_point(case, 0)
    assert any(row.strict and row.inputs == {0: 1} and row.bound == Fraction(1, 10) for row in rows)
    assert any(not row.strict and row.inputs == {0: -1} and row.bound == Fraction(3, 10) for row in rows)
    assert any(row.strict and row.outputs == {0: -1} and row.bound == Fraction(-7, 10) for row in rows)
