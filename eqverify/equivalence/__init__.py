"""Judging whether two networks agree on a domain.

`cross_check` asks z3, in exact rational arithmetic, for an input on which they differ by more than epsilon.  It is
independent of bounds, certificates and rewrites, and meant for small networks.  Names load on first use, so that
importing this package does not import z3.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqverify.equivalence.exact import CrossCheck, Limits, cross_check

__all__ = ["CrossCheck", "Limits", "cross_check"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("eqverify.equivalence.exact"), name)
