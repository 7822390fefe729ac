"""What a caller may choose about a reduction, and which choices exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from eqverify.errors import UsageError
from eqverify.options import Element, changed
from eqverify.reduction.profiles import PROFILES, Tool
from eqverify.stability.options import StabilityOptions
from eqverify.transform.shape_names import Shape
from eqverify.trust import Names

Version = Literal["1.0", "2.0"]
"""Of VNN-LIB."""


@dataclass(frozen=True, slots=True)
class ReduceOptions(StabilityOptions):
    """Options of a reduction.

    Attributes:
        dtype: Type of the written weights; by default that of the network's input.
        shape: A chain of layers (read by every verifier), skip connections (fewest ReLUs), the original's graph with
            whole channels and units removed (fewest products), LEO's published rewrites alone, or whatever costs least,
            ReLUs and products weighed.
        for_: The verifier that gets the network: sets shape, type and how dense it may be, where these are not chosen.
            An input that satisfies the output condition is looked for first; if there is one the original is handed on.
        max_epsilon: Avoid new weights where they would bring the proved deviation above this.
        passes: Names of passes between commas, applied in this order instead of the default ones; `eqverify passes`
            lists them.
        cross_check: Look for a deviation above eps without the facts: with Z3 over the rationals (small networks only;
            that it finds none is a claim), or by the methods of eqverify equiv, which prove eps again.
        cross_check_timeout: Seconds for the cross-check.
        certified_only: Keep units whose sign only a solver claims.
        tree_time_limit: With either of these, seconds for finding proofs of such units that can be checked; not with
            --for-property, which never asks a solver then.
    """

    dtype: Element | None = None
    shape: Shape = "sequential"
    for_: Tool | None = None
    max_epsilon: float = 1e-4
    passes: Names | None = None
    cross_check: Literal["z3", "equiv"] | None = None
    cross_check_timeout: float = 60.0
    certified_only: bool = False
    tree_time_limit: float = 30.0

    def __post_init__(self) -> None:
        StabilityOptions.__post_init__(self)
        if self.for_ is not None and self.for_ not in PROFILES:
            raise UsageError("usage/tool", "unknown tool", value=self.for_, hint=f"use one of {', '.join(PROFILES)}")


REFUSED: Mapping[str, Mapping[str, str]] = {
    "--for-property": {
        "--engine": "disjuncts are decided by their own stages; --certified-only leaves out the solver",
        "--resume": "there is no journal of disjuncts; their proofs are repeated",
        "--workers": "disjuncts are decided one after the other, each with what was learnt before; leave it out",
        "--branch-nodes": "disjuncts are not decided by branching on unit signs; leave it out",
        "--cross-check": "the networks differ where the disjunct does not hold, and may; --certificate has what was "
        "proved checked, and an input found for a network is to be replayed on the original",
        "--tree-time-limit": "with --certified-only no solver is asked about disjuncts; leave it out",
        "--per-box": "each disjunct has a box of its own; leave out --per-box",
    },
    "--per-box": {
        "--certificate": "a certificate is about all inputs of a property: write one network for all boxes, or split "
        "the property into one file per box",
    },
    "--fold-property": {
        "--certificate": "a certificate is about a network with the original's outputs: leave one of the two out",
    },
}
"""By mode, the options that it cannot honour, and what to do instead."""


def require_mode(mode: str, options: ReduceOptions, **others: object) -> None:
    """Raise where an option does not go with the mode: nothing that was asked for is left out in silence.

    Args:
        mode: a key of `REFUSED`; for others everything goes.
        options: those that differ from their defaults count as given.
        others: further ones, which count where they are true.

    Raises:
        UsageError: `usage/reduce-mode`.
    """
    given = {*changed(options), *(name for name, value in others.items() if value)}
    for name, hint in REFUSED.get(mode, {}).items():
        if name.removeprefix("--").replace("-", "_") in given:
            value = f"{mode} and {name}"
            raise UsageError("usage/reduce-mode", "these options do not go together", value=value, hint=hint)
