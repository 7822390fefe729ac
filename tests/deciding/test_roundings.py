"""What is said about networks that round: nothing that is true of the unknowns only counts as an answer."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import eqverify as eq
from eqverify.api.loading import problem_with_roundings
from eqverify.frontend.onnx import parse_front
from eqverify.frontend.vnnlib import parse_query
from eqverify.stability.facts import Status

from ..frontend.onnx.quantised_models import Model, rounding
from ..vnncomp import slow

OPEN = ("unknown", "timed-out")
UP = "(assert (>= Y_0 {bound}))"


def query(low: float, high: float, bound: float):
    text = f"(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 {low}))(assert (<= X_0 {high}))"
    return parse_query(text + UP.format(bound=bound))


def identity() -> bytes:
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 1]) for n in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "identity", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("low", "high", "bound", "verdict"),
    [
        (0.2, 0.3, 1.0, ("unsat",)),
        (0.2, 0.3, 0.5, OPEN),  # with an unknown of 1/2 it holds, but all of these are rounded to 0
        (0.2, 0.7, 0.9, ("sat",)),
        (200.0, 300.0, 126.0, ("sat",)),  # saturation
        (200.0, 300.0, 128.0, ("unsat",)),
    ],
)
def test_verify(low, high, bound, verdict):
    answer = eq.verify(query(low, high, bound), rounding(), timeout=1 if verdict == OPEN else 20)
    assert answer.verdict in verdict
    assert (answer.witness is not None) == ("sat" in verdict)
    sizes = [] if answer.witness is None else [answer.witness.x.size, len(answer.witness.inputs)]
    assert sizes == [1, 1] * ("sat" in verdict)


def test_a_tie_that_floats_cannot_tell_is_decided_exactly():
    """0.5 is rounded to 0; the float above it to 1."""
    assert eq.verify(query(0.5, 0.5, 0.6), rounding(), timeout=1).verdict in OPEN
    assert eq.verify(query(0.5, 0.51, 0.6), rounding(), timeout=20).verdict == "sat"


@pytest.mark.parametrize(
    ("epsilon", "verdict"),
    [(0.6, "equivalent"), *slow((0.35, "unknown")), (0.1, "different")],
)
def test_equiv(epsilon, verdict):
    answer = eq.equivalent(identity(), rounding(), ([0.2], [0.3]), epsilon=epsilon, timeout=10)
    assert answer.verdict == verdict
    assert answer.epsilon is None or answer.epsilon >= 0.3  # the largest difference, where x = 0.3
    assert answer.deviation is None or answer.deviation <= 0.3 + 1e-9
    assert (answer.replayed is True) == (verdict == "different")


def test_one_network_is_equivalent_to_itself_and_to_another_file_of_it():
    data = rounding(scale=0.1)
    other = onnx.load_from_string(data)
    other.doc_string = "another file"
    assert eq.equivalent(data, other.SerializeToString(), ([-1.0], [1.0]), epsilon=0).verdict == "equivalent"


def test_two_roundings_are_two_unknowns():
    one, other = rounding(scale=0.1), rounding(scale=0.125)
    answer = eq.equivalent(one, other, ([-1.0], [1.0]), epsilon=0.2)
    assert answer.verdict == "equivalent"
    assert answer.epsilon is not None
    assert 0.1 < answer.epsilon < 0.114  # 0.05 + 0.0625, and what runs may be off before they round


def test_signs_are_witnessed_by_inputs_of_the_model_only():
    """z = round(x) - 0.4 is negative on [0.2, 0.3], whatever an unknown of 1/2 would do."""
    model = Model((1, 1))
    parts = model.scale("x", 1.0, 0, np.int8)
    model.node("QuantizeLinear", ["x", *parts], "q")
    model.node("DequantizeLinear", ["q", *parts], "r")
    model.node("Sub", ["r", model.store("c", 0.4, np.float32)], "z")
    model.node("Relu", ["z"], "y")
    data = model.finished()
    facts = eq.prove_stability(data, ([0.2], [0.3]), time_limit=5)
    summary = facts.layers[-1]
    assert [int(status) for status in summary.status] == [0]
    facts = eq.prove_stability(data, ([0.2], [0.7]), time_limit=5)
    assert [int(status) for status in facts.layers[-1].status] == [3]


def test_ranges_are_of_the_model():
    ranges = eq.prove_ranges(rounding(scale=0.1, size=2), ([0.0, 0.0], [1.0, 2.0]), engine="crown")
    told = ranges.as_dict()
    assert told["inputs"] == {"lower": [0.0, 0.0], "upper": [1.0, 2.0]}
    assert (ranges.outputs.lower <= -0.05).all()
    assert ranges.outputs.upper.tolist() == pytest.approx([1.05, 2.05], rel=1e-3)


def test_proofs_and_reductions_are_refused():
    with pytest.raises(eq.EqverifyError) as caught:
        eq.reduce(rounding(), ([0.0], [1.0]))
    assert caught.value.code == "onnx/unsupported-operator"
    assert "specs/quantised.md" in str(caught.value.hint)
    problem = problem_with_roundings(parse_front(rounding(), roundings=True).network, eq.ball([0.0], 1.0))
    assert problem.domain.size == 2
    assert problem.network.own_size == 1


def test_runs_are_not_spoken_of_behind_a_cast():
    """A run casts what it computed, which is not what the network has there."""
    model = Model((1, 1))
    model.node("Cast", ["x"], "wide", to=TensorProto.DOUBLE)
    model.node("Mul", ["wide", model.store("c", 3.0, np.float64)], "product")
    model.node("Cast", ["product"], "y", to=TensorProto.FLOAT)
    answer = eq.verify(query(0.2, 0.3, 1.0), model.finished(), semantics="float32", timeout=5)
    assert answer.verdict == "unknown"
    assert "rounding to float32" in answer.reason
    assert eq.verify(query(0.2, 0.3, 1.0), model.finished(), timeout=20).verdict == "unsat"


def test_runs_are_not_spoken_of():
    answer = eq.verify(query(0.2, 0.3, 1.0), rounding(), semantics="float32")
    assert answer.verdict == "unknown"
    assert "QuantizeLinear" in answer.reason
    pair = eq.equivalent(identity(), rounding(), ([0.2], [0.3]), epsilon=0.6, semantics="float32")
    assert pair.verdict == "unknown"


def test_points_of_which_floats_cannot_tell_show_no_sign():
    """At 0.5, the only input, only exact arithmetic rounds: sampling had no point at all, and ended in an error."""
    problem = problem_with_roundings(
        parse_front(rounding(), roundings=True).network, eq.load_problem(identity(), query(0.5, 0.5, 1.0)).specification
    )
    facts = eq.prove_stability(problem, engine="crown")
    assert not any(layer.mask(Status.UNSTABLE).any() for layer in facts.layers)
