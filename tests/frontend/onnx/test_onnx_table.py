"""The specification lists the operators that are read."""

from __future__ import annotations

from eqverify.frontend.onnx import operator_table

from .onnx_table import SPECIFICATION, generated, table


def test_the_table_of_the_specification_is_the_readers():
    text = SPECIFICATION.read_text("utf-8")
    assert table() in text
    assert generated(text) == text, "python tests/frontend/onnx/onnx_table.py"


def test_every_operator_is_in_the_table():
    for entry in operator_table():
        assert entry.name in table()
        assert entry.lowering
