"""An answer by the limit even where a step hangs: the command goes on in a child process, which its parent watches.

Numerical libraries cannot be interrupted from inside.  Before it prints, the child announces its answer; where none is
announced at the limit the parent ends it and answers itself, so that exactly one of them does.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

_PATIENCE = 30.0
"""Seconds for printing and writing an answer that was announced."""

_FAREWELL = 0.5
"""Seconds for a child to end its own children."""

_LONGEST = 1e8
"""Seconds that `select` can wait."""

_NOTE_BYTES = 8

INTERRUPTION = "interrupted; nothing was written"

_alone = False
_received = 0
_received_at = 0.0
_began = time.monotonic()
_writer: int | None = None
"""In a child: where the parent listens."""


def allow() -> None:
    """Say that this process runs one command line and nothing else, so that it may fork and take signals."""
    global _alone  # noqa: PLW0603 - a fact about the process
    _alone = True
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """End quietly where Ctrl-C strikes while modules are loaded."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ours = ours and threading.current_thread() is threading.main_thread()
    if ours:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    except (Exception, KeyboardInterrupt):
        if not _received:
            raise
        print(INTERRUPTION, file=sys.stderr)
        raise SystemExit(128 + _received) from None
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def ending_signal() -> int:
    """The signal that ended this process, sent by Ctrl-C or the parent, or 0: what is raised after it is no defect."""
    return _received


def done(status: int) -> None:
    """Say that the answer is out, and the exit status: what is left is to end, undisturbed, however long it takes."""
    if _alone:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _writer is not None:
        with contextlib.suppress(OSError):
            os.write(_writer, bytes([status & 0xFF]))


def _interrupt(*_: object) -> None:
    """As Python does, and remember it; Ctrl-C may arrive twice, from the terminal and from the parent."""
    global _received, _received_at
    now = time.monotonic()
    if _received and now - _received_at < _FAREWELL:
        return
    _received, _received_at = signal.SIGINT, now
    raise KeyboardInterrupt


def since_start() -> float:
    """Seconds since the program began, without the interpreter's own; 0 where the process does other things too."""
    return time.monotonic() - _began if _alone else 0.0


class Note:
    """A count that the child leaves for its parent, in memory that both have: made before `supervise` forks."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _NOTE_BYTES)

    def write(self, number: int) -> None:
        """Leave a number of at least 0."""
        self._memory[:] = number.to_bytes(_NOTE_BYTES, "little")

    def read(self) -> int:
        """What was left last; 0 if nothing was."""
        return int.from_bytes(self._memory[:], "little")


def supervise(seconds: float) -> Callable[[], None] | None:
    """Go on in a child process.

    Args:
        seconds: until the child must have announced an answer.

    Returns:
        In the child, the function that announces an answer, to be called right before it is printed.  In the parent
        None, once time is over and the child has been ended.  Where forking was not allowed, or the system
        cannot, there is no child, and nobody watches.

    Raises:
        SystemExit: in the parent, with the child's status, when the child has ended.
    """
    global _writer  # noqa: PLW0603 - a fact about the process
    if not _alone or not hasattr(os, "fork"):
        return lambda: None
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.signal(signal.SIGTERM, _leave)
        _writer = writer
        return lambda: _announce(writer)
    os.close(writer)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: _send(child, received))
    if not _heard(reader, seconds):
        _send(child, signal.SIGSTOP)
        if not _heard(reader, 0.0):
            os.close(reader)
            _end(child)
            return None
        _send(child, signal.SIGCONT)
    raise SystemExit(_status(child, reader))


def _leave(*_: object) -> None:
    """Exit, ending what was started; a second signal, perhaps to the whole group, must not get between."""
    global _received  # noqa: PLW0603 - a fact about the process
    _received = signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _announce(writer: int) -> None:
    """Have the parent wait for what is printed; too late, and there is nothing to print."""
    try:
        os.write(writer, b"!")
    except BrokenPipeError:
        os._exit(1)


def _heard(reader: int, seconds: float) -> bool:
    """Whether the child announces an answer, or ends, within some seconds."""
    return bool(select.select([reader], [], [], min(seconds, _LONGEST))[0])


def _send(child: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


def _end(child: int) -> None:
    """End a stopped child, first gently, so that it ends its own children."""
    _send(child, signal.SIGTERM)
    _send(child, signal.SIGCONT)
    if _waited(child, _FAREWELL) is None:
        _send(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _status(child: int, reader: int) -> int:
    """The exit status of a child that has announced an answer, or ended: as it says, or as it ends."""
    os.read(reader, 1)  # the announcement
    told = os.read(reader, 1) if _heard(reader, _PATIENCE) else b""
    status = _waited(child, _FAREWELL)
    if status is None:
        _send(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    code = told[0] if told else os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _waited(child: int, seconds: float) -> int | None:
    """The wait status of a child that ends within some seconds."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        if time.monotonic() >= end:
            return None
        time.sleep(0.005)
