"""The stage `branch`: sign branching, layer by layer, for signs of open units and for ranges that later layers need.

How the effort is spent:
- the stage may take `SHARE` of the time left; a layer half of what the stage has left, the last one with open units
  all of it;
- every open sign of a layer is a question; all are searched side by side, those nearest to their end first, each with
  at most `branch_nodes` tree nodes (an option); hopeless ones are given up as `eqverify.search.sign_branching` says;
- where later layers have open units, the ranges of the units that are not inactive are questions too: every relaxation
  and interval that reads them becomes narrower, and decides many units at once.  All of them share `RANGE_NODES` tree
  nodes, or `NODES_PER_OPEN` for each later open unit if that is less; there must be `FEWEST` for each question.  A
  range is good enough when it exceeds what points reach by `SLACK` of its width.  Then CROWN and optimised slopes
  start from the narrower ranges;
- an open sign that was not proved is looked for next to the corners that its worst leaves pointed to;
- what is open then is asked again with `GROWTH` times the nodes, as long as time is left and a round decides any unit.

In a region, where no witness ends a hopeless question, there is one round with `FEWER` times the nodes and time.

The questions about a layer are shared out over the workers.  With a node limit there is no share of time, one round and
one worker: the stage then ends by its numbers of nodes, with the same result every time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from eqverify.arrays import BoolArray, FloatArray, IntArray
from eqverify.bounds import Bounds, Interval
from eqverify.bounds.pullback import ancestors
from eqverify.budget import Budget
from eqverify.execution import outcome
from eqverify.network import Affine, Relu
from eqverify.search.sign_branching import HOPELESS, prove_signs
from eqverify.search.sign_tree import BranchResult, SignQuery
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.proofs import BranchProof
from eqverify.stability.run import Run
from eqverify.stability.stages.arithmetic import alpha

SHARE = 0.6
RANGE_NODES = 40_000
NODES_PER_OPEN = 500
FEWEST = 30
SLACK = 0.02
GROWTH = 4
FEWER = 1 / 4


def branch(run: Run) -> None:
    """All layers in order, all parts of the domain, in rounds."""
    if not run.options.branch_nodes:
        run.annotate(0, "left out")
        return
    fixed, region = run.options.node_limit is not None, run.assumed is not None
    questions, factor, going = 0, FEWER if region else 1.0, True
    budget = run.budget if fixed else run.budget.part(SHARE * factor)
    while going and run.table.undecided() and not budget.exhausted():
        before = run.table.undecided()
        questions += _round(run, budget, factor)
        factor *= GROWTH
        going = run.table.undecided() < before and not fixed and not region
    run.annotate(questions, "time limit reached" if budget.exhausted() else "")


def _round(run: Run, budget: Budget, factor: float) -> int:
    """All layers once, with so many times the nodes; the number of questions."""
    fixed = run.options.node_limit is not None
    questions = 0
    for relu in run.problem.network.relus:
        if not run.table.undecided() or budget.exhausted():
            break
        if not isinstance(run.problem.network.by_name.get(relu.source), Affine) or not behind_relu(run, relu):
            continue
        run.progress(f"branch {relu.name}", 0, 1)
        layer = Layer(run, relu.source, factor)
        questions += layer.signs(budget if fixed else budget.share(2 if _open_layers(run, relu) > 1 else 1))
        later = _open_units(run, relu)
        if later:
            nodes = int(min(RANGE_NODES, NODES_PER_OPEN * later) * factor)
            questions += layer.ranges(budget if fixed else budget.share(2), nodes)
        if layer.gained and run.table.undecided():
            run.crown()
            alpha(run)
    return questions


def behind_relu(run: Run, relu: Relu) -> bool:
    """Whether any ReLU stands before, or constraints on outputs are assumed: elsewhere intervals are exact on boxes."""
    if run.assumed is not None:
        return True
    before = ancestors(run.problem.network, relu.source)
    return any(other.name in before for other in run.problem.network.relus)


def _open_layers(run: Run, node: Relu) -> int:
    """How many layers from this one on have undecided units."""
    later = run.problem.network.relus[run.problem.network.relus.index(node) :]
    return sum(bool(run.table.open(relu.source).any()) for relu in later)


def _open_units(run: Run, node: Relu) -> int:
    """How many units of later layers are undecided."""
    later = run.problem.network.relus[run.problem.network.relus.index(node) + 1 :]
    return sum(int(run.table.open(relu.source).sum()) for relu in later)


@dataclass(frozen=True, slots=True, eq=False)
class Aims:
    """Which ranges of a layer are worth narrowing, and how far.

    Attributes:
        wanted: by sign, (n,) bool: the ends of the units' ranges to ask about.
        rest: the share of the way from what points reach to the bound that may be left.
    """

    wanted: Mapping[int, BoolArray]
    rest: float

    @property
    def count(self) -> int:
        """How many ends are wanted."""
        return sum(int(ends.sum()) for ends in self.wanted.values())


class Layer:
    """The questions about one pre-activation node.

    Args:
        run: the proof.
        name: the node.
        factor: times the usual number of nodes for signs.
        patience: see `prove_signs`.
    """

    def __init__(self, run: Run, name: str, factor: float = 1.0, patience: float = HOPELESS) -> None:
        self.run = run
        self.name = name
        self.factor = factor
        self.patience = patience
        self.gained = False

    def signs(self, budget: Budget) -> int:
        """Ask about the signs that no witness shows; the number of questions."""
        table, count = self.run.table, 0
        for part in range(table.parts):
            undecided = table.open(self.name)
            questions = []
            for sign, known, side in ((1, table.above, "upper"), (-1, table.below, "lower")):
                interval = table.bounds[self.name]
                reach, width = sign * getattr(interval, side)[part], (interval.upper - interval.lower)[part]
                wanted = np.flatnonzero(undecided & ~known[self.name] & (reach > 0) & (reach <= width))
                questions += [SignQuery(self.name, int(unit), sign) for unit in wanted]
            share = budget.share(table.parts - part) if table.parts > 1 else budget
            count += self.ask(part, questions, share, int(self.factor * self.run.options.branch_nodes))
        return count

    def ranges(self, budget: Budget, nodes: int, aims: Aims | None = None) -> int:
        """Narrow the ranges of the units that are not inactive, if there are nodes for all; the number of questions.

        Args:
            budget: the time.
            nodes: tree nodes for all questions together.
            aims: what to ask; by default all, as exactly as `SLACK` says.
        """
        table, count = self.run.table, 0
        units = np.flatnonzero(table.status(self.name) != Status.INACTIVE)
        nodes //= max(1, self.range_count() if aims is None else aims.count * table.parts)
        if nodes < FEWEST:
            return 0
        for part in range(table.parts):
            questions = self._range_questions(part, units, aims)
            count += self.ask(part, questions, budget.share(table.parts - part) if table.parts > 1 else budget, nodes)
        return count

    def range_count(self) -> int:
        """How many ranges have an end to narrow, at most."""
        table = self.run.table
        return 2 * int((table.status(self.name) != Status.INACTIVE).sum()) * table.parts

    def _range_questions(self, part: int, units: IntArray, aims: Aims | None) -> list[SignQuery]:
        interval = self.run.table.bounds[self.name]
        lowest, highest = self.run.falsifier.reached(self.name, part)
        questions = []
        for sign, bound, reached in ((1, interval.upper[part], highest), (-1, -interval.lower[part], -lowest)):
            width = interval.upper[part] - interval.lower[part]
            limits = reached + SLACK * width
            if aims is not None:
                limits = np.maximum(limits, reached + aims.rest * (bound - reached))
            wanted = units[np.isfinite(limits[units]) & (bound[units] > limits[units])]
            if aims is not None:
                wanted = wanted[aims.wanted[sign][wanted]]
            questions += [
                SignQuery(self.name, int(unit), sign, float(limits[unit]), SLACK * float(width[unit]))
                for unit in wanted
            ]
        return questions

    def ask(self, part: int, questions: list[SignQuery], budget: Budget, nodes: int) -> int:
        """Put questions on one part to the search, and learn what it finds; their number.

        Args:
            part: of the domain.
            questions: about this node.
            budget: the time.
            nodes: tree nodes for each.
        """
        if not questions:
            return 0
        run = self.run
        known = run.bounds_on(part)
        prove = partial(
            prove_signs,
            assumed=run.problem.given(part),
            max_nodes=nodes,
            budget=budget,
            patience=self.patience,
        )
        workers = 1 if run.options.node_limit is not None else min(run.executor.workers, len(questions))
        share = [questions[k::workers] for k in range(workers)]
        tasks = [run.executor.submit(prove, run.problem.network, known, own) for own in share]
        results = [result for task in tasks for result in outcome(task)]
        points = [r.point for r in results if r.point is not None]
        if points:
            run.falsifier.try_points(np.stack(points))
        missed = [r for r in results if not r.proved and not r.question.slack and len(r.corners)]
        if missed:
            counts = [len(r.corners) for r in missed]
            units = np.repeat([r.question.unit for r in missed], counts)
            signs = np.repeat([float(r.question.sign) for r in missed], counts)
            run.falsifier.climb_from(self.name, part, units, signs, np.concatenate([r.corners for r in missed]))
        self._learn(part, known, results)
        return len(questions)

    def _learn(self, part: int, known: Bounds, results: list[BranchResult]) -> None:
        table = self.run.table
        old = table.bounds[self.name]
        lower, upper = old.lower.copy(), old.upper.copy()
        useful = [result for result in results if _take(result, lower[part], upper[part])]
        if not useful:
            return
        self.gained = True
        for result in useful:
            self.run.proofs(BranchProof(known, part, result))
        table.learn({self.name: Interval(lower, upper)}, self.run.at_least(Evidence.TREE))


def _take(result: BranchResult, lower: FloatArray, upper: FloatArray) -> bool:
    """Enter a bound into bounds of the layer, (n,) each; whether it is better."""
    unit = result.question.unit
    if result.question.sign > 0 and result.upper < upper[unit]:
        upper[unit] = result.upper
        return True
    if result.question.sign < 0 and -result.upper > lower[unit]:
        lower[unit] = -result.upper
        return True
    return False
