"""Solvers that lie, or are not believed: `equivalent` rests on arithmetic, whatever SCIP and Z3 say."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eqverify.cli.main import run
from eqverify.domain import Box, Domain, Polytope, box_domain
from eqverify.equivalence import portfolio as portfolio_module
from eqverify.equivalence.branching import SignSearch
from eqverify.equivalence.exact import _Z3Model
from eqverify.equivalence.goals import PairGoals, epsilon_goals, top1_goals
from eqverify.equivalence.portfolio import DecideOptions, Decision, Method, decide
from eqverify.equivalence.product_milp import ProductMilp
from eqverify.equivalence.splitting import Splitter
from eqverify.equivalence.witness import WitnessSearch
from eqverify.examples import example_files
from eqverify.export.onnx import write_network
from eqverify.milp.encoding import Answer
from eqverify.milp.encoding import Verdict as Reply
from eqverify.network import Network
from eqverify.testing.chains import chain_network
from eqverify.testing.drawing import Sizes
from eqverify.testing.oracle import deviations_exact
from eqverify.testing.strategies import any_networks, domains, networks
from eqverify.trust import NOBODY, Trust, trusting

from ..vnncomp import slow
from .random_pairs import DIFFERENT, random_pair

TINY = Fraction(1, 10**12)


@pytest.fixture
def liars(monkeypatch: pytest.MonkeyPatch) -> None:
    """SCIP and Z3 say of every question that it has no solution."""
    monkeypatch.setattr(ProductMilp, "ask", lambda *_: Answer(Reply.NEVER))
    monkeypatch.setattr(_Z3Model, "find_gap", lambda *_: ("", None))


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for differences before solvers are asked."""
    monkeypatch.setattr(WitnessSearch, "search", lambda self, deadline, rounds: False)
    monkeypatch.setattr(WitnessSearch, "quick_sample", lambda self: False)
    monkeypatch.setattr("eqverify.equivalence.exact._sampled_witness", lambda search, part: None)


def decided(
    f: Network, g: Network, domain: Domain, goals: PairGoals, *methods: Method, trust: Trust = NOBODY
) -> Decision:
    search = WitnessSearch(f, g, goals, domain)
    return decide(f, g, goals, search, DecideOptions(timeout=10.0, methods=methods, trust=trust))


def asked(f: Network, epsilon: float | Fraction) -> PairGoals:
    return epsilon_goals(f.input_size, f.output_size, epsilon)


@pytest.mark.usefixtures("liars", "blind")
@pytest.mark.parametrize("seed", [*DIFFERENT[:3], *slow(*DIFFERENT[3:12])])
def test_liars_change_no_answer(seed: int) -> None:
    f, g, domain = random_pair(seed)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    assert exact
    for factor in (Fraction(9, 10), 1 - TINY, Fraction(1), Fraction(11, 10)):
        goals = asked(f, exact * factor)
        for methods in (("milp",), ("z3",), ("milp", "z3")):
            found = decided(f, g, domain, goals, *methods)  # type: ignore[arg-type]
            assert found.verdict == ("different" if factor < 1 else "equivalent"), (factor, methods)
            assert (found.evidence, found.trusted, found.claimed) == ("bounds", (), 0)


@pytest.mark.usefixtures("liars", "blind")
@pytest.mark.parametrize("seed", DIFFERENT[:6])
def test_liars_change_no_answer_about_large_networks(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Branching in floats on both networks side by side looks for the proof there."""
    monkeypatch.setattr(portfolio_module, "EXACT_LIMITS", (0, 0))
    monkeypatch.setattr(Splitter, "run", lambda *_, **__: None)
    f, g, domain = random_pair(seed)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    assert exact
    for factor in (Fraction(9, 10), Fraction(11, 10)):
        found = decided(f, g, domain, asked(f, exact * factor), "milp")
        assert found.verdict == ("different" if factor < 1 else "equivalent"), factor
        assert (found.evidence, found.claimed) == ("bounds", 0)


@pytest.mark.usefixtures("liars", "blind")
def test_a_claim_without_proof_is_counted_and_used_where_its_solver_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Splitter, "run", lambda *_, **__: None)
    monkeypatch.setattr(portfolio_module, "_prove", lambda *_: False)
    f, g, domain = random_pair(2)
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    for method, solver in (("milp", "scip"), ("z3", "z3")):
        goals = asked(f, exact / 2)  # a lie: the networks differ
        found = decided(f, g, domain, goals, method)  # type: ignore[arg-type]
        assert (found.verdict, found.claimed, found.claimants) == ("unknown", len(goals), (solver,))
        assert "claims" in found.reason
        assert found.evidence == "bounds"
        found = decided(f, g, domain, goals, method, trust=trusting("marabou"))  # type: ignore[arg-type]
        assert (found.verdict, found.claimed) == ("unknown", len(goals))
        found = decided(f, g, domain, goals, method, trust=trusting(solver))  # type: ignore[arg-type]
        assert (found.verdict, found.evidence, found.claimed) == ("equivalent", f"solver ({solver}, trusted)", 0)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Network, Network, Domain]:
    """Two networks of one arity, and a domain with linear constraints."""
    f = draw(any_networks(sizes=Sizes(depth=(0, 2), width=(1, 3))))
    g = draw(networks(sizes=Sizes((f.input_size,) * 2, (f.output_size,) * 2, (0, 2), (1, 3))))
    return f, g, draw(domains(f.input_size))


@given(pairs())
def test_branching_is_never_wrong_at_the_border(pair: tuple[Network, Network, Domain]) -> None:
    """At the exact deviation no difference is found, just below it not every disjunct is refuted."""
    f, g, domain = pair
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    for epsilon in (exact, exact * (1 - TINY)) if exact else (exact,):
        goals = asked(f, epsilon)
        search = WitnessSearch(f, g, goals, domain)
        proved = [_refuted(search, part) for part in domain.polytopes]
        assert epsilon == exact or not all(proved)
        assert epsilon < exact or search.found is None


def _refuted(search: WitnessSearch, part: Polytope) -> bool:
    def tick() -> None:
        pass

    signs = SignSearch(
        (search.f, search.g),
        part,
        lambda points: search.attempt(points, part),
        lambda x: search.take_exact(x, part),
        tick,
    )
    proved = [signs.refute(conjunction, tick) for conjunction in search.goals.exact]
    return all(proved)


def test_ties_on_a_point_and_everywhere() -> None:
    """Outputs that tie in either network agree, also where the order of the outputs is another."""
    one = chain_network([(np.ones((3, 1)), np.zeros(3)), (np.ones((2, 3)), np.zeros(2))])
    other = chain_network([(np.ones((2, 1)), np.zeros(2)), (np.array([[1.0, 0.5], [0.5, 1.0]]), np.zeros(2))])
    for domain in (box_domain(np.zeros(1), np.zeros(1)), box_domain(-np.ones(1), np.ones(1))):
        found = decided(one, other, domain, top1_goals(1, 2), *portfolio_module.METHODS)
        assert (found.verdict, found.evidence) == ("equivalent", "bounds")


def mixed_pair() -> tuple[Network, Network, Domain]:
    """Inner units that range over 1e-9, weights of 1e8 behind them: SCIP's tolerances are larger than the units."""
    first = np.array([[1.0, 0.5], [0.25, -1.0], [-0.5, 0.75]]) * 1e-9, np.array([1e-10, -2e-10, 3e-10])
    last = np.array([[1e8, -2e8, 3e8]]), np.zeros(1)
    return (
        chain_network([first, last]),
        chain_network([(first[0] * np.array([[1.0], [1.1], [0.9]]), first[1]), last]),
        Domain((Polytope(Box(-np.ones(2), np.ones(2))),)),
    )


@pytest.mark.parametrize("method", ["milp", "branching", "splitting"])
def test_units_below_the_tolerances_of_a_solver(method: Method) -> None:
    f, g, domain = mixed_pair()
    exact = max(deviation.value for deviation in deviations_exact(f, g, domain))
    for factor, wanted in ((Fraction(99, 100), "different"), (Fraction(101, 100), "equivalent")):
        found = decided(f, g, domain, asked(f, exact * factor), method)
        assert (found.verdict, found.evidence) == (wanted, "bounds")


@pytest.mark.usefixtures("liars", "blind")
def test_the_command_says_whose_word_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Splitter, "run", lambda *_, **__: None)
    monkeypatch.setattr(portfolio_module, "_prove", lambda *_: False)
    f, g, _ = mixed_pair()
    for name, network in (("f", f), ("g", g)):
        data = write_network(network, metadata={}, producer="test", dtype="float64")
        (tmp_path / f"{name}.onnx").write_bytes(data)
    inputs = "".join(f"(declare-const X_{k} Real)(assert (>= X_{k} -1))(assert (<= X_{k} 1))" for k in range(2))
    (tmp_path / "d.vnnlib").write_text(inputs + "(declare-const Y_0 Real)(assert (<= Y_0 0))")
    files = [str(tmp_path / name) for name in ("f.onnx", "g.onnx", "d.vnnlib")]
    command = ["equiv", *files, "--epsilon", "0.1", "--timeout", "5"]
    assert run([*command, "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["claimed"], found["trusted"]) == ("unknown", 2, [])
    assert run(command) == 4
    assert "--trust scip,z3" in capsys.readouterr().out
    assert run([*command, "--trust", "scip"]) == 0
    shown = capsys.readouterr().out
    assert "solver (scip, trusted)" in shown
    assert "proved, up to claims of a solver" in shown
    assert run([*command, "--trust", "no,such thing"]) == 2


@pytest.mark.slow
@pytest.mark.usefixtures("liars")
def test_a_cross_check_by_z3_is_said_to_be_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eqverify.equivalence.exact._exceeds", lambda interval, epsilon: True)
    monkeypatch.setattr("eqverify.equivalence.exact._sampled_witness", lambda search, part: None)
    files = example_files()
    command = ["reduce", str(files.network), str(files.query), "-o", str(tmp_path / "out.onnx"), "--cross-check", "z3"]
    assert run([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cross_check"] == "claimed"
    assert run(command) == 0
    assert "Z3 found no difference beyond eps (a claim)" in capsys.readouterr().out
