"""`eqverify reduce`."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import Group, Parameter

from eqverify.budget import Clock, TimeLimit
from eqverify.cli.commands.shared import Json, in_groups, local_problem_of, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.options import keywords_of
from eqverify.reduction.options import ReduceOptions, require_mode

if TYPE_CHECKING:
    from eqverify.problem import Problem
    from eqverify.reduction.boxes import BoxReductions
    from eqverify.reduction.directed import DirectedReduction
    from eqverify.reduction.result import Reduction

    Made: TypeAlias = Reduction | BoxReductions | DirectedReduction

_LEAST = 1e-3
"""Seconds that are left where reading took them all."""


_WRITTEN = Group.create_ordered("What is written")
_INPUTS = Group.create_ordered("For which inputs")
_TOLD = Group.create_ordered("What is told")


def reduce(
    network: Path,
    query: Path | None = None,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o", group=_WRITTEN)],
    property_out: Annotated[Path | None, Parameter(group=_WRITTEN)] = None,
    fold_property: Annotated[bool, Parameter(negative="", group=_WRITTEN)] = False,
    property_version: Annotated[Literal["1.0", "2.0"] | None, Parameter(group=_WRITTEN)] = None,
    certificate: Annotated[Path | None, Parameter(group=_WRITTEN)] = None,
    picture: Annotated[Path | None, Parameter(group=_WRITTEN)] = None,
    report: Annotated[Path | None, Parameter(group=_WRITTEN)] = None,
    for_property: Annotated[bool, Parameter(negative="", group=_INPUTS)] = False,
    per_box: Annotated[bool, Parameter(negative="", group=_INPUTS)] = False,
    radius: Annotated[float | None, Parameter(group=_INPUTS)] = None,
    around: Annotated[str | None, Parameter(group=_INPUTS)] = None,
    options: Annotated[ReduceOptions, in_groups(ReduceOptions)] = ReduceOptions(),
    explain: Annotated[bool, Parameter(negative="", group=_TOLD)] = False,
    json: Annotated[Json, Parameter(group=_TOLD)] = False,
) -> None:
    """Write a smaller network that is proved equivalent on the property's inputs, or one for each part of the question.

    For example

        eqverify reduce NET.onnx PROP.vnnlib -o OUT.onnx
        eqverify reduce NET.onnx PROP.vnnlib -o OUT.onnx --certificate OUT.cert --picture layers.svg
        eqverify reduce NET.onnx PROP.vnnlib -o OUT.onnx --property-out OUT.vnnlib --for-property
        eqverify reduce NET.onnx -o OUT.onnx --around 0.1,0.2,0.3 --radius 0.05

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
    picture:
        Also draw the layers before and after (.svg, .png, .pdf); several are numbered as the networks are.
    report:
        Also write a page of this run into this folder (report.html): layers before and after, where time went, what
        would remove more units, and the units that were kept with their bounds.
    certificate:
        Also write a certificate, which `eqverify check` verifies; with --for-property one for each disjunct, with
        its number before the suffix (C-1.cert, ...): that it is unsat, or of the network for it unless that is folded.
    explain:
        Also print for each kept unit why it was kept, by disjunct or box where there are several networks.
    json:
        Print one JSON object instead of the table.
    """
    from eqverify.cli import render
    from eqverify.files import make_folder, sole_writer
    from eqverify.reduction.result import SaveOptions

    page = None if report is None else report / "report.html"
    if report is not None:
        make_folder(report)
    outputs: dict[str, Path | str | None] = {
        "--output": output,
        "--property-out": property_out,
        "--certificate": certificate,
        "--picture": picture,
        "--report": page,
        "--resume": options.resume,
    }
    require_outputs(outputs, (network, query, None if around is None else Path(around)))
    mode = "--for-property" if for_property else "--per-box" if per_box else ""
    require_mode(mode, options, per_box=per_box, certificate=certificate is not None)
    if fold_property and not for_property:
        require_mode("--fold-property", options, certificate=certificate is not None)
    saving = SaveOptions(property_out, fold_property, property_version, certificate)
    clock, start = Clock(), time.perf_counter()
    with sole_writer(output, remove=True):
        with shown_progress(options.time_limit) as progress:
            smooth = not (mode or certificate or options.certified_only)
            problem = local_problem_of(network, query, radius, around, smooth=smooth)
            clock.lap("read")
            keywords = {**keywords_of(options), "certificate": certificate is not None, "progress": progress}
            keywords["time_limit"] = _left(options.time_limit, clock.seconds["read"])
            result = _made(problem, mode, keywords)
        files = result.save(output, **keywords_of(saving))
        if picture is not None:
            result.plot(picture)
        clock.add(result.seconds)
        seconds = {**clock.seconds, "total": time.perf_counter() - start}
        if page is not None:
            _write_page(page, result, files, seconds)
    lines = result.explain() if explain else ""
    if json:
        found = render.reduction_dict(result, files, saving, output)
        told = {"explain": lines.splitlines()} if explain else {}
        print_json("reduce", {**found, "seconds": seconds, **told}, options)
        return
    render.print_reductions(result, files, saving, seconds)
    if explain:
        print(lines)


def _made(problem: Problem, mode: str, keywords: Mapping[str, Any]) -> Made:
    """What a mode makes of a problem."""
    import eqverify as eq

    if mode == "--for-property":
        return eq.reduce_for_property(problem, **keywords)
    if mode == "--per-box":
        return eq.reduce_per_box(problem, **keywords)
    return eq.reduce(problem, **keywords)


def _write_page(page: Path, result: Made, files: Sequence[Any], seconds: Mapping[str, float]) -> None:
    """The page of the run."""
    from eqverify.files import atomic_write
    from eqverify.reduction.page import reduction_page

    listed = [str(file) for own in files for file in ([own] if isinstance(own, Path) else own)]
    command = shlex.join(["eqverify", *sys.argv[1:]])
    atomic_write(page, reduction_page(result, ", ".join(listed), command, seconds))


def _left(limit: TimeLimit, spent: float) -> TimeLimit:
    """What reading left of a limit."""
    return limit if limit == "auto" else max(limit - spent, _LEAST)
