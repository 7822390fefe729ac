"""Makers of solver models that pickle: they travel to worker processes.  SCIP is imported with the first model."""

from __future__ import annotations

from dataclasses import dataclass

from eqverify.domain import Polytope
from eqverify.milp.encoding import JointSolver, Solver


@dataclass(frozen=True, slots=True)
class ScipFactory:
    """Models for the portfolio's questions.

    Attributes:
        seed: SCIP's.
        node_limit: nodes per question, -1 for any number.
    """

    seed: int = 0
    node_limit: int = -1

    def __call__(self, polytope: Polytope) -> Solver:
        """A fresh model."""
        from eqverify.milp.scip import ScipSolver

        return ScipSolver(polytope, self.seed, self.node_limit)


@dataclass(frozen=True, slots=True)
class LeoFactory(ScipFactory):
    """Models for LEO's questions."""

    def __call__(self, polytope: Polytope) -> Solver:
        """A fresh model."""
        from eqverify.milp.leo import LeoSolver

        return LeoSolver(polytope, self.seed, self.node_limit)


@dataclass(frozen=True, slots=True)
class IsaFactory:
    """ISA's model; attributes as for `ScipFactory`."""

    seed: int = 0
    node_limit: int = -1

    def __call__(self, polytope: Polytope) -> JointSolver:
        """A fresh model."""
        from eqverify.milp.isa import IsaSolver

        return IsaSolver(polytope, self.seed, self.node_limit)
