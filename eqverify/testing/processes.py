"""Whether processes that should have ended have."""

from __future__ import annotations

import time
from pathlib import Path


def alive(pid: int, seconds: float = 5.0) -> bool:
    """Whether a process still runs after some time to end; one that waits for its parent to look does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.1)
    return True
