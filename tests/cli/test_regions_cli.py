"""`eqverify regions` and `eqverify shallow` from the command line."""

import json

import numpy as np
import onnx
import pytest

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.frontend.onnx import read_network
from eqverify.testing.chains import chain_network

PROPERTY = """
(declare-const X_0 Real)
(declare-const X_1 Real)
(declare-const Y_0 Real)
(assert (>= X_0 -1)) (assert (<= X_0 1))
(assert (>= X_1 -1)) (assert (<= X_1 1))
(assert (>= Y_0 3))
"""


@pytest.fixture
def files(tmp_path):
    """relu(x) + relu(y): four regions."""
    network, query = tmp_path / "net.onnx", tmp_path / "prop.vnnlib"
    chain = chain_network([(np.eye(2), np.zeros(2)), (np.ones((1, 2)), np.zeros(1))], "float32", (1,))
    network.write_bytes(write_network(chain, metadata={}, producer="test"))
    query.write_text(PROPERTY)
    return str(network), str(query)


def test_none_found_is_no_success(files, capsys):
    assert run(["regions", *files, "--time-limit", "1e-9", "--json"]) == 4
    shown = json.loads(capsys.readouterr().out)
    assert (shown["regions"], shown["complete"]) == (0, False)


def test_what_lies_behind_an_opaque_operator_is_not_counted(files, capsys):
    model = onnx.load(files[0])
    model.graph.node.append(onnx.helper.make_node("Tanh", [model.graph.output[0].name], ["curved"]))
    model.graph.output[0].name = "curved"
    onnx.save(model, files[0])
    assert run(["regions", *files]) == 0
    assert "Tanh: counted is what lies before" in capsys.readouterr().out
    assert run(["regions", *files, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["opaque"] == ["Tanh"]


@pytest.mark.parametrize("method", ["fast", "milp"])
def test_regions_prints_json(files, capsys, method):
    assert run(["regions", *files, "--json", "--method", method]) == 0
    text = capsys.readouterr()
    assert text.err == ""
    shown = json.loads(text.out)
    assert shown["regions"] == shown["lower_bound"] == 4
    assert shown["complete"]  # two lines make four cells at most
    assert shown["exhausted"]
    assert shown["affine_maps"] == 4
    assert shown["upper_bound"] == 4
    assert shown["radius_min"] == pytest.approx(0.5)


@pytest.mark.slow
def test_regions_lists_and_draws(files, capsys, tmp_path):
    points = []
    for name, x in (("a", "0 0"), ("b", "1, 0"), ("c", "0 1")):
        points.append(tmp_path / name)
        points[-1].write_text(x)
    listed, picture = tmp_path / "list.csv", tmp_path / "regions.png"
    command = ["regions", *files, "--list", str(listed), "--picture", str(picture)]
    assert run(command) == 0
    assert "4   proved" in capsys.readouterr().out
    rows = listed.read_text().splitlines()
    assert rows[0] == "pattern,map,radius,x0,x1"
    assert sorted(row.split(",")[0] for row in rows[1:]) == ["00", "01", "10", "11"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    picture.unlink()
    assert run([*command, "--slice", *map(str, points)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("texts", "status", "code"),
    [
        (("0 0", "1 0", "2 0"), 3, "regions/slice"),
        (("0 0", "1 0", "zero"), 3, "regions/point-file"),
        (("0 0", "1 0", "1"), 3, "regions/point-file"),
        (("0 0", "1 0", None), 2, "files/not-found"),
    ],
)
def test_a_slice_needs_three_points(files, capsys, tmp_path, texts, status, code):
    paths = [tmp_path / f"point{k}" for k in range(3)]
    for path, text in zip(paths, texts, strict=True):
        if text is not None:
            path.write_text(text)
    picture = tmp_path / "regions.svg"
    assert run(["regions", *files, "--picture", str(picture), "--slice", *map(str, paths)]) == status
    text = capsys.readouterr()
    assert text.out == ""
    assert f"error[{code}]" in text.err
    assert not picture.exists()


def test_wrong_options(files, capsys, tmp_path):
    assert run(["regions", *files, "--time-limit", "0"]) == 2
    assert "usage/limit" in capsys.readouterr().err
    assert run(["regions", *files, "--list", str(tmp_path / "none" / "list.csv")]) == 2
    assert "files/no-folder" in capsys.readouterr().err


def test_shallow_writes_a_network_and_says_what_it_is(files, capsys, tmp_path):
    output = tmp_path / "shallow.onnx"
    assert run(["shallow", *files, "-o", str(output), "--delta", "0.125", "--samples", "2000"]) == 0
    text = capsys.readouterr()
    assert text.err == ""
    assert "NOT equivalent" in text.out
    network = read_network(output)
    assert len(network.relus) == 2
    assert run(["shallow", *files, "-o", str(output), "--delta", "0.125", "--patterns", "all", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["claim"] == "approximation, not equivalent"
    assert shown["units"]["bound"] == [2 * 4, 4]
    assert shown["units"]["all"] == [2 * 4, 4]
    assert shown["regions"] == 4
    assert shown["error_measured"] <= shown["error_bound"]
    low, high = shown["exact_volume_interval"]
    assert low <= 0.875**2 <= high  # each input is at least 1/8 from 0


def test_shallow_refuses(files, capsys, tmp_path):
    output = tmp_path / "shallow.onnx"
    assert run(["shallow", *files, "-o", str(output), "--delta", "0"]) == 2
    assert "shallow/delta" in capsys.readouterr().err
    assert not output.exists()
