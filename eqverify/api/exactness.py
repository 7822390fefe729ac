"""Exact decisions within `verify`: what is small enough is settled in rationals (specs/verification.md, V-7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from eqverify.api.parts import Side
from eqverify.bounds import Interval
from eqverify.deciding.exactly import Exactly, decide_exactly, inputs_of, small_enough
from eqverify.domain import Box, Case
from eqverify.network import Network
from eqverify.stability.budget import Budget

Settled = Literal["unsat", "sat", "unshown", "open"]
"""`unshown`: an input satisfies the disjunct over the reals, but a run of onnxruntime does not show it."""

UNSHOWN = (
    "an input satisfies the property over the real numbers, exactly at the end of a range; "
    "what onnxruntime computes there does not"
)


def settle(
    side: Side, number: int, seconds: float, box: Box | None = None, ranges: Mapping[str, Interval] | None = None
) -> Settled:
    """Decide a disjunct of a case on a part of its inputs exactly; a witness goes to the side's replayer.

    Args:
        side: the case.
        number: of the disjunct.
        seconds: at most.
        box: a part of the inputs; all of them by default.
        ranges: proved intervals (1, n) of the network's nodes there.
    """
    if not small_enough(side.network):
        return "open"
    inputs = inputs_of(side.case, box)
    found = decide_exactly(side.network, inputs, side.case.unsafe[number], Budget(seconds).exhausted, ranges)
    if found.verdict == "sat":
        return "sat" if side.replayer.take(found.x) else "unshown"
    return "unsat" if found.verdict == "unsat" else "open"


def settle_case(network: Network, case: Case, seconds: float) -> Exactly:
    """Decide all disjuncts of a case exactly, in turn.

    Args:
        network: the network, or several side by side.
        case: inputs and condition.
        seconds: at most, together.
    """
    if not small_enough(network):
        return Exactly("unknown")
    budget, inputs, still_open = Budget(seconds), inputs_of(case), False
    for rows in case.unsafe:
        found = decide_exactly(network, inputs, rows, budget.exhausted)
        if found.verdict == "sat":
            return found
        still_open |= found.verdict == "unknown"
    return Exactly("unknown" if still_open else "unsat")
