"""Certificates: what was proved about a reduction, written so that `eqverify.checker` can establish it again.

The format is in specs/certificate.md.
"""

from eqverify.certificate.build import Claim, Refutation, build_certificate
from eqverify.certificate.trees import checkable_proofs

__all__ = ["Claim", "Refutation", "build_certificate", "checkable_proofs"]
