"""Real networks, ours and some of VNN-COMP (all of them: benchmarks/reduction/run.py): what the README promises."""

import json

import numpy as np
import pytest

import eqverify as eq
from eqverify.api.loading import load_network, load_problem
from eqverify.cli.main import run
from eqverify.export.runtime import run_model
from eqverify.reduction.pipeline import reduce
from eqverify.stability.facts import Status

from ..vnncomp import OWN, slow, vnncomp


def instance(benchmark, network, query):
    root = vnncomp(benchmark)
    return root / "onnx" / f"{network}.onnx", root / "vnnlib" / f"{query}.vnnlib.gz"


AT_MOST = {"policy": 12, "tabular": 8, "cnn": 40, "mnist": 30}
"""ReLUs that are left."""


def files(name, network="ACASXU_run2a_1_1_batch_2000"):
    """The first instance of a network of ours, or a property of ACAS Xu."""
    return (OWN[name].model, OWN[name].properties[0]) if name in OWN else instance("acasxu", network, name)


@pytest.mark.parametrize("name", [*OWN, *slow("mnist")])
def test_most_units_go_and_the_file_computes_the_same(name, tmp_path, capsys):
    network, query = files(name) if name in OWN else instance("mnist_fc", "mnist-net_256x2", "prop_0_0.03")
    output = tmp_path / "out.onnx"
    assert run(["reduce", str(network), str(query), "-o", str(output), "--time-limit", "30", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["relus_before"] == (OWN[name].relus if name in OWN else 512)
    assert found["relus_after"] <= AT_MOST[name]
    assert sum(layer["undecided"] for layer in found["layers"]) == 0
    assert found["epsilon"] < 1e-4
    hull = load_problem(network, query).domain.hull
    points = np.random.default_rng(0).uniform(hull.lower, hull.upper, size=(50, len(hull.lower)))
    points = points.astype(np.float32).astype(float)
    gap = np.abs(run_model(network.read_bytes(), points) - run_model(output.read_bytes(), points))
    assert gap.max() < 1e-4


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
@pytest.mark.parametrize("number", [0, 1])
def test_properties_of_our_networks_are_decided(own, number):
    assert eq.verify(own.properties[number], own.model, timeout=60).verdict == own.verdicts[number]


@pytest.mark.parametrize("name", [*OWN, *slow("prop_1", "prop_2", "prop_3", "prop_4")])
def test_every_engine_agrees_where_both_decide(name):
    problem = load_problem(*files(name))
    quick = reduce(problem, engine="crown")
    full = reduce(problem, time_limit=4.0)
    assert full.network.relu_count <= quick.network.relu_count
    assert full.epsilon < 1e-4
    stable = (Status.INACTIVE, Status.ACTIVE)
    for few, many in zip(quick.facts.layers, full.facts.layers, strict=True):
        decided = few.mask(*stable)
        assert (few.status[decided] == many.status[decided]).all()
        assert not many.mask(Status.UNSTABLE)[decided].any()


@pytest.mark.parametrize("name", [*OWN, *slow("prop_1", "prop_2", "prop_4")])
def test_deviations_over_many_layers_stay_small_with_float64(tmp_path, name):
    problem = load_problem(*files(name, "ACASXU_run2a_2_1_batch_2000"))
    result = reduce(problem, engine="crown", dtype="float64")
    assert result.epsilon < 1e-11
    result.save(tmp_path / "out.onnx")
    again = load_network(tmp_path / "out.onnx")
    assert again.digest == result.network.digest


@pytest.mark.parametrize("name", ["policy", *slow("cartpole", "lunarlander", "dubinsrejoin")])
def test_control_networks(name):
    if name in OWN:
        network, query = files(name)
    else:
        root = vnncomp("rl_benchmarks")
        network, query = root / "onnx" / f"{name}.onnx", min((root / "vnnlib").glob(f"{name}*"))
    result = reduce(load_problem(network, query), engine="crown")
    assert result.network.relu_count <= result.problem.network.relu_count
    assert result.epsilon < 1e-4
