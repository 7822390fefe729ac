"""The checker's own enclosures and lines of functions, judged by balls; proofs of networks with smooth nodes (K-21)."""

from __future__ import annotations

import dataclasses
from fractions import Fraction
from functools import cache

import flint
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify import functions
from eqverify.checker import curves, elementary
from eqverify.checker.numbers import Exact, Floats
from eqverify.functions import Exp, Function, Log, Reciprocal, Sigmoid, Silu, Tanh
from eqverify.network import Affine, Dense, Network, Port, Product, Relu, Smooth, Term
from tests.functions.function_checks import BITS, DERIVATIVES, MEANINGS, POSITIVE, ball, below, wrong_points
from tests.functions.test_functions import intervals, moved

from .certificate_cases import box
from .proof_cases import proved
from .refutation_cases import at_least, highest

FUNCTIONS = pytest.mark.parametrize("function", MEANINGS, ids=lambda function: function.name)
BOTH = pytest.mark.parametrize("numbers", [Floats(), Exact()], ids=["float", "exact"])


@pytest.fixture(autouse=True)
def _precision():
    with flint.ctx.workprec(BITS):
        yield


def in_domain(function, x):
    start, end = curves._curve(function).domain
    return x[(x >= max(start, 1e-17)) & (x <= end)] if start >= 0 else x[(x >= start) & (x <= end)]


@FUNCTIONS
def test_values_and_derivatives_are_enclosed(function):
    random = np.random.default_rng(8)
    x = random.uniform(-1, 1, 150) * 10.0 ** random.integers(-30, 6, 150)
    x = np.concatenate([x, random.uniform(-30, 30, 100)])
    x = np.concatenate([in_domain(function, np.concatenate([x, np.abs(x)])), [1.0]])
    jet, unit = curves._curve(function).jet(elementary.integers(x)), flint.arb(2) ** -elementary.BITS
    for meaning, (low, high) in ((MEANINGS[function], jet.value), (DERIVATIVES[function], jet.slope)):
        for point, *ends in zip(x, low, high, strict=True):
            value, least, most = meaning(ball(point)), *(flint.arb(int(end)) * unit for end in ends)
            assert not least > value, point
            assert not value > most, point
            assert most - least < flint.arb(2) ** -40 * (1 + abs(value)), point


def found(function, lower, upper):
    """Range and lines, of one interval."""
    z = np.array([[lower]]), np.array([[upper]])
    with np.errstate(all="ignore"):
        h = curves.value_range(function, z)
        alpha, base, lam, offset = (float(one[0, 0]) for one in curves.lines(function, z, h))
    return float(h[0][0, 0]), float(h[1][0, 0]), functions.Lines(alpha, base, lam, offset)


@FUNCTIONS
@given(case=intervals())
def test_lines_and_ranges_hold(function, case):
    lower, upper, points = moved(function, *case)
    least, most, lines = found(function, lower, upper)
    assert not wrong_points(MEANINGS[function], lines, lower, upper, points)
    for point in (lower, upper, *points):
        if lower <= point <= upper and (point or function.name != "Reciprocal"):
            assert below(least, MEANINGS[function](ball(point)))
            assert below(-most, -MEANINGS[function](ball(point)))


@FUNCTIONS
@given(case=intervals(), seed=st.integers(0, 2**32 - 1))
def test_any_slopes_and_any_points_of_tangents_will_do(function, case, seed):
    """What the prover's functions say is a guess: here they say anything."""
    lower, upper, points = moved(function, *case)
    random = np.random.default_rng(seed)

    def noise(x):
        return random.normal(size=np.shape(x)) * 10.0 ** random.integers(-3, 4)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(function), "slope", lambda self, x: noise(x))
        patch.setattr(functions, "lines", lambda f, low, high: functions.Lines(*(noise(low) for _ in range(4))))
        least, most, lines = found(function, lower, upper)
    assert not wrong_points(MEANINGS[function], lines, lower, upper, points)
    assert all(below(least, MEANINGS[function](ball(x))) for x in (lower, upper) if x)
    assert all(below(-most, -MEANINGS[function](ball(x))) for x in (lower, upper) if x)


@FUNCTIONS
def test_lines_are_nearly_those_of_the_prover(function):
    for lower, upper in ((0.5, 1.5), (1.0, 1.0625), (0.25, 4.0)):
        own, other = found(function, lower, upper)[2], functions.lines(function, np.array([lower]), np.array([upper]))
        for name in ("low_slope", "low", "high_slope", "high"):
            assert getattr(own, name) == pytest.approx(getattr(other, name)[0], rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("function", [Exp(), Log(), Reciprocal()], ids=str)
def test_outside_of_what_is_looked_at_nothing_is_said(function):
    least, most, lines = found(function, -1e4, 1e4)
    assert (least, most) == ((0.0, np.inf) if function == Exp() else (-np.inf, np.inf))
    assert (lines.low_slope, lines.low, lines.high_slope, lines.high) == (0, least, 0, most)


def test_where_x_times_its_sigmoid_turns():
    """x tanh(x / 2) rises for x > 0, and is 2 within what the checker allows around its number."""
    before, after = (ball(curves._TURN + side * curves._NEAR) for side in (-1, 1))
    assert before * (before / 2).tanh() < 2 < after * (after / 2).tanh()


@BOTH
@given(data=st.data())
def test_planes_and_ranges_of_products_hold(numbers, data):
    (low, high, left), (other_low, other_high, _) = data.draw(intervals()), data.draw(intervals())
    ends = [(np.array([a]), np.array([b])) for a, b in ((low, high), (other_low, other_high))]
    on_left, on_right, least, most = (float(part[0]) for part in curves.planes(numbers, *ends))
    lower, upper = (float(end[0]) for end in curves.product_range(numbers, *ends))
    for x in (low, high, *left[(left >= low) & (left <= high)]):
        for y in (other_low, other_high):
            value, plane = ball(x) * ball(y), ball(on_left) * ball(x) + ball(on_right) * ball(y)
            assert not plane + ball(least) > value
            assert not value > plane + ball(most)
            assert below(lower, value)
            assert below(-upper, -value)


def network_of(kind: Function | str) -> Network:
    """Two inputs, four ReLUs, a smooth layer, four ReLUs, two outputs; weights are multiples of 1/64."""
    random = np.random.default_rng(3)

    def dense(rows, columns):
        return Dense(np.round(64 * random.normal(size=(rows, columns)) / np.sqrt(columns)) / 64)

    smooth = Product("s", "b", "a") if isinstance(kind, str) else Smooth("s", "b", kind)
    nodes = (
        Affine("a", (Term("x", dense(4, 2)),), np.array([0.25, 0.0, -0.25, 0.5])), Relu("r", "a"),
        Affine("b", (Term("r", dense(4, 4)),), np.full(4, 4.0) if kind in (*POSITIVE, Reciprocal()) else np.zeros(4)),
        smooth, Affine("c", (Term("s", dense(4, 4)),), np.zeros(4)), Relu("t", "c"),
        Affine("y", (Term("t", dense(2, 4)),), np.zeros(2)),
    )  # fmt: skip
    return Network((Port("x", (2,), "float32", "x"),), nodes, (Port("y", (2,), "float32", "y"),))


@cache
def smooth_case(kind: Function | str, margin: float = 0.03):
    """A property that the first output is above its largest value."""
    network, domain = network_of(kind), box(2)
    rows = ((at_least(highest(network, domain, 0) + Fraction(margin), 0),),)
    return proved(network, domain, rows, "unsat" if margin > 0 else "sat")


OTHERS = [pytest.param(f, marks=pytest.mark.slow) for f in MEANINGS if f.name not in ("Power 8", "Sigmoid")]


@pytest.mark.parametrize("arithmetic", ["float", "exact"])
@pytest.mark.parametrize("kind", [Sigmoid(), "product", *OTHERS], ids=lambda kind: getattr(kind, "name", kind))
def test_proofs_behind_smooth_nodes_verify(kind, arithmetic):
    assert str(smooth_case(kind).check(arithmetic=arithmetic)) == "verified unsat"


@pytest.mark.parametrize("arithmetic", ["float", "exact"])
@pytest.mark.parametrize("kind", [Sigmoid(), Silu(), "product"], ids=lambda kind: getattr(kind, "name", kind))
def test_inputs_of_smooth_networks_verify(kind, arithmetic):
    assert str(smooth_case(kind, -0.03).check(arithmetic=arithmetic)) == "verified sat"


@pytest.mark.parametrize("kind", [Sigmoid(), "product"], ids=lambda kind: getattr(kind, "name", kind))
def test_no_proof_shows_what_an_input_refutes(kind):
    """The steps of a true claim, about the same network and a threshold that is reached; and an input that does not."""
    true, reached = smooth_case(kind), smooth_case(kind, -0.03)
    assert reached.check(reached.about(*true.parts)).code == "check/not-empty"
    head, arrays = reached.parts
    assert true.check(true.about(head, arrays)).code == "check/not-satisfied"


def test_another_function_needs_another_proof():
    """The Sigmoid of a proved network is an exponential, which is larger, in a file whose digest is in the proof."""
    one = smooth_case(Sigmoid())
    model = onnx.load_from_string(one.network)
    (node,) = (node for node in model.graph.node if node.op_type == "Sigmoid")
    node.op_type = "Exp"
    other = dataclasses.replace(one, network=model.SerializeToString())
    assert highest(network_of(Exp()), box(2), 0) > highest(network_of(Sigmoid()), box(2), 0) + Fraction(0.03)
    assert other.check(other.about(*one.parts)).code == "check/not-empty"


@dataclasses.dataclass(frozen=True, slots=True)
class Unknown(Tanh):
    """A function that the checker does not know."""


def test_a_function_without_a_rule_is_refused():
    z = np.zeros((1, 1)), np.ones((1, 1))
    with pytest.raises(Exception, match="no rule"):
        curves.value_range(Unknown(), z)
