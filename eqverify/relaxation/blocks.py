"""What a program about a network is given, layer by layer: plain numbers, nothing of the network."""

from __future__ import annotations

from dataclasses import dataclass

from eqverify.arrays import FloatArray


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
