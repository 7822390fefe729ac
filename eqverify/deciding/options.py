"""What a caller may choose about deciding a property."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eqverify.options import Semantics, require_seconds
from eqverify.trust import NOBODY, Names, Trusting


@dataclass(frozen=True, slots=True)
class VerifyOptions(Trusting):
    """How a property is decided.

    Attributes:
        timeout: Seconds in all, start-up included. Proofs of ours come first; a backend has what they leave, which is a
            fourteenth at least.
        semantics: Of the network over the real numbers, or of every float32 run of it: unsat then holds whatever the
            order of its sums, and the input of sat satisfies the property in every run (specs/runtime.md).
        reduction: Reduce the network before the backend sees it.
        seed: Of random points.
        workers: Processes for what can be shared out; by default as many as there are cores, up to 4.
        facts: Folder of facts of earlier runs: what is proved of a network on a box holds on every box inside it, and
            what is proved now is added.
        trust: Solvers whose unsat is used where no proof of it is found, as in "scip,marabou"; by default nobody's is.
    """

    timeout: float = 60.0
    semantics: Semantics = "real"
    reduction: bool = True
    seed: int = 0
    workers: int | None = None
    facts: Path | str | None = None
    trust: Names = NOBODY

    def __post_init__(self) -> None:
        Trusting.__post_init__(self)
        require_seconds(self, "timeout")
