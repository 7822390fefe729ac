"""Cases that are judged by points: the interpreter is right, honest answers pass, and lies are seen."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from random import Random

import numpy as np
import onnxruntime
import pytest

from .hunt import one_case
from .hunt_cases import Case, draw_case
from .hunt_judging import judged
from .hunt_oracle import LeftOutError
from .hunt_running import Ran
from .hunt_sampled import middle, points_of
from .hunt_values import Balls, Evaluation, Rationals, Run

SAMPLED = ("smooth", "rounded", "runs")


def drawn(folder: Path, kind: str, command: str, tries: int = 60) -> Case:
    """The first case of a kind that begins with this command."""
    for number in range(tries):
        place = folder / str(number)
        place.mkdir()
        case = draw_case(Random(number), place, (kind,))
        if case.commands[0][0] == command:
            for path in place.iterdir():
                path.rename(folder / path.name)
            return case
    raise AssertionError("none drawn")


@pytest.mark.parametrize(("kind", "numbers"), [("smooth", Balls()), ("rounded", Rationals()), ("runs", Run(Random(0)))])
def test_values_are_those_of_onnxruntime(kind, numbers, tmp_path):
    """Almost everywhere: near a tie a rounding may be a step off, and a float32 run behind steep functions far off."""
    agreed = []
    for number in range(8):
        folder = tmp_path / str(number)
        folder.mkdir()
        draw_case(Random(number), folder, (kind,))
        session = onnxruntime.InferenceSession(folder / "net.onnx")
        evaluation = Evaluation(folder / "net.onnx")
        for point in points_of(folder)[:4]:
            shape = [1] * (len(session.get_inputs()[0].shape) - 1) + [len(point)]
            x = np.array([float(v) for v in point], dtype=np.float32)
            ours = evaluation.at([Fraction(float(v)) for v in x], numbers)
            (theirs,) = session.run(None, {"x": x.reshape(shape)})
            for a, b in zip(ours, theirs.ravel().tolist(), strict=True):
                agreed.append(abs(middle(a) - b) < 1e-3 * (1 + abs(b)))
    assert len(agreed) >= 32
    assert sum(agreed) >= 0.75 * len(agreed)


def answered(folder: Path, command: list[str], answer: dict) -> list[str]:
    return judged(folder, [Ran(tuple(command), 0, json.dumps(answer), "")]).faults


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_wrong_unsat_is_seen(kind, tmp_path):
    """The condition is made one that all points satisfy."""
    case = drawn(tmp_path, kind, "verify")
    prop = tmp_path / "prop.vnnlib"
    kept = [line for line in prop.read_text("utf-8").splitlines() if "Y_" not in line or "declare" in line]
    prop.write_text("\n".join([*kept, "(assert (>= Y_0 -1e30))"]), "utf-8")
    assert answered(tmp_path, case.commands[0], {"verdict": "unsat", "witness": None})
    assert not answered(tmp_path, case.commands[0], {"verdict": "unknown", "witness": None})


@pytest.mark.parametrize("kind", SAMPLED)
def test_a_wrong_input_is_seen(kind, tmp_path):
    case = drawn(tmp_path, kind, "verify")
    exact = {"exact": {"x": [str(v) for v in points_of(tmp_path)[0]]}}
    prop = tmp_path / "prop.vnnlib"
    kept = [line for line in prop.read_text("utf-8").splitlines() if "Y_" not in line or "declare" in line]
    for threshold, wrong in (("1e30", True), ("-1e30", False)):
        prop.write_text("\n".join([*kept, f"(assert (>= Y_0 {threshold}))"]), "utf-8")
        assert bool(answered(tmp_path, case.commands[0], {"verdict": "sat", "witness": exact})) == wrong


def test_wrong_ranges_and_signs_are_seen(tmp_path):
    """One output's range is moved by far more than any bound is off."""
    case = drawn(tmp_path, "smooth", "bounds")
    outputs = [float(v.mid()) for v in Evaluation(tmp_path / "net.onnx").at(points_of(tmp_path)[0], Balls())]
    for shift, wrong in ((0.0, False), (1e9, True)):
        lower, upper = ([v + shift + side * 1e8 for v in outputs] for side in (-1, 1))
        told = {"layers": [], "outputs": {"lower": lower, "upper": upper}}
        assert bool(answered(tmp_path, case.commands[0], told)) == wrong


def test_a_wrong_eps_is_seen(tmp_path):
    """The reduced network is another one: all zeros and none proved."""
    case = drawn(tmp_path, "rounded", "equiv")
    places, evaluations = points_of(tmp_path), [Evaluation(tmp_path / n) for n in ("f.onnx", "net.onnx")]
    most = max(abs(a - b) for p in places for a, b in zip(*(e.at(p, Rationals()) for e in evaluations), strict=True))
    assert most > 0
    told = {"verdict": "unknown", "epsilons": [float(Fraction(str(most))) * 1.001] * 2}
    assert not answered(tmp_path, case.commands[0], told)
    assert answered(tmp_path, case.commands[0], told | {"epsilons": [float(Fraction(str(most))) * 0.999] * 2})


def test_honest_answers_are_no_faults(tmp_path):
    """One case of each kind, from start to end."""
    for kind in SAMPLED:
        folder = tmp_path / kind
        folder.mkdir()
        case, found = one_case(1, 0, folder, (kind,))
        assert case.kind == kind
        assert found.faults == []


def test_an_operator_that_is_not_known_is_left_out(tmp_path):
    from .hunt_networks import Builder, Style

    builder = Builder(Random(0), Style("plain", "float32"), 2)
    builder.node("HardSwish", ["x"])
    (tmp_path / "net.onnx").write_bytes(builder.model())
    with pytest.raises(LeftOutError):
        Evaluation(tmp_path / "net.onnx").at([Fraction(0), Fraction(1)], Balls())
