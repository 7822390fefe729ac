"""Weights and boxes of all magnitudes: a result that is true, or an error that says where; no defects, no warnings.

Warnings of numpy are errors here (pyproject.toml).
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.errors import EqverifyError
from eqverify.network import Network, evaluate_exact, outputs_exact
from eqverify.problem import box_problem
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import residual_networks

EXAMPLES = min(settings().max_examples, 40)
"""Each takes about a second."""

EXPONENTS = {"float32": (-44, 37), "float64": (-320, 300)}


@st.composite
def wild(draw, element: str | None = None) -> Network:
    """A chain whose layers have weights of any one magnitude each, or of all at once."""
    element = element or draw(st.sampled_from(["float32", "float64"]))
    sizes = [draw(st.integers(1, 3)) for _ in range(draw(st.integers(2, 5)))]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))

    def numbers(*shape: int):
        low, high = EXPONENTS[element]
        one = random.uniform(low, high)
        exponents = {"one": one, "mixed": random.uniform(low, high, shape), "plain": 0.0}
        with np.errstate(under="ignore"):
            values = random.normal(size=shape) * 10.0 ** exponents[draw(st.sampled_from(list(exponents)))]
            return np.where(random.random(shape) < 0.2, 0.0, values).astype(element).astype(np.float64)

    layers = [(numbers(n, m), numbers(n)) for m, n in pairwise(sizes)]
    return chain_network(layers, element=element)


@st.composite
def wild_problems(draw):
    network = draw(st.one_of(wild(), residual_networks(sizes=Sizes(depth=(1, 3)))))
    ends = st.sampled_from([0.0, 1.0, -1.0, 0.1, 5e-324, 1e-45, -1e-300, 1e30, -1e30, 1e300, 3.4028234663852886e38])
    lower, upper = [], []
    for _ in range(network.input_size):
        low, high = sorted([draw(ends), draw(ends)])
        lower.append(low)
        upper.append(draw(st.sampled_from([high, low, float(np.nextafter(low, np.inf))])))
    return box_problem(network, np.array(lower), np.array(upper))


def answer(job, *arguments, **options):
    """What a job returns; None for an error that is no defect, and that says where or what to do."""
    try:
        return job(*arguments, **options)
    except EqverifyError as error:
        assert error.exit_status in (2, 3, 4), error
        assert error.hint or str(error.place), error
        return None


@settings(max_examples=EXAMPLES)
@given(wild_problems(), st.sampled_from(["sequential", "residual", "structured", "leo", "auto"]))
def test_reductions(problem, shape):
    result = answer(eq.reduce, problem, time_limit=1.0, shape=shape)
    if result is None:
        reject()
    box = problem.domain.polytopes[0].box
    for share in (Fraction(0), Fraction(1, 2), Fraction(1)):
        ends = zip(box.lower.tolist(), box.upper.tolist(), strict=True)
        x = [Fraction(low) + share * (Fraction(high) - Fraction(low)) for low, high in ends]
        pairs = zip(outputs_exact(problem.network, x), outputs_exact(result.network, x), strict=True)
        for (old, new), epsilon in zip(pairs, result.epsilons.tolist(), strict=True):
            assert abs(old - new) <= Fraction(epsilon)


@settings(max_examples=EXAMPLES)
@given(wild_problems())
def test_stability_is_true(problem):
    facts = answer(eq.prove_stability, problem, time_limit=1.0)
    if facts is None:
        reject()
    box = problem.domain.polytopes[0].box
    for end in (box.lower, box.upper, (box.lower / 2 + box.upper / 2)):
        values = evaluate_exact(problem.network, [Fraction(v) for v in np.clip(end, box.lower, box.upper).tolist()])
        for layer in facts.layers:
            z = values[layer.source]
            assert all(z[k] <= 0 for k in np.flatnonzero(layer.mask(eq.Status.INACTIVE)))
            assert all(z[k] >= 0 for k in np.flatnonzero(layer.mask(eq.Status.ACTIVE)))


@settings(max_examples=EXAMPLES)
@given(wild_problems())
def test_regions(problem):
    found = answer(eq.find_regions, problem, time_limit=1.0)
    if found is not None and found.found.complete:
        assert len({region.pattern.tobytes() for region in found.found.regions}) == len(found.found.regions)


@settings(max_examples=EXAMPLES)
@given(wild_problems())
def test_a_network_does_not_differ_from_itself(problem):
    found = answer(eq.equivalent, problem.network, problem.network, problem.domain, epsilon=1e-3, timeout=2.0)
    assert found is None or found.verdict != "different"


HUGE = 3.0000000054977558e38


@pytest.mark.parametrize("shape", ["sequential", "residual", "structured", "leo", "auto"])
def test_a_network_whose_products_overflow_is_written_as_it_is(shape):
    layers = [(np.full((3, 2), HUGE), np.zeros(3)), (np.full((2, 3), HUGE), np.ones(2)), (np.ones((1, 2)), np.zeros(1))]
    problem = box_problem(chain_network(layers, element="float32"), -np.ones(2), np.ones(2))
    result = eq.reduce(problem, time_limit=1.0, shape=shape)
    assert result.epsilon == 0.0
    assert result.network.relu_count == 5
    assert not any(d.value for d in deviations_exact(problem.network, result.network, problem.domain))
