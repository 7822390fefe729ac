"""What ReluSplitter does is undone: the function is the same, and no ReLU is left that was not there before."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eqverify.domain import box_domain
from eqverify.network import outputs_exact
from eqverify.problem import domain_problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.splitting import Split, convolutional_networks, dense_networks, split_pairs, split_relu
from eqverify.transform.driver import transform
from eqverify.transform.result import TransformOptions

OPTIONS = StabilityOptions(time_limit=20.0, split_inputs=0, trust="scip")
"""Branching and SCIP decide all of these networks in no time but for units that reach exactly 0; splitting of the box
would be spent on such units to the end of its time.  SCIP is believed: what is tested is what rewrites make of it."""

PAIRS = {"dense": split_pairs(dense_networks()), "convolutional": split_pairs(convolutional_networks())}


@pytest.mark.parametrize("kind", PAIRS)
@given(data=st.data())
def test_a_split_network_is_the_same_function(kind, data):
    network, split = data.draw(PAIRS[kind])
    assert split.relu_count > network.relu_count
    x = [data.draw(st.fractions(-2, 2, max_denominator=8)) for _ in range(network.input_size)]
    assert outputs_exact(network, x) == outputs_exact(split, x)


@pytest.mark.slow
@pytest.mark.parametrize("kind", PAIRS)
@settings(max_examples=max(min(8, settings().max_examples), settings().max_examples // 4))
@given(data=st.data())
def test_the_reduced_split_network_has_no_more_relus_than_the_reduced_original(kind, data):
    pair = data.draw(PAIRS[kind])
    width = data.draw(st.sampled_from([0.5, 1.0, 2.0]))
    results = []
    for network in pair:
        domain = box_domain(np.full(network.input_size, -width), np.full(network.input_size, width))
        problem = domain_problem(network, domain)
        facts = prove_stability(problem, OPTIONS)
        results.append(transform(problem, facts, TransformOptions(dtype="float64")))
    original, split = results
    assert split.network.relu_count <= original.network.relu_count
    for _ in range(3):
        x = [data.draw(st.fractions(-1, 1, max_denominator=8)) * Fraction(width) for _ in range(pair[0].input_size)]
        pairs = zip(outputs_exact(pair[1], x), outputs_exact(split.network, x), split.epsilon.tolist(), strict=True)
        assert all(abs(old - new) <= Fraction(eps) for old, new, eps in pairs)


@pytest.mark.parametrize("element", ["float32", "float64"])
def test_splits_with_rounded_weights_are_undone_within_the_limit_of_eps(element):
    random = np.random.default_rng(5)
    sizes = [4, 12, 10, 2]
    layers = [(random.normal(size=(m, n)) / np.sqrt(n), random.normal(size=m) / 4) for n, m in pairwise(sizes)]
    layers = [(w.astype(element).astype(float), b.astype(element).astype(float)) for w, b in layers]
    network = chain_network(layers, element)
    split = network
    for name, count in (("relu0", 12), ("relu1", 10)):
        units = range(0, count, 2)
        splits = [Split(k, *random.normal(size=1) / 4, *random.uniform(0.3, 3.0, size=2)) for k in units]
        split = split_relu(split, name, splits, element)
    counts = []
    for one in (network, split):
        problem = domain_problem(one, box_domain(-np.ones(4), np.ones(4)))
        facts = prove_stability(problem, OPTIONS)
        result = transform(problem, facts, TransformOptions(dtype=element))
        assert result.worst <= 1e-4
        counts.append(result.network.relu_count)
    assert split.relu_count == network.relu_count + 11 + 22
    assert counts[1] <= counts[0]
