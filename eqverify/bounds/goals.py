"""Goals of a proof of stability: "z <= 0 everywhere" and "z >= 0 everywhere" for chosen units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error


@dataclass(frozen=True, slots=True, eq=False)
class Goals:
    """Claims  sign * z_unit <= 0  on the whole domain, numbered 0, 1, ...

    Attributes:
        nodes: pre-activation nodes of the network that are affine, in topological order.
        offsets: by node, where its units stand in vectors over the units of all nodes.
        units: number of units of all nodes.
        node: (g,) index into `nodes`.
        unit: (g,) component.
        sign: (g,) 1 for z <= 0, -1 for z >= 0.
        index: by node, (n, 2) the goal of each unit for sign 1 and -1; -1 where there is none.
    """

    nodes: tuple[str, ...]
    offsets: Mapping[str, int]
    units: int
    node: IntArray
    unit: IntArray
    sign: IntArray
    index: Mapping[str, IntArray]

    def __len__(self) -> int:
        return int(self.node.size)

    def refuted(self, network: Network, points: FloatArray) -> tuple[BoolArray, IntArray]:
        """Which goals points refute: a value beyond its rounding error is a proof.

        Args:
            network: the network.
            points: (k, input_size) in the domain.

        Returns:
            (g,) bool, and the indices of points that are enough to show it.
        """
        values = evaluate_nodes(network, points)
        errors = evaluation_error(network, values)
        result, useful = np.zeros(len(self), dtype=bool), [np.empty(0, dtype=np.int64)]
        for number, name in enumerate(self.nodes):
            own = np.flatnonzero(self.node == number)
            shown = self.sign[own] * values[name][:, self.unit[own]] > errors[name][:, self.unit[own]]
            result[own] = shown.any(axis=0)
            useful.append(np.argmax(shown, axis=0)[result[own]])
        return result, np.unique(np.concatenate(useful))


def make_goals(
    network: Network,
    undecided: Mapping[str, BoolArray],
    above: Mapping[str, BoolArray] | None = None,
    below: Mapping[str, BoolArray] | None = None,
) -> Goals:
    """Both claims about each undecided unit, without those that a witness already refutes.

    Args:
        network: the network.
        undecided: by pre-activation node, (n,) bool; nodes left out have none.
        above: by pre-activation node, (n,) bool: an input with z > 0 is known.
        below: likewise for z < 0.
    """
    nodes = tuple(dict.fromkeys(n.source for n in network.relus if isinstance(network.by_name.get(n.source), Affine)))
    offsets, index, start = {}, {}, 0
    node, unit, sign = [], [], []
    count = 0
    for number, name in enumerate(nodes):
        size = network.sizes[name]
        offsets[name], start = start, start + size
        index[name] = np.full((size, 2), -1, dtype=np.int64)
        for side, witnessed in enumerate((above or {}, below or {})):
            wanted = np.asarray(undecided.get(name, np.zeros(size, dtype=bool))) & ~witnessed.get(
                name, np.zeros(size, dtype=bool)
            )
            chosen = np.flatnonzero(wanted)
            index[name][chosen, side] = count + np.arange(chosen.size)
            count += chosen.size
            node.append(np.full(chosen.size, number))
            unit.append(chosen)
            sign.append(np.full(chosen.size, 1 - 2 * side))
    none = np.empty(0, dtype=np.int64)
    return Goals(
        nodes,
        offsets,
        start,
        np.concatenate([none, *node]),
        np.concatenate([none, *unit]),
        np.concatenate([none, *sign]),
        index,
    )
