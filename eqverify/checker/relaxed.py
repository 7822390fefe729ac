"""A property written for a reduced network: that it says no more than the original's, relaxed by eps (K-15)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from eqverify.domain import Case, Conjunction, HalfSpace, Polytope, Specification
from eqverify.errors import RejectedError


def require_relaxed(cases: Sequence[Case], written: Specification, epsilons: Sequence[float]) -> None:
    """Whatever satisfies a disjunct of one of the cases satisfies the written property, up to eps.

    Args:
        cases: of the original network, each with the disjuncts in question.
        written: what was written for the reduced network.
        epsilons: (output_size,) how far the outputs of the two networks are from each other.

    Raises:
        RejectedError: `check/property`, naming the first disjunct that is not shown to be contained.
    """
    exact = [Fraction(value) for value in epsilons]
    for number, case in enumerate(cases, 1):
        around = [new for new in written.cases if _contains(new, case.polytope)]
        for index, rows in enumerate(case.unsafe, 1):
            if not any(_follows(other, rows, exact) for new in around for other in new.unsafe):
                raise RejectedError(
                    "check/property", "the property that was written is not seen to be the original's, relaxed by eps",
                    value=f"case {number}, disjunct {index}",
                )  # fmt: skip


def _contains(new: Case, old: Polytope) -> bool:
    """Whether the inputs of a case contain a polytope."""
    box = new.polytope.box
    inside = bool((box.lower <= old.box.lower).all() and (old.box.upper <= box.upper).all())
    rows = list(_rows(new.polytope))
    if new.written is not None:
        if new.written.size != old.box.size:
            return False
        ends = zip(old.box.lower.tolist(), old.box.upper.tolist(), strict=True)
        inside = inside and all(
            new.written.holds_within(i, Fraction(low), Fraction(high)) for i, (low, high) in enumerate(ends)
        )
        rows += new.written.rows
    known = [*_rows(old)]
    return inside and all(any(_implied(row, one, []) for one in known) for row in rows)


def _rows(polytope: Polytope) -> Conjunction:
    """The linear constraints of the inputs, exactly."""
    return tuple(
        HalfSpace({i: Fraction(v) for i, v in enumerate(row) if v}, {}, Fraction(bound))
        for row, bound in zip(polytope.matrix.tolist(), polytope.bound.tolist(), strict=True)
    )


def _follows(new: Conjunction, old: Conjunction, epsilons: Sequence[Fraction]) -> bool:
    return all(any(_implied(row, one, epsilons) for one in old) or _always(row) for row in new)


def _always(row: HalfSpace) -> bool:
    return not row.inputs and not row.outputs and row.holds([], [])


def _implied(new: HalfSpace, old: HalfSpace, epsilons: Sequence[Fraction]) -> bool:
    """Whether a row is a positive multiple of another one, with room for eps: P-1 in specs/rewrites.md."""
    if new.inputs.keys() != old.inputs.keys() or new.outputs.keys() != old.outputs.keys():
        return False
    pairs = [(new.inputs[i], c) for i, c in old.inputs.items()] + [(new.outputs[j], c) for j, c in old.outputs.items()]
    if not pairs:
        return False
    factor = pairs[0][0] / pairs[0][1]
    if factor <= 0 or any(own != factor * c for own, c in pairs):
        return False
    bound = factor * (old.bound + sum((abs(c) * epsilons[j] for j, c in old.outputs.items()), Fraction(0)))
    return new.bound > bound or (new.bound == bound and (old.strict or not new.strict))
