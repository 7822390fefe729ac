"""Branching for the signs of the last layer: what is done next is decided by what it gained before.

The proof of a property (specs/verification.md, V-6) wants the rows of its condition positive; units matter as far as
their ranges do.  A first pass goes through the hidden layers in order.  After it that step comes next which raised the
rows' bounds most for its time when it was taken last, with `GROWTH` times its nodes: bounds fall about linearly in the
logarithm of the number of nodes, so a step gains about as much again, in `GROWTH` times the time.  Where a hidden layer
has few units that are not inactive, all behind it depends on these, and most of the nodes go there by themselves.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eqverify.network import Affine, Relu
from eqverify.stability.facts import Enough, never_enough
from eqverify.stability.run import Run
from eqverify.stability.stages.arithmetic import alpha
from eqverify.stability.stages.branching import GROWTH, Layer, behind_relu
from eqverify.stability.stages.survey import survey

EACH, LEAST = 40, 10_000
"""Tree nodes for each range in the first pass, and for all of a layer at least."""

_NO_GAIN = 0.01
"""A gain of less than this share of what is missing counts for nothing; a step that is tried again may gain as much."""

_NEWS = 0.7
"""Where less than this share of what was missing still is, a step that gained nothing is tried again."""

_FIRST_ROWS = 1.0
"""Seconds that branching on the rows with patience is believed to take before it was tried.  What is easy of them is
done after each step."""

_SHARE = 3
"""A step may take the time that is left, divided by this."""


@dataclass(slots=True)
class _Step:
    """Something that can be done again with more nodes.

    Attributes:
        source: a pre-activation node.
        kind: ``rows`` for the signs of the last layer; ``ranges`` of a hidden layer; ``layer`` for its signs too.  The
            last hidden layer's signs are left out, since the rows branch on them themselves.
        factor: times the nodes of the first pass, next time.
        gain: what it gained last.
        seconds: what it took last.
        missing: what was missing after it was taken.
    """

    source: str
    kind: Literal["rows", "ranges", "layer"]
    factor: int = 1
    gain: float = 0.0
    seconds: float = 0.0
    missing: float = np.inf

    def hopeful(self, missing: float) -> bool:
        """Whether it gained anything worth while, was not tried, or much was gained by others since."""
        return self.gain > _NO_GAIN * missing or missing < _NEWS * self.missing

    def rate(self, missing: float) -> float:
        """The share of what is missing that it will gain per second; what ends the proof counts as that."""
        return min(max(self.gain / missing, _NO_GAIN), 1.0) / (GROWTH * max(self.seconds, 1e-3))


def branch_rows_alone(run: Run, share: float) -> None:
    """Only the signs of the last layer, by bounds as they are: what is easy needs no ranges.

    Args:
        run: the proof.
        share: of the time left.
    """
    run.annotate(_rows(run).signs(run.budget.part(share)), "")


def branch_for_rows(run: Run, few: Enough = never_enough) -> None:
    """Signs and ranges of hidden layers, and signs of the last layer, as long as there is time and some step gains.

    Args:
        run: the proof.
        few: whether so little is left, by the bounds, that after the first pass the caller has better means for it.
    """
    *hidden, last = run.problem.network.relus
    steps = [_Step(r.source, "ranges" if r is hidden[-1] else "layer") for r in hidden if _usable(run, r)]
    questions = 0
    for step in steps:
        questions += _take(run, step)
    steps.append(_Step(last.source, "rows", seconds=_FIRST_ROWS))
    while not _over(run) and not few(run.table.bounds):
        missing = _missing(run)
        hopeful = [step for step in steps if missing > 0 and step.hopeful(missing)]
        if not hopeful:
            break
        questions += _take(run, max(hopeful, key=lambda step: step.rate(missing)))
    run.annotate(questions, "time limit reached" if run.budget.exhausted() else "")


def _take(run: Run, step: _Step) -> int:
    """Take a step, and see what it gains; the number of questions."""
    if _over(run):
        return 0
    start, before = time.monotonic(), _missing(run)
    run.progress(f"branch for rows: {step.kind} of {step.source}", 0, 1)
    if step.kind == "rows":
        questions = _rows(run, step.factor, patience=np.inf).signs(run.budget.share(_SHARE))
    else:
        questions = _narrow(run, step)
    step.missing = _missing(run)
    gain = before - step.missing
    step.gain = gain if np.isfinite(gain) else 0.0
    step.factor *= GROWTH
    step.seconds = time.monotonic() - start
    return questions


def _narrow(run: Run, step: _Step) -> int:
    """Narrow the ranges of a hidden layer, and ask about the rows what is easy then; the number of questions."""
    layer = Layer(run, step.source, min(step.factor, GROWTH))
    questions = layer.signs(run.budget.share(_SHARE)) if step.kind == "layer" else 0
    nodes = max(EACH * layer.range_count(), LEAST) * step.factor
    questions += layer.ranges(run.budget.share(_SHARE), nodes, survey(run, step.source))
    if layer.gained and run.table.undecided():
        run.crown()
        alpha(run)
    return questions if _over(run) else questions + _rows(run, step.factor).signs(run.budget.share(_SHARE))


def _missing(run: Run) -> float:
    """How far the bounds of the rows that are open are from 0, in all; none is open where they reach 0 and no more."""
    source = run.problem.network.relus[-1].source
    lower = run.table.bounds[source].lower[:, run.table.open(source)]
    return float(np.maximum(-lower, 0.0).sum())


def _rows(run: Run, factor: int = 1, **options: float) -> Layer:
    return Layer(run, run.problem.network.relus[-1].source, factor, **options)


def _over(run: Run) -> bool:
    return not run.table.undecided() or run.budget.exhausted()


def _usable(run: Run, relu: Relu) -> bool:
    """Whether there is something to narrow: intervals right behind the inputs are exact on boxes."""
    return isinstance(run.problem.network.by_name.get(relu.source), Affine) and behind_relu(run, relu)
