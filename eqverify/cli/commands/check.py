"""`eqverify check`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from eqverify.cli.commands.shared import Json


def check(
    network: Path,
    query: Path,
    reduced: Path,
    certificate: Path,
    /,
    *,
    arithmetic: Literal["float", "exact"] = "float",
    json: Json = False,
) -> int:
    """Verify a reduction from its certificate, with code that shares nothing with the prover.

    Prints one line, `verified eps=...` or `rejected CODE ...`; the exit status is 0 only for the first.

    Parameters
    ----------
    network:
        The original ONNX file.
    query:
        The VNN-LIB file.
    reduced:
        The reduced ONNX file.
    certificate:
        What `eqverify reduce --certificate` wrote.
    arithmetic:
        float64 with a-priori error bounds, or exact rationals (slower).
    json:
        Print one JSON object instead of the line.
    """
    from eqverify.api.certificate import check as run
    from eqverify.cli import render

    verdict = run(network, query, reduced, certificate, arithmetic=arithmetic)
    if json:
        render.print_json(verdict.as_dict())
    else:
        print(verdict)
    return verdict.exit_status
