"""`eqverify regions`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from eqverify.approximate.options import RegionOptions
from eqverify.cli.commands.shared import Json, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.options import keywords_of


def regions(
    network: Path,
    query: Path,
    /,
    *,
    list_to: Annotated[Path | None, Parameter(name="--list")] = None,
    options: Annotated[RegionOptions, Parameter(name="*", negative_iterable=())] = RegionOptions(),
    picture: Path | None = None,
    slice_through: Annotated[tuple[Path, Path, Path] | None, Parameter(name="--slice")] = None,
    proof: Path | None = None,
    json: Json = False,
) -> int:
    """Count the linear regions of the network on the property's inputs.

    For example

        eqverify regions NET.onnx PROP.vnnlib --list regions.csv --picture regions.svg

    Exit status 4 where none was found within the time limit.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    list_to:
        Also write the regions as CSV: activation pattern, affine map, radius, a point inside.
    options:
        Method and limits.
    picture:
        Also draw the regions (.svg, .png, .pdf): of two free inputs, or of a slice.
    slice_through:
        Three files with one point each: the picture shows the plane through them.
    proof:
        Write a proof of the number, which `eqverify check NETWORK PROPERTY PROOF` verifies.
    json:
        Print one JSON object instead of text.
    """
    import eqverify as eq
    from eqverify.api.regions import read_points
    from eqverify.cli import render
    from eqverify.files import write_files

    require_outputs(
        {"--list": list_to, "--picture": picture, "--proof": proof}, (network, query, *(slice_through or ()))
    )
    points = None if slice_through is None else read_points(slice_through)
    start = time.perf_counter()
    with shown_progress(options.time_limit) as progress:
        problem = eq.load_problem(network, query, as_stored=True)
        result = eq.find_regions(problem, **keywords_of(options), progress=progress, proof=proof is not None)
    if list_to is not None:
        result.save_list(list_to)
    if proof is not None and result.proof is not None:
        write_files({proof: result.proof})
    elif proof is not None:
        print("no proof: the checker verifies none, or exact arithmetic would take too long", file=sys.stderr)
    if picture is not None:
        result.plot(picture, points)
    seconds = {"regions": result.found.seconds, "total": time.perf_counter() - start}
    if json:
        print_json("regions", {**result.as_dict(), "seconds": seconds}, options)
    else:
        render.print_regions(result, seconds)
    return 0 if result.found.regions else 4
