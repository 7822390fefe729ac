"""SCIP through PySCIPOpt: the only file that imports it.

A question is a feasibility problem: the row must exceed the threshold, and one solution is wanted, so that nothing is
ever solved to optimality; the row is the objective too, which guides the search.  The threshold is a constraint and no
objective limit, because SCIP rounds the limit of an objective that it finds to be integral (a constant one, say) and
then calls feasible models infeasible.  The status `infeasible` is a *claim*; incumbents are candidates; all else is
unknown.  With a claim comes the tree that SCIP branched over, for arithmetic to prove the same on.

SCIP's tolerances are absolute.  Every variable is therefore measured in units of its proved range, and every row in
units of its own size, so that they are relative; a model in which they are not, because a row is small beside what its
coefficients make of the tolerance of a variable, answers `UNKNOWN`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyscipopt
from pyscipopt.scip import PY_SCIP_EVENTTYPE as EVENT
from pyscipopt.scip import PY_SCIP_PARAMSETTING as SETTING

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope
from eqverify.milp.encoding import Answer, BranchingTree, Verdict
from eqverify.relaxation.blocks import UnitBlock

DUAL_TOLERANCE = 1e-9
"""SCIP's dual feasibility tolerance as set here; the margin of a question follows from it."""

SMALLEST = 1e-9
"""SCIP reads smaller coefficients as zero.  They are left out here, and what they could contribute becomes slack."""

LARGEST = 1e5
"""Of what a variable's tolerance can amount to in a row, in tolerances of the row: beyond this, SCIP is not asked."""

_LEAST = 1e-6
"""An output's unit of measure, as a share of its pre-activation's, at least."""

_ROUNDING = 2.0**-52

_Found = TypeVar("_Found")

_MOST_NODES = 100_000
"""Of a branching tree that are recorded."""


def total(variables: Iterable[Any]) -> Any:
    """The sum of variables, as an expression of SCIP."""
    return pyscipopt.quicksum(variables)


@dataclass(frozen=True, slots=True)
class _Column:
    """What stands for one column of rows: value = shift + scale * variable.

    Attributes:
        variable: SCIP's; None for a constant.
        shift: of the value.
        scale: of the value.
        reach: bound on |value - shift|.
        tolerance: what the solver's tolerance is relative to: a ReLU's output is as uncertain as its pre-activation.
    """

    variable: Any
    shift: float
    scale: float
    reach: float
    tolerance: float


class _Columns:
    """The columns so far, with their numbers in one array, which each row needs as a whole."""

    def __init__(self) -> None:
        self.variables: list[Any] = []
        self._numbers = np.empty((4, 64))

    def append(self, column: _Column) -> None:
        """Add a column."""
        count = len(self.variables)
        if count == self._numbers.shape[1]:
            self._numbers = np.hstack((self._numbers, np.empty_like(self._numbers)))
        self._numbers[:, count] = column.shift, column.scale, column.reach, column.tolerance
        self.variables.append(column.variable)

    def numbers(self, count: int) -> FloatArray:
        """(4, count): shift, scale, reach and tolerance of the first columns."""
        assert count <= len(self.variables), "a row is longer than there are columns"
        return self._numbers[:, :count]


class ScipSolver:
    """One warm SCIP model on one polytope.  What it says is a claim, to the tolerances in `description`.

    A dual solution that violates a reduced cost by the dual tolerance misstates a bound by at most that tolerance
    times the range of the variable.  `exceeds` therefore asks about a threshold lowered by twice the sum over all
    variables, and says `NEVER` only if nothing lies above the lowered one.  Constraints are loosened by as much, those
    too that were there before some of the variables.

    No solution and no statistics outlive a question, so that its answer does not depend on the questions before.

    Args:
        polytope: the inputs.
        seed: SCIP's.
        node_limit: branch-and-bound nodes per question, -1 for any number.
    """

    def __init__(self, polytope: Polytope, seed: int = 0, node_limit: int = -1) -> None:
        self._model: Any = pyscipopt.Model()
        self._model.hideOutput()
        self.description = f"SCIP {self._model.version()}, dual feasibility {DUAL_TOLERANCE:g}, feasibility 1e-06"
        self._set_parameters()
        for name, value in (
            ("numerics/dualfeastol", DUAL_TOLERANCE),
            ("limits/memory", 8000.0),
            ("limits/nodes", node_limit),
            ("limits/maxorigsol", 0),
            ("misc/catchctrlc", False),
            ("randomization/randomseedshift", seed),
        ):
            self._model.setParam(name, value)
        self._branchings = _Branchings()
        self._model.includeEventhdlr(self._branchings, "branchings", "records the tree")
        self._polytope = polytope
        self._loosened: list[tuple[Any, float]] = []
        """Constraints that are loosened before each solution, when all variables are there, and their right sides."""
        self._switches: list[Any] = []
        self._sane = True
        self._question: Any = None
        self._ranges = 0.0
        self._columns = _Columns()
        self._inputs: list[_Column] = [self._input(float(low), float(high)) for low, high in _sides(polytope)]
        for column in (*self._inputs, _Column(None, 1.0, 0.0, 0.0, 0.0)):
            self._columns.append(column)
        self.add_constraints(polytope.matrix, polytope.bound)

    def _set_parameters(self) -> None:
        """For feasibility questions: the first solution ends the search, and heuristics rarely find one.

        Cuts and symmetry cost more than they save: without them more units are decided in equal time.
        """
        model = self._model
        model.setPresolve(SETTING.FAST)
        model.setHeuristics(SETTING.OFF)
        model.setSeparating(SETTING.OFF)
        model.setParam("misc/usesymmetry", 0)
        model.setParam("limits/solutions", 1)

    def _input(self, low: float, high: float) -> _Column:
        centre = low + (high - low) / 2
        radius = max(high - centre, centre - low)
        if not np.isfinite(radius) or radius == 0.0:
            self._check(radius)
            return _Column(None, centre, 0.0, 0.0, 0.0)
        self._ranges += 2.0
        return _Column(self._model.addVar(lb=-1.0, ub=1.0), centre, radius, radius, radius)

    def _check(self, *numbers: float) -> None:
        """Infinity or NaN, and the model is not used: it answers `UNKNOWN` from then on."""
        self._sane = self._sane and bool(np.isfinite(numbers).all())

    def _linear(self, row: FloatArray, unit: float) -> tuple[Any, float]:
        """row . columns in a unit of measure, without its tiny coefficients, and a bound on what is lost.

        The unit must be so large that the solver's tolerance means something in it: else the model is not used.
        """
        shift, scale, reach, tolerance = self._columns.numbers(row.size)
        variables = self._columns.variables
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            own = row * scale / unit
            known = np.abs(row) @ np.abs(shift) / unit
            self._check(*own.tolist(), float(known))
            amplified = np.abs(row) * tolerance / unit
            self._sane = self._sane and bool((amplified <= LARGEST).all())
            constant = float(row @ shift) / unit
        if not self._sane:
            return 0.0, 0.0
        tiny = np.abs(own) < SMALLEST
        lost = float((np.abs(row) * reach)[tiny].sum()) / unit + (row.size + 4) * _ROUNDING * float(known)
        kept = pyscipopt.quicksum(float(own[k]) * variables[k] for k in np.flatnonzero(~tiny))
        return kept + constant, lost * (1 + 1e-9)

    def _size(self, row: FloatArray) -> float:
        """A unit of measure for a row about whose range nothing else is known: its largest summand; 0 for none."""
        reach = self._columns.numbers(row.size)[2]
        with np.errstate(over="ignore", invalid="ignore"):
            return float((np.abs(row) * reach).max(initial=0.0))

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units by the encoding of `eqverify.milp.encoding`.

        A kept unit may well be stable on this polytope though it is not on the whole domain: then it needs no binary.
        """
        self._forget_question()
        for row, error, lower, upper in zip(block.rows, block.error, block.lower, block.upper, strict=True):
            low, high = float(lower), float(upper)
            self._check(low, high, float(error))
            unit = max(abs(low), abs(high))
            scale = max(high, _LEAST * unit)
            h = _Column(None, 0.0, 0.0, 0.0, unit)
            d = None
            if self._sane and high > 0:
                linear, slack = self._linear(row, unit)
                variable, d = self._add_unit(linear, float(error) / unit + slack, low / unit, high / unit, scale / unit)
                h = _Column(variable, 0.0, scale, high, unit)
            self._columns.append(h)
            self._switches.append(d)

    def _add_unit(self, linear: Any, band: float, low: float, high: float, scale: float) -> tuple[Any, Any]:
        """A unit that is not inactive, measured in the unit of its pre-activation; its output in `scale` of that.

        Returns:
            The variable of its output and its switch, None for an active unit.
        """
        model = self._model
        z, h = model.addVar(lb=low, ub=high), model.addVar(lb=max(low, 0.0) / scale, ub=high / scale)
        self._ranges += (high - low) + high / scale
        near = model.addCons(z - linear <= band)
        right = float(model.getRhs(near))  # with the constant
        model.chgLhs(near, right - 2.0 * band - 4.0 * _ROUNDING * abs(right))
        if low >= 0:
            model.addCons(scale * h == z)
            return h, None
        d = model.addVar(name=f"{_SWITCH}{len(self._switches)}", vtype="B")
        self._ranges += 1.0
        model.addCons(scale * h >= z)
        self._add_sign(h <= high / scale * d)
        self._add_sign(scale * h <= z - low * (1 - d))
        return h, d

    def _add_sign(self, constraint: Any) -> None:
        """Add what the sign of a unit means; exactly, since only what is asked of units is loosened."""
        self._model.addCons(constraint)

    def _add_loosened(self, constraint: Any) -> None:
        """Add a constraint with a right side that is raised."""
        added = self._model.addCons(constraint)
        self._loosened.append((added, float(self._model.getRhs(added))))

    def add_constraints(self, rows: FloatArray, bound: FloatArray) -> None:
        """Add  rows . columns <= bound,  (m, columns so far) and (m,), loosened by what the dual tolerance amounts to.

        Whatever a constraint stands for, a looser one has more points, so that less is claimed: the polytope's own
        rows and those of a question (`deciding/scip_backend.py`, `equivalence/product_milp.py`, an assumed disjunct)
        have to hold together with the threshold, so that a proof of `infeasible` may rest on any of them.  Cuts that
        the networks satisfy anyway only lose that much.  Candidates that the loosening lets in are replayed, patterns
        of regions are checked.
        """
        self._forget_question()
        for row, limit in zip(rows, bound, strict=True):
            if not row.any():
                continue
            size = self._size(row)
            if size == 0.0:  # on inputs that are points: what has no range decides nothing here
                continue
            linear, slack = self._linear(row, size)
            self._check(float(limit))
            if self._sane:
                self._add_loosened(linear <= float(limit) / size + slack)

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns exceed `threshold`?  Stops at the first solution, at infeasibility, or at the limit."""
        size, sane = self._size(row), self._sane
        if size == 0.0:
            return self._constant(row, threshold)
        linear, slack = self._linear(row, size)
        lowered = threshold / size - slack - 2.0 * DUAL_TOLERANCE * self._ranges
        self._check(lowered)
        answer = self._guarded(
            lambda: self._solve(linear, lowered, time_limit), lambda reason: Answer(Verdict.UNKNOWN, reason=reason)
        )
        self._sane = sane  # a row that cannot be asked about says nothing of others
        return answer

    def _guarded(self, work: Callable[[], _Found], unknown: Callable[[str], _Found]) -> _Found:
        """What a piece of work finds out; where numbers are too far apart, or SCIP fails, what is said for a reason.

        Nobody asks SCIP but through this.
        """
        if not self._sane:
            return unknown("numbers too far apart for the solver's tolerances")
        try:
            return work()
        except Exception as error:
            return unknown(f"solver error: {error}")

    def _run(self, seconds: float) -> str:
        """Solve the model as it is; SCIP's status."""
        model, loose = self._model, 2.0 * DUAL_TOLERANCE * self._ranges
        for constraint, right in self._loosened:
            model.chgRhs(constraint, right + loose)
        model.setParam("limits/time", max(0.0, seconds))
        model.optimize()
        return str(model.getStatus())

    def _constant(self, row: FloatArray, threshold: float) -> Answer:
        """The answer about a row without a variable."""
        shift = self._columns.numbers(row.size)[0]
        value = row * shift if self._sane and np.isfinite(row).all() else np.full(row.size, np.nan)
        if value.sum() + row.size * _ROUNDING * np.abs(value).sum() < threshold:
            return Answer(Verdict.NEVER)
        return Answer(Verdict.UNKNOWN, reason="no variable in the row")

    def _forget_question(self) -> None:
        self._model.freeTransform()
        if self._question is not None:
            self._model.delCons(self._question)
            self._question = None

    def _solve(self, linear: Any, threshold: float, time_limit: float) -> Answer:
        model = self._model
        self._forget_question()
        self._question = model.addCons(linear >= threshold)
        model.setObjective(linear, "maximize")
        status = self._run(time_limit)
        if status == "infeasible":
            return Answer(Verdict.NEVER, tree=self._branchings.tree())
        if status in ("sollimit", "bestsollimit", "optimal") and model.getNSols() > 0:
            return Answer(Verdict.CANDIDATE, point=self._point(model.getBestSol()))
        return Answer(Verdict.UNKNOWN, reason=status, progress=self._progress(threshold))

    def _point(self, solution: Any) -> FloatArray:
        """(input_size,) the inputs of a solution."""
        return np.array([c.shift + (c.scale * solution[c.variable] if c.scale else 0.0) for c in self._inputs])

    def _progress(self, threshold: float) -> float | None:
        if int(self._model.getNTotalNodes()) < 2:
            return None
        first, now = float(self._model.getDualboundRoot()), float(self._model.getDualbound())
        share = (first - now) / (first - threshold) if first > threshold else 0.0
        return min(max(share, 0.0), 1.0) if np.isfinite(share) else 0.0


def _sides(polytope: Polytope) -> Iterable[tuple[float, float]]:
    return zip(polytope.box.lower.tolist(), polytope.box.upper.tolist(), strict=True)


_SWITCH = "switch"
"""How the binaries' names begin; the unit's number follows, and SCIP puts its own letters before and behind."""


class _Branchings(pyscipopt.Eventhdlr):
    """Records what SCIP branched on at each node that it looked at."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, tuple[int, int, int]] = {}
        """By number of the node: the parent's number, the unit that was branched on there, and the side taken."""

    def eventinit(self) -> None:
        self._found = {}
        self.model.catchEvent(EVENT.NODEFOCUSED, self)

    def eventexit(self) -> None:
        self.model.dropEvent(EVENT.NODEFOCUSED, self)

    def eventexec(self, event: Any) -> None:
        node = event.getNode()
        parent = node.getParent()
        if parent is None:  # the root, of a restart too
            self._found = {}
            return
        branchings = node.getParentBranchings()
        if branchings is None or len(self._found) >= _MOST_NODES:
            return
        variables, bounds, _ = branchings
        unit = _unit_of(str(variables[0].name)) if len(variables) == 1 else None
        if unit is not None:
            self._found[int(node.getNumber())] = int(parent.getNumber()), unit, 1 if bounds[0] > 0.5 else -1

    def tree(self) -> BranchingTree:
        """What was recorded, parents first; a part that hangs on nothing is left out."""
        place: dict[int, int] = {}
        parent, side, unit = [-1], [0], [-1]
        for number, (above, split, taken) in sorted(self._found.items()):
            over = place.get(above, 0 if above not in self._found else -1)
            if over < 0 or unit[over] not in (-1, split):
                continue
            unit[over] = split
            place[number] = len(parent)
            parent.append(over)
            side.append(taken)
            unit.append(-1)
        return BranchingTree(np.array(parent), np.array(side, dtype=np.int8), np.array(unit))


def _unit_of(name: str) -> int | None:
    """The unit that a binary switches, by its name in the transformed problem; None where it is another's."""
    _, found, rest = name.partition(_SWITCH)
    return int(rest) if found and rest.isdigit() else None
