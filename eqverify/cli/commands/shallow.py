"""`eqverify shallow`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.approximate.options import ShallowOptions
from eqverify.cli.commands.shared import Json, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.options import keywords_of


def shallow(
    network: Path,
    query: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    options: Annotated[ShallowOptions, Parameter(name="*")] = ShallowOptions(),
    json: Json = False,
) -> None:
    """Write a network with two hidden layers that is exact inside the linear regions: an approximation.

    For example

        eqverify shallow NET.onnx PROP.vnnlib -o OUT.onnx

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x; its inputs are what counts.
    output:
        The ONNX file to write.
    options:
        What is made, and limits.
    json:
        Print one JSON object instead of text.
    """
    import eqverify as eq
    from eqverify.cli import render

    require_outputs({"--output": output}, (network, query))
    start = time.perf_counter()
    with shown_progress(options.time_limit) as progress:
        problem = eq.load_problem(network, query)
        result = eq.make_shallow(problem, **keywords_of(options), progress=progress)
    result.save(output)
    seconds = {"shallow": result.seconds, "total": time.perf_counter() - start}
    if json:
        print_json("shallow", {**result.as_dict(), "output": str(output), "seconds": seconds}, options)
    else:
        render.print_shallow(result, output, seconds)
