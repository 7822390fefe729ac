"""The solver stage: layer by layer, "can z exceed 0?" and "can z fall below 0?" for the units still open."""

from __future__ import annotations

import numpy as np

from eqverify.arrays import ByteArray, FloatArray, IntArray
from eqverify.milp.encoding import Answer, Solver, SolverFactory, UnitBlock, Verdict
from eqverify.network import Network, Relu
from eqverify.network.expression import Basis, Expression, make_basis, restricted_values
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.stability.budget import Budget
from eqverify.stability.facts import FactTable, Status
from eqverify.stability.falsify import Falsifier

_KEPT = (Status.UNDECIDED, Status.UNSTABLE)


class SignQuestions:
    """Asks a solver about undecided units and records what it proves.

    The models are kept per part of the domain and grow with the layers; only the objective changes between questions.

    Args:
        problem: network and domain.
        table: takes proofs.
        falsifier: replays candidates; a candidate that does not replay decides nothing.
        factory: makes the models.
        budget: the total time.
        unit_limit: seconds per question.
    """

    def __init__(
        self,
        problem: Problem,
        table: FactTable,
        falsifier: Falsifier,
        factory: SolverFactory,
        budget: Budget,
        unit_limit: float,
    ) -> None:
        self.network: Network = problem.network
        self.domain = problem.domain
        self.table = table
        self.falsifier = falsifier
        self.budget = budget
        self.unit_limit = unit_limit
        self.questions = 0
        self._models: list[Solver] = [factory(part) for part in self.domain.polytopes]
        self._fixed: dict[str, ByteArray] = {}
        """Status of the units of each layer when it went into the models: their columns never change after that."""

    @property
    def description(self) -> str:
        """The solver, its version and tolerances."""
        return self._models[0].description

    def layer(self, node: Relu, progress: Progress) -> bool:
        """Ask about the undecided units of one layer, then add its kept units to the models.

        Layers must come in topological order, none left out.

        Returns:
            Whether any unit was proved stable.
        """
        basis, z = self._expression(node)
        before = self.table.undecided()
        undecided = self._order(node.source)
        for done, unit in enumerate(undecided):
            progress(f"scip {node.name}", done, len(undecided))
            if self.budget.exhausted():
                break
            self._decide(node, int(unit), z, self._column_count(basis, node))
        self._grow(node, z, self._column_count(basis, node))
        return self.table.undecided() < before

    def _expression(self, node: Relu) -> tuple[Basis, Expression]:
        kept, active, units = {}, {}, {}
        for relu in self.network.relus:
            inactive = np.full(self.network.sizes[relu.name], Status.INACTIVE, dtype=np.int8)
            status = self.table.status(relu.source) if relu is node else self._fixed.get(relu.name, inactive)
            kept[relu.name] = np.isin(status, _KEPT)
            active[relu.name] = status == Status.ACTIVE
            units[relu.name] = self.table.hull(relu.source)
        hull = self.domain.hull
        basis = make_basis(self.network, kept, (hull.lower, hull.upper), units)
        return basis, restricted_values(self.network, basis, active, stop=node.source)[node.source]

    @staticmethod
    def _column_count(basis: Basis, node: Relu) -> int:
        """Columns the models have before this layer's units are added."""
        own = basis.columns[node.name]
        return int(own[own >= 0].min(initial=basis.width))

    def _order(self, name: str) -> IntArray:
        """Undecided units, those nearest to being decided by their bounds first."""
        units = np.flatnonzero(self.table.status(name) == Status.UNDECIDED)
        lower, upper = (bound[units] for bound in self.table.hull(name))
        return np.asarray(units[np.argsort(np.minimum(-lower, upper) / (upper - lower), kind="stable")])

    def _decide(self, node: Relu, unit: int, z: Expression, columns: int) -> None:
        name = node.source
        interval = self.table.bounds[name]
        upper_first = interval.upper[:, unit].max() <= -interval.lower[:, unit].min()
        for above in (True, False) if upper_first else (False, True):
            witnessed = (self.table.above if above else self.table.below)[name][unit]
            if not witnessed and self._ask_parts(name, unit, z, columns, above=above):
                return

    def _ask_parts(self, name: str, unit: int, z: Expression, columns: int, *, above: bool) -> bool:
        """Whether the sign is excluded on every part; stops at the first part where it is not."""
        sign = 1.0 if above else -1.0
        for part, model in enumerate(self._models):
            interval = self.table.bounds[name]
            known = interval.upper[part, unit] <= 0 if above else interval.lower[part, unit] >= 0
            if known:
                continue
            answer = self._ask(model, sign * z.rows[unit, :columns], -float(z.error[unit]))
            if answer.verdict is Verdict.CANDIDATE and answer.point is not None:
                self.falsifier.propose(part, answer.point)
            if answer.verdict is not Verdict.NEVER:
                return False
            self.table.learn_sign(name, part, unit, above=above)
        return True

    def _ask(self, model: Solver, row: FloatArray, threshold: float) -> Answer:
        self.questions += 1
        return model.exceeds(row, threshold, min(self.unit_limit, self.budget.left))

    def _grow(self, node: Relu, z: Expression, columns: int) -> None:
        self._fixed[node.name] = self.table.status(node.source)
        kept = np.flatnonzero(np.isin(self._fixed[node.name], _KEPT))
        interval = self.table.bounds[node.source]
        for part, model in enumerate(self._models):
            model.add_units(
                UnitBlock(z.rows[kept, :columns], z.error[kept], interval.lower[part, kept], interval.upper[part, kept])
            )
