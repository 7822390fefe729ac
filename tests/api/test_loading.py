"""Networks are normalised where they are read, once, for every command: answers are about the file all the same."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

import eqverify as eq
from eqverify.checker import check_bytes
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.errors import ContradictionError
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification
from eqverify.frontend.onnx import cut, parse_front, parse_network
from eqverify.network import Affine, Network, outputs_exact
from eqverify.problem import box_problem
from eqverify.testing.chains import chain_network
from eqverify.testing.splitting import Split, split_relu

SIZES = (2, 4, 3, 1)


def networks():
    """A small network of float32 weights, and the same with its first layer split."""
    random = np.random.default_rng(7)
    layers = [
        (random.normal(size=(rows, columns)).astype("f4").astype(float), random.integers(-4, 5, rows) / 8.0)
        for columns, rows in pairwise(SIZES)
    ]
    network = chain_network(layers, "float32", (1,))
    splits = [Split(unit, 0.25 * unit - 0.5, 1.0, 1.0) for unit in range(4)]
    return network, split_relu(network, "relu0", splits, "float32")


@pytest.fixture
def files(tmp_path):
    """(original, split, property): paths; the property asks for outputs below the least one at corners, less 100."""
    network, split = networks()
    paths = []
    for name, written in (("original", network), ("split", split)):
        paths.append(tmp_path / f"{name}.onnx")
        paths[-1].write_bytes(write_network(written, metadata={}, producer="test", dtype="float32"))
    specification = box_problem(network, -np.ones(2), np.ones(2)).specification
    case = Case(Polytope(Box(-np.ones(2), np.ones(2))), ((HalfSpace({}, {0: Fraction(1)}, Fraction(-100)),),))
    query = tmp_path / "p.vnnlib"
    query.write_text(format_specification(type(specification)(specification.networks, (case,))))
    return (*paths, query)


def test_the_network_of_a_problem_is_the_normalised_one(files):
    original, split, query = files
    problem = eq.load_problem(split, query)
    assert [problem.network.sizes[node.name] for node in problem.network.relus] == [4, 3]
    assert problem.reading.folded == 8
    assert "8 ReLUs less" in str(problem.reading)
    assert problem.relu_count == 15
    assert eq.load_network(split).relu_count == 15
    assert eq.load_problem(original, query).reading.folded == 0


def test_what_is_said_of_single_units_is_about_those_of_the_file(files):
    _, split, query = files
    stored = eq.load_problem(split, query, as_stored=True)
    assert stored.network.relu_count == stored.relu_count == 15
    assert sum(layer.size for layer in eq.prove_stability(split, query, engine="crown").layers) == 15
    assert sum(layer.size for layer in eq.prove_ranges(split, query, engine="crown").facts.layers) == 15


def test_what_was_read_node_by_node_is_kept_for_comparison(files):
    front = parse_front(files[1].read_bytes())
    assert front.as_stored.relu_count == 15
    assert parse_network(files[1].read_bytes()).relu_count == 15
    for point in ([Fraction(1, 3), Fraction(-1, 7)], [Fraction(-9, 5), Fraction(2)]):
        assert outputs_exact(front.network, point) == outputs_exact(front.as_stored, point)


def test_a_network_that_is_normalised_wrongly_is_found_out(files, monkeypatch):
    """By float64 at the points of the comparison with onnxruntime, whoever made it."""
    original, split, query = files
    monkeypatch.setattr(cut, "normalised", lambda network: with_bias(parse_network(original.read_bytes()), 2.0**-20))
    with pytest.raises(ContradictionError) as found:
        eq.load_problem(split, query)
    assert found.value.code == "read/normalised"


def with_bias(network, added):
    *before, last = network.nodes
    return Network(network.inputs, (*before, Affine(last.name, last.terms, last.bias + added)), network.outputs)


def test_the_split_is_undone_and_the_certificate_is_about_the_file(files, tmp_path):
    original, split, query = files
    found = [eq.reduce(eq.load_problem(path, query), certificate=True) for path in (original, split)]
    assert found[1].network.relu_count == found[0].network.relu_count
    assert found[1].as_dict()["relus_before"] == 15
    reduced, certificate = found[1].data, found[1].certificate.data
    verdict = check_bytes(split.read_bytes(), query.read_bytes(), reduced, certificate)
    assert verdict.verified, verdict
    other = check_bytes(original.read_bytes(), query.read_bytes(), reduced, certificate)
    assert not other.verified
    assert other.code == "certificate/digest"


def test_where_nothing_is_gained_the_normalised_network_is_written(files):
    """Not the file's bytes, whose units are others than those that facts and certificate are about."""
    _, split, query = files
    query.write_text(query.read_text().replace("1.0", "1000.0"))
    found = eq.reduce(eq.load_problem(split, query), certificate=True, engine="crown")
    assert found.network.relu_count <= 7
    assert found.data != split.read_bytes()
    verdict = check_bytes(split.read_bytes(), query.read_bytes(), found.data, found.certificate.data)
    assert verdict.verified, verdict


def test_verify_and_equivalent_know_the_same_network(files):
    original, split, query = files
    answers = [eq.verify(query, path) for path in (original, split)]
    assert [answer.verdict for answer in answers] == ["unsat", "unsat"]
    assert answers[1].relus_before == 15
    assert eq.equivalent(original, split, query, epsilon=0.0).verdict == "equivalent"
