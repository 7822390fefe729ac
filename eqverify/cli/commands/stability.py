"""`eqverify stability`."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

from eqverify.cli.commands.shared import Json, Options, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.stability.options import StabilityOptions


def stability(network: Path, query: Path, /, *, options: Options = StabilityOptions(), json: Json = False) -> None:
    """Print which ReLU units are stable on the property's inputs, layer by layer.

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
    from eqverify.api.loading import load_problem
    from eqverify.api.proving import prove_stability
    from eqverify.cli import render
    from eqverify.report.layers import layer_rows

    require_outputs({"--resume": options.resume}, (network, query))
    start = time.perf_counter()
    with shown_progress() as progress:
        problem = load_problem(network, query)
        read = time.perf_counter() - start
        facts = prove_stability(problem, **asdict(options), progress=progress)
    rows = layer_rows(facts)
    seconds = {"read": read, "total": time.perf_counter() - start}
    if json:
        stages = {stage.name: stage.seconds for stage in facts.stages}
        about = {"trust": sorted(facts.trust), "reading": problem.reading.as_dict()}
        counts = {"evidence": facts.evidence_counts(), **facts.summary(), **about}
        render.print_json({"layers": [r.as_dict() for r in rows], **counts, "seconds": {**seconds, **stages}})
    else:
        render.print_facts(facts, rows, problem.reading, seconds)
