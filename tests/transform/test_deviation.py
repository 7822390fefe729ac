"""The proof of eps against exact deviations, for right, wrong and damaged reductions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from eqverify.domain import box_domain
from eqverify.errors import ContradictionError, EqverifyError
from eqverify.network import Affine, Convolution, Dense, Identity, Network, Port, Relu, Term, outputs_exact
from eqverify.normal_form.relation import Group
from eqverify.problem import domain_problem
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import any_networks, networks, problems
from eqverify.transform.deviation import _prove, prove_deviation
from eqverify.transform.driver import transform
from eqverify.transform.result import TransformOptions
from eqverify.transform.unit_map import UnitMap

CROWN = StabilityOptions("crown")


def exact(problem, reduced):
    """Exact deviations per output, or None where the oracle gives up."""
    try:
        return deviations_exact(problem.network, reduced, problem.domain, max_regions=400)
    except EqverifyError:
        return None


def within(found, epsilon):
    return all(np.isinf(eps) or d.value <= Fraction(float(eps)) for d, eps in zip(found, epsilon, strict=True))


def damaged(network, node_index, entry, amount):
    """The network with one weight or bias moved."""
    affines = [k for k, node in enumerate(network.nodes) if isinstance(node, Affine) and node.terms]
    assume(affines)
    place = affines[node_index % len(affines)]
    node = network.nodes[place]
    matrix = np.array(node.terms[0].map.dense())
    matrix.flat[entry % matrix.size] += amount
    changed = Affine(node.name, (Term(node.terms[0].source, Dense(matrix)), *node.terms[1:]), node.bias)
    return Network(network.inputs, (*network.nodes[:place], changed, *network.nodes[place + 1 :]), network.outputs)


WAYS = ["sequential", "leo", "residual", "structured"]


@pytest.mark.parametrize("shape", WAYS)
@given(data=st.data())
def test_epsilon_bounds_the_exact_deviation(shape, data):
    made = networks() if shape == "leo" else any_networks()
    problem = data.draw(problems(networks=made, parts=2))
    dtype = data.draw(st.sampled_from(["float32", "float64"]))
    facts = prove_stability(problem, CROWN)
    try:
        result = transform(problem, facts, TransformOptions(shape, dtype=dtype))
    except EqverifyError as error:
        assert error.code in ("transform/overflow", "usage/shape")
        reject()
    found = exact(problem, result.network)
    assume(found is not None)
    assert within(found, result.epsilon)


@given(problems(networks=any_networks(), parts=2))
def test_long_double_rows_bound_the_exact_deviation_too(problem):
    facts = prove_stability(problem, CROWN)
    result = transform(problem, facts, TransformOptions("sequential", dtype="float64"))
    found = exact(problem, result.network)
    assume(found is not None)
    assert within(found, _prove(problem, facts, result.network, result.unit_maps, result.relations, long=True))


def test_deviations_of_opposite_sign_cancel_where_they_meet_again():
    # both hidden units are off by 2^-30 and the output is their difference: half of each is carried with its sign
    first, last, moved = np.array([[1.0], [1.0]]), np.array([[1.0, -1.0]]), np.array([2.0**-30, 2.0**-30])
    original = chain_network([(first, np.zeros(2)), (last, np.zeros(1))])
    reduced = chain_network([(first, moved), (last, np.zeros(1))])
    problem = domain_problem(original, box_domain(np.array([-1.0]), np.array([1.0])))
    facts = prove_stability(problem, CROWN)
    unit_maps = {reduced.relus[0].name: UnitMap((Group(original.relus[0].name, np.arange(2)),))}
    epsilon = prove_deviation(problem, facts, reduced, unit_maps)
    assert epsilon[0] <= 2.0**-30 * (1 + 1e-9)  # the sum of |W| d would be 2^-29


@given(
    problems(networks=networks(), parts=2),
    st.sampled_from(WAYS),
    st.integers(0, 5),
    st.integers(0, 30),
    st.sampled_from([1e-9, 2.0**-10, 0.5, -3.0]),
)
def test_a_damaged_network_gets_an_epsilon_that_covers_the_damage(problem, shape, node, entry, amount):
    facts = prove_stability(problem, CROWN)
    try:
        result = transform(problem, facts, TransformOptions(shape, dtype="float64"))
        wrong = damaged(result.network, node, entry, amount)
    except EqverifyError:
        reject()
    found = exact(problem, wrong)
    assume(found is not None)
    assert within(found, prove_deviation(problem, facts, wrong, result.unit_maps, result.relations))


@given(problems(networks=networks(), parts=1), st.data())
def test_wrong_meanings_never_lower_epsilon_below_the_truth(problem, data):
    facts = prove_stability(problem, CROWN)
    try:
        result = transform(problem, facts, TransformOptions(data.draw(st.sampled_from(WAYS)), dtype="float64"))
    except EqverifyError:
        reject()
    assume(result.unit_maps)
    shuffled = {}
    for name, unit_map in result.unit_maps.items():
        groups = []
        for group in unit_map.groups:
            count, unit = group.units.size, st.integers(0, problem.network.sizes[group.source] - 1)
            units = data.draw(st.lists(unit, min_size=count, max_size=count))
            groups.append(Group(group.source, np.array(units, dtype=np.int64)))
        shift = data.draw(st.sampled_from([0.0, -1.0, 0.25]))
        shuffled[name] = UnitMap(tuple(groups), unit_map.carriers + shift)
    found = exact(problem, result.network)
    assume(found is not None)
    assert within(found, prove_deviation(problem, facts, result.network, shuffled, result.relations))


def test_nothing_rounded_means_epsilon_zero():
    """Removing inactive units keeps every other weight, so eps is exactly 0 whatever the weights are."""
    random = np.random.default_rng(3)
    layers = [
        (random.normal(size=(8, 4)), random.normal(size=8) - 4),
        (random.normal(size=(2, 8)), random.normal(size=2)),
    ]
    network = chain_network(layers, element="float64")
    problem = domain_problem(network, box_domain(-np.ones(4), np.ones(4)))
    result = transform(
        problem, prove_stability(problem, CROWN), TransformOptions("leo", ("remove-inactive",), "float64")
    )
    assert 0 < result.network.relu_count < 8
    assert result.epsilon.tolist() == [0.0, 0.0]


def test_a_missing_meaning_is_an_error():
    random = np.random.default_rng(3)
    network = chain_network([(random.normal(size=(4, 2)), np.zeros(4)), (np.ones((1, 4)), np.zeros(1))])
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    facts = prove_stability(problem, CROWN)
    result = transform(problem, facts)
    with pytest.raises(ContradictionError, match="deviation/meaning"):
        prove_deviation(problem, facts, result.network, {})


def test_rounding_passes_are_left_out_where_epsilon_would_exceed_the_limit():
    """Two equal active units merge; written as float32 that moves the outputs, which a limit of 0 forbids."""
    network = chain_network(
        [
            (np.array([[1.0, 0.1], [1.0, 0.1], [1.0, -1.0]]), np.array([3.0, 3.0, 0.0])),
            (np.array([[0.1, 0.7, 1.0]]), np.array([0.3])),
        ],
        element="float32",
    )
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    facts = prove_stability(problem, CROWN)
    free = transform(problem, facts, TransformOptions("leo", dtype="float64", max_epsilon=float("inf")))
    strict = transform(problem, facts, TransformOptions("leo", dtype="float64", max_epsilon=0.0))
    assert free.network.relu_count == 2
    assert strict.network.relu_count == 3
    assert strict.epsilon.tolist() == [0.0]
    assert [d.rewrite for d in strict.declined].count("rounding") == 1


def test_bounds_beyond_float64_never_make_rounding_vanish():
    """A unit without finite bounds is read beside a rounded sum: its rounding is unknown then, and not zero."""

    def network(kernels, names):
        column = [Affine("z1", (Term("X", Dense([[1e300]])),), np.zeros(1)), Relu("h1", "z1")]
        column += [Affine("z2", (Term("h1", Dense([[1e300]])),), -np.ones(1)), Relu("h2", "z2")]
        sums = [
            Affine(name, (Term(before, convolution(k)),), np.zeros(1))
            for name, before, k in zip(names, ["X", *names], kernels, strict=False)
        ]
        shown = Affine("y", (Term(names[-1], Identity(1)), Term("h2", Dense([[3.0]]))), np.zeros(1))
        twice = Affine("out", (Term("y", Dense([[3.0]])),), np.zeros(1))
        port = Port("X", (1, 1, 1), "float64", "X")
        return Network((port,), (*column, *sums, shown, twice), (Port("Y", (1, 1), "float64", "out"),))

    def convolution(weight):
        return Convolution(np.array([[[weight]]]), (1,), (1,), (1,), (0,), (0,))

    original, reduced = network([0.1, 0.3], ["a", "b"]), network([0.3 * 0.1], ["a"])
    problem = domain_problem(original, box_domain(-np.ones(1), np.ones(1)))
    facts = prove_stability(problem, CROWN)
    assert facts.by_name()["h2"].upper[0] == np.inf
    assert outputs_exact(original, [Fraction(-1)]) != outputs_exact(reduced, [Fraction(-1)])
    unit_maps = {name: UnitMap((Group(name, np.arange(1)),)) for name in ("h1", "h2")}
    assert prove_deviation(problem, facts, reduced, unit_maps)[0] == np.inf
