"""Every shape on random problems: proved, written, run by onnxruntime, read back and compared exactly.

`reduce` itself runs onnxruntime on the file and compares, and raises where anything is off.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from eqverify.domain import box_domain
from eqverify.equivalence.exact import cross_check
from eqverify.errors import EqverifyError
from eqverify.network import outputs_exact
from eqverify.problem import domain_problem
from eqverify.reduction.pipeline import reduce
from eqverify.testing.splitting import convolutional_networks
from eqverify.testing.strategies import any_networks, problems

from ..vnncomp import slow

EXPECTED = {"transform/overflow", "reduce/no-bound", "usage/shape", "export/not-representable"}
EXAMPLES = max(min(10, settings().max_examples), settings().max_examples // 4)


def within(problem, result, x):
    pairs = zip(
        outputs_exact(problem.network, x), outputs_exact(result.network, x), result.epsilons.tolist(), strict=True
    )
    return all(abs(old - new) <= Fraction(eps) for old, new, eps in pairs)


def points(data, problem, count=3):
    for _ in range(count):
        part = data.draw(st.sampled_from(problem.domain.polytopes))
        if part.is_box:
            shares = [data.draw(st.sampled_from([Fraction(0), Fraction(1), Fraction(3, 8)])) for _ in part.box.lower]
            ends = zip(part.box.lower.tolist(), part.box.upper.tolist(), shares, strict=True)
            yield [Fraction(low) + share * (Fraction(high) - Fraction(low)) for low, high, share in ends]


@pytest.mark.parametrize("shape", [*slow("sequential", "residual", "structured"), "auto"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_dense_and_residual_networks(shape, data):
    problem = data.draw(problems(networks=any_networks(), parts=2))
    try:
        result = reduce(problem, engine="crown", shape=shape, dtype=data.draw(st.sampled_from([None, "float64"])))
    except EqverifyError as error:
        assert error.code in EXPECTED, error
        reject()
    assert all(within(problem, result, x) for x in points(data, problem))
    assert sum(row.kept or 0 for row in result.layers) == result.network.relu_count


@pytest.mark.parametrize("shape", [*slow("sequential", "residual", "structured"), "auto"])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_convolutional_networks(shape, data):
    network = data.draw(convolutional_networks())
    lower = np.array([data.draw(st.sampled_from([-1.0, 0.0, 0.5])) for _ in range(network.input_size)])
    upper = lower + np.array([data.draw(st.sampled_from([0.0, 0.25, 1.0])) for _ in range(network.input_size)])
    problem = domain_problem(network, box_domain(lower, upper))
    result = reduce(problem, engine="crown", shape=shape)
    assert all(within(problem, result, x) for x in points(data, problem))
    if shape == "structured":
        assert result.epsilon == 0.0


@pytest.mark.slow
@settings(max_examples=10)
@given(problems(networks=any_networks(), parts=1), st.sampled_from(["residual", "structured"]))
def test_z3_finds_no_deviation_above_epsilon(problem, shape):
    try:
        result = reduce(problem, engine="crown", shape=shape)
    except EqverifyError as error:
        assert error.code in EXPECTED, error
        reject()
    assert (
        cross_check(problem.network, result.network, problem.domain, result.epsilons, timeout=5.0).verdict
        != "different"
    )
