"""A specification about several networks as questions about two over one vector of shared inputs.

The second of the two is all networks but the first, side by side.  Inputs that a case equates, by the rows
x_a - x_b <= 0  and  x_b - x_a <= 0,  become one.  Nothing else is assumed of how the inputs of the networks are
related: what is left over stays an input of its own, with its constraints.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.domain import Box, Case, HalfSpace, Polytope, Specification
from eqverify.equivalence.goals import PairGoals, make_goals
from eqverify.errors import InputError, Place


@dataclass(frozen=True, slots=True, eq=False)
class SharedCase:
    """One case of a specification of several networks.

    Attributes:
        part: the inputs, over the shared vector.
        first: (inputs of the first network,) where they stand in the shared vector.
        second: (inputs of all others,) likewise.
        goals: the case's output condition.
        case: as it is written, about the inputs of all networks.
        loose: whether a linear constraint was left out, so that `part` may be larger than what is written.
    """

    part: Polytope
    first: IntArray
    second: IntArray
    goals: PairGoals
    case: Case
    loose: bool = False

    @property
    def equated(self) -> bool:
        """Whether both networks read the same inputs in the same order."""
        return np.array_equal(self.first, self.second) and self.part.box.size == self.first.size


def shared_cases(specification: Specification) -> tuple[SharedCase, ...]:
    """The cases of a specification of several networks, without those whose equations no input satisfies.

    Raises:
        InputError: `equivalence/networks` where it is about one.
    """
    networks = specification.networks
    if len(networks) < 2:
        raise InputError(
            "equivalence/networks",
            "the query is about one network",
            place=Place(file=specification.source),
            value=", ".join(signature.name for signature in networks),
            hint="declare two networks, or more",
        )
    inputs = [sum(d.size for d in signature.inputs) for signature in networks]
    outputs = [sum(d.size for d in signature.outputs) for signature in networks]
    cases = (_shared(case, inputs[0], (outputs[0], sum(outputs[1:]))) for case in specification.cases)
    return tuple(case for case in cases if case is not None)


def _shared(case: Case, first: int, outputs: tuple[int, int]) -> SharedCase | None:
    place = _classes(case.polytope)
    count = int(place.max()) + 1
    box = case.polytope.box
    lower, upper = np.full(count, -np.inf), np.full(count, np.inf)
    np.maximum.at(lower, place, box.lower)
    np.minimum.at(upper, place, box.upper)
    if (lower > upper).any():
        return None
    unsafe = tuple(tuple(_moved(row, place) for row in conjunction) for conjunction in case.unsafe)
    matrix, bound, loose = _rows(case.polytope, place, count)
    part = Polytope(Box(lower, upper), matrix, bound)
    return SharedCase(part, place[:first], place[first:], make_goals(unsafe, (count, *outputs)), case, loose)


def _rows(polytope: Polytope, place: IntArray, count: int) -> tuple[FloatArray, FloatArray, bool]:
    """The linear constraints over the shared inputs, and whether one is left out: its sums are no floats."""
    rows, bounds, loose = [], [], False
    for row, bound in zip(polytope.matrix, polytope.bound.tolist(), strict=True):
        total = [Fraction(0)] * count
        for i in np.flatnonzero(row).tolist():
            total[place[i]] += Fraction(float(row[i]))
        floats = [float(value) for value in total]
        exact = all(Fraction(f) == value for f, value in zip(floats, total, strict=True))
        if exact and any(floats):
            rows.append(floats)
            bounds.append(bound)
        loose |= not exact or not (any(floats) or bound >= 0)
    return np.array(rows, dtype=np.float64).reshape(-1, count), np.array(bounds, dtype=np.float64), loose


def _classes(polytope: Polytope) -> IntArray:
    """The number of the shared input of each input; numbers by first appearance."""
    leader = list(range(polytope.box.size))

    def find(i: int) -> int:
        while leader[i] != i:
            i = leader[i]
        return i

    below: set[tuple[int, int]] = set()
    for row, bound in zip(polytope.matrix, polytope.bound.tolist(), strict=True):
        columns = np.flatnonzero(row)
        if columns.size == 2 and bound == 0 and row[columns].sum() == 0:
            low, high = columns if row[columns[0]] > 0 else columns[::-1]
            below.add((int(low), int(high)))
    for low, high in below:
        if (high, low) in below:
            one, other = sorted((find(low), find(high)))
            leader[other] = one
    roots = [find(i) for i in range(len(leader))]
    numbers = {root: k for k, root in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[root] for root in roots], dtype=np.int64)


def _moved(row: HalfSpace, place: IntArray) -> HalfSpace:
    inputs: dict[int, Fraction] = {}
    for i, value in row.inputs.items():
        where = int(place[i])
        inputs[where] = inputs.get(where, Fraction(0)) + value
    return HalfSpace({i: value for i, value in inputs.items() if value}, row.outputs, row.bound, row.strict)
