"""`eqverify shallow`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, require_outputs
from eqverify.cli.progress import shown_progress


def shallow(
    network: Path,
    query: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    patterns: Literal["all", "feasible"] = "feasible",
    delta: float | None = None,
    dtype: Literal["float32", "float64"] | None = None,
    time_limit: float = 60.0,
    samples: int = 20_000,
    seed: int = 0,
    json: Json = False,
) -> None:
    """Write a network with two hidden layers that is exact inside the linear regions: an approximation.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x; its inputs are what counts.
    output:
        The ONNX file to write.
    patterns:
        Units for the linear regions on the inputs, or for every activation pattern.
    delta:
        Distance from the facets of a region at which the network is exact; by default a tenth of the median radius.
    dtype:
        Type of the written weights; by default that of the network's input.
    time_limit:
        Seconds for finding the regions.
    samples:
        Random points for the share of the inputs where it is exact, and for the error.
    seed:
        Of random points.
    json:
        Print one JSON object instead of text.
    """
    from eqverify.api.loading import load_problem
    from eqverify.api.shallow import make_shallow
    from eqverify.cli import render

    require_outputs({"--output": output}, (network, query))
    start = time.perf_counter()
    with shown_progress() as progress:
        problem = load_problem(network, query)
        result = make_shallow(
            problem,
            patterns=patterns,
            delta=delta,
            dtype=dtype,
            time_limit=time_limit,
            samples=samples,
            seed=seed,
            progress=progress,
        )
    result.save(output)
    seconds = {"shallow": result.seconds, "total": time.perf_counter() - start}
    if json:
        render.print_json({**result.as_dict(), "output": str(output), "seconds": seconds})
    else:
        render.print_shallow(result, output, seconds)
