"""Certificates that a disjunct of the output condition is not satisfied by any input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import eqverify
from eqverify.certificate import Refutation, build_certificate
from eqverify.errors import EqverifyError
from eqverify.problem import Problem
from eqverify.stability.directed import Directed

if TYPE_CHECKING:
    from eqverify.checker import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class Refuted:
    """A certificate, and the checker's verdict on it.

    Attributes:
        data: the bytes of the file.
        verdict: verified.
    """

    data: bytes
    verdict: Verdict

    def as_dict(self) -> dict[str, object]:
        """All measured numbers, for JSON."""
        return {"bytes": len(self.data), "solver_trusted": self.verdict.solver_trusted}


def certify_unsat(problem: Problem, proof: Directed) -> Refuted | None:
    """The certificate of a disjunct that is proved ``unsat``, checked.

    Args:
        problem: network and property, read from files.
        proof: with its recorded steps.

    Returns:
        None where the steps do not show it to the checker: where it is a solver's word, or rounding decides.
    """
    from eqverify.checker.numbers import Floats
    from eqverify.checker.reader import Reader
    from eqverify.checker.verdict import refuted

    claim = Refutation(problem.files, (proof.case + 1, proof.index + 1), {"eqverify": eqverify.__version__})
    data = build_certificate(proof.problem, proof.proofs, claim)
    try:
        return Refuted(data, refuted(problem.network, problem.specification, Floats(), Reader(data, problem.network)))
    except EqverifyError:
        return None
