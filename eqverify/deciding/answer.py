"""What `verify` answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eqverify.numerals import exact_text

if TYPE_CHECKING:
    from eqverify.attack.replay import Witness
    from eqverify.deciding.question import Verdict
    from eqverify.options import Semantics
    from eqverify.reading import Reading
    from eqverify.report.layers import LayerRow


@dataclass(frozen=True, slots=True, eq=False)
class Verification:
    """The answer about a property.

    >>> import eqverify as eq
    >>> network, query = eq.example_files()
    >>> answer = eq.verify(query, network, timeout=60)
    >>> answer
    <Verification: unsat by reduction>
    >>> answer.witness is None, answer.evidence
    (True, ('bounds',))

    Attributes:
        verdict: `sat`, `unsat`, `unknown` or `timed-out`.
        backend: who gave the answer: ``attack`` for an input found by gradient steps, ``reduction`` where the proofs
            that come before a backend left nothing to ask, ``exact`` for an input found by exact arithmetic,
            ``arithmetic`` where it proved or refuted what a backend claims.
        witness: for `sat`, the input and onnxruntime's outputs.
        evidence: for `unsat`, what the parts rest on: ``bounds`` is arithmetic only; the word of a solver is
            ``claim of NAME, trusted``.
        reason: for `unknown`.
        relus_before: of the original network; 0 where several are asked about, or none had been read at the limit.
        relus_after: of the largest network that a backend was asked about; None if none was.
        layers: its table of layers, empty where nothing was reduced.
        seconds: wall time by stage.
        readings: how far each network was compared with onnxruntime; none for a run that was ended at its limit.
        semantics: ``real`` or ``float32``: what the answer is about.
        run_error: for ``float32``, how far runs may be from the network, in a row of the condition on all of a case; on
            boxes of a split they are nearer.
        claimed: disjuncts of which a solver says that they are unsat, and nothing else does; 0 for `sat`.
        proof: of the verdict, if it was asked for and there is one: the bytes of a file that the checker verifies.
        means: for `unsat`, what arithmetic did where `evidence` says ``bounds``: ``bounds`` of whole boxes,
            ``splitting of inputs``, ``branching`` (on signs of units, perhaps on inputs too), ``exact arithmetic``.
    """

    verdict: Verdict
    backend: str
    witness: Witness | None
    evidence: tuple[str, ...]
    reason: str
    relus_before: int
    relus_after: int | None
    layers: tuple[LayerRow, ...]
    seconds: Mapping[str, float]
    readings: tuple[Reading, ...] = ()
    claimed: int = 0
    semantics: Semantics = "real"
    run_error: float | None = None
    proof: bytes | None = None
    means: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Verification: {self.verdict}{f' by {self.backend}' if self.backend else ''}>"

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {
            "verdict": self.verdict,
            "semantics": self.semantics,
            "run_error": self.run_error,
            "backend": self.backend,
            "evidence": list(self.evidence),
            "means": list(self.means),
            "reason": self.reason,
            "claimed": self.claimed,
            "proof_bytes": None if self.proof is None else len(self.proof),
            "relus_before": self.relus_before,
            "relus_after": self.relus_after,
            "layers": [row.as_dict() for row in self.layers],
            "witness": None if self.witness is None else _witness_dict(self.witness),
            "readings": [reading.as_dict() for reading in self.readings],
            "seconds": dict(self.seconds),
        }


def _witness_dict(witness: Witness) -> dict[str, object]:
    """Floats (the nearest ones), and as text the numbers that satisfy the property to the letter."""
    exact = {"x": list(map(exact_text, witness.inputs)), "y": list(map(exact_text, witness.outputs))}
    return {"x": [float(value) for value in witness.inputs], "y": witness.y.tolist(), "exact": exact}


def timed_out(seconds: float, relus: int, claimed: int, semantics: Semantics = "real") -> Verification:
    """The answer of a run on a network of so many ReLUs that was ended at its limit, with so many claims."""
    why, told = "ended at the limit", {"decide": seconds}
    return Verification("timed-out", "", None, (), why, relus, None, (), told, claimed=claimed, semantics=semantics)
