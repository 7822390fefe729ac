"""Goals of a proof of stability, "z <= 0 everywhere" and "z >= 0 everywhere" for chosen units, and their bounder.

Boxes are bounded by CROWN as far as open goals need it, given what their parents know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.clipping import input_slopes
from eqverify.bounds.crown import crown_bounds, meet, most_boxes
from eqverify.bounds.halfspaces import certainly_inside
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.pullback import Pullback, Row
from eqverify.network import Network, evaluate_nodes, evaluation_error
from eqverify.search.box_queue import Boxes
from eqverify.search.directions import blamed, ground_of, steepness
from eqverify.search.engine import Bounded, Constraints
from eqverify.search.unit_signs import UnitPlaces, signs_with

Units = Mapping[str, BoolArray]
"""By pre-activation node, (n,) bool."""


@dataclass(frozen=True, slots=True, eq=False)
class SignGoals:
    """Claims  sign * z_unit <= 0  on the whole domain, numbered 0, 1, ...

    Attributes:
        units: the units of the network.
        place: (g,) where the unit stands among them.
        sign: (g,) 1 for z <= 0, -1 for z >= 0.
    """

    units: UnitPlaces
    place: IntArray
    sign: IntArray

    def __len__(self) -> int:
        return int(self.place.size)

    @property
    def rivals(self) -> IntArray:
        """(g,) the other claim about the same unit, -1 for none."""
        number = np.full((2, self.units.count), -1)
        number[(1 - self.sign) // 2, self.place] = np.arange(len(self))
        return np.asarray(number[(1 + self.sign) // 2, self.place])

    def refuted(self, network: Network, points: FloatArray) -> tuple[BoolArray, IntArray]:
        """Which goals points refute: a value beyond its rounding error is a proof.

        Args:
            network: the network.
            points: (k, input_size) in the domain.

        Returns:
            (g,) bool, and the indices of points that are enough to show it.
        """
        values = evaluate_nodes(network, points)
        both = (values, evaluation_error(network, values))
        z, error = (self.units.join(one, np.zeros((len(points), self.units.count)))[:, self.place] for one in both)
        shown = self.sign * z > error
        result = shown.any(axis=0)
        return result, np.unique(np.argmax(shown, axis=0)[result])


def sign_goals(network: Network, undecided: Units, above: Units, below: Units) -> SignGoals:
    """Both claims about each undecided unit, without those that a witness already refutes.

    Args:
        network: the network.
        undecided: the units; nodes left out have none.
        above: an input with z > 0 is known.
        below: likewise for z < 0.
    """
    units = UnitPlaces.of(network)
    wanted, up, down = (units.join(one, np.zeros(units.count, dtype=bool)) for one in (undecided, above, below))
    places = [np.flatnonzero(wanted & ~up), np.flatnonzero(wanted & ~down)]
    return SignGoals(units, np.concatenate(places), np.repeat([1, -1], [one.size for one in places]))


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
        points: inputs of the domain that refuted goals.
    """

    def __init__(
        self, network: Network, goals: SignGoals, known: Bounds, constraints: Constraints | None, batch: int
    ) -> None:
        self.network, self.goals, self.known, self.constraints = network, goals, known, constraints
        self.batch = min(batch, most_boxes(network))
        self.points: list[FloatArray] = []
        self._shown = np.zeros(len(goals), dtype=bool)

    def bound(self, boxes: Boxes) -> Bounded:
        """As `Bounder.bound`: the bounds of sign * z, up to the last node with an open goal."""
        void, goals = np.zeros(len(boxes), dtype=bool), self.goals
        errors = None if self.constraints is None else void
        bounds = crown_bounds(
            self.network, boxes.lower, boxes.upper, self._inherited(boxes, errors),
            alone=True, until=self._last(boxes), void=errors,
        )  # fmt: skip
        lower, upper = goals.units.bounds(bounds, len(boxes))
        reach = np.where(goals.sign > 0, upper[:, goals.place], -lower[:, goals.place])
        reach = np.where(void[:, None], -np.inf, np.where(boxes.open, reach, np.inf))
        score, slopes = self._directions(boxes, bounds, reach, (upper - lower)[:, goals.place])
        signs = signs_with(boxes.signs, lower, upper)
        return Bounded(reach <= 0, reach, score, slopes, signs, np.zeros(len(boxes), dtype=bool))

    def _last(self, boxes: Boxes) -> tuple[str, BoolArray]:
        """The last node with an open goal, and (boxes, n) the units that goals are open about."""
        asked = np.zeros((len(boxes), self.goals.units.count), dtype=bool)
        for sign in (1, -1):
            own = np.flatnonzero(self.goals.sign == sign)
            asked[:, self.goals.place[own]] |= boxes.open[:, own]
        return [(name, units) for name, units in self.goals.units.split(asked).items() if units.any()][-1]

    def _inherited(self, boxes: Boxes, void: BoolArray | None) -> dict[str, Interval]:
        """What the boxes' parts and parents know."""
        told = self.goals.units.told(boxes.signs)
        for name, whole in self.known.items():
            rows = boxes.part if len(whole.lower) > 1 else np.zeros(len(boxes), dtype=np.int64)
            own = Interval(whole.lower[rows], whole.upper[rows])
            told[name] = meet(own, told[name], name, void) if name in told else own
        return told

    def _directions(
        self, boxes: Boxes, bounds: Bounds, reach: FloatArray, width: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Scores and slopes (boxes, input_size) by the open goal that is nearest to being decided on each box."""
        still, going = boxes.open & (reach > 0), np.flatnonzero((boxes.open & (reach > 0)).any(axis=1))
        with np.errstate(invalid="ignore"):
            nearest = np.argmin(np.where(still, reach / np.maximum(width, 1e-300), np.inf), axis=1)[going]
        ones = np.zeros((len(boxes), 1, self.goals.units.count))
        ones[going, 0, self.goals.place[nearest]] = self.goals.sign[nearest]
        rows = {name: part for name, part in self.goals.units.split(ones).items() if part.any()}
        ground = ground_of(self.network, bounds)
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
