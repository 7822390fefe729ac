"""`eqverify equiv`, queries about two networks, and the cross-check of reductions, on files."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import vnnlib

import eqverify as eq
from eqverify.api.equivalence import load_domain
from eqverify.cli.main import run
from eqverify.domain import Domain, box_domain
from eqverify.equivalence import answer as answer_module
from eqverify.equivalence.goals import epsilon_goals
from eqverify.equivalence.shared import shared_cases
from eqverify.errors import EqverifyError, InputError, RejectedError, UsageError
from eqverify.examples import example_files
from eqverify.export.onnx import write_network
from eqverify.frontend.vnnlib import lower, parse_query
from eqverify.network import Network, outputs_exact
from eqverify.reduction import pipeline
from eqverify.testing.chains import chain_network
from eqverify.testing.oracle import deviations_exact

UNIT = box_domain(-np.ones(2), np.ones(2))
FIRST = (np.array([[1.0, 0.5], [-1.0, 0.25], [0.5, -1.0]]), np.array([0.125, 0.0, -0.25]))
LAST = np.array([[1.0, -0.5, 0.25], [0.5, 0.5, -1.0]])
PROPERTY = """
(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real) (declare-const Y_1 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1)) (assert (>= X_1 -1)) (assert (<= X_1 1)) (assert (<= Y_0 Y_1))
"""


def network(shift: float = 0.0) -> Network:
    return chain_network([FIRST, (LAST + shift, np.zeros(2))], element="float32")


EXACT = max(d.value for d in deviations_exact(network(), network(0.125), UNIT))


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """Two networks that differ by EXACT, and the domain."""
    for name, shift in (("f", 0.0), ("g", 0.125)):
        (tmp_path / f"{name}.onnx").write_bytes(
            write_network(network(shift), metadata={}, producer="test", dtype="float32")
        )
    (tmp_path / "domain.vnnlib").write_text(PROPERTY)
    return str(tmp_path / "f.onnx"), str(tmp_path / "g.onnx"), str(tmp_path / "domain.vnnlib")


def test_what_only_a_solver_proves_is_what_was_asked(files: tuple[str, str, str]) -> None:
    """A bound that is left over from splitting, above epsilon, is not what was proved in the end."""
    found = eq.equivalent(*files, epsilon=EXACT, methods=("z3",), timeout=20)
    assert found.verdict == "equivalent"
    goals = epsilon_goals(2, 2, EXACT)
    left = replace(found.decision, reach=0.5)
    assert answer_module._proved(goals, left) == (float(EXACT), float(EXACT))
    assert answer_module._proved(goals, replace(left, verdict="unknown")) == (float(EXACT) + 0.5, float(EXACT) + 0.5)


@pytest.mark.parametrize("epsilon", ["1e999999999", "1e-999999999", "-1e999999999", "inf", "nan", "1e350"])
def test_an_epsilon_of_no_ordinary_size_is_refused_at_once(
    files: tuple[str, str, str], epsilon: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a rational, 1e999999999 would take all memory."""
    assert run(["equiv", *files, f"--epsilon={epsilon}"]) == 2
    assert "equivalence/epsilon" in capsys.readouterr().err


def test_equivalent_with_the_proved_bound(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    epsilon = float(EXACT) * 1.05
    assert run(["equiv", *files, "--epsilon", repr(epsilon), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "equivalent"
    assert EXACT <= Fraction(found["epsilon"]) <= Fraction(epsilon)
    assert found["witness"] is None
    assert found["seconds"] > 0
    assert run(["equiv", *files, "--epsilon", repr(epsilon)]) == 0
    assert "equivalent" in capsys.readouterr().out


def test_a_decimal_on_the_command_line_is_exact(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """f - g is the float 0.1, which is a little more than a tenth."""
    for name, value in (("f", 0.1), ("g", 0.0)):
        made = chain_network([(np.zeros((1, 2)), np.array([value]))], element="float64")
        (tmp_path / f"{name}.onnx").write_bytes(write_network(made, metadata={}, producer="test", dtype="float64"))
    (tmp_path / "domain.vnnlib").write_text(PROPERTY.replace(" (declare-const Y_1 Real)", "").replace("Y_1", "0"))
    files = [str(tmp_path / name) for name in ("f.onnx", "g.onnx", "domain.vnnlib")]
    assert run(["equiv", *files, "--epsilon", "0.1", "--timeout", "5", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["asked"] == 0.1
    assert run(["equiv", *files, "--epsilon", "0.10000000000000001", "--timeout", "5"]) == 0


def test_different_with_a_witness_that_replays(files: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    epsilon = float(EXACT) * 0.9
    assert run(["equiv", *files, "--epsilon", repr(epsilon), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["replayed"]) == ("different", True)
    x = [Fraction(v) for v in found["witness"]["input"]]
    gaps = [abs(a - b) for a, b in zip(outputs_exact(network(), x), outputs_exact(network(0.125), x), strict=True)]
    assert max(gaps) > Fraction(epsilon)
    assert run(["equiv", *files, "--epsilon", repr(epsilon)]) == 1
    assert "onnxruntime shows it too" in capsys.readouterr().out


@pytest.mark.parametrize("end", ["1.23", "0.7", "0.3", "2.2"])
def test_a_difference_keeps_to_decimals_that_are_no_floats(tmp_path: Path, end: str) -> None:
    """x is at most what is written, and the float above it is more than that."""
    for name, slope in (("f", 0.0), ("g", 1.0)):
        made = chain_network([(np.array([[1.0], [-1.0]]), np.zeros(2)), (np.array([[slope, -slope]]), np.zeros(1))])
        data = write_network(made, metadata={}, producer="test", dtype="float64")
        (tmp_path / f"{name}.onnx").write_bytes(data)
    text = f"(declare-const X_0 Real) (declare-const Y_0 Real) (assert (>= X_0 0)) (assert (<= X_0 {end}))"
    (tmp_path / "prop.vnnlib").write_text(text)
    files = [str(tmp_path / name) for name in ("f.onnx", "g.onnx", "prop.vnnlib")]
    assert eq.equivalent(*files, epsilon=Fraction(end), timeout=2).verdict != "different"
    found = eq.equivalent(*files, epsilon=float(end) - 1e-9, timeout=20)
    assert found.verdict == "different"
    assert found.witness is not None
    assert max(found.witness.exact) <= Fraction(end)


def test_a_difference_that_onnxruntime_does_not_show_is_unknown(
    files: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("eqverify.api.equivalence._replay", lambda *_: lambda goals: lambda point: False)
    assert run(["equiv", *files, "--epsilon", repr(float(EXACT) * 0.9), "--timeout", "1", "--json"]) == 4
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "unknown"
    assert "onnxruntime" in found["reason"]


def test_one_network_is_equivalent_to_itself(files: tuple[str, str, str]) -> None:
    assert eq.equivalent(files[0], files[0], files[2], epsilon=0.0).epsilon == 0.0
    assert eq.equivalent(files[0], files[0], files[2], top1=True).verdict == "equivalent"


def test_query_out_is_read_back_by_us_and_by_the_official_parser(files: tuple[str, str, str], tmp_path: Path) -> None:
    written = tmp_path / "pair.vnnlib"
    epsilon = float(EXACT) * 0.9
    run(["equiv", *files, "--epsilon", repr(epsilon), "--query-out", str(written)])
    text = written.read_text()
    query = vnnlib.parse_query_string(text)
    assert [n.name for n in query.networks] == ["f", "g"]
    assert load_domain(written).digest == load_domain(files[2]).digest
    assert eq.decide_pair_query(written, {"f": files[0], "g": files[1]}).answer == "sat"
    text = eq.pair_query(files[0], files[1], files[2], epsilon=float(EXACT) * 1.05)
    vnnlib.parse_query_string(text)
    assert eq.decide_pair_query(parse_query(text), {"f": files[0], "g": files[1]}).answer == "unsat"


def test_query_out_for_unions_and_top1() -> None:
    union = Domain((*UNIT.polytopes, *box_domain(np.full(2, 2.0), np.full(2, 3.0)).polytopes))
    for text in (
        eq.pair_query(network(), network(0.125), union, epsilon=0.1),
        eq.pair_query(network(), network(0.125), UNIT, top1=True),
    ):
        vnnlib.parse_query_string(text)
        assert all(case.equated for case in shared_cases(lower(parse_query(text))))


def pair_text(relation: str, inputs: str, condition: str) -> str:
    return f"""(vnnlib-version <2.0>)
(declare-network f (declare-input A real [2]) (declare-output Y real [2]))
(declare-network g {relation} (declare-input B real [2]) (declare-output Z real [2]))
(assert (>= A[0] -0.1)) (assert (<= A[0] 0.1)) (assert (>= A[1] -1.0)) (assert (<= A[1] 1.0))
{inputs}
(assert {condition})
"""


EQUAL = "(assert (== A[0] B[0])) (assert (== B[1] A[1]))"


def test_a_satisfying_assignment_keeps_to_decimals_that_are_no_floats() -> None:
    """A[0] = 0.1 exactly, which no float is."""
    text = pair_text("(isomorphic-to f)", EQUAL + "(assert (>= A[0] 0.1))", "(> Z[0] Y[0])")
    found = eq.decide_pair_query(parse_query(text), {"f": network(), "g": network(0.125)})
    assert found.answer == "sat"
    assert found.inputs["f"][0] == found.inputs["g"][0] == Fraction(1, 10)
    assert found.outputs["g"][0] > found.outputs["f"][0]
    assert list(found.outputs["f"]) == outputs_exact(network(), found.inputs["f"])


def test_monotonicity_with_inputs_of_their_own() -> None:
    """f(x) = 2 x_0 + ... grows in x_0: no A[0] <= B[0] with Y above Z.  g may be left out, it is f."""
    grows = chain_network(
        [(np.array([[1.0, 0.0], [0.0, 1.0]]), np.full(2, 3.0)), (np.array([[2.0, 1.0], [1.0, 1.0]]), np.zeros(2))]
    )
    inputs = "(assert (== A[1] B[1])) (assert (<= A[0] B[0])) (assert (<= B[0] 0.2))"
    text = pair_text("(equal-to f)", inputs, "(>= Y[0] (+ Z[0] 0.01))")
    assert eq.decide_pair_query(parse_query(text), {"f": grows}).answer == "unsat"
    text = pair_text("(equal-to f)", inputs, "(<= Y[0] (- Z[0] 0.5))")
    found = eq.decide_pair_query(parse_query(text), {"f": grows})
    assert found.answer == "sat"
    assert found.outputs["f"][0] <= found.outputs["g"][0] - Fraction(1, 2)
    assert found.inputs["g"][0] <= Fraction(1, 5)


def test_verify_answers_queries_about_two_networks(
    files: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pair.vnnlib"
    arguments = ["verify", str(path), "--network", f"f={files[0]}", "--network", f"g={files[1]}"]
    path.write_text(pair_text("", EQUAL, "(<= Z[0] (- Y[0] 0.01))"))
    assert run(arguments) == 0
    assert capsys.readouterr().out == "unsat\n"
    path.write_text(pair_text("(isomorphic-to f)", EQUAL, "(>= Z[0] (+ Y[0] 0.01))"))
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "sat"
    assert [line for line in lines if "real" in line] == [f"{name} real [2]" for name in ("A", "Y", "B", "Z")]
    assert lines[2:4] == lines[8:10]
    assert float(lines[11]) >= float(lines[5]) + 0.009
    assert run(arguments[:4]) == 2


def test_conjunctions_over_both_outputs() -> None:
    """Z - Y = (h sum) / 8 >= 0 for both outputs, so one of them below is unsat, both above sat."""
    networks = {"f": network(), "g": network(0.125)}
    both = "(and (>= Z[0] (+ Y[0] 0.01)) (>= Z[1] (+ Y[1] 0.01)))"
    assert eq.decide_pair_query(parse_query(pair_text("", EQUAL, both)), networks).answer == "sat"
    below = "(or (and (<= Z[0] (- Y[0] 0.01)) (<= Z[1] Y[1])) (<= Z[1] (- Y[1] 0.01)))"
    assert eq.decide_pair_query(parse_query(pair_text("", EQUAL, below)), networks).answer == "unsat"


THREE = """(vnnlib-version <2.0>)
(declare-network f (declare-input A real [2]) (declare-output Y real [2]))
(declare-network g (equal-to f) (declare-input B real [2]) (declare-output Z real [2]))
(declare-network h (isomorphic-to f) (declare-input C real [2]) (declare-output V real [2]))
(assert (>= A[0] -1.0)) (assert (<= A[0] 1.0)) (assert (>= A[1] -1.0)) (assert (<= A[1] 1.0))
(assert (== A[0] B[0])) (assert (== A[1] B[1]))
(assert (== A[0] C[0])) (assert (>= C[1] -1.0)) (assert (<= C[1] 1.0))
"""


def test_queries_about_three_networks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """f and g are one network on one input, so that Y = Z; h has an input of its own."""
    path = tmp_path / "three.vnnlib"
    arguments = ["verify", str(path), "--network", f"f={tmp_path / 'f.onnx'}", "--network", f"h={tmp_path / 'h.onnx'}"]
    for name, shift in (("f", 0.0), ("h", 0.125)):
        data = write_network(network(shift), metadata={}, producer="test", dtype="float32")
        (tmp_path / f"{name}.onnx").write_bytes(data)
    path.write_text(THREE + "(assert (> (- (+ (* 2.0 Z[0]) V[0]) (* 2.0 Y[0])) (+ V[0] 0.01)))")
    assert run(arguments) == 0
    assert capsys.readouterr().out == "unsat\n"
    path.write_text(THREE + "(assert (>= (- V[0] Y[0]) 0.2)) (assert (== Z[1] Y[1]))")
    assert run(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "real" in line] == [f"{name} real [2]" for name in ("A", "Y", "B", "Z", "C", "V")]
    found = eq.decide_pair_query(path, {"f": network(), "h": network(0.125)})
    assert found.answer == "sat"
    assert found.inputs["f"] == found.inputs["g"]
    assert found.inputs["f"][0] == found.inputs["h"][0]
    assert list(found.outputs["h"]) == outputs_exact(network(0.125), found.inputs["h"])
    with pytest.raises(InputError) as error:
        load_domain(path)
    assert code_of(error) == "equivalence/inputs"


def test_an_unconfirmed_assignment_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eqverify.equivalence.query.QueryCheck.confirm", lambda self, point: False)
    monkeypatch.setattr("eqverify.deciding.pairs._settled", lambda specification, *_: (specification, None))
    text = pair_text("", EQUAL, "(> Z[0] Y[0])")
    found = eq.decide_pair_query(parse_query(text), {"f": network(), "g": network(0.125)}, timeout=1.0)
    assert found.answer == "unknown"


def code_of(error: pytest.ExceptionInfo[EqverifyError]) -> str:
    return error.value.code


def test_arguments_that_do_not_fit() -> None:
    f, other = network(), chain_network([(np.ones((1, 2)), np.zeros(1))])
    with pytest.raises(UsageError) as error:
        eq.equivalent(f, f, UNIT)
    assert code_of(error) == "equivalence/goal"
    with pytest.raises(UsageError) as error:
        eq.equivalent(f, f, UNIT, epsilon=-1.0)
    assert code_of(error) == "equivalence/epsilon"
    with pytest.raises(UsageError) as error:
        eq.equivalent(f, f, UNIT, epsilon=1.0, timeout=0.0)
    assert code_of(error) == "equivalence/timeout"
    with pytest.raises(UsageError) as error:
        eq.equivalent(f, other, UNIT, epsilon=1.0)
    assert code_of(error) == "equivalence/arity"
    with pytest.raises(UsageError) as error:
        eq.decide_pair_query(parse_query(pair_text("", EQUAL, "(> Z[0] Y[0])")), {"f": f, "g": other})
    assert code_of(error) == "equivalence/arity"
    with pytest.raises(UsageError) as error:
        eq.decide_pair_query(parse_query(pair_text("(isomorphic-to f)", EQUAL, "(> Z[0] Y[0])")), {"f": f})
    assert code_of(error) == "equivalence/no-network"
    with pytest.raises(InputError) as arity:
        eq.decide_pair_query(parse_query(PROPERTY), {"N": f})
    assert code_of(arity) == "equivalence/networks"
    apart = pair_text("", "(assert (<= A[0] B[0])) (assert (<= B[0] 1.0)) (assert (== A[1] B[1]))", "(> Z[0] Y[0])")
    with pytest.raises(InputError) as arity:
        load_domain(parse_query(apart))
    assert code_of(arity) == "equivalence/inputs"


def test_reduced_networks_are_confirmed() -> None:
    """The shipped network reduced for its property: matched by rows, nothing taken from the file's metadata."""
    shipped = example_files()
    problem = eq.load_problem(shipped.network, shipped.query)
    result = eq.reduce(problem, time_limit=20.0, cross_check="equiv", cross_check_timeout=40.0)
    assert result.cross_check is not None
    assert result.cross_check.verdict != "different"
    asked = 4 * result.epsilon + 1e-9
    found = eq.equivalent(problem.network, result.network, problem.domain, epsilon=asked, timeout=40.0)
    assert (found.verdict, found.asked) == ("equivalent", asked)


def test_a_refuted_reduction_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = example_files()
    problem = eq.load_problem(shipped.network, shipped.query)

    class Refuted:
        witness = type("W", (), {"point": np.zeros(2)})()
        deviation = 1.0

    monkeypatch.setattr(answer_module, "answer_pair", lambda *_, **__: Refuted())
    with pytest.raises(RejectedError):
        pipeline._confirm_equivalent(problem, problem.network, np.zeros(1), 1.0)
