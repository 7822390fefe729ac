"""What a caller may choose about a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from eqverify.trust import NOBODY, Names, Trusting


@dataclass(frozen=True, slots=True)
class BenchOptions(Trusting):
    """How a sweep is run.

    Attributes:
        backend: As for verify.
        match: Only instances whose "NETWORK PROPERTY" matches this pattern, as in `*256x2* *`.
        timeout: Seconds for each instance, instead of those in the lists.
        workers: Instances at a time; with several, or on a scheduler, each is run by one process.
        scheduler: Address of a Dask scheduler, to run on its workers instead.
        seed: Of random points.
        trust: As for verify; such a run has results of its own.
        proofs: Keep a proof of each verdict in this folder, and check it; such a run has results of its own.
        warm: Load everything once, and branch each instance's process off from there; such a run has results of its
            own, whose seconds are without start-up.
        facts: As for verify: what one instance proves of a network serves later ones; such a run has results of its
            own.
    """

    backend: str = "scip"
    match: str = "*"
    timeout: float | None = None
    workers: int = 1
    scheduler: str | None = None
    seed: int = 0
    trust: Names = NOBODY
    proofs: Path | None = None
    warm: bool = False
    facts: Path | None = None
