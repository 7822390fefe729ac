"""From how a solver branched to where our own branching begins."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eqverify.arrays import IntArray
from eqverify.milp.encoding import BranchingTree
from eqverify.search.sign_tree import Guide


def guide_of(tree: BranchingTree | None, kept: Sequence[IntArray]) -> Guide:
    """A solver's tree over the units of its model, by layers of the network.

    Args:
        tree: what it tells; None for nothing.
        kept: for each ReLU node, (k,) the units that the model has, in the order in which it got them.

    Returns:
        The guide; one that splits nothing where the tree does not.
    """
    if tree is None or tree.parent.size < 2:
        return Guide.root()
    layer = np.repeat(np.arange(len(kept)), [own.size for own in kept])
    unit = np.concatenate([np.empty(0, dtype=np.int64), *kept])
    child = np.full((tree.parent.size, 2), -1, dtype=np.int64)
    for place in range(1, tree.parent.size):
        child[tree.parent[place], int(tree.side[place] > 0)] = place
    known = np.flatnonzero((tree.unit >= 0) & (tree.unit < unit.size))
    relus, units = np.full(tree.parent.size, -1, dtype=np.int64), np.zeros(tree.parent.size, dtype=np.int64)
    relus[known], units[known] = layer[tree.unit[known]], unit[tree.unit[known]]
    return Guide(relus, units, child)
