"""What the stages of a proof leave for certificates: hints from which a checker can derive a bound again.

Each stage hands its hints to whoever listens (`prove_stability(..., proofs=...)`) when the table learns what they
prove, in that order: a proof rests on bounds that were learnt before it, and names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from eqverify.arrays import BoolArray, ByteArray, FloatArray, IntArray
from eqverify.bounds import Bounds, Interval
from eqverify.bounds.duality import Multipliers, Triangles
from eqverify.bounds.slope_optimisation import Slopes
from eqverify.search.box_queue import SplitTree
from eqverify.search.sign_tree import BranchResult


@dataclass(frozen=True, slots=True, eq=False)
class DerivedProof:
    """Bounds that a checker finds by itself from what was known before.

    Attributes:
        rule: ``crown`` (intervals, then default slopes for open units) or ``signs`` (all summands agree).
        known: by pre-activation node, (parts, n) what was known.
    """

    rule: Literal["crown", "signs"]
    known: Bounds


@dataclass(frozen=True, slots=True, eq=False)
class SlopesProof:
    """Bounds by optimised slopes.

    Attributes:
        known: by pre-activation node, (parts, n) what was known before.
        parts: the parts of the domain that the boxes of the slopes are.
        slopes: by pre-activation node in topological order, chunks of rows; later nodes use what earlier ones gained.
    """

    known: Bounds
    parts: IntArray
    slopes: Mapping[str, tuple[Slopes, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class SplitProof:
    """Signs by input splitting.

    Attributes:
        known: by pre-activation node, (parts, n) what was known before.
        tree: the boxes, without those on which nothing was open that was proved in the end.
        signs: by pre-activation node, (n,) -1 where z <= 0 is proved, 1 where z >= 0 is, else 0.
        bounds: by pre-activation node, (parts, n) the bounds proved with them.
    """

    known: Bounds
    tree: SplitTree
    signs: Mapping[str, ByteArray]
    bounds: Mapping[str, Interval]


@dataclass(frozen=True, slots=True, eq=False)
class LinearProof:
    """One bound by multipliers of the triangle relaxation on one part of the domain.

    Attributes:
        node: the pre-activation node; empty for the zero row.
        part: of the domain.
        unit: the component.
        sign: 1 for an upper bound of z, -1 for one of -z.
        value: the bound, of sign * z.
        row: (columns,) z as a row over the model's columns: the inputs, 1, then the kept units in order.
        error: bound on |z - row . columns|.
        kept: by earlier ReLU node, (n,) bool: the units that are columns of the model.
        active: likewise: the stably active ones that are not; all others are stably inactive.
        model: the relaxation.
        multipliers: of its rows.
    """

    node: str
    part: int
    unit: int
    sign: int
    value: float
    row: FloatArray
    error: float
    kept: Mapping[str, BoolArray]
    active: Mapping[str, BoolArray]
    model: Triangles
    multipliers: Multipliers


@dataclass(frozen=True, slots=True, eq=False)
class ZeroProof:
    """That no input satisfies the assumed constraints: a negative bound of the zero row.

    Attributes:
        known: by pre-activation node, (1, n) what was known before.
        found: slopes and multipliers, or multipliers of a linear program.
    """

    known: Bounds
    found: Slopes | LinearProof


@dataclass(frozen=True, slots=True, eq=False)
class CoverProof:
    """Boxes some of which miss the inputs that satisfy the assumed constraints; bounds hold on the rest.

    Attributes:
        tree: the boxes.
        weights: (leaves, constraints) of the combinations that show that leaves miss these inputs.
    """

    tree: SplitTree
    weights: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ClipProof:
    """Parts of a box, split at inputs and at signs of units, none of which has an input that satisfies the constraints.

    Attributes:
        tree: the parts; `dimension` counts inputs, then units before ReLUs, as `UnitPlaces` does.
        weights: (nodes, rounds, constraints) of the combinations that clip ranges on each part.
    """

    tree: SplitTree
    weights: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class BranchProof:
    """One bound by branching on signs on one part of the domain.

    Attributes:
        known: intervals, (1, n) each, of the inputs and all nodes before the question's, on this part.
        part: of the domain.
        result: question, bound and tree with slopes and multipliers.
    """

    known: Bounds
    part: int
    result: BranchResult


@dataclass(frozen=True, slots=True, eq=False)
class RowProof:
    """That a row of the disjunct is positive where its other constraints hold, by branching on signs.

    Attributes:
        row: its number among all constraints of the region, those on outputs first.
        result: the bound, and tree with slopes and multipliers of the other constraints, in order.
    """

    row: int
    result: BranchResult


@dataclass(frozen=True, slots=True)
class SolverClaim:
    """No proof: the word of a solver, or of a journal, that sign * z_unit <= 0 on one part of the domain."""

    node: str
    part: int
    unit: int
    sign: int


def claims_of(bounds: Bounds) -> list[Proof]:
    """What bounds (parts, n) by pre-activation node say about signs."""
    return [
        SolverClaim(name, int(part), int(unit), sign)
        for name, interval in bounds.items()
        for sign, shown in ((1, interval.upper <= 0), (-1, interval.lower >= 0))
        for part, unit in np.argwhere(shown)
    ]


Signs: TypeAlias = DerivedProof | SlopesProof | SplitProof | LinearProof | BranchProof
Proof: TypeAlias = Signs | RowProof | SolverClaim | ZeroProof | CoverProof | ClipProof
ProofListener: TypeAlias = Callable[[Proof], None]


def ignore(proof: Proof) -> None:
    """The listener that keeps nothing."""
