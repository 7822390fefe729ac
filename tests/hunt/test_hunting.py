"""The hunt runs, goes on where it was, writes what it finds, and finds the lies that are planted here."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from random import Random

import pytest

import eqverify as eq
from eqverify.stability.facts import Status

from . import hunt, hunt_interpreter, hunt_running
from .hunt_cases import KINDS, Case, draw_case
from .hunt_networks import Builder, Style
from .hunt_oracle import ONE, rational

KEPT = sorted(path.parent for path in (Path(__file__).parent / "cases").glob("*/case.json"))

BOX = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -1.0))(assert (<= X_0 1.0))"
BOX2 = (
    "(vnnlib-version <2.0>)(declare-network N (declare-input X float32 [1,1]) (declare-output Y float32 [1,1]))"
    "(assert (>= X[0,0] -1.0))(assert (<= X[0,0] 1.0))"
)


def model(weights, biases, activation="Relu", **attributes) -> bytes:
    """A chain with one activation after each layer but the last."""
    builder = Builder(Random(1), Style("plain", "float32"), len(weights[0][0]))
    for number, (matrix, bias) in enumerate(zip(weights, biases, strict=True)):
        if number:
            builder.node(activation, [builder.name], **attributes)
        builder.affine(matrix, bias)
    return builder.model()


TENT = model([[[1.0], [1.0]], [[0.1, -0.3]]], [[0.0, -0.5], [0.05]])
"""0.05 + 0.1 relu(x) - 0.3 relu(x - 0.5): at most 0.1 on [-1, 1], at x = 0.5; at least 0, at 1."""
ACTIVE = model([[[0.1], [0.3]], [[0.7, -0.3], [0.2, 0.9]], [[0.1, -0.3]]], [[0.7, 0.9], [-0.21, 0.05], [0.05]])
"""The first layer is active on [-1, 1]: what is composed is rounded."""


def asked(folder: Path, network: bytes, text: str, *commands: str, kind: str = "any") -> list[str]:
    """The faults that the hunt sees."""
    (folder / "net.onnx").write_bytes(network)
    (folder / "prop.vnnlib").write_text(text, "utf-8")
    return hunt.examine(Case(kind, [command.split() for command in commands]), folder, False)[1].faults


STABILITY = "@stability net.onnx prop.vnnlib crown 5"
REDUCE = "reduce net.onnx prop.vnnlib -o out.onnx --engine crown"
VERIFY = "verify prop.vnnlib --network N=net.onnx --timeout 10 --workers 1 --json"
EQUIV = "equiv net.onnx g.onnx prop.vnnlib --epsilon 0.01 --timeout 10 --json"
CHECKED = (f"{REDUCE} --certificate c.cert --json", "check net.onnx prop.vnnlib out.onnx c.cert --json")


@pytest.mark.parametrize("text", [BOX, BOX2])
@pytest.mark.parametrize(
    "command", [STABILITY, REDUCE, f"{REDUCE} --json", VERIFY, "regions net.onnx prop.vnnlib --json", *CHECKED[:1]]
)
def test_honest_answers_are_no_faults(command, text, tmp_path):
    condition = "(assert (> Y_0 0.0999))" if text is BOX else "(assert (> Y[0,0] 0.0999))"
    assert asked(tmp_path, TENT, text + condition, command) == []


@pytest.mark.slow
def test_a_short_hunt_finds_nothing(tmp_path, capsys):
    """Kinds that are quick; the long hunt, of all kinds, is `tox -e hunt`."""
    kinds = "stability,equiv,regions,shallow"
    assert hunt.main(["--seed", "2026", "--cases", "30", "--kinds", kinds, "--found", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "seed 2026" in printed
    assert "| all | 30 | 0 |" in printed


def test_a_hunt_goes_on_where_it_was(tmp_path):
    state, rest = tmp_path / "state.json", ["--kinds", "stability", "--found", str(tmp_path / "found")]
    hunt.main(["--seed", "7", "--cases", "3", "--state", str(state), *rest])
    hunt.main(["--seed", "8", "--cases", "6", "--state", str(state), *rest])
    whole = tmp_path / "whole.json"
    hunt.main(["--seed", "7", "--cases", "6", "--state", str(whole), *rest])
    first, second = (json.loads(path.read_text("utf-8")) for path in (state, whole))
    assert {**first, "seconds": 0} == {**second, "seconds": 0}
    assert first["done"] == 6


def test_a_case_that_ended_the_hunt_is_not_tried_for_ever(monkeypatch, tmp_path, capsys):
    """As where a library crashes: the next call says which case it was, and goes on behind it."""
    state, rest = tmp_path / "state.json", ["--kinds", "stability", "--found", str(tmp_path / "found")]

    def ends(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as planted:
        planted.setattr(hunt, "one_case", ends)
        with pytest.raises(KeyboardInterrupt):
            hunt.main(["--seed", "7", "--cases", "2", "--state", str(state), *rest])
    hunt.main(["--cases", "2", "--state", str(state), *rest])
    printed = capsys.readouterr().out
    assert "not finished: --seed 7 --first 0 --cases 1" in printed
    assert "no case | 1 | 0 | not finished 1" in printed
    assert json.loads(state.read_text("utf-8"))["done"] == 2


@pytest.mark.parametrize("kind", KINDS)
def test_cases_follow_from_seed_and_number(kind, tmp_path):
    found = []
    for name in "ab":
        folder = tmp_path / name
        folder.mkdir()
        case = draw_case(Random("5:1"), folder, (kind,))
        found.append((case, {path.name: path.read_bytes() for path in folder.iterdir()}))
    assert found[0] == found[1]


@pytest.mark.parametrize("folder", KEPT, ids=[path.name for path in KEPT])
def test_what_was_found_once_is_right_now(folder):
    assert hunt.replay(folder) == []


# Lies, one of each kind: the hunt sees every one of them.


def test_a_stable_unit_that_is_not(monkeypatch, tmp_path):
    from eqverify.stability import portfolio

    honest = portfolio.prove_stability

    def lying(problem, *arguments, **options):
        facts = honest(problem, *arguments, **options)
        layers = [replace(layer, status=layer.status * 0 + Status.INACTIVE) for layer in facts.layers]
        return replace(facts, layers=tuple(layers))

    monkeypatch.setattr(portfolio, "prove_stability", lying)
    assert "0: inactive" in asked(tmp_path, TENT, BOX, STABILITY)[0]
    counts = asked(tmp_path, TENT, BOX, "stability net.onnx prop.vnnlib --engine crown --json")
    assert any("2 inactive, at most 0" in fault for fault in counts)


@pytest.mark.parametrize(("name", "share"), [("lower", 0.999), ("upper", 0.999)])
def test_a_bound_that_is_a_little_too_narrow(name, share, monkeypatch, tmp_path):
    from eqverify.stability import portfolio

    honest = portfolio.prove_stability

    def lying(problem, *arguments, **options):
        facts = honest(problem, *arguments, **options)
        return replace(facts, layers=tuple(replace(la, **{name: getattr(la, name) * share}) for la in facts.layers))

    monkeypatch.setattr(portfolio, "prove_stability", lying)
    assert "exact" in asked(tmp_path, TENT, BOX, STABILITY)[0]


@pytest.mark.parametrize("form", ["", " --json"])
def test_an_eps_that_is_too_small(form, monkeypatch, tmp_path):
    from eqverify.reduction.result import Reduction

    assert asked(tmp_path, ACTIVE, BOX, REDUCE + " --json") == []
    honest = Reduction.as_dict
    if form:
        monkeypatch.setattr(Reduction, "as_dict", lambda self: {**honest(self), "epsilons": [0.0]})
    else:
        monkeypatch.setattr(Reduction, "epsilon", property(lambda self: 0.0))
    assert "but the deviation is" in asked(tmp_path, ACTIVE, BOX, REDUCE + form)[0]


def answering(monkeypatch, **changes):
    """Have `verify` answer otherwise."""
    from eqverify.api import verification

    honest = verification.verify
    monkeypatch.setattr(verification, "verify", lambda *a, **k: replace(honest(*a, **k), **changes))


def test_an_unsat_that_is_sat(monkeypatch, tmp_path):
    answering(monkeypatch, verdict="unsat", witness=None)
    faults = asked(tmp_path, TENT, f"{BOX}(assert (>= Y_0 0.0999))", VERIFY)
    assert faults == ["verify scip: unsat, but it is sat"]


def test_a_sat_that_is_unsat(monkeypatch, tmp_path):
    answering(monkeypatch, verdict="sat")
    assert asked(tmp_path, TENT, f"{BOX}(assert (> Y_0 0.100001))", VERIFY) == ["verify scip: sat, but it is unsat"]


@pytest.mark.parametrize("form", ["", " --json"])
def test_an_input_of_sat_beside_the_set(form, monkeypatch, tmp_path):
    import numpy as np

    from eqverify.attack.replay import Witness

    beyond = 1.0 + 2**-52
    answering(monkeypatch, witness=Witness(np.array([beyond]), np.array([0.0]), (Fraction(beyond),), (Fraction(0),)))
    (fault,) = asked(tmp_path, TENT, f"{BOX}(assert (<= Y_0 0.01))", VERIFY.replace(" --json", form))
    assert "does not satisfy the text" in fault


def test_networks_that_are_not_equivalent(monkeypatch, tmp_path):
    from eqverify.api import equivalence

    (tmp_path / "g.onnx").write_bytes(model([[[1.0], [1.0]], [[0.1, -0.3]]], [[0.0, -0.5], [0.07]]))
    assert asked(tmp_path, TENT, BOX, EQUIV) == []
    honest = equivalence.equivalent
    monkeypatch.setattr(
        equivalence, "equivalent", lambda *a, **k: replace(honest(*a, **k), verdict="equivalent", epsilons=(0.015,))
    )
    faults = asked(tmp_path, TENT, BOX, EQUIV)
    assert any("0.015 proved" in fault for fault in faults)
    assert any("equivalent, but they are different" in fault for fault in faults)


def test_a_region_too_few(monkeypatch, tmp_path):
    from eqverify.api.regions import RegionReport

    honest = RegionReport.as_dict
    monkeypatch.setattr(RegionReport, "as_dict", lambda self: {**honest(self), "regions": 2, "upper_bound": 2})
    (fault,) = asked(tmp_path, TENT, BOX, "regions net.onnx prop.vnnlib --json")
    assert "exact: 3" in fault


def test_a_false_claim_that_is_verified(monkeypatch, tmp_path):
    from eqverify.checker.verdict import Verdict

    assert asked(tmp_path, ACTIVE, BOX, *CHECKED) == []
    honest = Verdict.as_dict
    monkeypatch.setattr(Verdict, "as_dict", lambda self: {**honest(self), "epsilons": [0.0] * len(self.epsilons)})
    assert any("check: verified eps 0.0" in fault for fault in asked(tmp_path, ACTIVE, BOX, *CHECKED))


def test_a_rejected_certificate_that_reduce_wrote(monkeypatch, tmp_path):
    import eqverify.api.certificate as certificate

    honest = certificate.check
    monkeypatch.setattr(
        certificate, "check", lambda *a, **k: replace(honest(*a, **k), verified=False, code="check/lie", exit_status=1)
    )
    assert any("what reduce wrote is rejected" in fault for fault in asked(tmp_path, ACTIVE, BOX, *CHECKED))


def test_an_operator_that_two_readers_read_differently(monkeypatch, tmp_path):
    """Which of them is wrong is another question."""
    leaky = model([[[1.0]], [[1.0]]], [[0.0], [0.0]], "LeakyRelu", alpha=0.25)
    verify = f"{BOX}(assert (<= Y_0 -0.2))"
    assert asked(tmp_path, leaky, verify, VERIFY) == []
    wrong = {**hunt_interpreter.OPERATORS, "LeakyRelu": lambda r, n, at, x: hunt_interpreter.mapped(
        lambda z: r.unit(z, ONE, rational("0.1")), x
    )}  # fmt: skip
    monkeypatch.setattr(hunt_interpreter, "OPERATORS", wrong)
    assert asked(tmp_path, leaky, verify, VERIFY) == ["verify scip: sat, but it is unsat"]


def crash(*_, **__):
    raise IndexError("planted")


def warn(*_, **__):
    import warnings

    warnings.warn("planted", RuntimeWarning, stacklevel=1)
    raise eq.EqverifyError("planted/error", "planted")


@pytest.mark.parametrize(("fault", "sign"), [(crash, "exit status 5"), (warn, "warning: planted")])
def test_a_crash_and_a_warning(fault, sign, monkeypatch, tmp_path):
    from eqverify.api import loading

    monkeypatch.setattr(loading, "load_problem", fault)
    found = asked(tmp_path, TENT, BOX, "stability net.onnx prop.vnnlib", kind="fuzz")
    assert sign in found[0]


def test_a_command_that_does_not_end(monkeypatch, tmp_path):
    from eqverify.api import loading

    def forever(*_, **__):
        while True:
            pass

    monkeypatch.setattr(hunt_running, "LATE", 1)
    monkeypatch.setattr(loading, "load_problem", forever)
    assert "still running" in asked(tmp_path, TENT, BOX, "stability net.onnx prop.vnnlib")[0]


def test_a_found_case_can_be_run_again(monkeypatch, tmp_path, capsys):
    """What is found is written with its files, and `--replay` judges it by what the commands say then."""
    from eqverify.api.regions import RegionReport

    honest, lie = RegionReport.as_dict, {"regions": 10**6, "upper_bound": 10**6}
    found = tmp_path / "found"
    with monkeypatch.context() as planted:
        planted.setattr(RegionReport, "as_dict", lambda self: {**honest(self), **lie, "complete": True})
        arguments = ["--seed", "3", "--cases", "6", "--kinds", "regions", "--found", str(found)]
        assert hunt.main(arguments) == 1
        (folder, *_) = sorted(found.iterdir())
        assert {"net.onnx", "prop.vnnlib", "case.json"} <= {path.name for path in folder.iterdir()}
        shown = json.loads((folder / "case.json").read_text("utf-8"))
        assert shown["commands"][0][0] == "regions"
        assert hunt.main(["--replay", str(folder)]) == 1
    assert hunt.main(["--replay", str(folder)]) == 0
    assert "nothing wrong" in capsys.readouterr().out


@pytest.mark.slow
def test_commands_run_in_processes_of_their_own_too(tmp_path):
    (tmp_path / "net.onnx").write_bytes(TENT)
    (tmp_path / "prop.vnnlib").write_text(f"{BOX}(assert (>= Y_0 0.05))", "utf-8")
    found = hunt.examine(Case("verify", [VERIFY.split()]), tmp_path, True)[1]
    assert (found.outcome, found.faults) == ("sat", [])
