"""One instance in a process of its own, with a hard limit."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import Any

from eqverify.bench.instances import Instance, Row
from eqverify.deciding.child import run_group
from eqverify.errors import EqverifyError
from eqverify.trust import NOBODY, Trust

_GRACE = 5.0
"""Seconds after the limit until the process is killed; an answer after the limit counts as a timeout anyway."""

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
    """

    backend: str
    reduction: bool
    seed: int = 0
    workers: int | None = None
    trust: Trust = NOBODY


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result with what else the run said.

    Attributes:
        row: for the CSV file.
        details: as `Verification.as_dict`, without the witness; or the reason of an error.
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
    command = [sys.executable, "-m", "eqverify", "verify", str(query), "--network", f"={network}", "--json"]
    command += ["--timeout", str(instance.timeout), "--backend", settings.backend, "--seed", str(settings.seed)]
    command += [] if settings.reduction else ["--no-reduction"]
    command += [] if settings.workers is None else ["--workers", str(settings.workers)]
    command += ["--trust", ",".join(sorted(settings.trust))] if settings.trust else []
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="eqverify-", ignore_cleanup_errors=True) as folder:
        output, failure = run_group(command, instance.timeout + _GRACE, folder, stop=stop)
    seconds = time.perf_counter() - start
    result, details = _judge(output, failure, seconds > instance.timeout)
    return Outcome(Row(instance.key, prepare, result, seconds, details.get("claimed")), details)


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
