"""Backends by name: ours, and those that other packages register in the entry-point group `eqverify.backends`."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from importlib.metadata import entry_points

from eqverify.deciding.question import Backend
from eqverify.errors import UsageError
from eqverify.trust import NOBODY, Trust

GROUP = "eqverify.backends"

_OWN = {
    "command": "eqverify.deciding.command:CommandBackend",
    "marabou": "eqverify.deciding.marabou:MarabouBackend",
    "portfolio": "eqverify.deciding.portfolio:PortfolioBackend",
    "scip": "eqverify.deciding.scip_backend:ScipBackend",
}
"""Also entry points of this package; listed so that a source tree that is not installed has them too."""


def backend_names() -> tuple[str, ...]:
    """The names of all backends, sorted."""
    return tuple(sorted({*_OWN, *(point.name for point in entry_points(group=GROUP))}))


def make_backend(text: str, trust: Trust = NOBODY) -> Backend:
    """A backend from ``name`` or ``name:argument``.

    Args:
        text: for `command` the argument is a script or template; for `portfolio` a comma-separated list of backends;
            for `scip` it may be ``milp``.
        trust: whose claims end the search of a portfolio.

    Raises:
        UsageError: `usage/backend` for a name that nobody registered, or what the backend says of its argument.
    """
    name, _, argument = text.partition(":")
    if name in _OWN:
        module, _, attribute = _OWN[name].partition(":")
        factory = getattr(import_module(module), attribute)
        if name == "portfolio":
            factory = partial(factory, trust=trust)
    else:
        found = [point for point in entry_points(group=GROUP) if point.name == name]
        if not found:
            raise UsageError(
                "usage/backend", "no such backend", value=name, hint=f"choose one of {', '.join(backend_names())}"
            )
        factory = found[0].load()
    backend: Backend = factory(argument)
    return backend
