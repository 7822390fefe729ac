"""Slopes and multipliers of proofs in the order of certificates: one rule is then enough for a checker."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import Float32Array, FloatArray
from eqverify.bounds.duality import slopes_of
from eqverify.network import Network
from eqverify.search.sign_tree import SignTree
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
    alpha, lam, tau, mu = slopes_of(proof.model, proof.multipliers, proof.sign * proof.row)
    lower, upper, bounds, start = {}, {}, {}, 0
    for name, mask in proof.kept.items():
        count = int(mask.sum())
        lower[name], upper[name] = alpha[start : start + count], lam[start : start + count]
        bounds[name] = tau[start : start + count]
        start += count
    return lower, upper, bounds, mu


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
