"""Judging whether two networks agree on a domain.

`decide` is the portfolio: differential bounds with input splitting, the product MILP, and Z3.  `cross_check` asks z3
alone, in exact rational arithmetic, for an input on which they differ by more than epsilon; it is independent of
bounds, certificates and rewrites, and meant for small networks.  Names load on first use, so that importing this
package imports no solver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eqverify.equivalence.exact import CrossCheck, Limits, cross_check
    from eqverify.equivalence.goals import epsilon_goals, make_goals, top1_goals
    from eqverify.equivalence.portfolio import DecideOptions, Decision, decide
    from eqverify.equivalence.witness import Witness, WitnessSearch

_HOMES = {
    "CrossCheck": "exact",
    "DecideOptions": "portfolio",
    "Decision": "portfolio",
    "Limits": "exact",
    "Witness": "witness",
    "WitnessSearch": "witness",
    "cross_check": "exact",
    "decide": "portfolio",
    "epsilon_goals": "goals",
    "make_goals": "goals",
    "top1_goals": "goals",
}

__all__ = [
    "CrossCheck",
    "DecideOptions",
    "Decision",
    "Limits",
    "Witness",
    "WitnessSearch",
    "cross_check",
    "decide",
    "epsilon_goals",
    "make_goals",
    "top1_goals",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"eqverify.equivalence.{_HOMES[name]}"), name)
