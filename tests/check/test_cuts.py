"""Trees of parts with cuts (K-22): whatever the splits and multipliers are, what the checker keeps is true."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

import eqverify as eq
from eqverify.checker.numbers import Exact, Floats
from eqverify.checker.reader import Reader
from eqverify.checker.verdict import directed_replay
from eqverify.domain import Case, HalfSpace
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import directed_sets_exact

from ..vnncomp import vnncomp
from .certificate_cases import box, pack, random_network
from .refutation_cases import at_least, highest

KEYS = ("parent", "side", "part", "dimension", "at", "mu")


def random_tree(random, splits, inputs, units, rounds, rows):
    """The head and arrays of a step: splits at random places, in and out of ranges, with random multipliers."""
    parent, side, dimension = [-1], [0], [-1]
    for _ in range(splits):
        leaf = int(random.choice(np.flatnonzero(np.array(dimension) < 0)))
        dimension[leaf] = int(random.integers(inputs + units))
        parent, side, dimension = [*parent, leaf, leaf], [*side, 0, 1], [*dimension, -1, -1]
    count = len(parent)
    mu = random.random((count, rounds, rows)) * random.choice([0.0, 1e-30, 1.0, 1e3], (count, rounds, rows))
    arrays = [
        np.array(parent, np.int32), np.array(side, np.int8), np.zeros(count, np.int32), np.array(dimension, np.int32),
        random.normal(size=count) * random.choice([0.0, 0.5], count), mu,
    ]  # fmt: skip
    return {"steps": [{"kind": "cuts", **{name: k for k, name in enumerate(KEYS)}}]}, arrays


@pytest.mark.parametrize("numbers", [Floats(), pytest.param(Exact(), marks=pytest.mark.slow)], ids=["float", "exact"])
@pytest.mark.parametrize("seed", range(8))
def test_whatever_the_tree_is_bounds_hold_on_the_inputs_that_satisfy_the_disjunct(numbers, seed):
    """Against exact ranges over the set, which has points, so that a tree that shows it to be empty is wrong."""
    random = np.random.default_rng(seed)
    network, domain = random_network(seed, (2, 4, 3, 2), 0.3), box(2)
    top = highest(network, domain, 0)
    rows = (at_least(top - Fraction(1, 8), 0), HalfSpace({0: Fraction(1, 3)}, {1: Fraction(-1, 7)}, Fraction(5)))
    exact = directed_sets_exact(network, domain, rows, max_regions=2000)
    replay = directed_replay(network, Case(domain.polytopes[0], (rows,)), 0, numbers)
    before = {name: float((z.upper - z.lower).sum()) for name, z in replay.bounds.items()}
    for _ in range(4):
        head, arrays = random_tree(random, int(random.integers(1, 7)), 2, 7, int(random.integers(1, 4)), 2)
        replay.run(Reader(pack(head, arrays), network))
    narrower = False
    for relu in network.relus:
        (lower,), (upper,) = replay.bounds[relu.source]
        narrower |= float((upper - lower).sum()) < before[relu.source]
        for unit, true in enumerate(exact.layers[relu.name]):
            assert Fraction(float(lower[unit])) <= true.lower
            assert true.upper <= Fraction(float(upper[unit]))
    assert narrower


@pytest.mark.parametrize(("mu", "rounds", "least"), [(0.0, 3, -2.0), (1.0, 1, -2.0), (1.0, 2, -1.0), (4.0, 3, -0.7)])
def test_each_round_narrows_ranges_by_the_cut_of_the_one_before(mu, rounds, least):
    """f = x_0 + x_1 + relu(z), z = x_0 - x_1, is to be 3/2 or more.

    relu(z) <= z / 2 + 1 on [-2, 2]: so 3 x_0 + x_1 >= 1, and z >= -1 in the box.  Then relu(z) <= 2 z / 3 + 2 / 3: so
    10 x_0 + 2 x_1 >= 5, and z >= -0.7.
    """
    first = np.array([[1.0, 1.0], [1.0, -1.0]]), np.array([3.0, 0.0])
    network = chain_network([first, (np.array([[1.0, 1.0]]), np.array([-3.0]))])
    replay = directed_replay(network, Case(box(2).polytopes[0], ((at_least(Fraction(3, 2), 0),),)), 0, Floats())
    leaf = np.full(1, -1, np.int32)
    arrays = [leaf, np.zeros(1, np.int8), leaf + 1, leaf, np.zeros(1), np.full((1, rounds, 1), mu)]
    step = {"kind": "cuts", **{name: k for k, name in enumerate(KEYS)}}
    replay.run(Reader(pack({"steps": [step]}, arrays), network))
    assert replay.bounds[network.relus[0].source].lower[0, 1] == pytest.approx(least, abs=1e-5)


@pytest.mark.slow
def test_a_cover_gives_the_checker_the_bounds_that_it_gave_the_search():
    """With narrower ranges than the search had, multipliers of leaves excluded less: ACAS Xu 1_1 property 3."""
    folder = vnncomp("acasxu")
    model, query = folder / "onnx/ACASXU_run2a_1_1_batch_2000.onnx", folder / "vnnlib/prop_3.vnnlib.gz"
    assert eq.verify(query, model, proof=True, timeout=120, workers=1).verdict == "unsat"
