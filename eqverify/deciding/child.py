"""Child processes with a limit that holds for everything they start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping


def run_group(
    command: list[str], seconds: float, folder: str, environment: Mapping[str, str] | None = None
) -> tuple[str, str]:
    """Run a command in a process group of its own, which is ended at the limit and whenever we end.

    Returns:
        What it wrote to stdout, and why it failed (empty if it did not).
    """
    try:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
            errors="replace",
        )
    except OSError as error:
        return "", f"cannot be started: {error.strerror}"
    try:
        output, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return "", "time limit"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return output, f"exit status {process.returncode}" if process.returncode else ""
