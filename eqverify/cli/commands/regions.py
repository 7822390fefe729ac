"""`eqverify regions`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.approximate.regions import Method
from eqverify.cli.commands.shared import Json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.trust import trusting


def regions(
    network: Path,
    query: Path,
    /,
    *,
    list_to: Annotated[Path | None, Parameter(name="--list")] = None,
    method: Method = "fast",
    time_limit: float = 60.0,
    seed: int = 0,
    trust: str = "",
    picture: Path | None = None,
    slice_through: Annotated[tuple[Path, Path, Path] | None, Parameter(name="--slice")] = None,
    json: Json = False,
) -> int:
    """Count the linear regions of the network on the property's inputs.

    Exit status 4 where none was found within the time limit.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    list_to:
        Also write the regions as CSV: activation pattern, affine map, radius, a point inside.
    method:
        Depth-first search with linear programs, or SCIP with no-good cuts.
    time_limit:
        Seconds; what was found until then is a lower bound.
    seed:
        Of random points and of SCIP.
    trust:
        scip: where SCIP finds no other regions, and no proof of that was found, these count as all.
    picture:
        Also draw the regions (.svg, .png, .pdf): of two free inputs, or of a slice.
    slice_through:
        Three files with one point each: the picture shows the plane through them.
    json:
        Print one JSON object instead of text.
    """
    from eqverify.api.loading import load_problem
    from eqverify.api.regions import find_regions, read_points
    from eqverify.cli import render

    require_outputs({"--list": list_to, "--picture": picture}, (network, query, *(slice_through or ())))
    points = None if slice_through is None else read_points(slice_through)
    start = time.perf_counter()
    with shown_progress() as progress:
        problem = load_problem(network, query)
        result = find_regions(
            problem, method=method, time_limit=time_limit, seed=seed, trust=trusting(trust), progress=progress
        )
    if list_to is not None:
        result.save_list(list_to)
    if picture is not None:
        result.plot(picture, points)
    seconds = {"regions": result.found.seconds, "total": time.perf_counter() - start}
    if json:
        render.print_json({**result.as_dict(), "seconds": seconds})
    else:
        render.print_regions(result, seconds)
    return 0 if result.found.regions else 4
