"""The ISA engine: one MILP per layer and part of the domain for all units that intervals leave open."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope
from eqverify.milp.encoding import JointFactory, JointSolver, Known, UnitBlock
from eqverify.network import Network
from eqverify.network.expression import Basis, Expression, make_basis, restricted_values
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.budget import Budget
from eqverify.stability.facts import FactTable, Status
from eqverify.stability.falsify import Falsifier

_KEPT = (Status.UNDECIDED, Status.UNSTABLE)


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
        statuses = {node.source: table.status(node.source) for node in self.network.relus}
        self._kept = {name: np.flatnonzero(np.isin(status, _KEPT)) for name, status in statuses.items()}
        self._active = {node.name: statuses[node.source] == Status.ACTIVE for node in self.network.relus}

    def run(self, progress: Progress) -> None:
        """One model per part; a time-out leaves units undecided."""
        self.falsifier.try_points(np.stack([part.box.centre for part in self.domain.polytopes]))
        basis, values = self._expressions()
        for index, part in enumerate(self.domain.polytopes):
            progress("isa", index, len(self.domain.polytopes))
            if self.budget.exhausted():
                return
            self._settle(index, part, basis, values)

    def _expressions(self) -> tuple[Basis, dict[str, Expression]]:
        network, hull = self.network, self.domain.hull
        kept = {node.name: np.zeros(network.sizes[node.name], dtype=bool) for node in network.relus}
        for node in network.relus:
            kept[node.name][self._kept[node.source]] = True
        units = {node.name: self.table.hull(node.source) for node in network.relus}
        basis = make_basis(network, kept, (hull.lower, hull.upper), units)
        return basis, restricted_values(network, basis, self._active)

    def _blocks(self, part: int, basis: Basis, values: dict[str, Expression]) -> list[UnitBlock]:
        blocks, columns = [], basis.input_size + 1
        for node in self.network.relus:
            kept, z, interval = self._kept[node.source], values[node.source], self.table.bounds[node.source]
            rows = z.rows[kept, :columns]
            blocks.append(UnitBlock(rows, z.error[kept], interval.lower[part, kept], interval.upper[part, kept]))
            columns += kept.size
        return blocks

    def _settle(self, index: int, part: Polytope, basis: Basis, values: dict[str, Expression]) -> None:
        blocks = self._blocks(index, basis, values)
        solver = self.factory(part, blocks)
        self.description = solver.description
        for node, block in zip(self.network.relus, blocks, strict=True):
            solver.add_units(block)
            if self.budget.exhausted():
                self.reasons.append("timelimit")
                return
            self._settle_layer(index, solver, node.source)

    def _settle_layer(self, part: int, solver: JointSolver, name: str) -> None:
        kept, table = self._kept[name], self.table

        def known() -> Known:
            return table.above[name][kept], table.below[name][kept]

        def replay(point: FloatArray, claimed: Known) -> Known:
            self.falsifier.propose(part, point, name, kept[claimed[0]], kept[claimed[1]])
            return known()

        self.questions += 1
        answer = solver.settle(replay, known(), self.budget.left)
        if answer.reason:
            self.reasons.append(answer.reason)
        for never, above in ((answer.never_above, True), (answer.never_below, False)):
            for unit in kept[never]:
                table.claim(name, part, int(unit), above=above)
