"""What a backend is asked, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds import Interval
from eqverify.budget import Budget
from eqverify.domain import Box
from eqverify.network import Network
from eqverify.search.sign_tree import Guide

Verdict: TypeAlias = Literal["sat", "unsat", "unknown", "timed-out"]


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The disjunct on the original network, and what is proved of the inputs that satisfy it (V-1).

    Attributes:
        network: the original; each output is a row of the condition.
        bounds: by pre-activation node, intervals (1, n) that hold at every input that satisfies the disjunct.
    """

    network: Network
    bounds: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """Is there an input in the box at which every output is at most 0?

    One disjunct of a property, folded into the (reduced) network (specs/rewrites.md, P-2): `unsat` here is unsat for
    the original; an input found here is a candidate only.  A `Disjunction` asks about several at once.

    Attributes:
        network: each output is a row of the condition.
        box: the inputs.
        dtype: type in which all weights can be written.
        known: for backends that can use proved ranges, instead of `network`; None where nothing was proved.
    """

    network: Network
    box: Box
    dtype: Literal["float32", "float64"]
    known: Known | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Disjunction:
    """Is there an input in the box at which all outputs of one of several groups are at most 0?

    Attributes:
        network: each output is a row of the condition.
        box: the inputs.
        dtype: type in which all weights can be written.
        members: (disjuncts, rows) bool: which rows each disjunct needs.
    """

    network: Network
    box: Box
    dtype: Literal["float32", "float64"]
    members: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """What a backend says about a question.

    Attributes:
        verdict: `unsat` is a claim, unless `derived`; `sat` has a witness that was replayed; else nothing is claimed.
        backend: who says so.
        evidence: for a claim, name and version of the solver, for those who ask backends themselves.
        reason: why it is `unknown`.
        derived: for `unsat`, that arithmetic alone shows it; not looked at in replies of other packages' backends.
        guide: for a claim, where the solver branched, over the network that it was asked about.
    """

    verdict: Verdict
    backend: str
    evidence: str = ""
    reason: str = ""
    derived: bool = False
    guide: Guide | None = None


Replay: TypeAlias = Callable[[FloatArray], bool]
"""Tries candidates (k, input_size) on the original network; True once one holds there."""


class Backend(Protocol):
    """Decides questions.  What it fails at is `unknown` with the reason, never an error.

    One with an attribute `uses_ranges` that is true is spared the reduced network where many inputs are free: `network`
    is then the original that `known` is about.  One with a method `decide_any`, as `decide` for a `Disjunction`, may be
    asked about all disjuncts of a case at once.
    """

    name: str
    """As in the entry-point group `eqverify.backends`, with the argument where it changes what is done."""

    def decide(self, question: Question, replay: Replay, budget: Budget) -> Reply:
        """Answer within `budget`.

        Args:
            question: what is asked.
            replay: to be given every candidate; `sat` may be answered only after it returned True.
            budget: seconds.
        """
