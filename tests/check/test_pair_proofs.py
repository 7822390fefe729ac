"""Proofs about two networks: inputs that a query equates are one, and what is satisfiable has no proof."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import eqverify as eq
from eqverify.checker import check_bytes, check_several
from eqverify.checker.joint import shared, side_by_side
from eqverify.cli.main import run
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.errors import UsageError
from eqverify.export.onnx import write_network
from eqverify.network import Affine, outputs_exact
from eqverify.numerals import exact_text
from eqverify.problem import domain_problem
from eqverify.testing.oracle import deviations_exact

from ..vnncomp import slow
from .certificate_cases import box, pack, random_network, unpack
from .refutation_cases import save
from .test_schema import SCHEMA


def moved(network, by):
    """The network with its first output raised."""
    *nodes, last = network.nodes
    bias = last.bias.copy()
    bias[0] += by
    return replace(network, nodes=(*nodes, replace(last, bias=bias)))


@cache
def pair(epsilon):
    """Two networks whose first outputs are 1/4 apart, the query whether they are equal up to eps, and its proof."""
    first = random_network(3, (2, 6, 6, 2), 0.7)
    with tempfile.TemporaryDirectory() as folder:
        _, domain = save(folder, first, box(2), ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))
        f, g, query = Path(folder, "f.onnx"), Path(folder, "g.onnx"), Path(folder, "query.vnnlib")
        for path, network in ((f, first), (g, moved(first, 0.25))):
            path.write_bytes(write_network(network, metadata={}, producer="test", dtype="float64"))
        query.write_text(eq.pair_query(f, g, domain, epsilon=Fraction(epsilon)))
        answer = eq.verify(query, {"f": f, "g": g}, proof=True, timeout=30, workers=1)
        assert answer.proof is not None, answer.reason
        return {"f": f.read_bytes(), "g": g.read_bytes()}, query.read_bytes(), answer.proof


def about(epsilon, head, arrays):
    """The file with the digests of a pair."""
    networks, query, _ = pair(epsilon)
    files = {"property": query, **{f"network {name}": data for name, data in networks.items()}}
    return pack({**head, "digests": {name: hashlib.sha256(one).hexdigest() for name, one in files.items()}}, arrays)


FAR, NEAR = "4", "0.2"
"""More, and less, than the networks are apart."""


@pytest.mark.parametrize(("epsilon", "verdict"), [(FAR, "verified unsat"), (NEAR, "verified sat")])
@pytest.mark.parametrize("arithmetic", ["float", *slow("exact")])
def test_proofs_about_two_networks_verify_in_both_arithmetics(epsilon, verdict, arithmetic):
    assert str(check_several(*pair(epsilon), arithmetic)) == verdict


def test_a_proof_for_a_larger_eps_proves_nothing_for_a_smaller_one():
    assert check_several(*pair(NEAR)[:2], pair(FAR)[2]).code == "certificate/digest"
    assert check_several(*pair(NEAR)[:2], about(NEAR, *unpack(pair(FAR)[2]))).code.startswith("check/")


def test_an_input_must_be_the_same_for_both():
    networks, query, proof = pair(NEAR)
    head, arrays = unpack(proof)
    x = [Fraction(text) for text in head["input"]]
    assert x[:2] == x[2:]
    for k in range(4):
        other = [value + Fraction(j == k, 10**30) for j, value in enumerate(x)]
        changed = pack({**head, "input": list(map(exact_text, other))}, arrays)
        assert check_several(networks, query, changed).code == "check/not-in-domain"


@pytest.mark.parametrize(
    "change", [lambda n: {"f": n["f"]}, lambda n: {**n, "h": n["f"]}, lambda n: {"f": n["f"], "h": n["g"]}]
)
def test_networks_are_those_that_are_declared(change):
    networks, query, proof = pair(FAR)
    assert check_several(change(networks), query, proof).code == "check/arity"


def test_networks_may_not_be_exchanged():
    networks, query, proof = pair(FAR)
    assert check_several({"f": networks["g"], "g": networks["f"]}, query, proof).code == "certificate/digest"


def test_equated_inputs_are_one_and_others_stay():
    """x0 = x3 by two rows, x1 <= x2 by one alone: three inputs are left beside x0, over which rows are summed."""
    network = side_by_side([random_network(1, (2, 3, 1)), random_network(2, (2, 3, 1))])
    rows = np.array([[1.0, 0, 0, -1.0], [-2.0, 0, 0, 2.0], [0, 1.0, -1.0, 0], [1.0, 0, 0, 1.0]])
    part = Polytope(Box(-np.ones(4), np.array([1.0, 1.0, 1.0, 0.5])), rows, np.array([0.0, 0.0, 0.0, 1.5]))
    row = HalfSpace({0: Fraction(1), 3: Fraction(2)}, {0: Fraction(1)}, Fraction(0))
    found = shared(network, Case(part, ((row,),)))
    assert found is not None
    joint, case = found
    assert case.polytope.box.upper.tolist() == [0.5, 1.0, 1.0]
    assert case.polytope.matrix.tolist() == [[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]
    assert case.unsafe == ((replace(row, inputs={0: Fraction(3)}),),)
    x = [Fraction(1, 3), Fraction(1, 5), Fraction(2, 7)]
    assert outputs_exact(joint, x) == outputs_exact(network, [*x, x[0]])


def test_rows_that_are_not_the_reverse_of_each_other_equate_nothing():
    network = random_network(1, (2, 3, 1))
    for rows, bound in (
        ([[1.0, -1.0], [-1.0, 1.0]], [0.0, 1e-300]),
        ([[1.0, -1.0], [1.0, -1.0]], [0.0, 0.0]),
        ([[1.0, -1.0], [-1.0, 2.0]], [0.0, 0.0]),
        ([[1.0, 1.0], [-1.0, -1.0]], [0.0, 0.0]),
    ):
        found = shared(network, Case(Polytope(Box(-np.ones(2), np.ones(2)), np.array(rows), np.array(bound)), ()))
        assert found is not None
        assert found[1].polytope.box.size == 2


def test_boxes_of_equated_inputs_that_have_nothing_in_common_leave_no_input():
    part = Polytope(Box(np.array([0.0, 2.0]), np.array([1.0, 3.0])), np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2))
    assert shared(random_network(1, (2, 3, 1)), Case(part, ())) is None


@pytest.mark.slow
def test_the_commands_write_and_check_it(tmp_path, capsys):
    networks, query, _ = pair(FAR)
    paths = {name: tmp_path / f"{name}.onnx" for name in networks}
    for name, data in networks.items():
        paths[name].write_bytes(data)
    text, proof = tmp_path / "query.vnnlib", tmp_path / "proof"
    text.write_bytes(query)
    named = [word for name, path in paths.items() for word in ("--network", f"{name}={path}")]
    run(["verify", str(text), *named, "--proof", str(proof), "--timeout", "60", "--workers", "1"])
    assert capsys.readouterr().out == "unsat\n"
    assert run(["check", str(text), str(proof), *named]) == 0
    assert capsys.readouterr().out == "verified unsat\n"
    assert run(["check", str(text), str(proof)]) == 2


@cache
def compared(top1):
    """Two networks whose first outputs are 1/4 apart, the second far below: f, property, g and a proof about both."""
    first = random_network(3, (2, 6, 6, 2), 0.7)
    *nodes, last = first.nodes
    bias = (last.bias - np.array([0.0, 64.0])).astype(np.float32).astype(np.float64)
    first = replace(first, nodes=(*nodes, replace(last, bias=bias)))
    with tempfile.TemporaryDirectory() as folder:
        _, domain = save(folder, first, box(2), ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))
        f, g = Path(folder, "f.onnx"), Path(folder, "g.onnx")
        for path, network in ((f, first), (g, moved(first, 0.25))):
            path.write_bytes(write_network(network, metadata={}, producer="test", dtype="float64"))
        asked = {"top1": True} if top1 else {"epsilon": Fraction(FAR)}
        with patch("eqverify.deciding.pair_proofs._by_units", return_value=None):
            answer = eq.equivalent(f, g, domain, proof=True, timeout=60, **asked)
        assert answer.proof is not None, answer.reason
        assert answer.as_dict()["proof_bytes"] == len(answer.proof)
        return f.read_bytes(), domain.read_bytes(), g.read_bytes(), answer.proof


def told(files, **changes):
    """A proof with other entries of its head, about other files if these are given."""
    f, domain, g, proof = files
    head, arrays = unpack(proof)
    digests = {"network": f, "property": domain, "reduced": g}
    head |= {"digests": {name: hashlib.sha256(one).hexdigest() for name, one in digests.items()}}
    return f, domain, g, pack({**head, **changes}, arrays)


@pytest.mark.parametrize(
    ("top1", "verdict"), [(False, "verified equivalent eps=4.0"), (True, "verified equivalent top-1")]
)
@pytest.mark.parametrize("arithmetic", ["float", pytest.param("exact", marks=pytest.mark.slow)])
def test_what_is_said_of_two_networks_verifies_in_both_arithmetics(top1, verdict, arithmetic):
    assert str(check_bytes(*compared(top1), arithmetic)) == verdict
    SCHEMA.validate(unpack(compared(top1)[3])[0])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"epsilon": ["0.2", "0.2"]}, "check/not-empty"),
        ({"epsilon": ["0.2", "4"]}, "check/not-empty"),
        ({"epsilon": ["4"]}, "certificate/shape"),
        ({"epsilon": ["4", "-4"]}, "certificate/negative"),
        ({"epsilon": ["4", "nan"]}, "certificate/number"),
        ({"epsilon": "4"}, "certificate/type"),
        ({"epsilon": ["4", "4"], "claim": "pair-different"}, "certificate/field"),
        ({"claim": "property-unsat"}, "certificate/field"),
        ({"claim": ["pair-equivalent"]}, "certificate/field"),
        ({"cases": []}, "certificate/cases"),
    ],
)
def test_a_proof_about_two_networks_proves_nothing_else(changes, code):
    assert str(check_bytes(*told(compared(False)))) == "verified equivalent eps=4.0"
    f, domain, g, proof = told(compared(False), **changes)
    found = check_bytes(f, domain, g, proof)
    assert not found.verified
    assert found.code == code


def test_a_difference_is_one_of_more_than_eps_at_an_input_of_the_property():
    """f and g differ by 1/4 in their first output everywhere, and in no other."""
    files, x = compared(False), {"claim": "pair-different", "case": 1, "input": ["0.5", "-1/3"]}
    small = "0.24999999999999999999999999"
    for epsilon, code in ((["1/4", "0"], "check/not-satisfied"), ([small, "0"], ""), (None, "check/not-satisfied")):
        found = check_bytes(*told(files, **x, epsilon=epsilon), "exact")
        assert (found.code, found.verified) == (code, not code)
    SCHEMA.validate(unpack(told(files, **x, epsilon=None)[3])[0])
    assert str(check_bytes(*told(files, **x, epsilon=[small, "0"]))) == f"verified different eps={small},0.0"
    outside = {**x, "input": ["2", "0"], "epsilon": [small, "0"]}
    assert check_bytes(*told(files, **outside)).code == "check/not-in-domain"


def test_networks_of_a_comparison_may_not_be_exchanged_or_others():
    f, domain, g, proof = compared(False)
    assert check_bytes(g, domain, f, proof).code == "certificate/digest"
    assert check_bytes(f, domain, None, proof).code == "certificate/claim"
    model = replace(random_network(3, (2, 6, 6, 2), 0.7))
    other = write_network(moved(model, 8.0), metadata={}, producer="test", dtype="float64")
    assert check_bytes(*told((f, domain, other, proof))).code == "check/not-empty"


def test_a_property_written_for_the_other_network_follows():
    """K-15 with the eps of a comparison: what is unsat for g and the relaxed condition is so for f."""
    f, domain, g, proof = compared(False)
    for bound, code in (("4.0", ""), ("3.9", "check/property")):
        wider = domain.replace(b"0.0)", f"{bound})".encode()) if b"Y_0 0.0" in domain else domain
        assert wider != domain
        found = check_bytes(f, domain, g, proof, relaxed=wider)
        assert (found.code, found.relaxed) == (code, not code)


def test_a_comparison_is_of_files(tmp_path):
    network, name = random_network(3, (2, 6, 6, 2), 0.7), tmp_path / "f.onnx"
    name.write_bytes(write_network(network, metadata={}, producer="test", dtype="float64"))
    _, domain = save(str(tmp_path), network, box(2), ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))
    for f, where in ((network, domain), (name, box(2))):
        with pytest.raises(UsageError, match="certificate/no-files"):
            eq.equivalent(f, name, where, epsilon=4, proof=True, timeout=5)


def test_the_command_equiv_writes_what_check_verifies(tmp_path, capsys):
    f, domain, g, _ = compared(False)
    paths = [tmp_path / name for name in ("f.onnx", "g.onnx", "p.vnnlib")]
    for path, data in zip(paths, (f, g, domain), strict=True):
        path.write_bytes(data)
    proof, (one, other, query) = tmp_path / "proof", map(str, paths)
    assert run(["equiv", one, other, query, "--epsilon", "0.2", "--proof", str(proof)]) == 1
    capsys.readouterr()
    assert run(["check", one, query, other, str(proof)]) == 0
    assert capsys.readouterr().out == "verified different eps=0.2\n"


def alike(kind):
    """A network and one whose units correspond to some of its units: its reduction, or itself with other weights."""
    first, where = random_network(3, (2, 8, 8, 2), 0.7), box(2)
    if kind == "reduced":
        return first, eq.reduce(domain_problem(first, where), engine="crown").network
    nodes = [replace(node, bias=node.bias + 2.0**-20) if isinstance(node, Affine) else node for node in first.nodes]
    return first, first if kind == "same" else replace(first, nodes=tuple(nodes))


@pytest.mark.parametrize(
    ("kind", "epsilon"), [("reduced", "1e-5"), pytest.param("moved", "1e-3", marks=pytest.mark.slow), ("same", "0")]
)
def test_networks_whose_units_correspond_have_certificates(kind, epsilon, tmp_path):
    """With an eps that bounds of both side by side do not show; an oracle says whether it is true."""
    f, g = tmp_path / "f.onnx", tmp_path / "g.onnx"
    first, second = alike(kind)
    _, domain = save(str(tmp_path), first, box(2), ((HalfSpace({}, {0: Fraction(1)}, Fraction(0)),),))
    for path, network in ((f, first), (g, second)):
        path.write_bytes(write_network(network, metadata={}, producer="test", dtype="float64"))
    answer = eq.equivalent(f, g, domain, epsilon=Fraction(epsilon), proof=True, timeout=60)
    assert answer.verdict == "equivalent"
    files = f.read_bytes(), domain.read_bytes(), g.read_bytes(), answer.proof
    verdicts = [check_bytes(*files, arithmetic) for arithmetic in ("float", "exact")]
    for verdict in verdicts:
        claim = "pair-equivalent" if kind == "same" else "equivalent"
        assert (verdict.verified, verdict.claim, verdict.solver_trusted) == (True, claim, 0)
        assert max(verdict.epsilons) <= Fraction(epsilon)
    for found, most in zip(deviations_exact(first, second, box(2)), verdicts[0].epsilons, strict=True):
        assert found.value <= Fraction(most)


def test_the_same_network_is_equivalent_without_steps_and_never_different():
    """The proof has no steps, and is one for these two files only."""
    f, domain, g, _ = compared(False)
    head, arrays = {"format": "eqverify certificate", "version": 1, "claim": "pair-equivalent", "about": {}}, []
    empty = pack({**head, "epsilon": ["0", "0"], "cases": []}, arrays)
    assert str(check_bytes(*told((f, domain, f, empty)))) == "verified equivalent eps=0.0"
    assert str(check_bytes(*told((f, domain, f, empty), epsilon=None))) == "verified equivalent top-1"
    assert check_bytes(*told((f, domain, g, empty))).code == "certificate/cases"
    where = {"claim": "pair-different", "case": 1, "input": ["0", "0"]}
    assert check_bytes(*told((f, domain, f, empty), **where)).code == "check/not-satisfied"
