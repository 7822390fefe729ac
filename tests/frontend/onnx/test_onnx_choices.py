"""Choices by comparisons of computed values: what meets is piecewise linear, what jumps is refused or cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from eqverify.errors import InputError
from eqverify.frontend.onnx import describe, parse_front, parse_network
from eqverify.frontend.onnx.choices import ONE, Pieces, UnevenError, bends, combined, plain, sign_of
from eqverify.network import outputs_exact

X = ("x", 0)


def model(*nodes, size=2, **stored) -> bytes:
    """A model with the input x, the output y and stored numbers."""
    made = [helper.make_node(op, names.split(), [out], **given) for out, op, names, given in nodes]
    kept = [numpy_helper.from_array(np.asarray(v, dtype=np.float32), name) for name, v in stored.items()]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, None if n == "y" else [1, size]) for n in "xy")
    graph = helper.make_graph(made, "g", [x], [y], initializer=kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def at(data: bytes, *point: float) -> list[Fraction]:
    return outputs_exact(parse_network(data), [Fraction(number) for number in point])


WHERE = ("y", "Where", "b p q", {})
SOFT = [
    *(("a", "Abs", "x", {}), ("b", "Greater", "a c", {}), ("s", "Sign", "x", {}), ("m", "Mul", "s c", {})),
    *(("p", "Sub", "x m", {}), ("q", "Mul", "x o", {}), WHERE),
]


def test_softshrink_as_torch_exports_it():
    """Where |x| > c: x - sign(x) c, else 0 x."""
    data = model(*SOFT, c=0.25, o=0.0)
    assert at(data, 1.0, -1.0) == [Fraction(3, 4), Fraction(-3, 4)]
    assert at(data, 0.25, -0.125) == [0, 0]
    assert parse_network(data).relu_count == 2 * 2  # a change at c and at -c


@pytest.mark.parametrize("test", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_a_maximum_of_two_by_comparison(test):
    """The larger of the first and the second component, or the smaller."""
    nodes = [("p", "Gemm", "x first", {}), ("q", "Gemm", "x second", {}), ("b", test, "p q", {}), WHERE]
    data = model(*nodes, first=[[1.0], [0.0]], second=[[0.0], [1.0]])
    wanted = max if test.startswith("G") else min
    for pair in ((1.0, 2.0), (2.0, -1.0), (3.0, 3.0)):
        assert at(data, *pair) == [wanted(pair)]
    assert parse_network(data).relu_count == 1


def test_a_relu_by_a_mask():
    """x times the number that x > 0 is."""
    data = model(("b", "Greater", "x o", {}), ("f", "Cast", "b", {"to": 1}), ("y", "Mul", "x f", {}), o=0.0)
    assert at(data, 2.0, -2.0) == [2, 0]


def test_what_is_the_same_everywhere_is_a_number():
    """x - x > -1 always: a mask of ones, which others may be multiplied by."""
    nodes = [("z", "Sub", "x x", {}), ("b", "Greater", "z c", {}), ("f", "Cast", "b", {"to": 1})]
    assert at(model(*nodes, ("y", "Mul", "x f", {}), c=-1.0), 3.0, -2.0) == [3, -2]


JUMPING = {
    "threshold": [("b", "Greater", "x c", {}), ("y", "Where", "b x o", {})],
    "at a point": [("b", "Equal", "x c", {}), ("y", "Where", "b o x", {})],
    "hardshrink": [("a", "Abs", "x", {}), ("b", "LessOrEqual", "a c", {}), ("y", "Where", "b o x", {})],
    "a mask": [("b", "Greater", "x c", {}), ("y", "Cast", "b", {"to": 1})],
    "truth": [("b", "Greater", "x c", {}), ("f", "Cast", "b", {"to": 1}), ("y", "Relu", "f", {})],
}


@pytest.mark.parametrize("name", JUMPING)
def test_what_jumps_is_refused(name):
    """Also where the values differ at one point only."""
    with pytest.raises(InputError) as caught:
        parse_network(model(*JUMPING[name], c=0.25, o=0.0))
    assert caught.value.code == "onnx/nonlinear"


def test_a_model_is_cut_before_what_jumps_and_not_before_what_meets():
    """The comparison of the second choice is behind the cut with it; the first is read."""
    nodes = [("b", "Greater", "x o", {}), ("h", "Mul", "x k", {}), ("r", "Where", "b x h", {})]
    jump = [("d", "Greater", "r c", {}), ("y", "Where", "d r o", {})]
    front = parse_front(model(*nodes, *jump, c=0.25, o=0.0, k=0.5))
    assert front.cut is not None
    assert front.cut.tensors == ("r",)
    assert [node.node for node in front.cut.opaque] == ["y"]
    assert front.tail is not None
    assert front.tail.operators == ("Greater", "Where")
    assert outputs_exact(front.network, [Fraction(2), Fraction(-2)]) == [2, -1]


def test_a_run_by_a_computed_condition_is_not_said_to_round_as_read():
    """In float32 a condition may hold where it does not, so no bound on runs is claimed."""
    front = parse_front(model(*SOFT, c=0.25, o=0.0))
    assert "Where by a computed condition" in front.unmodelled


def test_every_node_is_told_apart():
    """Read as what, stored, needed by nobody, or why not."""
    nodes = [("c2", "Mul", "c c", {}), ("r", "Relu", "x", {}), ("n", "Neg", "x", {}), ("z", "Det", "r", {})]
    about = describe(model(*nodes, ("y", "Add", "z c2", {}), c=2.0))
    told = {name: (reading.operator, reading.becomes) for reading in about.readings for name in reading.nodes}
    assert told["c2"] == ("Mul", "stored numbers")
    assert told["r"] == ("Relu", "a ReLU node")
    assert told["n"][1].startswith("nothing")
    assert [(problem.node, bool(problem.hint)) for problem in about.unsupported] == [("z", True)]
    assert told.keys() == {"c2", "r", "n"}  # y is behind z, and by itself is read


def line(slope: float, level: float) -> dict:
    return {key: Fraction(n) for key, n in ((X, slope), (ONE, level)) if n}


def test_pieces_bend_where_they_meet():
    """3 - x below 1, 2 x at and above it; a second threshold at which nothing changes is none."""
    sign = combined(lambda s: s >= 0, sign_of(plain(line(2.0, -2.0))))
    part = combined(lambda above: line(2.0, 0.0) if above else line(-1.0, 3.0), sign)
    assert part.guard == {X: 2}
    assert part.cuts == (2,)
    assert bends(part) == [(2, Fraction(3, 2))]
    assert combined(lambda _: line(1.0, 0.0), part).cuts == ()


@pytest.mark.parametrize(("here", "above"), [(line(0.0, 1.0), line(1.0, 0.0)), (line(1.0, 0.0), line(1.0, 0.5))])
def test_pieces_that_jump_at_or_behind_a_cut_do_not_bend(here, above):
    part = Pieces(line(1.0, 0.0), (Fraction(0),), (line(2.0, 0.0), here, above))
    assert bends(part) is None


def test_guards_of_two_numbers_are_uneven():
    y = plain({("y", 0): Fraction(1)})
    signs = sign_of(plain(line(1.0, 0.0))), sign_of(y)
    with pytest.raises(UnevenError):
        combined(lambda *both: both, *signs)


def test_guards_that_are_multiples_are_one():
    """-x and 3 x: the order of the cells turns."""
    both = combined(lambda *s: s, sign_of(plain(line(-1.0, 1.0))), sign_of(plain(line(3.0, 0.0))))
    assert both.guard == {X: -1}
    assert [both.at(-Fraction(x)) for x in (-1, 0, 2)] == [(1, -1), (1, 0), (-1, 1)]
