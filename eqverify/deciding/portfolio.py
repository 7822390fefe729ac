"""Several backends at once, in processes of their own: the first answer wins, the others are ended.

A claim that nobody trusts is no answer: the others go on for a while, as it may be wrong, or one of them may prove it.
"""

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

from eqverify.arrays import IEEE
from eqverify.budget import Budget
from eqverify.deciding.question import Question, Replay, Reply
from eqverify.errors import UsageError
from eqverify.trust import NOBODY, Trust

_DEFAULT = "scip,marabou"
_GRACE = 0.5
"""Seconds for members to answer at the limit, and to end when they are told to."""


class PortfolioBackend:
    """Asks several backends; each answer names the one that gave it.

    Args:
        argument: comma-separated backends; by default scip and marabou.
        trust: whose claims end the search.

    Raises:
        UsageError: `usage/backend` for a portfolio within a portfolio, or an unknown member.
    """

    name = "portfolio"

    def __init__(self, argument: str = "", trust: Trust = NOBODY) -> None:
        from eqverify.deciding.backends import make_backend

        self.trust = trust
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
        """The first answer; when there is none, the first claim, or what the members said."""
        from eqverify.deciding.claims import trusted

        reasons: list[str] = []
        claim, late, met = None, False, set()
        running = {member.pipe: member for member in members}
        while running and not (claim is not None and budget.exhausted()):
            ready = wait(list(running), timeout=budget.left + _GRACE)
            if not ready:
                late = True
                break
            for pipe in ready:
                member = running[pipe]  # type: ignore[index]
                kind, content = member.receive()
                if kind == "try":
                    found = replay(content)
                    met |= {member.pipe} if found else set()
                    member.send(found)
                    continue
                del running[member.pipe]
                if kind == "died":
                    reasons.append(f"{member.name}: ended without an answer")
                    continue
                reply: Reply = content
                proved = reply.verdict == "unsat" and (reply.derived or trusted(reply, self.trust))
                if proved or (reply.verdict == "sat" and member.pipe in met):
                    return reply
                if reply.verdict == "unsat" and claim is None:
                    claim, budget = reply, budget.share(2)
                late |= reply.verdict == "timed-out"
                reasons.append(f"{member.name}: {reply.reason or reply.verdict}")
        if claim is not None:
            return claim
        return Reply("timed-out", self.name) if late else Reply("unknown", self.name, reason="; ".join(reasons))


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


@IEEE
def _work(pipe: Connection[Any, Any], text: str, question: Question, seconds: float) -> None:
    """Runs in the process of a member."""
    from eqverify.deciding.backends import make_backend
    from eqverify.deciding.claims import ask

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)

    def replay(points: Any) -> bool:
        pipe.send(("try", points))
        return bool(pipe.recv())

    pipe.send(("reply", ask(make_backend(text), question, replay, Budget(seconds))))
    pipe.close()
    os._exit(0)
