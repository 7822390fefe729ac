"""Goals of a proof of stability: "z <= 0 everywhere" and "z >= 0 everywhere" for chosen units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error

Units = Mapping[str, BoolArray]
"""By pre-activation node, (n,) bool."""


@dataclass(frozen=True, slots=True, eq=False)
class SignGoals:
    """Claims  sign * z_unit <= 0  on the whole domain, numbered 0, 1, ...

    Attributes:
        nodes: pre-activation nodes of the network that are affine, in topological order.
        node: (g,) index into `nodes`, ascending.
        unit: (g,) component.
        sign: (g,) 1 for z <= 0, -1 for z >= 0.
    """

    nodes: tuple[str, ...]
    node: IntArray
    unit: IntArray
    sign: IntArray

    def __len__(self) -> int:
        return int(self.node.size)

    @property
    def rivals(self) -> IntArray:
        """(g,) the other claim about the same unit, -1 for none."""
        claims = [*zip(self.node.tolist(), self.unit.tolist(), self.sign.tolist(), strict=True)]
        number = {claim: goal for goal, claim in enumerate(claims)}
        return np.array([number.get((node, unit, -sign), -1) for node, unit, sign in claims], dtype=np.int64)

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


def sign_goals(network: Network, undecided: Units, above: Units, below: Units) -> SignGoals:
    """Both claims about each undecided unit, without those that a witness already refutes.

    Args:
        network: the network.
        undecided: the units; nodes left out have none.
        above: an input with z > 0 is known.
        below: likewise for z < 0.
    """
    nodes = tuple(dict.fromkeys(n.source for n in network.relus if isinstance(network.by_name.get(n.source), Affine)))
    claims: list[tuple[int, int, int]] = []
    for number, name in enumerate(nodes):
        none = np.zeros(network.sizes[name], dtype=bool)
        for sign, witnessed in ((1, above), (-1, below)):
            wanted = np.asarray(undecided.get(name, none)) & ~witnessed.get(name, none)
            claims += [(number, unit, sign) for unit in np.flatnonzero(wanted).tolist()]
    return SignGoals(nodes, *np.array(claims, dtype=np.int64).reshape(-1, 3).T)
