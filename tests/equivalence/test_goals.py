"""Goals that are no ordinary ones, and numbers that are too large or too small for floats."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import eqverify as eq
from eqverify.api.equivalence import load_domain
from eqverify.attack.replay import holding
from eqverify.bounds import crown_bounds
from eqverify.domain import Box, Domain, HalfSpace, Polytope, box_domain
from eqverify.equivalence import portfolio as portfolio_module
from eqverify.equivalence.exact import CrossCheck
from eqverify.equivalence.goals import PairGoals, epsilon_goals, make_goals
from eqverify.equivalence.joint import make_joint
from eqverify.equivalence.portfolio import DecideOptions, Decision, Method, decide
from eqverify.equivalence.product_milp import ProductMilp
from eqverify.equivalence.shared import shared_cases
from eqverify.equivalence.splitting import Splitter
from eqverify.equivalence.witness import WitnessSearch
from eqverify.equivalence.zonotope import Zonotope
from eqverify.errors import InputError
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.milp.encoding import Answer
from eqverify.milp.encoding import Verdict as Reply
from eqverify.network import Network, outputs_exact
from eqverify.testing.chains import chain_network
from eqverify.trust import trusting

UNIT = box_domain(-np.ones(1), np.ones(1))
ONE = Fraction(1)


def constant(*values: float) -> Network:
    """The network of one input with these outputs everywhere."""
    return chain_network([(np.zeros((len(values), 1)), np.array(values))])


def decided(
    f: Network, g: Network, goals: PairGoals, domain: Domain = UNIT, *methods: Method, seconds: float = 600.0
) -> Decision:
    """What is said; the time limit is reached by no machine, or `seconds`, where nothing can be decided."""
    search = WitnessSearch(f, g, goals, domain)
    return decide(f, g, goals, search, DecideOptions(timeout=seconds, methods=methods or portfolio_module.METHODS))


def first_holding(goals: PairGoals, f: Network, g: Network, x: list[Fraction]) -> int | None:
    """The first disjunct that holds at x, in rational arithmetic."""
    return holding(goals.exact, x, [*outputs_exact(f, x), *outputs_exact(g, x)])[0]


def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves everything to bounds."""
    monkeypatch.setattr(WitnessSearch, "_confirm", lambda *_: None)


@pytest.mark.parametrize(
    "half",
    [
        HalfSpace({}, {0: Fraction(-1, 10**400)}, Fraction(-1, 10**401), True),
        HalfSpace({}, {0: Fraction(-(10**400))}, Fraction(-(10**399)), True),
        HalfSpace({}, {0: Fraction(-1)}, Fraction(10**400), True),
    ],
)
def test_rows_that_floats_cannot_hold_refute_nothing(half: HalfSpace, monkeypatch: pytest.MonkeyPatch) -> None:
    goals = make_goals(((half,),), (1, 1, 1))
    f, g = constant(1.0), constant(0.0)
    assert first_holding(goals, f, g, [Fraction(0)]) == 0
    assert decided(f, g, goals, seconds=1.0).verdict != "equivalent"
    deaf(monkeypatch)
    assert decided(f, g, goals, UNIT, "splitting", seconds=1.0).verdict == "unknown"


def test_a_coefficient_next_to_one_is_not_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """f (1 + 2^-60) > g = f + 2^-40 holds at x = 1, where f = 2e6; with 1 as the coefficient it never does."""
    f, g = (chain_network([(np.array([[2e6]]), np.array([shift]))]) for shift in (0.0, 2.0**-40))
    goals = make_goals(((HalfSpace({}, {0: -(ONE + Fraction(1, 2**60)), 1: ONE}, Fraction(0), True),),), (1, 1, 1))
    assert first_holding(goals, f, g, [ONE]) == 0
    deaf(monkeypatch)
    assert decided(f, g, goals, UNIT, "splitting", seconds=1.0).verdict == "unknown"


def test_no_disjunct_is_nothing_to_find() -> None:
    f = chain_network([(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    assert decided(f, constant(1.0), make_goals((), (1, 1, 1))).verdict == "equivalent"
    assert eq.equivalent(f, constant(1.0), UNIT, top1=True, timeout=600.0).verdict == "equivalent"


def test_a_disjunct_that_always_holds_is_about_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    goals = make_goals(((),), (1, 1, 1))
    assert decided(constant(1.0), constant(1.0), goals).verdict == "different"
    deaf(monkeypatch)
    empty = Domain((Polytope(UNIT.polytopes[0].box, np.array([[1.0], [-1.0]]), np.array([-0.5, -0.5])),))
    assert decided(constant(1.0), constant(1.0), goals, empty, "branching").verdict == "equivalent"
    assert decided(constant(1.0), constant(1.0), goals, seconds=1.0).verdict == "unknown"


PAIR = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [1]) (declare-output Y real [1]))
(declare-network g (declare-input B real [1]) (declare-output Z real [1]))
(assert (>= A[0] -1.0)) (assert (<= A[0] 1.0)) (assert (== A[0] B[0]))
"""


def test_equations_that_no_input_satisfies() -> None:
    """Bounds that contradict equations, which the reader of queries would have refused."""
    written = lower(parse_query(PAIR + "(assert (>= Y[0] Z[0]))"))
    (case,) = written.cases
    apart = Box(np.array([-1.0, 2.0]), np.array([1.0, 3.0]))
    case = replace(case, polytope=Polytope(apart, case.polytope.matrix, case.polytope.bound))
    assert shared_cases(replace(written, cases=(case,))) == ()
    with pytest.raises(InputError) as error:
        load_domain(replace(written, cases=(case,)))
    assert error.value.code == "domain/empty"


def test_a_domain_is_not_loosened() -> None:
    """0.1 A + 0.3 B is no multiple of A that a float holds: a query may do without the row, a domain may not."""
    text = PAIR + "(assert (<= (+ (* 0.1 A[0]) (* 0.3 B[0])) 0.2)) (assert (> Y[0] Z[0]))"
    assert eq.decide_pair_query(parse_query(text), {"f": constant(1.0), "g": constant(2.0)}).answer == "unsat"
    with pytest.raises(InputError) as error:
        load_domain(parse_query(text))
    assert error.value.code == "equivalence/inputs"


def test_a_sum_that_overflowed_is_unknown_whatever_its_sign() -> None:
    big = np.full((1, 1), -np.inf)
    found = Zonotope(big, np.zeros((1, 1, 1)), np.zeros((1, 1))).interval
    assert (found.lower[0, 0], found.upper[0, 0]) == (-np.inf, np.inf)


def test_products_that_underflow_are_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """1e-200 * 1e-200 x is no difference of 0, though floats show none."""
    f = chain_network([(np.full((1, 1), 1e-200), np.zeros(1)), (np.full((1, 1), 1e-200), np.zeros(1))])
    goals = epsilon_goals(1, 1, 0.0)
    assert first_holding(goals, f, constant(0.0), [ONE]) == 0
    deaf(monkeypatch)
    assert decided(f, constant(0.0), goals, UNIT, "splitting", seconds=1.0).verdict == "unknown"


def test_all_who_are_trusted_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """SCIP vouches for one part of the domain, Z3 for the other."""
    f = chain_network([(np.ones((2, 1)), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))])
    g = chain_network([(np.ones((2, 1)), np.zeros(2)), (np.full((1, 2), 1.25), np.zeros(1))])
    domain = Domain((UNIT.polytopes[0], Polytope(Box(np.full(1, -2.0), np.ones(1)))))
    monkeypatch.setattr(Splitter, "run", lambda *_, **__: None)
    replies = iter([Answer(Reply.NEVER), Answer(Reply.NEVER)])
    monkeypatch.setattr(ProductMilp, "ask", lambda *_: next(replies, Answer(Reply.UNKNOWN, reason="tired")))
    monkeypatch.setattr("eqverify.equivalence.exact.cross_check", lambda *_, **__: CrossCheck("equivalent", queries=1))
    goals = epsilon_goals(1, 1, 0.6)
    options = DecideOptions(timeout=600.0, methods=("milp", "z3"), trust=trusting("scip,z3"))
    found = decide(f, g, goals, WitnessSearch(f, g, goals, domain), options)
    assert (found.verdict, found.evidence) == ("equivalent", "solver (scip, z3, trusted)")
    assert "SCIP" in found.solver


def test_gradient_steps_stay_in_the_part_of_their_start() -> None:
    """The second part is a thin strip, out of which a step leads; its own interior point leads back."""
    f = chain_network([(np.eye(2), np.full(2, 9.0)), (np.array([[1.0, 0.0]]), np.zeros(1))])
    g = chain_network([(np.zeros((1, 2)), np.array([9.0]))])
    far = Polytope(Box(np.full(2, -5.0), np.full(2, -4.0)))
    strip = Polytope(Box(-np.ones(2), np.ones(2)), np.array([[1.0, 1.0], [-1.0, -1.0]]), np.full(2, 1e-3))
    search = WitnessSearch(f, g, epsilon_goals(2, 1, 5.5), Domain((far, strip)))
    search.near(np.zeros(2), strip)
    assert search.best[0] > -5.5


def test_each_output_has_its_own_epsilon() -> None:
    f, g = constant(1.0, 5.0), constant(1.5, 5.0)
    assert eq.equivalent(f, g, UNIT, epsilon=[0.5, 0.0]).verdict == "equivalent"
    found = eq.equivalent(f, g, UNIT, epsilon=[0.25, 9.0])
    assert (found.verdict, found.deviation, found.asked) == ("different", 0.5, [0.25, 9.0])
    found = eq.equivalent(f, g, UNIT, epsilon=[0.75, 0.25])
    assert found.epsilons is not None
    assert found.epsilons[0] >= 0.5
    assert found.epsilon == max(found.epsilons)
    with pytest.raises(eq.errors.UsageError) as error:
        eq.equivalent(f, g, UNIT, epsilon=[0.5])
    assert error.value.code == "equivalence/epsilon"


def test_a_proved_deviation_is_never_rounded_down():
    from eqverify.equivalence.answer import _sum_above

    tiny = 2.0**-60
    for epsilon in (0.0, 0.1, 1.0):
        for reach in (0.0, tiny, -tiny, 0.3, -0.3, -epsilon):
            assert Fraction(_sum_above(Fraction(epsilon), reach)) >= Fraction(epsilon) + Fraction(reach)
    assert _sum_above(Fraction(0.1), -tiny) == 0.1


def test_an_epsilon_need_not_be_a_float() -> None:
    """The float 0.1 is a little more than a tenth."""
    f, g = constant(0.1), constant(0.0)
    assert eq.equivalent(f, g, UNIT, epsilon=0.1).verdict == "equivalent"
    found = eq.equivalent(f, g, UNIT, epsilon=Fraction(1, 10))
    assert (found.verdict, found.asked) == ("different", Fraction(1, 10))
    found = eq.equivalent(constant(0.25), g, UNIT, epsilon=Fraction(1, 3))
    assert found.epsilon is not None
    assert Fraction(1, 4) <= Fraction(found.epsilon)


def test_a_part_that_time_did_not_suffice_for_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both networks agree on the first part, and the second was not looked at."""
    made = []

    def slow(*arguments: object) -> object:
        made.append(make_joint(*arguments[:3]))
        if len(made) > 1:
            raise TimeoutError
        return made[0]

    monkeypatch.setattr("eqverify.equivalence.portfolio.make_joint", slow)
    deaf(monkeypatch)
    domain = Domain((UNIT.polytopes[0], Polytope(Box(np.full(1, 2.0), np.full(1, 3.0)))))
    f = chain_network([(np.ones((1, 1)), np.full(1, -1.5)), (np.ones((1, 1)), np.zeros(1))])
    found = decided(f, constant(0.0), epsilon_goals(1, 1, 0.1), domain, seconds=1.0)
    assert (found.verdict, found.reach) == ("unknown", np.inf)
    assert found.done <= 0.5


def test_no_system_of_rows_is_made_when_time_is_over() -> None:
    f = chain_network([(np.ones((1, 1)), np.zeros(1)), (np.ones((1, 1)), np.zeros(1))])
    ticks = iter(range(2))
    bounds = crown_bounds(f, -np.ones((1, 1)), np.ones((1, 1)))

    def tick() -> None:
        if next(ticks, None) is None:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        make_joint((f, f), (bounds, bounds), epsilon_goals(1, 1, 0.0), tick)
