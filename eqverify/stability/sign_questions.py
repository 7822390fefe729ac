"""The solver stage: layer by layer, "can z exceed 0?" and "can z fall below 0?" for the units still open.

"Never" is a claim of the solver; who asks says how claims are proved, and what is not is noted as claimed.

How the time is spent:
- a layer gets half of the time left, the last one with open units all of it: signs proved early tighten all later
  layers; what a layer leaves goes to the later ones;
- units are asked in rounds: each first gets a quarter of the unit limit, those that stay open then the whole of it;
- in a round, units whose bounds lie nearest to a sign come first, in the second round those that came furthest in the
  first;
- the second round leaves out hopeless units: those whose dual bound, at the pace of the first, would need more than
  `HOPELESS` unit limits;
- a round ends early after `PATIENCE` units in a row without any answer.

Units are asked in batches of a fixed size, whose answers are recorded in order when all are there: so the questions,
and with a node limit (and time enough) the answers, do not depend on the number of workers.  A node limit takes the
place of the rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from eqverify.arrays import ByteArray, IntArray
from eqverify.bounds.constrained import ConstrainedLp
from eqverify.budget import Budget
from eqverify.execution import Executor, outcome
from eqverify.milp.encoding import BranchingTree, SolverFactory, Verdict
from eqverify.network import Network, Relu
from eqverify.network.expression import Expression
from eqverify.problem import Problem
from eqverify.progress import Progress
from eqverify.relaxation.model import RestrictedModel, restricted_model
from eqverify.search.sign_tree import Guide
from eqverify.stability.facts import FactTable, Status
from eqverify.stability.falsify import Falsifier
from eqverify.stability.guides import guide_of
from eqverify.stability.unit_task import Block, Recipe, Reply, UnitTask, all_unknown, ask_unit, forget

_KEPT = (Status.UNDECIDED, Status.UNSTABLE)
_NONE = np.empty(0, dtype=np.int8)
_NO_UNITS = np.empty(0, dtype=np.int64)

BATCH = 8
PATIENCE = 8
HOPELESS = 4.0
_FIRST_ROUND = 1 / 4


@dataclass(frozen=True, slots=True)
class QuestionPolicy:
    """How questions are asked.

    Attributes:
        unit_limit: seconds per question.
        rounds: whether to ask in two rounds, and to give up layers and units; otherwise one round over all units.
        thorough: ask both directions of every unit, whatever is witnessed, and leave out of later questions what is
            claimed to be stable: what the published method does.
    """

    unit_limit: float
    rounds: bool = True
    thorough: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class SignClaim:
    """That a solver says that a unit never has a sign on one part of the domain.

    Attributes:
        unit: of the layer.
        part: of the domain.
        above: whether the sign is z > 0.
        guide: the solver's tree.
        seconds: that it took.
    """

    unit: int
    part: int
    above: bool
    guide: Guide
    seconds: float


ProveClaims = Callable[[str, Sequence[SignClaim]], None]
"""Searches for proofs of claims about the units of a pre-activation node, and has the table learn them."""


class SignQuestions:
    """Asks a solver about undecided units, has its claims proved, and records them.

    The models are kept per part of the domain and grow with the layers; only the objective changes between questions.

    Args:
        problem: network and domain.
        table: takes proofs.
        falsifier: replays candidates; a candidate that does not replay decides nothing.
        factory: makes the models.
        budget: the total time.
        policy: limits.
        executor: where the models live.
        prove: searches for proofs of claims; None leaves them claims.
        program: for a region, the whole network with the assumed constraints: the model has all units from the start.
    """

    def __init__(
        self,
        problem: Problem,
        table: FactTable,
        falsifier: Falsifier,
        factory: SolverFactory,
        budget: Budget,
        policy: QuestionPolicy,
        *,
        executor: Executor,
        prove: ProveClaims | None,
        program: ConstrainedLp | None = None,
    ) -> None:
        self.network: Network = problem.network
        self.domain = problem.domain
        self.table = table
        self.falsifier = falsifier
        self.budget = budget
        self.policy = policy
        self.executor = executor
        self.prove = prove
        self.questions = 0
        self.timeouts = 0
        self.unproved: dict[str, list[SignClaim]] = {}
        """By pre-activation node, the claims that were not proved when they were made."""
        self._recipe = Recipe(executor.share((factory, self.domain.polytopes)))
        self.description = factory(self.domain.polytopes[0]).description
        """The solver, its version and tolerances."""
        self._fixed: dict[str, ByteArray] = {}
        """Status of the units of each layer when it went into the models: their columns never change after that."""
        self._pace: dict[int, float] = {}
        self._program = program
        if program is not None:
            for relu in self.network.relus:
                self._grow(relu, program.model)

    def close(self) -> None:
        """Drop the models."""
        forget(self._recipe)

    def layer(self, node: Relu, progress: Progress) -> bool:
        """Ask about the undecided units of one layer, then add its kept units to the models.

        Layers must come in topological order, none left out.

        Returns:
            Whether any unit was proved stable.
        """
        name = node.source
        program = self._program
        with self.budget.preparing():
            model = self._model(node) if program is None else program.model
        z, columns = model.values[name], model.width(node) if program is None else model.basis.width
        before = self.table.undecided()
        share = self.budget.share(min(2, self._open_layers(node)))
        self._pace = {}
        limits = (
            (self.policy.unit_limit * _FIRST_ROUND, self.policy.unit_limit)
            if self.policy.rounds
            else (self.policy.unit_limit,)
        )
        for number, limit in enumerate(limits):
            units = self._order(name) if number == 0 else self._promising(name, limit)
            self._round(
                name, units, z, columns, limit, share, lambda done, total: progress(f"scip {node.name}", done, total)
            )
        if program is None:
            self._grow(node, model)
        return self.table.undecided() < before

    def claimed_empty(self, budget: Budget) -> float | None:
        """Ask whether any input satisfies all assumed constraints; from then on the model has them.

        The question is about one constraint where the others hold.

        Returns:
            The seconds that the claim took that none does; None where there is no such claim.
        """
        assert self._program is not None
        model = self._program.layer.model
        self._add((model.matrix[1:], model.bound[1:]))
        replies: list[Reply] = []
        if model.bound.size:
            task = UnitTask(0, (False,), ((0,),), model.matrix[0], float(model.bound[0]), budget.left, budget)
            replies = outcome(self.executor.submit(ask_unit, self._recipe, task))
        self._add((model.matrix[:1], model.bound[:1]))
        for reply in replies:
            self.questions += 1
            if reply.answer.point is not None:
                self.falsifier.propose(0, reply.answer.point, "", _NO_UNITS, _NO_UNITS)
            if reply.answer.verdict is Verdict.NEVER:
                return reply.seconds
        return None

    def _open_layers(self, node: Relu) -> int:
        """How many layers from this one on have undecided units."""
        later = self.network.relus[self.network.relus.index(node) :]
        return max(1, sum(bool(self.table.open(relu.source).any()) for relu in later))

    def _model(self, node: Relu) -> RestrictedModel:
        """What stands before a layer over the columns that the solver's models have."""
        hull, statuses = self.domain.hull, {**self._fixed, node.name: self.table.status(node.source)}
        kept = {name: np.isin(status, _KEPT) for name, status in statuses.items()}
        active = {name: status == Status.ACTIVE for name, status in statuses.items()}
        return restricted_model(
            self.network, kept, active, (hull.lower, hull.upper), self.table.bounds, stop=node.source
        )

    def _order(self, name: str) -> IntArray:
        """Undecided units, those nearest to being decided by their bounds first."""
        units = np.flatnonzero(self.table.open(name))
        lower, upper = (bound[units] for bound in self.table.hull(name))
        return np.asarray(units[np.argsort(np.minimum(-lower, upper) / (upper - lower), kind="stable")])

    def _promising(self, name: str, limit: float) -> IntArray:
        """Undecided units that are not hopeless, those furthest on their way first, those without branching last."""
        units = [int(unit) for unit in self._order(name)]
        most = HOPELESS * limit
        paces = {unit: self._pace.get(unit, most) for unit in units}
        chosen = [unit for unit in units if paces[unit] <= most]
        return np.array(sorted(chosen, key=lambda unit: paces[unit]), dtype=np.int64)

    def _round(
        self,
        name: str,
        units: IntArray,
        z: Expression,
        columns: int,
        limit: float,
        share: Budget,
        report: Callable[[int, int], None],
    ) -> None:
        silent = 0
        for start in range(0, units.size, BATCH):
            report(start, units.size)
            batch = [int(unit) for unit in units[start : start + BATCH] if self._open(name, int(unit))]
            futures, round_, waves = [], share.part(1.0), self._wave(len(batch) - 1)
            for index, unit in enumerate(batch):
                if share.exhausted():
                    break
                task = self._task(name, unit, z, columns, limit, round_.until(self._wave(index) / waves))
                futures.append(self.executor.submit(ask_unit, self._recipe, task))
            answers = [outcome(future) for future in futures]
            claims = []
            for unit, replies in zip(batch, answers, strict=False):
                claims += self._take(name, unit, replies, limit)
                silent = silent + 1 if all_unknown(replies) else 0
            self._settle(name, claims)
            if share.exhausted() or (self.policy.rounds and silent >= PATIENCE):
                return

    def _wave(self, index: int) -> int:
        """How many questions a worker has asked by the end of one of a batch."""
        return 1 + index // self.executor.workers

    def _open(self, name: str, unit: int) -> bool:
        undecided = self.table.open(name)[unit] and self.table.as_claimed(name)[unit] == Status.UNDECIDED
        return self.policy.thorough or bool(undecided)

    def _task(self, name: str, unit: int, z: Expression, columns: int, limit: float, budget: Budget) -> UnitTask:
        interval = self.table.bounds[name]
        upper_first = bool(interval.upper[:, unit].max() <= -interval.lower[:, unit].min())
        directions, parts = [], []
        for above in (True, False) if upper_first else (False, True):
            witnessed = (self.table.above if above else self.table.below)[name][unit]
            bound = interval.upper[:, unit] > 0 if above else interval.lower[:, unit] < 0
            if self.policy.thorough or not witnessed:
                directions.append(above)
                parts.append(tuple(int(part) for part in np.flatnonzero(bound)))
        row = np.ascontiguousarray(z.rows[unit, :columns])
        return UnitTask(unit, tuple(directions), tuple(parts), row, float(z.error[unit]), limit, budget)

    def _settle(self, name: str, claims: list[SignClaim]) -> None:
        """Have claims proved; those that are not are noted as such."""
        if claims and self.prove is not None:
            self.prove(name, claims)
        for claim in claims:
            interval = self.table.bounds[name]
            reach = interval.upper if claim.above else -interval.lower
            if reach[claim.part, claim.unit] > 0:
                self.unproved.setdefault(name, []).append(claim)
                self.table.claim(name, claim.part, claim.unit, above=claim.above)

    def _guide(self, tree: BranchingTree | None) -> Guide:
        return guide_of(
            tree, [np.flatnonzero(np.isin(self._fixed.get(r.name, _NONE), _KEPT)) for r in self.network.relus]
        )

    def _take(self, name: str, unit: int, replies: list[Reply], limit: float) -> list[SignClaim]:
        """Take answers about a unit; what is claimed comes back."""
        self.questions += len(replies)
        claims = []
        for reply in replies:
            answer = reply.answer
            if answer.verdict is Verdict.NEVER:
                claims.append(SignClaim(unit, reply.part, reply.above, self._guide(answer.tree), reply.seconds))
            elif answer.verdict is Verdict.CANDIDATE and answer.point is not None:
                units, none = np.array([unit]), np.empty(0, dtype=np.int64)
                up, down = (units, none) if reply.above else (none, units)
                self.falsifier.propose(reply.part, answer.point, name, up, down)
            else:
                self.timeouts += 1
                if answer.progress is not None:
                    self._pace[unit] = limit / max(answer.progress, 1e-9)
        return claims

    def _grow(self, node: Relu, model: RestrictedModel) -> None:
        if self._program is None:
            status = self.table.as_claimed if self.policy.thorough else self.table.status
            self._fixed[node.name] = status(node.source)
            model = replace(model, kept={**model.kept, node.name: np.isin(self._fixed[node.name], _KEPT)})
        else:  # the columns are those of the program's rows, whatever was found out since it was made
            own = [model.kept[node.name], model.active[node.name]]
            self._fixed[node.name] = np.select(own, [Status.UNDECIDED, Status.ACTIVE], Status.INACTIVE).astype(np.int8)
        self._add(*(model.block(node, part) for part in range(self.table.parts)))

    def _add(self, *blocks: Block) -> None:
        """Have the models take a block for each part of the domain."""
        self._recipe = Recipe(self._recipe.base, (*self._recipe.layers, self.executor.share(blocks)))
