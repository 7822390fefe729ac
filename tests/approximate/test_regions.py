"""Linear regions against problems solved by hand, exact enumeration, and a solver that lies."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eqverify.approximate import questions
from eqverify.approximate.regions import find_regions
from eqverify.approximate.search import PartCount, PartSearch
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.errors import ContradictionError, InputError
from eqverify.milp.regions import Found
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.handmade import all_handmade
from eqverify.testing.oracle import patterns_exact
from eqverify.testing.strategies import any_networks, domains
from eqverify.trust import trusting

from ..vnncomp import slow
from .region_checks import NETWORKS, dyadic_network, patterns_of, random_network
from .test_polyhedron import LyingSolver

BY_HAND = {
    "absolute-value": (2, 2),
    "one-of-each": (2, 2),
    "ties": (1, 1),
    "hidden-dependency": (4, 3),  # 1/2 - |x| bends at -1/2, 0 and 1/2; the flat ends are one map
    "dependent-active": (1, 1),
    "inactive-layer": (1, 1),
    "point": (1, 1),
    "union-gap": (2, 2),
    "simplex": (2, 2),
    "split-unit": (2, 1),
}
"""Regions and distinct maps of the hand-solved problems."""


@pytest.mark.parametrize("method", ["fast", "milp"])
@pytest.mark.parametrize("problem", all_handmade(), ids=lambda p: p.name)
def test_problems_solved_by_hand(problem, method):
    found = find_regions(problem.network, problem.domain, method=method)
    assert (len(found.regions), found.affine_maps) == BY_HAND[problem.name]
    assert patterns_of(found) == patterns_exact(problem.network, problem.domain)
    assert found.exhausted
    assert found.undecided == 0
    assert (found.complete, found.claimed, found.evidence) == (True, 0, "bounds")


@pytest.mark.parametrize("seed", [*range(4), *slow(*range(4, NETWORKS))])
def test_random_networks_against_exact_enumeration(seed):
    random = np.random.default_rng(seed)
    inputs = int(random.integers(1, 4))
    widths = random.integers(1, 6, size=random.integers(1, 4)).tolist()
    network = (dyadic_network if seed % 2 else random_network)(seed, inputs, widths)
    domain = box_domain(np.full(inputs, -1.0), np.full(inputs, 1.0))
    found = find_regions(network, domain)
    assert found.complete
    assert patterns_of(found) == patterns_exact(network, domain)


@given(st.data())
def test_any_network_on_any_domain(data):
    network = data.draw(any_networks(sizes=Sizes(inputs=(1, 3), depth=(0, 3), width=(1, 4))))
    domain = data.draw(domains(network.input_size))
    exact = patterns_exact(network, domain)
    try:
        found = find_regions(network, domain)
    except InputError as error:
        assert error.code == "regions/flat-domain"
        assert not exact
        return
    shown = patterns_of(found)
    assert shown <= exact
    assert len(exact) <= found.upper
    assert not found.complete or shown == exact
    assert found.affine_maps <= max(1, len(shown))


@pytest.mark.parametrize("seed", [0, 1, *slow(*range(2, 8))])
def test_both_ways_agree(seed):
    network = (dyadic_network if seed % 2 else random_network)(seed, 2, (4, 3))
    domain = box_domain(np.full(2, -1.0), np.full(2, 1.0))
    fast, milp = (find_regions(network, domain, method=method) for method in ("fast", "milp"))
    assert milp.exhausted
    assert patterns_of(fast) == patterns_of(milp)
    assert milp.upper >= fast.upper


@pytest.mark.parametrize("seed", [*range(4), *slow(*range(4, NETWORKS))])
def test_a_lying_solver_makes_no_region_and_hides_none(seed, monkeypatch):
    network = (dyadic_network if seed % 2 else random_network)(seed, 2, (4, 3))
    domain = box_domain(np.full(2, -1.0), np.full(2, 1.0))
    exact = patterns_exact(network, domain)
    monkeypatch.setattr("eqverify.bounds.polyhedron.simplex_solver", lambda _: LyingSolver(seed))
    found = find_regions(network, domain)
    shown = patterns_of(found)
    assert shown <= exact
    assert len(exact) <= found.upper
    assert not found.complete or shown == exact


class LyingScip:
    """Says at once that there is no region (left), or shows one again and again."""

    description = "SCIP"

    def __init__(self, pattern=None):
        self.pattern = pattern

    def search(self, _):
        return Found(exhausted=self.pattern is None, pattern=self.pattern, point=np.zeros(2))

    def exempt_zeros(self):
        pass

    exclude = add_units = lambda self, _: None


@pytest.mark.parametrize("seed", [0, *slow(*range(1, 6))])
@pytest.mark.parametrize("shown", [None, True, False])
def test_lies_of_scip_hide_no_region(seed, shown, monkeypatch):
    network = (dyadic_network if seed % 2 else random_network)(seed, 2, (4, 3))
    domain = box_domain(np.full(2, -1.0), np.full(2, 1.0))
    exact, model = patterns_exact(network, domain), questions._model

    def lie(*arguments):
        _, unstable, active = model(*arguments)
        return LyingScip(None if shown is None else np.full(int(unstable.sum()), shown)), unstable, active

    monkeypatch.setattr(questions, "_model", lie)
    found = find_regions(network, domain, method="milp")
    assert (found.complete, found.claimed, found.evidence) == (shown is None, 0, "bounds")
    assert patterns_of(found) <= exact
    assert not found.complete or patterns_of(found) == exact
    monkeypatch.setattr(PartSearch, "run", lambda self: PartCount(unexplored=self.bound, exhausted=False))
    found = find_regions(network, domain, method="milp")
    assert (found.complete, found.claimed) == (False, int(shown is None))
    assert len(exact) <= found.upper
    found = find_regions(network, domain, method="milp", trust=trusting("scip"))
    assert found.complete == (shown is None)
    assert found.evidence == ("solver (scip, trusted)" if shown is None else "bounds")


MIXED = st.floats(-1, 1).flatmap(lambda x: st.sampled_from((0, -9, 9, -30, 30, -45)).map(lambda e: x * 10.0**e))
"""Numbers of all magnitudes, subnormal float32 included."""


def test_a_cell_that_only_rationals_show():
    """Two units bend next to 0, less than the smallest float32 apart, where float64 arithmetic sees one point."""
    tiny = 2.0**-149
    first = np.array([[1.0], [-1.0], [-2.0], [tiny], [tiny]]), np.array([2.0, tiny, -3 * tiny, -2.0, -2.0])
    second = np.array([[-1.0, tiny, tiny, 2.0, -2.0]]), np.ones(1)
    network = chain_network([first, second, (np.ones((1, 1)), np.zeros(1))])
    domain = box_domain(-np.ones(1), np.ones(1))
    found, exact = find_regions(network, domain), patterns_exact(network, domain)
    assert patterns_of(found) <= exact
    assert len(exact) <= found.upper


ROWS = st.integers(1, 2).flatmap(lambda n: arrays(np.float64, (5, n + 1), elements=MIXED))


@given(ROWS, arrays(np.float64, 5, elements=MIXED))
def test_numbers_of_all_magnitudes(first, last):
    """Signs that only rationals show are seen; a count that says it is complete is right."""
    with np.errstate(all="ignore"):
        first, last = first.astype(np.float32).astype(float), last.astype(np.float32).astype(float)
    network = chain_network([(first[:, :-1], first[:, -1]), (last[None], np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    domain = box_domain(np.full(network.input_size, -1.0), np.ones(network.input_size))
    found, exact = find_regions(network, domain, time_limit=5.0), patterns_exact(network, domain)
    assert patterns_of(found) <= exact
    assert len(exact) <= found.upper
    assert not found.complete or patterns_of(found) == exact


def test_radii_are_those_of_balls_inside():
    network = chain_network([(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    found = find_regions(network, box_domain(np.array([-1.0, -1.0]), np.array([1.0, 3.0])))
    assert len(found.regions) == 4
    assert np.allclose(found.radii, 0.5)
    assert (found.radii <= 0.5).all()


@pytest.mark.slow
def test_a_limit_leaves_bounds():
    network = random_network(0, 3, (12, 10))
    domain = box_domain(np.full(3, -1.0), np.full(3, 1.0))
    whole = find_regions(network, domain)
    assert whole.complete
    for limit in (1e-9, 0.05):
        part = find_regions(network, domain, time_limit=limit)
        assert not part.complete
        assert not part.exhausted
        assert len(part.regions) < len(whole.regions) <= part.upper
        assert patterns_of(part) < patterns_of(whole)


def test_a_unit_that_is_zero_on_a_region_counts_as_inactive():
    # The second unit is relu(x) without bias: zero on the whole cell x < 0, where its pre-activation is, too.
    network = chain_network(
        [(np.array([[1.0]]), np.zeros(1)), (np.array([[1.0], [-1.0]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))]
    )
    domain = box_domain(np.array([-1.0]), np.array([1.0]))
    for method in ("fast", "milp"):
        assert patterns_of(find_regions(network, domain, method=method)) == {(False, False, False), (True, True, False)}


def test_a_flat_domain_is_refused():
    flat = Polytope(Box(np.full(2, -1.0), np.full(2, 1.0)), np.array([[1.0, 1.0], [-1.0, -1.0]]), np.zeros(2))
    for method in ("fast", "milp"):
        with pytest.raises(InputError, match="regions/flat-domain"):
            find_regions(random_network(0, 2, (3,)), Domain((flat,)), method=method)


def test_fixed_inputs_do_not_make_a_domain_flat():
    network = random_network(1, 3, (5, 4))
    domain = box_domain(np.array([-1.0, 0.25, -1.0]), np.array([1.0, 0.25, 1.0]))
    found = find_regions(network, domain)
    assert found.complete
    assert patterns_of(found) == patterns_exact(network, domain)
    assert all(region.point[1] == 0.25 for region in found.regions)


def test_a_pattern_that_its_point_does_not_show_is_an_error(monkeypatch):
    from eqverify.approximate import search

    honest = search.PartSearch._collect

    def forge(self, cells):
        honest(self, cells)
        self.count.regions[-1].pattern[:] ^= True

    monkeypatch.setattr(search.PartSearch, "_collect", forge)
    with pytest.raises(ContradictionError, match="regions/contradiction"):
        find_regions(random_network(0, 2, (3,)), box_domain(np.full(2, -1.0), np.full(2, 1.0)))


TINY = float(np.float32(1.4e-45))


@given(
    st.lists(
        st.tuples(st.sampled_from([-2.0, -1.0, 1.0, TINY]), st.sampled_from([0.0, TINY, -3 * TINY, 1e-30, 0.5])),
        min_size=1,
        max_size=4,
    )
)
def test_cells_thinner_than_rounding_are_counted_or_left_open(units):
    """Pre-activations w x + b: a region more for each -b / w inside (-1, 1)."""
    weight, bias = (np.array(values) for values in zip(*units, strict=True))
    network = chain_network([(weight[:, None], bias), (np.ones((1, weight.size)), np.zeros(1))], element="float32")
    found = find_regions(network, box_domain(np.array([-1.0]), np.array([1.0])))
    bends = {Fraction(-b) / Fraction(w) for w, b in units}
    count = 1 + sum(-1 < bend < 1 for bend in bends)
    assert len(found.regions) <= count
    assert not found.complete or len(found.regions) == count


def test_a_cell_that_only_rational_arithmetic_sees_has_a_count():
    weight, bias = np.array([[2.0], [-1.0], [-2.0]]), np.array([2.0, TINY, -3 * TINY])
    network = chain_network([(weight, bias), (np.ones((2, 3)), np.zeros(2))], element="float32")
    found = find_regions(network, box_domain(np.array([-1.0]), np.array([1.0])))
    assert len(found.regions) == 3
    assert found.complete
