"""Between what the outputs lie: from what is proved about the units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from eqverify.arrays import ByteArray, FloatArray, frozen
from eqverify.bounds import Bounds, Interval, crown_bounds
from eqverify.bounds.crown import open_units
from eqverify.bounds.lp import LpLayer, lp_of
from eqverify.budget import Budget
from eqverify.errors import InputError
from eqverify.problem import Problem
from eqverify.relaxation.model import open_model
from eqverify.stability.facts import PROOFS, Evidence, Facts
from eqverify.stability.stages.linear import MOST_ENTRIES


@dataclass(frozen=True, slots=True, eq=False)
class OutputRanges:
    """Proved ranges of the flat outputs.

    Attributes:
        lower: (output_size,) proved lower bounds on the domain.
        upper: (output_size,) proved upper bounds.
        evidence: (output_size,) the weakest `Evidence` that either rests on.
    """

    lower: FloatArray
    upper: FloatArray
    evidence: ByteArray

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", frozen(self.lower))
        object.__setattr__(self, "upper", frozen(self.upper))
        object.__setattr__(self, "evidence", frozen(self.evidence, np.int8))


def bound_outputs(problem: Problem, facts: Facts, budget: Budget) -> OutputRanges:
    """Ranges of the outputs: by CROWN on each part of the domain, then by linear programs while there is time.

    Args:
        problem: network and domain.
        facts: proved for just this problem.
        budget: for the linear programs.

    Returns:
        The ranges; outputs of a network with opaque operators are those at the cut.  Trusted: float64 arithmetic and
        `facts`; multipliers of a linear program are hints, and the constraints on inputs count in these only (B-10).

    Raises:
        UsageError: the facts are about another problem.
        InputError: `domain/empty` where no input satisfies the constraints.
    """
    facts.require(problem)
    known = {layer.source: Interval(layer.lower[None], layer.upper[None]) for layer in facts.layers}
    ranges, dual = [], np.zeros(problem.network.output_size, dtype=bool)
    for part in range(len(problem.domain.polytopes)):
        polytope = problem.domain.polytopes[part]
        box, void = polytope.box, None if polytope.is_box else np.zeros(1, dtype=bool)
        bounds = crown_bounds(problem.network, box.lower[None], box.upper[None], known, outputs=True, void=void)
        if void is not None and void[0]:
            continue  # bounds that exclude each other: no input satisfies the constraints
        found = [bounds[port.source] for port in problem.network.outputs]
        lower, upper = (np.concatenate([getattr(z, end)[0] for z in found]) for end in ("lower", "upper"))
        for unit, sign, value in _programs(problem, part, bounds, budget):
            dual[unit] |= value < (upper[unit] if sign > 0 else -lower[unit])
            if sign > 0:
                upper[unit] = min(upper[unit], value)
            else:
                lower[unit] = max(lower[unit], -value)
        if (lower <= upper).all():  # likewise
            ranges.append((lower, upper))
    if not ranges:
        raise InputError("domain/empty", "no input satisfies the property's constraints on inputs")
    weakest = facts.weakest_evidence
    proofs = np.where(dual, max(weakest, Evidence.DUAL, key=PROOFS.index), weakest)
    return OutputRanges(np.min([low for low, _ in ranges], 0), np.max([high for _, high in ranges], 0), proofs)


def _programs(
    problem: Problem, part: int, bounds: Bounds, budget: Budget
) -> Iterator[tuple[int, Literal[1, -1], float]]:
    """(output, sign, upper bound of sign * output) on one part; nothing where the model would be too large."""
    network, box = problem.network, problem.domain.polytopes[part].box
    if network.smooth or budget.exhausted() or _entries(problem, bounds) > MOST_ENTRIES:
        return
    ranges = {relu.source: bounds[relu.source] for relu in network.relus}
    model = open_model(network, (box.lower, box.upper), ranges)
    program = lp_of(model, assumed=problem.given(part))
    rows = ((model.values[port.source], row) for port in network.outputs for row in range(port.size))
    for unit, (z, row) in enumerate(rows):
        for sign, value in _extremes(program, z.rows[row, : program.model.width], z.error[row], budget):
            yield unit, sign, value


def _entries(problem: Problem, bounds: Bounds) -> int:
    """Entries of the model whose columns are inputs and open units."""
    columns = sum(int(open_units(bounds[relu.source]).sum()) for relu in problem.network.relus)
    return columns * (columns + problem.network.input_size)


def _extremes(
    program: LpLayer, row: FloatArray, error: float, budget: Budget
) -> Iterator[tuple[Literal[1, -1], float]]:
    """(sign, upper bound of sign * a row over the columns, which is off by an error), while there is time."""
    for sign in (1, -1):
        if budget.exhausted():
            return
        bound = sign * program.bound(row, sign, seconds=budget.left).value
        yield sign, float(np.nextafter(bound + error, np.inf))


def narrowed_ranges(problem: Problem, facts: Facts, budget: Budget) -> dict[str, Interval]:
    """Ranges (1, n) of pre-activations: those of the facts, made narrower for open units, layer by layer.

    A proof of signs ends with a unit's sign; a model that the network is a part of gains by its range, too.

    Args:
        problem: network and domain, of one part.
        facts: proved for just this problem.
        budget: for the linear programs (B-10), two for each open unit; the rest stays as it is.

    Returns:
        By pre-activation node.  Trusted: as `bound_outputs`.

    Raises:
        UsageError: the facts are about another problem.
        InputError: `domain/empty` where no input satisfies the constraints.
    """
    facts.require(problem)
    (part,) = problem.domain.polytopes
    known = {layer.source: Interval(layer.lower[None], layer.upper[None]) for layer in facts.layers}
    for layer in facts.layers:
        if budget.exhausted() or _entries(problem, known) > MOST_ENTRIES:
            break
        model = open_model(problem.network, (part.box.lower, part.box.upper), known, layer.source)
        program, z = lp_of(model, assumed=problem.given(0)), model.values[layer.source]
        lower, upper = layer.lower.copy(), layer.upper.copy()
        for unit in np.flatnonzero(open_units(known[layer.source])[0]).tolist():
            for sign, value in _extremes(program, z.rows[unit, : program.model.width], z.error[unit], budget):
                if sign > 0:
                    upper[unit] = min(upper[unit], value)
                else:
                    lower[unit] = max(lower[unit], -value)
        if (lower > upper).any():
            raise InputError("domain/empty", "no input satisfies the property's constraints on inputs")
        known[layer.source] = Interval(lower[None], upper[None])
    return known
