"""Large networks with random weights: an answer within little memory, whatever the time that there is."""

from __future__ import annotations

import resource
import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.frontend.onnx import parse_network

MEMORY = 4 << 30
"""Bytes of address space: a bound of each unit by all units of a layer would take more."""


def model(size, layers, dense=0):
    """The bytes of a network: `dense` units before an image (channels, height, width), then convolutions
    (channels, stride) with ReLUs, and ten outputs."""
    random, nodes, stored = np.random.default_rng(0), [], {}

    def weights(name, *shape):
        stored[name] = np.float32(random.normal(size=shape) / np.sqrt(np.prod(shape[1:])))
        return name

    value, (channels, height, width) = "x", size
    if dense:
        nodes += [helper.make_node("MatMul", ["x", weights("w", dense, int(np.prod(size)))], ["m"])]
        nodes += [helper.make_node("Relu", ["m"], ["r"]), helper.make_node("Reshape", ["r", "shape"], ["image"])]
        value, stored["shape"] = "image", np.array([1, *size])
    for k, (count, stride) in enumerate(layers):
        kernel = weights(f"k{k}", count, channels, 3, 3)
        nodes.append(helper.make_node("Conv", [value, kernel], [f"z{k}"], pads=[1] * 4, strides=[stride] * 2))
        nodes.append(helper.make_node("Relu", [f"z{k}"], [f"h{k}"]))
        value, channels, height, width = f"h{k}", count, -(-height // stride), -(-width // stride)
    nodes.append(helper.make_node("Flatten", [value], ["f"]))
    nodes.append(helper.make_node("MatMul", ["f", weights("last", channels * height * width, 10)], ["y"]))
    ports = [("x", [1, dense] if dense else [1, *size]), ("y", [1, 10])]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in ports]
    given = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], given)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


SIZES = {
    "a small input before an image": model((3, 32, 32), [(16, 1), (32, 2)], dense=16),
    "many channels": model((3, 64, 64), [(16, 1), (32, 2), (64, 2)]),
}


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["crown", "portfolio"])
@pytest.mark.parametrize("name", SIZES)
def test_a_large_network_is_answered_in_little_memory(name, engine, tmp_path):
    network, query, output = (tmp_path / file for file in ("net.onnx", "prop.vnnlib", "out.onnx"))
    onnx.save(SIZES[name], network)
    count = parse_network(network.read_bytes()).input_size
    declared = "".join(
        f"(declare-const X_{i} Real)\n(assert (>= X_{i} -0.1))\n(assert (<= X_{i} 0.1))\n" for i in range(count)
    )
    declared += "".join(f"(declare-const Y_{i} Real)\n" for i in range(10))
    query.write_text(declared + "(assert (>= Y_0 Y_1))\n")
    command = [sys.executable, "-m", "eqverify", "reduce", str(network), str(query), "-o", str(output)]
    command += ["--engine", engine, "--time-limit", "3"]

    def limited():
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

    done = subprocess.run(command, preexec_fn=limited, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert parse_network(output.read_bytes()).relu_count <= parse_network(network.read_bytes()).relu_count
