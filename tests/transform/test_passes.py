"""Each of LEO's passes, one by one, and the driver that does not trust them."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, reject

from eqverify.domain import box_domain
from eqverify.errors import ContradictionError, EqverifyError, InputError, UsageError
from eqverify.network import Affine, Dense, Identity, Network, Port, Relu, Term, outputs_exact
from eqverify.normal_form import passes
from eqverify.normal_form.passes import REGISTRY, Rewritten, make_pass, register
from eqverify.problem import domain_problem
from eqverify.stability.facts import Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.handmade import all_handmade
from eqverify.testing.strategies import networks, problems
from eqverify.transform.chain import chain_of
from eqverify.transform.driver import transform
from eqverify.transform.result import LEO, TransformOptions

from ..vnncomp import slow

QUICK = StabilityOptions(time_limit=5.0)


def reduced(layers, names=LEO, low=-1.0, high=1.0):
    """Transform a chain of (weight, bias) on a cube in float64."""
    network = chain_network([(np.array(w, dtype=float), np.array(b, dtype=float)) for w, b in layers])
    n = network.input_size
    problem = domain_problem(network, box_domain(np.full(n, low), np.full(n, high)))
    facts = prove_stability(problem, QUICK)
    return problem, transform(problem, facts, TransformOptions("leo", names, "float64"))


def assert_equal_outputs(problem, result, points=25):
    random = np.random.default_rng(0)
    hull = problem.domain.hull
    tried = random.uniform(hull.lower, hull.upper, size=(points, hull.size))
    for point in tried[problem.domain.contains(tried)]:
        x = [Fraction(v) for v in point.tolist()]
        pairs = zip(
            outputs_exact(problem.network, x), outputs_exact(result.network, x), result.epsilon.tolist(), strict=True
        )
        assert all(abs(a - b) <= Fraction(eps) for a, b, eps in pairs)


def removed(result):
    return {(gone.unit, gone.what) for gone in result.removed}


def test_remove_inactive():
    problem, result = reduced([([[1, 0], [0, 1]], [-2, 0]), ([[1, 1]], [0])], ("remove-inactive",))
    assert removed(result) == {(0, "inactive")}
    assert result.network.relu_count == 1
    assert_equal_outputs(problem, result)


def test_merge_dependent_units_keeps_a_basis_and_moves_the_constant():
    rows = [[1, 1], [2, 2], [1, -1], [0, 1]]
    problem, result = reduced([(rows, [3, 7, 0, 0]), ([[1, 1, 1, 1], [1, -1, 2, 3]], [0, 1])], ("merge-dependent",))
    assert len([f for f in result.removed if f.what == "merged"]) == 1
    assert result.network.relu_count == 3
    assert_equal_outputs(problem, result)


def test_merge_says_why_it_declined():
    _, result = reduced([([[1, 0], [0, 1], [1, 1]], [2, 2, 0]), ([[1, 1, 1]], [0])], ("merge-dependent",))
    assert not result.removed
    assert [(d.rewrite, d.units, d.reason) for d in result.declined] == [
        ("merge-dependent", (0, 1), "active rows are linearly independent")
    ]


def test_an_active_unit_with_a_zero_row_becomes_part_of_the_bias():
    problem, result = reduced([([[0, 0], [1, 1]], [2, 0]), ([[5, 1]], [0])], ("merge-dependent",))
    assert removed(result) == {(0, "merged")}
    assert_equal_outputs(problem, result)


def test_fold_a_stable_layer():
    layers = [([[1, 0], [0, 1]], [2, 2]), ([[1, 1], [1, -1]], [-4, 0]), ([[1, 1]], [0])]
    problem, result = reduced(layers, ("fold-stable",))
    assert removed(result) == {(0, "folded"), (1, "folded")}
    assert len(result.network.relus) == 1
    assert_equal_outputs(problem, result)


def test_collapse_a_constant_network():
    layers = [([[1, 0], [0, 1]], [1, 1]), ([[-1, 0], [0, -1]], [-1, -1]), ([[1, 1], [2, 0]], [3, 0.5])]
    problem, result = reduced(layers, ("collapse-constant",))
    assert result.network.relu_count == 0
    assert outputs_exact(result.network, [Fraction(1, 3)] * 2) == [3, Fraction(1, 2)]
    assert_equal_outputs(problem, result)


def test_drop_dead_units_from_the_last_layer_back():
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[1, 0], [0, 1]], [0, 0]), ([[1, 0]], [0])]
    problem, result = reduced(layers, ("drop-dead",))
    assert result.network.relu_count == 2
    assert_equal_outputs(problem, result)


def test_drop_dead_where_nothing_is_read():
    layers = [([[1, 0], [0, 1]], [0, 0]), ([[0, 0], [0, 0]], [1, -1]), ([[1, 1]], [0])]
    problem, result = reduced(layers, ("drop-dead",))
    assert_equal_outputs(problem, result)
    problem, result = reduced([([[1.0]], [0.0]), ([[0.0]], [4.0])], ("drop-dead",))
    assert result.network.relu_count == 0
    assert_equal_outputs(problem, result)


@pytest.mark.parametrize("shape", [*slow("sequential", "leo", "residual"), "structured", "auto"])
@pytest.mark.parametrize("made", all_handmade(), ids=lambda made: made.name)
def test_hand_solved_problems_stay_the_same_and_shrink(made, shape):
    problem = domain_problem(made.network, made.domain)
    result = transform(problem, prove_stability(problem, QUICK), TransformOptions(shape, dtype="float64"))
    assert result.network.relu_count <= made.network.relu_count
    assert_equal_outputs(problem, result)


@given(problems(networks=networks(), parts=2))
def test_every_unit_is_either_kept_or_has_one_fate(problem):
    facts = prove_stability(problem, StabilityOptions("crown"))
    try:
        result = transform(problem, facts, TransformOptions("leo", dtype="float64"))
    except EqverifyError:
        reject()
    went = [(gone.layer, gone.unit) for gone in result.removed]
    kept = [pair for unit_map in result.unit_maps.values() for pair in unit_map.pairs()]
    everything = [(layer.name, unit) for layer in facts.layers for unit in range(layer.size)]
    assert sorted(went + kept) == sorted(everything)
    statuses = {(layer.name, unit): layer.status[unit] for layer in facts.layers for unit in range(layer.size)}
    for gone in result.removed:
        if gone.what == "inactive":
            assert statuses[gone.layer, gone.unit] == Status.INACTIVE
        if gone.what in ("merged", "folded"):
            assert statuses[gone.layer, gone.unit] == Status.ACTIVE


def test_facts_of_another_problem_are_refused():
    network = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    one = domain_problem(network, box_domain(np.zeros(2), np.ones(2)))
    other = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    with pytest.raises(UsageError, match="facts/other-problem"):
        transform(other, prove_stability(one, QUICK))


def test_a_skip_over_a_relu_is_refused_with_its_place():
    network = Network(
        (Port("X", (2,), "float64", "X"),),
        (
            Affine("z", (Term("X", Dense(np.eye(2))),), np.zeros(2)),
            Relu("h", "z"),
            Affine("y", (Term("h", Identity(2)), Term("X", Identity(2))), np.zeros(2)),
        ),
        (Port("Y", (2,), "float64", "y"),),
    )
    with pytest.raises(InputError, match="transform/not-a-chain"):
        chain_of(network)


@dataclass(frozen=True, slots=True)
class Forgetful:
    """A broken pass: drops a unit and does not say so."""

    name: ClassVar[str] = "forgetful"
    statement: ClassVar[str] = "R-0"
    rewrites: ClassVar[str] = "chain"
    rounds: ClassVar[bool] = False

    def __call__(self, chain, context):
        if not chain.layers or chain.layers[0].size < 2:
            return Rewritten(chain)
        weight, bias = chain.reader(0)
        kept = np.arange(chain.layers[0].size - 1)
        return Rewritten(chain.with_layer(0, chain.layers[0].select(kept)).with_reader(0, weight[:, kept], bias))


@dataclass(frozen=True, slots=True)
class Poisonous(Forgetful):
    """A broken pass: leaves NaN behind."""

    name: ClassVar[str] = "poisonous"

    def __call__(self, chain, context):
        return Rewritten(replace(chain, bias=chain.bias * np.nan))


@pytest.mark.parametrize("broken", [Forgetful, Poisonous])
def test_the_driver_catches_a_pass_that_breaks_an_invariant(broken, monkeypatch):
    monkeypatch.setitem(passes.REGISTRY, broken.name, broken)
    with pytest.raises(ContradictionError, match="transform/postcondition"):
        reduced([([[1, 0], [0, 1]], [0, 0]), ([[1, 1]], [0])], (broken.name,))


def test_a_wrong_pass_that_keeps_the_invariants_shows_in_epsilon(monkeypatch):
    @dataclass(frozen=True, slots=True)
    class Shifting:
        """A wrong pass: removes inactive units and moves a bias by a thousandth."""

        name: ClassVar[str] = "shifting"
        statement: ClassVar[str] = "R-0"
        rewrites: ClassVar[str] = "chain"
        rounds: ClassVar[bool] = False

        def __call__(self, chain, context):
            result = REGISTRY["remove-inactive"]()(chain, context)
            if result.subject is chain:
                return result
            return Rewritten(replace(result.subject, bias=result.subject.bias + 1e-3), result.removed)

    monkeypatch.setitem(passes.REGISTRY, "shifting", Shifting)
    _, result = reduced([([[1, 0], [0, 1]], [-2, 0]), ([[1, 1]], [0])], ("shifting",))
    assert 1e-3 <= result.epsilon[0] < 1.001e-3


def test_two_passes_of_one_name_are_refused():
    with pytest.raises(UsageError, match="transform/duplicate-pass"):
        register(REGISTRY["remove-inactive"])


@pytest.mark.parametrize("wrong", [{"passes": ("polish",)}, {"dtype": "int8"}, {"shape": "magic"}])
def test_unknown_options_are_refused(wrong):
    with pytest.raises(UsageError, match="usage/"):
        TransformOptions(**wrong)


def test_a_network_that_gains_nothing_stays_as_it_is():
    """Both units are unstable; composing weights anew would only add a deviation."""
    network = chain_network([(np.array([[0.1, 0.3], [0.7, -0.2]]), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    problem = domain_problem(network, box_domain(-np.ones(2), np.ones(2)))
    result = transform(problem, prove_stability(problem, QUICK), TransformOptions(dtype="float64"))
    assert result.shape == "unchanged"
    assert result.network is network
    assert result.epsilon.tolist() == [0.0]


def test_every_pass_has_the_statement_that_it_names():
    text = (Path(__file__).parents[2] / "specs" / "rewrites.md").read_text()
    for name in REGISTRY:
        heading = next(
            line for line in text.splitlines() if line.lstrip("#").startswith(f" {make_pass(name).statement} ")
        )
        assert f"(`{name}`)" in heading
