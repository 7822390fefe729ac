"""The template of a package that adds to eqverify: installed as users do, and run by the command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROPERTY = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)
(assert (>= X_0 -2)) (assert (<= X_0 2)) (assert (>= X_1 -2)) (assert (<= X_1 2))
(assert (>= Y_0 {bound}))
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the package, installed by pip without any index."""
    folder, source = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("source") / "plugin"
    shutil.copytree(ROOT / "examples" / "plugin", source)  # a build leaves files behind
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--target", str(folder), str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def call(installed, tmp_path):
    """Runs a command line where the package is installed.

    net.onnx is 2 relu(h0 - h1) for h0 = relu(x0), h1 = relu(x1), computed by two units that are the same where x0 <= 5.
    """
    first = np.array([[1, 0, 1, 0], [0, 1, 0, 0]], np.float32)
    bias = np.array([0, 0, -5, 0], np.float32)
    second = np.array([[1, 1], [-1, -1], [0, 1], [0, 0]], np.float32)
    chain = [("w", first), ("b", bias), ("u", second), ("v", np.ones((2, 1), np.float32))]
    save(tmp_path / "net.onnx", chain, ["MatMul", "Add", "Relu", "MatMul", "Relu", "MatMul"])
    save(tmp_path / "shrink.onnx", [("w", np.ones((2, 1), np.float32))], ["MatMul", "Shrink"], lambd=0.5, bias=0.5)
    path = os.pathsep.join([str(installed), str(ROOT)])

    def called(words, bound):
        (tmp_path / "prop.vnnlib").write_text(PROPERTY.format(bound=bound))
        done = subprocess.run(
            [sys.executable, "-m", "eqverify", *words.split(), "--json"],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return json.loads(done.stdout)

    return called


def save(path, weights, operators, **attributes):
    """A model of operators one after the other, with the next weights for MatMul and Add; attributes go to the last."""
    left, nodes, source = iter(weights), [], "x"
    for number, kind in enumerate(operators):
        inputs = [source, next(left)[0]] if kind in ("MatMul", "Add") else [source]
        own = attributes if number == len(operators) - 1 else {}
        source = f"t{number}"
        nodes.append(helper.make_node(kind, inputs, [source], **own))
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n]) for name, n in (("x", 2), (source, 1))]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


def test_the_backend_finds_a_corner_and_claims_nothing(call):
    command = "verify net.onnx prop.vnnlib --backend corners --no-reduction --timeout 30"
    found = call(command, 3.999)
    assert found["verdict"] == "sat"
    assert found["witness"]["x"] == [2.0, -2.0]


def test_the_pass_finds_equal_units_and_eps_is_proved(call):
    found = call("reduce net.onnx prop.vnnlib -o out.onnx --passes merge-equal --shape residual", 3)
    assert found["went"] == {"parallel": 1}
    assert found["relus_after"] == 3
    assert found["epsilon"] < 1e-12
    without = call("reduce net.onnx prop.vnnlib -o out.onnx --passes drop-unread --shape residual", 3)
    assert without["relus_after"] == 4


def test_the_operator_is_read_and_all_results_say_by_whom(call):
    """Shrink of x0 + x1 is 3.5 at most."""
    answers = [call("verify shrink.onnx prop.vnnlib --timeout 30", bound) for bound in (3.501, 3.5)]
    assert [answer["verdict"] for answer in answers] == ["unsat", "sat"]
    assert all(answer["readings"][0]["foreign"] == ["Shrink, which is read by eqverify_template"] for answer in answers)
    refused = call("verify shrink.onnx prop.vnnlib --semantics float32 --timeout 30", 3.6)
    assert refused["verdict"] == "unknown"
    assert "Shrink" in refused["reason"]
