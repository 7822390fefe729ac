"""The entry point: parses the command line, runs a command, turns errors into exit statuses."""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eqverify.cli import supervision
from eqverify.cli.overview import COMMANDS, told
from eqverify.errors import ContradictionError, EqverifyError, LimitError, UsageError
from eqverify.files import is_full, not_writable

if TYPE_CHECKING:
    from eqverify.stability.journal import Journal

USAGE = 2
INTERRUPTED = 130
_RESUMABLE = ("reduce", "stability")
"""Commands that keep a journal."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its status (specs/errors.md)."""
    supervision.allow()
    status = run(sys.argv[1:] if arguments is None else arguments)
    supervision.done(status)
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0 done, 1 refuted, 2 usage, 3 input, 4 limit, 5 internal, 130 interrupted.
    """
    warnings.filterwarnings("ignore", category=RuntimeWarning, append=True)  # numbers speak for themselves
    try:
        words = _understood(arguments)
        status = 0 if told(words) else _command(words)
        _flush()
    except KeyboardInterrupt as error:
        return _interrupted(str(error) or _going_on(arguments, getattr(error, "journal", None)))
    except BrokenPipeError:
        _drop_output()
        return USAGE
    except Exception as error:  # noqa: BLE001 - each gets its exit status
        return _ended(arguments) or _failed(_described(error), json="--json" in arguments)
    return status


def _understood(arguments: Sequence[str]) -> list[str]:
    """The words of a command line; ``help`` is one too.

    Raises:
        UsageError: `usage/command`.
    """
    words = list(arguments)
    if not words or words[0].startswith("-") or words[0] in COMMANDS:
        return words
    if words[0] == "help":
        return [*words[1:2], "--help"]
    import difflib

    close = difflib.get_close_matches(words[0], COMMANDS, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        "usage/command", "there is no such command", value=words[0], hint=f"{meant}eqverify --help lists what there is"
    )


def _command(arguments: Sequence[str]) -> int:
    """Run a command, importing what it needs; its exit status.

    Raises:
        UsageError: `usage/arguments`.
    """
    from cyclopts import CycloptsError

    from eqverify.cli.app import app

    try:
        status = app(list(arguments), exit_on_error=False, print_error=False)
    except CycloptsError as error:
        hint = "see eqverify --help, and --help after a command"
        raise UsageError("usage/arguments", " ".join(str(error).split()), hint=hint) from error
    return status if isinstance(status, int) else 0


def _flush() -> None:
    """Have what was printed written.

    Raises:
        UsageError: `files/not-writable`.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise not_writable("standard output", error) from error


def _drop_output() -> None:
    """Have what could not be printed not be tried again when Python ends."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: EqverifyError, *, json: bool) -> int:
    """Print an error after whatever else there is to print; to stdout too, where an object is waited for."""
    try:
        if json:
            from eqverify.cli.commands.shared import print_json

            print_json("error", {"error": error.as_dict()})
        _flush()
    except (EqverifyError, OSError):
        _drop_output()
    _tell(error)
    return error.exit_status


def _ended(arguments: Sequence[str]) -> int:
    """The exit status where a signal came: what it interrupts, an import for example, raises whatever it likes."""
    received = supervision.ending_signal()
    return _interrupted(_going_on(arguments)) if received == signal.SIGINT else 128 + received if received else 0


def _interrupted(note: str) -> int:
    _tell(f"interrupted; {note}" if note else supervision.INTERRUPTION)
    return INTERRUPTED


def _going_on(arguments: Sequence[str], journal: Journal | None = None) -> str:
    """What is left of a proof that was interrupted, and the command that goes on with it, or empty.

    Args:
        arguments: of the command.
        journal: of the proof; what it holds in memory is written to a new file in the current folder.
    """
    if not arguments or arguments[0] not in _RESUMABLE or {"--for-property", "--per-box"}.intersection(arguments):
        return ""
    if any(word.partition("=")[0] == "--resume" for word in arguments):
        return f"what was proved is in the journal, and the same command goes on:\n  {_typed(arguments)}"
    path = Path(f"eqverify-{secrets.token_hex(3)}.journal")
    try:
        if journal is None:
            return ""
        journal.leave(path)
    except OSError:
        return ""
    return f"what was proved is in {path}, and this goes on:\n  {_typed([*arguments, '--resume', str(path)])}"


def _typed(arguments: Sequence[str]) -> str:
    return shlex.join(["eqverify", *arguments])


def _tell(text: object) -> None:
    """Print to stderr, if that can be."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _described(error: Exception) -> EqverifyError:
    """The error to print for one that is none of ours; with EQVERIFY_DEBUG its traceback instead."""
    if isinstance(error, EqverifyError):
        return error
    if isinstance(error, MemoryError):
        return LimitError("internal/memory", "the machine has not enough memory for this", hint="use a smaller network")
    if isinstance(error, OSError) and is_full(error):
        return not_writable(error.filename or "output", error)
    if os.environ.get("EQVERIFY_DEBUG"):
        raise error
    return ContradictionError(
        "internal/unexpected",
        "a defect of eqverify: an error that nobody expected",
        value=f"{type(error).__name__}: {error}",
        hint="set EQVERIFY_DEBUG=1 for the traceback, and please report it with the files",
    )
