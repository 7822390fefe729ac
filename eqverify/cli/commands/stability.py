"""`eqverify stability`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from eqverify.cli.commands.shared import Json, in_groups, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.options import keywords_of
from eqverify.stability.options import StabilityOptions


def stability(
    network: Path,
    query: Path,
    /,
    *,
    options: Annotated[StabilityOptions, in_groups(StabilityOptions)] = StabilityOptions(),
    json: Json = False,
) -> None:
    """Print which ReLU units are stable on the property's inputs, layer by layer.

    For example

        eqverify stability NET.onnx PROP.vnnlib --time-limit 20

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    options:
        Limits and engine.
    json:
        Print one JSON object instead of the table.
    """
    import eqverify as eq
    from eqverify.cli import render
    from eqverify.report.layers import layer_rows

    require_outputs({"--resume": options.resume}, (network, query))
    start = time.perf_counter()
    with shown_progress(options.time_limit) as progress:
        problem = eq.load_problem(network, query, as_stored=True, roundings=True, smooth=True)
        read = time.perf_counter() - start
        facts = eq.prove_stability(problem, **keywords_of(options), progress=progress)
    rows = layer_rows(facts)
    seconds = {"read": read, "total": time.perf_counter() - start}
    if json:
        stages = {stage.name: stage.seconds for stage in facts.stages}
        about = {"trust": sorted(facts.trust), "reading": problem.reading.as_dict()}
        counts = {"evidence": facts.evidence_counts(), **facts.summary(), **about}
        found = {"layers": [row.as_dict() for row in rows], **counts, "seconds": {**seconds, **stages}}
        print_json("stability", found, options)
    else:
        render.print_facts(facts, rows, problem.reading, seconds)
