"""Satisfying assignments of queries about several networks, replayed on the query as written."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from eqverify.arrays import FloatArray
from eqverify.attack.replay import Replay, Values
from eqverify.equivalence.product import side_by_side
from eqverify.equivalence.shared import SharedCase
from eqverify.network import Network

_EXACT_PRODUCTS = 10_000_000
"""Networks with more products than this are not evaluated in rationals, which takes a microsecond per product."""


class QueryCheck:
    """Confirms candidates for one case of a query.

    Domains are rounded outwards, so an input on their border may lie outside of what is written, and a bound such as
    0.1 is no float: components are moved to the written bounds before anything is evaluated.

    Args:
        networks: those it is about, in order of declaration.
        shared: the case.
    """

    def __init__(self, networks: Sequence[Network], shared: SharedCase) -> None:
        self._replay = Replay(side_by_side(networks), shared.case)
        self._place: list[int] = np.concatenate([shared.first, shared.second]).tolist()

    @property
    def inputs(self) -> Values:
        """The exact inputs of all networks of the assignment confirmed."""
        return () if self._replay.witness is None else self._replay.witness.inputs

    def confirm(self, point: FloatArray) -> bool:
        """Whether the query holds at a shared input (shared inputs,), or at that input moved to the written bounds."""
        written, shared = self._replay.case.written, [Fraction(value) for value in point.tolist()]
        assert written is not None
        for i, k in enumerate(self._place):
            low, high = written.interval(i)
            shared[k] = min(max(shared[k], low), high)
        exact = [shared[k] for k in self._place]
        return self._replay.network.products <= _EXACT_PRODUCTS and self._replay.take(exact)
