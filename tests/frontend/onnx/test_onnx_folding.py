"""Numbers computed from stored ones while reading are exact, or the reading says that they are not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from eqverify.frontend.onnx import parse_front
from eqverify.network import outputs_exact

SINGLE = st.floats(-1e6, 1e6, width=32).filter(lambda v: v == 0 or abs(v) > 1e-6)
DOUBLE = st.floats(-1e6, 1e6).filter(lambda v: v == 0 or abs(v) > 1e-6)
STEPS = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a / b if b else None,
}


def built(nodes, stored, dtype=np.float32, opset=13) -> bytes:
    code = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    shown = [helper.make_tensor_value_info("y", code, None)]
    inputs = [helper.make_tensor_value_info("x", code, [1, 2])]
    graph = helper.make_graph(nodes, "g", inputs, shown, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@given(data=st.data())
def test_chains_of_constants_are_exact(dtype, data):
    numbers = SINGLE if dtype is np.float32 else DOUBLE
    steps = data.draw(st.lists(st.tuples(st.sampled_from(list(STEPS)), numbers), min_size=1, max_size=4))
    value = Fraction(data.draw(numbers))
    stored, nodes, last = {"c": np.full((1,), float(value), dtype)}, [], "c"
    for k, (operator, number) in enumerate(steps):
        after = STEPS[operator](value, Fraction(number))
        if after is None:
            continue
        value, stored[f"n{k}"] = after, np.full((1,), number, dtype)
        nodes.append(helper.make_node(operator, [last, f"n{k}"], [f"t{k}"]))
        last = f"t{k}"
    nodes.append(helper.make_node("Add", ["x", last], ["y"]))
    front = parse_front(built(nodes, stored, dtype))
    assert front.rounded == ()
    assert outputs_exact(front.network, [Fraction(0), Fraction(1)]) == [value, value + 1]


def test_a_sum_that_float32_would_lose_is_kept():
    stored = {"a": np.float32([1e8]), "b": np.float32([1.0]), "c": np.float32([-1e8])}
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Add", ["s", "c"], ["t"])]
    front = parse_front(built([*nodes, helper.make_node("Add", ["x", "t"], ["y"])], stored))
    assert outputs_exact(front.network, [Fraction(0)] * 2) == [1, 1]


def test_products_of_matrices_are_exact():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(3, 2)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["a", "b"], ["m"]), helper.make_node("Add", ["x", "m"], ["y"])]
    front = parse_front(built(nodes, {"a": a, "b": b}))
    exact = [sum(Fraction(float(a[i, k])) * Fraction(float(b[k, j])) for k in range(3)) for i in (0, 1) for j in (0, 1)]
    assert front.rounded == ()
    assert outputs_exact(front.network, [Fraction(0)] * 2) == exact


def test_weights_that_no_float64_holds_mean_the_nearest_and_that_is_said():
    third = {"a": np.float32([[1, 2], [3, 4]]), "b": np.float32([3])}
    nodes = [helper.make_node("Div", ["a", "b"], ["w"]), helper.make_node("MatMul", ["x", "w"], ["y"])]
    front = parse_front(built(nodes, third))
    assert front.rounded == ("w",)
    assert outputs_exact(front.network, [Fraction(1), Fraction(0)]) == [Fraction(1 / 3), Fraction(2 / 3)]


@pytest.mark.parametrize(("value", "rounded"), [(2.0, ("r",)), (2.25, ())])
def test_roots_are_the_nearest(value, rounded):
    nodes = [helper.make_node("Sqrt", ["a"], ["r"]), helper.make_node("Add", ["x", "r"], ["y"])]
    front = parse_front(built(nodes, {"a": np.float32([value])}))
    assert front.rounded == rounded
    assert outputs_exact(front.network, [Fraction(0)] * 2)[0] == Fraction(float(np.sqrt(np.float64(value))))


def test_the_root_of_batch_normalization_is_said_where_it_is_rounded():
    one = np.ones(2, np.float32)
    for variance, rounded in ((np.float32([1.0, 4.0]), ()), (np.float32([1.0, 2.0]), ("y",))):
        nodes = [helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"], epsilon=0.0)]
        front = parse_front(built(nodes, {"s": one, "b": one, "m": one, "v": variance}))
        assert front.rounded == rounded


def test_rounded_numbers_before_a_cut_are_said_too():
    nodes = [
        helper.make_node("Exp", ["a"], ["e"]),
        helper.make_node("Add", ["x", "e"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    front = parse_front(built(nodes, {"a": np.float32([1.0])}))
    assert front.tail is not None
    assert front.rounded == ("e",)


def test_a_half_precision_constant_is_computed_with_exactly():
    stored = {"a": np.float16([0.1]), "b": np.float16([1000])}
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    front = parse_front(built(nodes, stored))
    total = Fraction(float(np.float16(0.1))) + 1000
    assert outputs_exact(front.network, [Fraction(0)] * 2)[0] == total


def test_a_cast_to_a_wider_type_keeps_what_was_computed():
    stored = {"a": np.float32([1e8]), "b": np.float32([0.5])}
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"]),
        helper.make_node("Cast", ["s"], ["d"], to=TensorProto.DOUBLE),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    front = parse_front(built(nodes, stored, np.float64))
    assert outputs_exact(front.network, [Fraction(0)] * 2)[0] == Fraction(100000000) + Fraction(1, 2)


def test_a_cast_to_a_narrower_type_rounds_once():
    stored = {"a": np.float64([0.1])}
    nodes = [
        helper.make_node("Cast", ["a"], ["s"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "s"], ["y"]),
    ]
    front = parse_front(built(nodes, stored))
    assert outputs_exact(front.network, [Fraction(0)] * 2)[0] == Fraction(float(np.float32(0.1)))


def test_nothing_is_rounded_for_a_cut_that_comes_anyway():
    nodes = [
        helper.make_node("Div", ["a", "b"], ["t"]),
        helper.make_node("Add", ["x", "t"], ["s"]),
        helper.make_node("Softmax", ["s"], ["y"]),
    ]
    front = parse_front(built(nodes, {"a": np.float32([1]), "b": np.float32([3])}))
    assert front.tail is not None
    assert front.rounded == ()
    assert outputs_exact(front.network, [Fraction(0)] * 2)[0] == Fraction(1, 3)
