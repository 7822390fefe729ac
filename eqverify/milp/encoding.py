"""The big-M encoding of kept units, and the question a solver is asked about a row.

A kept unit with pre-activation z in [l, u], l < 0 < u, becomes (Tjeng, Xiao, Tedrake 2019, arXiv 1711.07356)

    h >= 0,  h >= z,  h <= u d,  h <= z - l (1 - d),  d in {0, 1}

over expressions in inputs and earlier kept units; stable units do not occur at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.budget import Budget
from eqverify.domain import Polytope
from eqverify.relaxation.blocks import UnitBlock


@dataclass(frozen=True, slots=True, eq=False)
class BranchingTree:
    """How a solver branched: a hint for a search that proves the same.  Parents come first; the first is the root.

    Attributes:
        parent: (k,) index of the parent, -1 for the root.
        side: (k,) -1 where the unit that the parent splits is inactive here, 1 where it is active, 0 for the root.
        unit: (k,) the unit split here, in the order in which the model got its units; -1 for none.
    """

    parent: IntArray
    side: ByteArray
    unit: IntArray


class Verdict(Enum):
    """Answers to "can the row exceed the threshold?"."""

    NEVER = "never"
    CANDIDATE = "candidate"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a solver said: a claim.  None of it is believed.

    Attributes:
        verdict: the answer.
        point: (input_size,) candidate input, for `CANDIDATE`; to be replayed before it counts.
        reason: the solver's status, for `UNKNOWN`.
        progress: for `UNKNOWN`, how far branching brought the dual bound from the root's to the threshold, in [0, 1];
            None if there was no branching yet.
        tree: for `NEVER`, how it branched, where that is known.
    """

    verdict: Verdict
    point: FloatArray | None = None
    reason: str = ""
    progress: float | None = None
    tree: BranchingTree | None = None


class Model(Protocol):
    """A model of a network on one polytope that grows layer by layer."""

    description: str
    """The solver's name, version and tolerances."""

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units."""


class Solver(Model, Protocol):
    """A model that answers questions about rows."""

    def add_constraints(self, rows: FloatArray, bound: FloatArray) -> None:
        """From now on rows . columns <= bound, (k, columns so far) and (k,)."""

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns exceed `threshold` on the polytope?  `time_limit` in seconds."""


class SolverFactory(Protocol):
    """Makes a fresh model for a polytope."""

    def __call__(self, polytope: Polytope) -> Solver: ...


Known = tuple[BoolArray, BoolArray]
"""Which of a model's units, (m,) each, are witnessed z > 0, and z < 0."""

Replay = Callable[[FloatArray, Known], Known]
"""Runs the network at a point (input_size,) that is said to show these signs, and tells what is witnessed then."""


@dataclass(frozen=True, slots=True, eq=False)
class JointAnswer:
    """What a joint model proved about its units.

    Attributes:
        never_above: (m,) bool: z > 0 is excluded on the polytope.
        never_below: (m,) bool: z < 0 is excluded.
        reason: the solver's status where it did not finish; nothing is excluded then.
    """

    never_above: BoolArray
    never_below: BoolArray
    reason: str = ""


class JointSolver(Model, Protocol):
    """A model that looks for the signs of all units of a layer at once."""

    def settle(self, replay: Replay, known: Known, budget: Budget) -> JointAnswer:
        """Find points until no unit added since the last call can show a new sign, or there is no time."""


class JointFactory(Protocol):
    """Makes a fresh joint model for a polytope."""

    def __call__(self, polytope: Polytope) -> JointSolver: ...
