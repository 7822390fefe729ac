"""`eqverify bounds`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, in_groups, local_problem_of, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.options import keywords_of
from eqverify.stability.options import StabilityOptions


def bounds(
    network: Path,
    query: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    within: Path | None = None,
    radius: float | None = None,
    around: str | None = None,
    options: Annotated[StabilityOptions, in_groups(StabilityOptions)] = StabilityOptions(),
    json: Json = False,
) -> None:
    """Write proved ranges and signs of all ReLU units and ranges of the outputs, for other programs.

    For example

        eqverify bounds NET.onnx PROP.vnnlib -o bounds.npz
        eqverify bounds NET.onnx PROP.vnnlib -o bounds.json --within CONSTRAINTS.vnnlib
        eqverify bounds NET.onnx -o bounds.json --around 0.1,0.2,0.3 --radius 0.05

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x; only what it says of inputs counts.  May be left out with --radius.
    output:
        The file to write: .json, .json.gz (specs/output.schema.json) or .npz.
    within:
        VNN-LIB file with further constraints on the same inputs, linear ones too.
    radius:
        Only inputs of the ball of this radius (maximum norm).
    around:
        The centre of the ball, as for eqverify reduce.
    options:
        Limits and engine.
    json:
        Print one JSON object, the same as in the file, instead of a table.
    """
    import eqverify as eq
    from eqverify.api.local import restricted
    from eqverify.api.ranges import ranges_suffix
    from eqverify.cli import render

    ranges_suffix(output)
    require_outputs({"--output": output, "--resume": options.resume}, (network, query, within))
    start = time.perf_counter()
    with shown_progress(options.time_limit) as progress:
        problem = local_problem_of(
            network, query, radius, around, as_stored=True, roundings=within is None, smooth=True
        )
        if within is not None:
            from eqverify.api.equivalence import load_domain

            problem = restricted(problem, load_domain(within), f"in {within}")
        ranges = eq.prove_ranges(problem, **keywords_of(options), progress=progress)
    ranges.save(output)
    if json:
        seconds = {"total": time.perf_counter() - start}
        print_json("bounds", {**ranges.as_dict(), "output": str(output), "seconds": seconds}, options)
    else:
        render.print_ranges(ranges, output, time.perf_counter() - start)
