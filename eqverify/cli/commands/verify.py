"""`eqverify verify` and `eqverify supports`: the solver interface of the VNN-LIB 2 standard."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from eqverify.cli.commands.shared import Json, print_json, require_outputs
from eqverify.cli.progress import shown_progress
from eqverify.cli.supervision import Note, since_start, supervise
from eqverify.deciding.answer import Verification, timed_out
from eqverify.deciding.options import VerifyOptions
from eqverify.errors import EqverifyError, UsageError
from eqverify.files import write_files
from eqverify.numerals import at_most
from eqverify.options import keywords_of

if TYPE_CHECKING:
    from eqverify.frontend.vnnlib import Query
    from eqverify.report.junit import Outcome

_GRACE = 0.5
"""Seconds after the limit until a step that does not look at the time is ended."""

_MOST_WORKERS = 4
"""Processes by default, at most: each takes time to start, and memory."""


def verify(
    network_or_query: Path,
    query: Path | None = None,
    /,
    *,
    network: Annotated[list[str] | None, Parameter(negative="", consume_multiple=False)] = None,
    serialise_assignments: Path | None = None,
    result_file: Path | None = None,
    junit: Path | None = None,
    proof: Path | None = None,
    backend: str = "scip",
    options: Annotated[VerifyOptions, Parameter(name="*", negative_iterable=())] = VerifyOptions(),
    json: Json = False,
) -> None:
    """Decide whether an input satisfies a property: prints sat, unsat, unknown or timed-out, then the assignment.

    For example

        eqverify verify NET.onnx PROP.vnnlib --timeout 20
        eqverify verify PROP.vnnlib --network f=F.onnx --network g=G.onnx

    Parameters
    ----------
    network_or_query:
        ONNX file, before the property; or the VNN-LIB file alone, with --network.
    query:
        VNN-LIB file, version 1.0 or 2.x.
    network:
        NAME=FILE.onnx for each network that the property declares; FILE.onnx, or =FILE.onnx, where there is only one.
    serialise_assignments:
        Write the assignment into this folder, one ONNX tensor per variable, instead of printing it.
    result_file:
        Also write the answer as the competition wants it; an input counts only where onnxruntime shows it exactly.
    junit:
        Also write the answer as JUnit's XML, for systems for continuous integration: unsat passes, sat is a failure,
        and what is neither an error.
    proof:
        Write a proof of sat or unsat, which `eqverify check NETWORK PROPERTY PROOF` verifies; what has none is unknown.
    backend:
        scip[:milp], marabou, portfolio[:A,B], command:SCRIPT, or one of another package.
    options:
        Limits, and whose word counts.
    json:
        Print one JSON object instead.
    """
    query, networks = _files(network_or_query, query, network or [])
    outputs: dict[str, Path | str | None] = {"--result-file": result_file, "--proof": proof, "--junit": junit}
    require_outputs(outputs, (query, *map(Path, networks.values())))
    question = ", ".join(networks.values()), str(query)
    with _errors_told(junit, question):
        _decide(
            networks, query, _Told(question, result_file, junit, proof, serialise_assignments, json), backend, options
        )


@dataclass(frozen=True, slots=True)
class _Told:
    """Where an answer goes.

    Attributes:
        question: names of the networks, and of the property.
        result_file, junit, proof, assignments: files and a folder to be written, if they are wanted.
        json: whether it is printed as a JSON object.
    """

    question: tuple[str, str]
    result_file: Path | None
    junit: Path | None
    proof: Path | None
    assignments: Path | None
    json: bool


def _decide(networks: dict[str, str], query: Path, told: _Told, backend: str, options: VerifyOptions) -> None:
    """Decide, in a process that is ended at the limit, and tell."""
    timeout = options.timeout
    left = max(timeout - since_start(), timeout / 2)
    relus, claimed = Note(), Note()
    announce = supervise(left + _GRACE)
    if announce is None:  # the run was ended at the limit
        answer = timed_out(timeout, relus.read(), claimed.read(), options.semantics)
        if told.json:
            print_json("verify", answer.as_dict(), options)
        else:
            print(answer.verdict, flush=True)
        _write(answer, told)
        print(_summary(answer), file=sys.stderr)
        return
    start = time.monotonic()
    import eqverify as eq
    from eqverify.execution import usable_cores

    with shown_progress(options.timeout) as progress:
        parsed = eq.load_query(query)
        workers = min(usable_cores(), _MOST_WORKERS) if options.workers is None else options.workers
        decide = eq.verify  # loads all that it needs, which takes a while
        own = replace(options, timeout=max(left - (time.monotonic() - start), left / 2), workers=workers)
        heard: dict[str, Any] = {"progress": progress, "counted": relus.write, "claimed": claimed.write}
        heard |= {"proof": told.proof is not None, "exactly": told.result_file is not None}
        answer = decide(parsed, networks, backend=backend, **keywords_of(own), **heard)
    announce()
    _write(answer, told, parsed)
    if told.proof is not None and answer.proof is not None:
        write_files({told.proof: answer.proof})
    if told.json:
        print_json("verify", answer.as_dict(), options)
    else:
        _print(parsed, answer, told.assignments)
    print(_summary(answer), file=sys.stderr)


def _write(answer: Verification, told: _Told, query: Query | None = None) -> None:
    """The result file and the XML, where they are wanted."""
    if told.result_file is not None:
        from eqverify.cli import assignments

        assignments.write_result(told.result_file, answer, query)
    outcomes: dict[str, Outcome] = {"unsat": "passed", "sat": "failure"}
    message = "an input satisfies the property" if answer.verdict == "sat" else answer.reason or answer.verdict
    _write_junit(told.junit, told.question, outcomes.get(answer.verdict, "error"), message, _summary(answer))


@contextmanager
def _errors_told(junit: Path | None, question: tuple[str, str]) -> Iterator[None]:
    """Write an error, as far as it is one of ours, into the XML that is wanted."""
    try:
        yield
    except EqverifyError as error:
        _write_junit(junit, question, "error", error.code, str(error))
        raise


def _write_junit(path: Path | None, question: tuple[str, str], outcome: Outcome, message: str, log: str) -> None:
    if path is not None:
        from eqverify.report.junit import Case, junit

        write_files({path: junit({"eqverify verify": [Case(*question, since_start(), outcome, message, log)]})})


def _files(first: Path, second: Path | None, options: list[str]) -> tuple[Path, dict[str, str]]:
    """The property, and the networks by name; an empty one stands for the only one declared.

    Raises:
        UsageError: `usage/networks`.
    """
    networks = {} if second is None else {"": str(first)}
    for option in options:
        name, _, path = option.partition("=") if "=" in option else ("", "", option)
        if not path or name in networks or second is not None:
            raise UsageError(
                "usage/networks",
                "a network is given once: before the property, or as --network NAME=FILE, each name once",
                value=option,
            )
        networks[name] = path
    if not networks:
        hint = "eqverify verify NET.onnx PROP.vnnlib, or --network NAME=FILE for each network"
        raise UsageError("usage/networks", "the network is missing", value=first, hint=hint)
    return second or first, networks


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
    proofs = [word for word in answer.evidence if word not in claims and not (word == "bounds" and answer.means)]
    proofs = [*answer.means, *proofs]
    parts += [f"proved by {', '.join(proofs)}"] if proofs else []
    parts += claims
    parts += [f"claimed: {answer.claimed}"] if answer.claimed else []
    parts += [f"reason: {answer.reason}"] if answer.reason else []
    if answer.relus_after is not None:
        parts.append(f"{answer.relus_before} ReLUs, {answer.relus_after} left for the backend")
    parts += [f"read {reading}" for reading in answer.readings]
    about = "real arithmetic"
    if answer.semantics == "float32":
        off = "" if answer.run_error is None else f", which are off by at most {at_most(answer.run_error)}"
        about = f"float32 runs{off}"
    return f"{'; '.join(parts)}; {seconds:.2f} s; {about}"


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
