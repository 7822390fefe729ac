"""Backends by name: ours, and those that other packages register in the entry-point group `eqverify.backends`."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from eqverify.deciding.question import Backend
from eqverify.errors import UsageError
from eqverify.trust import NOBODY, Trust

GROUP = "eqverify.backends"

_OWN = {
    "command": EntryPoint("command", "eqverify.deciding.command:CommandBackend", GROUP),
    "marabou": EntryPoint("marabou", "eqverify.deciding.marabou:MarabouBackend", GROUP),
    "portfolio": EntryPoint("portfolio", "eqverify.deciding.portfolio:PortfolioBackend", GROUP),
    "scip": EntryPoint("scip", "eqverify.deciding.scip_backend:ScipBackend", GROUP),
}
"""Ours, which no other package can replace; to look for others takes longer than many a question."""


def backends() -> dict[str, EntryPoint]:
    """All backends by name, sorted."""
    return dict(sorted(({point.name: point for point in entry_points(group=GROUP)} | _OWN).items()))


def make_backend(text: str, trust: Trust = NOBODY) -> Backend:
    """A backend from ``name`` or ``name:argument``.

    Args:
        text: for `command` the argument is a script or template; for `portfolio` a comma-separated list of backends;
            for `scip` it may be ``milp``.
        trust: whose claims are used, for a backend with an attribute `trust`: they end the search of a portfolio.

    Raises:
        UsageError: `usage/backend` for a name that nobody registered, or what the backend says of its argument.
    """
    name, _, argument = text.partition(":")
    known = _OWN if name in _OWN else backends()
    if name not in known:
        raise UsageError("usage/backend", "no such backend", value=name, hint=f"choose one of {', '.join(known)}")
    made: Any = known[name].load()(argument)
    if hasattr(made, "trust"):
        made.trust = trust
    backend: Backend = made
    return backend
