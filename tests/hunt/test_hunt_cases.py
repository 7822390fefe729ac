"""What the hunt draws: every hard kind comes up often, and files are what they should be."""

from __future__ import annotations

import re
from collections import Counter
from random import Random

import numpy as np
import onnx
import pytest

from .hunt_adversary import moved, packed, unpacked
from .hunt_cases import KINDS, draw_case
from .hunt_fuzz import damaged_model, damaged_text
from .hunt_interpreter import read_function
from .hunt_judging import satisfiable
from .hunt_oracle import LeftOutError
from .hunt_property import read_property

DRAWS = 300


def weights_of(model):
    arrays = [onnx.numpy_helper.to_array(t) for t in model.graph.initializer]
    return [a for a in arrays if a.dtype.kind == "f"]


def features(text, model):
    """The hard kinds that a problem belongs to."""
    arrays = weights_of(model)
    sizes = np.abs(np.concatenate([a.astype(np.float64).ravel() for a in arrays]))
    sizes = sizes[(sizes > 0) & np.isfinite(sizes)]
    ends = [a for n in model.graph.node if n.op_type == "Clip" for a in n.input[1:]]
    values = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    clipped = [float(values[name]) for name in ends if name]
    operators = {node.op_type for node in model.graph.node}
    yield "version 2" if "vnnlib-version" in text else "version 1"
    yield str(arrays[0].dtype)
    yield from operators
    for name, pattern in (
        ("strict input", r"\([<>] (-?[\d.e-]+ X|X\S* -?\d)"),
        ("strict output", r"\([<>] (Y|\([-*])"),
        ("linked inputs", r"\([<>=]+ X\S* X|\(\+ X"),
        ("equality", r"\(==? (Y|\([-*])"),
        ("disjunction", r"\(or"),
        ("long decimal", r"\d{40}"),
        ("beyond floats", r"e400|e39"),
    ):
        if re.search(pattern, text):
            yield name
    yield from ["tiny weights"] * bool((sizes < 1e-30).any())
    yield from ["subnormal weights"] * bool((sizes < 1.17e-38).any())
    yield from ["large weights"] * bool((sizes > 1e30).any())
    yield from ["mixed magnitudes"] * bool(sizes.max() * 1e-12 > sizes.min())
    yield from ["many inputs"] * (model.graph.input[0].type.tensor_type.shape.dim[-1].dim_value > 7)
    yield from ["wide layer"] * (max(max(a.shape, default=1) for a in arrays) > 19)
    yield from ["infinite Clip"] * any(np.isinf(end) for end in clipped)
    yield from ["Clip at the largest number"] * any(abs(end) > 3e38 and np.isfinite(end) for end in clipped)


EXPECTED = {
    "version 1", "version 2", "float32", "float64", "Relu", "Clip", "Abs", "LeakyRelu", "MaxPool", "Concat", "Flatten",
    "Sub", "strict input", "strict output", "linked inputs", "equality", "disjunction", "long decimal", "beyond floats",
    "tiny weights", "subnormal weights", "large weights", "mixed magnitudes", "many inputs", "wide layer",
    "infinite Clip", "Clip at the largest number",
}  # fmt: skip


@pytest.mark.slow
def test_every_hard_kind_comes_up(tmp_path):
    found, right = Counter(), Counter()
    for number in range(DRAWS):
        draw_case(Random(number), tmp_path, ("verify",))
        text = (tmp_path / "prop.vnnlib").read_text("utf-8")
        found.update(set(features(text, onnx.load(tmp_path / "net.onnx"))))
        try:
            right[satisfiable(read_property(text), read_function(tmp_path / "net.onnx")[0])] += 1
        except LeftOutError:
            right["left out"] += 1
    assert not {name: found[name] for name in EXPECTED if found[name] < DRAWS / 100}
    assert min(right[True], right[False]) > DRAWS / 4
    assert right["left out"] < DRAWS / 20


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_asks_something(kind, tmp_path):
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        case = draw_case(Random(number), folder, (kind,))
        assert case.kind == kind
        assert case.commands
        assert all(isinstance(word, str) for command in case.commands for word in command)


def test_files_are_damaged_in_many_ways(tmp_path):
    draw_case(Random(0), tmp_path, ("verify",))
    model, text = (tmp_path / name for name in ("net.onnx", "prop.vnnlib"))
    models = {damaged_model(Random(seed), model.read_bytes()) for seed in range(500)}
    texts = {damaged_text(Random(seed), text.read_text("utf-8")) for seed in range(500)}
    assert min(len(models), len(texts)) > 200


def test_an_adversary_moves_numbers_and_packs_what_it_unpacked():
    text = "(assert (>= X_0 -1.0))\n(assert (<= X_0 0.25))\n"
    assert all(moved(Random(seed), text) != text for seed in range(20))
    arrays = [np.array([1.5, -2.0]), np.array([[1, 2], [3, 4]], dtype=np.int32), np.zeros(0, dtype=np.int8)]
    head, back = unpacked(packed({"claim": "unsat"}, arrays))
    assert head["claim"] == "unsat"
    assert all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(arrays, back, strict=True))
