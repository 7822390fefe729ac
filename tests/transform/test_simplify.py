"""Simplifications one by one, and relations that are wrong or malformed in the proof of eps."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from eqverify.domain import box_domain
from eqverify.errors import ContradictionError, EqverifyError
from eqverify.normal_form.building import normal_form
from eqverify.normal_form.relation import Relation
from eqverify.problem import domain_problem
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import networks, problems
from eqverify.transform.deviation import prove_deviation
from eqverify.transform.driver import transform
from eqverify.transform.passes import simplified as by_passes
from eqverify.transform.result import TransformOptions

CROWN = StabilityOptions("crown")
TOLERANCE = 2.0**-44


def chain(*layers):
    return chain_network([(np.array(w, dtype=float), np.array(b, dtype=float)) for w, b in layers])


def simplified(network, low=-1.0, high=1.0, options=CROWN):
    problem = domain_problem(network, box_domain(np.full(network.input_size, low), np.full(network.input_size, high)))
    facts = prove_stability(problem, options)
    return problem, facts, by_passes(normal_form(problem, facts), facts, TransformOptions(), TOLERANCE)


def left(form):
    return form.subject.pairs()


def test_parallel_and_antiparallel_units_of_one_layer():
    rows = [[1, 2], [2, 4], [-3, -6], [1, -1]]
    _, _, form = simplified(chain((rows, [0.5, 1, -1.5, 0]), ([[1, 1, 1, 1], [1, -1, 2, 1]], [0, 0])))
    assert left(form) == [("relu0", 0), ("relu0", 3)]
    assert form.relations == (
        Relation("parallel", "relu0", 1, "relu0", 0, 2.0),
        Relation("antiparallel", "relu0", 2, "relu0", 0, 3.0),
    )


def test_a_duplicate_in_a_later_layer():
    """The second layer sees x through a stably active unit and repeats the first unit of the first layer."""
    network = chain(([[1.0], [1.0]], [0.0, 5.0]), ([[0, 1], [1, -1]], [-5, 5]), ([[1, 3]], [0]))
    _, _, form = simplified(network)
    assert Relation("parallel", "relu1", 0, "relu0", 0, 1.0) in form.relations


def test_a_sign_that_bounds_cannot_see_through_a_split():
    """relu(x) - relu(-x) = x, so the unit of the second layer is x + 1 >= 0; CROWN on the split finds less."""
    network = chain(([[1.0], [-1.0]], [0, 0]), ([[1, -1]], [1]), ([[1]], [0]))
    problem, facts, form = simplified(network)
    assert facts.by_name()["relu1"].status[0] != Status.ACTIVE
    assert Relation("active", "relu1", 0) in form.relations
    assert left(form) == []
    result = transform(problem, facts, TransformOptions(dtype="float64"))
    assert result.network.relu_count == 0
    assert result.worst <= 2.0**-40


def test_dead_units_go_from_the_last_tier_back():
    network = chain(([[1, 0], [0, 1]], [0, 0]), ([[1, 0], [0, 1]], [-0.5, -0.5]), ([[1, 0]], [0]))
    _, _, form = simplified(network)
    assert left(form) == [("relu0", 0), ("relu1", 0)]
    assert {(gone.layer, gone.unit, gone.what) for gone in form.removed} == {("relu0", 1, "dead"), ("relu1", 1, "dead")}


def test_constant_inputs_make_units_parallel():
    """Where the second input is fixed, rows that differ in it only by a constant are parallel on the domain."""
    network = chain(([[1, 1], [2, 4]], [0, -2]), ([[1, 1]], [0]))
    problem = domain_problem(network, box_domain(np.array([-3.0, 1.0]), np.array([1.0, 1.0])))
    facts = prove_stability(problem, CROWN)
    form = by_passes(normal_form(problem, facts), facts, TransformOptions(), TOLERANCE)
    assert form.relations == (Relation("parallel", "relu0", 1, "relu0", 0, 2.0),)
    result = transform(problem, facts, TransformOptions(dtype="float64"))
    assert result.network.relu_count == 1
    assert result.epsilon[0] < 1e-12


def test_nearly_parallel_units_stay_and_say_how_near_they_were():
    network = chain(([[1, 2], [1, 2 + 2.0**-20]], [0, 0]), ([[1, 1]], [0]))
    _, _, form = simplified(network)
    assert len(left(form)) == 2
    assert [(d.rewrite, d.units) for d in form.declined] == [("merge-parallel", (1,))]
    assert "4.8e-07" in form.declined[0].reason


def test_what_counts_as_parallel_in_float32_is_part_of_epsilon():
    network = chain_network([(np.array([[1, 2], [1, 2 + 2.0**-22]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    facts = prove_stability(problem, CROWN)
    result = transform(problem, facts, TransformOptions(dtype="float32"))
    assert result.network.relu_count == 1
    assert 2.0**-23 <= result.worst <= 2.0**-20
    strict = transform(problem, facts, TransformOptions(dtype="float32", max_epsilon=0.0))
    assert strict.network.relu_count == 2


@given(problems(networks=networks(), parts=1), st.data())
def test_wrong_relations_never_lower_epsilon_below_the_truth(problem, data):
    facts = prove_stability(problem, CROWN)
    try:
        result = transform(
            problem, facts, TransformOptions(data.draw(st.sampled_from(["sequential", "leo"])), dtype="float64")
        )
    except EqverifyError:
        reject()
    units = [
        (layer.name, k)
        for layer in facts.layers
        for k in np.flatnonzero(layer.mask(Status.UNDECIDED, Status.UNSTABLE)).tolist()
    ]
    stated = []
    for place, pair in enumerate(units):
        kinds = ["none", "inactive", "active"] + (["parallel", "antiparallel"] if place else [])
        kind = data.draw(st.sampled_from(kinds))
        if kind in ("inactive", "active"):
            stated.append(Relation(kind, *pair))
        elif kind != "none":
            other = data.draw(st.sampled_from(units[:place]))
            stated.append(Relation(kind, *pair, *other, data.draw(st.sampled_from([1.0, 0.5, 3.0]))))
    try:
        found = deviations_exact(problem.network, result.network, problem.domain, max_regions=400)
    except EqverifyError:
        reject()
    epsilon = prove_deviation(problem, facts, result.network, result.unit_maps, tuple(stated))
    assert all(np.isinf(eps) or d.value <= Fraction(float(eps)) for d, eps in zip(found, epsilon, strict=True))


WRONG = [
    Relation("parallel", "relu0", 0, "relu0", 1),
    Relation("parallel", "relu0", 0, "relu0", 0),
    Relation("parallel", "relu0", 1, "relu0", 0, -1.0),
    Relation("antiparallel", "relu0", 1, "relu0", 0, float("inf")),
    Relation("parallel", "relu0", 1, "nowhere", 0),
    Relation("parallel", "relu0", 1),
    Relation("active", "relu0", 9),
    Relation("active", "relu0", -1),
    Relation("inactive", "nowhere", 0),
    Relation("active", "relu0", 2),
]


@pytest.mark.parametrize("relation", WRONG, ids=str)
def test_malformed_relations_are_refused(relation):
    network = chain(([[1, 0], [0, 1], [1, 1]], [0, 0, -5]), ([[1, 1, 1]], [0]))
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    facts = prove_stability(problem, CROWN)
    result = transform(problem, facts, TransformOptions("sequential", dtype="float64"))
    with pytest.raises(ContradictionError, match="deviation/relation"):
        prove_deviation(problem, facts, result.network, result.unit_maps, (relation,))


def test_two_relations_of_one_unit_are_refused():
    network = chain(([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0]))
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    facts = prove_stability(problem, CROWN)
    result = transform(problem, facts, TransformOptions("sequential", dtype="float64"))
    twice = (Relation("active", "relu0", 0), Relation("inactive", "relu0", 0))
    with pytest.raises(ContradictionError, match="deviation/relation"):
        prove_deviation(problem, facts, result.network, result.unit_maps, twice)
