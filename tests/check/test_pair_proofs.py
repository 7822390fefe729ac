"""Proofs about two networks: inputs that a query equates are one, and what is satisfiable has no proof."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import eqverify as eq
from eqverify.checker import check_several
from eqverify.checker.joint import shared, side_by_side
from eqverify.cli.main import run
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.export.onnx import write_network
from eqverify.network import outputs_exact
from eqverify.numerals import exact_text

from .certificate_cases import box, pack, random_network, unpack
from .refutation_cases import save


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
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
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
