"""A question as one mixed-integer program over the units that bounds leave open."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.bounds import Bounds
from eqverify.bounds.crown import open_units
from eqverify.deciding.question import Question
from eqverify.domain import Polytope
from eqverify.milp.encoding import Answer, UnitBlock
from eqverify.network.expression import make_basis, restricted_values
from eqverify.search.sign_tree import Guide
from eqverify.stability.guides import guide_of


class QuestionSolver(Protocol):
    """A model that grows unit by unit and is asked once whether several rows can reach their thresholds together."""

    description: str

    def add_units(self, block: UnitBlock) -> None:
        """Append units."""

    def add_constraints(self, rows: FloatArray, bound: FloatArray) -> None:
        """Have  rows . columns <= bound."""

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns reach `threshold`, too?"""


class SolverMaker(Protocol):
    """Makes an empty model of a box."""

    def __call__(self, polytope: Polytope) -> QuestionSolver:
        """For inputs in a polytope."""


def ask_solver(question: Question, bounds: Bounds, make: SolverMaker, seconds: float) -> tuple[Answer, str, Guide]:
    """Ask a solver whether all rows can be at most 0.

    Args:
        question: what is asked.
        bounds: proved intervals, (1, n), of all nodes on the box.
        make: the solver.
        seconds: for it.

    Returns:
        `NEVER` is a claim, and a candidate may be none; the solver's description; and where it branched.
    """
    network, box = question.network, question.box
    kept = {relu.name: open_units(bounds[relu.source])[0] for relu in network.relus}
    active = {relu.name: (bounds[relu.source].lower[0] >= 0) & ~kept[relu.name] for relu in network.relus}
    units = {relu.name: (bounds[relu.source].lower[0], bounds[relu.source].upper[0]) for relu in network.relus}
    basis = make_basis(network, kept, (box.lower, box.upper), units)
    values = restricted_values(network, basis, active)
    solver = make(Polytope(box))
    columns = network.input_size + 1
    for relu in network.relus:
        chosen = np.flatnonzero(kept[relu.name])
        z = values[relu.source]
        lower, upper = (bound[chosen] for bound in units[relu.name])
        solver.add_units(UnitBlock(z.rows[chosen, :columns], z.error[chosen], lower, upper))
        columns += chosen.size
    condition = [values[port.source] for port in network.outputs]
    rows = np.concatenate([part.rows for part in condition])
    errors = np.concatenate([part.error for part in condition])
    solver.add_constraints(rows[1:], errors[1:])
    answer = solver.exceeds(-rows[0], -float(errors[0]), seconds)
    return answer, solver.description, guide_of(answer.tree, [np.flatnonzero(own) for own in kept.values()])
