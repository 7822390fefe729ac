"""Small random pairs of networks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from eqverify.domain import Domain, box_domain
from eqverify.network import Network
from eqverify.testing.chains import chain_network

DIFFERENT = (2, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16)
"""Seeds of pairs that differ on their domain."""


def random_pair(seed: int) -> tuple[Network, Network, Domain]:
    """A small network with a perturbed, a pruned or an unrelated one."""
    random = np.random.default_rng(seed)
    inputs, outputs = (int(n) for n in random.integers(1, 3, size=2))

    def layers(hidden: int) -> list[tuple[np.ndarray, np.ndarray]]:
        sizes = [inputs, *random.integers(1, 5, size=hidden).tolist(), outputs]
        return [
            (np.round(random.normal(size=(n, m)) * 8) / 8, np.round(random.normal(size=n) * 8) / 8)
            for m, n in pairwise(sizes)
        ]

    first = layers(int(random.integers(1, 3)))
    kind = seed % 3
    if kind == 0:
        second = [(w + np.round(random.normal(size=w.shape) * 4) / 128, b) for w, b in first]
    elif kind == 1:
        second = [(w * (random.random(w.shape) > 0.15), b) for w, b in first]
    else:
        second = layers(int(random.integers(1, 3)))
    lower = np.round(random.normal(size=inputs) * 4) / 4
    return (
        chain_network(first),
        chain_network(second),
        box_domain(lower, lower + np.round(random.random(inputs) * 8) / 4),
    )
