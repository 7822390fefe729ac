"""Proofs of verdicts, checked by a program that is proved in Coq (specs/coq): problem and proof as plain integers.

Trusted here: `reading_back`, which compares what was written with what the front ends read.
"""

from eqverify.proved.run import check_proved

__all__ = ["check_proved"]
