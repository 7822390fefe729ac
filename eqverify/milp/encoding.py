"""The big-M encoding of kept units, and the question a solver is asked about a row.

A kept unit with pre-activation z in [l, u], l < 0 < u, becomes (Tjeng, Xiao, Tedrake 2019, arXiv 1711.07356)

    h >= 0,  h >= z,  h <= u d,  h <= z - l (1 - d),  d in {0, 1}

over expressions in inputs and earlier kept units; stable units do not occur at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from eqverify.arrays import FloatArray
from eqverify.domain import Polytope


@dataclass(frozen=True, slots=True, eq=False)
class UnitBlock:
    """Kept units to add to a model, one row each over the columns the model has so far.

    Attributes:
        rows: (m, columns) coefficients; columns are x, 1, then the kept units in order.
        error: (m,) bound on |z - rows . columns|: z may lie anywhere in that band.
        lower: (m,) proved lower bounds of z.
        upper: (m,) proved upper bounds of z.
    """

    rows: FloatArray
    error: FloatArray
    lower: FloatArray
    upper: FloatArray


class Verdict(Enum):
    """Answers to "can the row exceed the threshold?"."""

    NEVER = "never"
    CANDIDATE = "candidate"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a solver said.  Nothing here is believed but `NEVER`, and that only as evidence `solver`.

    Attributes:
        verdict: the answer.
        point: (input_size,) candidate input, for `CANDIDATE`; to be replayed before it counts.
        reason: the solver's status, for `UNKNOWN`.
    """

    verdict: Verdict
    point: FloatArray | None = None
    reason: str = ""


class Solver(Protocol):
    """A model of the network on one polytope that grows layer by layer and answers questions about rows."""

    description: str
    """Name, version and tolerances."""

    def add_units(self, block: UnitBlock) -> None:
        """Append kept units."""

    def exceeds(self, row: FloatArray, threshold: float, time_limit: float) -> Answer:
        """Can row . columns exceed `threshold` on the polytope?  `time_limit` in seconds."""


class SolverFactory(Protocol):
    """Makes a fresh model for a polytope."""

    def __call__(self, polytope: Polytope) -> Solver: ...
