"""Proved ranges as intermediate bounds of auto_LiRPA: by a stand-in for torch always, by the real package where it is.

The stand-in has just what the adapter asks of a module: nodes with names and values, called at one input at a time.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from itertools import pairwise
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import eqverify as eq
from eqverify.domain import Domain, Polytope, box_domain
from eqverify.errors import InputError, UsageError
from eqverify.network import evaluate_nodes
from eqverify.testing.chains import chain_network

BOX = box_domain(np.full(3, -1.0), np.full(3, 1.0))


class Tensor(np.ndarray):
    """Enough of a tensor."""

    def numpy(self):
        return np.asarray(self)


class BoundRelu(SimpleNamespace):
    """A node by the name that auto_LiRPA's has."""


class Module:
    """A module of auto_LiRPA around one of our networks, run in float32, its ReLU nodes in the order of `names`."""

    def __init__(self, network, names):
        self.network, self.input_name = network, ["/in"]
        self.relus = [
            BoundRelu(inputs=[SimpleNamespace(name=f"/{name}", of=name, output_shape=(1, network.sizes[name]))])
            for name in names
        ]

    def parameters(self):
        return iter([SimpleNamespace(dtype=np.float32, is_floating_point=lambda: True)])

    def nodes(self):
        return [SimpleNamespace(name="/in"), *self.relus]

    def __getitem__(self, name):
        return SimpleNamespace(output_shape=(1, self.network.input_size))

    def __call__(self, x):
        assert x.dtype == np.float32
        self.values = evaluate_nodes(self.network, np.asarray(x, dtype=np.float64))

    def get_forward_value(self, node):
        return self.values[node.of].astype(np.float32).view(Tensor)


@pytest.fixture
def adapter(monkeypatch):
    """The adapter with a stand-in for torch."""
    torch = ModuleType("torch")
    torch.float32, torch.no_grad = np.float32, contextlib.nullcontext
    torch.as_tensor = lambda values, dtype: np.asarray(values, dtype=dtype).view(Tensor)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.delitem(sys.modules, "eqverify.embedding.lirpa_bounds", raising=False)
    yield importlib.import_module("eqverify.embedding.lirpa_bounds")
    sys.modules.pop("eqverify.embedding.lirpa_bounds", None)


def network_of(seed, sizes=(3, 5, 5, 5, 2)):
    random = np.random.default_rng(seed)
    layers = [(random.normal(size=(m, n)), random.normal(size=m)) for n, m in pairwise(sizes)]
    return chain_network([(w.astype(np.float32), b.astype(np.float32)) for w, b in layers], "float32")


def proved(network, domain=BOX):
    problem = eq.load_problem(network, domain, as_stored=True)
    return problem, eq.prove_stability(problem, engine="crown")


def test_each_layer_gets_its_own_ranges_whatever_the_order(adapter):
    problem, facts = proved(network_of(1))
    sources = [layer.source for layer in facts.layers]
    found = adapter.interm_bounds(Module(problem.network, [sources[2], sources[0], sources[1]]), problem, facts)
    assert set(found) == {f"/{name}" for name in sources}
    for layer in facts.layers:
        lower, upper = (np.asarray(end) for end in found[f"/{layer.source}"])
        assert lower.dtype == upper.dtype == np.float32
        assert lower.shape == (1, layer.size)
        for end, proof, sign in ((lower[0], layer.lower, -1), (upper[0], layer.upper, 1)):
            assert (sign * (end.astype(np.float64) - proof) >= 0).all()  # rounded outwards, and by one float32 at most
            assert (np.abs(end - proof) <= np.spacing(np.abs(end))).all()


def test_a_layer_that_is_another_gets_none(adapter):
    problem, facts = proved(network_of(1))
    other = network_of(2)
    first, second = facts.layers[0].source, facts.layers[1].source
    module = Module(problem.network, [first, second])
    module.__class__ = type("Changed", (Module,), {"__call__": lambda self, x: _changed(self, other, second, x)})
    assert set(adapter.interm_bounds(module, problem, facts)) == {f"/{first}"}


def _changed(module, other, name, x):
    Module.__call__(module, x)
    module.values[name] = evaluate_nodes(other, np.asarray(x, dtype=np.float64))[name]


def test_what_cannot_be_said_is_refused(adapter):
    problem, facts = proved(network_of(1))
    other = network_of(2)
    with pytest.raises(UsageError, match="embedding/other-network"):
        adapter.interm_bounds(Module(other, [layer.source for layer in facts.layers]), problem, facts)
    row = Domain((Polytope(BOX.polytopes[0].box, np.ones((1, 3)), np.array([0.5])),))
    with pytest.raises(InputError, match="embedding/constraints"):
        adapter.interm_bounds(Module(problem.network, []), *proved(problem.network, row))


def test_auto_lirpa_takes_them():
    """The real package: with proved ranges CROWN's bounds are no looser, and hold at samples."""
    torch = pytest.importorskip("torch", reason="torch is an optional extra")
    lirpa = pytest.importorskip("auto_LiRPA", reason="auto_LiRPA is not installed")
    from auto_LiRPA.perturbations import PerturbationLpNorm

    from eqverify.embedding.lirpa_bounds import interm_bounds

    torch.manual_seed(0)
    nn = torch.nn
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2)).eval()
    low, high = torch.zeros(1, 6), torch.ones(1, 6)
    ranges = eq.prove_ranges(model, (low.numpy(), high.numpy()))
    net = lirpa.BoundedModule(model, low)
    known = interm_bounds(net, ranges.problem, ranges.facts)
    assert len(known) == 2
    box = lirpa.BoundedTensor((low + high) / 2, PerturbationLpNorm(x_L=low, x_U=high))
    plain = [end.detach() for end in net.compute_bounds(x=(box,), method="CROWN")]
    tight = [end.detach() for end in net.compute_bounds(x=(box,), method="CROWN", interm_bounds=known)]
    outputs = model(torch.rand(4000, 6)).detach()
    assert (plain[0] <= tight[0] + 1e-5).all()
    assert (tight[1] <= plain[1] + 1e-5).all()
    assert (tight[0] <= outputs).all()
    assert (outputs <= tight[1]).all()
