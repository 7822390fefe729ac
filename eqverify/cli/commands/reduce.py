"""`eqverify reduce`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, Options, require_folder
from eqverify.cli.progress import shown_progress
from eqverify.stability.options import StabilityOptions
from eqverify.transform.driver import Rewriting


def reduce(
    network: Path,
    query: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    property_out: Path | None = None,
    fold_property: Annotated[bool, Parameter(negative="")] = False,
    property_version: Literal["1.0", "2.0"] | None = None,
    options: Options = StabilityOptions(),
    dtype: Literal["float32", "float64"] | None = None,
    rewriting: Rewriting = "auto",
    max_epsilon: float = 1e-4,
    cross_check: Literal["z3"] | None = None,
    cross_check_timeout: float = 60.0,
    picture: Path | None = None,
    certificate: Path | None = None,
    certified_only: Annotated[bool, Parameter(negative="")] = False,
    tree_time_limit: float = 30.0,
    explain: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Write a smaller network that is proved equivalent on the property's inputs.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    output:
        The ONNX file to write.
    property_out:
        Also write the property for the reduced network, its output constraints relaxed by the proved deviation.
    fold_property:
        Make the output constraints outputs of the network, so that the property holds comparisons with 0 only; one
        numbered pair of files for each part of the input set.
    property_version:
        Of VNN-LIB; by default 1.0 with --fold-property, else that of the property.
    options:
        Limits and engine.
    dtype:
        Type of the written weights; by default that of the network's input.
    rewriting:
        Carry linear values through few extra units, apply LEO's published rewrites, or take the better of both.
    max_epsilon:
        Avoid new weights where they would bring the proved deviation above this.
    cross_check:
        Confirm the result by exact arithmetic with Z3 (small networks only).
    cross_check_timeout:
        Seconds for the cross-check.
    picture:
        Also draw the layers before and after (.svg, .png, .pdf).
    certificate:
        Also write a certificate, which `eqverify check` verifies.
    certified_only:
        Keep units whose sign only a solver vouches for.
    tree_time_limit:
        With either of these, seconds for finding proofs of such units that can be checked.
    explain:
        Also print for each kept unit why it was kept.
    json:
        Print one JSON object instead of the table.
    """
    from eqverify.api import reduction
    from eqverify.api.loading import load_problem
    from eqverify.cli import render

    for path in (output, picture, property_out, certificate):
        if path is not None:
            require_folder(path)
    start = time.perf_counter()
    with shown_progress() as progress:
        problem = load_problem(network, query)
        read = time.perf_counter() - start
        result = reduction.reduce(
            problem,
            **asdict(options),
            dtype=dtype,
            rewriting=rewriting,
            max_epsilon=max_epsilon,
            cross_check=cross_check,
            cross_check_timeout=cross_check_timeout,
            certificate=certificate is not None,
            certified_only=certified_only,
            tree_time_limit=tree_time_limit,
            progress=progress,
        )
    files = result.save(
        output,
        property=property_out,
        fold_property=fold_property,
        property_version=property_version,
        certificate=certificate,
    )
    written = ", ".join(map(str, files))
    if picture is not None:
        result.plot(picture)
    seconds = {"read": read, **result.seconds, "total": time.perf_counter() - start}
    if json:
        render.print_json(
            {**result.as_dict(), "output": str(output), "files": [str(file) for file in files], "seconds": seconds}
        )
        return
    render.print_reduction(result, written, seconds)
    if explain:
        print(result.explain())
