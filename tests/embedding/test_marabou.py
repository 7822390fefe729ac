"""Proved ranges in Marabou's query, with the real package: its variables against values of the network."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import eqverify as eq
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.errors import InputError, UsageError
from eqverify.network import evaluate_nodes

pytest.importorskip("maraboupy", reason="maraboupy has no wheels for this version of Python")

SIZE = 3


def branching_model(path: Path, seed: int) -> Path:
    """Two branches of equal size: Marabou reads the one that is listed second first."""
    random = np.random.default_rng(seed)
    weights = {f"W{k}": random.normal(size=shape) for k, shape in enumerate([(SIZE, 4), (SIZE, 4), (4, 4), (4, 1)])}
    nodes = [
        helper.make_node("MatMul", ["X", "W0"], ["u"]),
        helper.make_node("Relu", ["u"], ["hu"]),
        helper.make_node("MatMul", ["X", "W1"], ["v"]),
        helper.make_node("Relu", ["v"], ["hv"]),
        helper.make_node("MatMul", ["hv", "W2"], ["w"]),
        helper.make_node("Relu", ["w"], ["hw"]),
        helper.make_node("Add", ["hw", "hu"], ["s"]),
        helper.make_node("MatMul", ["s", "W3"], ["Y"]),
    ]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("X", [1, SIZE]), ("Y", [1, 1]))]
    stored = [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "branching", info[:1], info[1:], stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), path)
    return path


def read(path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from maraboupy import Marabou

        return Marabou.read_onnx(str(path))


def bounded(network, problem):
    from eqverify.embedding.marabou_query import bound_query

    return bound_query(network, problem, eq.prove_stability(problem))


def solved(network):
    from maraboupy import Marabou

    return network.solve(verbose=False, options=Marabou.createOptions(verbosity=0, timeoutInSeconds=60))[:2]


@pytest.mark.parametrize("seed", range(3))
def test_every_variable_gets_the_range_of_its_own_unit(tmp_path, seed):
    """On a domain of one point the ranges are values: those that Marabou finds by itself for every variable."""
    path = branching_model(tmp_path / "net.onnx", seed)
    at = np.random.default_rng(seed).uniform(-1, 1, SIZE)
    problem = eq.load_problem(path, box_domain(at, at), as_stored=True)
    network = read(path)
    values = evaluate_nodes(problem.network, at[None])
    known = np.sort(np.concatenate([values[name][0] for name in ("u", "v", "w")]))
    assert bounded(network, problem) == 2 * (SIZE + 3 * 2 * 4) - (known <= 0).sum()  # Marabou knows that h >= 0
    plain = read(path)
    for variable, value in zip(plain.inputVars[0].ravel().tolist(), at.tolist(), strict=True):
        plain.setLowerBound(variable, value)
        plain.setUpperBound(variable, value)
    answer, found = solved(plain)
    assert answer == "sat"
    for z, h in plain.reluList:
        for variable in (z, h):
            assert network.lowerBounds[variable] - 1e-5 <= found[variable] <= network.upperBounds[variable] + 1e-5
    assert sorted(network.lowerBounds[z] for z, _ in network.reluList) == pytest.approx(known, abs=1e-9)


def test_answers_stay_what_they_are_and_tighter_bounds_stay(tmp_path):
    path = branching_model(tmp_path / "net.onnx", 5)
    problem = eq.load_problem(path, box_domain([-1.0] * SIZE, [1.0] * SIZE), as_stored=True)
    most = eq.prove_ranges(problem).outputs.upper[0]
    answers = []
    for threshold in (most + 1e-3, most / 4):
        network = read(path)
        first = int(network.inputVars[0].ravel()[0])
        network.setUpperBound(first, 0.9)
        network.setLowerBound(int(network.outputVars[0].ravel()[0]), threshold)
        bounded(network, problem)
        assert (network.lowerBounds[first], network.upperBounds[first]) == (-1.0, 0.9)
        answers.append(solved(network)[0])
    assert answers == ["unsat", "sat"]


def test_other_networks_and_other_domains_are_refused(tmp_path):
    path, other = (branching_model(tmp_path / f"{seed}.onnx", seed) for seed in (1, 2))
    box = box_domain([-1.0] * SIZE, [1.0] * SIZE)
    with pytest.raises(UsageError, match="embedding/other-network"):
        bounded(read(other), eq.load_problem(path, box, as_stored=True))
    row = Domain((Polytope(box.polytopes[0].box, np.ones((1, SIZE)), np.array([0.5])),))
    with pytest.raises(InputError, match="embedding/constraints"):
        bounded(read(path), eq.load_problem(path, row, as_stored=True))
    two = replace(row, polytopes=(Polytope(Box(-np.ones(SIZE), np.ones(SIZE))), *row.polytopes))
    with pytest.raises(InputError, match="embedding/parts"):
        bounded(read(path), eq.load_problem(path, two, as_stored=True))
