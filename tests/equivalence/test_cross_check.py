"""The z3 cross-check against the exact oracle, planted differences, limits and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import eqverify
import eqverify.equivalence
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.equivalence import exact as exact_module
from eqverify.equivalence.exact import Limits, cross_check
from eqverify.errors import ContradictionError, LimitError, UsageError
from eqverify.network import Affine, Dense, Network, Term, outputs_exact
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.handmade import absolute_value
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import any_networks, domains, networks

TIMEOUT = 30.0
LESS = Fraction(10**9 - 1, 10**9)
UNIT = box_domain(-np.ones(1), np.ones(1))


@pytest.fixture
def no_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the whole search to z3."""
    monkeypatch.setattr(exact_module, "_sampled_witness", lambda search, part: None)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Network, Network, Domain]:
    """Two networks of one arity, and a domain."""
    f = draw(any_networks(sizes=Sizes(depth=(0, 2), width=(1, 3))))
    g = draw(networks(sizes=Sizes((f.input_size,) * 2, (f.output_size,) * 2, (0, 2), (1, 3))))
    return f, g, draw(domains(f.input_size, parts=2))


def assert_agrees_with_the_oracle(f: Network, g: Network, domain: Domain) -> None:
    deviations = deviations_exact(f, g, domain)
    exactly = [d.value for d in deviations]
    assert cross_check(f, g, domain, exactly, timeout=TIMEOUT).verdict == "equivalent"
    for output, value in enumerate(exactly):
        if not value:
            continue
        lower = [*exactly[:output], value * LESS, *exactly[output + 1 :]]
        answer = cross_check(f, g, domain, lower, timeout=TIMEOUT)
        assert (answer.verdict, answer.output) == ("different", output)
        assert answer.witness is not None
        assert answer.deviation is not None
        assert value * LESS < answer.deviation <= value
        gap = outputs_exact(f, answer.witness)[output] - outputs_exact(g, answer.witness)[output]
        assert abs(gap) == answer.deviation


@given(pairs())
def test_epsilon_at_the_exact_deviation_is_the_border(pair: tuple[Network, Network, Domain]) -> None:
    assert_agrees_with_the_oracle(*pair)


@pytest.mark.slow
@pytest.mark.usefixtures("no_samples")
def test_z3_alone_finds_the_border() -> None:
    random = np.random.default_rng(3)
    domain = Domain(
        (
            Polytope(Box(-np.ones(2), np.ones(2)), np.array([[1.0, 1.0]]), np.array([0.5])),
            Polytope(Box(np.array([2.0, 0.0]), np.array([2.0, 1.0]))),
        )
    )
    for _ in range(10):
        f, g = (
            chain_network([(random.integers(-4, 5, s) / 4.0, random.integers(-4, 5, s[0]) / 4.0) for s in shapes])
            for shapes in (((4, 2), (3, 4), (2, 3)), ((5, 2), (2, 5)))
        )
        assert_agrees_with_the_oracle(f, g, domain)


@given(any_networks(), st.data())
def test_a_network_is_equivalent_to_itself_without_asking_z3(network: Network, data: st.DataObject) -> None:
    domain = data.draw(domains(network.input_size))
    answer = cross_check(network, network, domain, [0] * network.output_size, timeout=TIMEOUT)
    assert (answer.verdict, answer.queries) == ("equivalent", 0)


@given(networks(sizes=Sizes(depth=(1, 2))), st.data())
def test_a_planted_shift_of_an_output_is_found(network: Network, data: st.DataObject) -> None:
    domain = data.draw(domains(network.input_size))
    *nodes, last = network.nodes
    assert isinstance(last, Affine)
    output = data.draw(st.integers(0, network.output_size - 1))
    bias = last.bias.copy()
    bias[output] = np.nextafter(bias[output], np.inf)
    other = Network(network.inputs, (*nodes, replace(last, bias=bias)), network.outputs)
    answer = cross_check(network, other, domain, np.zeros(network.output_size), timeout=TIMEOUT)
    assert (answer.verdict, answer.output) == ("different", output)
    assert answer.deviation == Fraction(float(bias[output])) - Fraction(float(last.bias[output]))


def spike(width: float) -> tuple[Network, Network]:
    """A network that is 1 at 1/3 and 0 beyond `width` of it, and the zero network."""
    centre, slope = 1 / 3, 1 / width
    kinks = np.array([[1.0], [1.0], [1.0]]), np.array([width - centre, -centre, -width - centre])
    return chain_network([kinks, (np.array([[slope, -2 * slope, slope]]), np.zeros(1))]), chain_network(
        [(np.zeros((1, 1)), np.zeros(1))]
    )


def test_a_difference_too_narrow_for_samples_is_found() -> None:
    f, g = spike(2.0**-30)
    answer = cross_check(f, g, UNIT, [0.5], timeout=TIMEOUT)
    assert answer.verdict == "different"
    assert answer.queries == 1
    assert answer.witness is not None
    assert abs(answer.witness[0] - Fraction(1, 3)) < 2.0**-29


def test_a_difference_outside_the_linear_constraints_does_not_count() -> None:
    f, g = chain_network([(np.array([[1.0, 1.0]]), np.zeros(1))]), chain_network([(np.zeros((1, 2)), np.zeros(1))])
    part = Polytope(Box(np.zeros(2), np.ones(2)), np.array([[1.0, 1.0]]), np.array([0.25]))
    assert cross_check(f, g, Domain((part,)), [0.25], timeout=TIMEOUT).verdict == "equivalent"
    assert cross_check(f, g, Domain((part,)), [0.2499], timeout=TIMEOUT).verdict == "different"


def test_an_empty_part_proves_nothing_about_the_others() -> None:
    f, g = chain_network([(np.ones((1, 1)), np.zeros(1))]), chain_network([(np.ones((1, 1)), np.ones(1))])
    box = UNIT.polytopes[0].box
    empty = Polytope(box, np.ones((1, 1)), np.array([-2.0]))
    assert cross_check(f, g, Domain((empty,)), [0.0], timeout=TIMEOUT).verdict == "equivalent"
    assert cross_check(f, g, Domain((empty, Polytope(box))), [0.0], timeout=TIMEOUT).verdict == "different"


def test_rational_epsilons_are_not_rounded() -> None:
    f = chain_network([(np.array([[1.0]]), np.zeros(1))])
    third = Affine("y", (Term("X", Dense(np.array([[3.0]]))),), np.zeros(1))
    g = Network(f.inputs, (third,), (replace(f.outputs[0], source="y"),))
    domain = box_domain(np.zeros(1), np.ones(1))
    assert cross_check(f, g, domain, [Fraction(2)], timeout=TIMEOUT).verdict == "equivalent"
    assert cross_check(f, g, domain, [Fraction(2) - Fraction(1, 10**50)], timeout=TIMEOUT).verdict == "different"


def hard_pair() -> tuple[Network, Network, Domain]:
    """Two networks with 90 unstable ReLUs each that differ by little: too hard for z3."""
    random = np.random.default_rng(1)
    widths = [6, 30, 30, 30, 1]
    layers = [(random.normal(size=(rows, columns)), random.normal(size=rows)) for columns, rows in pairwise(widths)]
    moved = [(matrix + 1e-6 * random.normal(size=matrix.shape), bias) for matrix, bias in layers]
    return chain_network(layers), chain_network(moved), box_domain(-np.ones(6), np.ones(6))


def test_a_timeout_is_unknown_with_a_reason() -> None:
    f, g, domain = hard_pair()
    start = time.monotonic()
    answer = cross_check(f, g, domain, [10.0], timeout=1.5)
    assert (answer.verdict, answer.witness) == ("unknown", None)
    assert answer.reason == "no answer within 1.5 seconds"
    assert time.monotonic() - start < 10


def test_a_timeout_while_encoding_is_unknown() -> None:
    f, g, domain = hard_pair()
    answer = cross_check(f, g, domain, [10.0], timeout=1e-6)
    assert (answer.verdict, answer.queries) == ("unknown", 0)


@pytest.mark.slow
def test_an_interrupt_ends_the_search() -> None:
    here, package = Path(__file__).parent, Path(eqverify.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import eqverify.equivalence.exact as exact\n"
        "from test_cross_check import hard_pair\n"
        "check = exact._Z3Model._check\n"
        "exact._Z3Model._check = lambda model: (print('asking', flush=True), check(model))[1]\n"
        "try:\n"
        "    exact.cross_check(*hard_pair(), [10.0], timeout=60)\n"
        "except KeyboardInterrupt:\n"
        "    sys.exit(42)\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=here, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "asking\n"
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 42


@pytest.mark.parametrize(
    ("limits", "shown"), [(Limits(relus=3), "4 ReLUs, the limit is 3"), (Limits(weights=9), "weights, the limit is 9")]
)
def test_too_large_networks_are_refused_with_size_and_limit(limits: Limits, shown: str) -> None:
    network = absolute_value().network
    with pytest.raises(LimitError, match=shown) as caught:
        cross_check(network, network, UNIT, [0.0], timeout=TIMEOUT, limits=limits)
    assert caught.value.code == "equivalence/too-large"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"g": chain_network([(np.ones((1, 2)), np.zeros(1))])}, "equivalence/arity"),
        ({"g": chain_network([(np.ones((2, 1)), np.zeros(2))])}, "equivalence/arity"),
        ({"domain": box_domain(np.zeros(2), np.ones(2))}, "equivalence/arity"),
        ({"epsilon": [0.0, 0.0]}, "equivalence/epsilon"),
        ({"epsilon": [-1e-300]}, "equivalence/epsilon"),
        ({"epsilon": [float("nan")]}, "equivalence/epsilon"),
        ({"epsilon": [float("inf")]}, "equivalence/epsilon"),
        ({"timeout": 0.0}, "equivalence/timeout"),
        ({"timeout": float("nan")}, "equivalence/timeout"),
    ],
)
def test_arguments_that_do_not_fit_are_rejected(changes: dict[str, object], code: str) -> None:
    network = absolute_value().network
    arguments = {"f": network, "g": network, "domain": UNIT, "epsilon": [0.0], "timeout": TIMEOUT, **changes}
    with pytest.raises(UsageError) as caught:
        cross_check(**arguments)  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.usefixtures("no_samples")
@pytest.mark.parametrize("lie", [Fraction(0), Fraction(2)], ids=["no difference there", "outside the domain"])
def test_a_lying_solver_is_found_out(monkeypatch: pytest.MonkeyPatch, lie: Fraction) -> None:
    monkeypatch.setattr(exact_module._Z3Model, "find_gap", lambda *arguments: ("", (lie,)))
    f, g = chain_network([(np.array([[1.0]]), np.zeros(1))]), chain_network([(np.array([[-1.0]]), np.zeros(1))])
    with pytest.raises(ContradictionError) as caught:
        cross_check(f, g, UNIT, [0.5], timeout=TIMEOUT)
    assert caught.value.code == "equivalence/replay"


def test_a_solver_that_gives_up_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact_module._Z3Model, "find_gap", lambda *arguments: ("z3 gave up (memory)", None))
    f, g = spike(2.0**-30)
    answer = cross_check(f, g, UNIT, [0.5], timeout=TIMEOUT)
    assert (answer.verdict, answer.reason) == ("unknown", "output 0: z3 gave up (memory)")


def test_unknown_names_do_not_load_z3() -> None:
    with pytest.raises(AttributeError):
        _ = eqverify.equivalence.no_such_name
