"""Boxes on which assumed constraints cannot hold together, narrowed by what these say (specs/bounds.md, B-12).

The linear bound of what the constraints leave over must not be negative: so the box shrinks.  Where boxes are split at
signs of units, as in branching (B-7), the ranges of all units shrink too, and a part begins with those of the whole.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds.clipping import Forms, forms_of, shrunk
from eqverify.bounds.crown import crown_bounds, open_units
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.pullback import PullbackContext
from eqverify.domain import Assumption
from eqverify.network import Network, Relu, evaluate_nodes
from eqverify.search.assumption_bounder import AssumptionBounder, Attempt
from eqverify.search.box_queue import Boxes
from eqverify.search.directions import blamed, ground_of, split_worth, steepness
from eqverify.search.engine import Bounded
from eqverify.search.unit_signs import signs_with

_ROUNDS = 2
"""Bounds of a box that is split at signs, the later ones with what the earlier ones leave of it."""


@dataclass(slots=True)
class _State:
    """What is known of boxes where the constraints hold.

    Attributes:
        box: (k, input_size).
        low: (k, units) lower bounds.
        high: (k, units) upper bounds.
        cut: (k, 1) linear functions that are not negative there.
    """

    box: Interval
    low: FloatArray
    high: FloatArray
    cut: Forms

    def take(self, rows: IntArray) -> _State:
        """Some boxes."""
        cut = Forms(self.cut.slopes[rows], self.cut.constant[rows])
        return _State(Interval(self.box.lower[rows], self.box.upper[rows]), self.low[rows], self.high[rows], cut)

    def put(self, rows: IntArray, box: Interval, low: FloatArray, high: FloatArray, cut: Forms) -> None:
        """Set what is known of some boxes."""
        self.box.lower[rows], self.box.upper[rows] = box.lower, box.upper
        self.low[rows], self.high[rows] = low, high
        self.cut.slopes[rows], self.cut.constant[rows] = cut.slopes, cut.constant

    def packed(self) -> FloatArray:
        """As `Boxes.told`."""
        return np.concatenate([self.low, self.high, self.cut.slopes[:, 0], self.cut.constant], axis=1)


class ClippingBounder(AssumptionBounder):
    """As `AssumptionBounder`, for constraints that are not relaxed.

    Args:
        network: the network.
        assumed: the constraints, one at least.
        attempt: tries inputs; the search is over once one is found.
        by_signs: whether boxes are split at signs of units, else at inputs.  The constraints then narrow the ranges of
            all units in the place of boxes, which costs more than it gains where few inputs are halved.
        known: as for `AssumptionBounder`; the search begins with it.

    Attributes:
        weights: (boxes, rounds, constraints) for each batch, in order: those of the combination that each round gave.
    """

    def __init__(
        self, network: Network, assumed: Assumption, attempt: Attempt, *, by_signs: bool, known: Bounds | None = None
    ) -> None:
        super().__init__(network, assumed, attempt, known=known)
        self.by_signs = by_signs

    def root(self, lower: FloatArray, upper: FloatArray) -> Boxes:
        """As `AssumptionBounder.root`, with what is known."""
        box, (low, high) = Interval(lower[None], upper[None]), self.units.bounds(self.known, 1)
        nothing = Forms(np.zeros((1, 1, lower.size)), np.full((1, 1), np.inf))
        return replace(super().root(lower, upper), told=_State(box, low, high, nothing).packed())

    def bound(self, boxes: Boxes) -> Bounded:
        """As `Bounder.bound`."""
        state, count, rounds = self._state(boxes), len(boxes), _ROUNDS if self.by_signs else 1
        upper, closed = np.full(count, np.inf), np.zeros(count, dtype=bool)
        slopes, score = np.zeros_like(boxes.lower), np.zeros((count, boxes.lower.shape[1] + self.units.count))
        every = np.zeros((count, rounds, len(self.assumed)))
        self.weights.append(every)
        for number in range(rounds):
            rows = np.flatnonzero(~closed)
            if not rows.size:
                break
            own = state.take(rows)
            bounds, void = self._bounds(own)
            ground = ground_of(self.network, bounds)
            parts = replace(boxes.take(rows), lower=own.box.lower, upper=own.box.upper)
            reach, slopes[rows], weights = self._combine(ground, parts)
            every[rows, number] = weights
            cut = forms_of(reach[:, None], slopes[rows, None], own.box)
            box, empty = (own.box, void) if self.by_signs else shrunk(cut, own.box)
            upper[rows] = np.minimum(upper[rows], np.where(void | empty, -np.inf, reach))
            closed[rows] = upper[rows] < 0
            if number == rounds - 1:
                score[rows] = self._score(ground, parts, slopes[rows], weights)
            state.put(rows, box, *self.units.bounds(bounds, rows.size), cut)
        signs = signs_with(boxes.signs, state.low, state.high)
        none = np.zeros(count, dtype=bool)
        return Bounded(closed[:, None], upper[:, None], score, slopes, signs, none, {}, state.box, state.packed())

    def _state(self, boxes: Boxes) -> _State:
        """What boxes were told, and their signs."""
        units, box = self.units.count, Interval(boxes.lower.copy(), boxes.upper.copy())
        ends = [units, 2 * units, 2 * units + boxes.lower.shape[1]]
        low, high, slopes, constant = np.split(boxes.told, ends, axis=1)
        low = np.where(boxes.signs > 0, np.maximum(low, 0.0), low)
        high = np.where(boxes.signs < 0, np.minimum(high, 0.0), high)
        return _State(box, low, high, Forms(slopes[:, None].copy(), constant.copy()))

    def _bounds(self, state: _State) -> tuple[Bounds, BoolArray]:
        """Bounds of all nodes where the constraints hold on boxes, and (k,) where these exclude each other."""
        void, told = np.zeros(len(state.low), dtype=bool), self.units.intervals(state.low, state.high)
        box, cut = state.box, state.cut if self.by_signs else None
        bounds = crown_bounds(self.network, box.lower, box.upper, told, alone=True, void=void, cut=cut)
        return bounds, void

    def _score(self, ground: PullbackContext, boxes: Boxes, slopes: FloatArray, weights: FloatArray) -> FloatArray:
        """(k, input_size + units) as in `Bounded`; of units, where boxes are split at signs, those whose lines cost."""
        sizes = np.einsum("kr,krn->kn", weights, steepness(ground, self._rows(), len(self.assumed)))
        inputs = blamed(slopes, sizes, boxes.upper - boxes.lower)
        if not self.by_signs:
            return np.concatenate([inputs, np.zeros((len(boxes), self.units.count))], axis=1)
        here, most = np.zeros((2, len(boxes), self.units.count))
        values = evaluate_nodes(self.network, np.where(slopes > 0, boxes.upper, boxes.lower))
        for name, row in self._pull(ground, weights[:, None], record=True).entering.items():
            node = self.network.by_name[name]
            if not isinstance(node, Relu) or (source := node.source) not in self.units.places:
                continue
            place, lines, entering, z = self.units.places[source], ground.relaxations[name], row[:, 0], values[source]
            line = np.where(entering > 0, lines.lam * z + lines.offset, lines.alpha * z)
            is_open = open_units(ground.bounds[source])
            here[:, place] += np.abs(entering * (line - np.maximum(z, 0.0))) * is_open
            most[:, place] += np.where(entering > 0, entering, -0.5 * entering) * lines.offset * is_open
        return np.concatenate([inputs, np.nan_to_num(split_worth(here, most))], axis=1)
