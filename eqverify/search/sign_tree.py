"""Trees of sign splits: what `eqverify.search.sign_branching` proves, and with which numbers (specs/bounds.md, B-7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import ByteArray, Float32Array, FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class Guide:
    """Where a search splits first: a tree that somebody else proved the same on.  Nothing about it is believed.

    Attributes:
        relu: (k,) by node, index into the network's ReLU nodes of the unit split there, -1 for none; 0 is the root.
        unit: (k,) its component.
        child: (k, 2) the nodes where z <= 0 and where z >= 0, -1 where the tree ends.
    """

    relu: IntArray
    unit: IntArray
    child: IntArray

    @staticmethod
    def root() -> Guide:
        """A tree that splits nothing."""
        return Guide(np.array([-1]), np.array([0]), np.array([[-1, -1]]))


@dataclass(frozen=True, slots=True)
class SignQuery:
    """Is sign * z_unit of a pre-activation node at most `limit` on the box?

    Attributes:
        node: the pre-activation node, affine.
        unit: the component.
        sign: 1 or -1.
        limit: what is to be proved; 0 for a sign.
        slack: where positive, the question is how large sign * z gets: a point beyond the limit raises that to its
            value plus the slack.
        guide: where to split first, if anybody knows.
    """

    node: str
    unit: int
    sign: int
    limit: float = 0.0
    slack: float = 0.0
    guide: Guide | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SignTree:
    """A complete binary tree: each node is a leaf or has both sides of its split; parents first.

    Attributes:
        parent: (k,) index of the parent, -1 for the root.
        side: (k,) -1 if the unit that the parent splits has z <= 0 here, 1 if z >= 0, 0 for the root.
        relu: (k,) index into the network's ReLU nodes of the unit split here, -1 for a leaf.
        unit: (k,) its component.
        upper: (k,) proved upper bound of sign * z.
        columns: by ReLU node before the question's, (c,) the units whose slopes were chosen: those open at the root.
            All other open units do not exist; stable ones have the slopes 0 or 1.
        leaf: (k,) row of `alpha` and `beta` for leaves, -1 for others.
        alpha: by ReLU node, (leaves, c) lower slopes; a unit split on the way has the slope of its side instead.
        beta: by ReLU node, (leaves, c) multipliers >= 0 of  side * z >= 0  for split units; 0 for others.
        nu: (leaves, k) multipliers >= 0 on the assumed constraints.
    """

    parent: IntArray
    side: ByteArray
    relu: IntArray
    unit: IntArray
    upper: FloatArray
    columns: Mapping[str, IntArray]
    leaf: IntArray
    alpha: Mapping[str, Float32Array]
    beta: Mapping[str, Float32Array]
    nu: Float32Array


@dataclass(frozen=True, slots=True, eq=False)
class BranchResult:
    """The end of a search.

    Attributes:
        question: what was asked.
        proved: whether sign * z <= limit on the box.
        upper: the least proved bound of sign * z: the largest over the tree's leaves.
        point: (input_size,) an input with sign * z > limit beyond rounding, if one was met; the last one.
        corners: (k, input_size) inputs that leaves with large bounds pointed to; starts for a search.
        tree: the proof of `upper`.
    """

    question: SignQuery
    proved: bool
    upper: float
    point: FloatArray | None
    corners: FloatArray
    tree: SignTree
