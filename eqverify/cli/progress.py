"""Progress on stderr: one line that changes on a terminal and in a notebook, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from eqverify.budget import TimeLimit
from eqverify.progress import Progress

_FIRST, _LONGEST = 10.0, 60.0
"""Seconds until the first line where there is no terminal, and the longest time between two."""


class Log:
    """A progress callback that knows in a line how far the job is, and says so now and then.

    Args:
        say: takes a line when one is due: after ten seconds, then after twice as long each time, at least every minute.
        limit: seconds after which the job stops, if it has a limit.
        clock: seconds since any moment.
    """

    def __init__(
        self, say: Callable[[str], None], limit: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._limit, self._clock = say, limit, clock
        self._begun = self._stage_begun = clock()
        self._stage, self._done, self._total = "starting", 0, 1
        self._due, self._pause = _FIRST, _FIRST

    def __call__(self, stage: str, done: int, total: int) -> None:
        """As `Progress`."""
        if stage != self._stage:
            self._stage_begun = self._clock()
        self._stage, self._done, self._total = stage, done, total
        passed = self._clock() - self._begun
        if passed >= self._due:
            self._say(self.line())
            self._pause = min(2 * self._pause, _LONGEST)
            self._due = passed + self._pause

    def line(self) -> str:
        """The stage, how much of it is done, the seconds so far, and how many may be left."""
        now = self._clock()
        passed = now - self._begun
        share = f" {self._done} of {self._total}" if self._total > 1 else ""
        told = f"{self._stage}{share}; {passed:.0f} s"
        if self._total > 1 and 0 < self._done < self._total:
            rest = (now - self._stage_begun) * (self._total - self._done) / self._done
            told += f", about {rest:.0f} s left of this stage"
        if self._limit is not None:
            told += f", {max(self._limit - passed, 0.0):.0f} s left of the time limit"
        return told


@contextmanager
def shown_progress(limit: TimeLimit | None = None) -> Iterator[Progress]:
    """A progress callback for a command or a session; what it shows on a terminal or in a notebook is gone in the end.

    >>> import eqverify as eq
    >>> with eq.shown_progress() as progress:
    ...     eq.reduce(*eq.example_files(), engine="crown", progress=progress)
    <Reduction: 120 -> 40 ReLUs, 5410 -> 1535 weights, eps 8.66e-07, sequential>

    Args:
        limit: seconds after which the job stops, if it has a limit.
    """
    seconds = None if limit == "auto" else limit
    if not (sys.stderr.isatty() or _in_notebook()):
        yield Log(lambda line: print(f"eqverify: {line}", file=sys.stderr, flush=True), seconds)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    log = Log(lambda _: None, seconds)
    with Live(
        get_renderable=lambda: Text(log.line(), no_wrap=True, overflow="ellipsis"),
        console=Console(stderr=True),
        transient=True,
    ):
        yield log


def _in_notebook() -> bool:
    """Whether this is a notebook's process, and what rich needs to change a line there is installed."""
    return "ipykernel" in sys.modules and find_spec("ipywidgets") is not None
