"""The entry point: parses the command line, runs a command, turns errors into exit statuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from eqverify import __version__
from eqverify.cli import supervision
from eqverify.cli.commands.bench import bench
from eqverify.cli.commands.check import check
from eqverify.cli.commands.demo import demo
from eqverify.cli.commands.equiv import equiv
from eqverify.cli.commands.info import info
from eqverify.cli.commands.reduce import reduce
from eqverify.cli.commands.regions import regions
from eqverify.cli.commands.shallow import shallow
from eqverify.cli.commands.stability import stability
from eqverify.cli.commands.verify import supports, verify
from eqverify.errors import ContradictionError, EqverifyError, LimitError

USAGE = 2
INTERRUPTED = 130

app = App(
    name="eqverify",
    version=__version__,
    help="Verified reduction of ReLU networks: fewer ReLUs, proved equivalent on the property's inputs.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (demo, info, stability, reduce, check, verify, supports, bench, regions, shallow, equiv):
    app.command(command)


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
        app.help_print([])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line and exit with its status (design, section 6)."""
    supervision.allow()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run one command line.

    Returns:
        The exit status: 0 done, 1 refuted, 2 usage, 3 input, 4 limit, 5 internal, 130 interrupted.
    """
    try:
        status = app(list(arguments) or ["--help"], exit_on_error=False, print_error=False)
    except CycloptsError as error:
        message = " ".join(str(error).split())
        hint = "see eqverify --help, and --help after a command"
        print(f"error[usage/arguments]: {message}\n  hint: {hint}", file=sys.stderr)
        return USAGE
    except EqverifyError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt as error:
        print(f"interrupted; {str(error) or 'nothing was written'}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return USAGE
    except MemoryError:
        limit = LimitError(
            "internal/memory", "the machine has not enough memory for this", hint="use a smaller network"
        )
        print(limit, file=sys.stderr)
        return limit.exit_status
    except Exception as error:
        if os.environ.get("EQVERIFY_DEBUG"):
            raise
        print(_unexpected(error), file=sys.stderr)
        return ContradictionError.exit_status
    return status if isinstance(status, int) else 0


def _unexpected(error: Exception) -> EqverifyError:
    return ContradictionError(
        "internal/unexpected",
        "a defect of eqverify: an error that nobody expected",
        value=f"{type(error).__name__}: {error}",
        hint="set EQVERIFY_DEBUG=1 for the traceback, and please report it with the files",
    )
