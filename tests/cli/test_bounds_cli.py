"""`eqverify bounds`: the file says what is proved, in both formats, under further constraints too."""

import gzip
import json

import numpy as np
import pytest

import eqverify as eq

EXTRA = "(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)"
BOUNDS = "".join(f"(assert (>= X_{k} -1)) (assert (<= X_{k} 1))" for k in (0, 1))


def test_both_formats_hold_what_is_proved(call, tmp_path, capsys):
    assert call("bounds net.onnx prop.vnnlib -o bounds.json.gz --json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert call("bounds net.onnx prop.vnnlib -o bounds.npz") == 0
    assert "[-4.51, -2.49]" in capsys.readouterr().out
    stored = json.loads(gzip.decompress((tmp_path / "bounds.json.gz").read_bytes()))
    assert stored.items() <= printed.items()
    ranges = eq.prove_ranges("net.onnx", "prop.vnnlib")
    (layer,), (facts,) = stored["layers"], ranges.facts.layers
    assert layer["status"] == ["inactive", "unstable", "active"]
    assert (layer["lower"], layer["upper"]) == (facts.lower.tolist(), facts.upper.tolist())
    assert stored["outputs"]["upper"] == ranges.outputs.upper.tolist()
    with np.load(tmp_path / "bounds.npz") as arrays:
        about = json.loads(str(arrays["about"]))
        assert (about["layers"], about["digests"]) == (["relu0"], stored["digests"])
        assert arrays["layers/0/upper"].tolist() == layer["upper"]
        assert arrays["layers/0/status"].tolist() == layer["status"]
        assert arrays["outputs/lower"].tolist() == stored["outputs"]["lower"]
        assert arrays["inputs/lower"].tolist() == [-1.0, -1.0]


def test_further_constraints_make_ranges_smaller(call, tmp_path):
    """z of the first unit is x + y - 3, of the last 4 + x / 2: on x <= -0.5 and x + y <= -1 both fall."""
    (tmp_path / "more.vnnlib").write_text(f"{EXTRA}{BOUNDS}(assert (<= X_0 -0.5))(assert (<= (+ X_0 X_1) -1.0))")
    assert call("bounds net.onnx prop.vnnlib -o one.json") == 0
    assert call("bounds net.onnx prop.vnnlib -o two.json --within more.vnnlib") == 0
    one, two = (json.loads((tmp_path / name).read_text()) for name in ("one.json", "two.json"))
    assert (one["constraints"], two["constraints"]) == (0, 1)
    assert two["inputs"]["upper"] == [-0.5, 1.0]
    assert two["layers"][0]["upper"][2] < 3.76 < one["layers"][0]["upper"][2]
    assert two["outputs"]["lower"][0] > one["outputs"]["lower"][0] - 1e-9


@pytest.mark.parametrize(
    ("words", "code", "status"),
    [
        ("bounds net.onnx prop.vnnlib -o bounds.txt", "usage/bounds-format", 2),
        ("bounds net.onnx -o bounds.json", "usage/no-property", 2),
        ("bounds net.onnx prop.vnnlib -o bounds.json --within far.vnnlib", "local/empty", 3),
        ("bounds net.onnx prop.vnnlib -o bounds.json --within one.vnnlib", "domain/shape", 3),
    ],
)
def test_wrong_calls(words, code, status, call, tmp_path, capsys):
    (tmp_path / "far.vnnlib").write_text(EXTRA + BOUNDS.replace("-1", "5").replace("1)", "6)"))
    (tmp_path / "one.vnnlib").write_text("(declare-const X_0 Real)(assert (>= X_0 0))(assert (<= X_0 1))")
    assert call(words) == status
    assert f"error[{code}]" in capsys.readouterr().err
    assert not (tmp_path / "bounds.json").exists()
