"""What tests of linear regions share."""

import os

import numpy as np

from eqverify.testing.chains import chain_network

NETWORKS = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 30
"""Random networks compared with the exact oracle."""


def random_network(seed, inputs, widths, outputs=1):
    """A chain with ordinary weights."""
    random, layers, before = np.random.default_rng(seed), [], inputs
    for width in (*widths, outputs):
        layers.append((random.normal(size=(width, before)) / np.sqrt(before), random.normal(size=width) * 0.3))
        before = width
    return chain_network(layers)


def dyadic_network(seed, inputs, widths, outputs=1):
    """A chain whose weights are multiples of 1/2 between -1 and 1: many ties and dependencies."""
    random, layers, before = np.random.default_rng(seed), [], inputs
    for width in (*widths, outputs):
        layers.append((random.integers(-2, 3, size=(width, before)) / 2.0, random.integers(-2, 3, size=width) / 2.0))
        before = width
    return chain_network(layers)


def patterns_of(found):
    """The patterns of a result as a set; no pattern may occur twice."""
    listed = [tuple(region.pattern.tolist()) for region in found.regions]
    assert len(set(listed)) == len(listed)
    return set(listed)
