"""Several backends at once, in processes of their own: the first answer wins, the others are ended."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from eqverify.deciding.question import Question, Replay, Reply
from eqverify.errors import EqverifyError, UsageError
from eqverify.stability.budget import Budget

_DEFAULT = "scip,marabou"
_GRACE = 0.5
"""Seconds for members to answer at the limit, and to end when they are told to."""


class PortfolioBackend:
    """Asks several backends; each answer names the one that gave it.

    Args:
        argument: comma-separated backends; by default scip and marabou.

    Raises:
        UsageError: `usage/backend` for a portfolio within a portfolio, or an unknown member.
    """

    name = "portfolio"

    def __init__(self, argument: str = "") -> None:
        from eqverify.deciding.backends import make_backend

        self.members = tuple(part.strip() for part in (argument or _DEFAULT).split(","))
        for member in self.members:
            if member.partition(":")[0] == self.name:
                raise UsageError("usage/backend", "a portfolio cannot be a member of a portfolio", value=member)
            make_backend(member)

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """As `Backend.decide`."""
        members = [_start(text, question, budget.left) for text in self.members]
        try:
            return self._first(members, replay, budget)
        finally:
            for member in members:
                member.process.terminate()
            for member in members:
                member.end()

    def _first(self, members: list[_Member], replay: Replay, budget: Budget) -> Reply:
        """The first claim; when there is none, what the members said."""
        reasons, timed_out = [], False
        running = {member.pipe: member for member in members}
        while running:
            ready = wait(list(running), timeout=budget.left + _GRACE)
            if not ready:
                return Reply("timed-out", self.name)
            for pipe in ready:
                member = running[pipe]  # type: ignore[index]
                kind, content = member.receive()
                if kind == "try":
                    member.send(replay(content))
                    continue
                del running[member.pipe]
                if kind == "died":
                    reasons.append(f"{member.name}: ended without an answer")
                elif content.verdict in ("sat", "unsat"):
                    reply: Reply = content
                    return reply
                else:
                    timed_out |= content.verdict == "timed-out"
                    reasons.append(f"{member.name}: {content.reason or content.verdict}")
        return Reply("timed-out", self.name) if timed_out else Reply("unknown", self.name, reason="; ".join(reasons))


@dataclass(frozen=True, slots=True)
class _Member:
    """A backend in a process."""

    name: str
    process: BaseProcess
    pipe: Connection[Any, Any]

    def receive(self) -> tuple[str, Any]:
        """What it has to say."""
        try:
            kind, content = self.pipe.recv()
        except (EOFError, OSError):
            return "died", None
        return kind, content

    def send(self, answer: bool) -> None:
        """Answer a candidate; the member may be gone."""
        with contextlib.suppress(OSError):
            self.pipe.send(answer)

    def end(self) -> None:
        """End it, which was told to; gently at first, so that it ends its own children."""
        self.process.join(_GRACE)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.pipe.close()


def _start(text: str, question: Question, seconds: float) -> _Member:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, text, question, seconds), daemon=True)
    process.start()
    theirs.close()
    return _Member(text, process, ours)


def _leave(*_: object) -> None:
    """Exit, ending what was started; a second signal must not get between."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def _work(pipe: Connection[Any, Any], text: str, question: Question, seconds: float) -> None:
    """Runs in the process of a member."""
    from eqverify.deciding.backends import make_backend

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)

    def replay(points: Any) -> bool:
        pipe.send(("try", points))
        return bool(pipe.recv())

    name = text.partition(":")[0]
    try:
        reply = make_backend(text).decide(question, replay, Budget(seconds))
    except EqverifyError as error:
        reply = Reply("unknown", name, reason=f"{error.code}: {error.message}")
    pipe.send(("reply", reply))
    pipe.close()
    os._exit(0)
