"""Claims about float32 runs (K-20): verified in both arithmetics, never below what a run shows, and never too small."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.checker.numbers import Exact, Floats
from eqverify.checker.runs import halved, output_errors, row_errors
from eqverify.cli.main import run
from eqverify.domain import Box, Domain, HalfSpace, Polytope
from eqverify.errors import RejectedError
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import parse_network
from eqverify.network import Affine, Dense, Network, Port, Term
from eqverify.runtime_error import domain_errors
from eqverify.testing.chains import chain_network

from ..reject.test_mutations import mutant
from ..runtime_error.test_propagation import FLOATS, MODELS, assert_within, run_of
from .certificate_cases import box, pack, random_network, unpack
from .proof_cases import Proved
from .refutation_cases import at_least, save
from .test_schema import SCHEMA

COUNT = 3_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 60
TERMS = 1000
STEP = 2.0**-24
"""Added to 1 it is lost: a run of TERMS - 1 of them and 1 is between 1 and 1 + (TERMS - 1) STEP, by its order."""


def errors_on(network: Network, lower, upper, numbers=None, halvings=0):
    domain = Domain((Polytope(Box(np.asarray(lower, float), np.asarray(upper, float))),))
    return output_errors(halved(network, domain, numbers or Floats(), halvings))


@given(MODELS, st.data(), st.sampled_from([Floats, Exact]), st.integers(0, 2))
def test_runs_are_within_the_bound(network, data, numbers, halvings):
    lower = np.array([data.draw(FLOATS) for _ in range(network.input_size)])
    upper = np.maximum(lower, np.array([data.draw(FLOATS) for _ in range(network.input_size)]))
    errors = errors_on(network, lower, upper, numbers(), halvings)
    shares = np.random.default_rng(0).choice([0.0, 0.25, 0.5, 1.0], size=(4, network.input_size))
    points = np.clip((lower + shares * (upper - lower)).astype(np.float32).astype(float), lower, upper)
    for x, values in zip(points, run_of(network, points), strict=True):
        assert_within(network, x, values, errors)


def long_sum() -> Network:
    node = Affine("z", (Term("x", Dense(np.array([[1.0] + [STEP] * (TERMS - 1)]))),), np.zeros(1))
    return Network((Port("x", (TERMS,), "float32", "x"),), (node,), (Port("y", (1,), "float32", "z"),))


@pytest.mark.parametrize("numbers", [Floats, Exact])
def test_the_worst_order_of_a_long_sum_is_within_the_bound_and_not_far_below_it(numbers):
    (found,) = errors_on(long_sum(), np.ones(TERMS), np.ones(TERMS), numbers())
    lost = (TERMS - 1) * STEP  # by a run from left to right
    assert lost <= found <= 1.1 * lost


def test_it_is_as_close_as_the_bound_of_the_prover():
    network = random_network(0, (5, 40, 40, 40, 3))
    ends = np.full(5, -0.5), np.full(5, 0.5)
    assert (errors_on(network, *ends, halvings=6) <= 1.5 * domain_errors(network, [Box(*ends)])).all()
    assert (errors_on(network, *ends, halvings=6) < 0.9 * errors_on(network, *ends)).all()


def test_what_is_off_adds_nothing_and_what_outputs_have_in_common_cancels():
    def after(bias, weight):
        return chain_network([(np.ones((1, 2)), np.array([bias])), (np.array([[weight]]), np.zeros(1))], "float32")

    assert errors_on(after(-3.0, 1e6), np.zeros(2), np.ones(2))[0] < 1e-25
    assert errors_on(after(-2.0, 1e6), np.zeros(2), np.ones(2))[0] > 0.1
    copies = chain_network([(np.ones((1, 99)), np.ones(1)), (np.ones((2, 1)), np.zeros(2))], "float32")
    region = halved(copies, Domain((Polytope(Box(np.zeros(99), np.ones(99))),)), Floats(), 0)
    one, both = (
        HalfSpace({}, dict(enumerate(row)), Fraction(0)) for row in ([Fraction(1)], [Fraction(1), Fraction(-1)])
    )
    single, difference = row_errors(region, [one, both])
    assert 0 < difference < single / 10


def test_coefficients_that_are_no_floats_count_whole():
    region = halved(long_sum(), Domain((Polytope(Box(np.ones(TERMS), np.ones(TERMS))),)), Floats(), 0)
    plain, more, large = row_errors(
        region,
        [
            HalfSpace({}, {0: value}, Fraction(0))
            for value in (Fraction(1), 1 + Fraction(1, 10**30), Fraction(10**30 + 1))
        ],
    )
    assert more == plain * (1 + Fraction(1, 10**30))
    assert large >= plain * (10**30 + 1)
    with pytest.raises(RejectedError, match="check/runs"):
        row_errors(region, [HalfSpace({}, {0: Fraction(10) ** 400}, Fraction(0))])


def test_sums_that_may_overflow_are_rejected():
    for numbers in (Floats(), Exact()):
        with pytest.raises(eq.EqverifyError) as caught:
            errors_on(long_sum(), np.full(TERMS, -3e38), np.full(TERMS, 3e38), numbers)
        assert caught.value.code in ("check/runs", "check/exact-infinite")


@cache
def reduced(scale=1.0):
    """Files of a reduction of which runs are claimed: network, property, reduced network, certificate."""
    network, domain = random_network(3, (2, 6, 6, 2), 0.7), box(2)
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, ((at_least(Fraction(10**6), 0),),))
        result = eq.reduce(eq.load_problem(model, query), certificate=True, engine="crown")
        assert result.certificate is not None
        assert result.epsilon_float32 == max(result.certificate.verdict.epsilons_float32)
        return model.read_bytes(), query.read_bytes(), result.data, result.certificate.data


def told(change, files=None):
    """The verdict on a certificate with another head or arrays."""
    network, query, other, certificate = files or reduced()
    head, arrays = unpack(certificate)
    change(head, arrays)
    return check_bytes(network, query, other, pack(head, arrays))


@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_a_certificate_says_how_far_runs_are_from_each_other(arithmetic):
    verdict = check_bytes(*reduced(), arithmetic)
    assert verdict.verified, verdict.reason
    assert f"eps float32={max(verdict.epsilons_float32)!r} verified" in str(verdict)
    assert max(verdict.epsilons_float32) > verdict.epsilon
    SCHEMA.validate(unpack(reduced()[3])[0])


def seen(network: bytes, other: bytes) -> np.ndarray:
    """The largest deviations of runs of two files that are seen at points of the box."""
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 2)).astype(np.float32).astype(float)
    runs = [run_of(parse_network(data), points) for data in (network, other)]
    return np.abs(runs[0] - runs[1]).max(axis=0)


def put(value, *way):
    def change(head, arrays):
        for key in way[:-1]:
            head = head[key]
        head[way[-1]] = value

    return change


def scaled(factor):
    def change(head, arrays):
        arrays[head["runs"]["epsilon"]] *= factor

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (scaled(0.99), "check/runs"),
        (scaled(0.0), "check/runs"),
        (scaled(-1.0), "certificate/negative"),
        (scaled(np.inf), "certificate/not-finite"),
        (put(9, "runs", "halvings"), "certificate/range"),
        (put(-1, "runs", "halvings"), "certificate/range"),
        (put(None, "runs", "halvings"), "certificate/range"),
        (put({}, "runs"), "certificate/field"),
        (put(None, "runs"), "certificate/field"),
        (put(0, "runs", "epsilon"), "certificate/shape"),
        (scaled(1.5), ""),
        (lambda head, arrays: head.pop("runs"), ""),
    ],
)
def test_what_is_claimed_of_runs_is_established(change, code):
    verdict = told(change)
    assert verdict.code == code
    if code not in ("", "check/runs", "certificate/negative", "certificate/not-finite"):
        head = unpack(reduced()[3])[0]
        change(head, [])
        assert not SCHEMA.is_valid(head) or code == "certificate/shape"


def test_without_the_claim_nothing_is_said_of_runs():
    verdict = told(lambda head, arrays: head.pop("runs"))
    assert verdict.verified
    assert verdict.epsilons_float32 == ()
    assert "float32" not in str(verdict)


def test_runs_are_those_of_the_file_and_not_of_the_normalised_network():
    """3 relu(x/3) thrice, and a unit twice: less is left once they are normalised, and less is rounded there."""
    first = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]) / 4
    network = chain_network([(first, np.full(3, 0.125)), (np.full((1, 3), 1 / 4), np.zeros(1))], "float32")
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, box(2), ((at_least(Fraction(100), 0),),))
        problem = eq.load_problem(model, query)
        assert problem.stored is not None
        assert problem.network.relu_count < problem.stored.relu_count
        result = eq.reduce(problem, certificate=True, engine="crown")
        files = model.read_bytes(), query.read_bytes(), result.data, result.certificate.data
    assert check_bytes(*files).epsilons_float32
    own = errors_on(problem.stored, [-1.0, -1.0], [1.0, 1.0], halvings=6)
    assert (np.array(check_bytes(*files).epsilons_float32) >= own).all()


@cache
def proof_of(bound: str, verdict: str) -> Proved:
    """The long sum at its only input, and a condition; asked of all runs."""
    network = long_sum()
    domain = Domain((Polytope(Box(np.ones(TERMS), np.ones(TERMS))),))
    row = HalfSpace({}, {0: Fraction(1)}, Fraction(bound))
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, ((row,),))
        answer = eq.verify(query, model, semantics="float32", proof=True, timeout=20)
        assert answer.verdict == verdict, answer.reason
        assert answer.proof is not None
        return Proved(model.read_bytes(), query.read_bytes(), answer.proof, network, domain, ((row,),))


@pytest.mark.parametrize(("bound", "verdict"), [("0.99", "unsat"), ("1.01", "sat")])
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_verdicts_about_all_runs_verify(bound, verdict, arithmetic):
    one = proof_of(bound, verdict)
    found = one.check(arithmetic=arithmetic)
    assert str(found) == f"verified {verdict} of all float32 runs", found.reason
    SCHEMA.validate(one.parts[0])


BETWEEN = 1 + 500 * STEP
"""The network's value is above, that of a run from left to right is below."""


def asked(one: Proved, bound: float) -> Proved:
    """The same proof, by an adversary, about another threshold."""
    with tempfile.TemporaryDirectory() as folder:
        row = HalfSpace({}, {0: Fraction(1)}, Fraction(bound))
        query = save(folder, one.original, one.domain, ((row,),))[1].read_bytes()
    other = replace(one, query=query)
    return replace(other, proof=other.about(*one.parts))


def test_no_proof_says_of_all_runs_what_holds_of_the_network_alone():
    unsat, sat = asked(proof_of("0.99", "unsat"), BETWEEN), asked(proof_of("1.01", "sat"), BETWEEN)
    assert unsat.check().code == "check/not-empty"
    assert sat.check().code == "check/not-satisfied"
    for claim, one in (("property-unsat", unsat), ("property-sat", asked(sat, 1 + 1100 * STEP))):
        head, arrays = one.parts
        assert str(one.check(one.about({**head, "claim": claim}, arrays))) == f"verified {claim[9:]}"
    head, arrays = unsat.parts
    arrays[head["cases"][0]["slack"]][:] = 0.0  # what the network alone needs
    assert unsat.check(unsat.about(head, arrays)).code == "check/runs"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(0, "cases"), "certificate/type"),
        (put([], "cases"), "certificate/cases"),
        (put(None, "halvings"), "certificate/range"),
        (put(9, "halvings"), "certificate/range"),
        (lambda head, arrays: head.pop("halvings"), "certificate/field"),
        (lambda head, arrays: head["cases"][0].pop("slack"), "certificate/field"),
        (lambda head, arrays: arrays[head["cases"][0]["slack"]].fill(-1.0), "certificate/negative"),
        (lambda head, arrays: arrays[head["cases"][0]["slack"]].fill(1.0), "check/not-empty"),
    ],
)
def test_proofs_about_runs_of_another_form_are_rejected(change, code):
    one = proof_of("0.99", "unsat")
    head, arrays = one.parts
    change(head, arrays)
    assert one.check(one.about(head, arrays)).code == code


@pytest.mark.parametrize(("value", "code"), [("1.0000000001", "check/not-in-domain"), ("1/1", "")])
def test_an_input_of_runs_is_of_float32_numbers(value, code):
    one = proof_of("1.01", "sat")
    wider = one.query.replace(b"(assert (<= X_0 1.0))", b"(assert (<= X_0 1e300))")
    assert wider != one.query
    other = replace(one, query=wider)
    head, arrays = one.parts
    for text, wanted in ((value, code), ("1e299", "check/not-in-domain")):
        head["input"][0] = text
        assert other.check(other.about(head, arrays)).code == wanted


def scaling_gemm() -> bytes:
    """A Gemm with alpha 0.7, of which it is not known how it is rounded."""
    model = onnx.load_from_string(write_network(long_sum(), metadata={}, producer="test"))
    (gemm,) = (node for node in model.graph.node if node.op_type == "Gemm")
    kept = [attribute for attribute in gemm.attribute if attribute.name != "alpha"]
    del gemm.attribute[:]
    gemm.attribute.extend([*kept, helper.make_attribute("alpha", 0.7)])
    return model.SerializeToString()


def test_nothing_is_claimed_of_runs_that_are_not_known():
    one = proof_of("0.99", "unsat")
    other = replace(one, network=scaling_gemm())
    assert other.check(other.about(*one.parts)).code == "check/runs"
    network, query, _, certificate = reduced()
    head, arrays = unpack(certificate)
    assert check_bytes(network, query, None, pack({**head, "claim": "runs-equivalent"}, arrays)).code


def pair(epsilon: float, moved: float, verdict: str, timeout: float = 20.0):
    """Two networks that differ by `moved`, and what is said of their runs."""
    network, domain = random_network(3, (2, 6, 6, 1), 0.7), box(2, 0.125)
    *nodes, last = network.nodes
    other = Network(network.inputs, (*nodes, replace(last, bias=last.bias + moved)), network.outputs)
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, ((at_least(Fraction(100), 0),),))
        second = Path(folder, "g.onnx")
        second.write_bytes(write_network(other, metadata={}, producer="test", dtype="float32"))
        answer = eq.equivalent(model, second, query, epsilon=epsilon, semantics="float32", proof=True, timeout=timeout)
        assert answer.verdict == verdict, answer.reason
        return model.read_bytes(), query.read_bytes(), second.read_bytes(), answer.proof


def test_two_networks_are_compared_as_they_run():
    *files, proof = pair(0.25, 0.125, "equivalent")
    verdict = check_bytes(*files, proof)
    assert max(verdict.epsilons_float32) <= 0.25, verdict.reason
    *files, proof = pair(0.0625, 0.125, "different")
    assert str(check_bytes(*files, proof)) == "verified different eps=0.0625 of all float32 runs"
    head, arrays = unpack(proof)
    for epsilon, code in (("0.12499999", "check/not-satisfied"), ("0.1249", "")):
        assert check_bytes(*files, pack({**head, "epsilon": [epsilon]}, arrays)).code == code
    assert pair(0.125, 0.125, "unknown", 1.0)[3] is None


def test_two_networks_are_compared_by_steps_where_their_units_do_not_correspond():
    """Without a certificate by units (K-7), the steps of K-17 about the condition that runs relax."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eqverify.deciding.pair_proofs._by_units", lambda *_: None)
        *files, proof = pair(4.0, 0.125, "equivalent")
    assert unpack(proof)[0]["claim"] == "runs-equivalent"
    SCHEMA.validate(unpack(proof)[0])
    for arithmetic in ("float", "exact"):
        assert str(check_bytes(*files, proof, arithmetic)) == "verified equivalent eps=4.0 of all float32 runs"
    head, arrays = unpack(proof)
    assert check_bytes(*files, pack({**head, "epsilon": ["0.125"]}, arrays)).code == "check/not-empty"
    arrays[head["cases"][0]["slack"]][:] = 0.0
    assert check_bytes(*files, pack(head, arrays)).code == "check/runs"


def test_one_network_is_not_equal_to_itself_in_all_runs():
    network, domain = long_sum(), Domain((Polytope(Box(np.ones(TERMS), np.ones(TERMS))),))
    with tempfile.TemporaryDirectory() as folder:
        model, query = save(folder, network, domain, ((at_least(Fraction(100), 0),),))
        for epsilon, verdict, timeout in ((900 * STEP, "unknown", 1.0), (0.01, "equivalent", 20.0)):
            options = {"semantics": "float32", "proof": True, "timeout": timeout}
            answer = eq.equivalent(model, model, query, epsilon=epsilon, **options)
            assert answer.verdict == verdict
            assert (answer.proof is None) == (verdict == "unknown")


def test_the_commands_write_and_check_it(tmp_path, capsys):
    one = proof_of("0.99", "unsat")
    model, query, proof = tmp_path / "n.onnx", tmp_path / "p.vnnlib", tmp_path / "proof"
    model.write_bytes(one.network)
    query.write_bytes(one.query)
    arguments = ["--semantics", "float32", "--proof", str(proof), "--timeout", "60", "--workers", "1"]
    run(["verify", str(model), str(query), *arguments])
    assert capsys.readouterr().out == "unsat\n"
    assert run(["check", str(model), str(query), str(proof)]) == 0
    assert capsys.readouterr().out == "verified unsat of all float32 runs\n"


@pytest.mark.slow
def test_mutants_claim_nothing_of_runs_that_is_not_so():
    files, random = reduced(), np.random.default_rng(4)
    least, accepted = seen(files[0], files[2]), 0
    for _ in range(COUNT):
        changed = mutant(random, files[3])
        verdict = check_bytes(*files[:3], changed) if changed is not None else None
        if verdict is not None and verdict.epsilons_float32:
            accepted += 1
            assert (np.array(verdict.epsilons_float32) >= least).all()
    assert 0 < accepted < COUNT
    one = proof_of("0.99", "unsat")
    for about in (one, asked(one, BETWEEN)):
        for _ in range(COUNT):
            changed = mutant(random, about.proof)
            verdict = about.check(changed) if changed is not None else None
            assert verdict is None or not verdict.verified or (about is one or verdict.claim == "property-unsat")
