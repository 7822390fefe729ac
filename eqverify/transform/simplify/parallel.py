"""Units whose rows are multiples of the row of another unit, of the same tier or an earlier one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.network.expression import Basis
from eqverify.transform.base import Declined
from eqverify.transform.reduced_form import Tier, reach
from eqverify.transform.unit_map import Relation, RelationKind

_WINDOW = 2.0**-16
"""Rows with keys this close are compared; near misses are reported."""


@dataclass(frozen=True, slots=True, eq=False)
class Parallels:
    """What was found in one tier.

    Attributes:
        relations: place in the tier, and what that unit equals.
        declined: units that are nearly parallel to another.
    """

    relations: list[tuple[int, Relation]]
    declined: list[Declined]


class ParallelSearch:
    """Rows seen so far, by keys in which parallel rows agree.

    A row is scaled by the ranges of its columns to unit length; its key is the magnitude of its product with one
    random vector of unit length.  So rows that are parallel up to r have keys that differ by at most r, and equal keys
    of other rows are an accident that costs one comparison.
    """

    def __init__(self, basis: Basis, tolerance: float) -> None:
        self._basis = basis
        self._tolerance = tolerance
        self._weights = np.where(np.isfinite(basis.magnitude), basis.magnitude, 0.0)
        direction = np.random.default_rng(0).normal(size=basis.width)
        self._direction = direction / np.linalg.norm(direction)
        self._rows: list[FloatArray] = []
        self._pairs: list[tuple[str, int]] = []
        self._keys = np.empty(0)

    def visit(self, tier: Tier) -> Parallels:
        """Compare the units of a tier with each other and with all before.

        Statements M-2 and M-3: z = s z' with s > 0 gives h = s h', z = -s z' gives h = s (h' - z').
        """
        found = Parallels([], [])
        reaches = reach(tier.rows, self._basis)
        for place, (row, key, size, pair) in enumerate(
            zip(tier.rows, self._key(tier.rows), reaches, tier.pairs(), strict=True)
        ):
            if not np.isfinite(size) or size == 0:
                continue
            near = np.flatnonzero(np.abs(self._keys - key) <= _WINDOW)
            relation = self._match(row, size, pair, near.tolist(), found.declined)
            if relation is not None:
                found.relations.append((place, relation))
            else:
                self._rows.append(row)
                self._pairs.append(pair)
                self._keys = np.append(self._keys, key)
        return found

    def _key(self, rows: FloatArray) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            weighted = rows * self._weights
            weighted = weighted / np.abs(weighted).max(axis=1, keepdims=True)
            return np.asarray(np.abs(weighted @ self._direction) / np.linalg.norm(weighted, axis=1))

    def _match(
        self, row: FloatArray, size: float, pair: tuple[str, int], near: list[int], declined: list[Declined]
    ) -> Relation | None:
        """The first of some units that the row is a multiple of."""
        for index in near:
            other = self._rows[index]
            pivot = int(np.argmax(np.abs(other * self._weights)))
            factor = row[pivot] / other[pivot]
            residual = float(reach((row - factor * other)[None], self._basis)[0])
            name, unit = self._pairs[index]
            if residual <= self._tolerance * size and factor != 0 and np.isfinite(factor):
                kind: RelationKind = "parallel" if factor > 0 else "antiparallel"
                return Relation(kind, *pair, name, unit, float(abs(factor)))
            if residual <= _WINDOW * size:
                reason = f"nearly parallel to {name}[{unit}], but off by up to {residual:.1e}"
                declined.append(Declined("parallel", pair[0], (pair[1],), reason))
        return None
