"""What a run of `verify` has found out by now, and the answer that this makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eqverify.deciding.claims import claim_of
from eqverify.deciding.context import OpenDisjunct, kept_count
from eqverify.report.layers import LayerRow
from eqverify.trust import NOBODY, Trust

if TYPE_CHECKING:
    from eqverify.deciding.question import Verdict

BOUNDS, SPLITTING, BRANCHING = "bounds", "splitting of inputs", "branching"
"""How parts are closed, as `means` tells it."""


@dataclass(slots=True)
class Findings:
    """The state of an answer.

    Attributes:
        trust: whose claims are used.
        told: called with the number of disjuncts that are claimed to be unsat and are not re-derived.
        evidence: what closed parts rest on, in order.
        means: how arithmetic closed them.
        reasons: why parts stay open.
        unsettled: whether something was met that neither `unsat` nor `sat` can be said of.
        between: whether runs cannot be told apart at some input.
        claimed: parts that a solver says are unsat.
        accepted: how many parts are closed by the word of somebody who is trusted.
        layers: the table of the largest network that a backend was asked about.
        largest: its open ReLUs.
        backend: who gave the last answer.
        proof: of the verdict, if there is one.
    """

    trust: Trust = NOBODY
    told: Callable[[int], object] = lambda _: None
    evidence: dict[str, None] = field(default_factory=dict)
    means: dict[str, None] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    unsettled: bool = False
    between: bool = False
    claimed: list[OpenDisjunct] = field(default_factory=list)
    accepted: int = 0
    layers: tuple[LayerRow, ...] = ()
    largest: int | None = None
    backend: str = ""
    proof: bytes | None = None

    def closed(self, how: str, basis: str = "") -> None:
        """Note that arithmetic shows a part to be unsat, and how, given what its question rests on."""
        self.means[how] = None
        self.evidence.update(dict.fromkeys(filter(None, (BOUNDS, basis))))

    def accept(self, name: str, disjuncts: int, basis: str = "") -> None:
        """Take the word of a solver that is trusted for some disjuncts."""
        self.evidence.update(dict.fromkeys(filter(None, (claim_of(name), basis))))
        self.accepted += disjuncts
        self.count()

    def doubt(self, part: OpenDisjunct, name: str) -> None:
        """Keep a claim about a part."""
        part.claims.append(name)
        self.claimed.append(part)
        self.count()

    def derived(self, part: OpenDisjunct) -> None:
        """Note that what is claimed about a part is shown by arithmetic."""
        self.closed(BRANCHING, part.basis)
        self.claimed.remove(part)
        self.count()

    @property
    def claims(self) -> int:
        """Disjuncts of which a solver says that they are unsat, and nothing else does."""
        return len(self.claimed) + self.accepted

    def count(self) -> None:
        """Tell how many claims there are."""
        self.told(self.claims)

    def asked(self, relus: int) -> None:
        """Note that a backend is asked about so many open ReLUs."""
        self.largest = max(self.largest or 0, relus)

    def show(self, layers: tuple[LayerRow, ...]) -> None:
        """Keep the table of the largest network."""
        if sum(map(kept_count, layers)) >= sum(map(kept_count, self.layers)):
            self.layers = layers

    def verdict(self, said: Verdict) -> Verdict:
        """What can be said: no `unsat` where something is unsettled, and no time-out where time is no help."""
        if (said == "unsat" and self.unsettled and self.proof is None) or (said == "timed-out" and self.between):
            return "unknown"
        return said
