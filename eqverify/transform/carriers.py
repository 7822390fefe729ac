"""The sequential shape: a form as a chain whose layers carry past themselves only what later layers need.

Going backwards, let F be the rows that later layers need after a level: columns of the level's own units are there,
and the rest of F, over inputs and earlier units, must be *carried*.  With F_rest = P Q of rank r, the level gets r
further units, the carriers q = Q (x, h) + t, shifted by proved lower bounds so that they are never negative.  Since
F_rest factors through a level's stably active units and through what is needed next, r is at most the number of
either: never more than the rank(W_active) that LEO keeps (statement C-1 in `specs/rewrites.md`).
"""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.budget import checkpoint
from eqverify.network.expression import Basis, Expression, value_range
from eqverify.normal_form.form import NormalForm
from eqverify.transform.chain import Chain, Layer
from eqverify.transform.realise import Element, require_finite
from eqverify.transform.unit_map import UnitMap

RANK_TOLERANCE: dict[Element, float] = {"float32": 2.0**-33, "float64": 2.0**-44}
"""Pivots below this times the largest count as zero: a residual well below the rounding of the written weights."""

_MARGIN: dict[Element, float] = {"float32": 2.0**-20, "float64": 2.0**-40}
"""Carriers stay above zero by this share of what their rows can amount to, so that they do after rounding too, and
`prove_deviation` finds them linear."""


def sequential_chain(form: NormalForm, element: Element) -> Chain:
    """A form as a chain of its levels with carriers.

    Args:
        form: rows of units and outputs; each level becomes a layer.
        element: the type the weights will be written in; it sets the tolerance of the numerical rank.

    Returns:
        The chain.  Nothing in it is trusted: `prove_deviation` bounds what rank decisions and rounding change.
    """
    basis = form.basis
    one, inputs = basis.input_size, np.arange(basis.input_size)
    need = form.outputs
    matrices: list[tuple[FloatArray, FloatArray]] = []
    unit_maps: list[UnitMap] = []
    for own in reversed(form.levels()):
        before, groups = columns_before(form, own), form.groups(own)
        scaled = need[:, before] * basis.radius[before]
        require_finite(scaled, element, groups[0].source)
        chosen, mix = _interpolate(scaled, RANK_TOLERANCE[element])
        carriers = _carriers(need[chosen], before, basis, element)
        matrices.append(
            (np.concatenate([need[:, form.columns[own]], mix], axis=1), need[:, one] - mix @ carriers[:, one])
        )
        unit_maps.append(UnitMap(groups, carriers))
        need = np.concatenate([form.rows[own], carriers])
        require_finite(need, element, groups[0].source)
    matrices.append((need[:, inputs], need[:, one]))
    matrices.reverse()
    layers = [Layer(w, b, unit_map) for (w, b), unit_map in zip(matrices[:-1], reversed(unit_maps), strict=True)]
    return Chain(tuple(layers), *matrices[-1])


def columns_before(form: NormalForm, own: IntArray) -> IntArray:
    """The columns of inputs and of units before those of one level."""
    return np.concatenate([np.arange(form.basis.input_size), form.columns[: own[0]]])


def _interpolate(rows: FloatArray, tolerance: float) -> tuple[IntArray, FloatArray]:
    """An interpolative decomposition: rows ~ mix @ rows[chosen], by QR with column pivoting of the transpose.

    The chosen rows are needed rows themselves, so that where all are needed the mix is the identity, and entries of
    the mix stay moderate (Golub & Van Loan, section 5.4.2).
    """
    if not rows.any():
        return np.arange(0), np.zeros((rows.shape[0], 0))
    checkpoint(2.0 * rows.size * min(rows.shape))
    import scipy.linalg  # a fifth of a second at start-up

    scale = np.abs(rows).max()  # norms of columns must not overflow
    triangle, order = scipy.linalg.qr(rows.T / scale, mode="r", pivoting=True)
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
