"""What is asked about a property: cases, their disjuncts, and the question that a backend gets of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.attack.replay import Replay, shown_by
from eqverify.bounds import Interval
from eqverify.deciding.question import Known, Question
from eqverify.deciding.runs import RelaxedBy, RunSlack
from eqverify.domain import Box, Case
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.reduction.folding import element_of, fold_case
from eqverify.report.layers import LayerRow
from eqverify.runtime_error import node_bounds, point_errors
from eqverify.stability.facts import Facts

if TYPE_CHECKING:
    from eqverify.export.folding import Folded
    from eqverify.reduction.result import Reduction
    from eqverify.stability.disjuncts import Directed


@dataclass(frozen=True, slots=True, eq=False)
class Near:
    """How near a search came to meeting a disjunct.

    Attributes:
        point: (input_size,) where.
        level: the largest row there: floats meet the disjunct where it is at most 0.
        margin: a distance near rounding by which it is missed or met there; 0 where it is by more.
    """

    point: FloatArray
    level: float
    margin: float


class CaseContext:
    """One case of the property on the original network.

    Attributes:
        problem: network and property.
        network: the original.
        case: inputs and condition.
        folded: the original with all rows of the condition as outputs.
        members: (disjuncts, rows) bool: which rows each disjunct needs.
        asked: the case as it was given: `case` itself, unless the question is about runs.
        relaxed: by how much rows of `case` are relaxed at most, where the question is about runs.
        aimed, aims: as `folded` and `members`, of `asked`.
        replayer: takes candidates.
        exactly: (output_size,) the eps of the original: zero.
        facts: what is proved about the network on the case's inputs, once it is.
        free_inputs: how many inputs have a range.
        near: where a search came near to meeting a disjunct, by its number.
    """

    def __init__(
        self, problem: Problem, case: Case, data: bytes, runs: RelaxedBy | None = None, exactly: bool = False
    ) -> None:
        from eqverify.export.runtime import run_model

        def run(points: FloatArray) -> FloatArray:
            problem.reading.compare(points)
            return run_model(data, points, optimised=exactly)

        self.problem, self.network, self.case, self.asked = problem, problem.network, case, case
        self.relaxed = 0.0
        if runs:
            self.case, self.relaxed = runs(problem, case)
        self.exactly = [Fraction(0)] * problem.network.output_size
        self.folded = fold_case(problem.network, self.case, self.exactly, "float64")
        self.members = members_of(self.folded)[: len(case.unsafe)]
        self.aimed, self.aims = self.folded, self.members
        if runs:
            self.aimed = fold_case(problem.network, case, self.exactly, "float64")
            self.aims = members_of(self.aimed)[: len(case.unsafe)]
        self.facts: Facts | None = None
        self.near: dict[int, Near] = {}
        shown = shown_by(run, problem.network, case.unsafe, runs is not None or problem.ordered, exactly)
        self.replayer = Replay(problem.network, case, shown, partial(point_errors, problem.network) if runs else None)
        box = case.polytope.box
        self.free_inputs = int((box.upper > box.lower).sum())

    def problem_of(self, numbers: list[int]) -> Problem:
        """The problem of some disjuncts."""
        case = replace(self.case, unsafe=tuple(self.case.unsafe[number] for number in numbers))
        return replace(self.problem, specification=replace(self.problem.specification, cases=(case,)))

    def question(self, number: int) -> Question:
        """A disjunct about the original network."""
        return question_of(self.network, self.case, number, self.exactly)

    def run_question(self, number: int) -> tuple[Question, RunSlack]:
        """A disjunct as it was given, about the original network, and what runs relax its rows by on a box."""
        case, dtype = replace(self.asked, unsafe=(self.asked.unsafe[number],)), element_of(self.network)
        folded = fold_case(self.network, case, self.exactly, dtype)
        return Question(folded.network, case.polytope.box, dtype), RunSlack(self.network, folded.rows)

    def between(self, number: int) -> bool:
        """Whether a search met a disjunct, or missed it by less than what runs may be off by at that very point.

        No box with that point can then be shown to miss it, however small.
        """
        if number not in self.near or not self.relaxed:
            return False
        point = self.near[number].point
        _, slack = self.run_question(number)
        own = slack(node_bounds(self.network, Box(point, point)))
        return bool(self.near[number].level <= own.min(initial=np.inf))

    def ranged(self, number: int, facts: Facts) -> Question:
        """A disjunct about the original network, with the ranges that hold on its D'."""
        question = self.question(number)
        return replace(question, known=known_of(question.network, facts))


@dataclass(slots=True)
class OpenDisjunct:
    """One disjunct of one case, still open.

    Attributes:
        side: the case.
        number: of the disjunct.
        question: what a backend is asked; None until the network is reduced.
        original: whether that is about the original network, and nothing else.
        basis: the claim that the reduction, or what is known, rests on, if it does.
        proof: what was proved of the disjunct, for the reduction.
        claims: who says that it is unsat, which was neither re-derived nor is it trusted.
    """

    side: CaseContext
    number: int
    question: Question | None
    original: bool
    basis: str = ""
    proof: Directed | None = None
    claims: list[str] = field(default_factory=list)


def members_of(folded: Folded) -> BoolArray:
    """(disjuncts, rows) which rows each disjunct of a folded case needs."""
    unsafe = folded.specification.cases[0].unsafe
    members = np.zeros((len(unsafe), folded.network.output_size), dtype=bool)
    for number, rows in enumerate(unsafe):
        members[number, [next(iter(row.outputs)) for row in rows]] = True
    return members


def reduced_question(side: CaseContext, number: int, reduction: Reduction) -> Question:
    """One disjunct of a case, folded into a network that is reduced for it."""
    question = question_of(reduction.network, side.case, number, reduction.exact_epsilons)
    return replace(question, known=known_of(side.question(number).network, reduction.facts))


def known_of(network: Network, facts: Facts) -> Known:
    """What is known of the units of a network, as a question says it."""
    return Known(network, {f.source: Interval(f.lower[None], f.upper[None]) for f in facts.layers})


def open_count(question: Question) -> int:
    """How many ReLUs a backend has to do with."""
    if question.known is None or question.known.network is not question.network:
        return question.network.relu_count
    return sum(int(((z.lower < 0) & (z.upper > 0)).sum()) for z in question.known.bounds.values())


def kept_count(row: LayerRow) -> int:
    """How many ReLUs of a layer are left, or would be if it were reduced."""
    return row.unstable + row.undecided if row.kept is None else row.kept


def question_of(network: Network, case: Case, number: int, epsilons: list[Fraction]) -> Question:
    """One disjunct of a case, folded."""
    dtype = element_of(network)
    folded = fold_case(network, replace(case, unsafe=(case.unsafe[number],)), epsilons, dtype)
    return Question(folded.network, case.polytope.box, dtype)
