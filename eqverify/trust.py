"""Whose word a caller takes without a proof: nobody's, unless they say so (`--trust`).

What a solver says is a *claim*.  It becomes a fact only where arithmetic re-derives it; what does not is counted as
claimed, and used only where its solver is trusted by name.  Every output then says whose word it rests on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from eqverify.errors import UsageError

Trust: TypeAlias = frozenset[str]
"""Names of solvers whose claims are used: ``scip``, ``z3``, and those of backends, such as ``marabou``."""

Names: TypeAlias = str | Iterable[str]
"""The same as callers may write them: one by one, or separated by commas."""

NOBODY: Trust = frozenset()
"""The default: every answer rests on arithmetic."""


class Trusting:
    """Mixed into options that have a field `trust`."""

    __slots__ = ()
    trust: Names

    def __post_init__(self) -> None:
        object.__setattr__(self, "trust", trusting(self.trust))

    @property
    def believed(self) -> Trust:
        """The solvers that are trusted."""
        return trusting(self.trust)


_NAME = re.compile(r"[a-z][a-z0-9_-]*\Z")


def trusting(names: Names) -> Trust:
    """Whose claims are used.

    Args:
        names: solvers.  That a solver of that name exists is not looked at: the
            claims of one that is never asked change nothing.

    Raises:
        UsageError: `usage/trust` for what is no name.
    """
    parts = names.split(",") if isinstance(names, str) else [part for name in names for part in name.split(",")]
    found = frozenset(part.strip().lower() for part in parts if part.strip())
    for name in sorted(found):
        if not _NAME.match(name):
            raise UsageError(
                "usage/trust", "solvers are trusted by name", value=name, hint="for example --trust scip,marabou"
            )
    return found
