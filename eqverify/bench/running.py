"""One instance in a process of its own, with a hard limit."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eqverify.bench.instances import SOLVED, Instance, Key, Proof, Row
from eqverify.bench.warm import STDERR, ready, run_warm
from eqverify.deciding.child import run_group
from eqverify.errors import EqverifyError
from eqverify.files import make_folder, plain_name
from eqverify.trust import NOBODY, Trust

_GRACE = 5.0
"""Seconds after the limit until the process is killed; an answer after the limit counts as a timeout anyway."""

_CHECK_SHARE = 2.0
"""Of an instance's limit, that its check may take."""

_LOG_BYTES = 4000
"""Of what a run writes to stderr, the last so many are kept."""

_COMPETITION = {"timed-out": "timeout"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What is the same for all instances of a sweep.

    Attributes:
        backend: as `eqverify.deciding`.
        reduction: likewise.
        seed: likewise.
        workers: processes of each run; None for as many as `verify` finds useful.
        trust: whose claims are used, as for `verify`.
        proofs: absolute path of the folder for proofs, which the workers of a cluster share; None for no proofs.
        warm: whether runs branch off a process in which everything is loaded.
        facts: absolute path of the folder of facts that all runs share; None for none.
    """

    backend: str
    reduction: bool
    seed: int = 0
    workers: int | None = None
    trust: Trust = NOBODY
    proofs: str | None = None
    warm: bool = False
    facts: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result with what else the run said.

    Attributes:
        row: for the CSV file.
        details: as `Verification.as_dict`, without the witness; or the reason of an error. And ``log``: the command,
            and the end of what it wrote to stderr.
    """

    row: Row
    details: dict[str, Any]


def run_instance(instance: Instance, settings: Settings, stop: threading.Event | None = None) -> Outcome:
    """Run ``eqverify verify`` on an instance; whatever goes wrong is the result ``error``.

    Args:
        instance: what to run.
        settings: how.
        stop: ends the run once it is set; the outcome is of no use then.
    """
    start = time.perf_counter()
    try:
        network, query = instance.path(instance.network), instance.path(instance.query)
    except EqverifyError as error:
        return Outcome(Row(instance.key, time.perf_counter() - start, "error", 0.0), {"reason": error.code})
    prepare = time.perf_counter() - start
    command = ["verify", str(query), "--network", f"={network}", "--json"]
    command += ["--timeout", str(instance.timeout), "--backend", settings.backend, "--seed", str(settings.seed)]
    command += [] if settings.reduction else ["--no-reduction"]
    command += [] if settings.workers is None else ["--workers", str(settings.workers)]
    command += ["--trust", ",".join(sorted(settings.trust))] if settings.trust else []
    command += [] if settings.facts is None else ["--facts", settings.facts]
    proof = None if settings.proofs is None else proof_file(Path(settings.proofs), instance.key)
    if proof is not None:
        make_folder(proof.parent)
        proof.unlink(missing_ok=True)
        command += ["--proof", str(proof)]
    output, failure, seconds, log = _run(command, instance.timeout + _GRACE, settings.warm, stop)
    result, details = _judge(output, failure, seconds > instance.timeout)
    details["log"] = f"$ {shlex.join(['eqverify', *command])}\n{log}"
    checked = None
    if proof is not None and result in SOLVED and proof.is_file():
        limit = _CHECK_SHARE * instance.timeout + _GRACE
        output, failure, taken, _ = _run(["check", str(network), str(query), str(proof)], limit, settings.warm, stop)
        checked = Proof(proof.stat().st_size, taken, _checked(output, failure))
    return Outcome(Row(instance.key, prepare, result, seconds, details.get("claimed"), checked), details)


def proof_file(folder: Path, key: Key) -> Path:
    """Where the proof of an instance is kept, by category; names of files can be alike, so that a digest is added."""
    category, *names = key
    plain = "-".join(Path(name).name.split(".")[0] for name in names)
    digest = hashlib.sha256("\0".join(key).encode()).hexdigest()
    return folder / plain_name(category) / f"{plain_name(plain)}-{digest[:8]}.proof"


def _run(words: list[str], limit: float, warm: bool, stop: threading.Event | None) -> tuple[str, str, float, str]:
    """What a command of ours writes, why it failed, its wall time in seconds, and the end of its stderr."""
    if warm:
        ready()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="eqverify-", ignore_cleanup_errors=True) as folder:
        with Path(folder, STDERR).open("wb") as errors:
            if warm:
                output, failure = run_warm(words, limit, folder, stop)
            else:
                command = [sys.executable, "-m", "eqverify", *words]
                output, failure = run_group(command, limit, folder, stop=stop, errors=errors)
        seconds = time.perf_counter() - start
        with Path(folder, STDERR).open("rb") as errors:
            errors.seek(max(errors.seek(0, os.SEEK_END) - _LOG_BYTES, 0))
            log = errors.read(_LOG_BYTES).decode(errors="replace")
    return output, failure, seconds, log


def _checked(output: str, failure: str) -> str:
    """What `check` says, "verified sat" or "rejected CODE", or why it says nothing."""
    return " ".join(output.split()[:2]) if failure in ("", "exit status 1") else failure


def _judge(output: str, failure: str, late: bool) -> tuple[str, dict[str, Any]]:
    if failure == "time limit" or late:
        return "timeout", {"reason": failure or "answered after the limit"}
    try:
        details = json.loads(output)
        result = _COMPETITION.get(details["verdict"], details["verdict"])
    except (ValueError, KeyError, TypeError):
        return "error", {"reason": failure or "no answer"}
    details.pop("witness", None)
    return result, details
