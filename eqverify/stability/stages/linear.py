"""The stage `lp`: the triangle relaxation of everything before a layer, one warm LP per part of the domain.

Layers come in order; only the objective changes within one.  Bounds are recomputed from multipliers, so they are proofs
by arithmetic.  The vertices are tried as witnesses, and what a layer gains feeds CROWN for the later ones.

How the effort is spent: on boxes optimised slopes leave an LP little to gain (on mnist_fc 256x4 it decided 9 of 116
open units, at 60 ms each in the last layer, and branching decides most), so the stage may take `SHARE` of the time
left; a layer asks about the units nearest to a sign first and ends after `PATIENCE` questions in a row that prove
nothing.  An LP optimum beyond zero says that the unit is hopeless for this relaxation; it is not asked again.  Linear
constraints on the inputs are rows of the LP: there the first layer is asked about too, and patience and time are
doubled.  A model of more than `LARGEST` coefficients (wide convolutions) ends the stage, with a note.

In a region the model is of the whole network with the assumed constraints, and made anew after a layer that gained;
whether it has a point at all is asked first, and the stage may take all of the time.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from eqverify.arrays import BoolArray, FloatArray
from eqverify.bounds import Interval
from eqverify.bounds.constrained import ConstrainedLp, constrained_lp
from eqverify.bounds.crown import open_units
from eqverify.bounds.lp import LpLayer
from eqverify.budget import Budget
from eqverify.network import Relu
from eqverify.network.expression import Expression
from eqverify.relaxation.model import restricted_model
from eqverify.stability.facts import Evidence, Status
from eqverify.stability.proofs import DerivedProof, LinearProof, ZeroProof
from eqverify.stability.run import Run

SHARE = 0.1
PATIENCE = 8
LARGEST = 4_000_000

MOST_ENTRIES = 20_000_000
"""Models of whole networks with more entries (units times columns) are left out."""


def lp(run: Run) -> None:
    """All layers in order, all parts of the domain."""
    whole = run.options.node_limit is not None or run.assumed is not None
    cut = any(not part.is_box for part in run.problem.domain.polytopes)
    budget = run.budget if whole else run.budget.part(SHARE * (2 if cut else 1))
    with run.budget.preparing():
        program = program_of(run)
    if run.assumed is not None and (program is None or _refuted(run, program)):
        return
    with run.budget.preparing():
        session = _Session(run, budget, program)
    note = ""
    for relu in run.problem.network.relus:
        if not run.table.undecided() or budget.exhausted():
            break
        if session.too_wide(relu):
            note = f"ended at {relu.name}: the model would have more than {LARGEST} coefficients"
            break
        run.progress(f"lp {relu.name}", 0, 1)
        if session.layer(relu) and run.table.undecided():
            run.crown()
            session = session if program is None else _Session(run, budget, program_of(run), session.questions)
    run.annotate(session.questions, note or ("time limit reached" if budget.exhausted() else ""))


def program_of(run: Run) -> ConstrainedLp | None:
    """The model of a region; None elsewhere, and where it would be too large."""
    if run.assumed is None:
        return None
    known, bounds = dict(run.table.bounds), run.bounds_on(0)
    run.table.learn(bounds, run.derived())
    run.proofs(DerivedProof("crown", known))
    kept = sum(int(open_units(bounds[relu.source]).sum()) for relu in run.problem.network.relus)
    if kept * (kept + run.problem.network.input_size) > MOST_ENTRIES:
        return None
    return constrained_lp(run.region(), bounds, run.hints())


def _refuted(run: Run, program: ConstrainedLp) -> bool:
    """Whether multipliers show that the model of a region has no point."""
    found = program.layer.empty(seconds=run.budget.left)
    if found is None:
        return False
    kept, active, model = program.model.kept, program.model.active, program.layer.model
    proof = LinearProof("", 0, 0, 1, found.value, np.zeros(0), 0.0, kept, active, model, found.multipliers)
    run.proofs(ZeroProof(run.bounds_on(0), proof))
    run.empty(Evidence.DUAL, "a linear program")
    return True


class _Session:
    """The models, one per part, and what their columns stand for: kept and active units by ReLU node, (n,) bool.

    A region has one model, of the whole network; elsewhere models grow layer by layer.
    """

    def __init__(self, run: Run, budget: Budget, program: ConstrainedLp | None, questions: int = 0) -> None:
        self.run = run
        self.budget = budget
        self.questions = questions
        self.program = program
        self.kept: Mapping[str, BoolArray] = {}
        self.active: Mapping[str, BoolArray] = {}
        if program is not None:
            self.kept, self.active, self.models = program.model.kept, program.model.active, [program.layer]
            return
        self.models = [
            LpLayer(part.box.lower, part.box.upper, part.matrix, part.bound) for part in run.problem.domain.polytopes
        ]

    def too_wide(self, relu: Relu) -> bool:
        """Whether the rows of a layer, or of one before it, are too many numbers."""
        if self.program is not None:
            return False
        width = self.models[0].model.width
        network = self.run.problem.network
        position = network.relus.index(relu)
        most = max(network.sizes[r.source] for r in network.relus[: position + 1])
        return most * width > LARGEST

    def layer(self, relu: Relu) -> bool:
        """Ask about the open units of one layer, then add its kept units; whether any bound got better."""
        problem, table, name = self.run.problem, self.run.table, relu.source
        if self.program is not None:
            return self._ask(name, 0, self.program.layer, self.program.model.values[name])
        status, box = table.status(name), problem.domain.hull
        kept = {**self.kept, relu.name: np.isin(status, (Status.UNDECIDED, Status.UNSTABLE))}
        active = {**self.active, relu.name: status == Status.ACTIVE}
        rows = restricted_model(problem.network, kept, active, (box.lower, box.upper), table.bounds, name)
        gained = False
        for part, model in enumerate(self.models):
            if relu is not problem.network.relus[0] or not problem.domain.polytopes[part].is_box:
                gained |= self._ask(name, part, model, rows.values[name])
        for part, model in enumerate(self.models):
            model.add_units(rows.block(relu, part))
        self.kept, self.active = kept, active
        return gained

    def _ask(self, name: str, part: int, model: LpLayer, z: Expression) -> bool:
        table = self.run.table
        points, found, silent = [], [], 0
        patience = PATIENCE if self.run.problem.given(part) is None else 2 * PATIENCE
        for unit, sign in self._order(name, part):
            if silent >= patience or self.budget.exhausted():
                break
            proof, point = self._question(name, part, unit, sign, model, z)
            silent = 0 if proof.value <= 0 else silent + 1
            found.append(proof)
            if point is not None and proof.value > 0:
                points.append(point)
        old = table.bounds[name]
        lower, upper = old.lower.copy(), old.upper.copy()
        useful = [proof for proof in found if _take(proof, lower[part], upper[part])]
        for proof in useful:
            self.run.proofs(proof)
        table.learn({name: Interval(lower, upper)}, self.run.at_least(Evidence.DUAL))
        if points:
            self.run.falsifier.try_points(np.stack(points))
        return bool(useful)

    def _question(
        self, name: str, part: int, unit: int, sign: int, model: LpLayer, z: Expression
    ) -> tuple[LinearProof, FloatArray | None]:
        """A bound of sign * z, and the input where the LP takes it."""
        row, error = z.rows[unit, : model.model.width], float(z.error[unit])
        answer = model.bound(row, sign, seconds=self.budget.left)
        self.questions += 1
        value = float(np.nextafter(sign * answer.value + error, np.inf))
        proof = LinearProof(
            name, part, unit, sign, value, row, error, self.kept, self.active, model.model, answer.multipliers
        )
        return proof, answer.point

    def _order(self, name: str, part: int) -> list[tuple[int, int]]:
        """(unit, sign) for open units and the signs that no witness shows, those nearest to zero first.

        A unit that has the other sign on all of this part has none to be proved here.
        """
        table, interval = self.run.table, self.run.table.bounds[name]
        undecided = table.open(name)
        width = interval.upper[part] - interval.lower[part]
        found = []
        for sign, shown, reach in ((1, table.above, interval.upper[part]), (-1, table.below, -interval.lower[part])):
            units = np.flatnonzero(undecided & ~shown[name] & (reach > 0) & (reach <= width))
            found += [(float(reach[unit] / width[unit]), int(unit), sign) for unit in units]
        return [(unit, sign) for _, unit, sign in sorted(found)]


def _take(proof: LinearProof, lower: FloatArray, upper: FloatArray) -> bool:
    """Enter a bound into bounds of a layer on one part, (n,) each; whether it is better."""
    if proof.sign > 0 and proof.value < upper[proof.unit]:
        upper[proof.unit] = proof.value
        return True
    if proof.sign < 0 and -proof.value > lower[proof.unit]:
        lower[proof.unit] = -proof.value
        return True
    return False
