"""`eqverify check`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, named_networks, print_json
from eqverify.errors import UsageError


def check(
    network: Path,
    query: Path,
    reduced: Path | None = None,
    certificate: Path | None = None,
    /,
    *,
    arithmetic: Literal["float", "exact"] = "float",
    relaxed: Path | None = None,
    named: Annotated[list[str] | None, Parameter(name="--network", consume_multiple=False, negative="")] = None,
    kernel: Literal["python", "coq"] = "python",
    json: Json = False,
) -> int:
    """Verify a certificate, or the proof of a verdict, with code that shares nothing with the prover.

    That a property is unsat or sat (`verify --proof`), that a disjunct is unsat, or how many linear regions there are
    (`regions --proof`): `check NETWORK PROPERTY PROOF`.  Of a reduction, for the whole property or for one disjunct of
    its output condition, or of two networks (`equiv --proof`): `check NETWORK PROPERTY REDUCED CERTIFICATE`.  Prints
    one line, `verified ...` or `rejected CODE ...`; the exit status is 0 only for the first.

    For example

        eqverify check NET.onnx PROP.vnnlib OUT.onnx OUT.cert

    Parameters
    ----------
    network:
        The original ONNX file.
    query:
        The VNN-LIB file.
    reduced:
        The reduced ONNX file, or the other one, before its certificate; or the proof, where that is all there is.
    certificate:
        What `eqverify reduce --certificate` or `eqverify equiv --proof` wrote.
    arithmetic:
        float64 with a-priori error bounds, or exact rationals (slower).
    relaxed:
        The property that `eqverify reduce --property-out` wrote for REDUCED: see that it says no more than PROPERTY,
        relaxed by eps.
    named:
        NAME=FILE for each network of a property about several: `check PROPERTY PROOF --network f=F --network g=G`.
    kernel:
        coq: the checker that is proved in Coq, eqverify-coq-check on PATH (specs/coq/build.sh makes it): exact, for
        verdicts about dense feed-forward networks, and certificates of their reductions.
    json:
        Print one JSON object instead of the line.
    """
    from eqverify.api.certificate import check as run

    if named is not None:
        if reduced is not None or certificate is not None or relaxed is not None:
            raise UsageError(
                "usage/networks", "with --network just a property and a proof are named", value=str(reduced)
            )
        verdict = run(named_networks(named), network, None, query, arithmetic=arithmetic, kernel=kernel)
    elif reduced is None:
        raise UsageError("usage/networks", "two files are a property and a proof, and --network is missing")
    else:
        files = (None, reduced) if certificate is None else (reduced, certificate)
        verdict = run(network, query, *files, arithmetic=arithmetic, relaxed=relaxed, kernel=kernel)
    if json:
        print_json("check", verdict.as_dict())
    else:
        print(verdict)
        for reading in verdict.readings:
            print(f"read {reading}", file=sys.stderr)
    return verdict.exit_status
