"""eps float32: runs of the original and of the reduced file are no further apart, in any order of their sums."""

from __future__ import annotations

import numpy as np
import pytest

import eqverify as eq
from eqverify.bounds import crown_bounds
from eqverify.cli.render import print_reduction
from eqverify.export.onnx import write_network
from eqverify.export.runtime import run_model
from eqverify.frontend.onnx import parse_network
from eqverify.network import Network, Relu
from eqverify.runtime_error import domain_errors, runtime_errors

from .test_propagation import random_network

SIZES = (6, 40, 40, 3)
TEXT = "\n".join(
    [
        *(f"(declare-const X_{i} Real)" for i in range(6)),
        *(f"(declare-const Y_{j} Real)" for j in range(3)),
        *(f"(assert (>= X_{i} 0.0))\n(assert (<= X_{i} 0.125))" for i in range(6)),
        "(assert (or (and (>= Y_0 100.0)) (and (>= Y_1 100.0))))",
    ]
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    data = write_network(random_network(np.random.default_rng(0), SIZES), metadata={}, producer="test")
    (folder / "n.onnx").write_bytes(data)
    (folder / "p.vnnlib").write_text(TEXT)
    return folder / "n.onnx", folder / "p.vnnlib", data


def sequential(network: Network, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A float32 run of a chain that sums in a random order, (batch, outputs)."""
    values = {network.inputs[0].name: x.astype(np.float32)}
    for node in network.nodes:
        if isinstance(node, Relu):
            values[node.name] = np.maximum(values[node.source], np.float32(0))
            continue
        (term,) = node.terms
        matrix, source = term.map.dense().astype(np.float32), values[term.source]
        total = np.broadcast_to(node.bias.astype(np.float32), (len(x), node.size))
        for k in rng.permutation(matrix.shape[1]):
            total = total + source[:, k : k + 1] * matrix[None, :, k]
        values[node.name] = total
    return values[network.outputs[0].source].astype(float)


def test_runs_differ_by_no_more_than_eps_float32(files):
    model, query, data = files
    problem = eq.load_problem(model, query)
    reduction = eq.reduce(problem)
    assert reduction.network.relu_count < problem.network.relu_count
    bounds, reason = reduction.runs
    assert reason == ""
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 0.125, size=(200, 6)).astype(np.float32).astype(float)
    seen = np.abs(run_model(data, points) - run_model(reduction.data, points)).max(axis=0)
    reduced = parse_network(reduction.data)
    for _ in range(10):
        old, new = sequential(problem.network, points, rng), sequential(reduced, points, rng)
        seen = np.maximum(seen, np.abs(old - new).max(axis=0))
    assert (seen > reduction.epsilons).any()  # eps alone does not bound runs
    assert (seen <= bounds).all()
    assert (bounds < 1e-3).all()
    told = reduction.as_dict()
    assert told["epsilon_float32"] == bounds.max() == reduction.epsilon_float32
    assert told["epsilons_float32"] == bounds.tolist()


def test_what_is_known_of_units_makes_the_bound_smaller(files):
    problem = eq.load_problem(*files[:2])
    hull = problem.domain.hull
    loose = crown_bounds(problem.network, hull.lower[None] - 0.125, hull.upper[None] + 0.125)
    assert (domain_errors(problem.network, [hull]) < 0.9 * runtime_errors(problem.network, loose)[0]).all()


def test_there_is_none_where_runs_are_not_known(files, capsys):
    reduction = eq.reduce(eq.load_problem(eq.load_network(files[0]), files[1]))
    assert reduction.epsilon_float32 is None
    assert "no file" in reduction.runs[1]
    told = reduction.as_dict()
    assert told["epsilon_float32"] is None
    assert told["no_epsilon_float32"] == reduction.runs[1]
    print_reduction(reduction, "out.onnx", {})
    assert "eps float32  not bounded: how these are rounded" in capsys.readouterr().out
