"""Vectors over all units before ReLUs, and what is known of signs on a box, which its halves inherit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from eqverify.arrays import ByteArray, FloatArray
from eqverify.bounds.interval import Bounds, Interval
from eqverify.network import Affine, Network


@dataclass(frozen=True, slots=True, eq=False)
class UnitPlaces:
    """Where units stand in vectors over those of all pre-activation nodes.

    Attributes:
        places: by node, affine ones only and in topological order.
        count: number of units.
    """

    places: Mapping[str, slice]
    count: int

    @staticmethod
    def of(network: Network) -> UnitPlaces:
        """Those of a network."""
        places, start = {}, 0
        for relu in network.relus:
            if isinstance(network.by_name.get(relu.source), Affine) and relu.source not in places:
                places[relu.source] = slice(start, start + network.sizes[relu.source])
                start += network.sizes[relu.source]
        return UnitPlaces(places, start)

    def join(self, parts: Mapping[str, npt.NDArray[Any]], missing: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """`missing` (..., count) with what is given for some nodes; not copied."""
        for name, own in self.places.items():
            if name in parts:
                missing[..., own] = parts[name]
        return missing

    def split(self, vector: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
        """A vector (..., count) by node."""
        return {name: vector[..., own] for name, own in self.places.items()}

    def bounds(self, known: Bounds, count: int) -> tuple[FloatArray, FloatArray]:
        """(count, units) lower and upper bounds from intervals (count or 1, n); infinite where there are none."""
        lower = self.join({name: z.lower for name, z in known.items()}, np.full((count, self.count), -np.inf))
        upper = self.join({name: z.upper for name, z in known.items()}, np.full((count, self.count), np.inf))
        return lower, upper

    def intervals(self, lower: FloatArray, upper: FloatArray) -> dict[str, Interval]:
        """Bounds (boxes, units) by node."""
        pairs = zip(self.split(lower).items(), self.split(upper).values(), strict=True)
        return {name: Interval(low, high) for (name, low), high in pairs}

    def told(self, signs: ByteArray) -> dict[str, Interval]:
        """By node, what signs (boxes, units) say of values: -1 for z <= 0, 1 for z >= 0, 0 for nothing."""
        return self.intervals(np.where(signs > 0, 0.0, -np.inf), np.where(signs < 0, 0.0, np.inf))


def signs_with(signs: ByteArray, lower: FloatArray, upper: FloatArray) -> ByteArray:
    """Signs with those that bounds of the units show besides."""
    return np.where(upper <= 0, -1, np.where(lower >= 0, 1, signs)).astype(np.int8)
