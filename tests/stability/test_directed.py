"""Property-directed mode: every claim against exact enumeration of the inputs that satisfy a disjunct."""

from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.bounds.duality import Multipliers
from eqverify.domain import Box, Case, Domain, HalfSpace, Polytope, assume
from eqverify.errors import EqverifyError, LimitError, UsageError
from eqverify.milp.encoding import Answer, Verdict
from eqverify.network import Affine, Dense, Network, Port, Relu, Term, evaluate, outputs_exact
from eqverify.problem import box_problem
from eqverify.stability.counterexample import CounterexampleSearch
from eqverify.stability.disjuncts import prove_directed
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.options import StabilityOptions
from eqverify.stability.portfolio import prove_stability
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import deviations_exact, directed_sets_exact
from eqverify.testing.strategies import problems, residual_networks
from eqverify.transform.driver import transform

from ..bounds.bound_checks import at_most

OPTIONS = StabilityOptions(time_limit=20.0, unit_time_limit=1.0, split_inputs=0)
MAX_REGIONS = 300


class Liar:
    """Answers LP questions with whatever numbers hypothesis likes."""

    def __init__(self, data):
        self.data = data

    def load(self, model):
        self.model = model

    def maximise(self, row, seconds):
        numbers = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from((0.0, 1.0, -1.0, 0.5, 1e-12, 1e9))
        seed = self.data.draw(st.lists(numbers, min_size=3, max_size=3))
        draw = lambda size: np.resize(np.array(seed), size)  # noqa: E731
        multipliers = Multipliers(draw(self.model.units), draw(self.model.units), draw(self.model.bound.size))
        return multipliers, draw(self.model.width)


class Silent:
    """A MILP solver that proposes nonsense and proves nothing."""

    description = "silent"

    def __init__(self, polytope):
        self.size = polytope.box.size

    def add_units(self, block):
        pass

    def add_constraints(self, rows, bound):
        pass

    def exceeds(self, row, threshold, time_limit):
        return Answer(Verdict.CANDIDATE, np.full(self.size, 0.25))


def exact_of(directed):
    """What is true of the inputs that satisfy the disjunct, None where there are none."""
    (case,) = directed.problem.cases
    return directed_sets_exact(
        directed.problem.network, Domain((case.polytope,)), case.unsafe[0], max_regions=MAX_REGIONS
    )


def judge(problem, results):
    """Compare all results with exact ranges; True if any was compared."""
    compared = False
    for found in results:
        try:
            exact = exact_of(found)
        except EqverifyError:  # too many regions, or a polytope without points
            continue
        compared = True
        if found.status == "unsat":
            assert exact is None
            assert found.evidence in (Evidence.DERIVED, Evidence.DUAL, Evidence.TREE, Evidence.SOLVER)
        elif found.status == "sat":
            x = [Fraction(v) for v in found.point.tolist()]
            y = outputs_exact(problem.network, x)
            case = problem.cases[found.case]
            assert all(row.holds(x, y) for row in case.unsafe[found.index])
            assert ((found.point >= case.polytope.box.lower) & (found.point <= case.polytope.box.upper)).all()
        elif found.status == "open" and exact is not None:
            judge_open(found, exact)
    return compared


def judge_open(found, exact):
    for layer in found.facts.layers:
        for unit, true in enumerate(exact.layers[layer.name]):
            assert at_most(layer.lower[unit], true.lower), (layer.name, unit)
            assert at_most(-layer.upper[unit], -true.upper), (layer.name, unit)
            assert layer.status[unit] != Status.UNSTABLE
            if layer.status[unit] == Status.INACTIVE:
                assert true.upper <= 0
            if layer.status[unit] == Status.ACTIVE:
                assert true.lower >= 0
    reduced = transform(found.problem, found.facts)
    (case,) = found.problem.cases
    try:
        gaps = deviations_exact(
            found.problem.network, reduced.network, Domain((case.polytope,)), rows=case.unsafe[0], max_regions=400
        )
    except LimitError:
        return
    for gap, eps in zip(gaps, reduced.epsilon.tolist(), strict=True):
        assert not np.isfinite(eps) or gap.value <= Fraction(eps)


def results_of(problem, options=OPTIONS, **keywords):
    if not any(case.unsafe for case in problem.cases):
        return []
    return list(prove_directed(problem, options, **keywords))


def blind():
    """Counterexamples are never recognised, so that what is proved of sets with points comes to light."""
    return patch.object(CounterexampleSearch, "holds", return_value=False)


@given(problem=problems(parts=2))
def test_claims_hold_exactly(problem):
    judge(problem, results_of(problem, certified_only=True))


@pytest.mark.slow
@given(problem=problems(parts=2))
def test_what_is_proved_of_sets_with_points_holds_exactly(problem):
    with blind():
        judge(problem, results_of(problem, certified_only=True))


@pytest.mark.slow
@given(problem=problems(parts=2))
def test_claims_of_splitting_hold_exactly(problem):
    with blind(), patch("eqverify.stability.stages.region.SPLIT_BOXES", 64):
        options = replace(OPTIONS, split_inputs=12, node_limit=100)
        judge(problem, results_of(problem, options, certified_only=True))


@pytest.mark.slow
@given(problem=problems(networks=residual_networks(), parts=1))
def test_claims_hold_exactly_with_the_solver(problem):
    with blind():
        judge(problem, results_of(problem))


@pytest.mark.slow
@given(problem=problems(parts=1), data=st.data())
def test_lying_solvers_do_no_harm(problem, data):
    with blind():
        judge(problem, results_of(problem, hints=lambda: Liar(data), solver_factory=Silent))


@pytest.mark.slow
@given(problem=problems(parts=2))
def test_facts_of_the_domain_are_a_start(problem):
    facts = prove_stability(problem, OPTIONS)
    with blind():
        judge(problem, results_of(problem, facts=facts, certified_only=True))


def one_case(network, rows, lower, upper, polytope=None):
    """A problem with one box and one disjunct."""
    base = box_problem(network, np.array(lower, dtype=float), np.array(upper, dtype=float))
    part = polytope or base.domain.polytopes[0]
    return replace(base, specification=replace(base.specification, cases=(Case(part, (tuple(rows),)),)))


def at_least(bound, output=0, strict=False):
    """y_output >= bound, or > where strict."""
    return HalfSpace({}, {output: Fraction(-1)}, Fraction(-bound), strict)


IDENTITY = chain_network([(np.eye(1), np.zeros(1)), (np.eye(1), np.zeros(1))])
"""y = max(0, x)."""


def only(problem, **keywords):
    (found,) = prove_directed(problem, OPTIONS, **keywords)
    return found


@pytest.mark.slow
def test_the_first_layer_gains():
    found = only(one_case(IDENTITY, [at_least(Fraction(1, 2))], [-1], [1]))
    assert found.status == "sat"
    with blind():
        found = only(one_case(IDENTITY, [at_least(Fraction(1, 2))], [-1], [1]), certified_only=True)
    (layer,) = found.facts.layers
    assert layer.status.tolist() == [Status.ACTIVE]
    assert 0.25 < layer.lower[0] <= 0.5
    assert found.signs[layer.name].tolist() == [1]
    assert layer.evidence.tolist() == [Evidence.DUAL]


@pytest.mark.slow
def test_strict_constraints_are_closed_for_proofs_and_open_for_points():
    touching = only(one_case(IDENTITY, [at_least(1, strict=True)], [-1], [1]), certified_only=True)
    assert touching.status == "open"  # the closed set is {1}: not empty, and 1 does not satisfy it
    below = only(one_case(IDENTITY, [HalfSpace({}, {0: Fraction(1)}, Fraction(0), True)], [-1], [1]))
    assert below.status == "open"  # y < 0 never holds, y <= 0 does
    assert only(one_case(IDENTITY, [at_least(Fraction(11, 10), strict=True)], [-1], [1])).status == "unsat"


def test_equations_and_inputs_in_a_disjunct():
    equation = [HalfSpace({}, {0: Fraction(1)}, Fraction(1, 2)), at_least(Fraction(1, 2))]
    assert only(one_case(IDENTITY, equation, [-1], [1])).status != "unsat"
    mixed = [at_least(Fraction(1, 2)), HalfSpace({0: Fraction(1)}, {0: Fraction(1)}, Fraction(1, 2))]  # x + y <= 1/2
    assert only(one_case(IDENTITY, mixed, [-1], [1])).status == "unsat"
    split = [mixed[0], HalfSpace({0: Fraction(1)}, {}, Fraction(1, 3))]  # y >= 1/2 and x <= 1/3
    assert only(one_case(IDENTITY, split, [-1], [1])).status == "unsat"


def test_linear_constraints_of_the_domain_are_used():
    part = Polytope(Box(np.array([-1.0]), np.array([1.0])), np.array([[1.0]]), np.array([0.25]))
    problem = one_case(IDENTITY, [at_least(Fraction(1, 2))], [-1], [1], part)
    for small, evidence in (
        (0, Evidence.DUAL),
        (1, Evidence.TREE),
    ):  # linear programs; splits before them
        with patch("eqverify.stability.stages.region.SMALL", small):
            found = only(problem, certified_only=True, record=True)
        assert (found.status, found.evidence) == ("unsat", evidence)


def test_a_row_that_cannot_be_rounded_is_left_out():
    huge = HalfSpace({}, {0: Fraction(10) ** 400}, Fraction(0))
    assert not len(assume([huge], np.ones(1), np.ones(1)))
    third = assume([HalfSpace({}, {0: Fraction(1, 3)}, Fraction(1, 3))], np.ones(1), np.array([2.0]))
    assert Fraction(third.bound[0]) >= Fraction(1, 3) + 2 * abs(Fraction(third.outputs[0, 0]) - Fraction(1, 3))
    assert not len(assume([HalfSpace({}, {0: Fraction(1, 3)}, Fraction(0))], np.ones(1), np.array([np.inf])))


def test_a_found_input_ends_the_work():
    base = box_problem(IDENTITY, -np.ones(1), np.ones(1))
    unsafe = ((at_least(2),), (at_least(0),), (at_least(Fraction(1, 2)), at_least(-1)))
    cases = (Case(base.domain.polytopes[0], unsafe),)
    problem = replace(base, specification=replace(base.specification, cases=cases))
    assert [found.status for found in prove_directed(problem, OPTIONS)] == ["skipped", "sat", "skipped"]


@pytest.mark.slow
def test_facts_about_one_set_are_not_taken_for_another():
    problem = one_case(IDENTITY, [at_least(Fraction(1, 2))], [-1], [1])
    other = one_case(IDENTITY, [at_least(Fraction(3, 4))], [-1], [1])
    with blind():
        found, different = only(problem, certified_only=True), only(other, certified_only=True)
    found.facts.require(found.problem)
    for wrong in (problem, different.problem):
        with pytest.raises(UsageError, match="facts/other-problem"):
            found.facts.require(wrong)
        with pytest.raises(UsageError, match="facts/other-problem"):
            transform(wrong, found.facts)
    with pytest.raises(UsageError, match="facts/other-problem"):
        transform(found.problem, prove_stability(problem, OPTIONS))


def several(margins):
    """Disjuncts that ask for outputs beyond about the largest one, by these margins."""
    random = np.random.default_rng(1)
    sizes = ((8, 2), (8, 8), (1, 8))
    network = chain_network([(random.normal(size=size), random.normal(size=size[0])) for size in sizes])
    top = evaluate(network, np.random.default_rng(0).uniform(-1, 1, (20000, 2))).max()
    base = box_problem(network, -np.ones(2), np.ones(2))
    cases = (Case(base.domain.polytopes[0], tuple((at_least(top + margin),) for margin in margins)),)
    return replace(base, specification=replace(base.specification, cases=cases))


@pytest.mark.slow
def test_disjuncts_share_one_proof():
    """Where more inputs are free than are split; what it leaves open starts from its facts."""
    with blind():
        found = prove_directed(several((0.05, 0.5, -0.01)), OPTIONS, certified_only=True)
    assert [one.status for one in found] == ["unsat", "unsat", "open"]
    assert {one.how for one in found[:2]} == {"one proof for all disjuncts"}
    assert {one.evidence for one in found[:2]} == {Evidence.TREE}
    assert found[2].shared is found[0].shared
    for layer, before in zip(found[2].facts.layers, found[2].shared.layers, strict=True):
        assert (layer.lower >= before.lower).all()
        assert (layer.upper <= before.upper).all()


@pytest.mark.parametrize("options", [{"record": True}, {"facts": None}])
def test_disjuncts_share_no_proof_where_each_is_written_down_or_inputs_are_few(options):
    few = OPTIONS if options.get("record") else replace(OPTIONS, split_inputs=12)
    with blind():
        found = prove_directed(several((0.05, 0.5)), few, certified_only=True, **options)
    assert [one.status for one in found] == ["unsat", "unsat"]
    assert all("shared" not in {stage.name for stage in one.stages} for one in found)


def test_a_property_without_output_condition():
    with pytest.raises(UsageError, match="directed/no-condition"):
        prove_directed(box_problem(IDENTITY, -np.ones(1), np.ones(1)), OPTIONS)


class Infeasible(Silent):
    """A solver that calls everything infeasible."""

    def exceeds(self, row, threshold, time_limit):
        return Answer(Verdict.NEVER)


@pytest.mark.slow
def test_a_solvers_word_is_a_claim_unless_it_is_trusted():
    random = np.random.default_rng(1)
    layers = [(random.normal(size=(8, 2)), random.normal(size=8)), (random.normal(size=(1, 8)), np.zeros(1))]
    problem = one_case(chain_network(layers), [at_least(0)], [-1, -1], [1, 1])
    with blind():
        careful = only(problem, solver_factory=Infeasible)
        (found,) = prove_directed(problem, replace(OPTIONS, trust="scip"), solver_factory=Infeasible)
    assert (careful.status, careful.claimed) == ("open", True)
    assert (found.status, found.evidence) == ("unsat", Evidence.SOLVER)


@pytest.mark.slow
@given(problem=problems(networks=residual_networks(), parts=1))
def test_a_solver_that_calls_everything_infeasible_does_no_harm(problem):
    with blind():
        judge(problem, results_of(problem, solver_factory=Infeasible))


@pytest.mark.slow
def test_models_have_the_columns_of_the_rows_that_are_asked_about():
    """The sign of a unit is found after the rows were made: they were longer than the model had columns."""
    ports = (Port("a", (1,), "float32", "a"), Port("b", (2,), "float32", "b"))
    one, none = np.array([[0.0], [-1.0]]), np.zeros(2)
    nodes = (Relu("h0", "b"), Relu("h1", "h0"), Affine("y", (Term("a", Dense(one)),), none))
    network = Network(ports, nodes, (Port("Y", (2,), "float32", "y"),))
    polytope = Polytope(Box(-np.ones(3), np.ones(3)), np.array([[0.0, 0.0, 0.75]]), np.array([-0.75]))
    row = HalfSpace({2: Fraction(-1), 0: Fraction(2)}, {0: Fraction(1, 10)}, Fraction(1, 4), strict=True)
    problem = one_case(network, [row], -np.ones(3), np.ones(3), polytope)
    with blind():
        judge(problem, results_of(problem))
