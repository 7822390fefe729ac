"""Branching on unit signs for questions "sign * z_i <= limit on the box?" (specs/bounds.md, B-7).

Constraints on inputs and outputs may be assumed (B-9); then "on the box" means where they hold.

Open leaves of many questions about one layer are bounded in batches, one row each, with slopes and split multipliers
from gradient steps (beta-CROWN, Wang et al. 2021, arXiv 2103.06624) that begin where those of the parent ended.  The
unit to split is the one whose relaxation costs most, of those that cost anything at the corner that the bound is from
(one whose line is exact there gains nothing), unless the question's guide names another: then the search goes on from
the leaves of a tree on which a solver says that it has proved the same.  Where a guide's tree ends, and where all signs
are fixed, and the bound is still above the limit, an LP proposes slopes and multipliers.

Questions that seem nearest to their end come first, and each works on its worst leaf, so that what is not proved has
a better bound at least.  The worst bound falls about linearly in the logarithm of the number of leaves; a question
that at this pace needs more than `patience` times the nodes it may have is given up, unless it asks for a range.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from eqverify.bounds.active_subnetwork import Part, alive_part
from eqverify.bounds.assumed import assumed_nodes
from eqverify.bounds.clipping import input_slopes
from eqverify.bounds.crown import CHUNK_NUMBERS, open_units, widest
from eqverify.bounds.duality import scaled, slopes_of
from eqverify.bounds.gradient_steps import StepNetwork
from eqverify.bounds.halfspaces import certainly_inside
from eqverify.bounds.interval import Bounds, Interval
from eqverify.bounds.lp import lp_of
from eqverify.bounds.pullback import PullbackContext, ancestors, relaxations_of
from eqverify.bounds.slope_optimisation import FIRST_STEP, Ascent, Slopes
from eqverify.budget import FOREVER, Budget
from eqverify.domain import Assumption
from eqverify.errors import UsageError
from eqverify.network import Affine, Network, evaluate_nodes, evaluation_error
from eqverify.relaxation.model import restricted_model
from eqverify.search.directions import split_worth
from eqverify.search.sign_tree import BranchResult, SignQuery, SignTree

HOPELESS = 4.0
"""Times the nodes that a question may have."""

_TRIAL = 256
"""Nodes after which the pace of a question is believed."""
_ROOT_STEPS, _RATE = 20, 0.1
"""Gradient steps at a root; length of the first step elsewhere."""

_LARGEST = 1e30
"""Multipliers beyond that are not proposed: they must be float32 numbers."""

_POLISH = 5
"""Gradient steps from what a linear program proposes."""

_RAYS = (2.0, 20.0, 2000.0)
"""Lengths of a ray that are tried, in units of what a bound lacks."""

_CORNERS = 8
"""Corners kept per question."""

Numbers = Mapping[str, Float32Array]


def prove_signs(
    network: Network,
    bounds: Bounds,
    questions: Sequence[SignQuery],
    *,
    assumed: Assumption | None = None,
    max_nodes: int = 1000,
    budget: Budget = FOREVER,
    iterations: int = 2,
    batch: int = 128,
    patience: float = HOPELESS,
) -> list[BranchResult]:
    """Search for proofs that sign * z_unit <= limit on one box.

    Args:
        network: the network.
        bounds: proved intervals, (1, n), of the inputs and all nodes before the questions' and, where constraints on
            outputs are assumed, of all nodes, as from `crown_bounds`.
        questions: what is to be proved; all of one node.
        assumed: constraints that hold where the claims are to hold; points without them refute nothing.
        max_nodes: tree nodes bounded per question at most; with this limit alone the result is the same every time.
        budget: the time; no batch is begun after it.  It is told what is proved.
        iterations: gradient steps per batch.
        batch: tree nodes bounded together.
        patience: questions that seem to need more than so many times `max_nodes` are given up.

    Returns:
        The answers and their trees.  Trusted: float64 arithmetic, and `bounds`.

    Raises:
        UsageError: `usage/question` for a node that is not affine, or for questions about several nodes.
    """
    names = sorted({question.node for question in questions})
    if not names:
        return []
    node = network.by_name.get(names[0])
    if len(names) > 1 or not isinstance(node, Affine):
        raise UsageError("usage/question", "signs are proved of one affine node at a time", value=", ".join(names))
    return _Search(network, bounds, node, questions, assumed, max_nodes, patience).run(budget, iterations, batch)


@dataclass(frozen=True, slots=True, eq=False)
class _Leaf:
    """A leaf to do: whose it is, the signs fixed on it, the numbers behind its parent's bound, its place in a guide."""

    question: int
    index: int
    sides: Mapping[str, ByteArray]
    alpha: Numbers
    beta: Numbers
    nu: Float32Array
    guide: int = -1


@dataclass(frozen=True, slots=True)
class _Split:
    """What a leaf is split at: a ReLU (-1 for none), the column of its unit, and the coefficient that entered that.

    `guide` has the places in the question's guide of the two sides.
    """

    relu: int
    column: int
    entering: float
    guide: tuple[int, int] = (-1, -1)


@dataclass(slots=True)
class _Progress:
    """One question: its tree so far, and the leaves to do, worst first."""

    question: SignQuery
    parent: list[int] = field(default_factory=list)
    side: list[int] = field(default_factory=list)
    split: list[tuple[int, int]] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    hints: list[tuple[Numbers, Numbers, Float32Array]] = field(default_factory=list)
    bounded: list[bool] = field(default_factory=list)
    todo: list[tuple[float, int, _Leaf]] = field(default_factory=list)
    spent: int = 0
    settled: float = -np.inf
    """The largest bound of a leaf that nothing more is done about."""
    root: float = np.inf
    limit: float = 0.0
    point: FloatArray | None = None
    corners: list[FloatArray] = field(default_factory=list)
    dropped: bool = False

    @property
    def worst(self) -> float:
        return max(self.settled, -self.todo[0][0]) if self.todo else self.settled

    @property
    def proved(self) -> bool:
        return self.worst <= self.limit

    @property
    def live(self) -> bool:
        return bool(self.todo) and not self.dropped and self.worst > self.limit >= self.settled

    def expected(self) -> float:
        """How many nodes the proof will take in all, at the pace so far."""
        least = float(self.spent + len(self.todo))
        if self.spent < _TRIAL or not np.isfinite(self.root) or self.question.slack > 0:
            return least
        share = (self.root - self.worst) / max(self.root - self.limit, 1e-300)
        return max(least, float(self.spent ** (1.0 / share))) if share * 40 > np.log(self.spent) else np.inf

    def grow(self, parent: int, side: int, leaf: _Leaf, upper: float) -> None:
        """A new leaf, to be bounded; until then its parent's bound holds."""
        self.parent.append(parent)
        self.side.append(side)
        self.split.append((-1, 0))
        self.upper.append(upper)
        self.hints.append((leaf.alpha, leaf.beta, leaf.nu))
        self.bounded.append(False)
        heapq.heappush(self.todo, (-upper, leaf.index, leaf))

    def take(self, index: int, upper: float, hints: tuple[Numbers, Numbers, Float32Array]) -> None:
        """Take a bound of a leaf, found with the signs on the way to it fixed, if it is the first or better."""
        if not self.bounded[index] or upper < self.upper[index]:
            self.upper[index], self.hints[index], self.bounded[index] = upper, hints, True

    def kept(self) -> list[int]:
        """The nodes of the proof: what stands below a node and gives no better bound than its own is cut off.

        A child that was not bounded has the node's bound.  Each leaf has its own hints, for the signs on the way to it.
        """
        whole, below = [False] * len(self.parent), [-np.inf] * len(self.parent)
        for index in range(len(self.parent) - 1, -1, -1):
            whole[index] = self.split[index][0] >= 0 and below[index] < self.upper[index]
            if index:
                best = below[index] if whole[index] else self.upper[index]
                below[self.parent[index]] = max(below[self.parent[index]], best)
        kept, present = [], [True] * len(self.parent)
        for index, parent in enumerate(self.parent):
            present[index] = parent < 0 or (present[parent] and whole[parent])
            if present[index]:
                kept.append(index)
            if not whole[index]:
                self.split[index] = -1, 0
        return kept

    def result(self, columns: Mapping[str, IntArray]) -> BranchResult:
        kept = self.kept()
        place = {index: position for position, index in enumerate(kept)}
        leaves = [index for index in kept if self.split[index][0] < 0]
        leaf = np.full(len(kept), -1, dtype=np.int64)
        leaf[[place[index] for index in leaves]] = np.arange(len(leaves))
        alpha, beta = (
            {name: np.stack([numbers[name] for numbers in own]) for name in columns}
            for own in ([self.hints[index][0] for index in leaves], [self.hints[index][1] for index in leaves])
        )
        nu = np.stack([self.hints[index][2] for index in leaves])
        upper = max(self.upper[index] for index in leaves)
        tree = SignTree(
            np.array([place.get(self.parent[index], -1) for index in kept], dtype=np.int64),
            np.array([self.side[index] for index in kept], dtype=np.int8),
            np.array([self.split[index][0] for index in kept], dtype=np.int64),
            np.array([self.split[index][1] for index in kept], dtype=np.int64),
            np.array([self.upper[index] for index in kept]),
            columns,
            leaf,
            alpha,
            beta,
            nu,
        )
        corners = np.stack(self.corners) if self.corners else np.empty((0, 0))
        return BranchResult(self.question, upper <= self.limit, upper, self.point, corners, tree)


class _Search:
    """One search; see the module."""

    def __init__(
        self,
        network: Network,
        bounds: Bounds,
        node: Affine,
        questions: Sequence[SignQuery],
        assumed: Assumption | None,
        max_nodes: int,
        patience: float,
    ) -> None:
        self.known = {n: Interval(i.lower[:1], i.upper[:1]) for n, i in bounds.items()}
        self.assumed = assumed if assumed is not None and len(assumed) else None
        self.far = self.assumed is not None and bool(self.assumed.outputs.any())
        self.part = Part(network, node, self.known, {}) if self.far else alive_part(network, self.known, node.name)
        self.whole, self.network, own = network, self.part.network, self.part.bounds
        self.node = self.part.node
        self.max_nodes = max_nodes
        self.patience = patience
        relaxations = relaxations_of(self.network, own)
        self.ground = PullbackContext(self.network, own, relaxations)
        self.lines = StepNetwork(self.ground, self.node, self.assumed)
        before = ancestors(self.network, self.node.name)
        if self.far and self.assumed is not None:
            before |= assumed_nodes(self.network, self.assumed)
        read = [relu for relu in self.network.relus if relu.name in before]
        self.columns = {relu.name: np.flatnonzero(open_units(own[relu.source])[0]) for relu in read}
        self.names = [relu.name for relu in network.relus]
        self._places: dict[str, dict[int, int]] = {}
        self.states = [_Progress(question, limit=question.limit) for question in questions]
        zero = {name: np.zeros(c.size, dtype=np.int8) for name, c in self.columns.items()}
        alpha = {name: relaxations[name].alpha[0, c].astype(np.float32) for name, c in self.columns.items()}
        beta = {name: np.zeros(c.size, dtype=np.float32) for name, c in self.columns.items()}
        nu = np.zeros(0 if self.assumed is None else len(self.assumed), dtype=np.float32)
        for number, state in enumerate(self.states):
            state.grow(-1, 0, _Leaf(number, 0, zero, alpha, beta, nu, guide=0), np.inf)

    def run(self, budget: Budget, iterations: int, batch: int) -> list[BranchResult]:
        batch = max(1, min(batch, CHUNK_NUMBERS // (8 * widest(self.network))))
        while not budget.exhausted():
            proved = sum(state.proved for state in self.states)
            leaves = self._choose(batch)
            if not leaves:
                break
            roots = any(self.states[leaf.question].spent == 0 for leaf in leaves)
            self._expand(leaves, max(iterations, _ROOT_STEPS) if roots else iterations, roots)
            budget.gain((sum(state.proved for state in self.states) - proved) / (len(self.states) - proved))
        columns = {name: self.part.original(name, own) for name, own in self.columns.items()}
        return [state.result(columns) for state in self.states]

    def _choose(self, batch: int) -> list[_Leaf]:
        """The worst leaves of the questions that seem nearest to their end."""
        leaves: list[_Leaf] = []
        costs = []
        for number, state in enumerate(self.states):
            if not state.live:
                continue
            cost = state.expected()
            hopeless = state.spent >= _TRIAL and cost > self.patience * self.max_nodes
            if hopeless or state.spent >= self.max_nodes:
                state.dropped = True
            else:
                costs.append((cost, number))
        for _, number in sorted(costs):
            state = self.states[number]
            room = min(batch - len(leaves), self.max_nodes - state.spent)
            count = min(room, len(state.todo))
            leaves += [heapq.heappop(state.todo)[2] for _ in range(count)]
            if len(leaves) == batch:
                break
        return leaves

    def _expand(self, leaves: list[_Leaf], iterations: int, roots: bool) -> None:
        """Bound leaves and split those that stay open."""
        ascent = self._ascent(leaves, roots)
        slopes = ascent.run(iterations)
        alpha, beta = self._numbers(ascent, slopes)
        nu = slopes.nu[0].astype(np.float32)
        for row, leaf in enumerate(leaves):
            state = self.states[leaf.question]
            state.spent += 1
            upper = float(slopes.upper[0, row])
            if leaf.index == 0:
                state.root = upper
            own, others = ({name: v[row] for name, v in values.items()} for values in (alpha, beta))
            state.take(leaf.index, upper, (own, others, nu[row]))
        splits = self._splits(ascent, leaves)
        self._try_corners(ascent, leaves)
        for row, leaf in enumerate(leaves):
            state = self.states[leaf.question]
            split = splits.get(row)
            if state.upper[leaf.index] > state.limit and self._settled_by_lp(state, leaf, split):
                self._settle(state, leaf)
            if state.upper[leaf.index] > state.limit and split is not None and split.relu >= 0:
                self._split(state, leaf, split)
                continue
            state.settled = max(state.settled, state.upper[leaf.index])

    def _ascent(self, leaves: list[_Leaf], roots: bool) -> Ascent:
        asked = [self.states[leaf.question].question for leaf in leaves]
        sides = {name: np.stack([leaf.sides[name] for leaf in leaves])[None] for name in self.columns}
        alpha, beta = (
            {name: np.stack([n[name] for n in numbers])[None].astype(np.float64) for name in self.columns}
            for numbers in ([leaf.alpha for leaf in leaves], [leaf.beta for leaf in leaves])
        )
        return Ascent(
            self.ground,
            self.node,
            np.array([q.unit for q in asked]),
            np.array([float(q.sign) for q in asked]),
            sides,
            alpha,
            beta,
            nu=np.stack([leaf.nu for leaf in leaves])[None].astype(np.float64),
            assumed=self.assumed,
            limits=np.array([self.states[leaf.question].limit for leaf in leaves]),
            rate=FIRST_STEP if roots else _RATE,
            lines=self.lines,
        )

    def _numbers(self, ascent: Ascent, slopes: Slopes) -> tuple[Numbers, Numbers]:
        """Slopes and multipliers, (rows, columns), as float32, which they are."""
        shape = slopes.units.size
        alpha = {name: slopes.alpha[name][0].astype(np.float32) for name in self.columns}
        beta = {
            name: slopes.beta[name][0].astype(np.float32)
            if name in slopes.beta
            else np.zeros((shape, columns.size), dtype=np.float32)
            for name, columns in self.columns.items()
        }
        return alpha, beta

    def _splits(self, ascent: Ascent, leaves: list[_Leaf]) -> dict[int, _Split]:
        """By row that stayed open to the end: the unit that its guide names, else the one that costs most."""
        assert ascent.last is not None
        scores, relus, units = [np.full((len(leaves), 1), -0.5)], [np.full(1, -1)], [np.zeros(1, np.int64)]
        entering, gaps = [np.zeros((len(leaves), 1))], ascent.gaps()
        for name, columns in self.columns.items():
            if name not in ascent.last.entering or not columns.size:
                continue
            row = ascent.last.entering[name][0][:, columns]
            offset = self.ground.relaxations[name].offset[0, columns]
            with np.errstate(over="ignore", invalid="ignore"):
                most = np.where(row > 0, row, -0.5 * row) * offset
                cost = np.nan_to_num(split_worth(gaps[name][0], most))
            fixed = ascent.sides[name][0] != 0 if name in ascent.sides else np.zeros(row.shape, bool)
            scores.append(np.where(fixed, -1.0, cost))
            relus.append(np.full(columns.size, self.names.index(name)))
            units.append(np.arange(columns.size))
            entering.append(row)
        score, relu, unit = np.concatenate(scores, axis=1), np.concatenate(relus), np.concatenate(units)
        best, rows = np.argmax(score, axis=1), np.concatenate(entering, axis=1)
        found = {}
        for row, leaf in enumerate(leaves):
            place, guide = int(best[row]), (-1, -1)
            if (guided := self._guided(leaf)) is not None:
                at = np.flatnonzero((relu == guided[0]) & (unit == guided[1]))
                place, guide = (int(at[0]), guided[2]) if at.size else (place, guide)
            found[row] = _Split(int(relu[place]), int(unit[place]), float(rows[row, place]), guide)
        return found

    def _guided(self, leaf: _Leaf) -> tuple[int, int, tuple[int, int]] | None:
        """The ReLU and the column that a leaf's guide names next, and the guide's places behind; None for none.

        Units that are stable, or split by now, are passed on their side.
        """
        guide, place = self.states[leaf.question].question.guide, leaf.guide
        while guide is not None and place >= 0 and 0 <= guide.relu[place] < len(self.names):
            relu, unit = int(guide.relu[place]), int(guide.unit[place])
            below, above = (int(child) if child > place else -1 for child in guide.child[place])
            column = self._column(self.names[relu], unit)
            side = int(leaf.sides[self.names[relu]][column]) if column is not None else self._sign(relu, unit)
            if side == 0:
                return None if column is None else (relu, column, (below, above))
            place = above if side > 0 else below
        return None

    def _column(self, name: str, unit: int) -> int | None:
        """The column of a unit of the whole network; None for one that is not open or stands behind the node."""
        if name not in self._places:
            own = self.part.original(name, self.columns[name]) if name in self.columns else np.empty(0, dtype=np.int64)
            self._places[name] = {unit: column for column, unit in enumerate(own.tolist())}
        return self._places[name].get(unit)

    def _sign(self, relu: int, unit: int) -> int:
        """1 or -1 for a unit of the whole network that is stable, else 0."""
        node = self.whole.by_name[self.names[relu]]
        z = self.known.get(node.sources[0])
        if z is None or not 0 <= unit < z.lower.shape[1]:
            return 0
        return -1 if z.upper[0, unit] <= 0 else 1 if z.lower[0, unit] >= 0 else 0

    def _split(self, state: _Progress, leaf: _Leaf, split: _Split) -> None:
        """Two leaves, with multipliers on the new split with which their bounds are no worse than the parent's.

        A negative coefficient on the unit is alpha of itself behind the parent's relaxation, and all or nothing behind
        the leaves'; the multiplier makes up the difference.
        """
        name, upper = self.names[split.relu], state.upper[leaf.index]
        alpha, beta, nu = state.hints[leaf.index]
        state.split[leaf.index] = split.relu, int(self.part.original(name, self.columns[name][split.column]))
        slope, lost = float(alpha[name][split.column]), -split.entering if -_LARGEST < split.entering < 0 else 0.0
        for side in (-1, 1):
            sides = {**leaf.sides, name: leaf.sides[name].copy()}
            own = {**beta, name: beta[name].copy()}
            sides[name][split.column] = side
            own[name][split.column] = lost * (slope if side < 0 else 1.0 - slope)
            place = split.guide[side > 0]
            state.grow(leaf.index, side, _Leaf(leaf.question, len(state.parent), sides, alpha, own, nu, place), upper)

    def _settled_by_lp(self, state: _Progress, leaf: _Leaf, split: _Split | None) -> bool:
        """Whether a linear program is worth while: where nothing is left to split, and where a guide's tree ends."""
        if self.network.smooth:  # has no rows
            return False
        ends = state.question.guide is not None and leaf.guide >= 0 and split is not None and split.guide == (-1, -1)
        return ends or split is None or split.relu < 0

    def _settle(self, state: _Progress, leaf: _Leaf) -> None:
        """Slopes and multipliers that an LP proposes for a leaf, and its vertex.

        Where no input has the signs of the leaf, there are multipliers with which any bound falls below its limit: the
        solver's ray, as long as it takes.
        """
        name = self.node.name
        signs = {r.name: np.zeros(self.network.sizes[r.name], dtype=np.int8) for r in self.network.relus}
        for relu, columns in self.columns.items():
            signs[relu][columns] = leaf.sides[relu]
        bounds = {r.name: self.ground.bounds[r.source] for r in self.network.relus}
        kept = {r: open_units(z)[0] & (signs[r] == 0) & (r in self.columns) for r, z in bounds.items()}
        active = {relu: (z.lower[0] >= 0) | (signs[relu] > 0) for relu, z in bounds.items()}
        stop = None if self.far else name
        model = restricted_model(self.network, kept, active, self._box(), self.ground.bounds, stop)
        layer = lp_of(model, assumed=self.assumed, signs=signs)
        row = state.question.sign * model.values[name].rows[state.question.unit]
        answer = layer.bound(row)
        if answer.point is not None:
            self._try_points([state], answer.point[None])
        self._take_proposed(state, self._proposed(leaf, kept, slopes_of(layer.model, answer.multipliers, row)), _POLISH)
        missing = state.upper[leaf.index] - state.limit
        if not 0 < missing < np.inf or (ray := layer.empty()) is None:
            return
        for share in _RAYS:
            longer = scaled(ray.multipliers, share * max(missing, 1e-9) / -ray.value)
            self._take_proposed(state, self._proposed(leaf, kept, slopes_of(layer.model, longer, row)), 0)
            if state.upper[leaf.index] <= state.limit:
                return

    def _take_proposed(self, state: _Progress, leaf: _Leaf, steps: int) -> None:
        """Take the bound of a leaf's numbers, after so many gradient steps, if it is better."""
        ascent = self._ascent([leaf], False)
        slopes = ascent.run(steps)
        alpha, beta = self._numbers(ascent, slopes)
        own, others = ({name: v[0] for name, v in values.items()} for values in (alpha, beta))
        state.take(leaf.index, float(slopes.upper[0, 0]), (own, others, slopes.nu[0, 0].astype(np.float32)))

    def _proposed(
        self, leaf: _Leaf, kept: Mapping[str, BoolArray], found: tuple[FloatArray, FloatArray, FloatArray, FloatArray]
    ) -> _Leaf:
        """A leaf with the numbers of a linear program."""
        count = leaf.nu.size
        slopes, mu = found[0].astype(np.float32), np.minimum(found[3], _LARGEST).astype(np.float32)
        alpha, beta, unit, sign = {}, {}, 0, count
        for name, columns in self.columns.items():
            own = kept[name][columns]
            alpha[name], beta[name] = leaf.alpha[name].copy(), np.zeros(columns.size, dtype=np.float32)
            alpha[name][own] = slopes[unit : unit + int(own.sum())]
            split = leaf.sides[name] != 0
            beta[name][split] = mu[sign : sign + int(split.sum())]
            unit, sign = unit + int(own.sum()), sign + int(split.sum())
        return _Leaf(leaf.question, leaf.index, leaf.sides, alpha, beta, mu[:count])

    def _box(self) -> tuple[FloatArray, FloatArray]:
        """(lower, upper), (input_size,) each."""
        sides = [
            (self.ground.bounds[port.name].lower[0], self.ground.bounds[port.name].upper[0])
            for port in self.network.inputs
        ]
        return np.concatenate([low for low, _ in sides]), np.concatenate([high for _, high in sides])

    def _try_corners(self, ascent: Ascent, leaves: list[_Leaf]) -> None:
        """Evaluate the corner that each question's first open row points to."""
        assert ascent.last is not None
        first: dict[int, int] = {}
        for row, leaf in enumerate(leaves):
            state = self.states[leaf.question]
            if state.upper[leaf.index] > state.limit:
                first.setdefault(leaf.question, row)
        if not first:
            return
        slopes, states = input_slopes(self.ground, ascent.last), [self.states[number] for number in first]
        slopes, (low, high) = slopes[0, list(first.values())], self._box()
        corners = np.where(slopes > 0, high, np.where(slopes < 0, low, np.clip(low + (high - low) / 2, low, high)))
        for state, corner in zip(states, corners, strict=True):
            state.corners = [*state.corners[1 - _CORNERS :], corner]
        self._try_points(states, corners)

    def _try_points(self, states: Sequence[_Progress], points: FloatArray) -> None:
        """Keep the points (k, input_size) that refute the claims of their questions."""
        if self.far:
            return
        values = evaluate_nodes(self.network, points)
        errors = evaluation_error(self.network, values)[self.node.name]
        inside = np.ones(len(points), dtype=bool)
        if self.assumed is not None:
            inside = certainly_inside(self.assumed.inputs, self.assumed.bound, points)
        for row in np.flatnonzero(inside).tolist():
            state, unit = states[row], states[row].question.unit
            value = state.question.sign * values[self.node.name][row, unit]
            if not value > np.nextafter(state.limit + errors[row, unit], np.inf):
                continue
            state.point = points[row]
            if state.question.slack > 0:
                state.limit = float(value + state.question.slack)
            else:
                state.dropped = True
