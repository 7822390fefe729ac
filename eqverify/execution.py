"""Where work runs: in this process, or in several.  One interface, that of `concurrent.futures` with shared values.

A function that is submitted must be importable and its arguments must pickle.  Workers are processes of their own and
may keep what they have built (a solver's model) in a module variable; `Executor.share` gives such things a name.
"""

from __future__ import annotations

import os
import pickle
import secrets
import signal
import tempfile
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from eqverify.errors import LimitError

Value = TypeVar("Value")
Result = TypeVar("Result")

MAX_WORKERS = 256

_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""What says how many threads linear algebra may use; it is read when numpy is loaded."""

_OURS = "EQVERIFY_ONE_THREAD"
"""Set where the variables of `_THREADS` are ours, not the user's."""


@dataclass(frozen=True, slots=True)
class Shared(Generic[Value]):
    """A value that tasks refer to, sent to each worker at most once per `load`.

    Attributes:
        token: unique; what a worker keeps its own copies under.
        value: the value itself, in one process.
        path: a file with the pickled value, between processes of one machine.
    """

    token: str
    value: Value | None = None
    path: str = ""

    def load(self) -> Value:
        """The value."""
        if not self.path:
            assert self.value is not None
            return self.value
        loaded: Value = pickle.loads(Path(self.path).read_bytes())  # a file of our own, in a folder of mode 0700
        return loaded


class Executor(Protocol):
    """Runs functions."""

    workers: int
    """How many run at a time."""

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Have `function(*arguments)` run, now or later."""

    def share(self, value: Value) -> Shared[Value]:
        """Make a value known to all workers."""

    def close(self) -> None:
        """Give up what has not begun, end the workers."""


class SerialExecutor:
    """Runs everything at once, in this process."""

    workers = 1

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Run now; errors are raised by the future's `result`, an interrupt here."""
        future: Future[Result] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001 - the future raises it again
            future.set_exception(error)
        return future

    def share(self, value: Value) -> Shared[Value]:
        """The value itself."""
        return Shared(secrets.token_hex(8), value)

    def close(self) -> None:
        """Nothing to do."""


def use_one_thread() -> None:
    """Have linear algebra use one thread, unless the environment says how many: in processes that start later, and
    in this one if numpy is not loaded yet.

    Our products are short, and workers fill the cores by themselves.  Threads that wait for each other on cores that
    other programs use made a proof eight times slower.
    """
    if not any(name in os.environ for name in _THREADS):
        os.environ.update(dict.fromkeys((*_THREADS, _OURS), "1"))


def users_environment() -> dict[str, str]:
    """The environment without what `use_one_thread` put there, for programs that are not ours."""
    ours = (*_THREADS, _OURS) if _OURS in os.environ else ()
    return {name: value for name, value in os.environ.items() if name not in ours}


class ProcessExecutor:
    """Runs on processes of this machine, which start afresh (no fork: solvers and BLAS hold threads and locks).

    Each has one thread for linear algebra, see `use_one_thread`.

    Args:
        workers: how many, at least 1.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        use_one_thread()
        self._folder = tempfile.TemporaryDirectory(prefix="eqverify-")
        self._pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_prepare_worker)

    def submit(self, function: Callable[..., Result], /, *arguments: Any) -> Future[Result]:
        """Queue for the next free worker.

        Raises:
            LimitError: `execution/worker-died`.
        """
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool as error:
            raise _worker_died() from error

    def share(self, value: Value) -> Shared[Value]:
        """By a file in a folder of our own, removed by `close`."""
        token = secrets.token_hex(8)
        path = Path(self._folder.name) / token
        path.write_bytes(pickle.dumps(value))
        return Shared(token, path=str(path))

    def close(self) -> None:
        """End the workers now, busy or not: nothing that they do outlives them."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        for process in processes:
            process.join(5.0)
        self._folder.cleanup()


def outcome(task: Future[Result]) -> Result:
    """What a task returned, or the error that it raised.

    Raises:
        LimitError: `execution/worker-died`.
    """
    try:
        return task.result()
    except BrokenProcessPool as error:
        raise _worker_died() from error


def _worker_died() -> LimitError:
    """The error for a worker that ended by itself."""
    return LimitError(
        "execution/worker-died",
        "a worker process ended without an answer",
        hint="often the machine has too little memory for so many workers: use fewer",
    )


def usable_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(workers: int) -> SerialExecutor | ProcessExecutor:
    """Serial for one worker, processes for more."""
    return SerialExecutor() if workers == 1 else ProcessExecutor(workers)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.filterwarnings("ignore", category=RuntimeWarning, append=True)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
