"""verify --semantics float32: what is said holds of every run, and what holds of some runs only is not said."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import eqverify as eq
from eqverify.bounds import crown_bounds
from eqverify.deciding.runs import RunSlack, why_no_runs
from eqverify.deciding.splitting import split_question
from eqverify.domain import HalfSpace
from eqverify.export.onnx import write_network
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate_nodes

from .deciding_helpers import absolute, budget, never, question

COUNT = 1000
STEP = 2.0**-24
"""Added to 1 it is lost: so a sum of COUNT - 1 of them and 1 is between 1 and 1 + (COUNT - 1) STEP, by its order."""


def chain32(*layers: tuple[np.ndarray, np.ndarray]) -> Network:
    nodes, previous = [], "x"
    for index, (matrix, bias) in enumerate(layers):
        nodes.append(Affine(f"z{index}", (Term(previous, Dense(matrix)),), bias))
        previous = f"z{index}"
        if index < len(layers) - 1:
            nodes.append(Relu(f"h{index}", previous))
            previous = f"h{index}"
    size, count = layers[0][0].shape[1], layers[-1][0].shape[0]
    ports = Port("x", ("N", size), "float32", "x"), Port("y", ("N", count), "float32", previous)
    return Network((ports[0],), tuple(nodes), (ports[1],))


def decide(tmp_path, network: Network, text: str, **options: object) -> eq.Verification:
    model, query = tmp_path / "n.onnx", tmp_path / "p.vnnlib"
    model.write_bytes(write_network(network, metadata={}, producer="test"))
    query.write_text(text)
    return eq.verify(query, model, **{"timeout": 20.0, **options})


def about(lower: list[float], upper: list[float], *rows: str, outputs: int = 1) -> str:
    """One box, and a conjunction of rows."""
    names = [f"(declare-const X_{i} Real)" for i in range(len(lower))]
    names += [f"(declare-const Y_{j} Real)" for j in range(outputs)]
    ends = [
        f"(assert (>= X_{i} {a!r}))\n(assert (<= X_{i} {b!r}))"
        for i, (a, b) in enumerate(zip(lower, upper, strict=True))
    ]
    return "\n".join([*names, *ends, *(f"(assert {row})" for row in rows)])


def long_sum() -> Network:
    return chain32((np.array([[1.0] + [STEP] * (COUNT - 1)]), np.zeros(1)))


@pytest.mark.parametrize(
    ("row", "real", "runs"),
    [
        (f"(<= Y_0 {1 + 500 * STEP!r})", "unsat", "unknown"),  # a run from left to right gives 1
        (f"(>= Y_0 {1 + 900 * STEP!r})", "sat", "unknown"),
        ("(<= Y_0 0.99)", "unsat", "unsat"),
        ("(>= Y_0 0.99)", "sat", "sat"),
        ("(>= Y_0 1.01)", "unsat", "unsat"),
    ],
)
def test_what_depends_on_the_order_of_a_sum_is_not_said(tmp_path, row, real, runs):
    total = np.float32(0)
    for weight in long_sum().nodes[0].terms[0].map.matrix[0].astype(np.float32):
        total = total + weight
    assert total == 1.0
    ends = [1.0] * COUNT
    assert decide(tmp_path, long_sum(), about(ends, ends, row)).verdict == real
    answer = decide(tmp_path, long_sum(), about(ends, ends, row), semantics="float32", timeout=3.0)
    assert answer.verdict in ({runs, "timed-out"} if runs == "unknown" else {runs})
    assert answer.semantics == "float32"
    assert answer.run_error > 500 * STEP


def permuted_run(network: Network, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A float32 run that sums one product after the other in some order."""
    values = {"x": x.astype(np.float32)}
    for node in network.nodes:
        if isinstance(node, Relu):
            values[node.name] = np.maximum(values[node.source], np.float32(0))
            continue
        (term,) = node.terms
        products = values[term.source][None] * term.map.matrix.astype(np.float32)
        summands = np.concatenate([products, node.bias.astype(np.float32)[:, None]], axis=1)
        total = np.zeros(node.size, dtype=np.float32)
        for k in rng.permutation(summands.shape[1]):
            total = total + summands[:, k]
        values[node.name] = total
    return values[network.outputs[0].source]


@pytest.mark.slow
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), shift=st.sampled_from([0.0, 1e-7, -1e-7, 1e-6, -1e-6, 0.5, -0.5]))
def test_answers_hold_of_runs_in_any_order(tmp_path_factory, seed, shift):
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32).astype(float)

    network = chain32((numbers(12, 3), numbers(12)), (numbers(12, 12), numbers(12)), (numbers(2, 12), numbers(2)))
    lower = rng.integers(-8, 8, size=3) / 8
    upper = lower + rng.integers(0, 2, size=3) / 64
    points = rng.uniform(lower, upper, size=(20, 3)).astype(np.float32)
    runs = np.array([permuted_run(network, x, rng) for x in points])
    # the level of an end seen, so that rounding decides
    level = float(np.float64((runs[:, 0] - runs[:, 1].astype(float)).max()) + shift)
    row = f"(>= (- Y_0 Y_1) {level:.17f})"
    text = about(lower.tolist(), upper.tolist(), row, outputs=2)
    answer = decide(tmp_path_factory.mktemp("runs"), network, text, semantics="float32", timeout=1.5)
    if answer.verdict == "unsat":
        assert (runs[:, 0].astype(float) - runs[:, 1] < float(f"{level:.17f}")).all()
    if answer.verdict == "sat":
        x = answer.witness.x
        assert (x == x.astype(np.float32)).all()
        assert (x >= lower).all()
        assert (x <= upper).all()
        again = np.array([permuted_run(network, x, rng) for _ in range(30)]).astype(float)
        assert (again[:, 0] - again[:, 1] >= float(f"{level:.17f}")).all()
    assert answer.run_error > 0


def test_a_box_is_closed_where_rows_exceed_what_they_are_relaxed_by():
    asked = question(absolute(0.25))
    for slack, proved in ((0.2, True), (0.3, False)):
        found = split_question(
            asked, never, budget(0.5), slack=lambda bounds, by=slack: np.full((len(bounds["X"].lower), 1), by)
        )
        assert found.proved == proved


def test_smaller_boxes_may_have_less_slack():
    """Half the width of the box: more than 0.25 on the whole, and less on its parts."""
    asked = question(absolute(0.25))

    def slack(bounds):
        return (bounds["X"].upper - bounds["X"].lower).max(axis=1, keepdims=True) / 2

    assert split_question(asked, never, budget(5.0), slack=slack).proved


def test_what_rows_have_in_common_cancels():
    """y0 - y1 with the same large unit in both, which is rounded once."""
    first = np.full((1, 400), 1.0)
    network = chain32((first, np.zeros(1)), (np.array([[1.0], [1.0]]), np.zeros(2)))

    bounds = crown_bounds(network, np.zeros((1, 400)), np.ones((1, 400)))
    rows = [HalfSpace({}, outputs, Fraction(0)) for outputs in ({0: Fraction(1)}, {0: Fraction(1), 1: Fraction(-1)})]
    alone, apart = RunSlack(network, rows)(bounds)[0]
    assert 0 < apart < alone / 20
    third = RunSlack(network, [HalfSpace({}, {0: Fraction(1, 3)}, Fraction(0))])(bounds)[0, 0]
    assert third == pytest.approx(alone / 3)
    assert Fraction(third) >= Fraction(alone) / 3


def model_of(nodes, stored, element=onnx.TensorProto.FLOAT) -> bytes:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, [1, 2])],
        [helper.make_tensor_value_info("y", element, [1, 2])],
        initializer=[
            numpy_helper.from_array(np.array(v, dtype=helper.tensor_dtype_to_np_dtype(element)), k)
            for k, v in stored.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


@pytest.mark.parametrize(
    ("nodes", "element", "said"),
    [
        # a weight that a run computes, and rounds, by itself
        ([("Add", ["a", "b"], "w"), ("Mul", ["x", "w"], "y")], onnx.TensorProto.FLOAT, "Add of stored numbers"),
        ([("HardSigmoid", ["x"], "y")], onnx.TensorProto.FLOAT, "HardSigmoid"),
        ([("Relu", ["x"], "y")], onnx.TensorProto.DOUBLE, "float64"),
        (
            [("Relu", ["x"], "g"), ("Softmax", ["g"], "h"), ("Relu", ["h"], "y")],
            onnx.TensorProto.FLOAT,
            "not piecewise linear",
        ),
    ],
)
def test_what_is_rounded_in_unknown_ways_is_unknown(tmp_path, nodes, element, said):
    made = [helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes]
    (tmp_path / "n.onnx").write_bytes(model_of(made, {"a": [0.1, 0.2], "b": [-0.1, 0.3]}, element))
    (tmp_path / "p.vnnlib").write_text(about([0.0, 0.0], [1.0, 1.0], "(<= Y_0 -5.0)", outputs=2))
    answer = eq.verify(tmp_path / "p.vnnlib", tmp_path / "n.onnx", semantics="float32")
    assert answer.verdict == "unknown"
    assert said in answer.reason


def test_a_network_in_memory_has_no_runs(tmp_path):
    query = tmp_path / "p.vnnlib"
    query.write_text(about([0.0], [1.0], "(<= Y_0 -5.0)"))
    network = chain32((np.array([[1.0]]), np.zeros(1)))
    assert eq.verify(query, network, semantics="float32").verdict == "unknown"
    assert "no file" in why_no_runs(eq.load_problem(network, query))


def test_what_may_overflow_in_float32_is_unknown(tmp_path):
    network = chain32((np.array([[float(np.float32(1e30))]]), np.zeros(1)))
    answer = decide(tmp_path, network, about([0.0], [1e9], "(<= Y_0 -5.0)"), semantics="float32")
    assert (answer.verdict, "range of float32" in answer.reason) == ("unknown", True)


def test_the_input_of_sat_is_one_that_float32_holds(tmp_path):
    """The box holds one float32 number only, and many float64 numbers."""
    network = chain32((np.array([[1.0]]), np.zeros(1)))
    near = float(np.float32(0.1))
    answer = decide(tmp_path, network, about([near - 1e-9], [near + 1e-9], "(>= Y_0 0.05)"), semantics="float32")
    assert answer.verdict == "sat"
    assert answer.witness.x.tolist() == [near]


def test_runs_are_of_the_network_as_it_is_stored(tmp_path):
    """Two equal units are one in the network that is reduced, and two in a run."""
    network = chain32((np.ones((2, 1)), np.full(2, 0.5)), (np.ones((1, 2)), np.zeros(1)))
    text = about([-1.0], [1.0], "(<= Y_0 -5.0)")
    assert decide(tmp_path, network, text).verdict == "unsat"
    assert decide(tmp_path, network, text, semantics="float32").verdict == "unsat"


def test_what_runs_cannot_tell_is_unknown_and_no_matter_of_time(tmp_path):
    """The largest value, at a corner, is missed by 1e-9: no box there ever shows that all runs miss it."""
    first = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [0.5, 2.0], [-0.5, -2.0]]), np.zeros(5)
    second = np.array([[1.0, 1.0, 0.5, 0.5, 0.5], [1.0, -1.0, 0.25, -0.75, 0.5]]), np.array([0.125, 0.25])
    network = chain32(first, second, (np.array([[0.75, -1.25]]), np.array([0.5])))
    values = network_values(network, 400)
    near = about([-1.0, -1.0], [1.0, 1.0], f"(>= Y_0 {float(values.max()) + 1e-9!r})")
    assert decide(tmp_path, network, near, semantics="float32", timeout=30.0).verdict == "unknown"
    far = about([-1.0, -1.0], [1.0, 1.0], f"(>= Y_0 {float(values.max()) + 1e-3!r})")
    assert decide(tmp_path, network, far, semantics="float32", timeout=30.0).verdict == "unsat"


def network_values(network: Network, count: int) -> np.ndarray:
    """Outputs on a grid over [-1, 1]^2 that has its corners."""
    side = np.linspace(-1, 1, count + 1)
    points = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    return evaluate_nodes(network, points)[network.outputs[0].source]
