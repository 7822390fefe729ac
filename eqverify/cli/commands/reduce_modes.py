"""Which options of `eqverify reduce` go together: nothing that was asked for is left out in silence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from eqverify.errors import UsageError
from eqverify.stability.options import StabilityOptions

_DIRECTED: dict[str, str] = {
    "--engine": "disjuncts are decided by their own stages; --certified-only leaves out the solver",
    "--resume": "there is no journal of disjuncts; their proofs are repeated",
    "--workers": "disjuncts are decided one after the other, each with what was learnt before; leave it out",
    "--branch-nodes": "disjuncts are not decided by branching on unit signs; leave it out",
    "--cross-check": "the networks differ where the disjunct does not hold, and may; --certificate has what was proved "
    "checked, and an input found for a network is to be replayed on the original",
    "--tree-time-limit": "with --certified-only no solver is asked about disjuncts; leave it out",
}
"""Options that --for-property cannot honour, and what to do instead."""

_PER_BOX: dict[str, str] = {
    "--certificate": "a certificate is about all inputs of a property: write one network for all boxes, or split the "
    "property into one file per box",
}
"""The same for --per-box."""


def require_mode(options: StabilityOptions, *, for_property: bool, per_box: bool, others: Mapping[str, bool]) -> None:
    """Raise where an option that was given does not go with the mode.

    Args:
        options: of the proof; those that differ from their defaults count as given.
        for_property: whether disjuncts are to be decided one by one.
        per_box: whether there is to be a network per box.
        others: by name, whether other options were given.

    Raises:
        UsageError: `usage/reduce-mode`.
    """
    if for_property and per_box:
        raise _refused(
            "--for-property and --per-box",
            "each disjunct has a box of its own; leave out --per-box",
        )
    default = StabilityOptions()
    changed = [f.name for f in fields(options) if getattr(options, f.name) != getattr(default, f.name)]
    given = {_option(name) for name in changed} | {name for name, is_given in others.items() if is_given}
    mode, refused = ("--for-property", _DIRECTED) if for_property else ("--per-box", _PER_BOX if per_box else {})
    for name, hint in refused.items():
        if name in given:
            raise _refused(f"{mode} and {name}", hint)


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _refused(value: str, hint: str) -> UsageError:
    return UsageError("usage/reduce-mode", "these options do not go together", value=value, hint=hint)
