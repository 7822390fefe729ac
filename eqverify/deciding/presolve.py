"""Which rows of a condition are positive on a whole box, by bounds alone: disjuncts with such a row are unsat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from eqverify.arrays import BoolArray
from eqverify.bounds import Bounds, Interval, crown_bounds, optimise_slopes
from eqverify.domain import Box, Case, HalfSpace, Polytope
from eqverify.errors import InputError
from eqverify.network import Network, join_outputs
from eqverify.reduction.folding import fold_case

_MANY = 16
"""Cases from which on bounds are computed for all of their boxes at once before any of them is looked at by itself."""

_MOST_FORMS = 256
"""Different left-hand sides of rows that are bounded at once."""

_NUMBERS = 1 << 24
"""Of one batch of rows through the largest layer."""

Form = tuple[frozenset[tuple[int, Fraction]], frozenset[tuple[int, Fraction]]]
"""The left-hand side of a row: coefficients of inputs and of outputs."""


def left_open(network: Network, cases: Sequence[Case], stop: Callable[[], bool]) -> list[Case]:
    """The cases without those of which bounds refute every disjunct: one batch of boxes after the other.

    What all rows of the cases have on their left is appended to the network once; a row is refuted on a box where the
    lower bound of that, by CROWN, is above the row's bound.  Whatever is left is for others to decide.

    Args:
        network: the network.
        cases: fewer than some are returned as they are.
        stop: whether cases shall be left as they are from now on.
    """
    if len(cases) < _MANY:
        return list(cases)
    forms: dict[Form, int] = {}
    unsafe = [
        [[(forms.setdefault(_form(row), len(forms)), row.bound) for row in rows] for rows in case.unsafe]
        for case in cases
    ]
    if not 0 < len(forms) <= _MOST_FORMS:
        return list(cases)
    boxes = [case.polytope.box for case in cases]
    lower, upper = np.stack([box.lower for box in boxes]), np.stack([box.upper for box in boxes])
    shown = _with_forms(network, Box(lower.min(axis=0), upper.max(axis=0)), list(forms))
    if shown is None:
        return list(cases)
    size, kept = max(1, _NUMBERS // max(network.sizes.values()) ** 2), list[Case]()
    for start in range(0, len(cases), size):
        part = slice(start, start + size)
        if stop():
            return [*kept, *cases[start:]]
        bounds = crown_bounds(shown, lower[part], upper[part], outputs=True)
        least = join_outputs(shown, {port.source: bounds[port.source].lower for port in shown.outputs})
        for case, disjuncts, row in zip(cases[part], unsafe[part], least.tolist(), strict=True):
            if not all(any(bound < row[form] for form, bound in rows) for rows in disjuncts):
                kept.append(case)
    return kept


def _form(row: HalfSpace) -> Form:
    return frozenset(row.inputs.items()), frozenset(row.outputs.items())


def _with_forms(network: Network, hull: Box, forms: Sequence[Form]) -> Network | None:
    """The network whose output k is at most form k wherever inputs lie in the box; None where floats hold no such."""
    rows = [HalfSpace(dict(inputs), dict(outputs), Fraction(0)) for inputs, outputs in forms]
    case = Case(Polytope(hull), tuple((row,) for row in rows))
    try:
        folded = fold_case(network, case, [Fraction(0)] * network.output_size, "float64")
    except InputError:
        return None
    same = len(folded.rows) == len(rows) and all(map(_is_row, folded.rows, rows))
    return folded.network if same else None


def _is_row(one: HalfSpace, other: HalfSpace) -> bool:
    return _form(one) == _form(other) and not one.bound


def output_bounds(network: Network, box: Box, known: Bounds | None = None) -> dict[str, Interval]:
    """CROWN's bounds of all nodes, (1, n), and those of outputs with optimised slopes where CROWN leaves all rows open.

    Args:
        network: its outputs are rows of a condition.
        box: the inputs.
        known: proved intervals of some nodes, (1, n).

    Raises:
        ContradictionError: `known` and a bound found here exclude each other.
    """
    lower, upper = box.lower[None], box.upper[None]
    bounds = crown_bounds(network, lower, upper, known, outputs=True)
    if positive_rows(network, bounds).all():
        return bounds
    targets = {port.source: bounds[port.source].lower[0] <= 0 for port in network.outputs}
    return dict(optimise_slopes(network, lower, upper, bounds, targets).bounds)


def positive_rows(network: Network, bounds: dict[str, Interval]) -> BoolArray:
    """(output_size,) which outputs are positive on the whole box."""
    lower = join_outputs(network, {port.source: bounds[port.source].lower for port in network.outputs})
    return np.asarray(lower[0] > 0)
