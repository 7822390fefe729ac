"""`eqverify verify` and `eqverify supports`: the solver interface of the VNN-LIB 2 standard."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.cli.supervision import Note, since_start, supervise
from eqverify.errors import UsageError
from eqverify.trust import trusting

if TYPE_CHECKING:
    from eqverify.api.answers import Verification
    from eqverify.frontend.vnnlib import Query

_GRACE = 0.5
"""Seconds after the limit until a step that does not look at the time is ended."""

_MOST_WORKERS = 4
"""Processes by default, at most: each takes time to start, and memory."""


def verify(
    query: Path,
    /,
    *,
    network: Annotated[list[str], Parameter(consume_multiple=False)],
    timeout: float = 60.0,
    serialise_assignments: Path | None = None,
    result_file: Path | None = None,
    backend: str = "scip",
    reduction: bool = True,
    seed: int = 0,
    workers: int | None = None,
    trust: str = "",
    json: Json = False,
) -> None:
    """Decide whether an input satisfies a property: prints sat, unsat, unknown or timed-out, then the assignment.

    Parameters
    ----------
    query:
        VNN-LIB file, version 1.0 or 2.x.
    network:
        NAME=FILE.onnx for each network that the property declares; version 1.0 takes any name, and =FILE.onnx stands
        for the only one declared.
    timeout:
        Seconds in all, start-up included, of which half are for deciding at least.
    serialise_assignments:
        Write the assignment into this folder, one ONNX tensor per variable, instead of printing it.
    result_file:
        Also write the answer as the competition wants it.
    backend:
        scip[:milp], marabou, portfolio[:A,B], command:SCRIPT, or one of another package.
    reduction:
        Reduce the network before the backend sees it.
    seed:
        Of random points.
    workers:
        Processes for what can be shared out; by default as many as there are cores, up to 4.
    trust:
        Solvers whose unsat is used where no proof of it is found, as in "scip,marabou"; by default nobody's is.
    json:
        Print one JSON object instead.
    """
    networks = _named(network)
    require_outputs({"--result-file": result_file}, (query, *map(Path, networks.values())))
    if not timeout > 0:
        raise UsageError("usage/limit", "timeout must be a positive number of seconds", value=timeout)
    believed = trusting(trust)
    left = max(timeout - since_start(), timeout / 2)
    relus, claimed = Note(), Note()
    announce = supervise(left + _GRACE)
    if announce is None:
        _give_up(timeout, relus.read(), claimed.read(), result_file, json)
        return
    from eqverify.api import verification
    from eqverify.api.loading import load_query
    from eqverify.cli import assignments, render
    from eqverify.execution import usable_cores

    with shown_progress() as progress:
        start = time.monotonic()
        parsed = load_query(query)
        answer = verification.verify(
            parsed,
            networks,
            backend=backend,
            timeout=max(left - (time.monotonic() - start), left / 2),
            reduction=reduction,
            seed=seed,
            workers=min(usable_cores(), _MOST_WORKERS) if workers is None else workers,
            trust=believed,
            progress=progress,
            counted=relus.write,
            claimed=claimed.write,
        )
    announce()
    if result_file is not None:
        assignments.write_result(result_file, answer)
    if json:
        render.print_json(answer.as_dict())
    else:
        _print(parsed, answer, serialise_assignments)
    print(_summary(answer), file=sys.stderr)


def _give_up(timeout: float, relus: int, claimed: int, result_file: Path | None, json: bool) -> None:
    """Answer for a run that was ended at the limit."""
    if not json:
        print("timed-out", flush=True)
    from eqverify.api.answers import timed_out
    from eqverify.cli import assignments, render

    answer = timed_out(timeout, relus, claimed)
    if result_file is not None:
        assignments.write_result(result_file, answer)
    if json:
        render.print_json(answer.as_dict())
    print(_summary(answer), file=sys.stderr)


def _named(options: list[str]) -> dict[str, str]:
    """The networks by name.

    Raises:
        UsageError: `usage/networks`.
    """
    networks: dict[str, str] = {}
    for option in options:
        name, found, path = option.partition("=")
        if not found or not path or name in networks:
            raise UsageError("usage/networks", "a network is given as NAME=FILE, each name once", value=option)
        networks[name] = path
    return networks


def _print(query: Query, answer: Verification, folder: Path | None) -> None:
    from eqverify.cli import assignments

    print(answer.verdict)
    if answer.witness is None:
        return
    if folder is None:
        print("\n".join(assignments.lines(query, answer.witness)))
    elif not assignments.serialise(query, answer.witness, folder):
        print("the files hold the nearest floats of this assignment:", file=sys.stderr)
        print("\n".join(assignments.lines(query, answer.witness)), file=sys.stderr)


def _summary(answer: Verification) -> str:
    seconds = sum(answer.seconds.values())
    parts = [f"answer by {answer.backend}" if answer.backend else "no backend was asked"]
    claims = [word for word in answer.evidence if word.startswith("claim of")]
    proofs = [word for word in answer.evidence if word not in claims]
    parts += [f"proved by {', '.join(proofs)}"] if proofs else []
    parts += claims
    parts += [f"claimed: {answer.claimed}"] if answer.claimed else []
    parts += [f"reason: {answer.reason}"] if answer.reason else []
    if answer.relus_after is not None:
        parts.append(f"{answer.relus_before} ReLUs, {answer.relus_after} left for the backend")
    parts += [f"read {reading}" for reading in answer.readings]
    return f"{'; '.join(parts)}; {seconds:.2f} s; real arithmetic"


def supports(
    *,
    onnx_opset_versions: Annotated[bool, Parameter(negative="")] = False,
    onnx_element_types: Annotated[bool, Parameter(negative="")] = False,
    onnx_operators: Annotated[bool, Parameter(negative="")] = False,
    vnnlib_versions: Annotated[bool, Parameter(negative="")] = False,
    hidden_node_theories: Annotated[bool, Parameter(negative="")] = False,
    multiple_input_output_theories: Annotated[bool, Parameter(negative="")] = False,
    multiple_network_theories: Annotated[bool, Parameter(negative="")] = False,
    multiple_node_comparison_theories: Annotated[bool, Parameter(negative="")] = False,
    arithmetic_complexity_theories: Annotated[bool, Parameter(negative="")] = False,
    optimised_disjunctive_reasoning: Annotated[bool, Parameter(negative="")] = False,
    serialise_assignments: Annotated[bool, Parameter(negative="")] = False,
    unsat_proofs: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Print one capability, as the VNN-LIB 2 standard asks for it (its section "The supports command")."""
    from eqverify.cli.capabilities import capability

    chosen = [name for name, value in locals().items() if value is True]
    if len(chosen) != 1:
        raise UsageError("usage/capability", "name one capability", value=", ".join(chosen) or "none")
    print("\n".join(capability(chosen[0])))
