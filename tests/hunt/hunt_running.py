"""Running one command of a case: in this process, or in one of its own; and steps of the hunt itself (`@...`)."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

LATE = 120
"""Seconds after which a command that was given a few is late, however busy the machine is."""


class Late(BaseException):
    """Something goes on and on; no `except Exception` may take it for something else."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did: its exit status, its texts, and what it should not have let out."""

    command: tuple[str, ...]
    status: int
    out: str
    err: str
    leaks: tuple[str, ...] = ()

    def faults(self) -> list[str]:
        """What is wrong whatever the command was asked: a defect, a traceback, a warning."""
        found = [f"{self.command[0]}: {leak}" for leak in self.leaks]
        if self.status not in (0, 1, 2, 3, 4) or "defect of eqverify" in self.err:
            found.append(f"{self.command[0]}: exit status {self.status}: {' '.join(self.err.split())[-300:]}")
        elif "Traceback" in self.err or "Warning" in self.err:
            found.append(f"{self.command[0]}: on stderr: {' '.join(self.err.split())[-300:]}")
        return found

    def code(self) -> str:
        """The code of the error that ended it, told as text or as JSON; empty where there is none."""
        told = re.search(r'error\[([^]]+)\]|"error": \{"code": "([^"]+)"', self.err + self.out)
        return (told[1] or told[2]) if told else ""

    def json(self) -> dict | None:
        """The object that was printed; None where there is none."""
        try:
            answer = json.loads(self.out) if self.status in (0, 1, 4) else None
            return None if answer is None or "error" in answer else answer
        except ValueError:
            return None


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise Late

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def run(command: Sequence[str], folder: Path, *, apart: bool = False) -> Ran:
    """One command line of eqverify, or a step of the hunt, with the case's folder as working directory."""
    if command[0] == "@mutate":
        from .hunt_adversary import mutate

        return in_process(command, folder, lambda: mutate(folder, command[1:]))
    if command[0] == "@stability":
        return in_process(command, folder, lambda: stability(command[1:]))
    if apart:
        return in_child(command, folder)
    from eqverify.cli.main import run as eqverify

    return in_process(command, folder, lambda: eqverify(list(command)))


def in_process(command: Sequence[str], folder: Path, call) -> Ran:
    out, err, leaks = io.StringIO(), io.StringIO(), []
    status = 0
    with inside(folder), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", RuntimeWarning)
        try:
            with limited(LATE), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = call()
        except Late:
            leaks.append(f"late: still running after {LATE} s")
        except SystemExit as leaving:
            status = leaving.code if isinstance(leaving.code, int) else 0
        except Exception as error:  # the library may raise its own errors; anything else is a defect
            status = getattr(error, "exit_status", 5)
            err.write(f"{error}\n" if hasattr(error, "exit_status") else described(error))
    leaks += sorted({f"warning: {w.message}" for w in seen if issubclass(w.category, RuntimeWarning)})
    return Ran(tuple(command), status, out.getvalue(), err.getvalue(), tuple(leaks))


def described(error: Exception) -> str:
    """An error that nobody expected, and where it came from, without the paths of this machine."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"Traceback: {type(error).__name__}: {error} at {Path(last.filename).name}:{last.lineno}\n"


def in_child(command: Sequence[str], folder: Path) -> Ran:
    whole = [sys.executable, "-m", "eqverify", *command]
    try:
        done = subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=LATE, check=False)
    except subprocess.TimeoutExpired:
        return Ran(tuple(command), 0, "", "", (f"late: still running after {LATE} s",))
    return Ran(tuple(command), done.returncode, done.stdout, done.stderr)


def stability(arguments: Sequence[str]) -> int:
    """Every unit's status and bounds, which the command line only counts."""
    import eqverify as eq

    network, query, engine, seconds = arguments
    facts = eq.prove_stability(
        eq.load_problem(network, query, as_stored=True), engine=engine, time_limit=float(seconds)
    )
    names = {status: status.name.lower() for status in eq.Status}
    layers = [
        {
            "name": layer.name,
            "status": [names[eq.Status(int(s))] for s in layer.status],
            "lower": [repr(v) for v in layer.lower.tolist()],
            "upper": [repr(v) for v in layer.upper.tolist()],
        }
        for layer in facts.layers
    ]
    print(json.dumps({"layers": layers}))
    return 0
