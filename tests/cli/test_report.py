"""Reports say each thing once, and which of several ways was taken."""

import json
import re


def lines(capsys):
    return dict(re.match(r"(\S+) +(.*)", line).groups() for line in capsys.readouterr().out.splitlines() if line)


def test_the_shape_that_was_written_comes_first_and_its_numbers_are_said_once(call, capsys):
    assert call("reduce net.onnx prop.vnnlib -o out.onnx") == 0
    report = lines(capsys)
    written, _, others = report["shape"].partition(", rather than ")
    assert written == "structured"
    assert others.startswith("sequential: ")
    assert "structured" not in others
    assert report["weights"] == "13 -> 9"
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --shape structured") == 0
    assert lines(capsys)["shape"] == "structured"


def test_a_network_that_grew_says_so(call, capsys, monkeypatch):
    monkeypatch.setattr("eqverify.network.Network.parameter_count", property(lambda network: 10 - network.relu_count))
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --shape sequential") == 0
    assert lines(capsys)["weights"] == "7 -> 8   more than before: --shape structured adds none"


def test_no_deviation_is_seen_beyond_what_is_proved(call, capsys):
    """Sampled differences carry rounding errors, proved ones do not."""
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --shape structured") == 0
    capsys.readouterr()
    assert call("equiv net.onnx out.onnx prop.vnnlib --epsilon 0.1 --json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 <= answer["deviation"] <= answer["epsilon"] < 1e-12
