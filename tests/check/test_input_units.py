"""ReLUs that read the input directly (Relu, Abs, Clip, LeakyRelu as first node): certificates of them verify."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.domain import Box, Domain, Polytope
from eqverify.errors import InputError
from eqverify.network import Affine, Dense, Network, Port, Relu, Term
from eqverify.testing.strategies import boxes

from ..vnncomp import slow
from .certificate_cases import box, certified, cut_box, unpack


def front_network(size: int, seed: int = 0, *, hidden: int = 0) -> Network:
    """y = W max(0, x) + x_0, perhaps with a layer between."""
    random = np.random.default_rng(seed)
    nodes = [Relu("r", "x")]
    last, width = "r", size
    if hidden:
        weight = random.integers(-2, 3, size=(hidden, size)) / 2
        nodes += [Affine("z", (Term("r", Dense(weight)),), np.full(hidden, 0.25)), Relu("h", "z")]
        last, width = "h", hidden
    weight = random.integers(-2, 3, size=(1, width)) / 2 + 0.25
    first = np.eye(1, size)
    nodes.append(Affine("y", (Term(last, Dense(weight)), Term("x", Dense(first))), np.zeros(1)))
    return Network((Port("x", (1, size), "float32", "x"),), tuple(nodes), (Port("y", (1, 1), "float32", "y"),))


def parts(*pairs: tuple[list[float], list[float]]) -> Domain:
    return Domain(tuple(Polytope(Box(np.array(low), np.array(high))) for low, high in pairs))


DOMAINS = {
    "one box": parts(([1, -1, -3], [2, 2, -2])),
    "points": parts(([1, 0, -3], [1, 0, -3])),
    "two boxes": parts(([1, -1, -3], [2, 2, -2]), ([4, -2, -3], [5, -1, 0])),
    "cut": cut_box(3),
    "wide": box(3),
}


@pytest.mark.parametrize("domain", DOMAINS.values(), ids=DOMAINS)
@pytest.mark.parametrize("hidden", [*slow(0), 4])
@pytest.mark.parametrize("arithmetic", ["float", "exact"])
def test_certificates_of_relus_on_the_input_verify(domain, hidden, arithmetic):
    one = certified(front_network(3, 1, hidden=hidden), domain)
    assert one.check(arithmetic=arithmetic).verified


def test_stable_units_on_the_input_are_claimed():
    head, arrays = unpack(certified(front_network(3, 1), DOMAINS["one box"]).certificate)
    assert arrays[head["layers"][0]["status"]].tolist() == [2, 0, 1]
    assert arrays[head["layers"][0]["evidence"]].tolist() == [1, 0, 1]


@pytest.mark.slow
@given(boxes(2), st.integers(0, 5), st.sampled_from([0, 3]))
def test_any_box(drawn, seed, hidden):
    one = certified(front_network(2, seed, hidden=hidden), Domain((Polytope(drawn),)))
    assert one.check().verified


def test_a_sign_on_the_input_that_only_constraints_show():
    """x_0 >= 0 follows from x_0 >= x_1 and x_1 >= 0, not from the box."""
    box = Box(np.array([-1.0, -1.0]), np.array([1.0, 1.0]))
    domain = Domain((Polytope(box, np.array([[-1.0, 1.0], [0.0, -1.0]]), np.array([0.0, 0.0])),))
    assert certified(front_network(2, 1), domain).check().verified


def test_a_domain_without_inputs_is_told(monkeypatch):
    """x_0 <= x_1 and x_1 <= -x_0 - 1, where x_0 >= 0; the reader, which finds that by itself, is given no time."""
    monkeypatch.setattr("eqverify.domain.written._EMPTINESS_WORK", 0)
    box = Box(np.array([0.0, -3.0]), np.array([1.0, 3.0]))
    domain = Domain((Polytope(box, np.array([[1.0, -1.0], [1.0, 1.0]]), np.array([-0.5, -0.5])),))
    with pytest.raises(InputError, match="certificate/empty-domain"):
        certified(front_network(2, 1, hidden=4), domain)
