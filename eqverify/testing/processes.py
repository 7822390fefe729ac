"""Whether processes that should have ended have."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path


def alive(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process still runs after some time to end; one that waits for its parent to look does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if _state(pid) in ("", "Z"):
            return False
        time.sleep(0.1)
    return True


def _state(pid: int) -> str:
    """The letter for what a process does, or empty where there is none."""
    if Path("/proc/self/stat").exists():
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return ""
    command = ["ps", "-o", "state=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()[:1]
