"""The property of a reduced network: relaxed by eps, so that what is unsat there is unsat on the original."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

from eqverify.domain import Case, Conjunction, HalfSpace, Specification

_DIGITS = 6
"""A relaxed bound is rounded outwards to so many digits of what was added to it."""


def relax(row: HalfSpace, epsilons: Sequence[Fraction]) -> HalfSpace:
    """The constraint that y + d satisfies wherever y satisfies `row` and |d_j| <= epsilons[j], exactly.

    That is  a x + c y <= b + sum_j |c_j| eps_j  (specs/rewrites.md, P-1); a strict constraint
    is closed.

    Args:
        row: over inputs and outputs.
        epsilons: (output_size,) exact, none negative.
    """
    added = sum((abs(c) * epsilons[j] for j, c in row.outputs.items()), Fraction(0))
    return replace(row, bound=row.bound + added, strict=False)


def relax_specification(specification: Specification, epsilons: Sequence[Fraction]) -> Specification:
    """The property with every output constraint relaxed, in numbers that have a short decimal expansion.

    Args:
        specification: of the original network.
        epsilons: (output_size,) exact proved bounds on |original - reduced|, none negative.

    Returns:
        A specification of the same inputs and structure.  Where it is unsatisfiable for the reduced network, the given
        one is unsatisfiable for the original.
    """
    cases = tuple(
        Case(case.polytope, tuple(_conjunction(rows, epsilons) for rows in case.unsafe)) for case in specification.cases
    )
    return replace(specification, cases=_shared(specification.cases, cases))


def _shared(before: tuple[Case, ...], after: tuple[Case, ...]) -> tuple[Case, ...]:
    """Cases with one condition keep one condition: the writer then states it once."""
    conditions = {id(old.unsafe): new.unsafe for old, new in zip(before, after, strict=True)}
    return tuple(Case(new.polytope, conditions[id(old.unsafe)]) for old, new in zip(before, after, strict=True))


def _conjunction(rows: Conjunction, epsilons: Sequence[Fraction]) -> Conjunction:
    return tuple(_short(row, relax(row, epsilons)) for row in rows)


def _short(before: HalfSpace, after: HalfSpace) -> HalfSpace:
    """The relaxed row with its bound rounded up; a bound of one output as  +-y <= bound, so that no product is left."""
    if len(after.outputs) == 1 and not after.inputs:
        ((j, c),) = after.outputs.items()
        size = abs(c)
        before = replace(before, outputs={j: c / size}, bound=before.bound / size)
        after = replace(after, outputs={j: c / size}, bound=after.bound / size)
    added = after.bound - before.bound
    return after if not added else replace(after, bound=round_up_decimal(after.bound, added))


def round_up_decimal(value: Fraction, scale: Fraction) -> Fraction:
    """The smallest multiple of a power of ten, 10^-6 of `scale` or less, that is at least `value`."""
    digits = _DIGITS - math.floor(math.log10(scale.numerator) - math.log10(scale.denominator))
    quantum = Fraction(10) ** -digits
    return math.ceil(value / quantum) * quantum
