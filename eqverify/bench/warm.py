"""Commands in processes that branch off one in which everything is loaded: start-up is paid once for a sweep.

The server is that of `multiprocessing`, where the system can fork; it runs one small command before it serves.
"""

from __future__ import annotations

import importlib
import multiprocessing
import threading
import time
from functools import cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.deciding.child import FAREWELL, GLANCE, end_group
from eqverify.errors import UsageError

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from multiprocessing.process import BaseProcess

STDERR = "stderr"
"""The file in a run's folder that it writes to."""

_WARMED = "eqverify.cli.warmed"
"""What a server loads, and where a branched process finds its command line: named, as in `python -m eqverify`."""


def run_warm(words: list[str], seconds: float, folder: str, stop: threading.Event | None = None) -> tuple[str, str]:
    """Run a command line of eqverify in a process group of its own; arguments and result are those of `run_group`.

    Raises:
        UsageError: `bench/no-fork`.
    """
    output = Path(folder, "stdout")
    process = _server().Process(target=_branch, args=(words, folder, str(output)))
    process.start()
    try:
        failure = _failure(process, seconds, stop)
        if failure:
            end_group(process, gently=True)
            process.join(FAREWELL)
    finally:
        end_group(process, gently=False)
        process.kill()  # it may not be a group of its own yet
        process.join()
    if failure:
        return "", failure
    text = output.read_text("utf-8", errors="replace") if output.exists() else ""
    return text, f"exit status {process.exitcode}" if process.exitcode else ""


@cache
def ready() -> None:
    """Wait until the server is warm, so that no run's seconds have what that takes."""
    process = _server().Process(target=importlib.import_module, args=(_WARMED,))
    process.start()
    process.join()


def _server() -> ForkServerContext:
    """The context whose processes branch off the warm one, which starts with the first of them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise UsageError("bench/no-fork", "this system cannot branch processes off", hint="leave out --warm")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_WARMED])
    return context


def _branch(words: list[str], folder: str, output: str) -> None:
    importlib.import_module(_WARMED).branched(words, folder, output)


def _failure(process: BaseProcess, seconds: float, stop: threading.Event | None) -> str:
    """Why a process is to be ended; empty once it has ended by itself."""
    deadline = time.monotonic() + seconds
    while stop is None or not stop.is_set():
        left = deadline - time.monotonic()
        if wait([process.sentinel], timeout=max(min(left, GLANCE), 0.0)):
            return ""
        if left <= 0:
            return "time limit"
    return "stopped"
