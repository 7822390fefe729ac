"""The ISA engine: one MILP per layer and part of the domain for all units that intervals leave open."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray, IntArray
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.milp.encoding import JointFactory, JointSolver, Known
from eqverify.network import Network
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.relaxation.model import RestrictedModel, restricted_model
from eqverify.stability.facts import FactTable, Status
from eqverify.stability.falsify import Falsifier


class JointQuestions:
    """Settles all open units layer by layer, part by part of the domain.

    The centre of each part is tried first: it shows the signs that intervals fix on that part alone.

    Args:
        problem: network and domain.
        table: has interval bounds, and takes proofs.
        falsifier: replays the solver's points.
        factory: makes the models.
        budget: the total time.
    """

    def __init__(
        self, problem: Problem, table: FactTable, falsifier: Falsifier, factory: JointFactory, budget: Budget
    ) -> None:
        self.network: Network = problem.network
        self.domain = problem.domain
        self.table = table
        self.falsifier = falsifier
        self.factory = factory
        self.budget = budget
        self.questions = 0
        self.description = ""
        self.reasons: list[str] = []

    def run(self, progress: Progress) -> None:
        """One model per part; a time-out leaves units undecided."""
        self.falsifier.try_points(np.stack([part.box.centre for part in self.domain.polytopes]))
        model = self._model()
        for index, part in enumerate(self.domain.polytopes):
            progress("isa", index, len(self.domain.polytopes))
            if self.budget.exhausted():
                return
            self._settle(index, part, model)

    def _model(self) -> RestrictedModel:
        statuses = {node.name: self.table.status(node.source) for node in self.network.relus}
        kept = {name: np.isin(status, (Status.UNDECIDED, Status.UNSTABLE)) for name, status in statuses.items()}
        active = {name: status == Status.ACTIVE for name, status in statuses.items()}
        hull = self.domain.hull
        return restricted_model(self.network, kept, active, (hull.lower, hull.upper), self.table.bounds)

    def _settle(self, index: int, part: Polytope, model: RestrictedModel) -> None:
        solver = self.factory(part)
        self.description = solver.description
        for node in self.network.relus:
            solver.add_units(model.block(node, index))
            if self.budget.exhausted():
                self.reasons.append("timelimit")
                return
            self._settle_layer(index, solver, node.source, model.units(node))

    def _settle_layer(self, part: int, solver: JointSolver, name: str, kept: IntArray) -> None:
        table = self.table

        def known() -> Known:
            return table.above[name][kept], table.below[name][kept]

        def replay(point: FloatArray, claimed: Known) -> Known:
            self.falsifier.propose(part, point, name, kept[claimed[0]], kept[claimed[1]])
            return known()

        self.questions += 1
        answer = solver.settle(replay, known(), self.budget)
        if answer.reason:
            self.reasons.append(answer.reason)
        for never, above in ((answer.never_above, True), (answer.never_below, False)):
            for unit in kept[never]:
                table.claim(name, part, int(unit), above=above)
