"""The sequential shape: a normal form as a chain whose layers carry past themselves only what later layers need.

Going backwards, let F be the rows that later layers need after a level: columns of the level's own units are there,
and the rest of F, over inputs and earlier units, must be *carried*.  With F_rest = P Q of rank r, the level gets r
further units, the carriers q = Q (x, h) + t, shifted by proved lower bounds so that they are never negative.  Since
F_rest factors through the level's stably active units and through what is needed next, r is at most the number of
either: never more than the rank(W_active) that LEO keeps (statement C-1 in `specs/rewrites.md`).
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.network.expression import Basis, Expression, value_range
from eqverify.transform.chain import Chain, Layer, Meaning
from eqverify.transform.normal_form import NormalForm
from eqverify.transform.realise import Element

_RANK_TOLERANCE: dict[Element, float] = {"float32": 2.0**-33, "float64": 2.0**-44}
"""Pivots below this times the largest count as zero: a residual well below the rounding of the written weights."""

_MARGIN: dict[Element, float] = {"float32": 2.0**-20, "float64": 2.0**-40}
"""Carriers stay above zero by this share of what their rows can amount to, so that they do after rounding too, and
`prove_deviation` finds them linear."""


def sequential_chain(form: NormalForm, element: Element) -> Chain:
    """A normal form as a chain of levels with carriers.

    Args:
        form: rows of kept units and outputs.
        element: the type the weights will be written in; it sets the tolerance of the numerical rank.

    Returns:
        The chain.  Nothing in it is trusted: `prove_deviation` bounds what rank decisions and rounding change.
    """
    basis = form.basis
    one, inputs = basis.input_size, np.arange(basis.input_size)
    need = _fold_fixed(form.outputs.rows, basis)
    matrices: list[tuple[FloatArray, FloatArray]] = []
    meanings: list[Meaning] = []
    for index in reversed(range(len(form.levels))):
        level = form.levels[index]
        read = np.flatnonzero(need[:, level.columns].any(axis=0))
        if not read.size:
            continue
        own = level.columns[read]
        before = np.concatenate([inputs, *(earlier.columns for earlier in form.levels[:index])])
        chosen, mix = _interpolate(need[:, before] * basis.radius[before], _RANK_TOLERANCE[element])
        carriers = _carriers(need[chosen], before, basis, element)
        matrices.append((np.concatenate([need[:, own], mix], axis=1), need[:, one] - mix @ carriers[:, one]))
        meanings.append(Meaning(level.source, level.units[read], carriers))
        need = np.concatenate([_fold_fixed(level.z.rows[read], basis), carriers])
    matrices.append((need[:, inputs], need[:, one]))
    matrices.reverse()
    layers = [Layer(w, b, meaning) for (w, b), meaning in zip(matrices[:-1], reversed(meanings), strict=True)]
    return Chain(tuple(layers), *matrices[-1])


def _fold_fixed(rows: FloatArray, basis: Basis) -> FloatArray:
    """Columns with a single value become part of the constant."""
    fixed = basis.radius == 0
    constant = rows[:, fixed] @ basis.centre[fixed]
    folded = np.where(fixed, 0.0, rows)
    folded[:, basis.input_size] = constant
    return folded


def _interpolate(rows: FloatArray, tolerance: float) -> tuple[IntArray, FloatArray]:
    """An interpolative decomposition: rows ~ mix @ rows[chosen], by QR with column pivoting of the transpose.

    The chosen rows are needed rows themselves, so that where all are needed the mix is the identity, and entries of
    the mix stay moderate (Golub & Van Loan, section 5.4.2).
    """
    if not rows.any():
        return np.arange(0), np.zeros((rows.shape[0], 0))
    import scipy.linalg  # a fifth of a second at start-up

    triangle, order = scipy.linalg.qr(rows.T, mode="r", pivoting=True)
    pivots = np.abs(np.diag(triangle))
    rank = int((pivots > tolerance * pivots[0]).sum())
    solved = scipy.linalg.solve_triangular(triangle[:rank, :rank], triangle[:rank, rank:])
    mix = np.zeros((rows.shape[0], rank))
    mix[order[:rank]] = np.eye(rank)
    mix[order[rank:]] = solved.T
    sort = np.argsort(order[:rank])
    return np.asarray(order[:rank][sort]), mix[:, sort]


def _carriers(rows: FloatArray, before: IntArray, basis: Basis, element: Element) -> FloatArray:
    """The carried rows over earlier columns, with a constant that makes them non-negative on the domain."""
    carriers = np.zeros_like(rows)
    carriers[:, before] = rows[:, before]
    lower, _ = value_range(Expression(carriers, np.zeros(len(carriers))), basis)
    margin = _MARGIN[element] * (np.abs(carriers) @ basis.magnitude)
    carriers[:, basis.input_size] = np.maximum(0.0, margin - lower)
    return carriers
