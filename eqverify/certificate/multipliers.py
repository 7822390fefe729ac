"""Multipliers of a linear program as slopes of a pullback: one rule is then enough for a checker.

A row c v is bounded by adding y (h - z) and w (lam z + t - h) for units from the last to the first (specs/bounds.md,
B-6).  With c the coefficient that has arrived at h, what goes on to z is (lam w - y): the pullback of B-3 passes on
the same with lower slope y / -c where c < 0, and with upper slope lam w / c where c > 0.  Where the two differ (both
multipliers positive, or a reduced cost of the wrong sign) the slopes are still valid: the bound is the checker's own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eqverify.arrays import Float32Array, FloatArray
from eqverify.bounds.signtree import SignTree
from eqverify.network import Network
from eqverify.stability.proofs import LinearProof

Units = dict[str, FloatArray]
"""By ReLU node, a number for each kept unit."""


def line_slopes(proof: LinearProof) -> tuple[Units, Units, Units, FloatArray]:
    """Slopes that give about the same bound.

    Args:
        proof: the multipliers and their model.

    Returns:
        Lower slopes, upper slopes, both in [0, 1], and multipliers on the ranges of z; and
        the multipliers of the constraints.  Nothing is trusted: any numbers are valid.
    """
    model, multipliers = proof.model, proof.multipliers
    below, above, mu = (
        np.maximum(np.nan_to_num(m, nan=0.0, posinf=0.0, neginf=0.0), 0.0)
        for m in (multipliers.below, multipliers.above, multipliers.constraints)
    )
    row = np.zeros(model.width)
    row[: proof.row.size] = proof.sign * proof.row
    row[: model.matrix.shape[1]] -= mu @ model.matrix
    alpha, lam, tau = np.zeros(model.units), np.array(model.lam), np.zeros(model.units)
    for unit in reversed(range(model.units)):
        arrived = row[model.first + unit]
        if arrived < 0:
            alpha[unit] = min(below[unit] / -arrived, 1.0)
            row[: model.rows.shape[1]] += alpha[unit] * arrived * model.rows[unit]
        elif arrived > 0:
            lam[unit] = min(model.lam[unit] * above[unit] / arrived, 1.0)
            row[: model.rows.shape[1]] += lam[unit] * arrived * model.rows[unit]
        tau[unit] = _on_bounds(arrived, below[unit], above[unit], model.lam[unit])
        row[: model.rows.shape[1]] -= tau[unit] * model.rows[unit]
    lower, upper, bounds, start = {}, {}, {}, 0
    for name, mask in proof.kept.items():
        count = int(mask.sum())
        lower[name], upper[name] = alpha[start : start + count], lam[start : start + count]
        bounds[name] = tau[start : start + count]
        start += count
    return lower, upper, bounds, mu


def _on_bounds(arrived: float, below: float, above: float, lam: float) -> float:
    """What multipliers say beyond slopes: of u - z, or where negative of z - l.

    Both lines together bound z:  h >= z  and  h <= lam z + t  give  (1 - lam) (u - z) >= 0, and h >= 0 with the second
    gives  lam (z - l) >= 0;  h <= u with the first gives  u - z >= 0.
    """
    y, w = (below - min(below, -arrived), above) if arrived < 0 else (below, above - min(above, arrived))
    both = min(y, w)
    return float(both * (1.0 - lam) - (w - both) * lam + (y - both))


def leaf_slopes(tree: SignTree, network: Network) -> tuple[dict[str, Float32Array], dict[str, Float32Array]]:
    """By ReLU node, (leaves, columns): lower slopes, and multipliers on ranges, in the order of the tree's leaves.

    A split unit has the slope of its side; its beta is -beta on the range of z >= 0, which begins at 0, and beta on
    that of z <= 0, which ends there.
    """
    sides = {name: np.zeros((tree.parent.size, columns.size), np.float32) for name, columns in tree.columns.items()}
    for node in range(1, tree.parent.size):
        up = tree.parent[node]
        for signs in sides.values():
            signs[node] = signs[up]
        name = network.relus[tree.relu[up]].name
        sides[name][node, tree.columns[name] == tree.unit[up]] = tree.side[node]
    leaves = np.flatnonzero(tree.relu < 0)
    alpha, tau = {}, {}
    for name, signs in sides.items():
        side, slopes = signs[leaves], tree.alpha[name][tree.leaf[leaves]]
        alpha[name] = np.where(side == 0, slopes, (side + 1) / 2)
        tau[name] = -side * tree.beta[name][tree.leaf[leaves]]
    return alpha, tau


def pruned(tree: SignTree) -> SignTree:
    """The smallest tree that shows the same bound with the numbers there are.

    A leaf that was not bounded, or not better than its parent, has the parent's bound and numbers; so the parent may be
    the leaf, and what else is below it is of no use, since the bound of the tree is the largest of its leaves.
    """
    count = tree.parent.size
    leaf, cut = tree.leaf.copy(), tree.relu < 0
    for node in range(count - 1, 0, -1):
        parent = tree.parent[node]
        if cut[node] and not cut[parent] and tree.upper[node] >= tree.upper[parent]:
            cut[parent], leaf[parent] = True, leaf[node]
    kept = np.ones(count, dtype=bool)
    for node in range(1, count):
        kept[node] = kept[tree.parent[node]] and not cut[tree.parent[node]]
    number = np.cumsum(kept) - 1
    parents = np.where(tree.parent >= 0, number[tree.parent], -1)[kept]
    relu, rows = np.where(cut, -1, tree.relu)[kept], np.where(cut, leaf, -1)[kept]
    return replace(
        tree, parent=parents, side=tree.side[kept], relu=relu, unit=tree.unit[kept], upper=tree.upper[kept], leaf=rows
    )
