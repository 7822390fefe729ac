"""Every operator of the table with whatever attributes its schema has, at every opset: read as it runs, or refused."""

from __future__ import annotations

import os
from collections import Counter

import onnx
import pytest
from onnx import defs, helper

from eqverify.frontend.onnx.fold import FOLDABLE
from eqverify.frontend.onnx.table import OLDEST_OPSET, registered

from ...vnncomp import slow
from .onnx_case import Case
from .onnx_draft import NEWEST_RUNTIME_OPSET
from .onnx_folds import FOLDS, folded
from .onnx_judge import judge
from .onnx_operators import GENERATORS, drawn

# EQVERIFY_DEEP multiplies the number of models.
SEEDS = range(int(os.environ.get("EQVERIFY_DEEP", "1")))
OPSETS = range(OLDEST_OPSET, defs.onnx_opset_version() + 1)


def test_every_operator_has_a_generator():
    assert {entry.name for entry in registered() if not entry.quantised} == set(GENERATORS)
    assert set(FOLDABLE) <= set(FOLDS)


def opsets(operator: str) -> list[int]:
    """The opsets at which the table has an operator."""
    entries = [entry for entry in registered() if entry.name == operator]
    return [opset for opset in OPSETS if any(entry.covers(opset) for entry in entries)]


@pytest.mark.parametrize("step", [2, *slow(1)])
@pytest.mark.parametrize("operator", sorted(GENERATORS))
def test_an_operator_is_read_as_it_runs(operator, step):
    answers: Counter[str] = Counter()
    for opset in opsets(operator)[::-step]:
        for seed in (*SEEDS, *(seed + 10_000 for seed in SEEDS)):
            model = drawn(operator, opset, seed)
            answer = judge(model, seed)
            assert not answer.startswith("WRONG"), (answer, opset, seed, onnx.load_from_string(model).graph)
            answers[answer] += 1
    assert answers["agrees"], answers


@pytest.mark.slow
@pytest.mark.parametrize("operator", sorted(FOLDS))
def test_a_node_of_stored_numbers_is_what_runs(operator):
    answers: Counter[str] = Counter()
    for opset in range(OLDEST_OPSET, NEWEST_RUNTIME_OPSET + 1):
        for seed in SEEDS:
            model = folded(operator, opset, seed)
            answer = judge(model, seed)
            assert not answer.startswith("WRONG"), (answer, opset, seed, onnx.load_from_string(model).graph)
            answers[answer] += 1
    assert answers["agrees"], answers


def test_attributes_come_from_the_schema():
    """A generator that knew its attributes by heart would not see those of later opsets."""
    seen = set()
    for seed in range(60):
        for node in onnx.load_from_string(drawn("MaxPool", 13, seed)).graph.node:
            seen.update(attribute.name for attribute in node.attribute)
    assert seen == set(defs.get_schema("MaxPool", 13, "").attributes)


def wrong(operator: str, opset: int, **attributes) -> bytes:
    case = Case(None, operator, opset)  # type: ignore[arg-type]
    x = case.input((1, 1, 7))
    case.nodes.append(helper.make_node(operator, [x], ["y"], **attributes))
    return case.finished()


def test_the_judge_sees_a_wrong_reading(monkeypatch):
    """The reader with dilated SAME pools read by the formula of convolutions, as it once was."""
    from eqverify.frontend.onnx.operators import windows

    model = wrong("MaxPool", 13, auto_pad="SAME_LOWER", dilations=[2], kernel_shape=[3])
    assert judge(model) == "refused onnx/unsupported-form"
    monkeypatch.setattr(windows, "unclear", lambda *_: False)
    assert judge(model).startswith("WRONG")
