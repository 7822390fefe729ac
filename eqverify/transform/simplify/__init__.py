"""Simplifications of a normal form on its domain, to a fixpoint (statements M-1 to M-5 in `specs/rewrites.md`)."""

from eqverify.transform.simplify.dead import drop_dead
from eqverify.transform.simplify.fixpoint import simplify

__all__ = ["drop_dead", "simplify"]
