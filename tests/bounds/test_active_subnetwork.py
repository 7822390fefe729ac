"""The part of a network that a node reads, without units that are inactive on a box."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds import crown_bounds
from eqverify.bounds.active_subnetwork import alive_part
from eqverify.network import Affine
from eqverify.testing.chains import chain_network
from eqverify.testing.strategies import any_networks, domains

from .bound_checks import exact_values


@given(data=st.data())
def test_the_node_has_the_same_values_on_the_box(data):
    network = data.draw(any_networks())
    domain = data.draw(domains(network.input_size, parts=1, linear=False))
    node = data.draw(st.sampled_from([n.name for n in network.nodes if isinstance(n, Affine)]))
    bounds = crown_bounds(network, domain.lower, domain.upper)
    part = alive_part(network, bounds, node)
    assert part.node.name == node
    assert part.node.size == network.sizes[node]
    shares = data.draw(st.lists(st.fractions(0, 1), min_size=network.input_size, max_size=network.input_size))
    x = [
        Fraction(low) + share * (Fraction(high) - Fraction(low))
        for low, high, share in zip(domain.lower[0].tolist(), domain.upper[0].tolist(), shares, strict=True)
    ]
    whole, small = exact_values(network, x), exact_values(part.network, x)
    assert list(small[node]) == list(whole[node])
    for name, kept in part.kept.items():
        assert [whole[name][k] for k in kept] == list(small[name])
        assert np.array_equal(part.bounds[name].lower, bounds[name].lower[:, kept])


def test_what_is_inactive_is_gone():
    layers = [
        (np.array([[1.0], [1.0], [-1.0]]), np.array([0.0, -5.0, 0.0])),
        (np.array([[1.0, 7.0, 1.0], [-1.0, 0.0, -1.0]]), np.array([0.0, -1.0])),
        (np.ones((1, 2)), np.zeros(1)),
    ]
    network = chain_network(layers)
    bounds = crown_bounds(network, -np.ones((1, 1)), np.ones((1, 1)))
    part = alive_part(network, bounds, "affine2")
    assert part.kept["relu0"].tolist() == [0, 2]
    assert part.kept["affine1"].tolist() == [0]
    assert part.original("relu0", np.array([1])).tolist() == [2]
    assert part.network.sizes == {"X": 1, "affine0": 2, "relu0": 2, "affine1": 1, "relu1": 1, "affine2": 1}
    assert alive_part(network, bounds, "affine1").network.sizes["affine1"] == 2
