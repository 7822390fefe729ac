"""The oracle, the interpreter and the property reader of the hunt: problems solved by hand, and onnxruntime."""

from __future__ import annotations

import ast
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import onnxruntime
import pytest

from .hunt_interpreter import read_function
from .hunt_judging import satisfiable, satisfies, top1_differs
from .hunt_networks import draw_network, draw_sizes, draw_style
from .hunt_oracle import (
    Atom,
    Form,
    Function,
    LeftOutError,
    Unit,
    box,
    cells,
    deviation,
    extremes,
    fraction,
    rational,
    satisfied_somewhere,
    variable,
)
from .hunt_property import read_property, start
from .hunt_texts import decimal

HERE = Path(__file__).parent
INDEPENDENT = (
    "hunt_oracle",
    "hunt_interpreter",
    "hunt_property",
    "hunt_judging",
    "hunt_sampled",
    "hunt_values",
    "hunt_networks",
    "hunt_texts",
    "hunt_fuzz",
)


def q(text):
    return rational(text)


def interval(low, high):
    return box([q(low)], [q(high)])


def form(constant, **terms):
    return Form({int(name[1:]): q(value) for name, value in terms.items()}, q(constant))


HAT = Function(1, (Unit(form(0, v0=1)), Unit(form("-1/2", v0=1))), (form(0, v1=2, v2=-4),))
"""2 relu(x) - 4 relu(x - 1/2): a hat on [0, 1] with its tip, 1, at 1/2."""


@pytest.mark.parametrize("name", INDEPENDENT)
def test_nothing_that_decides_knows_eqverify(name):
    tree = ast.parse((HERE / f"{name}.py").read_text("utf-8"))
    imported = [a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names]
    imported += [str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)]
    assert imported
    assert not [module for module in imported if module.partition(".")[0] == "eqverify"]


def test_extremes_of_a_hat():
    assert extremes(HAT, interval(-1, 1), list(HAT.outputs)) == [(q(0), q(1))]
    assert extremes(HAT, interval(0, "1/4"), list(HAT.outputs)) == [(q(0), q("1/2"))]
    assert HAT([q("3/4")]) == [q("1/2")]


def test_a_needle_of_1e_minus_40_is_seen():
    needle = Function(2, (Unit(form(Fraction(-2) + Fraction(1, 10**40), v0=1, v1=1)),), (form(0, v2=10**40),))
    assert extremes(needle, box([q(-1)] * 2, [q(1)] * 2), list(needle.outputs)) == [(q(0), q(1))]


def test_cells_are_counted_by_zaslavsky():
    lines = [form(0, v0=1, v1=1), form("1/3", v0=1, v1=-1), form("1/7", v0=2, v1=1), form("-1/5", v0=-1, v1=3)]
    network = Function(2, tuple(Unit(z) for z in lines), ())
    assert len(list(cells(network, box([q(-9)] * 2, [q(9)] * 2)))) == 1 + 4 + 6  # 4 lines in general position
    with pytest.raises(LeftOutError):
        list(cells(network, box([q(-9)] * 2, [q(9)] * 2), most=10))


def test_cuts_of_a_cube_keep_its_vertices():
    """|x| + |y| + |z| <= 1 has 6 vertices; its cells are 8 simplices."""
    absolute = Function(3, tuple(Unit(variable(k), q(1), q(-1)) for k in range(3)), (form(0, v3=1, v4=1, v5=1),))
    cube = box([q(-1)] * 3, [q(1)] * 3)
    parts = list(cells(absolute, cube))
    assert len(parts) == 8
    ball = [Atom(absolute.outputs[0] - Form({}, q(1)))]
    assert all(satisfied_somewhere(part, ball, 6) for part, _ in parts)
    assert extremes(absolute, cube, list(absolute.outputs)) == [(q(0), q(3))]


def test_strict_signs_are_strict():
    square = box([q(0)] * 2, [q(1)] * 2)
    edge = [Atom(form(1, v0=-1)), Atom(form(-1, v0=1))]  # x0 = 1
    assert satisfied_somewhere(square, edge, 4)
    assert satisfied_somewhere(square, [*edge, Atom(form("-1/2", v1=1), strict=True)], 4)
    assert not satisfied_somewhere(square, [*edge, Atom(form(-1, v0=1), strict=True)], 4)
    assert not satisfied_somewhere(square, [Atom(form(0, v0=1), strict=True)], 4)
    crossed = [Atom(form(0, v0=1, v1=-1), strict=True), Atom(form(0, v0=-1, v1=1), strict=True)]
    assert not satisfied_somewhere(square, crossed, 4)


def test_deviation():
    shifted = Function(1, HAT.units, (form("1/8", v1=2, v2="-3"),))
    assert deviation(HAT, shifted, interval(0, 1)) == [q("5/8")]
    assert deviation(HAT, HAT, interval(-5, 5)) == [q(0)]


def test_ties_of_the_largest_output_are_no_difference():
    """(x, -x) against (-x, x) differ where x != 0; on the point 0 both tie."""
    one, two = (Function(1, (), (form(0, v0=s), form(0, v0=-s))) for s in (1, -1))
    assert top1_differs(one, two, interval(-1, 1))
    assert top1_differs(one, two, interval(0, "1e-300"))
    assert not top1_differs(one, two, interval(0, 0))


def test_a_third_output_may_tie_with_the_largest():
    """(-1, 0, 0) against (1, 0, 0): the second is largest for one, if not alone, the first for the other."""
    one, two = (Function(1, (), (form(s), form(0), form(0))) for s in (-1, 1))
    assert top1_differs(one, two, interval(-1, 1))
    assert not top1_differs(one, one, interval(-1, 1))


OLD = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
NEW = "(vnnlib-version <2.0>)(declare-network N (declare-input X real [1,2]) (declare-output Y real [1,1]))"
SUM = Function(2, (), (form(0, v0=1, v1=1),))
UNIT = "(assert (and (<= 0.0 X0) (<= X0 1.0) (<= 0.0 X1) (<= X1 1.0)))"


@pytest.mark.parametrize("head", [OLD, NEW])
@pytest.mark.parametrize(
    ("condition", "right"),
    [
        ("(>= Y0 2.0)", True),
        ("(> Y0 2.0)", False),
        ("(> Y0 1.999999999999999999999999999999)", True),
        ("(and (>= Y0 2.0) (< X0 1.0))", False),
        ("(or (> Y0 2.0) (<= (* 3.0 Y0) (- 0.0 0.0)))", True),
        ("(and (< X0 X1) (< X1 X0))", False),
        ("(>= Y0 1e400)", False),
        ("(>= (* 1e400 Y0) 1.0)", True),
        ("(= Y0 0.3)", True),
        ("(and (= X0 X1) (= Y0 1.5) (<= X0 0.7))", False),
        ("(<= (+ Y0 (- X0) (- X1)) 0.0)", True),
        ("(< 1.0 1.0)", False),
    ],
)
def test_properties(head, condition, right):
    names = ("X_0", "X_1", "Y_0") if head is OLD else ("X[0,0]", "X[0,1]", "Y[0,0]")
    text = f"{head}{UNIT}(assert {condition})"
    for placeholder, name in zip(("X0", "X1", "Y0"), names, strict=True):
        text = text.replace(placeholder, name)
    query = read_property(text)
    assert satisfiable(query, SUM) is right


def test_points_are_judged_as_decimals_are_written():
    query = read_property(
        "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (and (>= X_0 0) (<= X_0 0.1) (>= Y_0 0.1)))"
    )
    same = Function(1, (), (variable(0),))
    assert satisfies(query, same, [q("1/10")])
    assert not satisfies(query, same, [q(0.1)])  # the float above 1/10
    assert satisfiable(query, same)


def test_bounds_pass_through_linked_inputs():
    query = read_property(f"{OLD}(assert (and (>= X_0 -1) (<= X_0 0.5) (= X_1 X_0)))")
    (atoms,) = query.domain()
    cell, _ = start(atoms, 2)
    assert {tuple(map(str, v.values)) for v in cell} == {("-1", "-1"), ("1/2", "1/2")}
    with pytest.raises(LeftOutError, match="without bounds"):
        start(read_property(f"{OLD}(assert (>= X_0 -1))").domain()[0], 2)


@pytest.mark.parametrize(
    "value", [0.1, 1e-300, 5e-324, -1.5, 12345678.875, 1e300, Fraction(1, 3), Fraction(-7, 10**50), Fraction(10) ** 30]
)
def test_decimals_are_exact_or_close(value):
    text = decimal(value)
    exact = Fraction(value)
    if value in (0.1, -1.5, 12345678.875, 1e300) or exact.denominator == 1:
        assert Fraction(text) == exact
    assert abs(Fraction(decimal(value, 24)) - exact) <= abs(exact) / 10**22


@pytest.mark.parametrize("seed", range(60))
def test_the_interpreter_agrees_with_onnxruntime(seed, tmp_path):
    """On random points, as far as float32 can tell; styles without extreme numbers."""
    rng = Random(seed)
    sizes = draw_sizes(rng)
    style = draw_style(rng, len(sizes.layers) + 1)
    style.name = "plain" if style.name not in ("quarters", "sparse") else style.name
    style.scales = [1.0] * len(style.scales)
    path = tmp_path / "net.onnx"
    path.write_bytes(draw_network(rng, sizes, [(-1.0, 1.0)] * sizes.inputs, style=style))
    function, relus = read_function(path)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    shape = [extent if isinstance(extent, int) else 1 for extent in port.shape]
    for _ in range(5):
        x = [rng.uniform(-1, 1) for _ in range(sizes.inputs)]
        stored = np.array(x, dtype=np.float32 if "float)" in port.type else np.float64)
        (found,) = session.run(None, {port.name: stored.reshape(shape)})
        exact = function([rational(v) for v in stored.astype(np.float64).tolist()])
        for seen, true in zip(found.ravel().tolist(), exact, strict=True):
            if abs(true) > 10**30:  # a Clip to the largest number: beyond what float32 can follow
                continue
            assert seen == pytest.approx(float(fraction(true)), rel=1e-4, abs=1e-4)
    assert all(len(forms) for forms in relus.values())
