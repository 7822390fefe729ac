"""Reports say each thing once, and which of several ways was taken."""

import json
import re
import sys

import pytest

from eqverify.stability.counterexample import CounterexampleSearch


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
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --shape leo") == 0
    assert lines(capsys)["weights"] == "7 -> 8   more than before: --shape structured adds none"


def test_no_deviation_is_seen_beyond_what_is_proved(call, capsys):
    """Sampled differences carry rounding errors, proved ones do not."""
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --shape structured") == 0
    capsys.readouterr()
    assert call("equiv net.onnx out.onnx prop.vnnlib --epsilon 0.1 --json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert 0 <= answer["deviation"] <= answer["epsilon"] < 1e-12


WHOLE = ["Command", "Result", "Where time went", "Layers before and after", "The proof, stage by stage"]
WHOLE += ["What would remove more units", "Units that were kept"]


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page.read_text("utf-8"))


def test_a_run_writes_its_page(call, capsys, tmp_path):
    """Kept units stand there with the bounds that --explain prints."""
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --report new/folder --explain") == 0
    page = tmp_path / "new" / "folder" / "report.html"
    assert headings(page) == WHOLE
    text = page.read_text("utf-8")
    (status, low, high) = re.search(r"\[1\] (\w+), z in \[(.*?), (.*?)\]", capsys.readouterr().out).groups()
    assert f"<td>{status}</td><td>{low}</td><td>{high}</td>" in text
    assert '<td class="n">1</td><td>inputs show both signs</td>' in text
    assert text.count("<svg") == 1
    assert "out.onnx" in text


@pytest.mark.slow
def test_pages_of_boxes_and_disjuncts_have_a_part_for_each_network(call, tmp_path, monkeypatch):
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --per-box --report boxes") == 0
    parts = [f"Box 1: {heading}" for heading in WHOLE if heading not in ("Command", "Where time went")]
    assert headings(tmp_path / "boxes" / "report.html") == ["Command", "Networks", "Where time went", *parts]
    either = "(or (>= Y_0 3) (<= Y_0 -3.4))"
    (tmp_path / "prop.vnnlib").write_text((tmp_path / "prop.vnnlib").read_text().replace("(>= Y_0 3)", either))
    monkeypatch.setattr(CounterexampleSearch, "holds", lambda *_: False)
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --for-property --report disjuncts") == 0
    page = tmp_path / "disjuncts" / "report.html"
    parts = [heading.replace("Box 1", "Case 1, disjunct 2") for heading in parts]
    assert headings(page) == ["Command", "Networks", "Where time went", *parts]
    assert re.findall("<td>(unsat|open)</td>", page.read_text("utf-8")) == ["unsat", "open"]


def test_a_second_run_into_the_same_files_is_told(call, capsys, tmp_path):
    """What is there stays as it is, and after the first run no lock is left."""
    from eqverify.files import sole_writer

    (tmp_path / "out.onnx").write_bytes(b"before")
    with sole_writer(tmp_path / "out.onnx", remove=True):
        assert call("reduce net.onnx prop.vnnlib -o out.onnx --property-out out.vnnlib") == 2
    assert "files/locked" in capsys.readouterr().err
    assert (tmp_path / "out.onnx").read_bytes() == b"before"
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --property-out out.vnnlib") == 0
    assert {path.name for path in tmp_path.iterdir()} == {"net.onnx", "prop.vnnlib", "out.onnx", "out.vnnlib"}


@pytest.fixture
def no_matplotlib(monkeypatch):
    """As if it were not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)


@pytest.mark.usefixtures("no_matplotlib")
@pytest.mark.parametrize("command", ["reduce net.onnx prop.vnnlib -o out.onnx", "regions net.onnx prop.vnnlib"])
def test_a_picture_without_matplotlib_is_refused_before_any_work(command, call, capsys, tmp_path):
    before = sorted(tmp_path.iterdir())
    assert call(f"{command} --picture layers.svg") == 2
    said = capsys.readouterr().err
    assert said.startswith("error[usage/no-matplotlib]")
    assert "pip install 'eqverify[pictures]'" in said
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.usefixtures("no_matplotlib")
def test_pages_and_the_demo_say_that_a_picture_is_missing(call, capsys, tmp_path):
    assert call("reduce net.onnx prop.vnnlib -o out.onnx --report page") == 0
    page = tmp_path / "page" / "report.html"
    assert headings(page) == WHOLE
    text = page.read_text("utf-8")
    assert "No picture, for matplotlib is not installed" in text
    assert "<svg" not in text
    capsys.readouterr()
    assert call("demo --folder demo") == 0
    said = capsys.readouterr().out
    assert "--picture" not in said
    assert said.rstrip().endswith("not drawn, for matplotlib is not installed (pip install 'eqverify[pictures]')")
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["digits-reduced.onnx"]
