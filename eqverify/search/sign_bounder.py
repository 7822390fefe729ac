"""Goals of a proof of stability, "z <= 0 everywhere" and "z >= 0 everywhere" for chosen units, and their bounder.

Boxes are bounded by CROWN as far as open goals need it, given what their parents know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.crown import crown_bounds, meet, most_boxes
from eqverify.bounds.halfspaces import certainly_inside
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.pullback import Pullback, Row
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error
from eqverify.search.box_queue import Boxes
from eqverify.search.directions import blamed, ground_of, input_slopes, steepness
from eqverify.search.engine import Bounded, Constraints
from eqverify.search.unit_signs import UnitSigns

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


class SignBounder:
    """A goal holds on a box where a bound of its unit has the sign.

    Args:
        network: the network.
        goals: what is to be proved.
        known: proved intervals of nodes, (parts or 1, n).
        constraints: where given, `known` may rest on them, so that it may contradict what holds on a box outside of
            them; such a box has no point of the domain, and every goal holds there.
        batch: boxes bounded together, at most.

    Attributes:
        signs: where units stand in the signs of boxes.
        points: inputs of the domain that refuted goals.
    """

    def __init__(
        self, network: Network, goals: SignGoals, known: Bounds, constraints: Constraints | None, batch: int
    ) -> None:
        self.network, self.goals, self.known, self.constraints = network, goals, known, constraints
        self.batch = min(batch, most_boxes(network))
        self.signs = UnitSigns.of(network)
        self.points: list[FloatArray] = []
        self._shown = np.zeros(len(goals), dtype=bool)

    def bound(self, boxes: Boxes) -> Bounded:
        """As `Bounder.bound`: the bounds of sign * z, up to the last node with an open goal."""
        void = np.zeros(len(boxes), dtype=bool)
        errors = None if self.constraints is None else void
        bounds = crown_bounds(
            self.network, boxes.lower, boxes.upper, self._inherited(boxes, errors),
            alone=True, until=self._last(boxes), void=errors,
        )  # fmt: skip
        reach, width = np.full(boxes.open.shape, np.inf), np.ones(boxes.open.shape)
        for own, z, unit in self._by_node(bounds):
            reach[:, own] = np.where(self.goals.sign[own] > 0, z.upper[:, unit], -z.lower[:, unit])
            width[:, own] = z.upper[:, unit] - z.lower[:, unit]
        reach = np.where(void[:, None], -np.inf, np.where(boxes.open, reach, np.inf))
        score, slopes = self._directions(boxes, bounds, reach, width)
        signs = self.signs.read(bounds, boxes.signs)
        return Bounded(reach <= 0, reach, score, slopes, signs, np.zeros(len(boxes), dtype=bool))

    def _by_node(self, bounds: Bounds) -> list[tuple[IntArray, Interval, IntArray]]:
        """The goals about each node that has bounds, these, and the goals' units."""
        numbers = ((number, bounds[name]) for number, name in enumerate(self.goals.nodes) if name in bounds)
        goals = ((np.flatnonzero(self.goals.node == number), z) for number, z in numbers)
        return [(own, z, self.goals.unit[own]) for own, z in goals]

    def _last(self, boxes: Boxes) -> tuple[str, BoolArray]:
        """The last node with an open goal, and (boxes, n) the units that goals are open about."""
        number = int(self.goals.node[boxes.open.any(axis=0)].max())
        name = self.goals.nodes[number]
        asked = np.zeros((len(boxes), self.network.sizes[name]), dtype=bool)
        for sign in (1, -1):
            own = np.flatnonzero((self.goals.node == number) & (self.goals.sign == sign))
            asked[:, self.goals.unit[own]] |= boxes.open[:, own]
        return name, asked

    def _inherited(self, boxes: Boxes, void: BoolArray | None) -> dict[str, Interval]:
        """What the boxes' parts and parents know."""
        told = self.signs.told(boxes.signs)
        for name, whole in self.known.items():
            rows = boxes.part if len(whole.lower) > 1 else np.zeros(len(boxes), dtype=np.int64)
            own = Interval(whole.lower[rows], whole.upper[rows])
            told[name] = meet(own, told[name], name, void) if name in told else own
        return told

    def _directions(
        self, boxes: Boxes, bounds: Bounds, reach: FloatArray, width: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Scores and slopes (boxes, input_size) by the open goal that is nearest to being decided on each box."""
        still = boxes.open & (reach > 0)
        nearest = np.argmin(np.where(still, reach / np.maximum(width, 1e-300), np.inf), axis=1)
        ground, rows = ground_of(self.network, bounds), {}
        for number, name in enumerate(self.goals.nodes):
            own = np.flatnonzero((self.goals.node[nearest] == number) & still.any(axis=1))
            if own.size:
                rows[name] = np.zeros((len(boxes), 1, self.network.sizes[name]))
                rows[name][own, 0, self.goals.unit[nearest[own]]] = self.goals.sign[nearest[own]]
        if not rows:
            return np.zeros(boxes.lower.shape), np.zeros(boxes.lower.shape)
        pullback = Pullback(ground)
        for name, values in rows.items():
            pullback.add(name, Row(values))
        slopes = input_slopes(ground, pullback.run())[:, 0]
        return blamed(slopes, steepness(ground, rows)[:, 0], boxes.upper - boxes.lower), slopes

    def refuted(self, points: FloatArray, parts: IntArray) -> BoolArray:
        """As `Bounder.refuted`; points that show something are kept."""
        inside = np.ones(len(points), dtype=bool)
        for part, rows in enumerate(self.constraints or ()):
            own = parts == part
            inside[own] = certainly_inside(*rows, points[own])
        points = points[inside]
        if not len(points):
            return np.zeros(len(self.goals), dtype=bool)
        shown, useful = self.goals.refuted(self.network, points)
        if (shown & ~self._shown).any():
            self.points.append(points[useful])
            self._shown |= shown
        return shown
