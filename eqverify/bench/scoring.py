"""What results are worth: solved, wrong, PAR-2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from eqverify.bench.instances import SOLVED, Instance, Key, Row


@dataclass(frozen=True, slots=True)
class ProofScore:
    """Sums over the verdicts of a run with proofs.

    Attributes:
        verified: verdicts with a proof that is verified.
        none: verdicts without a proof.
        open: those whose proof was not judged, since the check took too long or did not end as it should.
        rejected: those whose proof is rejected, or shows something else.
        median_bytes, largest_bytes: of all proofs.
        median_ratio, largest_ratio: of seconds of check to seconds of the run that found the verdict.
    """

    verified: int
    none: int
    open: tuple[Key, ...]
    rejected: tuple[Key, ...]
    median_bytes: float
    largest_bytes: int
    median_ratio: float
    largest_ratio: float

    def __str__(self) -> str:
        sizes = f"{self.median_bytes / 1e3:.1f} kB in the median, {self.largest_bytes / 1e3:.1f} kB at most"
        ratios = f"check/solve {self.median_ratio:.2f} in the median, {self.largest_ratio:.2f} at most"
        counts = f"{self.verified} proofs verified, {len(self.rejected)} rejected, {len(self.open)} not judged"
        return f"{counts}, {self.none} verdicts without; {sizes}; {ratios}"


@dataclass(frozen=True, slots=True)
class Score:
    """Sums over instances.

    Attributes:
        instances: how many have a result.
        solved: with a verdict that is not known to be wrong.
        wrong: with a verdict that is not the expected one.
        par2: mean seconds, where an instance that is not solved costs twice its limit (seconds).
        claimed: with a disjunct that only a solver calls unsat; solved if the solver is trusted.
        proofs: None where there is no proof at all.
    """

    instances: int
    solved: int
    wrong: tuple[Key, ...]
    par2: float
    claimed: int
    proofs: ProofScore | None = None


def is_wrong(row: Row, expected: Mapping[Key, str]) -> bool:
    """Whether a verdict contradicts the expected one."""
    known = expected.get(row.key)
    return row.result in SOLVED and known in SOLVED and row.result != known


def score(instances: list[Instance], rows: Mapping[Key, Row], expected: Mapping[Key, str]) -> Score:
    """Judge the results of those instances that have one."""
    judged = [(instance, rows[instance.key]) for instance in instances if instance.key in rows]
    wrong = tuple(row.key for _, row in judged if is_wrong(row, expected))
    costs = [
        row.seconds if row.result in SOLVED and row.key not in wrong else 2.0 * instance.timeout
        for instance, row in judged
    ]
    solved = sum(row.result in SOLVED for _, row in judged) - len(wrong)
    claimed = sum(bool(row.claimed) for _, row in judged)
    proofs = _score_proofs([row for _, row in judged if row.result in SOLVED])
    return Score(len(judged), solved, wrong, sum(costs) / len(costs) if costs else 0.0, claimed, proofs)


def _score_proofs(rows: list[Row]) -> ProofScore | None:
    found = [(row, row.proof) for row in rows if row.proof is not None]
    if not found:
        return None
    sizes, ratios = [proof.size for _, proof in found], [proof.seconds / row.seconds for row, proof in found]
    return ProofScore(
        sum(row.proved is True for row, _ in found),
        len(rows) - len(found),
        tuple(row.key for row, _ in found if row.proved is None),
        tuple(row.key for row, _ in found if row.proved is False),
        median(sizes),
        max(sizes),
        median(ratios),
        max(ratios),
    )
