"""What backends say, and what is made of it: a solver proposes, arithmetic decides (specs/verification.md, V-8).

`unsat` of a backend is a claim, but where our own arithmetic said it.  A claim is re-derived, by the means that need
no solver, or it stays one; and then it is used only where the caller trusts who says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from eqverify.budget import Budget
from eqverify.deciding.arithmetic import Arithmetic
from eqverify.deciding.portfolio import PortfolioBackend
from eqverify.deciding.question import Backend, Disjunction, Question, Replay, Reply
from eqverify.errors import EqverifyError
from eqverify.search.sign_tree import Guide
from eqverify.trust import Trust

ARITHMETIC = "arithmetic"
"""Who decides where arithmetic proves or refutes a claim."""

_LEAST = 1.0
"""Seconds for re-deriving a claim, if there are so many: claims may come at once."""

_BRANCH_SHARE = 0.75
"""Of the time for re-deriving a claim, for branching, which starts from scratch with each slice."""


def ask(backend: Backend, question: Question | Disjunction, replay: Replay, budget: Budget) -> Reply:
    """What a backend says, under its own name; only our own code can say that arithmetic shows it.

    Args:
        backend: one with `decide_any`, for a `Disjunction`.
        question: what is asked.
        replay: takes candidates.
        budget: seconds.

    Returns:
        Its reply; an error is `unknown`, whatever other packages' backends raise.
    """
    decide: Callable[..., Reply] = getattr(backend, "decide" if isinstance(question, Question) else "decide_any")
    try:
        reply = decide(question, replay, budget)
    except EqverifyError as error:
        return Reply("unknown", backend.name, reason=f"{error.code}: {error.message}")
    except Exception as error:
        if type(backend).__module__.startswith("eqverify."):
            raise
        return Reply("unknown", backend.name, reason=f"{type(error).__name__}: {error}")
    if isinstance(backend, PortfolioBackend):  # its members have gone through here, each in its process
        return reply
    return replace(reply, backend=backend.name, derived=reply.derived and isinstance(backend, Arithmetic))


def claimant(reply: Reply) -> str:
    """The name of who makes a claim, as `--trust` takes it: that of the backend without its argument."""
    return reply.backend.partition(":")[0].lower()


def trusted(reply: Reply, trust: Trust) -> bool:
    """Whether a claim is used without a proof."""
    return claimant(reply) in trust


def claim_of(name: str) -> str:
    """The evidence of what rests on a claim of a solver."""
    return f"claim of {name}, trusted"


def seconds_for(claim: float, left: float) -> float:
    """Seconds for re-deriving a claim that took `claim` seconds, where there are `left`."""
    return min(left, max(_LEAST, claim))


def rederive(question: Question, replay: Replay, budget: Budget, guide: Guide | None = None) -> Reply:
    """Look for a proof of what is claimed to be `unsat`; or for an input, for the claim may be wrong.

    Args:
        question: what the claim is about.
        replay: takes candidates.
        budget: seconds.
        guide: where who claims it branched; a hint, of use where it was asked about the same network.

    Returns:
        `unsat` where arithmetic shows it, `sat` where a replay succeeded.  Trusted: float64 arithmetic, and what the
        question says is known.
    """
    means = Arithmetic(ARITHMETIC, budget.left * _BRANCH_SHARE, guide)
    try:
        return means.decide(question, replay, budget)
    except EqverifyError as error:
        return means.reply("unknown", reason=f"{error.code}: {error.message}")
