"""`eqverify check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from eqverify.cli.commands.shared import Json, print_json


def check(
    network: Path,
    query: Path,
    reduced_or_certificate: Path,
    certificate: Path | None = None,
    /,
    *,
    arithmetic: Literal["float", "exact"] = "float",
    json: Json = False,
) -> int:
    """Verify a certificate, with code that shares nothing with the prover.

    Of a reduction, for the whole property or for one disjunct of its output condition: `check NETWORK PROPERTY REDUCED
    CERTIFICATE`.  That a disjunct is unsat: `check NETWORK PROPERTY CERTIFICATE`.  Prints one line, `verified ...` or
    `rejected CODE ...`; the exit status is 0 only for the first.

    For example

        eqverify check NET.onnx PROP.vnnlib OUT.onnx OUT.cert

    Parameters
    ----------
    network:
        The original ONNX file.
    query:
        The VNN-LIB file.
    reduced_or_certificate:
        The reduced ONNX file, before its certificate; or a certificate alone, which says that a disjunct is unsat.
    certificate:
        What `eqverify reduce --certificate` wrote.
    arithmetic:
        float64 with a-priori error bounds, or exact rationals (slower).
    json:
        Print one JSON object instead of the line.
    """
    from eqverify.api.certificate import check as run

    last = reduced_or_certificate
    files = (None, last) if certificate is None else (last, certificate)
    verdict = run(network, query, *files, arithmetic=arithmetic)
    if json:
        print_json("check", verdict.as_dict())
    else:
        print(verdict)
        for reading in verdict.readings:
            print(f"read {reading}", file=sys.stderr)
    return verdict.exit_status
