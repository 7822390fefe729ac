"""Real networks: what the README promises, on a few instances (all of them: benchmarks/reduction/run.py)."""

import json

import numpy as np
import pytest

from eqverify.api.loading import load_network, load_problem
from eqverify.cli.main import run
from eqverify.export.runtime import run_model
from eqverify.reduction.pipeline import reduce
from eqverify.stability.facts import Status

from ..vnncomp import vnncomp_root


def instance(benchmark, network, query):
    root = vnncomp_root() / benchmark
    return root / "onnx" / f"{network}.onnx", root / "vnnlib" / f"{query}.vnnlib.gz"


def test_mnist_is_reduced_completely_and_the_file_computes_the_same(tmp_path, capsys):
    network, query = instance("mnist_fc", "mnist-net_256x2", "prop_0_0.03")
    output = tmp_path / "out.onnx"
    assert run(["reduce", str(network), str(query), "-o", str(output), "--time-limit", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["relus_before"] == 512
    assert found["relus_after"] <= 30
    assert sum(layer["undecided"] for layer in found["layers"]) == 0
    assert found["epsilon"] < 1e-4
    problem = load_problem(network, query)
    hull = problem.domain.hull
    points = np.random.default_rng(0).uniform(hull.lower, hull.upper, size=(50, 784)).astype(np.float32).astype(float)
    gap = np.abs(run_model(network.read_bytes(), points) - run_model(output.read_bytes(), points))
    assert gap.max() < 1e-4


@pytest.mark.parametrize("query", ["prop_1", "prop_2", "prop_3", "prop_4"])
def test_acasxu_every_engine_agrees_where_both_decide(query):
    problem = load_problem(*instance("acasxu", "ACASXU_run2a_1_1_batch_2000", query))
    quick = reduce(problem, engine="crown")
    full = reduce(problem, time_limit=4.0)
    assert full.network.relu_count <= quick.network.relu_count
    assert full.epsilon < 1e-4
    stable = (Status.INACTIVE, Status.ACTIVE)
    for few, many in zip(quick.facts.layers, full.facts.layers, strict=True):
        decided = few.mask(*stable)
        assert (few.status[decided] == many.status[decided]).all()
        assert not many.mask(Status.UNSTABLE)[decided].any()


@pytest.mark.parametrize("query", ["prop_1", "prop_2", "prop_4"])
def test_deviations_over_many_layers_stay_small_with_float64(tmp_path, query):
    problem = load_problem(*instance("acasxu", "ACASXU_run2a_2_1_batch_2000", query))
    result = reduce(problem, engine="crown", dtype="float64")
    assert result.epsilon < 1e-11
    result.save(tmp_path / "out.onnx")
    again = load_network(tmp_path / "out.onnx")
    assert again.digest == result.network.digest


@pytest.mark.parametrize("name", ["cartpole", "lunarlander", "dubinsrejoin"])
def test_control_networks(name):
    root = vnncomp_root() / "rl_benchmarks"
    query = min((root / "vnnlib").glob(f"{name}*"))
    result = reduce(load_problem(root / "onnx" / f"{name}.onnx", query), engine="crown")
    assert result.network.relu_count <= result.problem.network.relu_count
    assert result.epsilon < 1e-4
