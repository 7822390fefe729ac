"""The sealed checker: re-establishes a reduction from its certificate with code that shares nothing with the prover.

It imports numpy, the two front ends and the types they return; no solver, no search.  What it checks is
in specs/certificate.md, the statements in specs/bounds.md and specs/rewrites.md.
"""

from eqverify.checker.verdict import Arithmetic, Verdict, check_bytes, check_several, rejected

__all__ = ["Arithmetic", "Verdict", "check_bytes", "check_several", "rejected"]
