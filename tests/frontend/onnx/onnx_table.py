"""The table of operators in specs/onnx.md; `python tests/frontend/onnx/onnx_table.py` writes it from the reader's."""

from __future__ import annotations

import re
from pathlib import Path

from eqverify.frontend.onnx import OperatorEntry, operator_table

SPECIFICATION = Path(__file__).resolve().parents[3] / "specs" / "onnx.md"
HEAD = "| operator | opsets | attributes | becomes | not read |\n|---|---|---|---|---|\n"
FOLDED = "Constants only"


def table() -> str:
    """The lines of the table; operators that are only folded in the last one."""
    entries = sorted(operator_table(), key=lambda entry: (entry.name, entry.since))
    rows = [_row(entry) for entry in entries if not entry.lowering.startswith(FOLDED)]
    folded = ", ".join(entry.name for entry in entries if entry.lowering.startswith(FOLDED))
    return HEAD + "".join(rows) + f"| {folded} | | | stored numbers, where all inputs are | computed inputs |\n"


def _row(entry: OperatorEntry) -> str:
    opsets = f"{entry.since} to {entry.until}" if entry.until else f"from {entry.since}" if entry.since > 7 else ""
    text = entry.lowering.rstrip(".").replace("|", "\\|")
    becomes = text if text.startswith("ReLU") else text[0].lower() + text[1:]
    cells = (entry.name, opsets, ", ".join(entry.attributes), becomes, entry.refused)
    return "".join(f"| {cell} " if cell else "| " for cell in cells) + "|\n"


def generated(text: str) -> str:
    """The specification with the table as it is."""
    return re.sub(r"\| operator \| opsets .*?\n\n", lambda _: table() + "\n", text, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    SPECIFICATION.write_text(generated(SPECIFICATION.read_text("utf-8")), "utf-8")
