"""Child processes with a limit that holds for everything they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

GLANCE = 0.2
"""Seconds between looks at what may stop a command."""

FAREWELL = 1.0
"""Seconds for a command to end what it started in process groups of their own, as we do."""


def run_group(
    command: list[str],
    seconds: float,
    folder: str,
    environment: Mapping[str, str] | None = None,
    stop: threading.Event | None = None,
    errors: IO[bytes] | None = None,
) -> tuple[str, str]:
    """Run a command in a process group of its own, which is ended at the limit and whenever we end.

    Args:
        command: the program and its arguments.
        seconds: the limit.
        folder: where it runs.
        environment: instead of ours.
        stop: ends the command once it is set, by another thread.
        errors: an open file for what it writes to stderr.

    Returns:
        What it wrote to stdout, and why it failed (empty if it did not).
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if errors is None else errors,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return "", f"cannot be started: {error.strerror}"
    try:
        output = _output(process, seconds, stop)
    except subprocess.TimeoutExpired:
        _ask_to_end(process)
        return "", "time limit"
    except InterruptedError:
        _ask_to_end(process)
        return "", "stopped"
    finally:
        end_group(process, gently=False)
        process.wait()
    return output, f"exit status {process.returncode}" if process.returncode else ""


def _ask_to_end(process: subprocess.Popen[str]) -> None:
    end_group(process, gently=True)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(FAREWELL)


def end_group(process: subprocess.Popen[str] | BaseProcess, *, gently: bool) -> None:
    """End the group of a process; where the system has no groups, the process alone."""
    with contextlib.suppress(ProcessLookupError):
        if process.pid is not None and hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGTERM if gently else signal.SIGKILL)
        elif gently:
            process.terminate()
        else:
            process.kill()


def _output(process: subprocess.Popen[str], seconds: float, stop: threading.Event | None) -> str:
    """What a process wrote, once it has ended.

    Raises:
        subprocess.TimeoutExpired: at the limit.
        InterruptedError: once `stop` is set.
    """
    if stop is None:
        return process.communicate(timeout=seconds)[0]
    deadline = time.monotonic() + seconds
    while not stop.is_set():
        left = deadline - time.monotonic()
        try:
            return process.communicate(timeout=min(left, GLANCE))[0]
        except subprocess.TimeoutExpired:
            if left <= GLANCE:
                raise
    raise InterruptedError
