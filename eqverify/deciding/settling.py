"""Exact decisions within `verify`: what is small enough is settled in rationals (specs/verification.md, V-7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.gradient import row_gradients
from eqverify.bounds import Interval, crown_bounds
from eqverify.budget import Budget
from eqverify.deciding.context import CaseContext
from eqverify.deciding.exactly import Exactly, decide_around, decide_exactly, inputs_of, small_enough, tiny
from eqverify.deciding.presolve import output_bounds, positive_rows
from eqverify.deciding.question import Question
from eqverify.deciding.signs import branch_question
from eqverify.deciding.splitting import SPLIT_INPUTS, can_split, split_question
from eqverify.domain import Box, Case
from eqverify.network import Affine, Network, evaluate_nodes

_LEAF_SECONDS = 0.5
_PARTS_SHARE = 0.7

_FREE = 12
"""Inputs that may differ from a point's on its linear region; a simplex with many takes long."""

Settled = Literal["unsat", "sat", "unshown", "end", "open"]
"""`unshown`: an input satisfies the disjunct over the reals, but a run of onnxruntime does not show it.  `end`: the
disjunct holds at most at the end of a range, and neither floats nor exact arithmetic within the time could tell."""

REASONS: dict[Settled, str] = {
    "unshown": "an input satisfies the property over the real numbers, but what onnxruntime computes there does not",
    "end": "the condition holds at most at the very end of a range, within rounding; floats cannot tell",
}


def settle(side: CaseContext, number: int, budget: Budget) -> Settled:
    """Decide a disjunct of a case exactly; a witness goes to the side's replayer.

    First by bounds, of the last layers and of all, then at the point where a search came near to meeting it, then on
    its linear region, then on all regions: of boxes with few open units, and of all.  Where floats neither meet the
    disjunct nor miss it by rounding only, networks that are not tiny are looked at just there.

    Args:
        side: the case.
        number: of the disjunct.
        budget: seconds.
    """
    if not small_enough(side.network):
        return "open"
    box, inputs, rows, near = side.case.polytope.box, inputs_of(side.case), side.case.unsafe[number], side.near[number]
    thoroughly = near.level <= 0 or near.margin > 0 or tiny(side.network)
    ranges = crown_bounds(side.folded.network, box.lower[None], box.upper[None])
    for late in (1, 2, len(side.network.relus)) if thoroughly else ():
        if decide_exactly(side.network, inputs, rows, budget.exhausted, ranges, late).verdict == "unsat":
            return "unsat"
    around, half = side.replayer.inside(near.point), budget.share(2)
    if side.replayer.take(around):
        return "sat"
    found = decide_around(side.network, inputs, rows, around, _free(side, number, near.point), half.exhausted)
    if found.verdict == "unknown" and thoroughly and side.free_inputs <= SPLIT_INPUTS:
        question = side.question(number)
        settled = settle_by_parts(side, number, question, budget.part(_PARTS_SHARE))
        if settled != "end":
            return settled
    if found.verdict == "unknown" and thoroughly:
        found = decide_exactly(side.network, inputs, rows, budget.exhausted, ranges)
    if found.verdict == "sat":
        return _shown(side, found)
    return "unsat" if found.verdict == "unsat" else "open"


def settle_end(side: CaseContext, number: int, budget: Budget) -> Settled:
    """Decide a disjunct that a search met, or missed, by no more than rounding, if that is all that is left of it.

    The rows are asked for a little more than they say; where bounds show that nothing meets that, only the ends of
    ranges are left, and more search in floats cannot help: exact arithmetic on boxes decides them, or nothing does.
    """
    question = side.question(number)
    if not _missed(_moved(question, side.near[number].margin), budget.share(2)):
        return "open"
    if side.free_inputs > SPLIT_INPUTS or not small_enough(side.network):
        return "end"
    return settle_by_parts(side, number, question, budget)


def settle_by_parts(side: CaseContext, number: int, question: Question, budget: Budget) -> Settled:
    """Decide a disjunct exactly on boxes into which its few free inputs are split."""
    rows, shown = side.case.unsafe[number], True

    def leaf(box: Box, ranges: Mapping[str, Interval]) -> bool | None:
        nonlocal shown
        stop = budget.part(1.0, _LEAF_SECONDS).exhausted
        found = decide_exactly(side.network, inputs_of(side.case, box), rows, stop, ranges)
        if found.verdict != "sat":
            return True if found.verdict == "unsat" else None
        shown = side.replayer.take(found.x)
        return False

    outcome = split_question(question, side.replayer, budget, leaf=leaf)
    if outcome.found:
        return "sat" if shown else "unshown"
    return "unsat" if outcome.proved else "end"


def _moved(question: Question, margin: float) -> Question:
    """The question whether all rows are met by a margin."""
    network = question.network
    (port,) = network.outputs
    last = network.by_name[port.source]
    assert isinstance(last, Affine)
    moved = Affine(last.name, last.terms, last.bias + margin)
    nodes = tuple(moved if node is last else node for node in network.nodes)
    return replace(question, network=Network(network.inputs, nodes, network.outputs))


def _missed(question: Question, budget: Budget) -> bool:
    """Whether arithmetic shows that a question has no solution."""
    bounds = output_bounds(question.network, question.box)
    if positive_rows(question.network, bounds).any():
        return True
    if can_split(question.network, question.box):
        return split_question(question, _never, budget).proved
    return branch_question(question, bounds, _never, budget).proved


def _never(_: FloatArray) -> bool:
    """A replay that takes nothing."""
    return False


def _shown(side: CaseContext, found: Exactly) -> Settled:
    return "sat" if side.replayer.take(found.x) else "unshown"


def _free(side: CaseContext, number: int, point: FloatArray) -> list[int]:
    """The inputs on which the rows of a disjunct depend most at a point, at most `_FREE`."""
    network = side.folded.network
    rows = np.flatnonzero(side.members[number])
    values = evaluate_nodes(network, np.repeat(point[None], rows.size, axis=0))
    gradient = row_gradients(network, rows, np.ones(rows.size), values)
    box = side.case.polytope.box
    effect = np.abs(gradient).max(axis=0) * (box.upper - box.lower)
    order: list[int] = np.argsort(-effect, kind="stable").tolist()
    return order[:_FREE]


def settle_case(network: Network, case: Case, budget: Budget) -> Exactly:
    """Decide all disjuncts of a case exactly, in turn.

    Args:
        network: the network, or several side by side; one that is not tiny only where inputs have strict signs, which
            nothing else tells from others.
        case: inputs and condition.
        budget: seconds, together.
    """
    strict = case.written is not None and case.written.strict
    if not (tiny(network) or (strict and small_enough(network))):
        return Exactly("unknown")
    inputs, still_open = inputs_of(case), False
    for rows in case.unsafe:
        found = decide_exactly(network, inputs, rows, budget.exhausted)
        if found.verdict == "sat":
            return found
        still_open |= found.verdict == "unknown"
    return Exactly("unknown" if still_open else "unsat")
