"""The generators reach the hard cases they promise."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, find, given, seed, settings
from hypothesis import strategies as st

from eqverify.domain import Domain, Polytope
from eqverify.network import Affine, Network
from eqverify.problem import Problem
from eqverify.testing.drawing import STRUCTURES, WEIGHT_KINDS, Sizes
from eqverify.testing.features import (
    DOMAIN_FEATURES,
    JOINT_FEATURES,
    NETWORK_FEATURES,
    domain_features,
    features,
    network_features,
)
from eqverify.testing.oracle import polytope_vertices
from eqverify.testing.strategies import any_networks, domains, networks, polytopes, problems, residual_networks

ONLY_IN_GRAPHS = frozenset(
    {
        "affine-of-affine",
        "constant-node",
        "diagonal",
        "division",
        "identity",
        "multi-term",
        "preactivation-read",
        "relu-of-input",
        "relu-of-relu",
        "selection",
        "several-inputs",
        "several-outputs",
        "skip",
    }
)
"""What a fully connected chain cannot have."""


@cache
def census() -> Counter[str]:
    """How many of 300 problems, drawn with a fixed seed, have each feature."""
    counts: Counter[str] = Counter()

    @seed(2)
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(problems())
    def count(problem: Problem) -> None:
        counts.update(features(problem.network, problem.domain))

    count()
    return counts


@pytest.mark.slow
@pytest.mark.parametrize("feature", sorted(NETWORK_FEATURES | DOMAIN_FEATURES | JOINT_FEATURES))
def test_every_feature_is_reached_often(feature: str) -> None:
    assert census()[feature] >= 2, census()


@pytest.mark.slow
def test_no_feature_is_missing_from_the_lists() -> None:
    assert set(census()) <= NETWORK_FEATURES | DOMAIN_FEATURES | JOINT_FEATURES


@pytest.mark.parametrize("feature", sorted(NETWORK_FEATURES - ONLY_IN_GRAPHS))
def test_chains_alone_reach_a_feature(feature: str) -> None:
    profile = settings(max_examples=3000, database=None, derandomize=True, phases=(Phase.generate,))
    find(networks(), lambda network: feature in network_features(network), settings=profile)


PLANTED = {
    "dead": "dead-unit",
    "duplicate": "duplicate-units",
    "parallel": "parallel-units",
    "antiparallel": "antiparallel-units",
    "dependent": "dependent-units",
    "constant-unit": "constant-unit",
    "zero-output": "zero-output",
    "active-layer": None,
    "inactive-layer": None,
    "tie": None,
}


def test_every_structure_is_listed_with_its_feature() -> None:
    assert set(PLANTED) == set(STRUCTURES)


@pytest.mark.parametrize("structure", [name for name, feature in PLANTED.items() if feature])
def test_a_planted_structure_shows_as_its_feature(structure: str) -> None:
    shape = Sizes(inputs=(4, 4), depth=(1, 1), width=(3, 3))
    counts: Counter[str] = Counter()

    @seed(1)
    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(networks(sizes=shape, kinds=("dyadic",), structures=(structure,)))
    def count(network: Network) -> None:
        counts.update(network_features(network))

    count()
    assert counts[PLANTED[structure] or ""] >= 10, counts


@given(any_networks(element="float32"))
def test_weights_of_single_precision_networks_are_float32_numbers(network: Network) -> None:
    assert "float64-weights" not in network_features(network)
    assert {port.element for port in (*network.inputs, *network.outputs)} == {"float32"}


@given(networks(sizes=Sizes((2, 3), (1, 2), (2, 2), (3, 4)), structures=()))
def test_sizes_are_kept_where_nothing_is_planted(network: Network) -> None:
    assert 2 <= network.input_size <= 3
    assert 1 <= network.output_size <= 2
    assert len(network.relus) == 2
    assert all(3 <= network.sizes[relu.name] <= 4 for relu in network.relus)


@given(residual_networks())
def test_graphs_are_small_enough_for_the_oracle(network: Network) -> None:
    assert network.relu_count <= 12
    assert network.input_size <= 4


@given(st.integers(1, 4).flatmap(polytopes))
def test_polytopes_are_never_empty(part: Polytope) -> None:
    assert polytope_vertices(part)


@given(st.integers(1, 3).flatmap(lambda size: domains(size, parts=1, linear=False)))
def test_plain_domains_are_single_boxes(domain: Domain) -> None:
    assert domain_features(domain) & {"plain-box", "union", "linear-rows"} == {"plain-box"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(set(WEIGHT_KINDS)))
def test_every_kind_of_weight_can_be_asked_for(kind: str) -> None:
    profile = settings(database=None, derandomize=True)
    network = find(networks(kinds=(kind,), structures=()), lambda net: any(_weights(net)), settings=profile)
    assert all(np.isfinite(_weights(network)))


def _weights(network: Network) -> list[float]:
    affine = [node for node in network.nodes if isinstance(node, Affine)]
    return [v for node in affine for term in node.terms for v in term.map.dense().ravel().tolist()]


def test_a_lower_dimensional_polytope_occurs() -> None:
    def is_flat(part: Polytope) -> bool:
        points = polytope_vertices(part)
        wide = any(len({x[i] for x in points}) > 1 for i in range(2))
        flat = len({Fraction(x[0]) + x[1] for x in points}) == 1
        return wide and flat

    profile = settings(max_examples=5000, database=None, derandomize=True, phases=(Phase.generate,))
    find(polytopes(2), is_flat, settings=profile)
