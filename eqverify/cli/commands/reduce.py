"""`eqverify reduce`."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from eqverify.cli.commands.reduce_modes import require_mode
from eqverify.cli.commands.several import Checks, Common, Saving, explained, reduce_boxes, reduce_disjuncts
from eqverify.cli.commands.shared import Json, Options, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.errors import UsageError
from eqverify.problem import Problem
from eqverify.stability.options import StabilityOptions
from eqverify.transform.result import Shape

_TREE_TIME_LIMIT = 30.0


def reduce(
    network: Path,
    query: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    property_out: Path | None = None,
    fold_property: Annotated[bool, Parameter(negative="")] = False,
    property_version: Literal["1.0", "2.0"] | None = None,
    for_property: Annotated[bool, Parameter(negative="")] = False,
    per_box: Annotated[bool, Parameter(negative="")] = False,
    radius: float | None = None,
    around: str | None = None,
    options: Options = StabilityOptions(),
    dtype: Literal["float32", "float64"] | None = None,
    shape: Shape = "sequential",
    max_epsilon: float = 1e-4,
    passes: str | None = None,
    cross_check: Literal["z3", "equiv"] | None = None,
    cross_check_timeout: float = 60.0,
    picture: Path | None = None,
    certificate: Path | None = None,
    certified_only: Annotated[bool, Parameter(negative="")] = False,
    tree_time_limit: float = _TREE_TIME_LIMIT,
    explain: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False,
) -> None:
    """Write a smaller network that is proved equivalent on the property's inputs, or one for each part of the question.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x; may be left out with --radius.
    output:
        The ONNX file to write; several are numbered before the suffix (OUT-1.onnx, OUT-2.onnx, ...).
    property_out:
        Also write the property for the reduced network, its output constraints relaxed by the proved deviation.
    fold_property:
        Make the output constraints outputs of the network, so that the property holds comparisons with 0 only; one
        numbered pair of files for each part of the input set.
    property_version:
        Of VNN-LIB; by default 1.0 with --fold-property, else that of the property.
    for_property:
        Decide each disjunct of the output condition, or write a network for just that disjunct.  Such a network is not
        equivalent: "unsat" carries over to the original, an input found for it must be replayed on the original.
    per_box:
        Write one network for each box of the property's inputs, and the list of boxes (OUT.boxes.json).
    radius:
        Make the network exact on the ball of this radius (maximum norm), within the property's inputs if there is one.
    around:
        The centre of the ball: numbers between commas, a .npy, .txt or .csv file, or "property" for its centre.
    options:
        Limits and engine.
    dtype:
        Type of the written weights; by default that of the network's input.
    shape:
        A chain of layers (read by every verifier), skip connections (fewest ReLUs), the original's graph with whole
        channels and units removed (fewest weights), LEO's published rewrites alone, or whatever costs least.
    max_epsilon:
        Avoid new weights where they would bring the proved deviation above this.
    passes:
        Names of passes between commas, applied in this order instead of the default ones; `eqverify passes` lists them.
    cross_check:
        Look for a deviation above eps without the facts: with Z3 over the rationals (small networks only; that it finds
        none is a claim), or by the methods of eqverify equiv, which prove eps again.
    cross_check_timeout:
        Seconds for the cross-check.
    picture:
        Also draw the layers before and after (.svg, .png, .pdf); several are numbered as the networks are.
    certificate:
        Also write a certificate, which `eqverify check` verifies; with --for-property one for each disjunct, with
        its number before the suffix (C-1.cert, ...): that it is unsat, or of the network for it unless that is folded.
    certified_only:
        Keep units whose sign only a solver claims.
    tree_time_limit:
        With either of these, seconds for finding proofs of such units that can be checked; not with --for-property,
        which never asks a solver then.
    explain:
        Also print for each kept unit why it was kept, by disjunct or box where there are several networks.
    json:
        Print one JSON object instead of the table.
    """
    from eqverify.api import reduction
    from eqverify.cli import render

    outputs = {
        "--output": output,
        "--property-out": property_out,
        "--certificate": certificate,
        "--picture": picture,
        "--resume": options.resume,
    }
    require_outputs(outputs, (network, query, None if around is None else Path(around)))
    require_mode(
        options,
        for_property=for_property,
        per_box=per_box,
        others={
            "--cross-check": cross_check is not None,
            "--certificate": certificate is not None,
            "--tree-time-limit": tree_time_limit != _TREE_TIME_LIMIT,
        },
    )
    start = time.perf_counter()
    saving = Saving(output, property_out, fold_property, property_version, certificate, picture, explain, json)
    common = Common(dtype, shape, max_epsilon, certified_only, passes)
    checks = Checks(cross_check, cross_check_timeout, tree_time_limit)
    with shown_progress() as progress:
        problem = _problem(network, query, radius, around)
        read = time.perf_counter() - start
        if for_property:
            reduce_disjuncts(problem, options, common, saving, progress, {"read": read})
            return
        if per_box:
            reduce_boxes(problem, options, common, checks, saving, progress, {"read": read})
            return
        result = reduction.reduce(
            problem,
            **asdict(options),
            **asdict(common),
            **asdict(checks),
            certificate=certificate is not None,
            progress=progress,
        )
    files = result.save(output, certificate=certificate, **saving.keywords())
    written = ", ".join(map(str, files))
    if picture is not None:
        result.plot(picture)
    seconds = {"read": read, **result.seconds, "total": time.perf_counter() - start}
    if json:
        found = {**result.as_dict(), "output": str(output), "files": [str(file) for file in files], "seconds": seconds}
        render.print_json({**found, **explained(result, explain)})
        return
    render.print_reduction(result, written, seconds)
    if explain:
        print(result.explain())


def _problem(network: Path, query: Path | None, radius: float | None, around: str | None) -> Problem:
    """The problem of the files, on a ball where that is asked for."""
    from eqverify.api.loading import compared, load_problem, load_whole
    from eqverify.api.local import local_problem

    if (radius is None) != (around is None):
        raise UsageError("usage/radius", "--radius and --around go together", hint="give both")
    if query is None and radius is None:
        raise UsageError(
            "usage/no-property", "a property is needed", hint="give a VNN-LIB file, or --radius and --around"
        )
    if query is None:
        front = load_whole(network)
        ball = local_problem(front.network, float(radius or 0), str(around))
        return replace(ball, reading=compared(network, front, ball.domain))
    problem = load_problem(network, query)
    return problem if radius is None or around is None else local_problem(problem, radius, around)
