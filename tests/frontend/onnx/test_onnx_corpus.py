"""Networks that people really have: they import and agree with onnxruntime."""

from __future__ import annotations

import gzip
import time

import numpy as np
import pytest

from eqverify.export.runtime import compare_with_runtime
from eqverify.frontend.onnx import describe, read_network
from eqverify.frontend.onnx.load import read_bytes

from ...vnncomp import CONVOLUTIONAL, FULLY_CONNECTED, OWN, label, models, slow, vnncomp

OURS = [own.model for own in OWN.values()]


@pytest.mark.parametrize("benchmark", FULLY_CONNECTED + CONVOLUTIONAL)
def test_the_corpus_is_there(benchmark):
    assert models(vnncomp(benchmark).name)


@pytest.mark.parametrize("path", [*OURS, *slow(*models(*FULLY_CONNECTED))], ids=label)
def test_network_agrees_with_onnxruntime_on_1000_points(path):
    network = read_network(path)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (1000, network.input_size))
    comparison = compare_with_runtime(read_bytes(path), network, points)
    assert comparison.agrees, comparison
    assert comparison.worst_ratio < 1.0
    assert comparison.points == 1000


@pytest.mark.parametrize("path", [OWN["cnn"].model, *slow(*models(*CONVOLUTIONAL))], ids=label)
def test_convolutional_network_agrees_with_onnxruntime(path):
    network = read_network(path)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (100, network.input_size))
    comparison = compare_with_runtime(read_bytes(path), network, points)
    assert comparison.agrees, comparison


def test_mnist_reads_in_a_fifth_of_a_second():
    for path in models(vnncomp("mnist_fc").name):
        read_network(path)
        start = time.process_time()
        read_network(path)
        assert time.process_time() - start < 0.2


@pytest.mark.parametrize("own", OWN.values(), ids=OWN)
def test_units_are_those_of_the_training(own):
    assert read_network(own.model).relu_count == own.relus


def test_shapes_ranks_and_units_are_those_of_the_files():
    found = {}
    for benchmark in ("mnist_fc", "acasxu", "acasxu_pruned", "rl_benchmarks", "test"):
        for path in models(vnncomp(benchmark).name):
            network = read_network(path)
            found[label(path)] = (network.inputs[0].shape, network.outputs[0].shape, network.relu_count)
    assert found["mnist_fc/mnist-net_256x2.onnx"] == ((1, 784, 1), (1, 10), 512)
    assert found["mnist_fc/mnist-net_256x4.onnx"] == ((1, 784, 1), (1, 10), 1024)
    assert found["acasxu/ACASXU_run2a_1_1_batch_2000.onnx"] == ((1, 1, 1, 5), (1, 5), 300)
    assert found["acasxu_pruned/ACASXU_run2a_1_1_batch_2000.onnx"] == ((5,), (5,), 300)
    assert found["rl_benchmarks/dubinsrejoin.onnx"] == (("unk__6", 8), ("unk__7", 8), 512)
    assert found["test/test_nano.onnx"] == ((1,), (1,), 1)


@pytest.mark.parametrize("path", OURS, ids=label)
def test_gzip_is_read(path, tmp_path):
    packed = tmp_path / "net.onnx.gz"
    packed.write_bytes(gzip.compress(read_bytes(path)))
    assert read_network(packed).digest == read_network(path).digest


@pytest.mark.parametrize("path", [*OURS, *models(*FULLY_CONNECTED, *CONVOLUTIONAL)], ids=label)
def test_describe_counts_operators(path):
    description = describe(path)
    assert sum(count for _, count in description.operators) > 0
    assert description.opset in range(7, 18)
    assert description.unsupported == ()
