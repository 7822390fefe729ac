"""Certificates: what was proved about a reduction or a property, so that `eqverify.checker` can establish it again.

The format is in specs/certificate.md.
"""

from eqverify.certificate.build import (
    CaseProof,
    Claim,
    Compared,
    Refutation,
    RunSlacks,
    build_certificate,
    build_regions,
    build_sat,
    build_unsat,
)
from eqverify.certificate.trees import checkable_proofs

__all__ = [
    "CaseProof",
    "Claim",
    "Compared",
    "Refutation",
    "RunSlacks",
    "build_certificate",
    "build_regions",
    "build_sat",
    "build_unsat",
    "checkable_proofs",
]
