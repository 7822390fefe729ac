"""A solver proposes, arithmetic decides: whoever lies changes no answer, unless they are trusted by name."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

import eqverify as eq
from eqverify.cli.main import run
from eqverify.deciding import arithmetic, claims
from eqverify.deciding import run as deciding
from eqverify.deciding.claims import ask, rederive
from eqverify.deciding.portfolio import PortfolioBackend
from eqverify.deciding.question import Reply
from eqverify.deciding.scip_backend import ScipBackend
from eqverify.deciding.splitting import is_narrow
from eqverify.domain import box_domain
from eqverify.errors import LimitError
from eqverify.export.onnx import write_network
from eqverify.export.vnnlib import format_specification, query_of
from eqverify.milp.encoding import Answer, Verdict
from eqverify.milp.scip import ScipSolver
from eqverify.stability import disjuncts
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.joint_disjuncts import SharedProof
from eqverify.testing.oracle import stable_sets_exact
from eqverify.trust import NOBODY

from .deciding_helpers import (
    FixedBackend,
    absolute,
    budget,
    cancelling,
    chain,
    needle,
    needle_corner,
    never,
    problem,
    question,
)

FIXED, SCIP = frozenset({"fixed"}), frozenset({"scip"})


class Perjurer(FixedBackend):
    """A liar who says that arithmetic shows it."""

    def decide(self, question, replay, budget):
        return Reply("unsat", self.name, "bounds", derived=True)


def decided(asked, backend, timeout=20.0, **options):
    return eq.verify(query_of(asked.specification, "1.0"), asked.network, backend=backend, timeout=timeout, **options)


def needle_problem():
    """Satisfiable in a corner that gradients do not lead to."""
    return problem(needle(), [[([1], "-0.5")]])


@pytest.fixture(autouse=True)
def halved_only(monkeypatch):
    """Boxes of small networks are not split at signs, which finds the needle, and leaves nothing to claim."""
    for module in (deciding, arithmetic):
        monkeypatch.setattr(module, "can_split", lambda _, box: is_narrow(box))


@pytest.fixture
def nothing_found(monkeypatch):
    """What no search of ours settles, neither way."""
    monkeypatch.setattr(deciding, "rederive", lambda *_: Reply("timed-out", "arithmetic"))
    monkeypatch.setattr(deciding.VerifyRun, "_prove_claimed", lambda *_: None)


@pytest.mark.parametrize("liar", [FixedBackend("unsat"), FixedBackend("unsat", evidence="bounds"), Perjurer("unsat")])
def test_a_lie_about_a_needle_is_refuted(liar):
    answer = decided(needle_problem(), liar, reduction=False)
    assert (answer.verdict, answer.backend, answer.claimed) == ("sat", "arithmetic", 0)
    assert answer.witness.y[0] <= -0.5


@pytest.mark.parametrize("liar", [FixedBackend("unsat"), FixedBackend("unsat", evidence="bounds"), Perjurer("unsat")])
def test_what_stays_a_claim_is_unknown_and_counted(liar, nothing_found):
    answer = decided(needle_problem(), liar, reduction=False)
    assert (answer.verdict, answer.reason) == ("unknown", "fixed says unsat; not re-derived")
    assert (answer.claimed, answer.as_dict()["claimed"], answer.evidence) == (1, 1, ())


def test_who_is_trusted_is_believed_and_named(nothing_found):
    answer = decided(needle_problem(), FixedBackend("unsat"), reduction=False, trust=FIXED)
    assert (answer.verdict, answer.evidence, answer.claimed) == ("unsat", ("claim of fixed, trusted",), 1)
    answer = decided(needle_problem(), FixedBackend("unsat"), reduction=False, trust=SCIP)
    assert (answer.verdict, answer.claimed) == ("unknown", 1)


def test_a_true_claim_is_re_derived():
    asked = problem(cancelling(1.0), [[([1], "0.5")]])
    answer = decided(asked, FixedBackend("unsat"), reduction=False)
    assert (answer.verdict, answer.evidence, answer.claimed) == ("unsat", ("bounds",), 0)


@pytest.mark.parametrize("rows", [[[([1], "0.5")], [([1], "5")]], [[([1], "5")], [([1], "0.5")]]])
def test_a_claim_does_not_end_what_others_may_find(monkeypatch, rows):
    """Two disjuncts, one of them satisfiable; the search before the backend is blind."""
    monkeypatch.setattr(deciding.VerifyRun, "_attack", lambda *_: False)
    answer = decided(problem(cancelling(1.0), rows), FixedBackend("unsat"), reduction=False)
    assert answer.verdict == "sat"


def test_each_claim_counts(nothing_found):
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    told = []
    answer = decided(asked, FixedBackend("unsat"), reduction=False, claimed=told.append)
    assert (answer.verdict, answer.claimed, told) == ("unknown", 2, [1, 2])
    told.clear()
    answer = decided(asked, FixedBackend("unsat"), reduction=False, claimed=told.append, trust=FIXED)
    assert (answer.verdict, answer.claimed, told) == ("unsat", 2, [1, 2])


def test_what_is_left_of_the_time_goes_to_claims(monkeypatch):
    """The first search fails; a later one, about the original network, does not."""
    seen = []

    def second(question, replay, budget, *more):
        seen.append((question, budget.seconds))
        return rederive(question, replay, budget, *more) if len(seen) > 2 else Reply("timed-out", "arithmetic")

    monkeypatch.setattr(deciding, "rederive", second)
    monkeypatch.setattr(deciding.VerifyRun, "_parts", lambda self, chosen: [self._original(*one) for one in chosen])
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    answer = decided(asked, FixedBackend("unsat"), timeout=20.0)
    assert (answer.verdict, answer.evidence, answer.claimed) == ("unsat", ("bounds",), 0)
    assert len(seen) == 4
    assert seen[0][1] <= 1.0 < seen[2][1]


def test_without_a_reduction_our_proofs_come_after_the_claims(monkeypatch):
    monkeypatch.setattr(deciding, "rederive", lambda *_: Reply("timed-out", "arithmetic"))
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    answer = decided(asked, FixedBackend("unsat"), timeout=20.0, reduction=False)
    assert (answer.verdict, answer.backend, answer.evidence) == ("unsat", "arithmetic", ("bounds",))
    answer = decided(needle_problem(), FixedBackend("unsat"), timeout=20.0, reduction=False)
    assert (answer.verdict, answer.backend) == ("sat", "arithmetic")


class ManyAtOnce(FixedBackend):
    """Lies about all disjuncts at once."""

    def decide_any(self, question, replay, budget):
        return Reply("unsat", self.name, derived=True)


@pytest.mark.parametrize(("trust", "verdict"), [(NOBODY, "unknown"), (FIXED, "unsat")])
def test_a_claim_about_all_disjuncts_is_one_about_each(monkeypatch, nothing_found, trust, verdict):
    def undecided(self, chosen):
        for side, _ in chosen:
            side.facts = eq.prove_stability(self.problem, engine="crown")
        return [self._original(side, number) for side, number in chosen]

    monkeypatch.setattr(deciding.VerifyRun, "_parts", undecided)
    asked = problem(cancelling(1.0), [[([1], "0.5")], [([1], "0.25")]])
    backend = ManyAtOnce("unsat")
    answer = decided(asked, backend, timeout=10.0, trust=trust)
    assert (answer.verdict, answer.claimed, backend.asked) == (verdict, 2, [])
    assert answer.evidence == (("claim of fixed, trusted",) if trust else ())


@pytest.fixture
def always_infeasible(monkeypatch):
    """What SCIP says to everything."""
    monkeypatch.setattr(ScipSolver, "exceeds", lambda *_: Answer(Verdict.NEVER))


def test_infeasible_is_a_claim_and_bounds_are_none(always_infeasible):
    reply = ask(ScipBackend("milp"), question(needle(depth=0.75)), never, budget())
    assert (reply.verdict, reply.derived) == ("unsat", True)
    reply = ask(ScipBackend("milp"), question(needle()), never, budget())
    assert (reply.verdict, reply.backend, reply.derived) == ("unsat", "scip:milp", False)
    assert reply.evidence.startswith("SCIP")


@pytest.mark.parametrize("backend", ["scip", "scip:milp"])
@pytest.mark.parametrize("reduction", [True, False])
@pytest.mark.parametrize(
    ("make", "bound", "truth"), [(needle, "-0.5", "sat"), (cancelling, "0.5", "unsat"), (cancelling, "1", "sat")]
)
def test_a_scip_that_always_says_infeasible_changes_no_answer(
    always_infeasible, backend, reduction, make, bound, truth
):
    asked = problem(make() if make is needle else make(1.0), [[([1], bound)]])
    answer = decided(asked, backend, timeout=30.0, reduction=reduction)
    assert answer.verdict == truth
    assert answer.evidence == (("bounds",) if truth == "unsat" else ())


def test_a_lying_scip_that_is_trusted_is_named(always_infeasible):
    answer = decided(needle_problem(), "scip:milp", reduction=False, trust=SCIP)
    assert (answer.verdict, answer.evidence, answer.claimed) == ("unsat", ("claim of scip, trusted",), 1)


@pytest.mark.parametrize(
    ("trust", "verdict", "evidence"), [(NOBODY, "timed-out", ()), (SCIP, "unsat", ("claim of scip, trusted",))]
)
def test_a_directed_proof_that_rests_on_scip_is_a_claim(monkeypatch, trust, verdict, evidence):
    """Whatever that proof does, what it says by a solver's word is not taken for a fact."""
    honest = disjuncts.prove_directed

    def believing(*arguments, **options):
        (found,) = honest(*arguments, **options)
        return (replace(found, status="unsat", evidence=Evidence.SOLVER, how="fake", facts=None, point=None),)

    def bounds_only(asked, *_, **__):
        return SharedProof(np.zeros(1, dtype=bool), eq.prove_stability(asked, engine="crown"), Evidence.NONE)

    monkeypatch.setattr(disjuncts, "prove_directed", believing)
    monkeypatch.setattr(disjuncts, "prove_rows", bounds_only)
    monkeypatch.setattr(deciding.VerifyRun, "_attack", lambda *_: False)
    answer = decided(needle_problem(), FixedBackend("timed-out"), timeout=2.0, trust=trust)
    assert (answer.verdict, answer.evidence) == (verdict, evidence)


def test_facts_that_rest_on_scip_are_not_used(monkeypatch):
    """A layer that only SCIP calls inactive, where the reduction would lose the needle."""
    honest = disjuncts.prove_directed

    def believing(*arguments, **options):
        (found,) = honest(*arguments, **options)
        if found.facts is None:
            return (found,)
        (layer,) = found.facts.layers
        shut = replace(
            layer, upper=np.zeros(1), status=np.full(1, Status.INACTIVE), evidence=np.full(1, Evidence.SOLVER)
        )
        return (replace(found, status="open", point=None, facts=replace(found.facts, layers=(shut,))),)

    def bounds_only(asked, *_, **__):
        return SharedProof(np.zeros(1, dtype=bool), eq.prove_stability(asked, engine="crown"), Evidence.NONE)

    monkeypatch.setattr(disjuncts, "prove_directed", believing)
    monkeypatch.setattr(disjuncts, "FIRST_LOOK", ())
    monkeypatch.setattr(disjuncts, "REGION", ())
    monkeypatch.setattr(disjuncts, "prove_rows", bounds_only)
    monkeypatch.setattr(deciding.VerifyRun, "_attack", lambda *_: False)
    backend = FixedBackend("timed-out")
    answer = decided(needle_problem(), backend, timeout=2.0)
    assert answer.verdict == "timed-out"
    assert backend.asked[0].known is None
    assert backend.asked[0].network.relu_count == 1
    answer = decided(needle_problem(), FixedBackend("timed-out"), timeout=2.0, trust=SCIP)
    assert (answer.verdict, answer.evidence) == ("unsat", ("bounds", "claim of scip, trusted"))


def mixed(random):
    """Two hidden layers whose units range over very different sizes, and weights that make up for it."""
    scales = [10.0 ** random.integers(-9, 3, size=size) for size in (3, 3)]
    first = random.integers(-4, 5, size=(3, 2)) * 0.25 * scales[0][:, None]
    second = random.integers(-4, 5, size=(3, 3)) * 0.25 * scales[1][:, None] / scales[0]
    last = random.integers(-4, 5, size=(1, 3)) * 0.25 / scales[1]
    biases = [random.integers(-4, 5, size=scale.size) * 0.0625 * scale for scale in scales]
    return chain((first, biases[0]), (second, biases[1]), (last, np.zeros(1)))


@pytest.mark.slow
@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-0.25, -1e-6, 0.0, 1e-6, 0.25]))
@pytest.mark.parametrize("backend", ["scip:milp", "liar"])
def test_no_answer_is_wrong_where_magnitudes_are_mixed(backend, seed, share):
    """The kind of soundness/scip-unsat: thresholds near the exact least output, or far from it."""
    network = mixed(np.random.default_rng(seed))
    try:
        (exact,) = stable_sets_exact(network, box_domain(-np.ones(2), np.ones(2))).outputs
    except LimitError:
        reject()
    bound = Fraction(float(exact.lower + Fraction(share) * max(exact.upper - exact.lower, Fraction(1, 1000))))
    asked = problem(network, [[([1], bound)]])
    answer = decided(
        asked, FixedBackend("unsat") if backend == "liar" else backend, timeout=2.0, reduction=seed % 2 == 0
    )
    assert answer.verdict != ("sat" if bound < exact.lower else "unsat")
    assert set(answer.evidence) <= {"bounds"}


@settings(max_examples=10)
@given(st.integers(13, 20), st.integers(1, 40), st.booleans())
def test_no_needle_is_lost(size, exponent, reduction):
    """The kind of marabou-tolerance: a unit that opens in a corner by next to nothing."""
    network = needle(size, 2.0 ** -min(exponent, 15))
    asked = problem(network, [[([1], "-0.5")]])
    assert decided(asked, FixedBackend("unsat"), timeout=600.0, reduction=reduction).verdict == "sat"


def script(tmp_path, name, body):
    path = tmp_path / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)
    return f"command:{path}"


def test_a_claim_is_re_derived_for_at_least_a_second_and_as_long_as_it_took():
    assert claims.seconds_for(0.1, 60.0) == 1.0
    assert claims.seconds_for(7.0, 60.0) == 7.0
    assert claims.seconds_for(7.0, 3.0) == 3.0
    assert claims.seconds_for(0.1, 0.0) == 0.0


@pytest.mark.slow
def test_a_portfolio_waits_for_more_than_a_claim(tmp_path):
    """A liar at once, and a tool that finds the input later."""
    liar = script(tmp_path, "liar.sh", 'echo unsat > "$5"')
    (tmp_path / "answer").write_text("sat\n((X_0 0.0)\n(X_1 0.05))\n")
    honest = script(tmp_path, "honest.sh", f'sleep 1; cp {tmp_path}/answer "$5"')
    asked = question(absolute(-0.25))
    reply = PortfolioBackend(f"{liar},{honest}").decide(asked, lambda points: bool((points == 0).any()), budget(60))
    assert reply.verdict == "sat"
    trusting = PortfolioBackend(f"{liar},{honest}", frozenset({"command"}))
    reply = trusting.decide(asked, never, budget(60))
    assert (reply.verdict, reply.derived) == ("unsat", False)


@pytest.mark.slow
@pytest.mark.parametrize(("trust", "verdict"), [(frozenset({"command"}), "unsat"), (NOBODY, "sat")])
def test_a_portfolio_by_name_knows_whom_to_trust(tmp_path, nothing_found, trust, verdict):
    """A liar who is trusted ends the search of one who would find the input."""
    liar = script(tmp_path, "liar.sh", 'echo unsat > "$5"')
    (tmp_path / "answer").write_text(
        "sat\n(" + "".join(f"(X_{i} {x})\n" for i, x in enumerate(needle_corner())) + ")\n"
    )
    honest = script(tmp_path, "honest.sh", f'sleep 4; cp {tmp_path}/answer "$5"')
    backend = f"portfolio:{honest},{liar}"
    answer = decided(needle_problem(), backend, timeout=60.0, reduction=False, trust=trust)
    assert (answer.verdict, answer.backend) == (verdict, "command")


@pytest.mark.slow
def test_a_portfolio_of_liars_claims(tmp_path):
    """No longer than half of the time for the one that is still at work."""
    liar = script(tmp_path, "liar.sh", 'echo unsat > "$5"')
    slow = script(tmp_path, "slow.sh", "sleep 60")
    asked = budget(20)
    reply = PortfolioBackend(f"{liar},{slow}").decide(question(absolute(-0.25)), never, asked)
    assert (reply.verdict, reply.backend, reply.derived) == ("unsat", "command", False)
    assert not asked.exhausted()


@pytest.mark.slow
def test_a_portfolio_knows_a_proof_from_a_claim(tmp_path):
    liar = script(tmp_path, "liar.sh", 'echo unsat > "$5"')
    reply = PortfolioBackend(f"{liar},scip").decide(question(absolute(0.25)), never, budget(60))
    assert (reply.verdict, reply.backend, reply.derived) == ("unsat", "scip", True)


@pytest.fixture
def files(tmp_path):
    """A needle that is one of several on the command line, and a tool that lies."""
    asked = needle_problem()
    (tmp_path / "net.onnx").write_bytes(write_network(asked.network, metadata={}, producer="test", dtype="float64"))
    (tmp_path / "prop.vnnlib").write_text(format_specification(asked.specification))
    liar = script(tmp_path, "liar.sh", 'echo unsat > "$5"')
    command = ["verify", str(tmp_path / "prop.vnnlib"), "--network", f"={tmp_path / 'net.onnx'}", "--backend", liar]
    return [*command, "--no-reduction", "--timeout", "6"]


def test_the_command_says_what_is_claimed(files, nothing_found, capsys):
    assert run(files) == 0
    out, err = capsys.readouterr()
    assert out == "unknown\n"
    assert "command says unsat; not re-derived; " in err
    assert "claimed: 1" in err
    assert run([*files, "--trust", "marabou,command"]) == 0
    out, err = capsys.readouterr()
    assert out == "unsat\n"
    assert "claim of command, trusted; claimed: 1" in err
    assert "proved" not in err
    assert run([*files, "--trust", "command", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["verdict"], answer["claimed"], answer["evidence"]) == ("unsat", 1, ["claim of command, trusted"])


def test_the_command_refutes_a_lie(files, capsys):
    assert run(files) == 0
    assert capsys.readouterr().out.startswith("sat\n")


def test_trust_is_in_names(files, capsys):
    assert run([*files, "--trust", "SCIP 10!"]) == 2
    assert "usage/trust" in capsys.readouterr().err


class Odd(FixedBackend):
    """Another package's backend with defects of its own."""

    def decide(self, question, replay, budget):
        if self.verdict == "raises":
            raise ValueError("shapes do not fit")
        return super().decide(question, replay, budget)


@pytest.mark.parametrize(
    ("said", "reason"), [("raises", "ValueError: shapes do not fit"), ("UNSAT", ""), ("proved", "")]
)
def test_defects_of_other_packages_close_nothing(said, reason):
    answer = decided(needle_problem(), Odd(said), reduction=False)
    assert (answer.verdict, answer.reason, answer.evidence) == ("unknown", reason, ())
