"""equiv --semantics float32: equivalent of all runs, different of all runs, or unknown."""

from __future__ import annotations

import numpy as np
import pytest

import eqverify as eq
from eqverify.domain import box_domain
from eqverify.errors import UsageError
from eqverify.export.onnx import write_network
from eqverify.network import Affine, Dense, Network, Port, Relu, Term

COUNT, STEP = 600, 2.0**-24
"""A run of 1 + STEP + ... + STEP is between 1 and 1 + (COUNT - 1) STEP, by its order."""
DOMAIN = box_domain(np.ones(COUNT), np.ones(COUNT))


def file(folder, name: str, shift: float) -> str:
    """relu(1 + STEP + ... + STEP) + shift."""
    nodes = (
        Affine("z", (Term("x", Dense(np.array([[1.0] + [STEP] * (COUNT - 1)]))),), np.zeros(1)),
        Relu("h", "z"),
        Affine("y", (Term("h", Dense(np.ones((1, 1)))),), np.array([shift])),
    )
    ports = (Port("x", ("N", COUNT), "float32", "x"),), (Port("y", ("N", 1), "float32", "y"),)
    path = folder / f"{name}.onnx"
    path.write_bytes(write_network(Network(ports[0], nodes, ports[1]), metadata={}, producer="test"))
    return str(path)


@pytest.mark.parametrize(
    ("shift", "epsilon", "real", "runs"),
    [
        (0.0, 2.0**-16, "equivalent", "unknown"),  # two runs of one network can be further apart
        (0.0, 2.0**-10, "equivalent", "equivalent"),
        (2.0**-6, 2.0**-5, "equivalent", "equivalent"),
        (2.0**-6, 2.0**-7, "different", "different"),
        (2.0**-14, 2.0**-15, "different", "unknown"),  # by less than two runs of one network can be apart
    ],
)
def test_what_is_said_holds_of_all_runs(tmp_path, shift, epsilon, real, runs):
    f, g = file(tmp_path, "f", 0.0), file(tmp_path, "g", shift)
    total = np.float32(0)
    for weight in [1.0] + [STEP] * (COUNT - 1):
        total = total + np.float32(weight)
    off = 1 + (COUNT - 1) * STEP - float(total)  # a run from left to right of one, an exact one of the other
    assert off > 2.0**-15
    assert eq.equivalent(f, g, DOMAIN, epsilon=epsilon, timeout=600.0).verdict == real
    answer = eq.equivalent(f, g, DOMAIN, epsilon=epsilon, timeout=4.0, semantics="float32")
    assert (answer.verdict, answer.semantics) == (runs, "float32")
    assert answer.run_error > 2 * off
    assert answer.asked == epsilon
    if answer.verdict == "equivalent":
        assert shift + off <= answer.epsilon <= epsilon
    if answer.verdict == "different":
        assert answer.witness.point.tolist() == [1.0] * COUNT
    if answer.verdict == "unknown":
        assert answer.reason
        assert answer.witness is None


def test_top1_and_networks_in_memory_are_unknown(tmp_path):
    f = file(tmp_path, "f", 0.0)
    answer = eq.equivalent(f, f, DOMAIN, top1=True, semantics="float32")
    assert (answer.verdict, "largest" in answer.reason) == ("unknown", True)
    memory = eq.load_network(f)
    answer = eq.equivalent(memory, memory, DOMAIN, epsilon=1.0, semantics="float32")
    assert (answer.verdict, "no file" in answer.reason, answer.epsilons) == ("unknown", True, None)


def test_a_query_of_several_networks_is_of_real_numbers():
    with pytest.raises(UsageError) as caught:
        eq.decide_pair_query("p.vnnlib", {"f": "f.onnx", "g": "g.onnx"}, semantics="float32")
    assert caught.value.code == "equivalence/semantics"
