"""What is known of the signs of units on a box, which its halves inherit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from eqverify.arrays import ByteArray
from eqverify.bounds.interval import Bounds, Interval
from eqverify.network import Affine, Network


@dataclass(frozen=True, slots=True, eq=False)
class UnitSigns:
    """Vectors over the units of all pre-activation nodes: -1 where z <= 0 is proved, 1 where z >= 0 is, else 0.

    Attributes:
        places: by node, affine ones only and in topological order, where its units stand.
        count: number of units.
    """

    places: Mapping[str, slice]
    count: int

    @staticmethod
    def of(network: Network) -> UnitSigns:
        """Those of a network."""
        places, start = {}, 0
        for relu in network.relus:
            if isinstance(network.by_name.get(relu.source), Affine) and relu.source not in places:
                places[relu.source] = slice(start, start + network.sizes[relu.source])
                start += network.sizes[relu.source]
        return UnitSigns(places, start)

    def told(self, signs: ByteArray) -> dict[str, Interval]:
        """By node, what signs (boxes, count) say of the values."""
        return {
            name: Interval(np.where(signs[:, own] > 0, 0.0, -np.inf), np.where(signs[:, own] < 0, 0.0, np.inf))
            for name, own in self.places.items()
        }

    def read(self, bounds: Bounds, signs: ByteArray) -> ByteArray:
        """The signs with those that bounds of some nodes show besides."""
        result = signs.copy()
        for name, own in self.places.items():
            if name in bounds:
                result[:, own][bounds[name].lower >= 0] = 1
                result[:, own][bounds[name].upper <= 0] = -1
        return result
