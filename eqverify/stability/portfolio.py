"""The proof of stability: cheap to dear, each stage only on what is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from eqverify.bounds import Interval, crown_bounds
from eqverify.domain import Polytope
from eqverify.milp.encoding import Solver, SolverFactory
from eqverify.problem import Problem
from eqverify.progress import Progress, silent
from eqverify.stability.budget import Budget
from eqverify.stability.facts import Evidence, Facts, FactTable, Stage
from eqverify.stability.falsify import Falsifier
from eqverify.stability.options import StabilityOptions
from eqverify.stability.sign_questions import SignQuestions

_BOX_CHUNK = 64
"""Boxes bounded in one batch: keeps the coefficient arrays of CROWN within a few hundred MB."""


def prove_stability(
    problem: Problem,
    options: StabilityOptions | None = None,
    *,
    progress: Progress = silent,
    solver_factory: SolverFactory | None = None,
) -> Facts:
    """Decide for every ReLU unit whether it is stable on the problem's domain.

    Args:
        problem: network and domain.
        options: engine and limits.
        progress: told of each stage and layer.
        solver_factory: makes the MILP model of a polytope; SCIP by default.

    Returns:
        The table of facts.  Trusted: float64 arithmetic; for units with evidence `solver`, also the solver named there.

    Raises:
        ContradictionError: two proofs exclude each other.
    """
    options = options or StabilityOptions()
    return _Run(problem, options, progress, solver_factory or _scip_factory(options.seed)).run()


def _scip_factory(seed: int) -> SolverFactory:
    """SCIP, imported when the first model is made."""

    def make(polytope: Polytope) -> Solver:
        from eqverify.milp.scip import ScipSolver

        return ScipSolver(polytope, seed)

    return make


class _Run:
    """One proof: the table, the clock, and the stages done so far."""

    def __init__(self, problem: Problem, options: StabilityOptions, progress: Progress, factory: SolverFactory) -> None:
        self.problem = problem
        self.options = options
        self.progress = progress
        self.factory = factory
        self.budget = Budget(options.time_limit)
        self.table = FactTable(problem.network, len(problem.domain.polytopes))
        self.falsifier = Falsifier(problem.network, problem.domain, self.table, options.seed)
        self.stages: list[Stage] = []
        self.solver = ""

    def run(self) -> Facts:
        with self._stage("crown"):
            self._bound(Evidence.DERIVED)
        with self._stage("falsify"):
            self.falsifier.sample()
            if self.options.engine != "crown":
                self.falsifier.climb(self.budget.exhausted)
        if self.options.engine != "crown" and self.table.undecided():
            with self._stage("scip"):
                self._ask_solver()
        return self.table.freeze(self.problem, self.stages, self.falsifier.witnesses, self.solver)

    @contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.progress(name, 0, 1)
        start, before = time.perf_counter(), self.table.undecided()
        self.stages.append(Stage(name, 0.0, 0))
        yield
        self.stages[-1] = replace(
            self.stages[-1], seconds=time.perf_counter() - start, decided=before - self.table.undecided()
        )
        self.progress(name, 1, 1)

    def _bound(self, evidence: Evidence) -> None:
        """CROWN on all parts of the domain, in batches."""
        domain, table = self.problem.domain, self.table
        found: list[dict[str, Interval]] = []
        for start in range(0, len(domain.polytopes), _BOX_CHUNK):
            chunk = slice(start, start + _BOX_CHUNK)
            known = {name: Interval(i.lower[chunk], i.upper[chunk]) for name, i in table.bounds.items()}
            found.append(crown_bounds(self.problem.network, domain.lower[chunk], domain.upper[chunk], known))
        bounds = {
            name: Interval(
                np.concatenate([part[name].lower for part in found]),
                np.concatenate([part[name].upper for part in found]),
            )
            for name in table.bounds
        }
        table.learn(bounds, evidence)

    def _ask_solver(self) -> None:
        """SCIP on the layers in order; bounds are tightened again after each layer that gained."""
        session = SignQuestions(
            self.problem, self.table, self.falsifier, self.factory, self.budget, self.options.unit_time_limit
        )
        for node in self.problem.network.relus:
            if self.budget.exhausted() or not self.table.undecided():
                break
            if session.layer(node, self.progress) and self.table.undecided():
                self._bound(Evidence.SOLVER)
        note = "time limit reached" if self.budget.exhausted() else ""
        self.stages[-1] = replace(self.stages[-1], questions=session.questions, note=note)
        self.solver = session.description
