"""A formulation as an MPS or LP file, written by HiGHS."""

from __future__ import annotations

import tempfile
from pathlib import Path

import highspy
import numpy as np

from eqverify.bounds.lp import simplex_solver
from eqverify.embedding.formulation import Formulation
from eqverify.errors import UsageError
from eqverify.files import atomic_write

ENDINGS = (".mps", ".lp")


def write_formulation(formulation: Formulation, path: str | Path) -> None:
    """Write the constraints, with nothing to optimise.

    Args:
        formulation: what is written; columns have its names.
        path: ends in ``.mps`` or ``.lp``.

    Raises:
        UsageError: `embedding/format` for another ending.
    """
    target = Path(path)
    if target.suffix.lower() not in ENDINGS:
        raise UsageError(
            "embedding/format",
            "no such format of models",
            value=target.name,
            hint=f"end the name in {' or '.join(ENDINGS)}",
        )
    model = simplex_solver(0)
    for number, (name, low, high) in enumerate(
        zip(formulation.names, formulation.lower, formulation.upper, strict=True)
    ):
        model.addVar(float(low), float(high))
        model.passColName(number, name)
    for number in np.flatnonzero(formulation.binary).tolist():
        model.changeColIntegrality(number, highspy.HighsVarType.kInteger)
    for entries, low, high in formulation.rows():
        columns = np.array([column for column, _ in entries], dtype=np.int32)
        model.addRow(low, high, columns.size, columns, np.array([value for _, value in entries]))
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder, f"model{target.suffix.lower()}")
        model.writeModel(str(part))
        atomic_write(target, part.read_bytes())
