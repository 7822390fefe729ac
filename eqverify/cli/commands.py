"""The commands.  Each loads, calls `eqverify.api`, and renders."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from eqverify.cli.progress import shown_progress
from eqverify.errors import Place, UsageError
from eqverify.stability.options import StabilityOptions
from eqverify.transform.driver import Rewriting

Options = Annotated[StabilityOptions, Parameter(name="*")]
Json = Annotated[bool, Parameter(negative="")]


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
    from eqverify import api
    from eqverify.cli import render
    from eqverify.report.layers import layer_rows

    start = time.perf_counter()
    with shown_progress() as progress:
        problem = api.load_problem(network, query)
        read = time.perf_counter() - start
        facts = api.prove_stability(problem, **asdict(options), progress=progress)
    rows = layer_rows(facts)
    seconds = {"read": read, "total": time.perf_counter() - start}
    if json:
        stages = {stage.name: stage.seconds for stage in facts.stages}
        counts = {"evidence": facts.evidence_counts(), **facts.summary()}
        render.print_json({"layers": [r.as_dict() for r in rows], **counts, "seconds": {**seconds, **stages}})
    else:
        render.print_facts(facts, rows, seconds)


def reduce(
    network: Path,
    query: Path,
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    options: Options = StabilityOptions(),
    dtype: Literal["float32", "float64"] | None = None,
    rewriting: Rewriting = "auto",
    max_epsilon: float = 1e-4,
    cross_check: Literal["z3"] | None = None,
    cross_check_timeout: float = 60.0,
    picture: Path | None = None,
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
    explain:
        Also print for each kept unit why it was kept.
    json:
        Print one JSON object instead of the table.
    """
    from eqverify import api
    from eqverify.cli import render

    for path in (output, picture):
        if path is not None:
            require_folder(path)
    start = time.perf_counter()
    with shown_progress() as progress:
        problem = api.load_problem(network, query)
        read = time.perf_counter() - start
        result = api.reduce(
            problem,
            **asdict(options),
            dtype=dtype,
            rewriting=rewriting,
            max_epsilon=max_epsilon,
            cross_check=cross_check,
            cross_check_timeout=cross_check_timeout,
            progress=progress,
        )
    result.save(output)
    if picture is not None:
        result.plot(picture)
    seconds = {"read": read, **result.seconds, "total": time.perf_counter() - start}
    if json:
        render.print_json({**result.as_dict(), "output": str(output), "seconds": seconds})
        return
    render.print_reduction(result, output, seconds)
    if explain:
        print(result.explain())


def info(network: Path, query: Path | None = None, /, *, json: Json = False) -> None:
    """Print what a network and a property hold, and what of them is supported.

    Parameters
    ----------
    network:
        ONNX file.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    json:
        Print one JSON object instead of text.
    """
    from eqverify.cli import render
    from eqverify.cli.description import describe_network, describe_query

    pairs = describe_network(network) + (describe_query(query) if query is not None else [])
    if json:
        render.print_json(dict(pairs))
    else:
        render.print_pairs(pairs)


def demo(*, folder: Path = Path("eqverify-demo")) -> None:
    """Reduce the shipped example, check the result, and draw it.

    Parameters
    ----------
    folder:
        Where the reduced network and the picture are written.
    """
    from eqverify.examples import example_files

    files = example_files()
    require_folder(folder)
    folder.mkdir(exist_ok=True)
    output, picture = folder / "digits-reduced.onnx", folder / "layers.png"
    print(f"eqverify reduce {files.network.name} {files.query.name} -o {output} --picture {picture}\n")
    reduce(files.network, files.query, output=output, picture=picture)
    print(f"\nThe picture of the layers before and after: {picture}")


def require_folder(path: Path) -> None:
    """Raise before any work where the folder of a file to write does not exist.

    Raises:
        UsageError: `files/no-folder`.
    """
    if not path.absolute().parent.is_dir():
        raise UsageError(
            "files/no-folder",
            "the folder to write into does not exist",
            place=Place(file=str(path)),
            value=str(path.parent),
            hint="create it first",
        )
