"""Modules of torch in the place of models: with torch's exporter where there is one, by a stand-in always."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import eqverify as eq
from eqverify.domain import box_domain
from eqverify.errors import InputError, UsageError
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import TorchModule, export_module
from eqverify.testing.chains import chain_network

NETWORK = chain_network(
    [(np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([-3.0, 0.0])), (np.array([[1.0, 2.0]]), np.zeros(1))], "float32"
)
DATA = write_network(NETWORK, metadata={}, producer="test", dtype="float32")
LOW, HIGH = np.full((1, 2), -1.0), np.full((1, 2), 1.0)
QUERY = (
    "(vnnlib-version <2.0>)(declare-network f (declare-input X float32 [1,2])(declare-output Y float32 [1,1]))"
    + "".join(f"(assert (and (<= -1.0 X[0,{k}]) (<= X[0,{k}] 1.0)))" for k in (0, 1))
    + "(assert (<= 5.0 Y[0,0]))"
)


class Module:
    """Enough of a module, in training."""

    training = True

    def state_dict(self):
        return {}

    def parameters(self):
        return iter([SimpleNamespace(dtype="float32", is_floating_point=lambda: True)])

    def cpu(self):
        return self

    def eval(self):
        self.training = False
        return self


@pytest.fixture
def exported(monkeypatch):
    """The shapes for which the stand-in for torch exported the network."""
    shapes = []

    def export(module, arguments, **options):
        assert not module.training
        assert options == {"dynamo": True, "verbose": False}
        (shape,) = arguments
        if shape[-1] != 2:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nand more")
        shapes.append(shape)
        return SimpleNamespace(model_proto=SimpleNamespace(SerializeToString=lambda: DATA))

    torch = ModuleType("torch")
    torch.float32, torch.zeros = "float32", lambda shape, dtype: shape
    torch.onnx = SimpleNamespace(export=export)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "onnxscript", ModuleType("onnxscript"))
    return shapes


def test_all_jobs_take_a_module_and_leave_it_as_it_was(exported, tmp_path):
    path = tmp_path / "prop.vnnlib"
    path.write_text(QUERY)
    module = Module()
    assert isinstance(module, TorchModule)
    assert not any(isinstance(model, TorchModule) for model in ("net.onnx", path, DATA, NETWORK))
    crown = {"engine": "crown"}
    assert repr(eq.reduce(module, (LOW, HIGH), **crown)) == repr(eq.reduce(DATA, (LOW, HIGH), **crown))
    assert eq.prove_stability(module, (LOW[0], HIGH[0]), **crown).summary()["units"] == 2
    assert eq.prove_ranges(module, path, **crown).outputs.upper.size == 1
    assert eq.equivalent(module, DATA, box_domain(LOW[0], HIGH[0]), epsilon=0).verdict == "equivalent"
    assert eq.verify(path, module).verdict == "unsat"
    assert eq.verify(path, {"f": module}).verdict == "unsat"
    query = eq.load_query(path)
    assert eq.load_problem(module, query).relu_count == 2
    assert exported == [(1, 2)] * 7
    assert module.training


def test_what_torch_cannot_export_is_said(exported):
    with pytest.raises(InputError, match="onnx/torch") as caught:
        eq.reduce(Module(), (np.zeros(3), np.ones(3)))
    assert "1x3: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in str(caught.value)
    assert "and more" not in str(caught.value)


def test_without_torch_it_is_said_what_to_install(monkeypatch):
    for name in ("torch", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UsageError, match=r"usage/torch[\s\S]*eqverify\[torch\]"):
        eq.reduce(Module(), (LOW, HIGH))


def test_a_network_of_torch_is_what_its_export_says():
    """The real exporter: the module's own values, within the ranges that are proved, dropout turned off."""
    torch = pytest.importorskip("torch", reason="torch is an optional extra")
    pytest.importorskip("onnxscript", reason="torch's exporter needs onnxscript")
    torch.manual_seed(0)
    nn = torch.nn
    layers = nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(32, 5), nn.ReLU(), nn.Linear(5, 2)
    module = nn.Sequential(*layers)
    assert module.training
    low, high = np.zeros((1, 1, 6, 6), np.float32), np.full((1, 1, 6, 6), 0.5, np.float32)
    ranges = eq.prove_ranges(module, (low, high), engine="crown")
    assert module.training
    values = module.eval()(torch.rand(500, 1, 6, 6) / 2).detach().numpy()
    assert (ranges.outputs.lower <= values).all()
    assert (values <= ranges.outputs.upper).all()
    assert eq.equivalent(module, export_module(module, low.shape), (low, high), epsilon=0).verdict == "equivalent"
    double = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    assert eq.load_problem(double, (np.zeros(3), np.ones(3))).network.element == "float64"
