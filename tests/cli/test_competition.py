"""Result files are what the competition of 2026 takes, judged by a checker that shares nothing with eqverify."""

from __future__ import annotations

import numpy as np
import pytest

from eqverify.cli.main import run
from eqverify.export.onnx import write_network
from eqverify.testing.chains import chain_network

from .competition import WrongError, judge

BOX = "(assert (and (>= {x}[0,0] -1.0) (<= {x}[0,0] 0.7) (> {x}[0,1] -1.0) (<= {x}[0,1] 0.7)))\n"
F = "(declare-network f (declare-input A {element} [1,2]) (declare-output B {element} [1,1]))\n"
SAME = "(assert (and (== C[0,0] A[0,0]) (== C[0,1] A[0,1])))\n"


def second(relation: str) -> str:
    return f"(declare-network g {relation} (declare-input C real [1,2]) (declare-output D real [1,1]))\n"


ONE = f"(vnnlib-version <2.0>)\n{F}{BOX.format(x='A')}(assert (and (> B[0,0] 1.25) (< A[0,0] 0.6)))\n"
TWO = f"(vnnlib-version <2.0>)\n{F.format(element='real')}{{second}}{BOX.format(x='A')}{{inputs}}{{condition}}"
QUERIES = {
    "version 1": "(declare-const X_0 Real) (declare-const X_1 Real) (declare-const Y_0 Real)\n"
    "(assert (>= X_0 -0.9))\n(assert (< X_0 0.3))\n(assert (<= X_1 0.1))\n(assert (>= X_1 0.0999))\n"
    "(assert (> Y_0 0.7))\n",
    "float32": ONE.format(element="float32"),
    "real": ONE.format(element="real"),
    "two networks": TWO.format(second=second(""), inputs=SAME, condition="(assert (> B[0,0] (+ D[0,0] 0.1)))\n"),
    "isomorphic": TWO.format(
        second=second("(isomorphic-to f)"), inputs=SAME, condition="(assert (< D[0,0] (- B[0,0] 0.25)))\n"
    ),
    "monotone": TWO.format(
        second=second("(equal-to f)"),
        inputs=f"{BOX.format(x='C')}(assert (and (<= C[0,0] A[0,0]) (== C[0,1] A[0,1])))\n",
        condition="(assert (< B[0,0] D[0,0]))\n",
    ),
}


@pytest.fixture
def files(tmp_path):
    """f = |x0| + |x1|, and g = half of that, in float32."""
    rows = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    for name, factor in (("f", 1.0), ("g", 0.5)):
        net = chain_network([(rows, np.zeros(4)), (np.full((1, 4), factor), np.zeros(1))], "float32", (1,))
        (tmp_path / f"{name}.onnx").write_bytes(write_network(net, metadata={}, producer="test"))
    return tmp_path


def ask(files, name, text) -> tuple:
    query, result = files / "query.vnnlib", files / "result.txt"
    query.write_text(text)
    wanted = "fg" if "declare-network g" in text and "equal-to" not in text else "f"
    networks = {key: files / f"{key}.onnx" for key in wanted}
    given = [f"--network={key if 'version' in text else ''}={path}" for key, path in networks.items()]
    assert run(["verify", str(query), *given, "--result-file", str(result), "--timeout", "20"]) == 0
    return result, query, networks


@pytest.mark.parametrize("name", QUERIES)
def test_the_checker_takes_the_file(files, capsys, name):
    result, query, networks = ask(files, name, QUERIES[name])
    assert judge(result, query, networks) == "sat"


def test_the_checker_sees_what_is_wrong(files, capsys):
    """Another value, order, shape or number of lines: a check that takes anything would say nothing."""
    result, query, networks = ask(files, "two", QUERIES["two networks"])
    lines = result.read_text().splitlines()
    for wrong in (
        [*lines[:2], "0.1", *lines[3:]],
        [*lines[:4], lines[4].replace("[1,1]", "[1]"), *lines[5:]],
        [lines[0], *lines[6:], *lines[1:6]],
        [*lines, "0.0"],
        lines[:-1],
        ["maybe"],
    ):
        result.write_text("\n".join(wrong) + "\n")
        with pytest.raises((WrongError, ValueError)):
            judge(result, query, networks)


@pytest.mark.parametrize("pair", [False, True])
def test_what_no_run_shows_exactly_is_unknown(files, capsys, pair):
    """y = x + 2^-25 x: over the reals above 1 at 1, in float32 not; within a tolerance it would be a witness."""
    layers = [(np.array([[1.0], [1.0]]), np.zeros(2)), (np.array([[1.0, 2.0**-25]]), np.zeros(1))]
    model = write_network(chain_network(layers, "float32", (1,)), metadata={}, producer="test")
    (files / "f.onnx").write_bytes(model)
    text = "(declare-const X_0 Real)\n(declare-const Y_0 Real)\n(assert (= X_0 1.0))\n(assert (> Y_0 1.0))\n"
    if pair:
        one = "(declare-input {x} real [1,1]) (declare-output {y} real [1,1]))\n"
        text = f"(vnnlib-version <2.0>)\n(declare-network f {one.format(x='A', y='B')}"
        text += f"(declare-network g (equal-to f) {one.format(x='C', y='D')}"
        text += "(assert (and (== A[0,0] 1.0) (== C[0,0] 1.0) (> (+ B[0,0] D[0,0]) 2.0)))\n"
    result, query, networks = ask(files, "tie", text)
    assert judge(result, query, networks) == "unknown"
    given = f"--network={'f' if pair else ''}={networks['f']}"
    assert run(["verify", str(query), given]) == 0
    assert "sat\n" in capsys.readouterr().out
