"""How long work tells its caller how far it is.  The package itself never prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called with the stage's name, what is done and what there is to do in it.

    What it raises ends the job and reaches the job's caller: so a job is cancelled.

    >>> import eqverify as eq
    >>> def stop_at_writing(stage, done, total):
    ...     if stage == "reduce":
    ...         raise TimeoutError(stage)
    >>> eq.reduce(*eq.example_files(), engine="crown", progress=stop_at_writing)
    Traceback (most recent call last):
    TimeoutError: reduce
    """

    def __call__(self, stage: str, done: int, total: int) -> None: ...


def silent(stage: str, done: int, total: int) -> None:
    """The default: tells nobody."""
