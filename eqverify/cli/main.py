"""The entry point: parses the command line, runs a command, turns errors into exit statuses."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from eqverify import __version__
from eqverify.cli import supervision
from eqverify.errors import ContradictionError, EqverifyError, LimitError, UsageError
from eqverify.files import is_full, not_writable

USAGE = 2
INTERRUPTED = 130

app = App(
    name="eqverify",
    version=__version__,
    help="Verified reduction of ReLU networks: fewer ReLUs, proved equivalent on the property's inputs.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (
    "demo",
    "bounds",
    "info",
    "stability",
    "reduce",
    "passes",
    "check",
    "verify",
    "bench",
    "regions",
    "shallow",
    "equiv",
):
    app.command(f"eqverify.cli.commands.{command}:{command}")  # imported when it is asked for
app.command("eqverify.cli.commands.verify:supports")
app.command("eqverify.cli.commands.completion:completion")


@app.default
def about(*, name: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Print the name of the program (the VNN-LIB 2 standard asks for that).

    Parameters
    ----------
    name:
        Print it.
    """
    if name:
        print(app.name[0])
    else:
        run([])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its status (specs/errors.md)."""
    supervision.allow()
    status = run(sys.argv[1:] if arguments is None else arguments)
    supervision.done()
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0 done, 1 refuted, 2 usage, 3 input, 4 limit, 5 internal, 130 interrupted.
    """
    warnings.filterwarnings("ignore", category=RuntimeWarning, append=True)  # numbers speak for themselves
    try:
        words = _understood(arguments)
        for name in app if words[0] in app.help_flags else ():
            app[name]  # imports the command, whose description is wanted
        status = app(words, exit_on_error=False, print_error=False)
        _flush()
    except KeyboardInterrupt as error:
        return _interrupted(str(error))
    except BrokenPipeError:
        _drop_output()
        return USAGE
    except Exception as error:  # noqa: BLE001 - each gets its exit status
        return _ended() or _failed(_described(error), json="--json" in arguments)
    return status if isinstance(status, int) else 0


def _understood(arguments: Sequence[str]) -> list[str]:
    """The words of a command line; ``help`` and none at all ask for help.

    Raises:
        UsageError: `usage/command`.
    """
    words = list(arguments) or ["--help"]
    if words[0] == "help":
        return [*words[1:2], "--help"]
    commands = [name for name in app if not name.startswith("-")]
    if words[0].startswith("-") or words[0] in commands:
        return words
    import difflib

    close = difflib.get_close_matches(words[0], commands, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    raise UsageError(
        "usage/command", "there is no such command", value=words[0], hint=f"{meant}eqverify --help lists what there is"
    )


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


def _ended() -> int:
    """The exit status where a signal came: what it interrupts, an import for example, raises whatever it likes."""
    received = supervision.ending_signal()
    return _interrupted("") if received == signal.SIGINT else 128 + received if received else 0


def _interrupted(note: str) -> int:
    _tell(f"interrupted; {note}" if note else supervision.INTERRUPTION)
    return INTERRUPTED


def _tell(text: object) -> None:
    """Print to stderr, if that can be."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _described(error: Exception) -> EqverifyError:
    """The error to print for one that is none of ours; with EQVERIFY_DEBUG its traceback instead."""
    if isinstance(error, EqverifyError):
        return error
    if isinstance(error, CycloptsError):
        message = " ".join(str(error).split())
        return UsageError("usage/arguments", message, hint="see eqverify --help, and --help after a command")
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
